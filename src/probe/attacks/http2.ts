// Fields that RFC 9113 calls malformed, or that two servers in a row can read in two ways once they are written as HTTP/1.1. What a
// server drops does no harm; so where it can be, what is wrong is wrong with the credentials, and a grant shows that it was read.
// Data of another length than content-length says could be left for someone else, and is not among them.

import type { Attack, Need, Outcome, Severity } from '../attack.js'
import type { Bench, RefusalOptions } from '../bench.js'
import type { Draft, Printed } from '../draft.js'
import type { Answer } from '../http1.js'
import { exchangeRawHttp2, fieldsOf } from '../http2.js'
import type { Field } from '../http2-frames.js'
import { anonymous, exchanged, withoutSecrets } from '../message.js'
import { show } from '../show.js'

type Request = { readonly fields: readonly Field[]; readonly data: Buffer | null }
type Change = (request: Request, draft: Draft) => Request
type Row = readonly [id: string, title: string, spec: string, change: Change, ...needs: readonly Need[]]

const anything = (): undefined => undefined

async function talk(
  bench: Bench,
  change: Change,
  prepare: (draft: Draft) => void,
): Promise<{ readonly sent: string; readonly answer: Answer }> {
  const draft = await bench.draft()
  prepare(draft)
  let sent = ''
  const { answer } = await exchanged(bench, draft, (printed) => {
    const request = change({ fields: fieldsOf(printed), data: printed.body }, draft)
    sent = shown(request, printed)
    return exchangeRawHttp2(bench.settings.route, draft.identity, request)
  })
  return { sent, answer }
}

/** A line for each field; token and proof in their own, where they are cut short, and nowhere else. */
function shown({ fields, data }: Request, printed: Printed): string {
  const safe = (name: string, text: string): string => {
    if (printed.lines.some(([own, whole]) => own.toLowerCase() === name && whole === text)) return text
    const cut = withoutSecrets(text, printed)
    return isCredential([name, text]) && cut.length > 40 ? `${cut.slice(0, 24)}... (${cut.length} characters)` : cut
  }
  const lines = fields.map(([name, text]) => [name, safe(name, text)] as const)
  const [, , ...rest] = show({ method: '', path: '', host: '', lines, body: data, identity: 'own' }).split('\n')
  return ['HTTP/2', ...rest].join('\n')
}

type Rules = RefusalOptions & {
  readonly severity: Severity
  readonly prepare?: (draft: Draft) => void
  /** granted: must be. unbroken: anything but a fault will do. Left out: refused. */
  readonly ends?: 'granted' | 'unbroken'
}

const http2 =
  ({ severity, prepare = anything, ends }: Rules) =>
  ([id, title, spec, change, ...needs]: Row): Attack => ({
    id: `http2-${id}`,
    topic: 'http2',
    title,
    spec,
    severity,
    expected: ends === 'unbroken' ? 'an answer or the end of the stream, and no fault' : (ends ?? 'refused'),
    needs: ['http/2', ...needs],
    run: async (bench): Promise<Outcome> => {
      const { sent, answer } = await talk(bench, change, prepare)
      const outcome = bench.refusal(sent, answer, { mayClose: ends !== 'granted' })
      if (ends === undefined) return outcome
      if (outcome.verdict === 'through') return { ...outcome, verdict: 'held' }
      return ends === 'granted' && outcome.verdict === 'held' ? { ...outcome, verdict: 'wrong' } : outcome
    },
  })

const ELSEWHERE = 'attacker.example'

const isCredential = ([name]: Field): boolean => name === 'authorization' || name === 'dpop'
const onFields =
  (change: (fields: readonly Field[], draft: Draft) => readonly Field[]): Change =>
  ({ fields, data }, draft) => ({ fields: change(fields, draft), data })
const extra = (...added: readonly Field[]): Change => onFields((fields) => [...fields, ...added])
/** Each field of this name becomes these. */
const each = (name: string, change: (field: Field, draft: Draft) => readonly Field[]): Change =>
  onFields((fields, draft) => fields.flatMap((field) => (field[0] === name ? change(field, draft) : [field])))
const value = (name: string, change: (value: string, draft: Draft) => string): Change =>
  each(name, ([, old], draft) => [[name, change(old, draft)]])
const named = (name: string, other: string): Change => each(name, ([, old]) => [[other, old]])
const pseudo = (name: string, other: string): Change => value(name, (_, { host }) => other.replace('#', host))
const without = (name: string): Change => each(name, () => [])
/** Twice; the second is another, or comes first. */
const twice = (name: string, other?: string, isFirst = false): Change =>
  each(name, (field) => {
    const second: Field = [name, other ?? field[1]]
    return isFirst ? [second, field] : [field, second]
  })
