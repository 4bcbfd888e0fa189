// Tokens that others took from the wrong hand: caches that answer for another route, keys that a token brings along, and issuers whose
// keys are slow, huge, somewhere else or nobody's.
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { guardedLookup, readFetchUrl } from '../../src/keys/addresses.js'
import { json, startKeyServer } from '../keys/key-server.js'
import { type Draft, issuerKey, printDraft } from '../support/draft.js'
import { base64url, makeKey, signJwt } from '../support/jwt.js'
import { bearer } from '../support/kinds.js'
import { HOST, type LabYaml, startLab } from '../support/lab.js'
import { changed, grants, ISSUER, proofOf, reasonOf, refuses } from './attack.js'

const ISSUED = { ...issuerKey.jwk, kid: 'issuer-1' }
// Before there is a gateway: making them holds the process up, and the gateway would call itself overloaded.
const RSA = makeKey('PS256')
const BOMB = gzipSync(Buffer.alloc(20_000_000, 0x20))
/** How issuers answer that have gone wrong, or never were issuers; `silent` is first, because its second fetch takes seconds again. */
const elsewhere = await startKeyServer(json({ keys: [ISSUED] }))
const WRONG = {
  silent: await startKeyServer(() => undefined),
  failing: await startKeyServer(json({ keys: [ISSUED] }, 500)),
  large: await startKeyServer((_, response) => {
    response.write(`{"keys":[${JSON.stringify(ISSUED)}],"pad":"`)
    response.end(Buffer.alloc(10_000_000, 'x'))
  }),
  bomb: await startKeyServer((_, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(BOMB)
  }),
  page: await startKeyServer((_, response) => void response.end('<html>Sign in</html>')),
  redirecting: await startKeyServer(
    (_, response) => void response.writeHead(302, { location: `${elsewhere.origin}/jwks` }).end(),
  ),
  cut: await startKeyServer((_, response) => {
    response.writeHead(200, { 'content-length': '1000' }).write('{"keys":')
    response.destroy()
  }),
}
const good = await startKeyServer(json({ keys: [ISSUED] }))
const names = Object.keys(WRONG) as (keyof typeof WRONG)[]
const issuerOf = (name: string) => `https://${name}.example.com`
const fetched = (uris: Readonly<Record<string, string>>) => (parts: LabYaml) => {
  const more = Object.entries(uris).map(
    ([name, uri]) =>
      `  - { issuer: '${issuerOf(name)}', audience: https://api.example.com, jwks_uri: '${uri}', algorithms: [ES256] }\n`,
  )
  const routes = Object.keys(uris).map(
    (name) => `  - { path: /from/${name}, methods: [GET], tier: bound_read, upstream: cases, issuers: ['${issuerOf(name)}'] }\n`,
  )
  return { ...parts, issuers: `${parts.issuers}\n${more.join('')}`, routes: `${parts.routes}\n${routes.join('')}` }
}
const lab = await startLab({
  store: 'memory',
  yaml: (parts) => {
    const { routes, ...rest } = fetched({ good: `${good.origin}/jwks` })(parts)
    return {
      ...rest,
      routes: `${routes}  - { path: /sensitive, methods: [GET], tier: sensitive_read, upstream: cases, ${ISSUER} }\n`,
    }
  },
})
t.teardown(async () => {
  await lab.stop()
  await Promise.all([elsewhere, good, ...Object.values(WRONG)].map((server) => server.close()))
})
const from = (name: string, change: (draft: Draft) => void = () => undefined) =>
  changed((draft) => {
    draft.token.claims.iss = issuerOf(name)
    change(draft)
  }, `/from/${name}`)

t.test('CVE-2025-64527, CVE-2024-45809: key servers that fail in every way close their own routes and no other', async (t) => {
  const places = names.map((name) => [name, `${WRONG[name].origin}/jwks`])
  const beset = await startLab({
    store: 'memory',
    yaml: fetched(Object.fromEntries([...places, ['good', `${good.origin}/jwks`]])),
  })
  t.teardown(() => beset.stop())
  for (const name of names) {
    await refuses(t, beset, from(name), 'keys_unavailable', name)
    await grants(t, beset, from('good'), `beside ${name}`)
  }
  const asked = good.asked.length
  const storm = await Promise.all(
    Array.from({ length: 200 }, (_, i) => lab.send(from('good', (draft) => (draft.token.header.kid = `unknown-${i}`)))),
  )
  t.ok(
    storm.every((reply) => /^(?:keys_unavailable|token_signature)$/.test(reasonOf(reply))),
    'unknown kids are refused',
  )
  t.ok(good.asked.length <= asked + 1, 'and 200 of them are one fetch at most')
  await grants(t, lab, from('good'), 'the known key goes on')
})

