// Gets the JWK set of an issuer: from its `jwks_uri`, or found by discovery (RFC 8414 §3, else OpenID Connect Discovery §4).
// Bounded in every direction (contract §2 "Issuer keys"): where to, how much, how long; redirects are not followed, TLS is
// always verified. Does not check: what the keys are.

import { Agent, request } from 'undici'
import type { IssuerSource } from '../config/config.js'
import { readJsonObject } from '../verify/json.js'
import type { JsonObject } from '../verify/types.js'
import { guardedLookup, readFetchUrl } from './addresses.js'

/** All that one answer may hold (bytes), and all the time that discovery and keys may take together (milliseconds). */
const MOST_BYTES = 1024 * 1024
const LONGEST_MS = 5000

/** The JWK set of an issuer as JSON. Rejects with an error whose message says what is wrong, without anything of the answer. */
export async function fetchKeySet(source: IssuerSource, stop: AbortSignal): Promise<JsonObject> {
  const { keys, ca } = source
  if (keys.from === 'file') throw new Error(`${keys.path} is read, not fetched`)
  // Not AbortSignal.any over AbortSignal.timeout: Node may collect a timer signal that nothing else refers to, and then no one gives up.
  const bound = new AbortController()
  const timer = setTimeout(() => bound.abort(new DOMException('too late', 'TimeoutError')), LONGEST_MS)
  const stopped = (): void => bound.abort(stop.reason)
  stop.addEventListener('abort', stopped)
  if (stop.aborted) stopped()
  try {
    const fetching: Fetching = { ca, signal: bound.signal }
    const uri = keys.from === 'uri' ? keys.uri : await discover(source.issuer, fetching)
    const set = await fetchObject(uri, fetching)
    if (typeof set === 'string') throw new Error(`${uri} ${set}`)
    return set
  } finally {
    clearTimeout(timer)
    stop.removeEventListener('abort', stopped)
  }
}

export type Fetching = { readonly ca: string | null; readonly signal: AbortSignal }

/** Where an issuer's metadata may be, RFC 8414 §3.1 first: there the well-known part stands between host and path. */
export function metadataUrls(issuer: string): readonly string[] {
  const base = issuer.replace(/\/$/, '')
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  return [`${origin}/.well-known/oauth-authorization-server${path}`, `${base}/.well-known/openid-configuration`]
}

async function discover(issuer: string, fetching: Fetching): Promise<string> {
  const { jwks_uri } = await discoverMetadata(issuer, fetching)
  if (typeof jwks_uri !== 'string') throw new Error(`the metadata of ${issuer} has no jwks_uri`)
  return jwks_uri
}

/** The metadata of an issuer, from where it may be; rejects as `fetchKeySet` does. */
export async function discoverMetadata(issuer: string, fetching: Fetching): Promise<JsonObject> {
  const problems: string[] = []
  for (const url of metadataUrls(issuer)) {
    const metadata = await fetchObject(url, fetching)
    if (typeof metadata === 'string') {
      problems.push(`${url} ${metadata}`)
      continue
    }
    // RFC 8414 §3.3: identical, or the metadata MUST NOT be used: another issuer's keys must never speak for this one.
    if (metadata.issuer !== issuer) throw new Error(`${url} is the metadata of another issuer`)
    return metadata
  }
  throw new Error(problems.join('; '))
}

/** One JSON object; a sentence when what answered is none; rejects when nothing answered. */
async function fetchObject(text: string, { ca, signal }: Fetching): Promise<JsonObject | string> {
  const url = readFetchUrl(text)
  if (typeof url === 'string') throw new Error(`${text} ${url}`)
  const agent = new Agent({
    connect: {
      lookup: guardedLookup(url.protocol),
      rejectUnauthorized: true,
      timeout: LONGEST_MS,
      ...(ca === null ? {} : { ca }),
    },
    maxResponseSize: MOST_BYTES,
  })
  try {
    // Compressed answers are refused, not unpacked: what unpacks to more than it weighs has no place here.
    const headers = { accept: 'application/jwk-set+json, application/json', 'accept-encoding': 'identity' }
    const answer = await request(url, { dispatcher: agent, signal, headers })
    if (answer.statusCode >= 300 && answer.statusCode < 400) return `answered ${answer.statusCode}: redirects are not followed`
    if (answer.statusCode !== 200) return `answered ${answer.statusCode}`
    const encoding = answer.headers['content-encoding'] ?? 'identity'
    if (encoding !== 'identity') return 'answered compressed, although identity was asked for'
    return readJsonObject(new Uint8Array(await answer.body.arrayBuffer())) ?? 'is not one JSON object'
  } catch (error) {
    throw new Error(`${text} could not be fetched: ${describe(error)}`)
  } finally {
    // Not awaited: the answer is here, and a peer that won't hang up must not hold us.
    void agent.destroy()
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error'
  if (error.name === 'TimeoutError') return `no answer within ${LONGEST_MS / 1000} s`
  const code = 'code' in error && typeof error.code === 'string' ? error.code : null
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return `the answer is larger than ${MOST_BYTES} bytes`
  return code === null || error.message.includes(code) ? error.message : `${error.message} (${code})`
}
