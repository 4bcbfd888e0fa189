// What does a client file say, FILE of `holdfast client` and CONFIG of `holdfast probe`? One small YAML file, read strictly: unknown
// keys and a listener that others could reach are problems, and every problem is reported at once as FILE:LINE:COL. Paths in it
// are relative to it.

import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isMap, isScalar, LineCounter, type Node, parseDocument } from 'yaml'
import { z } from 'zod'

const LOOPBACK = /^(localhost|::1|127\.\d{1,3}\.\d{1,3}\.\d{1,3})$/

/** Is this host name or address one that only this machine can reach? */
export const isLoopback = (host: string): boolean => LOOPBACK.test(host)

const text = z.string('expected text').min(1, 'expected text')
const off = z.literal(['off', false])

const secureUrl = text.refine((value) => {
  if (!URL.canParse(value)) return false
  const { protocol, hostname } = new URL(value)
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname.replace(/^\[|\]$/g, '')))
}, 'expected an https URL (http only to loopback)')

const origin = text.refine((value) => {
  if (!URL.canParse(value)) return false
  const url = new URL(value)
  return url.protocol === 'https:' && (value === url.origin || value === `${url.origin}/`)
}, 'expected an https origin such as https://api.example.com, without a path')

const fields = z.strictObject({
  listen: z
    .strictObject({
      host: text
        .default('127.0.0.1')
        .refine(isLoopback, 'only loopback (127.0.0.1, ::1, localhost): whoever reaches it has your token'),
      port: z.int('expected a port').min(0, 'expected a port').max(65535, 'expected a port'),
    })
    .optional(),
  gateway: origin,
  tls: z.strictObject({ ca: text.optional(), cert: text.optional(), key: text.optional() }).prefault({}),
  dpop: z.union([off, z.literal(['on', true])], 'expected on or off').default('on'),
  key: text.optional(),
  token: text.optional(),
  token_file: text.optional(),
  issuer: secureUrl.optional(),
  token_endpoint: secureUrl.optional(),
  issuer_ca: text.optional(),
  client_id: text.optional(),
  auth: z.literal(['private_key_jwt', 'tls_client_auth'], 'expected private_key_jwt or tls_client_auth').optional(),
  client_key: text.optional(),
  scope: text.optional(),
  resource: text.optional(),
  audience: text.optional(),
})
type Fields = z.infer<typeof fields>

/** Rules between keys: [wrong, key, sentence]. */
const crossRules = (file: Fields): readonly (readonly [boolean, keyof Fields, string])[] => {
  const given = file.token !== undefined || file.token_file !== undefined
  const asked = file.issuer !== undefined || file.token_endpoint !== undefined
  const isBound = file.dpop === 'on' || file.dpop === true
  return [
    [given === asked, 'token', 'say where the token comes from: either token or token_file, or issuer or token_endpoint'],
    [file.token !== undefined && file.token_file !== undefined, 'token_file', 'token is given too; leave one out'],
    [(file.tls.cert === undefined) !== (file.tls.key === undefined), 'tls', 'cert and key belong together'],
    [!isBound && file.key !== undefined, 'key', 'is the DPoP key, and dpop is off'],
    [
      !isBound && file.tls.cert === undefined,
      'dpop',
      'off needs tls.cert and tls.key: the certificate that the token is bound to',
    ],
    [isBound && given && file.key === undefined, 'key', 'a given token is bound to a key already: name its file'],
    [asked && file.client_id === undefined, 'client_id', 'is required to ask for tokens'],
    [asked && file.auth === undefined, 'auth', 'is required to ask for tokens: private_key_jwt or tls_client_auth'],
    [file.auth === 'private_key_jwt' && file.client_key === undefined, 'client_key', 'is required by auth: private_key_jwt'],
    [file.auth === 'tls_client_auth' && file.tls.cert === undefined, 'auth', 'tls_client_auth needs tls.cert and tls.key'],
  ]
}

const schema = fields.superRefine((file, context) => {
  for (const [wrong, key, message] of crossRules(file)) if (wrong) context.addIssue({ code: 'custom', path: [key], message })
})

/** How tokens are asked for: client credentials (RFC 6749 §4.4). */
export type TokenRequest = {
  /** Null: `endpoint` is what the client assertion is made for. */
  readonly issuer: string | null
  /** Null: found by discovery at `issuer`. */
  readonly endpoint: string | null
  readonly clientId: string
  /** Text of the private key of private_key_jwt; null: the certificate of `tls` authenticates (RFC 8705 §2). */
  readonly clientKey: string | null
  readonly scope: string | null
  readonly resource: string | null
  readonly audience: string | null
}

