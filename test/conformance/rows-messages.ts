// HTTP-01 to HTTP-29: where a message begins and ends, whom it is for, and what belongs to one connection alone (RFC 9112, RFC 9110).
import { denies, of } from './cite.js'
import type { Row } from './row.js'

const table = of('test/verify/denials.test.ts')
const smuggling = of('test/journeys/smuggling.test.ts')
const hostile = of('test/journeys/hostile-upstream.test.ts')
const grants = of('test/journeys/grants.test.ts')
const headers = of('test/upstream/headers.test.ts')
const names = of('test/conformance/headers.test.ts')
const http = of('test/conformance/http.test.ts')
const edge = of('test/edge/server.test.ts')
const framing = of('test/edge/framing.test.ts')('what breaks framing is refused and nothing behind it is served')

const proven = (...whys: readonly string[]) =>
  smuggling(...denies('request_malformed', ...whys.map((why) => `${why}, behind a proof`)))

export const MESSAGE_ROWS: readonly Row[] = [
  {
    id: 'HTTP-01',
    requirement: 'A request with Content-Length and Transfer-Encoding is refused with 400, and its connection closes.',
    spec: 'RFC 9112 §6.1, §6.3 (3); decision: contract §4 (C10)',
    tests: [...proven('CL.TE', 'TE.CL'), ...framing],
  },
  {
    id: 'HTTP-02',
    requirement: 'A Transfer-Encoding that is not `chunked` and nothing else, in one line, is refused with 400 and close.',
    spec: 'RFC 9112 §6.3 (4)',
    tests: [...proven('TE.TE, xchunked', 'TE.TE, chunked and something', 'TE.TE, a space in its name'), ...framing],
  },
  {
    id: 'HTTP-03',
    requirement: 'A coding that is not known is refused with 400, as any other that is not `chunked`.',
    spec: 'RFC 9112 §6.1; decision: contract §4 `request_malformed`',
    tests: [...proven('TE.TE, something and chunked'), ...framing],
  },
  {
    id: 'HTTP-04',
    requirement: 'A Content-Length that is repeated, a list, or anything but up to 15 digits is refused with 400 and close.',
    spec: 'RFC 9112 §6.3 (5)',
    tests: [...proven('CL.CL', 'CL.CL in a list', '0.CL, a length with a sign'), ...framing],
  },
  {
    id: 'HTTP-05',
    requirement: 'HTTP/1.0 with Transfer-Encoding is refused with 400 and close.',
    spec: 'RFC 9112 §6.1',
    tests: framing,
  },
  {
    id: 'HTTP-06',
    requirement: 'Whitespace between a name and its colon is refused with 400.',
    spec: 'RFC 9112 §5.1',
    tests: [...framing, ...proven('TE.TE, a tab in its name')],
  },
  {
    id: 'HTTP-07',
    requirement: 'A folded line is refused with 400.',
    spec: 'RFC 9112 §5.2',
    tests: [...framing, ...proven('TE.TE, folded', 'CL.CL, folded')],
  },
  {
    id: 'HTTP-08',
    requirement: 'Whitespace before the first header is refused with 400.',
    spec: 'RFC 9112 §2.2',
    tests: framing,
  },
  {
    id: 'HTTP-09',
    requirement: 'A carriage return or a line feed alone, and NUL, are refused with 400, in heads, chunks and trailers.',
    spec: 'RFC 9112 §2.2',
    tests: [
      ...framing,
      ...proven('the end of the head in line feeds', 'a chunk that ends in a line feed', 'a trailer with a line feed'),
    ],
  },
  {
    id: 'HTTP-10',
    requirement: 'A request without Host, or with two, or with one that is malformed, is refused with 400.',
    spec: 'RFC 9112 §3.2',
    tests: [...framing, ...http('denies request_malformed: a Host that is none')],
  },
  {
    id: 'HTTP-11',
    requirement: 'A target in absolute form is served where its origin is Host’s, and refused where it is not.',
    spec: 'RFC 9112 §3.2.2; decision: contract §4 `request_malformed`',
    tests: [
      ...grants('a target in absolute form'),
      ...of('test/conformance/resource.test.ts')('denies an absolute target of another origin than Host has'),
    ],
  },
  {
    id: 'HTTP-12',
    requirement: 'A Host that is not one of ours is refused with 421, and no other takes its place.',
    spec: 'RFC 9110 §7.4, §15.5.20',
    tests: table(...denies('host_unknown', 'another host', 'another port')),
  },
  {
    id: 'HTTP-13',
    requirement:
      'Chunk extensions go no further and are bounded, and a chunk size that is not hexadecimal digits and CRLF is refused.',
    spec: 'RFC 9112 §7.1, §7.1.1',
    tests: [
      ...smuggling('grants extensions, which go no further, in a POST'),
      ...proven('an extension of a mebibyte', 'a size with an underscore', 'a size with 0x', 'a size of 2 to the 64'),
    ],
  },
  {
    id: 'HTTP-14',
    requirement: 'Trailers are dropped in both directions, and one that frames is refused.',
    spec: 'RFC 9110 §6.5.1; RFC 9112 §7.1.2',
    tests: [...names('drops trailers, on a proof'), ...hostile('drops trailers'), ...proven('a length in a trailer')],
  },
  {
    id: 'HTTP-15',
    requirement: 'The fields that Connection names go no further, in requests and in answers, nor does Connection itself.',
    spec: 'RFC 9110 §7.6.1',
    read: 'RFC 9110 §7.6.1',
    tests: [
      ...headers('HTTP-15 to HTTP-18: Connection takes away the client’s headers, never ours'),
      ...names('drops what Connection names, but nothing of ours, on a proof'),
      ...hostile('drops what the upstream says of authentication, nonces, cookies and itself'),
    ],
  },
  {
    id: 'HTTP-16',
    requirement:
      'Connection cannot take away what the gateway adds, nor the length of the body: what it names goes first, ours come after.',
    spec: 'RFC 9110 §7.6.1; decision: contract §6',
    read: 'RFC 9110 §7.6.1',
    tests: [
      ...names('drops what Connection names, but nothing of ours, on a proof'),
      ...headers('ours replace the upstream’s, and no Connection takes them away'),
    ],
  },
  {
    id: 'HTTP-17',
    requirement:
      'Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade and their like go no further, named by Connection or not.',
    spec: 'RFC 9110 §7.6.1',
    read: 'RFC 9110 §7.6.1',
    tests: [
      ...names('drops every reserved name in every spelling, twice, on a proof'),
      ...headers('HTTP-15 to HTTP-18: Connection takes away the client’s headers, never ours'),
    ],
  },
  {
    id: 'HTTP-18',
    requirement: '`TE: trailers` is not forwarded.',
    spec: 'RFC 9110 §10.1.4',
    tests: headers('HTTP-15 to HTTP-18: Connection takes away the client’s headers, never ours'),
  },
  {
    id: 'HTTP-19',
    requirement: 'An Upgrade is ignored unless the route is for WebSockets, and nothing behind it passes before a 101.',
    spec: 'RFC 9110 §7.8; decision: contract §6',
    tests: smuggling(
      'drops what follows an Upgrade, whatever is upgraded to',
      'drops what follows a WebSocket handshake that the upstream does not take up',
      'denies request_malformed: an Upgrade to h2c with a body, behind a proof',
    ),
  },
  {
    id: 'HTTP-20',
    requirement: 'Every forwarded request has one Via, with our pseudonym; the client’s is dropped.',
    spec: 'RFC 9110 §7.6.3',
    tests: headers('HTTP-36, HTTP-37: the real peer and the Host that was served'),
  },
  {
    id: 'HTTP-21',
    requirement: 'A request that has passed this gateway before is recognised.',
    spec: 'RFC 9110 §7.6',
    not: 'A client’s Via is dropped unread, so a loop is not recognised.',
  },
  {
    id: 'HTTP-22',
    requirement: 'Max-Forwards of OPTIONS and TRACE is counted down.',
    spec: 'RFC 9110 §7.6.2',
    read: 'RFC 9110 §7.6.2',
    not: 'Max-Forwards is removed, not counted: TRACE is never served, and OPTIONS goes to the upstream of a route that lists it.',
  },
  {
    id: 'HTTP-23',
    requirement: 'TRACE and CONNECT are refused with 405, and nothing of them is reflected.',
    spec: 'RFC 9110 §9.3.6, §9.3.8; decision: contract §4',
    tests: [
      ...table('denies method_not_allowed: TRACE'),
      ...http('denies method_not_allowed: TRACE, CONNECT and OPTIONS go nowhere, and nothing is reflected'),
    ],
  },
  {
    id: 'HTTP-24',
    requirement: 'A request that expects 100-continue and is refused gets its refusal at once, without 100 and unread.',
    spec: 'RFC 9110 §10.1.1',
    tests: [
      ...edge('no 100 Continue and no body where the answer comes at once'),
      ...smuggling('drops what follows a request that expects 100-continue and is refused'),
    ],
  },
  {
    id: 'HTTP-25',
    requirement: 'Another expectation is refused with 417, and every expectation of HTTP/1.0 is ignored.',
    spec: 'RFC 9110 §10.1.1',
    tests: [
      ...smuggling('denies expectation_failed: expectations that one server knows and another does not'),
      ...table('denies expectation_failed: an expectation we do not know'),
      ...edge('100 Continue is sent when asked for, once, and not over HTTP/1.0'),
    ],
  },
  {
    id: 'HTTP-26',
    requirement: 'The unread body of a refused request is read away or its connection closed: it is never taken for a request.',
    spec: 'RFC 9110 §10.1.1; RFC 9112 §9.3',
    tests: smuggling(
      'grants the next one when an unread body has passed, and nothing within that body',
      'drops what follows an unread body that breaks',
      'drops what follows a refusal, where that closes',
    ),
  },
  {
    id: 'HTTP-27',
    requirement: 'An answer that breaks HTTP is answered with 502 and none of it is passed on; its connection is not used again.',
    spec: 'RFC 9112 §5.2, §6.3',
    tests: [
      ...of('test/upstream/forward.test.ts')('denies upstream_invalid: an answer that breaks HTTP'),
      ...hostile(...denies('upstream_invalid', 'a folded length', 'two equal lengths', 'a header split by a carriage return')),
    ],
  },
  {
    id: 'HTTP-28',
    requirement:
      'What an upstream may not say is dropped from its answer: hop-by-hop fields, those it names, and every name of ours or of a proxy’s.',
    spec: 'RFC 9110 §7.6.1; decision: contract §6',
    tests: [
      ...hostile(
        'drops names that the upstream may not say, in every spelling',
        'drops what the upstream says of authentication, nonces, cookies and itself',
      ),
      ...headers('HTTP-28, SPF-06: withholds what is not the client’s to see'),
    ],
  },
  {
    id: 'HTTP-29',
    requirement: 'A gateway does not forward to itself.',
    spec: 'RFC 9110 §7.6',
    not: 'An upstream whose URL is the gateway’s own is not recognised as such.',
  },
]