t.test(
  'pyjwt PR 1169, floci PR 3743: keys come from https, not by redirect, and not from where clouds keep theirs',
  async (t) => {
    t.same(elsewhere.asked, [], 'where the redirect pointed no one asked')
    const places = [
      'http://169.254.169.254/latest/meta-data',
      'https://169.254.169.254/jwks',
      'https://[::ffff:169.254.169.254]/jwks',
    ]
    for (const uri of [
      ...places,
      'file:///etc/passwd',
      'ftp://as.example.com/jwks',
      'http://as.example.com/jwks',
      'data:,{}',
      'gopher://x/',
    ])
      t.type(readFetchUrl(uri), 'string', uri)
    for (const uri of ['file:///etc/passwd', 'ftp://as.example.com/jwks', 'http://as.example.com/jwks', places[0]])
      await t.rejects(
        async () =>
          lab.reload((parts) => ({
            ...parts,
            issuers: parts.issuers?.replace('jwks_file: issuer.jwks', `jwks_uri: '${uri}'`) ?? '',
          })),
        /jwks_uri/,
        `${uri} is no place to name`,
      )
    // What a rebound name would answer: getaddrinfo gives an address back as itself.
    const answer = await new Promise((resolve) =>
      guardedLookup('https:')('169.254.169.254', { all: true }, (error) => resolve(error)),
    )
    t.match(answer, /link-local/, 'judged again for every connection, after DNS')
  },
)

t.test('NodeDB #61: a foreign issuer is refused, also where there is only one to choose from', async (t) => {
  const single = await startLab({
    store: 'memory',
    yaml: (parts) => ({ ...parts, issuers: parts.issuers?.split('\n').slice(0, 2).join('\n') ?? '' }),
  })
  t.teardown(() => single.stop())
  await grants(t, single, changed(), 'its own')
  for (const iss of [
    'https://evil.example.com',
    'https://as.example.com/',
    'https://AS.example.com',
    '',
    undefined,
    null,
    ['https://as.example.com'],
  ]) {
    const foreign = changed((draft) => {
      draft.token.claims.iss = iss
      if (iss === undefined) delete draft.token.claims.iss
    })
    await refuses(t, single, foreign, 'token_issuer', JSON.stringify(iss))
  }
})

t.test(
  'CVE-2026-33496, Heimdall #3452, CVE-2021-32701, CVE-2026-35030: a cached token is judged anew on each route',
  async (t) => {
    const known = bearer(changed(undefined, '/profile'))
    const text = signJwt(known.token.header, known.token.claims, issuerKey.privateKey)
    const at = (path: string, method?: string) => {
      const request = bearer(changed(undefined, path, method))
      request.spoilToken = () => text
      return request
    }
    await grants(t, lab, at('/profile'), 'primed where no binding is demanded')
    const expected = {
      '/read/1': 'token_unbound',
      '/nonce': 'token_unbound',
      '/partner': 'token_unbound',
      '/mtls': 'token_unbound',
    }
    for (const [path, reason] of Object.entries(expected)) await refuses(t, lab, at(path), reason, path)
    await refuses(t, lab, at('/from/good'), 'token_issuer', 'a route of another issuer')
    await grants(t, lab, at('/sensitive'), 'and where it is good it still is')

    const narrow = changed((draft) => (draft.token.claims.scope = 'other'), '/profile')
    const narrowText = signJwt(narrow.token.header, narrow.token.claims, issuerKey.privateKey)
    narrow.spoilToken = () => narrowText
    await grants(t, lab, narrow, 'primed where no scope is demanded')
    const wider = changed()
    wider.spoilToken = () => narrowText
    await refuses(t, lab, wider, 'scope_missing', 'where scopes are')

    // The same kid and key, so that only the issuer's name keeps two tokens apart.
    const twin = from('good', (draft) => Object.assign(draft.token.claims, { jti: known.token.claims.jti, sub: 'user-2' }))
    await grants(t, lab, twin, 'another issuer’s token of the same jti')
    const payload = String(lab.calls.at(-1)?.headers['holdfast-assertion']).split('.')[1] ?? ''
    t.match(JSON.parse(Buffer.from(payload, 'base64url').toString()), { sub: 'user-2', token: { iss: issuerOf('good') } })
  },
)