export type ClientSettings = {
  /** Null: this file is for `holdfast probe`, which does not listen. */
  readonly listen: { readonly host: string; readonly port: number } | null
  /** `https://host[:port]`, no final slash. */
  readonly gateway: string
  /** PEM text. `ca` null: the system's. */
  readonly tls: { readonly ca: string | null; readonly cert: string | null; readonly key: string | null }
  /** PEM of the CA of the authorization server; null: the system's. Left out, it is the gateway's. */
  readonly issuerCa: string | null
  /** `key` is the text of a JWK or PEM; null: a new one at each start. */
  readonly dpop: { readonly key: string | null } | null
  readonly token: { readonly text: string } | { readonly file: string } | TokenRequest
}

/** `FILE:LINE:COL path: sentence`, sorted by line. */
export type Problems = { readonly problems: readonly string[] }

/** Reads FILE and every file that it names. Does not check: that keys and certificates are usable. */
export function readSettings(file: string): ClientSettings | Problems {
  const found: { line: number; column: number; sentence: string }[] = []
  const source = readText(file)
  if (source === null)
    return { problems: [`${file}: cannot be read; give the path of a client file (see holdfast client --help)`] }

  const lines = new LineCounter()
  const document = parseDocument(source, { lineCounter: lines })
  const problem = (offset: number, sentence: string) => {
    const at = lines.linePos(offset)
    found.push({ line: at.line, column: at.col, sentence })
  }
  const offsetOf = (path: readonly PropertyKey[]): number => {
    for (let length = path.length; length > 0; length--) {
      const node = document.getIn(path.slice(0, length), true) as Node | undefined
      if (node?.range) return node.range[0]
    }
    return 0
  }
  const offsetOfKey = (path: readonly PropertyKey[], key: string): number => {
    const map = path.length === 0 ? document.contents : document.getIn(path, true)
    const pair = isMap(map) ? map.items.find((item) => isScalar(item.key) && item.key.value === key) : undefined
    return (pair?.key as Node | undefined)?.range?.[0] ?? offsetOf(path)
  }
  const done = () => ({
    problems: found
      .sort((a, b) => a.line - b.line || a.column - b.column)
      .map(({ line, column, sentence }) => `${file}:${line}:${column} ${sentence}`),
  })

  for (const error of document.errors) problem(error.pos[0], `${error.code} ${error.message.split('\n')[0] ?? ''}`)
  if (found.length > 0) return done()

  const parsed = schema.safeParse(document.toJS() ?? {})
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      if (issue.code !== 'unrecognized_keys') {
        problem(offsetOf(issue.path), `${issue.path.join('.') || 'file'}: ${missing(issue.message)}`)
        continue
      }
      for (const key of issue.keys) problem(offsetOfKey(issue.path, key), `${[...issue.path, key].join('.')}: unknown setting`)
    }
    return done()
  }

  const read = (path: string | undefined, name: string): string | null => {
    if (path === undefined) return null
    const content = readText(resolve(dirname(file), path))
    if (content === null) problem(offsetOf(name.split('.')), `${name}: the file cannot be read`)
    return content
  }
  const settings = toSettings(parsed.data, read, (path) => resolve(dirname(file), path))
  return found.length > 0 ? done() : settings
}

type Read = (path: string | undefined, name: string) => string | null

function toSettings(file: Fields, read: Read, absolute: (path: string) => string): ClientSettings {
  return {
    listen: file.listen ?? null,
    gateway: new URL(file.gateway).origin,
    tls: { ca: read(file.tls.ca, 'tls.ca'), cert: read(file.tls.cert, 'tls.cert'), key: read(file.tls.key, 'tls.key') },
    issuerCa: file.issuer_ca === 'system' ? null : read(file.issuer_ca ?? file.tls.ca, 'issuer_ca'),
    dpop: file.dpop === 'on' || file.dpop === true ? { key: read(file.key, 'key') } : null,
    token: tokenOf(file, read, absolute),
  }
}

function tokenOf(file: Fields, read: Read, absolute: (path: string) => string): ClientSettings['token'] {
  if (file.token !== undefined) return { text: file.token }
  if (file.token_file !== undefined) return { file: absolute(file.token_file) }
  return {
    issuer: file.issuer ?? null,
    endpoint: file.token_endpoint ?? null,
    clientId: file.client_id ?? '',
    clientKey: file.auth === 'private_key_jwt' ? read(file.client_key, 'client_key') : null,
    scope: file.scope ?? null,
    resource: file.resource ?? null,
    audience: file.audience ?? null,
  }
}

const missing = (message: string): string =>
  message.startsWith('Invalid input') ? `${message}; see holdfast client --help` : message

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}
