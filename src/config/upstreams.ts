// The upstreams, resolved: a base path that can be put before any other, certificates that are read, headers that may be passed or set.

import { isPassable, reservedBlock } from '../verify/reserved-headers.js'
import { readTarget } from '../verify/target.js'
import type { Upstream } from '../verify/types.js'
import { readCertificateFile, readPair } from './files.js'
import type { Loading } from './loading.js'
import type { UpstreamInput } from './schema.js'
import { keyOf, type Located, type Place, under } from './source.js'

type Entries = ReadonlyMap<string, Located<UpstreamInput> | null>

/** Every upstream by its name; null for one that is wrong, and that was reported. `assertionHeader` is ours alone. */
export function resolveUpstreams(
  entries: Entries,
  assertionHeader: string,
  loading: Loading,
): ReadonlyMap<string, Upstream | null> {
  const resolved = new Map<string, Upstream | null>()
  for (const [name, entry] of entries) {
    resolved.set(name, entry === null ? null : resolve(name, entry, loading))
    if (entry !== null) judgeHeaders(entry, assertionHeader, loading)
  }
  return resolved
}

function resolve(name: string, { value, place }: Located<UpstreamInput>, loading: Loading): Upstream {
  const { audience, tls: _, pass_headers, ...rest } = value
  const url = new URL(value.url)
  const basePath = /^https?:\/\/[^/?]*([^?]*)/.exec(value.url)?.[1] ?? ''
  if (value.url.includes('?') || readTarget(basePath || '/', url.origin)?.path !== (basePath || '/'))
    loading.findings.problem(
      under(place, 'url'),
      'expected a base path in normal form and no query, such as https://host:8443/base',
    )
  if (value.tls !== undefined && url.protocol === 'http:')
    loading.findings.problem(under(place, 'tls'), 'is read with an https `url` only: say https, or leave it out')
  return {
    ...rest,
    name,
    url,
    audience: audience ?? name,
    tls: readTls(value.tls ?? {}, under(place, 'tls'), loading),
    pass_headers: pass_headers.map((header) => header.toLowerCase()),
  }
}

/** A private CA and a pair of our own, each where it is given. */
export function readTls(
  { ca, cert, key }: { ca?: string | undefined; cert?: string | undefined; key?: string | undefined },
  place: Place,
  loading: Loading,
): Upstream['tls'] {
  // Not readCaFile: a pinned self-signed certificate is a trust anchor as well.
  const trusted = ca === undefined ? null : readCertificateFile({ value: ca, place: under(place, 'ca') }, loading)
  if ((cert === undefined) !== (key === undefined))
    loading.findings.problem(
      under(place, cert === undefined ? 'key' : 'cert'),
      '`cert` and `key` belong together: give both, or none',
    )
  const pair = cert === undefined || key === undefined ? null : readPair({ cert, key }, place, loading)
  return { ...(trusted === null ? {} : { ca: trusted }), ...(pair ?? {}) }
}

/** What each hop or the gateway itself writes. */
const WRITTEN_BY_US = [
  'host',
  'content-length',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'via',
  'x-request-id',
  'traceparent',
  'x-fapi-interaction-id',
]

/** Is the header one that only this connection or the gateway may write? */
export const isOurs = (header: string): boolean => WRITTEN_BY_US.includes(header.toLowerCase()) || reservedBlock(header) === 'hop'

function judgeHeaders({ value, place }: Located<UpstreamInput>, assertionHeader: string, { findings }: Loading): void {
  for (const [i, header] of value.pass_headers.entries()) {
    if (!isPassable(header))
      findings.problem(
        under(place, 'pass_headers', i),
        'may not be passed, or is never removed: only names of the last two groups of docs/removed-headers.md may stand here',
      )
  }
  for (const [header, text] of Object.entries(value.set_headers)) {
    const isAssertion = header.toLowerCase() === assertionHeader.toLowerCase()
    if (isAssertion || isOurs(header) || (value.client_cert && header.toLowerCase() === 'client-cert'))
      findings.problem(keyOf(under(place, 'set_headers'), header), 'the gateway itself writes this header: choose another name')
    const sentence = judgeSource(text)
    if (sentence !== null) findings.problem(under(place, 'set_headers', header), sentence)
  }
}

function judgeSource(text: string): string | null {
  if (text === 'token.') return 'expected token.NAME, the name of a claim'
  return /^(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?$/.test(text)
    ? null
    : 'a header holds visible ASCII only, without spaces around'
}
