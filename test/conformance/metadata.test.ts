// Does the metadata document tell the truth? Each member of it is compared with what requests of that kind really come to, and every
// challenge leads to it (RFC 9728 §2, §3.2, §3.3, §5.1).
import t from 'tap'
import { ISSUER, reasonOf } from '../regressions/attack.js'
import { type Draft, makeDraft, printDraft, rebind } from '../support/draft.js'
import { exchange, type Reply } from '../support/http.js'
import { type KeyPair, makeKey } from '../support/jwt.js'
import { anonymous, bearer, certificateBound } from '../support/kinds.js'
import { HOST, type LabYaml, startLab } from '../support/lab.js'

const DOCUMENT = '/.well-known/oauth-protected-resource'
/** Where only proofs will do; where a certificate will do as well; where none is asked for; where nothing is protected. */
const [STRICT, EITHER, PLAIN, OPEN] = ['pay.example.com', 'either.example.com', 'plain.example.com', 'open.example.com']
const HOSTS = [HOST, STRICT, EITHER, PLAIN, OPEN]
/** Protected routes of each origin, which the documents speak of. */
const ROUTES: Readonly<Record<string, readonly string[]>> = {
  [HOST]: ['/es', '/ps', '/mtls', '/nonce', '/one'],
  [STRICT]: ['/es', '/both'],
  [EITHER]: ['/one'],
  [PLAIN]: ['/profile', '/one'],
  [OPEN]: [],
}
const ISSUERS = ['as', 'as2', 'as3'].map((name) => `https://${name}.example.com`)

// Before the gateway runs in this process: making an RSA key takes long enough for it to call itself overloaded.
const [rsa, ed, p256, p384] = [makeKey('PS256'), makeKey('EdDSA'), makeKey('ES256'), makeKey('P-384')]

