// What is no access token, and what is one no more: JWTs that were signed for something else, other serialisations and encodings, claims
// of other types, algorithms that the operator took out, and logins that are too old (RFC 9068 §2.2, RFC 8725 §3, RFC 9470 §3).
import { createHash, sign } from 'node:crypto'
import { Redis } from 'ioredis'
import { CompactEncrypt } from 'jose'
import t from 'tap'
import { authentication } from '../../src/verify/checks/authentication.js'
import { deny } from '../../src/verify/verdict.js'
import { changed, grants, ISSUER, reasonOf, refuses } from '../regressions/attack.js'
import { type Draft, issuerKey, printDraft } from '../support/draft.js'
import { base64url, makeKey, sha256, signJwt } from '../support/jwt.js'
import { bearer } from '../support/kinds.js'
import { startLab } from '../support/lab.js'

const AS = 'https://as.example.com'
const API = 'https://api.example.com'
const DECISION = '/tenants/tenant-1/decision'
const twin = makeKey('ES256')
// Before the gateway runs in this process: making an RSA key takes long enough for it to call itself overloaded.
const rsa = makeKey('PS256')

const lab = await startLab({
  yaml: (parts) => ({
    ...parts,
    // Every refusal has its event, though there are hundreds a second.
    audit: '{ file: audit.jsonl, refusals_per_second: 10000 }',
    issuers: `
  - { issuer: ${AS}, audience: ${API}, jwks_file: issuer.jwks, algorithms: [PS256, ES256, EdDSA] }
  - { issuer: https://legacy.example.com, audience: ${API}, jwks_file: issuer.jwks, algorithms: [ES256], typ: JWT }`,
    routes: `${parts.routes}
  - { path: /legacy, methods: [GET], tier: low_user, upstream: cases, issuers: [https://legacy.example.com] }
  - { path: /aged, methods: [GET], tier: aged, upstream: cases, ${ISSUER}, scopes: [case.read], acr_values: ['urn:example:aal3', 'urn:example:aal2'] }`,
    tiers: `${parts.tiers}
  aged: { extends: bound_read, step_up: required, auth_max_age: 5m }`,
  }),
})
t.teardown(() => lab.stop())

/** A request whose token is this text. */
const withToken = (text: string, path?: string): Draft => changed((draft) => (draft.spoilToken = () => text), path)
const signed = (header: object, claims: object): string =>
  signJwt({ alg: 'ES256', kid: 'issuer-1', ...header }, claims, issuerKey.privateKey)

/** As their specifications have them, all signed by the key of the issuer. */
function otherKinds(iss: string): Readonly<Record<string, string>> {
  const now = Math.floor(Date.now() / 1000)
  const times = { iat: now, exp: now + 240 }
  const jti = 'one'
  const client = { iss: 'client-1', sub: 'client-1' }
  return {
    'an ID token': signed(
      { typ: 'JWT' },
      { iss, sub: 'user-1', aud: 'client-1', nonce: 'n', at_hash: 'a', auth_time: now, ...times },
    ),
    'an ID token without typ': signed({}, { iss, sub: 'user-1', aud: ['client-1'], azp: 'client-1', ...times }),
    'an answer of JARM': signed({}, { iss, aud: 'client-1', code: 'c', state: 's', ...times }),
    'a request object': signed({ typ: 'oauth-authz-req+jwt' }, { iss: 'client-1', aud: iss, client_id: 'client-1', ...times }),
    'a request object for us': signed(
      { typ: 'oauth-authz-req+jwt' },
      { iss, aud: API, sub: 'user-1', client_id: 'client-1', jti, ...times },
    ),
    'a client assertion': signed({ typ: 'JWT' }, { ...client, aud: iss, jti, ...times }),
    'a client assertion with its own typ': signed({ typ: 'client-authentication+jwt' }, { ...client, aud: iss, jti, ...times }),
    'a security event': signed({ typ: 'secevent+jwt' }, { iss, aud: API, jti, iat: now, events: { 'https://x.example/e': {} } }),
    'a logout token': signed({ typ: 'logout+jwt' }, { iss, aud: API, sub: 'user-1', jti, events: {}, ...times }),
    'an answer of introspection': signed(
      { typ: 'token-introspection+jwt' },
      { iss, aud: API, iat: now, token_introspection: { active: true } },
    ),
    'a transaction token': signed({ typ: 'txntoken+jwt' }, { iss, aud: API, sub: 'user-1', txn: 't', scope: 'x', jti, ...times }),
    'a proof': signed({ typ: 'dpop+jwt' }, { iss, aud: API, sub: 'user-1', jti, htm: 'GET', htu: `${API}/legacy`, ...times }),
  }
}

