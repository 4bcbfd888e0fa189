// HTTP-30 to HTTP-43, the headers that a client could spoof (SPF), and problem documents (PD).
import { denies, of } from './cite.js'
import type { Row } from './row.js'

const table = of('test/verify/denials.test.ts')
const target = of('test/verify/target.test.ts')
const smuggling = of('test/journeys/smuggling.test.ts')
const hostile = of('test/journeys/hostile-upstream.test.ts')
const slow = of('test/journeys/slow-clients.test.ts')
const headers = of('test/upstream/headers.test.ts')
const reserved = of('test/verify/reserved-headers.test.ts')
const names = of('test/conformance/headers.test.ts')
const http = of('test/conformance/http.test.ts')
const challenge = of('test/verify/challenge.test.ts')

const NO_HTTP2 = 'HTTP/2 is not offered: a handshake that asks for it alone fails.'
const refusal = (reason: string, status: number) => `denies ${reason}: status ${status}, the form of RFC 9457, nothing private`

const GATEWAY: readonly Row[] = [
  {
    id: 'HTTP-30',
    requirement: 'Over HTTP/2 a field of one connection makes a request malformed.',
    spec: 'RFC 9113 §8.2.2',
    not: NO_HTTP2,
  },
  {
    id: 'HTTP-31',
    requirement: 'Over HTTP/2 names and values that HTTP/1.1 could not hold make a request malformed.',
    spec: 'RFC 9113 §8.2.1, §8.3',
    not: NO_HTTP2,
  },
  {
    id: 'HTTP-32',
    requirement: 'Over HTTP/2 a length that is not that of the data makes a request malformed.',
    spec: 'RFC 9113 §8.1.1',
    not: NO_HTTP2,
  },
  {
    id: 'HTTP-33',
    requirement: 'A path that an upstream could read in a second way is refused with 400; every other reaches it byte for byte.',
    spec: 'decision: contract §2, §4 `target_malformed`',
    tests: [
      ...target('refuses a path that an upstream could read in a second way'),
      ...table(...denies('target_malformed', 'encoded dot segments', 'an encoded slash')),
      ...of('test/upstream/path.test.ts')('without prefixes the target goes on byte for byte'),
    ],
  },
  {
    id: 'HTTP-34',
    requirement: 'A method that a route does not list is refused, and no header puts another in its place.',
    spec: 'decision: contract §2, §6',
    tests: [
      ...table('denies method_not_allowed: DELETE'),
      ...of('test/conformance/proofs.test.ts')('grants a method override that nobody follows'),
      ...of('test/edge/framing.test.ts')('what breaks framing is refused and nothing behind it is served'),
    ],
  },
  {
    id: 'HTTP-35',
    requirement: 'Header lines, targets, bodies and the time that a client takes are bounded: 431, 414, 413, 408.',
    spec: 'RFC 6585 §5; RFC 9110 §15.5.9, §15.5.14, §15.5.15; decision: contract §2 `limits`',
    read: 'RFC 6585 §5',
    tests: [
      ...table('denies headers_too_large: 101 lines', 'denies target_too_long: a target of 9 KiB'),
      ...table('denies body_too_large: more than the tier takes'),
      ...slow('drops a client that sends its head byte by byte', 'drops a client that stops within its body'),
    ],
  },
  {
    id: 'HTTP-36',
    requirement: 'Forwarded has one element, ours: the real peer, quoted where it is IPv6, and the Host that was served.',
    spec: 'RFC 7239 §4, §6',
    read: 'RFC 7239 §4, §6',
    tests: headers('HTTP-36, HTTP-37: the real peer and the Host that was served'),
  },
  {
    id: 'HTTP-37',
    requirement: 'X-Forwarded-For holds the real peer alone, never behind what a client sent.',
    spec: 'RFC 9700 §4.13',
    tests: headers('HTTP-36, HTTP-37: the real peer and the Host that was served'),
  },
  {
    id: 'HTTP-38',
    requirement:
      'Over a shared connection to the upstream no client’s bytes become part of another’s request, nor an answer another’s.',
    spec: 'RFC 9112 §11.2',
    tests: [
      ...smuggling(
        'two clients at once over one upstream connection keep their answers apart',
        'denies request_timeout: what comes after the pause is no request',
        'grants a request in a body with a length, in a GET',
      ),
      ...hostile('drops an answer that comes late, while another client waits, behind a HEAD'),
    ],
  },
  {
    id: 'HTTP-39',
    requirement: 'Cookies reach an upstream only where it lists them, several lines as one.',
    spec: 'RFC 6265 §5.4; decision: contract §6',
    tests: headers(
      'pass_headers: the listed spelling only, cookies in one line',
      'cookies pass where they are passed inwards, challenges with the token',
    ),
  },
  {
    id: 'HTTP-40',
    requirement:
      'As a gateway, not a proxy, it takes Authorization as its own, and passes it on only where the upstream is to have it.',
    spec: 'RFC 9110 §3.7, §11.6.2; decision: contract §6',
    tests: headers('Authorization and DPoP pass with pass_token alone'),
  },
  {
    id: 'HTTP-41',
    requirement: 'Interim answers of an upstream are not passed on and end nothing; too many, or a 100 or 101 unasked, are 502.',
    spec: 'RFC 9110 §15.2; decision: contract §6',
    read: 'RFC 9110 §15.2',
    tests: [
      ...of('test/upstream/forward.test.ts')('does not pass interim answers on'),
      ...hostile(
        'a 100 that the upstream sends unasked is not the client’s, who gets ours',
        'denies upstream_invalid: a hundred thousand hints',
      ),
    ],
  },
  {
    id: 'HTTP-42',
    requirement: 'The gateway compresses nothing, and ranges and conditions are between client and upstream.',
    spec: 'decision: contract §11',
    tests: http('answers are not touched: not compressed, not unpacked, not cut'),
  },
  {
    id: 'HTTP-43',
    requirement: 'HEAD is judged as GET is, and a preflight is refused with 405 without `cors`.',
    spec: 'decision: contract §2, §11',
    tests: http(
      'HEAD is judged as GET is, and its answers have no body',
      'denies method_not_allowed: a preflight, and no answer speaks of CORS',
    ),
  },
]

