// Where a request ends, and what its lines are (HTTP/1.1): bytes that two servers in a row can read in two ways. Only safe ones, on
// a connection of their own: whichever way it is read, a request ends at the same byte, so that nothing is left for anyone else.
// Two different lengths are therefore not among them.

import type { Attack } from '../attack.js'
import type { Draft } from '../draft.js'
import { type Change, framing, type Row } from '../message.js'
import { CONNECTION_ATTACKS } from './connection.js'

const chunkOf = (body: string): string => (body === '' ? '' : `${body.length.toString(16)}\r\n${body}\r\n`)

/** The body in chunks, and lines of which `#` is the length of all that: read by length or by chunks, it ends at the same byte. */
const both =
  (...lines: readonly string[]): Change =>
  (message) => {
    message.body = `${chunkOf(message.body)}0\r\n\r\n`
    message.framing = lines.map((line) => line.replace('#', String(message.body.length)))
  }
const coding = (line: string): Change => both('Content-Length: #', line)
const lengths =
  (...values: readonly string[]): Change =>
  (message) => {
    message.framing = values.map((value) => `Content-Length: ${value.replaceAll('#', String(message.body.length))}`)
  }
/** No body, whatever is made of its length. */
const zero =
  (value: string): Change =>
  (message) => {
    message.body = ''
    message.framing = [`Content-Length: ${value}`]
  }
/** What stands where the last chunk should. */
const last =
  (text: string): Change =>
  (message) => {
    message.body = `${chunkOf(message.body)}${text}`
    message.framing = ['Transfer-Encoding: chunked']
  }
const inLine =
  (name: string, change: (line: string) => string): Change =>
  (message) => {
    message.lines = message.lines.map((line) => (line.startsWith(`${name}:`) ? change(line) : line))
  }
const extra =
  (...added: readonly string[]): Change =>
  (message) => {
    message.lines.push(...added)
  }
const start =
  (change: (start: string) => string): Change =>
  (message) => {
    message.start = change(message.start)
  }
const version = (other: string): Change => start((line) => line.replace(/HTTP\/1\.1$/, other))
const method = (change: (method: string) => string): Change => start((line) => line.replace(/^\S+/, change))
const host =
  (...values: readonly string[]): Change =>
  (message, draft) => {
    message.lines.splice(0, 1, ...values.map((value) => `Host: ${value.replace('#', draft.host)}`))
  }
/** An absolute target; Host stays. */
const absolute =
  (origin: string): Change =>
  (message, draft) => {
    message.start = message.start.replace(' /', ` ${origin.replace('#', draft.host)}/`)
  }

/** Credentials nowhere but in what `wrap` makes of their lines. */
const credentials =
  (wrap: (lines: readonly string[]) => readonly string[], isFirst = false): Change =>
  (message) => {
    const isCredential = (line: string): boolean => /^(?:authorization|dpop):/i.test(line)
    const others = message.lines.filter((line) => !isCredential(line))
    const wrapped = wrap(message.lines.filter(isCredential))
    message.lines = isFirst ? [...wrapped, ...others] : [...others, ...wrapped]
  }
const inTrailers: Change = (message) => {
  const moved: string[] = []
  credentials((lines) => {
    moved.push(...lines)
    return []
  })(message, {} as Draft)
  last(`0\r\n${moved.join('\r\n')}\r\n\r\n`)(message, {} as Draft)
}

const spaced = (line: string): string => line.replace(':', ' :')
const folded = (line: string): string => line.replace(': ', ':\r\n ')
const indented = (line: string): string => ` ${line}`

const ELSEWHERE = 'attacker.example'
const proofForElsewhere = ({ proof }: Draft): void => {
  if (proof !== null) proof.claims.htu = String(proof.claims.htu).replace(/^https:\/\/[^/]+/, `https://${ELSEWHERE}`)
}