t.test('denies JWTs that the issuer signed for something else, of a legacy issuer too', async (t) => {
  const reasons = /^token_(?:type|issuer|audience|claim)$/
  const strictly = Object.entries(otherKinds(AS))
  const leniently = Object.entries(otherKinds('https://legacy.example.com'))
  for (const [scheme, path, kinds] of [
    ['DPoP', '/read/1', strictly],
    ['Bearer', '/profile', strictly],
    ['Bearer', '/legacy', leniently],
  ] as const) {
    for (const [kind, text] of kinds) {
      const before = lab.upstreamCalls()
      const request = withToken(text, path)
      request.scheme = scheme
      const reply = await lab.send(request)
      t.match(reasonOf(reply), reasons, `${kind} as ${scheme} at ${path}: ${reasonOf(reply)}`)
      t.equal(reply.status, 401)
      t.equal(lab.upstreamCalls(), before)
    }
  }
  const honest = bearer(changed((draft) => Object.assign(draft.token.header, { typ: 'JWT' }), '/legacy'))
  honest.token.claims.iss = 'https://legacy.example.com'
  await grants(t, lab, honest, 'an access token of the legacy issuer')
})

t.test('denies token_issuer: the assertion that a backend got from us, sent back as a token', async (t) => {
  await grants(t, lab, changed())
  const assertion = String(lab.calls.at(-1)?.headers['holdfast-assertion'])
  for (const scheme of ['DPoP', 'Bearer']) {
    const request = withToken(assertion, '/profile')
    request.scheme = scheme
    await refuses(t, lab, request, 'token_issuer', scheme)
  }
})

/** A JWS over bytes, whatever they are. */
function signBytes(header: Buffer, payload: Buffer): string {
  const input = `${header.toString('base64url')}.${payload.toString('base64url')}`
  const signature = sign('sha256', Buffer.from(input), { key: issuerKey.privateKey, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}

t.test('denies token_malformed: a signed token whose text is not UTF-8', async (t) => {
  const { header, claims } = changed().token
  const utf8 = (value: object): Buffer => Buffer.from(JSON.stringify(value))
  const around = (bytes: readonly number[], value: object): Buffer => {
    const [before = '', after = ''] = JSON.stringify({ ...value, note: '@' }).split('@')
    return Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)])
  }
  await grants(t, lab, withToken(signBytes(utf8(header), around([0xc3, 0xa9], claims))), 'é in UTF-8')
  const bytes = {
    'é in Latin-1': [0xe9],
    'a byte that never occurs': [0xff],
    'an overlong slash': [0xc0, 0xaf],
    'half of a character': [0xc3],
    'a surrogate': [0xed, 0xa0, 0x80],
    'beyond Unicode': [0xf4, 0x90, 0x80, 0x80],
  }
  for (const [why, some] of Object.entries(bytes)) {
    await refuses(t, lab, withToken(signBytes(utf8(header), around(some, claims))), 'token_malformed', `${why} in the claims`)
    await refuses(t, lab, withToken(signBytes(around(some, header), utf8(claims))), 'token_malformed', `${why} in the header`)
  }
  const wide = (value: object): Buffer => Buffer.from(JSON.stringify(value), 'utf16le')
  const marked = (value: object): Buffer => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), utf8(value)])
  for (const [why, form] of Object.entries({ 'UTF-16': wide, 'a byte order mark': marked })) {
    await refuses(t, lab, withToken(signBytes(utf8(header), form(claims))), 'token_malformed', `${why}, claims`)
    await refuses(t, lab, withToken(signBytes(form(header), utf8(claims))), 'token_malformed', `${why}, header`)
  }
})