const halves = (name: string): Change =>
  each(name, ([, old]) => {
    const middle = Math.floor(old.length / 2)
    return [
      [name, old.slice(0, middle)],
      [name, old.slice(middle)],
    ]
  })
/** Credentials nowhere but behind this, in the value of another field. */
const behind = (end: string): Change =>
  onFields((fields) => [
    ...fields.filter((field) => !isCredential(field)),
    ['x-probe', ['a', ...fields.filter(isCredential).map(([name, text]) => `${name}: ${text}`)].join(end)],
  ])
/** Credentials nowhere but in the name of another field. */
const inName: Change = onFields((fields) => {
  const [first, ...rest] = fields.filter(isCredential)
  const others = fields.filter((field) => !isCredential(field))
  return first === undefined ? others : [...others, [`x-probe: a\r\n${first[0]}`, first[1]], ...rest]
})
const pseudoLast: Change = onFields((fields) => [
  ...fields.filter(([name]) => name !== ':path'),
  ...fields.filter(([name]) => name === ':path'),
])
const noData: Change = ({ fields }) => ({ fields: fields.filter(([name]) => name !== 'content-length'), data: null })
const length = (...values: readonly string[]): Change => {
  return (request, draft) => {
    const { fields } = noData(request, draft)
    return { fields: [...fields, ...values.map((one) => ['content-length', one] as const)], data: null }
  }
}

const proofForElsewhere = ({ proof }: Draft): void => {
  if (proof !== null) proof.claims.htu = String(proof.claims.htu).replace(/^https:\/\/[^/]+/, `https://${ELSEWHERE}`)
}
const proofForHttp = ({ proof }: Draft): void => {
  if (proof !== null) proof.claims.htu = String(proof.claims.htu).replace(/^https/, 'http')
}

const CONNECTION = 'RFC 9113 §8.2.2'
const FIELD = 'RFC 9113 §8.2.1'
const NAME = 'RFC 9113 §8.2'
const PSEUDO = 'RFC 9113 §8.3'
const REQUEST = 'RFC 9113 §8.3.1'
const MALFORMED = 'RFC 9113 §8.1.1'
const LIST = 'RFC 9110 §5.3'
const ONE_PROOF = 'RFC 9449 §4.3 (1)'
const METHOD = 'RFC 9449 §4.3 (8)'

const GRANTED: readonly Row[] = [
  ['right', 'the right request over HTTP/2', 'RFC 9113 §8.1', (request) => request],
  ['cookie-crumbs', 'two cookie fields, which are one', 'RFC 9113 §8.2.3', extra(['cookie', 'a=1'], ['cookie', 'b=2'])],
  ['te-trailers', 'te: trailers, which is allowed', CONNECTION, extra(['te', 'trailers'])],
  ['no-length', 'a body without content-length', MALFORMED, without('content-length'), 'body'],
]

const NO_CREDENTIALS: readonly Row[] = [
  ['none', 'no credentials over HTTP/2', 'RFC 6750 §3.1', (request) => request],
  [
    'none-path-absolute',
    'no credentials, :path is an absolute URL',
    REQUEST,
    value(':path', (path, { host }) => `https://${host}${path}`),
  ],
]

/** One check of several would be missing: whose credentials, and for what? */
const CREDENTIALS: readonly Row[] = [
  ['authorization-twice', 'authorization twice', LIST, twice('authorization')],
  ['authorization-first-wrong', 'a wrong authorization, then the right one', LIST, twice('authorization', 'Bearer x', true)],
  ['authorization-last-wrong', 'the right authorization, then a wrong one', LIST, twice('authorization', 'Bearer x')],
  ['authorization-halves', 'authorization in two halves, as cookies may be', LIST, halves('authorization')],
  ['dpop-twice', 'dpop twice', ONE_PROOF, twice('dpop'), 'dpop'],
  ['dpop-first-wrong', 'a wrong dpop, then the right one', ONE_PROOF, twice('dpop', 'x', true), 'dpop'],
  ['dpop-last-wrong', 'the right dpop, then a wrong one', ONE_PROOF, twice('dpop', 'x'), 'dpop'],
  ['dpop-halves', 'dpop in two halves, as cookies may be', ONE_PROOF, halves('dpop'), 'dpop'],
  ['value-crlf', 'credentials behind CR LF in a value', FIELD, behind('\r\n')],
  ['value-lf', 'credentials behind LF in a value', FIELD, behind('\n')],
  ['value-cr', 'credentials behind CR in a value', FIELD, behind('\r')],
  ['name-crlf', 'credentials behind CR LF in a name', FIELD, inName],
  ['path-crlf', ':path with a version, CR LF and a field', FIELD, value(':path', (path) => `${path} HTTP/1.1\r\nx-probe: a`)],
  [
    'method-crlf',
    ':method with a target, CR LF and a field',
    FIELD,
    value(':method', (method) => `${method} / HTTP/1.1\r\nx-probe: a`),
  ],
  ['path-twice', 'two :path, the first is another', REQUEST, twice(':path', '/probe', true)],
  ['path-twice-last', 'two :path, the last is another', REQUEST, twice(':path', '/probe')],
  ['method-twice', 'two :method, the last is another', REQUEST, twice(':method', 'PROBE'), 'dpop'],
  ['method-unknown', 'a method that nobody knows, a proof for another', METHOD, pseudo(':method', 'PROBE'), 'dpop'],
]