const BOTH = 'RFC 9112 §6.1'
const CODING = 'RFC 9112 §6.3 (4)'
const LENGTH = 'RFC 9112 §6.3 (5)'
const CHUNK = 'RFC 9112 §7.1'
const EXTENSION = 'RFC 9112 §7.1.1'
const LINE = 'RFC 9112 §2.2'
const COLON = 'RFC 9112 §5.1'
const FOLD = 'RFC 9112 §5.2'
const FIELD = 'RFC 9112 §5'
const VALUE = 'RFC 9110 §5.5'
const HOST = 'RFC 9112 §3.2'
const START = 'RFC 9112 §3'
const TARGET = 'RFC 9112 §3.2.2'
const VERSION = 'RFC 9110 §2.5'

const CHUNKED = 'Transfer-Encoding: chunked'

const CODINGS: readonly Row[] = [
  ['te-space', 'Transfer-Encoding with a space before its colon', COLON, coding('Transfer-Encoding : chunked')],
  ['te-tab', 'Transfer-Encoding with a tab before its colon', COLON, coding('Transfer-Encoding\t: chunked')],
  ['te-xchunked', 'Transfer-Encoding: xchunked', CODING, coding('Transfer-Encoding: xchunked')],
  ['te-gzip', 'Transfer-Encoding: gzip', CODING, coding('Transfer-Encoding: gzip')],
  ['te-identity', 'Transfer-Encoding: chunked, identity', CODING, coding(`${CHUNKED}, identity`)],
  ['te-vertical-tab', 'a vertical tab before chunked', CODING, coding('Transfer-Encoding: \x0bchunked')],
  ['te-nul', 'NUL behind chunked', CODING, coding(`${CHUNKED}\0`)],
  ['te-quoted', 'Transfer-Encoding: "chunked"', CODING, coding('Transfer-Encoding: "chunked"')],
  ['te-parameter', 'Transfer-Encoding: chunked;a=b', CHUNK, coding(`${CHUNKED};a=b`)],
  ['te-empty', 'an empty Transfer-Encoding', CODING, coding('Transfer-Encoding:')],
  ['te-twice', 'Transfer-Encoding: chunked, chunked', BOTH, coding(`${CHUNKED}, chunked`)],
  ['te-two-lines', 'two lines of Transfer-Encoding: chunked', BOTH, coding(`${CHUNKED}\r\n${CHUNKED}`)],
]

/** RFC 9112 §6.1: a server may go by the coding, and must close the connection then. */
const CLOSING: readonly Row[] = [
  ['cl-te', 'Content-Length, and Transfer-Encoding: chunked', BOTH, coding(CHUNKED)],
  ['te-cl', 'Transfer-Encoding: chunked, and Content-Length', BOTH, both(CHUNKED, 'Content-Length: #')],
  ['te-case', 'Content-Length, and Transfer-Encoding: ChunKed with a comma', BOTH, coding('Transfer-Encoding: ChunKed,')],
  ['te-folded', 'Content-Length, and a folded Transfer-Encoding', FOLD, coding(folded(CHUNKED))],
  [
    'te-http10',
    'Transfer-Encoding in HTTP/1.0',
    BOTH,
    (message, draft) => {
      coding(`${CHUNKED}\r\nConnection: keep-alive`)(message, draft)
      version('HTTP/1.0')(message, draft)
    },
  ],
]

const LENGTHS: readonly Row[] = [
  ['cl-plus', 'Content-Length: +0', LENGTH, zero('+0')],
  ['cl-minus', 'Content-Length: -0', LENGTH, zero('-0')],
  ['cl-hex', 'Content-Length: 0x0', LENGTH, zero('0x0')],
  ['cl-space', 'Content-Length: 0 0', LENGTH, zero('0 0')],
  ['cl-underscore', 'Content-Length: 0_0', LENGTH, zero('0_0')],
  ['cl-point', 'Content-Length: 0.0', LENGTH, zero('0.0')],
  ['cl-empty', 'an empty Content-Length', LENGTH, zero('')],
]