t.test('CVE-2026-29000: a token wrapped in encryption is no token', async (t) => {
  const inner = `${base64url({ alg: 'none' })}.${base64url(changed().token.claims)}.`
  const jwe = (cty: string) =>
    [base64url({ alg: 'RSA-OAEP-256', enc: 'A256GCM', cty, kid: 'issuer-1' }), 'a2V5', 'aXY', base64url(inner), 'dGFn'].join('.')
  for (const text of [jwe('JWT'), jwe('at+jwt'), inner, `${inner}a2V5`]) {
    const reply = await lab.send(changed((draft) => (draft.spoilToken = () => text)))
    t.equal(reply.status, 401)
    t.match(reasonOf(reply), /^token_(?:malformed|type|algorithm|issuer)$/, text.slice(0, 40))
  }
  const nested = changed((draft) => {
    draft.token.header.cty = 'JWT'
    draft.spoilToken = () => signJwt({ ...draft.token.header, typ: 'JWT' }, inner, issuerKey.privateKey)
  })
  await refuses(t, lab, nested, 'token_malformed', 'nor one that is wrapped in a signature')
})

t.test('CVE-2018-0114, OWASP cheat sheet PR 2317: keys that a token brings are neither used nor fetched', async (t) => {
  const mine = makeKey()
  const thief = await startKeyServer(
    json({
      keys: [
        { ...mine.jwk, kid: 'issuer-1' },
        { ...mine.jwk, kid: 'mine' },
      ],
    }),
  )
  t.teardown(() => thief.close())
  const x5c = [RSA.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')]
  const url = `${thief.origin}/jwks`
  const headers = [
    { jwk: mine.jwk },
    { jku: url },
    { x5u: url },
    { x5c },
    { jku: url, x5u: url, jwk: mine.jwk, x5c },
    { kid: url },
  ]
  for (const header of headers) {
    for (const kid of ['issuer-1', undefined]) {
      const forged = changed((draft) => {
        draft.token.key = mine
        draft.token.header = { typ: 'at+jwt', alg: 'ES256', ...(kid === undefined ? {} : { kid }), ...header }
      })
      await refuses(t, lab, forged, 'token_signature', JSON.stringify(Object.keys(header)))
    }
  }
  await grants(
    t,
    lab,
    changed((draft) => Object.assign(draft.token.header, { jku: url, x5u: url })),
    'they change nothing in an honest token either',
  )
  const proof = changed((draft) => Object.assign(proofOf(draft).header, { jku: url, x5u: url, kid: url }))
  await lab.send(proof)
  t.same(thief.asked, [], 'and nobody asked there')
})

// A JWT is not asked about here, so no word about it can be stale: it dies by its exp, by `token_max_ttl`, or with its key. Where its issuer is
// asked, test/introspection/ says how old an answer may be.
t.test('CVE-2026-8922: a token that its issuer has given up dies with its key, though it is cached', async (t) => {
  const known = changed()
  const text = signJwt(known.token.header, known.token.claims, issuerKey.privateKey)
  const again = () => changed((draft) => (draft.spoilToken = () => text))
  await grants(t, lab, again(), 'cached')
  lab.write('issuer.jwks', JSON.stringify({ keys: [{ ...makeKey().jwk, kid: 'issuer-2' }] }))
  await lab.reload((parts) => parts)
  await refuses(t, lab, again(), 'token_signature', 'its key is gone')
  const long = from('good', (draft) => {
    draft.token.claims.iat = draft.now - 86_400
  })
  await refuses(t, lab, long, 'token_lifetime', 'and none lives longer than its tier allows, whatever nobody revoked')
  const opaque = changed((draft) => (draft.spoilToken = () => 'c2Vzc2lvbg'), '/profile')
  t.match(reasonOf(await lab.sendRaw(printDraft(opaque))), 'token_malformed', `no one is asked about an opaque token for ${HOST}`)
})
