// What RFC 9449 §4 demands of a proof (DPOP).
import { denies, of } from './cite.js'
import type { Row } from './row.js'

const table = of('test/verify/denials.test.ts')
const grants = of('test/journeys/grants.test.ts')
const proofs = of('test/conformance/proofs.test.ts')
const vectors = of('test/verify/vectors.test.ts')

export const PROOF_ROWS: readonly Row[] = [
  {
    id: 'DPOP-01',
    requirement: 'More than one `DPoP` header line makes the proof invalid, an empty second one too.',
    spec: 'RFC 9449 §4.3 (1)',
    read: 'RFC 9449 §4.3',
    tests: table(...denies('proof_repeated', 'two headers', 'one of two headers is empty')),
  },
  {
    id: 'DPOP-02',
    requirement: 'Two proofs in one line are refused as two lines are, and so is a comma: the value is one token68.',
    spec: 'RFC 9449 §4.1, §4.3 (1)',
    read: 'RFC 9449 §4.1, §4.3',
    tests: table('denies proof_repeated: two proofs in one header', 'denies proof_malformed: a trailing comma'),
  },
  {
    id: 'DPOP-03',
    requirement: 'The name of the header has no case.',
    spec: 'RFC 9449 §4.1',
    read: 'RFC 9449 §4.1',
    tests: grants('grants header names in any case'),
  },
  {
    id: 'DPOP-04',
    requirement: 'The value is one well-formed JWT in compact form: three parts of base64url, without padding or white space.',
    spec: 'RFC 9449 §4.3 (2)',
    read: 'RFC 9449 §4.3',
    tests: [
      ...table(
        ...denies('proof_malformed', 'two parts', 'four parts', 'JSON serialisation', 'padding', 'a space inside', 'empty'),
      ),
      ...proofs(...denies('proof_malformed', 'five parts, a JWE', 'a character outside base64url')),
    ],
  },
  {
    id: 'DPOP-05',
    requirement: '`typ`, `alg`, `jwk`, `jti`, `htm`, `htu`, `iat` and, at a resource, `ath` are all there.',
    spec: 'RFC 9449 §4.2, §4.3 (3)',
    read: 'RFC 9449 §4.2, §4.3',
    tests: table(
      'denies proof_type: no typ',
      'denies proof_algorithm: no alg',
      'denies proof_malformed: no jwk',
      ...denies('proof_claim', 'jti missing', 'htm missing', 'htu missing', 'iat missing', 'ath missing'),
    ),
  },
  {
    id: 'DPOP-06',
    requirement:
      'Each is of its type: `jti`, `htm`, `htu` and `ath` text, `iat` a finite number, `jwk` an object, the payload too.',
    spec: 'RFC 9449 §4.2; RFC 7519 §2, §4.1.6, §4.1.7',
    read: 'RFC 9449 §4.2; RFC 7519 §2, §4.1.6, §4.1.7',
    tests: [
      ...table(...denies('proof_claim', 'iat is "1700000000"', 'iat is null', 'jti is ["x"]', 'jti is ""', 'htm is {}')),
      ...proofs('denies proof_claim: iat is 1e400', ...denies('proof_malformed', 'jwk is a string', 'the payload is null')),
    ],
  },
  {
    id: 'DPOP-07',
    requirement: '`typ` is `dpop+jwt`, in this spelling alone.',
    spec: 'RFC 9449 §4.3 (4), §11.5; decision: contract §4 (C16)',
    read: 'RFC 9449 §4.3, §11.5',
    tests: [
      ...table(...denies('proof_type', 'typ JWT', 'a longer typ', 'typ in capitals')),
      ...proofs(...denies('proof_type', 'typ at+jwt', 'typ application/dpop+jwt')),
    ],
  },
  {
    id: 'DPOP-08',
    requirement: '`alg` is one of the tier’s asymmetric algorithms: never `none`, never a MAC, never one that is not listed.',
    spec: 'RFC 9449 §4.2, §4.3 (5), §11.6',
    read: 'RFC 9449 §4.2, §4.3, §11.6',
    tests: [
      ...table(...denies('proof_algorithm', 'none', 'NONE', 'RS256', 'ES256K', 'alg is true')),
      ...proofs(...denies('proof_algorithm', 'HS256 keyed with the public key', 'nOnE', 'alg is a number')),
      ...proofs('denies proof_malformed: none with an empty signature'),
    ],
  },
  {
    id: 'DPOP-09',
    requirement:
      'The key fits `alg`: type, curve and point; RSA of 2048 to 4096 bits with exponent 65537, others before they cost anything.',
    spec: 'RFC 8725 §3.1, §3.4; FAPI 2.0 §5.4.1; decision: docs/decisions.md',
    tests: [
      ...table(...denies('proof_malformed', 'a P-384 key for ES256', 'an Ed448 key for EdDSA', 'an RSA key of 1024 bits')),
      ...table('denies proof_malformed: a point that is not on the curve'),
      ...proofs(
        ...denies('proof_malformed', 'an X25519 key for EdDSA', 'an RSA key with exponent 1', 'an RSA key of 16384 bits'),
      ),
    ],
  },
  {
    id: 'DPOP-10',
    requirement: '`EdDSA` is Ed25519, and its name `Ed25519` is taken as well.',
    spec: 'RFC 9864; FAPI 2.0 §5.4.1',
    tests: grants('grants a proof with EdDSA', 'grants a proof with Ed25519 (RFC 9864)'),
  },
  {
    id: 'DPOP-11',
    requirement: 'The signature verifies with the `jwk` of the header, and no other key is looked for or fetched.',
    spec: 'RFC 9449 §4.3 (6)',
    read: 'RFC 9449 §4.3',
    tests: [
      ...table(...denies('proof_signature', 'a flipped bit', 'signed by another key than its own')),
      ...proofs('denies proof_signature: a key that the proof points to, which nobody fetches'),
    ],
  },
  {
    id: 'DPOP-12',
    requirement: 'An ES256 signature is 64 octets, r and s; the DER form fails.',
    spec: 'RFC 7518 §3.4',
    read: 'RFC 7518 §3.4',
    tests: table('denies proof_signature: DER instead of r|s'),
  },
  {
    id: 'DPOP-13',
    requirement: '`jwk` has no private or symmetric member, whatever its value; an empty one is refused too, which is stricter.',
    spec: 'RFC 9449 §4.2, §4.3 (7)',
    read: 'RFC 9449 §4.2, §4.3',
    tests: [
      ...table(
        ...['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'].map(
          (name) => `denies proof_private_key: jwk with ${name}, though empty`,
        ),
      ),
      ...table('denies proof_private_key: a symmetric key'),
      ...proofs('denies proof_private_key: a symmetric member in an RSA key'),
    ],
  },
  {
    id: 'DPOP-14',
    requirement: 'Where `jwk` says what it is for (`use`, `key_ops`, `alg`), it is for verifying with this algorithm.',
    spec: 'RFC 7517 §4.2, §4.3, §4.4; decision: refused where the text only describes',
    read: 'RFC 7517 §4.2, §4.3, §4.4',
    tests: table(...denies('proof_malformed', 'a key for encryption', 'a key for signing only', 'a key for another algorithm')),
  },
  {
    id: 'DPOP-15',
    requirement:
      '`crit` and `b64` are refused: no extension is understood here. That holds for an empty `crit` and one that names known members.',
    spec: 'RFC 7515 §4.1.11; decision: contract §4 (`token_malformed`)',
    read: 'RFC 7515 §4.1.11',
    tests: [
      ...table(...denies('proof_malformed', 'crit', 'b64 false')),
      ...proofs('denies proof_malformed: crit that names exp'),
    ],
  },
  {
    id: 'DPOP-16',
    requirement: 'Unknown members of header and payload are ignored.',
    spec: 'RFC 9449 §4.2; RFC 7519 §4',
    read: 'RFC 9449 §4.2; RFC 7519 §4',
    tests: grants('grants unknown members in header and claims'),
  },
  {
    id: 'DPOP-17',
    requirement: '`htm` is the method of the request, case and all, whatever a header says the method should have been.',
    spec: 'RFC 9449 §4.3 (8)',
    read: 'RFC 9449 §4.3',
    tests: [
      ...table(...denies('proof_method', 'another method', 'lower case')),
      ...proofs('denies proof_method: htm of X-HTTP-Method-Override', 'grants a method override that nobody follows'),
      ...grants('HEAD on a route for GET, with htm HEAD'),
    ],
  },
  {
    id: 'DPOP-18',
    requirement: '`htu` is compared without query and fragment, on both sides.',
    spec: 'RFC 9449 §4.3 (9)',
    read: 'RFC 9449 §4.3',
    tests: grants('grants a query and a fragment, which do not count', 'grants no query where the target has one'),
  },
  {
    id: 'DPOP-19',
    requirement: '`htu` with another scheme, host, port or path is refused; case and a trailing slash of the path count.',
    spec: 'RFC 9449 §4.3 (9)',
    read: 'RFC 9449 §4.3',
    tests: table(
      ...denies(
        'proof_target',
        'another path',
        'another host',
        'plain http',
        'another port',
        'path in other case',
        'a trailing slash',
      ),
    ),
  },
  {
    id: 'DPOP-20',
    requirement: 'Where a nonce is demanded, the proof has a recent one of ours (see NON).',
    spec: 'RFC 9449 §4.3 (10)',
    read: 'RFC 9449 §4.3',
    tests: table('denies nonce_missing: no nonce where one is demanded', 'denies nonce_stale: a nonce of someone else'),
  },
  {
    id: 'DPOP-21',
    requirement: 'The proof was made within a window, by its `iat` or by the nonce (see JTI-12 to JTI-15, NON-13).',
    spec: 'RFC 9449 §4.3 (11), §11.1',
    read: 'RFC 9449 §4.3, §11.1',
    tests: table('denies proof_too_old: a minute and a second old', 'denies proof_in_future: a quarter of a minute ahead'),
  },
  {
    id: 'DPOP-22',
    requirement: '`ath` is the base64url SHA-256 of the token as presented, and of nothing else.',
    spec: 'RFC 9449 §4.2, §4.3 (12), §7',
    read: 'RFC 9449 §4.2, §4.3, §7',
    tests: [
      ...vectors('RFC 9449 §7.1: the hash of the example token'),
      ...table('denies proof_token: the hash of another token', 'denies proof_claim: ath missing'),
      ...proofs(
        ...denies('proof_token', 'ath with padding', 'ath in base64', 'ath in hex', 'ath cut short', 'ath of scheme and token'),
      ),
    ],
  },
  {
    id: 'DPOP-23',
    requirement: 'The proof’s key is the one the token is bound to; if not, the answer is `invalid_token`, as in figure 16.',
    spec: 'RFC 9449 §4.3 (12), §6, §7.1; decision: contract §4 (C1)',
    read: 'RFC 9449 §4.3, §6, §7.1',
    tests: table('denies proof_key: a stranger’s proof for a stolen token'),
  },
  {
    id: 'DPOP-24',
    requirement:
      'The thumbprint is of the required members alone, in lexical order, whatever else the key has and in whatever order.',
    spec: 'RFC 7638 §3; RFC 9449 §6.1',
    read: 'RFC 7638 §3; RFC 9449 §6.1',
    tests: [
      ...vectors('RFC 9449 §6.1: the thumbprint of the example key', 'RFC 7638 §3.1: the example key'),
      ...proofs('grants members of jwk in another order, with kid, use and x5c'),
      ...grants('grants further public members in the key'),
    ],
  },
  {
    id: 'DPOP-25',
    requirement: 'A member named twice, in header, payload or key, is refused (the texts allow the last to win instead).',
    spec: 'RFC 7515 §4; RFC 7519 §4',
    read: 'RFC 7515 §4; RFC 7519 §4',
    tests: [
      ...table('denies proof_malformed: htm twice'),
      ...proofs(...denies('proof_malformed', 'alg twice', 'jwk twice', 'a member twice within jwk')),
      ...of('test/verify/parsing.test.ts')('refuses a member that is named twice'),
    ],
  },
  {
    id: 'DPOP-26',
    requirement: 'Names that JavaScript objects inherit (`__proto__`, `constructor`) mean nothing in header, payload and key.',
    spec: 'decision: no text speaks of it',
    tests: proofs(
      'grants names that JavaScript objects inherit',
      'denies proof_claim: htm is only inherited',
      'denies proof_malformed: jwk is of the type __proto__',
    ),
  },
  {
    id: 'DPOP-27',
    requirement: 'A proof over the size limit is refused before any cryptography, one beyond the limit of all headers with 431.',
    spec: 'RFC 9449 §11.1; decision: contract §2 (`limits`)',
    read: 'RFC 9449 §11.1',
    tests: [
      ...table('denies proof_malformed: over the size limit'),
      ...proofs(
        'denies headers_too_large: a proof of 60 KiB costs no cryptography',
        'denies proof_malformed: an RSA key of 16384 bits',
      ),
    ],
  },
  {
    id: 'DPOP-28',
    requirement: 'The `jti` is recorded when all else has passed: a refused proof, with a bad token too, does not burn it.',
    spec: 'RFC 9449 §4.3; decision: contract §4 (order)',
    read: 'RFC 9449 §4.3',
    tests: proofs('a refused proof does not burn its jti, whatever was wrong'),
  },
  {
    id: 'DPOP-29',
    requirement: '`exp` and `nbf` in a proof keep their JWT meaning.',
    spec: 'RFC 7519 §4.1.4, §4.1.5; decision: contract §3 (time)',
    read: 'RFC 7519 §4.1.4, §4.1.5',
    tests: [
      ...grants('grants a proof with exp ahead and nbf past'),
      ...table('denies proof_too_old: its own exp is past', 'denies proof_in_future: nbf ahead'),
    ],
  },
  {
    id: 'DPOP-30',
    requirement:
      'Nothing of a proof or token is told or logged: `error_description` is a fixed sentence in the characters it may have.',
    spec: 'RFC 6750 §3',
    read: 'RFC 6750 §3',
    tests: [
      ...proofs('nothing of a proof or token comes back, in no header and no body'),
      ...of('test/audit/event.test.ts')('no token, proof or key material in any event'),
      ...of('test/verify/challenge.test.ts')('every reason: the form of RFC 9457, and nothing private'),
    ],
  },
]