const CHUNKS: readonly Row[] = [
  ['chunk-underscore', 'a last chunk of size 0_0', CHUNK, last('0_0\r\n\r\n')],
  ['chunk-hex', 'a last chunk of size 0x0', CHUNK, last('0x0\r\n\r\n')],
  ['chunk-plus', 'a last chunk of size +0', CHUNK, last('+0\r\n\r\n')],
  ['chunk-minus', 'a last chunk of size -0', CHUNK, last('-0\r\n\r\n')],
  ['chunk-empty', 'a last chunk without size', CHUNK, last('\r\n\r\n')],
  ['chunk-overflow', 'a last chunk of size 2^64, which 64 bits count as 0', CHUNK, last('10000000000000000\r\n\r\n')],
  ['chunk-lf', 'a line feed alone behind the size of a chunk', CHUNK, last('0\n\r\n')],
  ['chunk-end-lf', 'a line feed alone behind the last chunk', CHUNK, last('0\r\n\n')],
  ['chunk-extension-lf', 'a line feed alone in a chunk extension', EXTENSION, last('0;a\nb\r\n\r\n')],
  ['chunk-extension-cr', 'a carriage return alone in a chunk extension', EXTENSION, last('0;a\rb\r\n\r\n')],
]

/** A grant shows that credentials were read where there are none, or a proof not compared with the method. */
const HIDDEN: readonly Row[] = [
  ['cr-credentials', 'credentials behind a carriage return alone', LINE, credentials((all) => [`X-Probe: a\r${all.join('\r')}`])],
  ['fold-credentials', 'credentials in folded lines', FOLD, credentials((all) => ['X-Probe: a', ...all.map(indented)])],
  ['first-space', 'credentials behind a space, before all other lines', LINE, credentials((all) => all.map(indented), true)],
  ['trailers', 'credentials in trailers', 'RFC 9110 §6.5.1', inTrailers],
  ['method-unknown', 'a method that nobody knows, a proof for another', 'RFC 9449 §4.3 (8)', method(() => 'PROBE'), 'dpop'],
]

/** A proof that is right for the name or origin that must not decide. */
const ELSEWHERE_HIDDEN: readonly Row[] = [
  ['two-hosts-last-proof', 'two Hosts, and a proof for the last, which is another', HOST, host('#', ELSEWHERE), 'dpop'],
  ['two-hosts-first-proof', 'two Hosts, and a proof for the first, which is another', HOST, host(ELSEWHERE, '#'), 'dpop'],
  ['absolute-other-proof', 'a target of another origin, and a proof for it', TARGET, absolute(`https://${ELSEWHERE}`), 'dpop'],
]

const LINES: readonly Row[] = [
  ['space-authorization', 'Authorization with a space before its colon', COLON, inLine('Authorization', spaced)],
  ['space-dpop', 'DPoP with a space before its colon', COLON, inLine('DPoP', spaced), 'dpop'],
  ['no-host', 'no Host', HOST, host()],
  ['two-hosts', 'two equal Hosts', HOST, host('#', '#')],
  ['two-hosts-last', 'two Hosts, the last is another', HOST, host('#', ELSEWHERE)],
  ['two-hosts-first', 'two Hosts, the first is another', HOST, host(ELSEWHERE, '#')],
  ['host-userinfo', 'Host with userinfo', HOST, host('user@#')],
  ['host-path', 'Host with a path', HOST, host('#/probe')],
  ['host-as-userinfo', 'Host with ours as userinfo of another', HOST, host(`#@${ELSEWHERE}`)],
  ['absolute-userinfo', 'an absolute target with userinfo', 'RFC 9110 §4.2.4', absolute('https://user@#')],
  ['absolute-http', 'an absolute target with http', TARGET, absolute('http://#')],
  ['absolute-other', 'an absolute target of another origin, and a proof for ours', TARGET, absolute(`https://${ELSEWHERE}`)],
  ['method-lower', 'the method in lower case', 'RFC 9110 §9.1', method((name) => name.toLowerCase())],
]