/** A proof for the host that must not decide. */
const FOR_ELSEWHERE: readonly Row[] = [
  ['host-other-proof', 'host is another than :authority, and a proof for it', REQUEST, extra(['host', ELSEWHERE]), 'dpop'],
  [
    'authority-twice-proof',
    'two :authority, and a proof for the last, which is another',
    REQUEST,
    twice(':authority', ELSEWHERE),
    'dpop',
  ],
  [
    'authority-other-proof',
    ':authority is another than host, and a proof for it',
    REQUEST,
    onFields((fields, { host }) => [...fields.map(otherAuthority), ['host', host]]),
    'dpop',
  ],
]
function otherAuthority([name, old]: Field): Field {
  return [name, name === ':authority' ? ELSEWHERE : old]
}

const FOR_HTTP: readonly Row[] = [
  ['scheme-http-proof', ':scheme is http, and a proof for it', 'RFC 9449 §4.3 (9)', pseudo(':scheme', 'http'), 'dpop'],
]

const MALFORMED_ROWS: readonly Row[] = [
  ['transfer-encoding', 'transfer-encoding: chunked', CONNECTION, extra(['transfer-encoding', 'chunked'])],
  ['upgrade', 'upgrade: h2c', CONNECTION, extra(['upgrade', 'h2c'])],
  ['name-upper', 'Authorization in upper case', NAME, named('authorization', 'AUTHORIZATION')],
  ['name-upper-dpop', 'DPoP in upper case', NAME, named('dpop', 'DPOP'), 'dpop'],
  ['name-space', 'authorization with a space behind its name', FIELD, named('authorization', 'authorization ')],
  ['name-colon', 'authorization with a colon behind its name', FIELD, named('authorization', 'authorization:')],
  ['value-nul', 'authorization with NUL behind its value', FIELD, value('authorization', (old) => `${old}\0`)],
  ['path-space', ':path with a space', REQUEST, value(':path', (path) => `${path} x`)],
  ['path-absolute', ':path is an absolute URL', REQUEST, value(':path', (path, { host }) => `https://${host}${path}`)],
  ['path-fragment', ':path with a fragment', REQUEST, value(':path', (path) => `${path}#x`)],
  ['path-no-slash', ':path without its slash', REQUEST, value(':path', (path) => path.slice(1))],
  ['path-empty', ':path is empty', REQUEST, pseudo(':path', '')],
  ['path-star', ':path is *', REQUEST, pseudo(':path', '*')],
  ['no-path', 'no :path', REQUEST, without(':path')],
  ['no-method', 'no :method', REQUEST, without(':method')],
  ['no-authority', 'neither :authority nor host', REQUEST, without(':authority')],
  ['path-same-twice', 'two equal :path', REQUEST, twice(':path')],
  ['authority-twice', 'two :authority, the last is another', REQUEST, twice(':authority', ELSEWHERE)],
  ['authority-twice-first', 'two :authority, the first is another', REQUEST, twice(':authority', ELSEWHERE, true)],
  ['authority-userinfo', ':authority with userinfo', REQUEST, pseudo(':authority', 'user@#')],
  ['authority-path', ':authority with a path', REQUEST, pseudo(':authority', '#/probe')],
  ['authority-as-userinfo', ':authority with ours as userinfo of another', REQUEST, pseudo(':authority', `#@${ELSEWHERE}`)],
  ['host-other', 'host is another than :authority', REQUEST, extra(['host', ELSEWHERE])],
  [
    'host-twice',
    'host twice, the last is another',
    REQUEST,
    onFields((fields, { host }) => [...fields, ['host', host], ['host', ELSEWHERE]]),
  ],
  ['pseudo-last', ':path behind the other fields', PSEUDO, pseudoLast],
  ['pseudo-unknown', 'a pseudo-header that nobody knows', PSEUDO, onFields((fields) => [[':probe', 'a'], ...fields])],
  ['pseudo-status', ':status in a request', PSEUDO, onFields((fields) => [[':status', '200'], ...fields])],
  ['pseudo-protocol', ':protocol without CONNECT', 'RFC 8441 §4', onFields((fields) => [[':protocol', 'websocket'], ...fields])],
  ['pseudo-space', 'a second :authority with a space behind its name', PSEUDO, extra([':authority ', ELSEWHERE])],
  ['scheme-http', ':scheme is http, and a proof for https', REQUEST, pseudo(':scheme', 'http')],
  ['scheme-url', ':scheme is a URL', REQUEST, pseudo(':scheme', `https://${ELSEWHERE}/?`)],
  ['scheme-twice', 'two :scheme, the last is http', REQUEST, twice(':scheme', 'http')],
  ['no-scheme', 'no :scheme', REQUEST, without(':scheme')],
  ['method-lower', ':method in lower case', 'RFC 9110 §9.1', value(':method', (method) => method.toLowerCase())],
  ['method-space', ':method with a target behind it', REQUEST, value(':method', (method) => `${method} /probe`)],
  ['method-connect', 'CONNECT with :scheme and :path', 'RFC 9113 §8.5', pseudo(':method', 'CONNECT')],
]