const varied = (parts: LabYaml): LabYaml => {
  const pair = 'key: server.key, cert: server.crt'
  const on = (...hosts: readonly string[]) => `origins: [${hosts.map((host) => `https://${host}`).join(', ')}]`
  const route = (path: string, tier: string, more: string, method = 'GET') =>
    `  - { path: ${path}, methods: [${method}], tier: ${tier}, upstream: cases, ${more} }\n`
  return {
    ...parts,
    public_origins: on(...HOSTS).replace('origins: ', ''),
    listen: `
  - { host: 127.0.0.1, port: 8443, ${on(HOST, STRICT, EITHER)}, tls: { ${pair}, client_certificates: pki, client_ca: client-ca.crt } }
  - { host: 127.0.0.1, port: 8444, ${on(PLAIN, OPEN)}, tls: { ${pair} } }`,
    issuers: `\n${ISSUERS.map((one) => `  - { issuer: ${one}, audience: https://api.example.com, jwks_file: issuer.jwks, algorithms: [ES256] }\n`).join('')}`,
    tiers: `${parts.tiers}
  es: { extends: sensitive_read, binding: dpop, proof_algorithms: [ES256] }
  ed: { extends: sensitive_read, binding: both, proof_algorithms: [EdDSA] }
  ps: { extends: sensitive_read, proof_algorithms: [PS256] }`,
    routes: [
      '\n',
      route('/es', 'es', `${ISSUER}, scopes: [case.read], ${on(HOST)}`),
      route('/ps', 'ps', `issuers: [${ISSUERS[1]}], scopes: [payments], ${on(HOST)}`),
      route('/mtls', 'certificates', `${ISSUER}, ${on(HOST)}`),
      route('/nonce', 'high_value', `${ISSUER}, ${on(HOST)}`),
      route('/one', 'bound_read', `${ISSUER}, scopes: [case.read, case.write], clients: [client-1], ${on(HOST)}`),
      route('/decision', 'sensitive_write', `${ISSUER}, acr_values: ['urn:example:aal2'], ${on(HOST)}`, 'POST'),
      route('/es', 'es', `${ISSUER}, ${on(STRICT)}`),
      route('/both', 'ed', `${ISSUER}, ${on(STRICT)}`),
      route('/one', 'bound_read', `${ISSUER}, ${on(EITHER)}`),
      route('/profile', 'low_user', `${ISSUER}, ${on(PLAIN)}`),
      route('/one', 'es', `issuers: [${ISSUERS[2]}], scopes: [other], ${on(PLAIN)}`),
      route('/public', 'public', on(STRICT, OPEN)),
    ].join(''),
  }
}
const lab = await startLab({ store: 'memory', yaml: varied })
t.teardown(() => lab.stop())
const portOf = (host: string): number =>
  Number(lab.gateway.addresses[[HOST, STRICT, EITHER].includes(host) ? 0 : 1]?.split(':').at(-1))
const { client } = lab.certificates.clients

/** With a certificate wherever one is asked for. */
const send = (draft: Draft): Promise<Reply> =>
  exchange(printDraft(draft), { port: portOf(draft.host), servername: draft.host, cert: client.cert, key: client.key })
const documentOf = async (host: string): Promise<Record<string, unknown>> =>
  JSON.parse((await send(anonymous(makeDraft({ host, path: DOCUMENT })))).body)

type Change = (draft: Draft) => void
const change = (draft: Draft, ...changes: readonly Change[]): Draft => {
  for (const make of changes) make(draft)
  return draft
}
/** What such a request comes to on each protected route of an origin, with a nonce where one is asked for. */
async function outcomes(host: string, ...changes: readonly Change[]): Promise<readonly string[]> {
  const reasons: string[] = []
  for (const path of ROUTES[host] ?? []) {
    const first = await send(change(makeDraft({ host, path }), ...changes))
    const nonce = first.header('dpop-nonce')
    const isAsked = reasonOf(first) === 'nonce_missing' && nonce !== undefined
    reasons.push(reasonOf(isAsked ? await send(change(makeDraft({ host, path, nonce }), ...changes)) : first))
  }
  return reasons
}
const from = (issuer: string) => (draft: Draft) => {
  draft.token.claims.iss = issuer
}
/** Bound to the proof's key, and to the certificate where that is wanted as well. */
const provenBy = (key: KeyPair, alg: string) => (draft: Draft) => {
  rebind(draft, key, alg)
  if (draft.target === '/both') Object.assign(draft.token.claims.cnf as object, { 'x5t#S256': client.x5tS256 })
}
const withScope = (draft: Draft) => {
  draft.token.claims.scope = 'case.read case.write payments other'
}

t.test('authorization_servers: whose tokens are taken, and nobody else’s', async (t) => {
  for (const host of HOSTS) {
    const taken: string[] = []
    for (const issuer of ISSUERS)
      if ((await outcomes(host, from(issuer))).some((reason) => reason !== 'token_issuer')) taken.push(issuer)
    const { authorization_servers: listed = [] } = await documentOf(host)
    t.same(listed, taken, host)
  }
})

t.test('dpop_signing_alg_values_supported: what some route takes, and nothing else', async (t) => {
  const keys = { PS256: rsa, RS256: rsa, PS384: rsa, ES256: p256, ES256K: p256, ES384: p384, EdDSA: ed, Ed25519: ed }
  for (const host of HOSTS) {
    const taken: string[] = []
    for (const [alg, key] of Object.entries(keys)) {
      const reasons: string[] = []
      for (const issuer of ISSUERS) reasons.push(...(await outcomes(host, provenBy(key, alg), from(issuer), withScope)))
      if (reasons.includes('granted')) taken.push(alg)
    }
    const { dpop_signing_alg_values_supported: listed = [] } = await documentOf(host)
    t.same([...(listed as string[])].sort(), taken.sort(), host)
  }
})

t.test('dpop_bound_access_tokens_required: true exactly where no other token is taken', async (t) => {
  const others: readonly Change[] = [bearer, (draft) => void certificateBound(draft, client.x5tS256)]
  for (const host of [HOST, STRICT, EITHER, PLAIN]) {
    const reasons: string[] = []
    for (const issuer of ISSUERS)
      for (const other of others) reasons.push(...(await outcomes(host, other, from(issuer), withScope)))
    const { dpop_bound_access_tokens_required: required } = await documentOf(host)
    t.equal(required, !reasons.includes('granted'), `${host}: ${[...new Set(reasons)]}`)
  }
  t.equal((await documentOf(OPEN)).dpop_bound_access_tokens_required, false, 'where no token is wanted none is required')
})

t.test('tls_client_certificate_bound_access_tokens: true exactly where they can be used', async (t) => {
  for (const host of [HOST, STRICT, EITHER, PLAIN]) {
    const bound = (draft: Draft) => Object.assign(draft.token.claims, { cnf: { jkt: ed.jkt, 'x5t#S256': client.x5tS256 } })
    const reasons = await outcomes(host, (draft) => rebind(draft, ed, 'EdDSA'), bound)
    const { tls_client_certificate_bound_access_tokens: supported } = await documentOf(host)
    t.equal(supported, !reasons.includes('certificate_missing'), `${host}: ${reasons}`)
  }
})

t.test(
  'scopes_supported: every scope that a route demands; bearer_methods_supported: the header, and no other place',
  async (t) => {
    const scopes = {
      [HOST]: ['case.read', 'payments', 'case.write'],
      [STRICT]: undefined,
      [EITHER]: undefined,
      [PLAIN]: ['other'],
      [OPEN]: undefined,
    }
    for (const host of HOSTS) {
      const document = await documentOf(host)
      t.same(document.scopes_supported, scopes[host], host)
      t.same(document.bearer_methods_supported, ['header'])
    }
    const inQuery = anonymous(makeDraft({ host: PLAIN, path: '/profile?access_token=a.b.c' }))
    t.equal(reasonOf(await send(inQuery)), 'credentials_in_query')
  },
)

t.test('members without a value are left out', async (t) => {
  t.same(await documentOf(OPEN), {
    resource: `https://${OPEN}`,
    bearer_methods_supported: ['header'],
    dpop_bound_access_tokens_required: false,
    tls_client_certificate_bound_access_tokens: false,
  })
})

t.test('resource_metadata stands in every challenge, and leads to the document of the origin that was called', async (t) => {
  const step = (claims: object) =>
    change(makeDraft({ host: HOST, path: '/decision', method: 'POST' }), (draft) => {
      Object.assign(draft.token.claims, claims)
    })
  const refused: Readonly<Record<string, Draft>> = {
    credentials_missing: anonymous(makeDraft({ host: HOST, path: '/one' })),
    credentials_repeated: change(makeDraft({ host: HOST, path: '/one' }), (draft) => {
      draft.credentials = ({ authorization }) => [
        ['Authorization', authorization],
        ['Authorization', authorization],
      ]
    }),
    token_unbound: bearer(makeDraft({ host: STRICT, path: '/es' })),
    token_issuer: change(makeDraft({ host: PLAIN, path: '/profile' }), from('https://evil.example')),
    proof_target: change(makeDraft({ host: STRICT, path: '/es' }), (draft) =>
      Object.assign(draft.proof?.claims ?? {}, { htu: `https://${HOST}/es` }),
    ),
    nonce_missing: makeDraft({ host: HOST, path: '/nonce' }),
    scope_missing: change(makeDraft({ host: HOST, path: '/one' }), (draft) => {
      draft.token.claims.scope = 'case.read'
    }),
    authentication_weak: step({ acr: 'urn:example:aal1' }),
    authentication_old: step({ auth_time: 1 }),
  }
  for (const [reason, draft] of Object.entries(refused)) {
    const reply = await send(draft)
    t.equal(reasonOf(reply), reason)
    const challenges = reply.headers('www-authenticate')
    t.ok(challenges.length > 0, `${reason}: a challenge`)
    for (const challenge of challenges) {
      const [, url = ''] = / resource_metadata="([^"]+)"(?:,|$)/.exec(challenge) ?? []
      t.equal(url, `https://${draft.host}${DOCUMENT}`, challenge)
      const { host, pathname } = new URL(url)
      const found = JSON.parse((await send(anonymous(makeDraft({ host, path: pathname })))).body)
      t.equal(found.resource, `https://${draft.host}`, 'of the origin, whatever path was called (contract §4 C11)')
    }
  }
})

// The last test: it changes the policy.
t.test('the document follows the policy at a reload', async (t) => {
  const before = await documentOf(STRICT)
  await lab.reload((parts) => ({
    ...parts,
    routes:
      parts.routes?.replace(
        'path: /public, methods: [GET], tier: public,',
        `path: /open, methods: [GET], tier: ps, scopes: [new], ${ISSUER},`,
      ) ?? '',
  }))
  t.same(await documentOf(STRICT), {
    ...before,
    scopes_supported: ['new'],
    dpop_signing_alg_values_supported: ['PS256', 'ES256', 'EdDSA', 'Ed25519'],
    dpop_bound_access_tokens_required: false,
  })
})
