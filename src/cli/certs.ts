// `holdfast certs DIR`: what a gateway on this machine needs to start, thrown away after (contract §1). The keys of the two CAs
// are never written, so nothing can be issued later in their name.

import { generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Command, Io } from './command.js'
import { type CertificateProfile, type Issued, issue, USAGES } from './x509.js'

const HELP = `holdfast certs DIR [--name NAME]... [--force]

Throwaway certificates and keys for development: P-256, valid for 30 days. Not for production.

  DIR           where to write; made when it is not there
  --name NAME   another DNS name or IP address of the server certificate (may be repeated);
                localhost, 127.0.0.1 and ::1 are always in it
  --force       overwrite what an earlier run made
  --help        this text

Written: ca.crt, server.crt, server.key, client-ca.crt, client.crt, client.key, other-client.crt, other-client.key,
assertion.key. Exit code: 0 written, 1 something is there already or can't be written, 2 wrong usage.
`

const DAY_MS = 86_400_000
const LIFETIME_DAYS = 30
const LOOPBACK = ['localhost', '127.0.0.1', '::1']
const FILES = [
  'ca.crt',
  'server.crt',
  'server.key',
  'client-ca.crt',
  'client.crt',
  'client.key',
  'other-client.crt',
  'other-client.key',
  'assertion.key',
] as const

export const certs: Command = {
  name: 'certs',
  summary: 'throwaway certificates and keys for development',
  help: HELP,
  run: async (args, io) => {
    const wanted = readArguments(args)
    if (typeof wanted === 'string') {
      io.err(`holdfast certs: ${wanted}`)
      io.err('try: holdfast certs --help')
      return 2
    }
    const directory = resolve(io.cwd, wanted.directory)
    const present = FILES.filter((name) => existsSync(join(directory, name)))
    if (present.length > 0 && !wanted.isForced) {
      io.err(`holdfast certs: ${wanted.directory} has ${present.join(', ')} already`)
      io.err('overwrite with --force, or name another directory')
      return 1
    }
    const texts = await makeFiles(wanted.names)
    mkdirSync(directory, { recursive: true })
    for (const name of FILES) writePrivately(join(directory, name), texts[name])
    const near = relative(io.cwd, directory)
    report(near.startsWith('..') ? directory : near, io)
    return 0
  },
}

type Wanted = { readonly directory: string; readonly names: readonly string[]; readonly isForced: boolean }

/** A string: what is wrong. */
function readArguments(args: readonly string[]): Wanted | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { name: { type: 'string', multiple: true }, force: { type: 'boolean' } },
    })
    const [directory] = positionals
    if (directory === undefined || positionals.length > 1) return 'expected one directory'
    const { name: more = [], force = false } = values
    const bad = more.find((name) => !/^[\w.*:-]+$/.test(name))
    if (bad !== undefined) return `--name ${JSON.stringify(bad)} is neither a DNS name nor an IP address`
    return { directory, names: [...new Set([...LOOPBACK, ...more])], isForced: force }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function makeFiles(names: readonly string[]): Promise<Readonly<Record<(typeof FILES)[number], string>>> {
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + LIFETIME_DAYS * DAY_MS) }
  const make = (profile: Pick<CertificateProfile, 'subject' | 'isCa' | 'names' | 'usages'>, issuer: Issued | null) =>
    issue({ ...validity, ...profile }, issuer)
  const makeClient = (name: string) => make({ subject: `CN=${name}`, isCa: false, usages: [USAGES.client] }, clientCa)

  const ca = await make({ subject: 'CN=Holdfast throwaway CA', isCa: true }, null)
  const clientCa = await make({ subject: 'CN=Holdfast throwaway client CA', isCa: true }, null)
  const server = await make({ subject: 'CN=localhost', isCa: false, names, usages: [USAGES.server] }, ca)
  const client = await makeClient('client')
  const other = await makeClient('other-client')
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    'ca.crt': ca.cert,
    'server.crt': server.cert,
    'server.key': server.key,
    'client-ca.crt': clientCa.cert,
    'client.crt': client.cert,
    'client.key': client.key,
    'other-client.crt': other.cert,
    'other-client.key': other.key,
    'assertion.key': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** A new file each time: one that is written over would keep the permissions, or the link, that it had. */
function writePrivately(file: string, text: string): void {
  rmSync(file, { force: true })
  writeFileSync(file, text, { flag: 'wx', mode: file.endsWith('.key') ? 0o600 : 0o644 })
}

function report(directory: string, { out }: Io): void {
  const at = (name: string) => join(directory, name)
  out(`Throwaway certificates in ${directory}, valid for ${LIFETIME_DAYS} days. Not for production.`)
  out('')
  out('in routes.yaml, with paths relative to it:')
  out('  listen:')
  out(
    `    tls: { key: ${at('server.key')}, cert: ${at('server.crt')}, client_certificates: pki, client_ca: ${at('client-ca.crt')} }`,
  )
  out('  assertion:')
  out(`    key: ${at('assertion.key')}`)
  out('')
  out('a client, with and without a certificate of its own:')
  out(`  curl --cacert ${at('ca.crt')} https://localhost:8443/`)
  out(`  curl --cacert ${at('ca.crt')} --cert ${at('client.crt')} --key ${at('client.key')} https://localhost:8443/`)
  out(`  (${at('other-client.crt')} is someone else: a token bound to the first is refused with it)`)
}