const UNTIDY: readonly Row[] = [
  ['connection', 'connection: close', CONNECTION, extra(['connection', 'close'])],
  ['connection-named', 'connection names another field', CONNECTION, extra(['connection', 'x-probe'], ['x-probe', 'a'])],
  ['keep-alive', 'keep-alive: timeout=5', CONNECTION, extra(['keep-alive', 'timeout=5'])],
  ['proxy-connection', 'proxy-connection: keep-alive', CONNECTION, extra(['proxy-connection', 'keep-alive'])],
  ['te-gzip', 'te: gzip', CONNECTION, extra(['te', 'gzip'])],
  ['value-space-first', 'authorization with a space before its value', FIELD, value('authorization', (old) => ` ${old}`)],
  ['value-space-last', 'authorization with a space behind its value', FIELD, value('authorization', (old) => `${old} `)],
  ['authority-other', ':authority is another, and a proof for ours', 'RFC 9110 §7.4', pseudo(':authority', ELSEWHERE)],
]

/** Read by its length or by its data, it ends at the same byte. */
const LENGTHS: readonly Row[] = [
  ['length-plus', 'content-length: +0, and no data', MALFORMED, length('+0')],
  ['length-hex', 'content-length: 0x0, and no data', MALFORMED, length('0x0')],
  ['length-empty', 'an empty content-length, and no data', MALFORMED, length('')],
  ['length-list', 'content-length: 0, 0, and no data', MALFORMED, length('0, 0')],
  ['length-twice', 'two equal content-length, and no data', MALFORMED, length('0', '0')],
]

const UNBROKEN: readonly Row[] = [
  ['long-field', 'a field of 64 KiB', 'RFC 6585 §5', extra(['x-probe', 'a'.repeat(65_536)])],
  [
    'many-fields',
    '1,000 fields',
    'RFC 6585 §5',
    extra(...Array.from({ length: 1000 }, (_, i) => [`x-probe-${i}`, 'a'] as const)),
  ],
]

export const HTTP2_ATTACKS: readonly Attack[] = [
  ...GRANTED.map(http2({ severity: 'low', ends: 'granted' })),
  ...NO_CREDENTIALS.map(http2({ severity: 'critical', prepare: anonymous })),
  ...CREDENTIALS.map(http2({ severity: 'high' })),
  ...FOR_ELSEWHERE.map(http2({ severity: 'high', prepare: proofForElsewhere })),
  ...FOR_HTTP.map(http2({ severity: 'medium', prepare: proofForHttp })),
  ...MALFORMED_ROWS.map(http2({ severity: 'medium' })),
  ...UNTIDY.map(http2({ severity: 'low' })),
  ...LENGTHS.map(http2({ severity: 'medium' })),
  ...UNBROKEN.map(http2({ severity: 'medium', ends: 'unbroken' })),
]
