// THE negative table: one change to a request that is granted, one reason. For every row: the unchanged request is granted, the
// changed one is refused with exactly this reason, the status and challenge are the table's, no detail is told, nothing was
// recorded as used, no key was kept, and the upstream was not called. Reasons that need a broken connection, store, disk or upstream have
// their rows in test/journeys and test/edge; reasons.test.ts finds a reason that has none.
import t, { type Test } from 'tap'
import { type Reason, reasonRow } from '../../src/verify/reasons.js'
import { readCaches } from '../support/caches.js'
import { clientKey, type Draft, issuerKey, makeDraft, rebind, signProof } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { base64url, makeKey, sha256, signJwt, thumbprint } from '../support/jwt.js'
import { type Lab, startLab } from '../support/lab.js'
import { type Entry, revoke } from '../support/revocations.js'

type Row = {
  readonly reason: Reason
  readonly why: string
  readonly change: (draft: Draft) => void
  /** Which route; the default demands a bound token and two scopes. */
  readonly path?: string
  readonly method?: string
  /** Which client certificate the connection presents. */
  readonly certificate?: 'client' | 'other' | 'expired' | 'untrusted'
  /** A row about the one-time use of proofs: the unchanged request spends it. */
  readonly spends?: true
}

const other = makeKey('ES256')
const rsa1024 = makeKey('RSA-1024')
const p384 = makeKey('P-384')
const ed448 = makeKey('Ed448')
const revokedKey = makeKey('ES256')
const lazy = (draft: Draft) => {
  if (draft.proof === null) throw new Error('the draft has a proof')
  return draft.proof
}
const withProof = (change: (proof: NonNullable<Draft['proof']>, draft: Draft) => void) => (draft: Draft) =>
  change(lazy(draft), draft)
const claim = (name: string, value: unknown) =>
  withProof((proof) => {
    if (value === undefined) delete proof.claims[name]
    else proof.claims[name] = value
  })
const header = (name: string, value: unknown) =>
  withProof((proof) => {
    if (value === undefined) delete proof.header[name]
    else proof.header[name] = value
  })
const tokenClaim = (name: string, value: unknown) => (draft: Draft) => {
  if (value === undefined) delete draft.token.claims[name]
  else draft.token.claims[name] = value
}
const tokenHeader = (name: string, value: unknown) => (draft: Draft) => {
  if (value === undefined) delete draft.token.header[name]
  else draft.token.header[name] = value
}
const part = (index: number, change: (part: string) => string) => (jwt: string) => {
  const parts = jwt.split('.')
  parts[index] = change(parts[index] ?? '')
  return parts.join('.')
}
const flipBit = part(2, (signature) => {
  const bytes = Buffer.from(signature, 'base64url')
  bytes[10] = (bytes[10] ?? 0) ^ 1
  return bytes.toString('base64url')
})
const spareBits = (index: number) =>
  part(index, (text) => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    return text.slice(0, -1) + alphabet[alphabet.indexOf(text.slice(-1)) | 1]
  })
/** Revoked before the first row, each of its kind. */
const REVOKED: readonly Entry[] = [
  ['token', 'revoked-token'],
  ['session', 'revoked-session'],
  ['subject', 'revoked-user'],
  ['client', 'revoked-client'],
  ['jkt', thumbprint(revokedKey.jwk)],
  ['subject', 'user-of-before', { issued_before: Date.now() / 1000 + 3600 }],
]
const pad = (index: number) => part(index, (text) => `${text}=`)

/** `client-1` sends what is granted. */
const CLIENTS = `
  - { client_id: client-1, issuer: https://as.example.com, status: testing, highest_tier: high_value, tenants: [tenant-1],
      audiences: [https://api.example.com], scopes: [case.read, case.write, payments], token_endpoint_auth_method: private_key_jwt,
      require_pushed_authorization_requests: on, require_signed_request_object: on }
  - { client_id: client-2, issuer: https://as.example.com, status: testing, highest_tier: high_value, tenants: [tenant-2],
      token_endpoint_auth_method: tls_client_auth }
  - { client_id: suspended, issuer: https://as.example.com, status: suspended }
`

