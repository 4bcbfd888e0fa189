// `holdfast serve` as a process of its own, with the files it needs in a folder of its own.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeCertificates } from './certificates.js'
import { issuerKey } from './draft.js'

export const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.js')

/**
 * Starts node as a user does: without the test runner's own instruments, which it adds to the environment of all that a test spawns, and
 * which end a process at signals that a gateway leaves alone (SIGXFSZ) or heeds later (SIGHUP).
 */
export const spawnNode = (args: readonly string[], options: SpawnOptions): ChildProcess =>
  spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, ...args], options)

export type RunningGateway = {
  readonly child: ChildProcess
  readonly port: number
  /** PEM of the CA of its certificate. */
  readonly ca: string
  /** What it said on stderr so far. */
  said(): string
  /** Ends it as an operator does; the exit code. */
  stop(): Promise<number | null>
}

/** Starts one and waits for the line that says it accepts. `yaml` is what follows listener, issuer, key and one public origin. */
export async function startProcess(host: string, yaml: string): Promise<RunningGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-process-'))
  const { files } = await makeCertificates(host)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  writeFileSync(join(folder, 'issuer.jwks'), JSON.stringify({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] }))
  const head = `version: 1
listen: { host: 127.0.0.1, port: 0, tls: { key: server.key, cert: server.crt } }
admin: { port: 0 }
workers: 1
public_origins: [https://${host}]
issuers: [{ issuer: https://as.example.com, audience: https://api.example.com, jwks_file: issuer.jwks }]
audit: { file: audit.jsonl }
assertion: { issuer: https://gateway.example.com, key: assertion.key }
`
  writeFileSync(join(folder, 'routes.yaml'), head + yaml)
  const child = spawnNode([MAIN, 'serve'], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  const atExit = () => void child.kill('SIGKILL')
  process.once('exit', atExit)
  let text = ''
  child.stderr?.on('data', (chunk) => {
    text += chunk
  })
  for (let i = 0; i < 200 && !text.includes('accepting requests'); i++) {
    if (child.exitCode !== null) throw new Error(text)
    await sleep(50)
  }
  const [, port] = /"addresses":\["127\.0\.0\.1:(\d+)"/.exec(text) ?? []
  if (port === undefined) throw new Error(`it does not say where it accepts requests: ${text}`)
  return {
    child,
    port: Number(port),
    ca: files['ca.crt'] ?? '',
    said: () => text,
    stop: async () => {
      process.off('exit', atExit)
      const exit = once(child, 'exit')
      child.kill('SIGTERM')
      const [code] = await exit
      rmSync(folder, { recursive: true, force: true })
      return code as number | null
    },
  }
}
