// Where a probe is tested: a folder with a CA, client files and tokens, and `holdfast probe` run as a user runs it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCli } from '../../src/cli/main.js'
import type { Report } from '../../src/probe/attack.js'
import { type KeyPair, signJwt } from '../support/jwt.js'

export type TokenOf = { readonly issuer: KeyPair; readonly origin: string; readonly cnf: object; readonly claims?: object }

/** A token for ten minutes, as RFC 9068 has it. */
export function makeToken({ issuer, origin, cnf, claims = {} }: TokenOf): string {
  const iat = Math.floor(Date.now() / 1000)
  const usual = {
    iss: 'https://as.example.com',
    aud: origin,
    sub: 'user-1',
    client_id: 'client-1',
    jti: `${iat}.${Math.random()}`,
    iat,
    exp: iat + 600,
  }
  return signJwt({ typ: 'at+jwt', alg: 'ES256', kid: 'issuer-1' }, { ...usual, cnf, ...claims }, issuer.privateKey)
}

export type Place = {
  readonly folder: string
  /** Writes a file and gives its path. */
  write(name: string, text: string): string
  remove(): void
}

export function makePlace(): Place {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-probe-'))
  return {
    folder,
    write: (name, text) => {
      const file = join(folder, name)
      writeFileSync(file, text)
      return file
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** A client file for a token that is given, bound to a DPoP key. */
export function dpopClient(
  place: Place,
  origin: string,
  { key, token, name = 'client' }: { key: KeyPair; token: string; name?: string },
): string {
  place.write(`${name}.jwk`, JSON.stringify(key.privateKey.export({ format: 'jwk' })))
  place.write(`${name}.jwt`, token)
  return place.write(`${name}.yaml`, `gateway: ${origin}\ntls: { ca: ca.crt }\nkey: ${name}.jwk\ntoken_file: ${name}.jwt\n`)
}

export type Ran = { readonly code: number; readonly out: string; readonly err: string }

/** `holdfast probe ARGS`, in this process. */
export async function probe(place: Place, ...args: readonly string[]): Promise<Ran> {
  const [out, err]: [string[], string[]] = [[], []]
  const io = {
    out: (line: string) => void out.push(line),
    err: (line: string) => void err.push(line),
    env: {},
    cwd: place.folder,
  }
  const never = { name: 'serve', summary: '', help: '', run: async () => 0 }
  const code = await runCli(['probe', ...args], io, async () => never)
  return { code, out: out.join('\n'), err: err.join('\n') }
}

/** The same, and its JSON report. */
export async function probeReport(place: Place, ...args: readonly string[]): Promise<Ran & { readonly report: Report }> {
  const ran = await probe(place, ...args, '--yes', '--json', '-')
  if (!ran.out.startsWith('{')) throw new Error(`no report: ${ran.err}`)
  return { ...ran, report: JSON.parse(ran.out) as Report }
}

/** Ids of what needs mending. */
export const found = ({ findings }: Report): readonly string[] =>
  findings.filter(({ outcome }) => ['through', 'wrong', 'broke'].includes(outcome.verdict)).map(({ attack }) => attack.id)