const ROWS: readonly Row[] = [
  // Credentials
  {
    reason: 'credentials_missing',
    why: 'no Authorization',
    change: (r) => (r.credentials = ({ dpop }) => [['DPoP', dpop ?? '']]),
  },
  {
    reason: 'credentials_missing',
    why: 'scheme Basic',
    change: (r) => (r.credentials = () => [['Authorization', 'Basic dXNlcjpwYXNz']]),
  },
  {
    reason: 'credentials_missing',
    why: 'scheme Negotiate',
    change: (r) => (r.credentials = () => [['Authorization', 'Negotiate abc']]),
  },
  {
    reason: 'credentials_missing',
    why: 'token in Proxy-Authorization',
    change: (r) =>
      (r.credentials = ({ authorization, dpop }) => [
        ['Proxy-Authorization', authorization],
        ['DPoP', dpop ?? ''],
      ]),
  },
  {
    reason: 'credentials_repeated',
    why: 'Bearer behind DPoP',
    change: (r) =>
      (r.credentials = ({ authorization, dpop }) => [
        ['Authorization', authorization],
        ['Authorization', 'Bearer abc'],
        ['DPoP', dpop ?? ''],
      ]),
  },
  {
    reason: 'credentials_repeated',
    why: 'the same line twice',
    change: (r) =>
      (r.credentials = ({ authorization, dpop }) => [
        ['Authorization', authorization],
        ['Authorization', authorization],
        ['DPoP', dpop ?? ''],
      ]),
  },
  {
    reason: 'credentials_malformed',
    why: 'scheme without token',
    change: (r) => (r.credentials = () => [['Authorization', 'DPoP']]),
  },
  {
    reason: 'credentials_malformed',
    why: 'a token without scheme',
    change: (r) => (r.credentials = ({ authorization }) => [['Authorization', authorization.slice(5)]]),
  },
  { reason: 'credentials_malformed', why: 'empty Authorization', change: (r) => (r.credentials = () => [['Authorization', '']]) },
  { reason: 'credentials_malformed', why: 'two tokens', change: (r) => (r.spoilToken = (token) => `${token} ${token}`) },
  { reason: 'credentials_malformed', why: 'quotes', change: (r) => (r.spoilToken = (token) => `"${token}"`) },
  { reason: 'credentials_malformed', why: 'a tab before the token', change: (r) => (r.scheme = 'DPoP\t') },
  { reason: 'credentials_malformed', why: 'over the size limit', change: (r) => (r.spoilToken = () => 'a'.repeat(9000)) },
  { reason: 'credentials_in_query', why: 'token in the query as well', change: (r) => (r.target += '?access_token=abc') },
  { reason: 'credentials_in_query', why: 'escaped', change: (r) => (r.target += '?a=1&acc%65ss%5Ftoken=abc') },

  // Access token
  {
    reason: 'token_malformed',
    why: 'two parts',
    change: (r) => (r.spoilToken = (token) => token.split('.').slice(0, 2).join('.')),
  },
  { reason: 'token_malformed', why: 'no signature', change: (r) => (r.spoilToken = part(2, () => '')) },
  { reason: 'token_malformed', why: 'five parts, a JWE', change: (r) => (r.spoilToken = (token) => `${token}.a.b`) },
  { reason: 'token_malformed', why: 'spare bits in the signature', change: (r) => (r.spoilToken = spareBits(2)) },
  { reason: 'token_malformed', why: 'padding', change: (r) => (r.spoilToken = pad(2)) },
  { reason: 'token_malformed', why: 'payload is a list', change: (r) => (r.spoilToken = part(1, () => base64url('[]'))) },
  {
    reason: 'token_malformed',
    why: 'payload is not UTF-8',
    change: (r) => (r.spoilToken = part(1, () => Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url'))),
  },
  { reason: 'token_malformed', why: 'an opaque token', change: (r) => (r.spoilToken = () => 'abcdefghijkl') },
  {
    reason: 'token_malformed',
    why: 'a member twice',
    change: (r) =>
      (r.spoilToken = () =>
        signJwt(
          r.token.header,
          JSON.stringify(r.token.claims).replace('{', '{"iss":"https://as.example.com",'),
          issuerKey.privateKey,
        )),
  },
  {
    reason: 'token_malformed',
    why: 'a member twice, deep inside and escaped',
    change: (r) =>
      (r.spoilToken = () =>
        signJwt(
          r.token.header,
          JSON.stringify(r.token.claims).replace('{"jkt"', '{"jk\\u0074":"x","jkt"'),
          issuerKey.privateKey,
        )),
  },
  { reason: 'token_malformed', why: 'crit', change: tokenHeader('crit', ['exp']) },
  { reason: 'token_malformed', why: 'b64', change: tokenHeader('b64', true) },
  { reason: 'token_issuer', why: 'a foreign issuer', change: tokenClaim('iss', 'https://evil.example.com') },
  { reason: 'token_issuer', why: 'a trailing slash', change: tokenClaim('iss', 'https://as.example.com/') },
  { reason: 'token_issuer', why: 'no issuer', change: tokenClaim('iss', undefined) },
  {
    reason: 'token_issuer',
    why: 'an issuer that this route does not trust',
    change: tokenClaim('iss', 'https://as2.example.com'),
  },
  { reason: 'token_type', why: 'typ JWT', change: tokenHeader('typ', 'JWT') },
  { reason: 'token_type', why: 'no typ', change: tokenHeader('typ', undefined) },
  { reason: 'token_type', why: 'a proof', change: tokenHeader('typ', 'dpop+jwt') },
  { reason: 'token_type', why: 'our own assertion', change: tokenHeader('typ', 'holdfast+jwt') },
  { reason: 'token_algorithm', why: 'none', change: tokenHeader('alg', 'none') },
  { reason: 'token_algorithm', why: 'noNE', change: tokenHeader('alg', 'noNE') },
  { reason: 'token_algorithm', why: 'HS256 keyed with the public key', change: tokenHeader('alg', 'HS256') },
  { reason: 'token_algorithm', why: 'RS256 on a tier that has not listed it', change: tokenHeader('alg', 'RS256') },
  { reason: 'token_algorithm', why: 'alg is a number', change: tokenHeader('alg', 1) },
  { reason: 'token_signature', why: 'a flipped bit', change: (r) => (r.spoilToken = flipBit) },
  { reason: 'token_signature', why: 'another key with the issuer’s kid', change: (r) => (r.token.key = other) },
  {
    reason: 'token_signature',
    why: 'a key that the token brings itself',
    change: (r) => {
      r.token.key = other
      r.token.header.jwk = other.jwk
    },
  },
  { reason: 'token_signature', why: 'an unknown kid', change: tokenHeader('kid', '../../etc/passwd') },
  { reason: 'token_signature', why: 'kid is an object', change: tokenHeader('kid', { a: 1 }) },
  ...['exp', 'iat', 'aud', 'sub', 'client_id', 'jti'].map(
    (name): Row => ({ reason: 'token_claim', why: `${name} missing`, change: tokenClaim(name, undefined) }),
  ),
  { reason: 'token_claim', why: 'exp is a string', change: (r) => tokenClaim('exp', String(r.now + 60))(r) },
  {
    reason: 'token_claim',
    why: 'exp before iat',
    change: (r) => {
      r.token.claims.iat = r.now
      r.token.claims.exp = r.now - 1
    },
  },
  { reason: 'token_claim', why: 'scope is a number', change: tokenClaim('scope', 1) },
  { reason: 'token_claim', why: 'nbf is a string', change: tokenClaim('nbf', 'now') },
  { reason: 'token_audience', why: 'another audience', change: tokenClaim('aud', 'https://other.example.com') },
  { reason: 'token_audience', why: 'a prefix of ours', change: tokenClaim('aud', ['https://api.example.co']) },
  { reason: 'token_claim', why: 'aud is an empty list', change: tokenClaim('aud', []) },
  {
    reason: 'token_expired',
    why: 'expired a second ago',
    change: (r) => {
      r.token.claims.iat = r.now - 100
      r.token.claims.exp = r.now - 1
    },
  },
  { reason: 'token_not_yet_valid', why: 'nbf a minute ahead', change: (r) => tokenClaim('nbf', r.now + 61)(r) },
  {
    reason: 'token_not_yet_valid',
    why: 'iat a minute ahead',
    change: (r) => {
      r.token.claims.iat = r.now + 61
      r.token.claims.exp = r.now + 90
    },
  },

  // Binding
  { reason: 'binding_unsupported', why: 'cnf is empty', change: tokenClaim('cnf', {}) },
  { reason: 'binding_unsupported', why: 'cnf is null', change: tokenClaim('cnf', null) },
  { reason: 'binding_unsupported', why: 'cnf is a string', change: tokenClaim('cnf', 'jkt') },
  {
    reason: 'binding_unsupported',
    why: 'an unknown member beside ours',
    change: tokenClaim('cnf', { jkt: clientKey.jkt, kid: 'x' }),
  },
  {
    reason: 'binding_unsupported',
    why: "Keycloak's word for another kind of jkt",
    change: tokenClaim('cnf', { jkt: clientKey.jkt, 'kc-jkt-type': 'other' }),
  },
  { reason: 'binding_unsupported', why: "Keycloak's word alone", change: tokenClaim('cnf', { 'kc-jkt-type': 'DPoP' }) },
  { reason: 'binding_unsupported', why: 'jkt is too short', change: tokenClaim('cnf', { jkt: clientKey.jkt.slice(1) }) },
  { reason: 'binding_unsupported', why: 'jkt#S384', change: tokenClaim('cnf', { 'jkt#S384': clientKey.jkt }) },
  { reason: 'scheme_downgraded', why: 'a bound token as Bearer, with its proof', change: (r) => (r.scheme = 'Bearer') },
  {
    reason: 'scheme_downgraded',
    why: 'a bound token as Bearer, alone',
    change: (r) => {
      r.scheme = 'Bearer'
      r.proof = null
    },
  },
  { reason: 'scheme_mismatch', why: 'an unbound token as DPoP', change: tokenClaim('cnf', undefined) },
  { reason: 'scheme_mismatch', why: 'a certificate-bound token as DPoP', change: tokenClaim('cnf', { 'x5t#S256': sha256('x') }) },
  {
    reason: 'token_unbound',
    why: 'an unbound token',
    change: (r) => {
      r.scheme = 'Bearer'
      r.proof = null
      delete r.token.claims.cnf
    },
  },
  {
    reason: 'binding_insufficient',
    why: 'DPoP where mtls is demanded',
    path: '/mtls',
    certificate: 'client',
    change: () => undefined,
  },
  {
    reason: 'certificate_missing',
    why: 'bound to a certificate as well, none presented',
    change: (r) => (r.token.claims.cnf = { jkt: clientKey.jkt, 'x5t#S256': sha256('x') }),
  },
  {
    reason: 'certificate_mismatch',
    why: 'bound to another certificate',
    certificate: 'other',
    change: (r) => (r.token.claims.cnf = { jkt: clientKey.jkt, 'x5t#S256': sha256('x') }),
  },
  {
    reason: 'certificate_invalid',
    why: 'a certificate of a foreign CA',
    certificate: 'untrusted',
    change: (r) => (r.token.claims.cnf = { jkt: clientKey.jkt, 'x5t#S256': sha256('x') }),
  },
  {
    reason: 'certificate_invalid',
    why: 'an expired certificate',
    certificate: 'expired',
    change: (r) => (r.token.claims.cnf = { jkt: clientKey.jkt, 'x5t#S256': sha256('x') }),
  },

  // DPoP proof: RFC 9449 §4.3, in its order
  { reason: 'proof_missing', why: 'no DPoP header', change: (r) => (r.proof = null) },
  {
    reason: 'proof_repeated',
    why: 'two headers',
    change: (r) =>
      (r.credentials = ({ authorization, dpop }) => [
        ['Authorization', authorization],
        ['DPoP', dpop ?? ''],
        ['DPoP', dpop ?? ''],
      ]),
  },
  {
    reason: 'proof_repeated',
    why: 'one of two headers is empty',
    change: (r) =>
      (r.credentials = ({ authorization, dpop }) => [
        ['Authorization', authorization],
        ['DPoP', dpop ?? ''],
        ['DPoP', ''],
      ]),
  },
  { reason: 'proof_repeated', why: 'two proofs in one header', change: (r) => (r.spoilProof = (proof) => `${proof}, ${proof}`) },
  { reason: 'proof_malformed', why: 'a trailing comma', change: (r) => (r.spoilProof = (proof) => `${proof},`) },
  { reason: 'proof_malformed', why: 'empty', change: (r) => (r.spoilProof = () => '') },
  {
    reason: 'proof_malformed',
    why: 'two parts',
    change: (r) => (r.spoilProof = (proof) => proof.split('.').slice(0, 2).join('.')),
  },
  { reason: 'proof_malformed', why: 'four parts', change: (r) => (r.spoilProof = (proof) => `${proof}.a`) },
  { reason: 'proof_malformed', why: 'padding', change: (r) => (r.spoilProof = pad(2)) },
  { reason: 'proof_malformed', why: 'spare bits in the signature', change: (r) => (r.spoilProof = spareBits(2)) },
  {
    reason: 'proof_malformed',
    why: 'JSON serialisation',
    change: (r) => (r.spoilProof = () => '{"payload":"e30","signature":"e30"}'),
  },
  { reason: 'proof_malformed', why: 'a space inside', change: (r) => (r.spoilProof = (proof) => proof.replace('.', ' .')) },
  { reason: 'proof_malformed', why: 'over the size limit', change: claim('jti', 'x'.repeat(7000)) },
  {
    reason: 'proof_malformed',
    why: 'htm twice',
    change: (r) =>
      (r.spoilProof = (proof) => {
        const claims = JSON.parse(Buffer.from(proof.split('.')[1] ?? '', 'base64url').toString())
        return signJwt(lazy(r).header, JSON.stringify(claims).replace('{', '{"htm":"POST",'), clientKey.privateKey)
      }),
  },
  { reason: 'proof_malformed', why: 'crit', change: header('crit', []) },
  { reason: 'proof_malformed', why: 'b64 false', change: header('b64', false) },
  { reason: 'proof_type', why: 'typ JWT', change: header('typ', 'JWT') },
  { reason: 'proof_type', why: 'no typ', change: header('typ', undefined) },
  { reason: 'proof_type', why: 'a longer typ', change: header('typ', 'dpop+jwt+x') },
  { reason: 'proof_type', why: 'typ in capitals', change: header('typ', 'DPOP+JWT') },
  { reason: 'proof_algorithm', why: 'none', change: header('alg', 'none') },
  { reason: 'proof_algorithm', why: 'NONE', change: header('alg', 'NONE') },
  { reason: 'proof_algorithm', why: 'HS256', change: header('alg', 'HS256') },
  { reason: 'proof_algorithm', why: 'RS256', change: header('alg', 'RS256') },
  { reason: 'proof_algorithm', why: 'ES256K', change: header('alg', 'ES256K') },
  { reason: 'proof_algorithm', why: 'no alg', change: header('alg', undefined) },
  { reason: 'proof_algorithm', why: 'alg is true', change: header('alg', true) },
  ...['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'].map(
    (member): Row => ({
      reason: 'proof_private_key',
      why: `jwk with ${member}, though empty`,
      change: withProof((proof) => {
        proof.header.jwk = { ...clientKey.jwk, [member]: '' }
      }),
    }),
  ),
  { reason: 'proof_private_key', why: 'a symmetric key', change: header('jwk', { kty: 'oct' }) },
  { reason: 'proof_malformed', why: 'no jwk', change: header('jwk', undefined) },
  { reason: 'proof_malformed', why: 'jwk is a list', change: header('jwk', []) },
  ...[
    ['padding', (x: string) => `${x}=`],
    ['a leading zero', (x: string) => Buffer.concat([Buffer.alloc(1), Buffer.from(x, 'base64url')]).toString('base64url')],
    ['the other alphabet', (x: string) => Buffer.from(x, 'base64url').toString('base64')],
  ].map(
    ([how, spell]): Row => ({
      reason: 'proof_malformed',
      why: `the x of jwk with ${how}: another spelling of the same key`,
      change: withProof((proof) => {
        proof.header.jwk = { ...clientKey.jwk, x: (spell as (x: string) => string)(String(clientKey.jwk.x)) }
      }),
    }),
  ),
  { reason: 'proof_malformed', why: 'a P-384 key for ES256', change: (r) => rebind(r, p384, 'ES256') },
  { reason: 'proof_malformed', why: 'an Ed448 key for EdDSA', change: (r) => rebind(r, ed448, 'EdDSA') },
  { reason: 'proof_malformed', why: 'an RSA key of 1024 bits', change: (r) => rebind(r, rsa1024, 'PS256') },
  {
    reason: 'proof_malformed',
    why: 'a point that is not on the curve',
    change: withProof((proof) => {
      proof.header.jwk = { ...clientKey.jwk, y: clientKey.jwk.x }
    }),
  },
  {
    reason: 'proof_malformed',
    why: 'a key for encryption',
    change: withProof((proof) => {
      proof.header.jwk = { ...clientKey.jwk, use: 'enc' }
    }),
  },
  {
    reason: 'proof_malformed',
    why: 'a key for signing only',
    change: withProof((proof) => {
      proof.header.jwk = { ...clientKey.jwk, key_ops: ['sign'] }
    }),
  },
  {
    reason: 'proof_malformed',
    why: 'a key for another algorithm',
    change: withProof((proof) => {
      proof.header.jwk = { ...clientKey.jwk, alg: 'RS256' }
    }),
  },
  ...['jti', 'htm', 'htu', 'iat', 'ath'].map(
    (name): Row => ({ reason: 'proof_claim', why: `${name} missing`, change: claim(name, undefined) }),
  ),
  ...[
    ['jti', ['x']],
    ['jti', ''],
    ['htm', {}],
    ['htu', 1],
    ['iat', '1700000000'],
    ['iat', null],
    ['iat', true],
    ['ath', null],
    ['exp', 'x'],
    ['nbf', 'x'],
  ].map(
    ([name, value]): Row => ({
      reason: 'proof_claim',
      why: `${name} is ${JSON.stringify(value)}`,
      change: claim(String(name), value),
    }),
  ),
  {
    reason: 'proof_key',
    why: 'a stranger’s proof for a stolen token',
    change: withProof((proof) => {
      proof.key = other
      proof.header.jwk = other.jwk
    }),
  },
  { reason: 'proof_token', why: 'the hash of another token', change: claim('ath', sha256('another token')) },
  {
    reason: 'proof_token',
    why: 'a hash in hex',
    change: (r) =>
      (r.spoilProof = () =>
        signProof({ ...lazy(r), claims: { ...lazy(r).claims, ath: Buffer.from(sha256('x'), 'base64url').toString('hex') } }, '')),
  },
  { reason: 'proof_method', why: 'another method', change: claim('htm', 'POST') },
  { reason: 'proof_method', why: 'lower case', change: claim('htm', 'get') },
  { reason: 'proof_target', why: 'another path', change: claim('htu', 'https://api.example.com/read/2') },
  { reason: 'proof_target', why: 'another host', change: claim('htu', 'https://evil.example.com/read/1') },
  { reason: 'proof_target', why: 'plain http', change: claim('htu', 'http://api.example.com/read/1') },
  { reason: 'proof_target', why: 'another port', change: claim('htu', 'https://api.example.com:8443/read/1') },
  { reason: 'proof_target', why: 'path in other case', change: claim('htu', 'https://api.example.com/Read/1') },
  { reason: 'proof_target', why: 'a trailing slash', change: claim('htu', 'https://api.example.com/read/1/') },
  { reason: 'proof_target', why: 'a user', change: claim('htu', 'https://u@api.example.com/read/1') },
  { reason: 'proof_target', why: 'a relative reference', change: claim('htu', '/read/1') },
  { reason: 'proof_target', why: 'backslashes', change: claim('htu', 'https:\\\\api.example.com\\read\\1') },
  { reason: 'proof_too_old', why: 'a minute and a second old', change: (r) => claim('iat', r.now - 62)(r) },
  { reason: 'proof_too_old', why: 'its own exp is past', change: (r) => claim('exp', r.now - 1)(r) },
  { reason: 'proof_in_future', why: 'a quarter of a minute ahead', change: (r) => claim('iat', r.now + 15)(r) },
  { reason: 'proof_in_future', why: 'iat in milliseconds', change: (r) => claim('iat', r.now * 1000)(r) },
  { reason: 'proof_in_future', why: 'nbf ahead', change: (r) => claim('nbf', r.now + 60)(r) },
  { reason: 'proof_signature', why: 'a flipped bit', change: (r) => (r.spoilProof = flipBit) },
  {
    reason: 'proof_signature',
    why: 'signed by another key than its own',
    change: withProof((proof) => {
      proof.key = other
    }),
  },
  {
    reason: 'proof_signature',
    why: 'DER instead of r|s',
    change: (r) =>
      (r.spoilProof = part(2, (signature) => {
        const raw = Buffer.from(signature, 'base64url')
        const integer = (bytes: Buffer) => Buffer.concat([Buffer.from([2, 33, 0]), bytes])
        const both = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))])
        return Buffer.concat([Buffer.from([0x30, both.length]), both]).toString('base64url')
      })),
  },

  // Nonces
  { reason: 'nonce_missing', why: 'no nonce where one is demanded', path: '/nonce', change: claim('nonce', undefined) },
  { reason: 'nonce_stale', why: 'a nonce of someone else', path: '/nonce', change: claim('nonce', 'eyJ7S_zG.eyJbYu3.xQmBj-1') },
  { reason: 'nonce_stale', why: 'a nonce that is a number', path: '/nonce', change: claim('nonce', 1) },
  {
    reason: 'proof_too_old',
    why: 'more than an hour off, though the nonce is good',
    path: '/nonce',
    change: (r) => claim('iat', r.now - 3700)(r),
  },

  // Revocations; of certificates in test/revocations/
  { reason: 'token_revoked', why: 'its jti', change: tokenClaim('jti', 'revoked-token') },
  { reason: 'token_revoked', why: 'its session', change: tokenClaim('sid', 'revoked-session') },
  { reason: 'token_revoked', why: 'its subject', change: tokenClaim('sub', 'revoked-user') },
  { reason: 'token_revoked', why: 'its subject, issued before', change: tokenClaim('sub', 'user-of-before') },
  { reason: 'token_revoked', why: 'its client', change: tokenClaim('client_id', 'revoked-client') },
  { reason: 'token_revoked', why: 'its key', change: (r) => rebind(r, revokedKey, 'ES256') },
  {
    reason: 'token_revoked',
    why: 'told before what it may do',
    change: (r) => {
      r.token.claims.sub = 'revoked-user'
      r.token.claims.scope = 'none'
    },
  },

  // What the token may do
  { reason: 'token_lifetime', why: 'lives an hour', change: (r) => tokenClaim('exp', r.now + 3600)(r) },
  { reason: 'scope_missing', why: 'one of two scopes', change: tokenClaim('scope', 'case.read') },
  { reason: 'scope_missing', why: 'no scope', change: tokenClaim('scope', undefined) },
  { reason: 'client_unknown', why: 'nobody registered it', change: tokenClaim('client_id', 'stranger') },
  { reason: 'client_unknown', why: 'its name in other case', change: tokenClaim('client_id', 'Client-1') },
  { reason: 'client_inactive', why: 'suspended', change: tokenClaim('client_id', 'suspended') },
  {
    reason: 'client_unqualified',
    why: 'it pushes and signs no requests',
    path: '/nonce',
    change: tokenClaim('client_id', 'client-2'),
  },
  {
    reason: 'client_exceeded',
    why: 'another audience beside ours',
    change: tokenClaim('aud', ['https://api.example.com', 'https://other.example.com']),
  },
  { reason: 'client_exceeded', why: 'a scope that was not approved', change: tokenClaim('scope', 'case.read case.write admin') },
  {
    reason: 'tenant_not_registered',
    why: 'the client of another tenant',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: tokenClaim('client_id', 'client-2'),
  },
  { reason: 'client_not_allowed', why: 'another client', path: '/partner', change: tokenClaim('client_id', 'client-2') },
  {
    reason: 'tenant_mismatch',
    why: 'another tenant',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: tokenClaim('tenant_id', 'tenant-2'),
  },
  {
    reason: 'tenant_mismatch',
    why: 'tenant in a list',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: tokenClaim('tenant_id', ['tenant-1']),
  },
  {
    reason: 'tenant_mismatch',
    why: 'no tenant in the token, and one in the path that is no UTF-8',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: (r) => {
      delete r.token.claims.tenant_id
      r.target = '/tenants/%FF/decision'
      claim('htu', `https://api.example.com${r.target}`)(r)
    },
  },
  {
    reason: 'user_required',
    why: 'a client alone',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: tokenClaim('sub', 'client-1'),
  },
  {
    reason: 'user_required',
    why: 'neither acr nor auth_time',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: (r) => {
      delete r.token.claims.acr
      delete r.token.claims.auth_time
    },
  },
  {
    reason: 'authentication_weak',
    why: 'a weaker acr',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: tokenClaim('acr', 'urn:example:aal1'),
  },
  {
    reason: 'authentication_weak',
    why: 'acr longer than ours',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: tokenClaim('acr', 'urn:example:aal22'),
  },
  {
    reason: 'authentication_old',
    why: 'an old login',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: (r) => tokenClaim('auth_time', r.now - 3600)(r),
  },
  {
    reason: 'authentication_old',
    why: 'auth_time missing',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: tokenClaim('auth_time', undefined),
  },
  {
    reason: 'authentication_old',
    why: 'auth_time ahead',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: (r) => tokenClaim('auth_time', r.now + 86400)(r),
  },

  // Target, route, message
  { reason: 'target_malformed', why: 'dot segments', change: (r) => (r.target = '/x/../read/1') },
  { reason: 'target_malformed', why: 'encoded dot segments', change: (r) => (r.target = '/x/%2e%2e/read/1') },
  { reason: 'target_malformed', why: 'two slashes', change: (r) => (r.target = '//read/1') },
  { reason: 'target_malformed', why: 'an encoded slash', change: (r) => (r.target = '/read%2F1') },
  { reason: 'target_malformed', why: 'a matrix parameter', change: (r) => (r.target = '/read/1;a=b') },
  { reason: 'target_malformed', why: 'a bad escape', change: (r) => (r.target = '/read/%zz') },
  { reason: 'target_malformed', why: 'an encoded NUL', change: (r) => (r.target = '/read/%00') },
  { reason: 'target_too_long', why: 'a target of 9 KiB', change: (r) => (r.target = `/read/${'x'.repeat(9000)}`) },
  {
    reason: 'headers_too_large',
    why: '101 lines',
    change: (r) => (r.headers = Array.from({ length: 101 }, (_, i) => [`X-${i}`, '1'])),
  },
  {
    reason: 'headers_too_large',
    why: '40 KiB',
    change: (r) => (r.headers = Array.from({ length: 40 }, (_, i) => [`X-${i}`, 'x'.repeat(1024)])),
  },
  { reason: 'expectation_failed', why: 'an expectation we do not know', change: (r) => (r.headers = [['Expect', 'the-best']]) },
  {
    reason: 'request_malformed',
    why: 'two lengths',
    change: (r) =>
      (r.headers = [
        ['Content-Length', '0'],
        ['Content-Length', '0'],
      ]),
  },
  {
    reason: 'request_malformed',
    why: 'length and chunks',
    change: (r) =>
      (r.headers = [
        ['Content-Length', '5'],
        ['Transfer-Encoding', 'chunked'],
      ]),
  },
  { reason: 'request_malformed', why: 'bytes over 127 in the proof', change: (r) => (r.spoilProof = (proof) => `${proof}é`) },
  { reason: 'request_malformed', why: 'two Hosts', change: (r) => (r.headers = [['Host', 'api.example.com']]) },
  { reason: 'host_unknown', why: 'another host', change: (r) => (r.host = 'evil.example.com') },
  { reason: 'host_unknown', why: 'another port', change: (r) => (r.host = 'api.example.com:8443') },
  { reason: 'route_unknown', why: 'no such path', change: (r) => (r.target = '/nothing') },
  { reason: 'route_unknown', why: 'path in other case', change: (r) => (r.target = '/Read/1') },
  { reason: 'route_unknown', why: 'a trailing slash', change: (r) => (r.target = '/read/1/') },
  { reason: 'method_not_allowed', why: 'DELETE', change: (r) => (r.method = 'DELETE') },
  { reason: 'method_not_allowed', why: 'TRACE', change: (r) => (r.method = 'TRACE') },
  {
    reason: 'body_too_large',
    why: 'more than the tier takes',
    path: '/tenants/tenant-1/decision',
    method: 'POST',
    change: (r) => (r.headers = [['Content-Length', String(2 ** 21)]]),
  },

  // Once
  { reason: 'proof_replayed', why: 'the same proof again', spends: true, change: () => undefined },
  { reason: 'proof_replayed', why: 'the same jti signed anew', spends: true, change: (r) => claim('iat', r.now + 1)(r) },
]