const SPOOFED: readonly Row[] = [
  {
    id: 'SPF-00',
    requirement: 'On high tiers only listed request headers are forwarded.',
    spec: 'RFC 9110 §5.1',
    not: 'Headers are removed by a list of names, on every tier alike; contract §6 promises that all others pass.',
  },
  {
    id: 'SPF-01',
    requirement: 'A name that only the gateway or a proxy may set is absent, or there with the gateway’s value alone.',
    spec: 'RFC 9700 §4.13; RFC 9440 §2.4; decision: contract §6',
    tests: [
      ...names('drops every reserved name in every spelling, twice, on a proof'),
      ...reserved('every name, in every case, with `_` and `.` for `-`'),
    ],
  },
  {
    id: 'SPF-02',
    requirement: 'Names are matched without case, and `_`, `.` and `-` are one.',
    spec: 'decision: contract §6',
    tests: [...names('drops every reserved name in every spelling, twice, on a proof'), ...reserved('folds a name as CGI does')],
  },
  {
    id: 'SPF-03',
    requirement: 'Families of names are matched by prefix, so that a new member is removed too.',
    spec: 'decision: contract §6',
    tests: reserved('every prefix, with whatever comes behind it'),
  },
  {
    id: 'SPF-04',
    requirement: 'Duplicates, lists and empty values are removed, before and behind other headers.',
    spec: 'decision: contract §6',
    tests: [
      ...names('drops every reserved name in every spelling, twice, on a proof'),
      ...headers('SPF-01 to SPF-04: no reserved name passes, in any spelling, however often'),
    ],
  },
  {
    id: 'SPF-05',
    requirement: 'The same holds for names in trailers, in Connection and in WebSocket handshakes.',
    spec: 'decision: contract §6',
    tests: names(
      'drops trailers, on a proof',
      'drops what Connection names, but nothing of ours, on a proof',
      'drops every reserved name of a WebSocket handshake',
    ),
  },
  {
    id: 'SPF-06',
    requirement: 'An upstream cannot say such names to a client, in a plain answer or in that to a handshake.',
    spec: 'decision: contract §6',
    tests: [
      ...hostile('drops names that the upstream may not say, in every spelling'),
      ...names('drops every name that is not the upstream’s to say, of the answer to a handshake too'),
    ],
  },
  {
    id: 'SPF-07',
    requirement: 'A copy of the assertion’s header from outside is removed wherever it comes, and refused requests reflect none.',
    spec: 'decision: contract §6',
    tests: [
      ...headers('SPF-07: no inbound copy of the assertion header, whatever it is called'),
      ...names(
        'drops every reserved name in every spelling, twice, on a public route',
        'a refused request says nothing of them, to the upstream or to the client',
      ),
    ],
  },
  {
    id: 'SPF-08',
    requirement: 'Public routes remove the same names.',
    spec: 'decision: contract §6',
    tests: names(
      'drops every reserved name in every spelling, twice, on a public route',
      'drops what Connection names, but nothing of ours, on a public route',
      'drops trailers, on a public route',
    ),
  },
]