t.test('denies token_malformed: encrypted tokens, whatever work they ask for', async (t) => {
  const { claims, header } = changed().token
  const inner = signJwt(header, claims, issuerKey.privateKey)
  const { publicKey } = issuerKey
  const encrypt = (protect: object, key: Parameters<CompactEncrypt['encrypt']>[0], text = inner) =>
    new CompactEncrypt(Buffer.from(text)).setProtectedHeader(protect as { alg: string; enc: string }).encrypt(key)
  const enc = 'A256GCM'
  const known = createHash('sha256').update(String(issuerKey.jwk.x)).digest()
  const parts = (protect: object): string => `${base64url(protect)}.a2V5.aXZpdml2aXZpdml2.${base64url(inner)}.dGFndGFndGFndGFndGE`
  const texts = {
    'a signed token for the issuer’s key': await encrypt({ alg: 'ECDH-ES', enc, cty: 'JWT' }, publicKey),
    'bare claims for the issuer’s key': await encrypt({ alg: 'ECDH-ES', enc, typ: 'at+jwt' }, publicKey, JSON.stringify(claims)),
    'a key that everyone knows': await encrypt({ alg: 'dir', enc, cty: 'JWT', kid: 'issuer-1' }, known),
    'two billion rounds': parts({ alg: 'PBES2-HS256+A128KW', enc, p2c: 2 ** 31 - 1, p2s: 'c2FsdA' }),
    'a compressed text': parts({ alg: 'dir', enc, zip: 'DEF', kid: 'issuer-1' }),
  }
  for (const [why, text] of Object.entries(texts)) {
    const startedAt = performance.now()
    await refuses(t, lab, withToken(text), 'token_malformed', why)
    t.ok(performance.now() - startedAt < 1000, `${why}: at once`)
  }
})

t.test('denies credentials_malformed and token_malformed: the JSON serialisations, open or wrapped', async (t) => {
  const { header, claims } = changed().token
  const [head = '', payload = '', signature = ''] = signJwt(header, claims, issuerKey.privateKey).split('.')
  const forms = {
    flattened: JSON.stringify({ protected: head, payload, signature }),
    general: JSON.stringify({ payload, signatures: [{ protected: head, signature }] }),
  }
  for (const [why, text] of Object.entries(forms)) {
    await refuses(t, lab, withToken(text), 'credentials_malformed', why)
    await refuses(t, lab, withToken(base64url(text)), 'token_malformed', `${why}, wrapped`)
    await refuses(t, lab, withToken(`${base64url(text)}.${payload}.${signature}`), 'token_type', `${why}, as a header`)
  }
})

t.test('denies token_claim: a required claim of another type, and exp in milliseconds', async (t) => {
  const wrong: readonly [claim: string, value: unknown][] = [
    ...[1, true, null, {}, ['user-1'], ''].flatMap((value): [string, unknown][] => [
      ['sub', value],
      ['client_id', value],
      ['jti', value],
    ]),
    ...[1, null, {}, [1], [API, 1], [[API]]].map((value): [string, unknown] => ['aud', value]),
    ...['now', null, true, [0], {}].flatMap((value): [string, unknown][] => [
      ['exp', value],
      ['iat', value],
    ]),
  ]
  const calls = lab.upstreamCalls()
  for (const [claim, value] of wrong) {
    const reply = await lab.send(changed((draft) => (draft.token.claims[claim] = value)))
    t.equal(reasonOf(reply), 'token_claim', `${claim}: ${JSON.stringify(value)}`)
  }
  t.equal(lab.upstreamCalls(), calls)
  const milliseconds = changed((draft) => (draft.token.claims.exp = (draft.now + 60) * 1000))
  await refuses(t, lab, milliseconds, 'token_lifetime', 'exp in milliseconds')
})

t.test('denies token_algorithm: a MAC keyed with what is public of the issuer’s key', async (t) => {
  const { publicKey, jwk } = issuerKey
  const secrets = [
    Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })),
    publicKey.export({ type: 'spki', format: 'der' }),
    Buffer.from(JSON.stringify({ ...jwk, kid: 'issuer-1' })),
    Buffer.from(String(jwk.x), 'base64url'),
    Buffer.alloc(32),
  ]
  const { header, claims } = changed().token
  for (const [i, secret] of secrets.entries())
    await refuses(t, lab, withToken(signJwt({ ...header, alg: 'HS256' }, claims, secret)), 'token_algorithm', `secret ${i}`)
})