/** What RFC 9112 lets a server mend; a gateway had better not, because who stands behind it may mend it otherwise. */
const MENDED: readonly Row[] = [
  ['cl-twice', 'two equal lines of Content-Length, which a server may take for one', LENGTH, lengths('#', '#')],
  ['cl-list', 'a list of equal lengths, which a server may take for one', LENGTH, lengths('#, #')],
  ['cl-zeros', 'a length twice, once with a zero in front, which may be taken for one', LENGTH, lengths('#', '0#')],
  ['fold-authorization', 'a folded Authorization, which a server may unfold', FOLD, inLine('Authorization', folded)],
  ['fold-dpop', 'a folded DPoP, which a server may unfold', FOLD, inLine('DPoP', folded), 'dpop'],
  ['fold-other', 'a folded line of another name, which a server may unfold', FOLD, extra('X-Probe: a\r\n b')],
  ['lf', 'line feeds alone, which a server may take for line ends', LINE, ends('\n')],
  ['lf-credentials', 'credentials behind line feeds alone, which may be line ends', LINE, credentials(behindLineFeeds)],
  ['cr', 'a carriage return alone in a value, which a server may replace', LINE, extra('X-Probe: a\rb')],
  ['nul', 'NUL in a value, which a server may replace', VALUE, extra('X-Probe: a\0b')],
  ['nul-authorization', 'NUL behind the token, which may be replaced', VALUE, inLine('Authorization', (line) => `${line}\0`)],
  ['start-tab', 'a tab in the request line, which may be taken for a space', START, start((line) => line.replace(' ', '\t'))],
  ['line-no-colon', 'a line without colon', FIELD, extra('probe')],
  ['line-no-name', 'a line without name', FIELD, extra(': probe')],
  ['host-other', 'another Host, which a server of one name may not look at', 'RFC 9110 §7.4', host(ELSEWHERE)],
  ['expect', 'Expect: probe, which a server may ignore', 'RFC 9110 §10.1.1', extra('Expect: probe')],
  ['http12', 'HTTP/1.2, which a server may take for 1.1', VERSION, version('HTTP/1.2')],
  ['http20', 'HTTP/2.0 in the request line', VERSION, version('HTTP/2.0')],
  ['http99', 'HTTP/9.9 in the request line', VERSION, version('HTTP/9.9')],
]

function ends(eol: string): Change {
  return (message) => {
    message.eol = eol
  }
}
function behindLineFeeds(lines: readonly string[]): readonly string[] {
  return [`X-Probe: a\n${lines.join('\n')}`]
}

const UNBROKEN: readonly Row[] = [
  ['long-line', 'a line of 64 KiB', 'RFC 6585 §5', extra(`X-Probe: ${'a'.repeat(65_536)}`)],
  ['many-lines', '1,000 lines', 'RFC 6585 §5', extra(...Array.from({ length: 1000 }, (_, i) => `X-Probe-${i}: a`))],
  ['chunk-extension-long', 'a chunk extension of 4 KiB', EXTENSION, last(`0;${'a'.repeat(4096)}\r\n\r\n`)],
]

export const FRAMING_ATTACKS: readonly Attack[] = [
  ...CODINGS.map(framing({ severity: 'high' })),
  ...CLOSING.map(framing({ severity: 'medium', ends: 'closing' })),
  ...LENGTHS.map(framing({ severity: 'medium', isEmpty: true })),
  ...CHUNKS.map(framing({ severity: 'medium', isOfBody: true })),
  ...HIDDEN.map(framing({ severity: 'high' })),
  ...ELSEWHERE_HIDDEN.map(framing({ severity: 'high', prepare: proofForElsewhere })),
  ...LINES.map(framing({ severity: 'medium' })),
  ...MENDED.map(framing({ severity: 'low' })),
  ...UNBROKEN.map(framing({ severity: 'medium', ends: 'unbroken' })),
  ...CONNECTION_ATTACKS,
]