t.test('the negative table', async (t) => {
  const lab = await startLab({ yaml: (yaml) => ({ ...yaml, clients: CLIENTS }) })
  t.teardown(() => lab.stop())
  if (lab.redis !== null) await revoke(lab.redis, ...REVOKED)
  await waitFor('the list', async () => (await lab.admin('/metrics')).body.includes('holdfast_revocations{kind="subject"} 2'))
  for (const row of ROWS) {
    await t.test(`denies ${row.reason}: ${row.why}`, (t) => runRow(t, row, lab))
  }
  await t.test('each of them is in the audit log with its reason, and no detail of it in the answer', (t) => judgeEvents(t, lab))
})

async function runRow(t: Test, row: Row, lab: Lab): Promise<void> {
  const path = row.path ?? '/read/1'
  const nonce = path === '/nonce' ? await lab.nonce() : undefined
  const make = () =>
    makeDraft({ host: 'api.example.com', path, method: row.method ?? 'GET', ...(nonce === undefined ? {} : { nonce }) })
  // `certificate` rows are about the certificate: what is granted is the same request whose token is not bound to it.
  const connection = row.certificate === undefined ? {} : { certificate: row.certificate }

  const draft = make()
  const control = row.spends ? draft : make()
  if (row.reason === 'binding_insufficient') {
    control.scheme = 'Bearer'
    control.proof = null
    control.token.claims.cnf = { 'x5t#S256': lab.thumbprint('client') }
  }
  const granted = await lab.send(control, connection)
  t.equal(granted.status, 200, `the unchanged request is granted (${granted.body})`)

  row.change(draft)
  const state = async () => ({
    used: await lab.usedProofs(),
    calls: lab.upstreamCalls(),
    keys: (await readCaches(lab)).proof_keys,
  })
  const before = await state()
  const refused = await lab.send(draft, connection)
  const { status, title, error } = reasonRow(row.reason)
  t.equal(refused.status, status)
  if (draft.method !== 'HEAD') {
    const problem = JSON.parse(refused.body)
    t.equal(problem.reason, row.reason)
    t.same(Object.keys(problem), ['type', 'title', 'status', 'reason', 'request_id'])
    t.equal(problem.title, title)
    t.equal(refused.header('content-type'), 'application/problem+json')
  }
  t.equal(refused.header('cache-control'), 'no-store')
  t.match(refused.header('x-request-id'), /^[0-9a-f-]{36}$/)
  t.match(refused.header('x-fapi-interaction-id'), /^[0-9a-f-]{36}$/)
  const challenges = refused.headers('www-authenticate')
  t.equal(challenges.length > 0, error !== undefined, 'a challenge where the table has an error')
  if (error)
    t.ok(
      challenges.some((challenge) => challenge.includes(`error="${error}"`)),
      challenges.join(' | '),
    )
  if (error === null)
    t.notOk(
      challenges.some((challenge) => challenge.includes('error')),
      'a challenge without error',
    )
  t.equal(refused.header('dpop-nonce') !== undefined, path === '/nonce', 'a nonce on routes that demand one, and no others')
  t.same(await state(), before, 'nothing recorded, upstream not called, no key kept')
  refusals.push({ row, requestId: refused.header('x-request-id') ?? '', text: refused.text })
}

/** Looked at when the table is done: lines that no one waits for are written a moment later. */
const refusals: { readonly row: Row; readonly requestId: string; readonly text: string }[] = []

async function judgeEvents(t: Test, lab: Lab): Promise<void> {
  await lab.refusal(refusals.at(-1)?.requestId ?? '')
  const events = new Map(lab.events().map((event) => [event.request_id, event]))
  t.equal(refusals.length, ROWS.length)
  for (const { row, requestId, text } of refusals) {
    const event = events.get(requestId)
    t.equal(event?.reason, row.reason, `${row.reason}: ${row.why}`)
    if (typeof event?.detail === 'string') t.notOk(text.includes(event.detail), 'no detail in the response')
  }
}