t.test('takes of two keys with one kid and type the one that signed', async (t) => {
  const keys = [twin, issuerKey].map((key) => ({ ...key.jwk, kid: 'issuer-1' }))
  t.teardown(async () => {
    lab.write('issuer.jwks', JSON.stringify({ keys: keys.slice(1) }))
    await lab.reload((parts) => parts)
  })
  for (const order of [keys, keys.toReversed()]) {
    lab.write('issuer.jwks', JSON.stringify({ keys: order }))
    await lab.reload((parts) => parts)
    for (const key of [twin, issuerKey])
      await grants(
        t,
        lab,
        changed((draft) => (draft.token.key = key)),
      )
    await refuses(
      t,
      lab,
      changed((draft) => (draft.token.key = makeKey())),
      'token_signature',
    )
  }
})

t.test(
  'an algorithm goes and comes by configuration alone, for tokens that are known and connections that are open',
  async (t) => {
    const text = signJwt(changed().token.header, changed().token.claims, issuerKey.privateKey)
    const client = await lab.open()
    t.teardown(() => client.close())
    const ask = async (): Promise<string> => {
      client.send(printDraft(withToken(text)))
      const { status, body } = await client.response()
      return reasonOf({ status, body: body.toString() })
    }
    t.equal(await ask(), 'granted')
    await lab.reload((parts) => ({
      ...parts,
      tiers: `${parts.tiers?.replace('audit: all', 'audit: all, token_algorithms: [PS256]')}`,
    }))
    t.equal(await ask(), 'token_algorithm', 'the tier’s list')
    await lab.reload((parts) => parts)
    t.equal(await ask(), 'granted')
    lab.write('issuer.jwks', JSON.stringify({ keys: [issuerKey, rsa].map((key) => ({ ...key.jwk, kid: 'issuer-1' })) }))
    await lab.reload((parts) => ({ ...parts, issuers: `${parts.issuers?.replace('[PS256, ES256, EdDSA]', '[PS256]')}` }))
    t.equal(await ask(), 'token_algorithm', 'the issuer’s list')
    await lab.reload((parts) => parts)
    t.equal(await ask(), 'granted')
  },
)

t.test('no token, no part of one and no hash of one is in the replay store, in the audit file or in the log', async (t) => {
  const { header, claims } = changed().token
  const text = signJwt(header, claims, issuerKey.privateKey)
  await grants(t, lab, withToken(text))
  await refuses(t, lab, withToken(text, '/mtls'), 'binding_insufficient')
  const inQuery = withToken(text)
  inQuery.target = `/read/1?access_token=${text}`
  const refused = await lab.send(inQuery)
  t.equal(reasonOf(refused), 'credentials_in_query')
  t.notOk(refused.text.includes(text), 'nor in the refusal')
  const event = await lab.refusal(refused.header('x-request-id') ?? '')
  t.equal(event?.path, '/read/1', 'its query is not told')

  const redis = new Redis(lab.redis?.url ?? '')
  t.teardown(() => redis.disconnect())
  const keys = await redis.keys('*')
  t.ok(keys.length > 0, 'there are records')
  const values = await Promise.all(keys.map((key) => redis.dump(key)))
  const told = JSON.stringify([keys, values, lab.events(), lab.logs])
  const [, payload = '', signature = ''] = text.split('.')
  const hash = createHash('sha256').update(text)
  for (const [what, part] of Object.entries({ text, payload, signature, ath: sha256(text), hex: hash.digest('hex') }))
    t.notOk(told.includes(part), what)
})

const NOW = 1_800_000_000
/** The check alone, so that the clock can stand still. */
const atAge = (age: number, max = 900): string => {
  const context = {
    token: { claims: { acr: 'a', auth_time: NOW - age }, subject: 'user-1', clientId: 'client-1' },
    now: NOW,
    clockSkew: 10,
  } as unknown as Parameters<typeof authentication.run>[0]
  const denial = authentication.run(context, { step_up: 'required', auth_max_age: max, acr_values: ['a'] }, deny)
  return denial?.reason ?? 'granted'
}

