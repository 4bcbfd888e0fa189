// What an audit log needs besides its file: a key that signs checkpoints, and how its lines are read.
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { AuditLogOptions } from '../../src/audit/log.js'
import { loadSigningKeys } from '../../src/keys/signing.js'

const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()

export const auditKeys = loadSigningKeys([pem])

export const SIGNED: Omit<AuditLogOptions, 'file' | 'log'> = {
  issuer: 'https://gateway.example.com',
  signer: () => auditKeys.current,
  checkpoints: 1,
  rotate: null,
  stream: null,
  host: 'gateway-1',
  refusalsPerSecond: 100,
  instance: 'i-1',
  worker: 0,
}

/** One line of JSON each; the events without the checkpoints between them. */
export const eventsIn = <T extends object>(file: string): T[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T & { event_type?: unknown })
    .filter(({ event_type }) => event_type !== 'checkpoint')