const PROBLEMS: readonly Row[] = [
  {
    id: 'PD-01',
    requirement:
      'Every refusal is `application/problem+json` with `type`, `title` and `status`, and with `reason` and `request_id`.',
    spec: 'RFC 9457 §3.1; decision: contract §4',
    tests: [
      ...challenge('every reason: the form of RFC 9457, and nothing private'),
      ...http(refusal('route_unknown', 404), refusal('headers_too_large', 431), refusal('upstream_invalid', 502)),
    ],
  },
  {
    id: 'PD-02',
    requirement: '`status` is the status of the answer.',
    spec: 'RFC 9457 §3.1.2',
    tests: http(refusal('token_expired', 401), refusal('scope_missing', 403), refusal('host_unknown', 421)),
  },
  {
    id: 'PD-03',
    requirement: '`type` is an absolute URI, one for each reason.',
    spec: 'RFC 9457 §3.1.1; decision: contract §4',
    tests: challenge('every reason: the form of RFC 9457, and nothing private'),
  },
  {
    id: 'PD-04',
    requirement: 'The extension members are `reason` and `request_id`, and no others.',
    spec: 'RFC 9457 §3.2; decision: contract §4',
    tests: challenge('every reason: the form of RFC 9457, and nothing private'),
  },
  {
    id: 'PD-05',
    requirement: 'Nothing of the inside, of the upstream or of the request stands in a problem document.',
    spec: 'RFC 9457 §5',
    tests: [
      ...http(refusal('credentials_in_query', 400), refusal('upstream_invalid', 502)),
      ...of('test/edge/enforce.test.ts')('denies gateway_fault: what throws is reported, and the client gets a bare 500'),
    ],
  },
  {
    id: 'PD-06',
    requirement: 'The OAuth error stands in WWW-Authenticate alone, so no second word can differ from it.',
    spec: 'decision: contract §4',
    tests: [
      ...http(refusal('token_expired', 401), refusal('nonce_missing', 401)),
      ...challenge('the error stands in the challenge of the scheme that was used'),
    ],
  },
  {
    id: 'PD-07',
    requirement: 'A refusal is a problem document whatever Accept says.',
    spec: 'RFC 9457 §3; RFC 9110 §12.5.1',
    tests: http(refusal('credentials_missing', 401), refusal('route_unknown', 404)),
  },
  {
    id: 'PD-08',
    requirement: 'Endpoints of an authorization server answer errors as RFC 6749 §5.2 has it.',
    spec: 'RFC 9126 §2.3',
    not: 'There is no such endpoint: nothing of the gateway stands before an authorization server.',
  },
  {
    id: 'PD-09',
    requirement: 'A refused HEAD has no body, and the length that GET would have.',
    spec: 'RFC 9110 §9.3.2',
    read: 'RFC 9110 §9.3.2',
    tests: http('HEAD is judged as GET is, and its answers have no body'),
  },
  {
    id: 'PD-10',
    requirement: 'A problem document of the upstream is passed on as it is.',
    spec: 'decision: contract §11',
    tests: http('a problem document of the upstream is passed on as it is'),
  },
]

export const GATEWAY_ROWS: readonly Row[] = [...GATEWAY, ...SPOOFED, ...PROBLEMS]