t.test('the edge of auth_max_age: an age of just that passes, the least bit more does not', async (t) => {
  for (const age of [0, 899.999, 900, -10]) t.equal(atAge(age), 'granted', `${age} s`)
  for (const age of [900.001, 901, -10.001]) t.equal(atAge(age), 'authentication_old', `${age} s`)
  t.equal(atAge(300, 300), 'granted')
  t.equal(atAge(301, 300), 'authentication_old')
})

t.test('denies authentication_old: an auth_time that is no time', async (t) => {
  for (const auth_time of ['1', null, true, [], {}, `${Math.floor(Date.now() / 1000)}`, Date.now()]) {
    const request = changed((draft) => Object.assign(draft.token.claims, { auth_time }), DECISION, 'POST')
    await refuses(t, lab, request, 'authentication_old', JSON.stringify(auth_time))
  }
})

t.test('denies authentication_weak: acr in another form than one of the listed values', async (t) => {
  const ours = 'urn:example:aal2'
  for (const acr of [[ours], `${ours} urn:example:aal3`, ours.toUpperCase(), `${ours} `, '', null, 2, { value: ours }]) {
    const request = changed((draft) => Object.assign(draft.token.claims, { acr }), DECISION, 'POST')
    await refuses(t, lab, request, 'authentication_weak', JSON.stringify(acr))
  }
})

t.test('one challenge tells what login would do, best first, and only to whom everything else holds', async (t) => {
  const weak = (change: (draft: Draft) => void = () => undefined): Draft =>
    changed((draft) => {
      Object.assign(draft.token.claims, { acr: 'urn:example:aal1', auth_time: draft.now - 3600 })
      change(draft)
    }, '/aged')
  const demands = / error="insufficient_user_authentication",.* acr_values="urn:example:aal3 urn:example:aal2", max_age="300"/
  const told = await lab.send(weak())
  t.equal(reasonOf(told), 'authentication_weak')
  t.equal(told.status, 401)
  const [dpop = '', ...others] = told.headers('www-authenticate')
  t.match(dpop, /^DPoP /)
  t.match(dpop, demands)
  for (const challenge of others) t.notMatch(challenge, /acr_values|max_age|error/)
  const old = await lab.send(weak((draft) => (draft.token.claims.acr = 'urn:example:aal3')))
  t.equal(reasonOf(old), 'authentication_old')
  t.match(old.headers('www-authenticate')[0], demands)

  const stranger = makeKey()
  const unheard: Readonly<Record<string, (draft: Draft) => void>> = {
    token_expired: (draft) => Object.assign(draft.token.claims, { iat: draft.now - 60, exp: draft.now - 1 }),
    token_audience: (draft) => (draft.token.claims.aud = 'https://other.example.com'),
    token_signature: (draft) => (draft.token.key = stranger),
    scheme_downgraded: (draft) => (draft.scheme = 'Bearer'),
    proof_missing: (draft) => (draft.proof = null),
    proof_key: (draft) => Object.assign(draft.proof?.header ?? {}, { jwk: stranger.jwk }),
    proof_signature: (draft) => Object.assign(draft.proof ?? {}, { key: stranger }),
    scope_missing: (draft) => (draft.token.claims.scope = 'other'),
  }
  for (const [reason, spoil] of Object.entries(unheard)) {
    const reply = await lab.send(weak(spoil))
    t.equal(reasonOf(reply), reason)
    t.notMatch(reply.text, /acr_values|max_age|urn:example:aal|insufficient_user/, reason)
  }
})

t.test('a machine is told that no login will do', async (t) => {
  for (const claims of [{ sub: 'client-1' }, { acr: undefined, auth_time: undefined }]) {
    const reply = await lab.send(changed((draft) => Object.assign(draft.token.claims, claims), '/aged'))
    t.equal(reasonOf(reply), 'user_required')
    t.equal(reply.status, 403)
    t.notMatch(reply.headers('www-authenticate').join(), /insufficient_user|acr_values/)
  }
})
