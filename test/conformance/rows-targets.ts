// How the target that a proof names is compared: RFC 9449 §4.3 (9), RFC 3986 §6.2 (HTU).
import { denies, of } from './cite.js'
import type { Row } from './row.js'

const table = of('test/verify/denials.test.ts')
const grants = of('test/journeys/grants.test.ts')
const proofs = of('test/conformance/proofs.test.ts')
const resource = of('test/conformance/resource.test.ts')
const target = of('test/verify/target.test.ts')

export const TARGET_ROWS: readonly Row[] = [
  {
    id: 'HTU-01',
    requirement: 'Scheme and host have no case.',
    spec: 'RFC 3986 §6.2.2.1',
    read: 'RFC 3986 §6.2.2.1',
    tests: [...grants('grants scheme and host in capitals'), ...target('htu: equal after normalisation')],
  },
  {
    id: 'HTU-02',
    requirement: 'The default port, an empty port and no port are equal, in `htu` and in Host.',
    spec: 'RFC 3986 §6.2.3',
    read: 'RFC 3986 §6.2.3',
    tests: grants('grants the default port', 'grants an empty port', 'Host with its default port, and in capitals'),
  },
  {
    id: 'HTU-03',
    requirement: 'The digits of an escape have no case.',
    spec: 'RFC 3986 §6.2.2.1',
    read: 'RFC 3986 §6.2.2.1',
    tests: grants('grants an escape in small letters', 'grants an escape in small letters in the target'),
  },
  {
    id: 'HTU-04',
    requirement: 'An escaped unreserved character is that character.',
    spec: 'RFC 3986 §6.2.2.2',
    read: 'RFC 3986 §6.2.2.2',
    tests: grants('grants a letter escaped', 'grants a letter escaped in the target', 'grants a tilde escaped'),
  },
  {
    id: 'HTU-05',
    requirement: 'Reserved characters stay escaped: `%2F` is no `/`, and a request that has it in its path is refused.',
    spec: 'RFC 3986 §6.2.2.2; decision: contract §4 (`target_malformed`)',
    read: 'RFC 3986 §6.2.2.2',
    tests: [
      ...table('denies target_malformed: an encoded slash'),
      ...target('htu: other resources, and sloppy forms that a browser would repair'),
    ],
  },
  {
    id: 'HTU-06',
    requirement: 'An empty path is `/`.',
    spec: 'RFC 3986 §6.2.3',
    read: 'RFC 3986 §6.2.3',
    tests: grants('grants no path, for the root', 'grants a slash, for the root'),
  },
  {
    id: 'HTU-07',
    requirement: 'Dot segments of `htu` are removed before comparing; a request that has them is refused.',
    spec: 'RFC 3986 §6.2.2.3; decision: contract §4 (`target_malformed`)',
    read: 'RFC 3986 §6.2.2.3',
    tests: [
      ...grants('grants dot segments that lead to the target'),
      ...table(...denies('target_malformed', 'dot segments', 'encoded dot segments')),
    ],
  },
  {
    id: 'HTU-08',
    requirement:
      'What a browser would repair (backslashes, missing slashes, white space, other spellings of an address) is not equal.',
    spec: 'decision: contract §4 (Host); RFC 3986 §6.2.2 and §6.2.3 and nothing more',
    read: 'RFC 3986 §6.2.2, §6.2.3',
    tests: [
      ...target(
        'htu: other resources, and sloppy forms that a browser would repair',
        'what is no origin is refused, not repaired',
      ),
      ...table('denies proof_target: backslashes'),
    ],
  },
  {
    id: 'HTU-09',
    requirement: '`htu` with userinfo, of another scheme, without authority, or relative is refused.',
    spec: 'RFC 9449 §4.2; decision: contract §4 (`proof_target`)',
    read: 'RFC 9449 §4.2',
    tests: [
      ...table(...denies('proof_target', 'a user', 'a relative reference', 'plain http')),
      ...target('htu: other resources, and sloppy forms that a browser would repair'),
    ],
  },
  {
    id: 'HTU-10',
    requirement: '`htu` is compared with the configured origin and the path as received, never with what a header claims.',
    spec: 'RFC 9700 §4.13; contract §2 (`public_origins`)',
    tests: [
      ...proofs(
        'denies proof_target: htu of the host in X-Forwarded-Host',
        'denies proof_target: htu of the path in X-Original-URL',
      ),
      ...grants('grants a foreign X-Forwarded-Host and -Proto beside it'),
    ],
  },
  {
    id: 'HTU-11',
    requirement: 'The path that counts is the one the client sees, before any rewriting.',
    spec: 'decision: contract §4 (Host), §6 (`htu`)',
    tests: resource('denies proof_target: the path behind the gateway, though it is where the request ends up'),
  },
  {
    id: 'HTU-12',
    requirement:
      'A target in absolute form is served when its origin is Host’s, and refused otherwise (stricter than the RFC, where it wins).',
    spec: 'RFC 9112 §3.2.2; decision: contract §4 (`request_malformed`)',
    tests: [...grants('a target in absolute form'), ...resource('denies an absolute target of another origin than Host has')],
  },
  {
    id: 'HTU-13',
    requirement: 'In HTTP/2 the target is of `:scheme`, `:authority` and `:path`, and a Host that differs is refused.',
    spec: 'RFC 9113 §8.3.1',
    not: 'HTTP/2 is not served at the edge: ALPN offers `http/1.1` alone (contract §11).',
  },
]
