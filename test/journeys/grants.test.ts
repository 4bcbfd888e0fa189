// What must pass: every tier, every binding, every algorithm, the edges of each window, and spellings that standards allow
// and other gateways refuse. Each request goes over TLS, through the whole gateway, to the upstream.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { clientKey, type Draft, issuerKey, makeDraft, printDraft, rebind } from '../support/draft.js'
import { makeKey, signJwt } from '../support/jwt.js'
import { anonymous, bearer, boundTwice, certificateBound } from '../support/kinds.js'
import { HOST, type Lab, type LabYaml, type SendOptions, startLab } from '../support/lab.js'
import type { RawResponse } from '../support/raw.js'

const rsaKey = makeKey('PS256')
const edKey = makeKey('EdDSA')

const ISSUER = 'issuers: [https://as.example.com]'
const moreRoutes = (parts: LabYaml): LabYaml => ({
  ...parts,
  issuers: parts.issuers?.replace('[PS256, ES256, EdDSA]', '[PS256, ES256, EdDSA, RS256]') ?? '',
  routes: `${parts.routes}
  - { path: /, methods: [GET], tier: bound_read, upstream: cases, ${ISSUER} }
  - { path: /sensitive, methods: [GET], tier: sensitive_read, upstream: cases, ${ISSUER} }
  - { path: /nonce/2, methods: [GET], tier: high_value, upstream: cases, ${ISSUER} }`,
})

const lab = await startLab({ yaml: moreRoutes })
t.teardown(() => lab.stop())
const jwk = (key: typeof rsaKey, kid: string) => ({ ...key.jwk, kid })
lab.write('issuer.jwks', JSON.stringify({ keys: [jwk(issuerKey, 'issuer-1'), jwk(rsaKey, 'rsa'), jwk(edKey, 'ed')] }))
await lab.reload((parts) => parts)

const draft = (path = '/read/1', method = 'GET') => makeDraft({ host: HOST, path, method })
const change = (make: (draft: Draft) => void, path?: string, method?: string): Draft => {
  const changed = draft(path, method)
  make(changed)
  return changed
}
const claims = (values: Record<string, unknown>, path?: string) =>
  change((r) => Object.assign(r.proof?.claims ?? {}, values), path)
const header = (values: Record<string, unknown>) => change((r) => Object.assign(r.proof?.header ?? {}, values))
const token = (values: Record<string, unknown>, path?: string) => change((r) => Object.assign(r.token.claims, values), path)
const boundTo = (key: typeof edKey, alg: string) => change((r) => rebind(r, key, alg))
const signedWith = (key: typeof edKey, kid: string, alg: string, path?: string) =>
  change((r) => {
    r.token.key = key
    Object.assign(r.token.header, { kid, alg })
  }, path)
const htu = (value: string, target = '/read/1') => claims({ htu: value }, target)
const now = () => Math.floor(Date.now() / 1000)

type Rows = Record<string, () => Draft>

/** Every row must reach the upstream, without credentials and with an assertion. */
function grants(t: Tap, where: Lab, rows: Rows, options?: SendOptions) {
  for (const [title, make] of Object.entries(rows)) {
    t.test(`grants ${title}`, async (t) => {
      const before = where.upstreamCalls()
      const reply = await where.send(make(), options)
      t.equal(reply.status, 200, reply.body)
      t.equal(where.upstreamCalls(), before + 1)
      const headers = where.calls.at(-1)?.headers ?? {}
      t.match(headers['holdfast-assertion'], /^[\w-]+\.[\w-]+\.[\w-]+$/)
      t.equal(headers.authorization, undefined)
      t.equal(headers.dpop, undefined)
    })
  }
}
type Tap = typeof t

t.test('every tier', async (t) => {
  const body = Buffer.from('{"decision":"grant"}')
  grants(t as Tap, lab, {
    'public without credentials': () => anonymous(draft('/public')),
    'public with good ones, unread': () => draft('/public'),
    'public with garbage in their place': () =>
      change((r) => {
        r.credentials = () => [
          ['Authorization', 'DPoP a b'],
          ['Authorization', 'Bearer'],
          ['DPoP', '?'],
          ['DPoP', ''],
        ]
      }, '/public'),
    'public with a token in the query, which is the upstream’s business': () => anonymous(draft('/public?access_token=a&b=%7e')),
    'low_user with a bearer token': () => bearer(draft('/profile')),
    'low_user with a bearer token of an hour': () => bearer(token({ exp: now() + 3590, iat: now() }, '/profile')),
    'low_user with DPoP': () => draft('/profile'),
    'sensitive_read with a bearer token': () => bearer(draft('/sensitive')),
    'sensitive_read with DPoP': () => draft('/sensitive'),
    'sensitive_write with DPoP and a body': () => change((r) => (r.body = body), '/tenants/tenant-1/decision', 'POST'),
    'sensitive_write with DPoP and none': () => draft('/tenants/tenant-1/decision', 'POST'),
    'a route with a list of clients': () => draft('/partner'),
    'a token of Keycloak, which says in cnf what its jkt is': () => token({ cnf: { jkt: clientKey.jkt, 'kc-jkt-type': 'DPoP' } }),
  })
  t.test('a query reaches the upstream as it came', async (t) => {
    t.ok(lab.calls.some(({ url }) => url === '/public?access_token=a&b=%7e'))
  })
})

t.test('every algorithm', async (t) => {
  grants(t as Tap, lab, {
    'a proof with ES256': () => boundTo(makeKey('ES256'), 'ES256'),
    'a proof with PS256': () => boundTo(rsaKey, 'PS256'),
    'a proof with EdDSA': () => boundTo(edKey, 'EdDSA'),
    'a proof with Ed25519 (RFC 9864)': () => boundTo(edKey, 'Ed25519'),
    'a token with PS256': () => signedWith(rsaKey, 'rsa', 'PS256'),
    'a token with EdDSA': () => signedWith(edKey, 'ed', 'EdDSA'),
    'a token with Ed25519': () => signedWith(edKey, 'ed', 'Ed25519'),
    'a token with RS256, on low_user alone': () => bearer(signedWith(rsaKey, 'rsa', 'RS256', '/profile')),
    'a token without kid, of which one key fits': () =>
      change((r) => {
        delete r.token.header.kid
      }),
  })
})

t.test('every binding, where certificates are judged by a CA', async (t) => {
  const x5t = () => lab.thumbprint('client')
  const certificate = { certificate: 'client' } as const
  grants(
    t as Tap,
    lab,
    {
      'a certificate-bound token, binding mtls': () => certificateBound(draft('/mtls'), x5t()),
      'a certificate-bound token, binding any': () => certificateBound(draft(), x5t()),
      'a certificate-bound token, binding none': () => certificateBound(draft('/profile'), x5t()),
      'a token that is bound twice, binding both': () => boundTwice(draft('/both'), x5t()),
      'a token that is bound twice, binding any': () => boundTwice(draft(), x5t()),
      'a token that is bound twice, binding mtls': () => boundTwice(draft('/mtls'), x5t()),
      'a DPoP-bound token beside a certificate': () => draft(),
      'a bearer token beside a certificate': () => bearer(draft('/profile')),
    },
    certificate,
  )
  for (const name of ['expired', 'untrusted', 'selfSigned'] as const) {
    grants(
      t as Tap,
      lab,
      {
        [`a DPoP-bound token beside a certificate that is ${name} and not asked for`]: () => draft(),
        [`public beside one that is ${name}`]: () => anonymous(draft('/public')),
      },
      { certificate: name },
    )
  }
})

t.test('every binding, where certificates sign themselves', async (t) => {
  const popOnly = await startLab({
    store: 'memory',
    yaml: (parts) => ({
      ...parts,
      listen: '{ host: 127.0.0.1, port: 8443, tls: { key: server.key, cert: server.crt, client_certificates: pop_only } }',
    }),
  })
  t.teardown(() => popOnly.stop())
  for (const certificate of ['selfSigned', 'untrusted', 'client'] as const) {
    const x5t = () => popOnly.thumbprint(certificate)
    grants(
      t as Tap,
      popOnly,
      {
        [`a certificate-bound token and its ${certificate} certificate`]: () => certificateBound(draft('/mtls'), x5t()),
        [`a token that is bound twice and its ${certificate} certificate`]: () => boundTwice(draft('/both'), x5t()),
      },
      { certificate },
    )
  }
})

t.test('spellings of credentials', async (t) => {
  const scheme = (text: string) => change((r) => (r.scheme = text))
  const lines = (make: Draft['credentials']) => change((r) => (r.credentials = make))
  grants(t as Tap, lab, {
    'the scheme in small letters': () => scheme('dpop'),
    'the scheme in odd letters': () => scheme('dPOP'),
    'several spaces behind the scheme': () => scheme('DPoP   '),
    'bearer in odd letters': () => change((r) => (bearer(r).scheme = 'bEARER'), '/profile'),
    'header names in any case': () =>
      lines(({ authorization, dpop }) => [
        ['DPOP', dpop ?? ''],
        ['aUTHORIZATION', authorization],
      ]),
    'spaces around the values': () =>
      lines(({ authorization, dpop }) => [
        ['Authorization', `  ${authorization}  `],
        ['dpop', `\t${dpop} `],
      ]),
    'something in DPoP beside an unbound bearer token': () =>
      change((r) => (bearer(r).headers = [['DPoP', 'not.a.proof']]), '/profile'),
  })
})

t.test('spellings of htu', async (t) => {
  const at = (path: string) => `https://${HOST}${path}`
  grants(t as Tap, lab, {
    'scheme and host in capitals': () => htu(`HTTPS://${HOST.toUpperCase()}/read/1`),
    'the default port': () => htu(`https://${HOST}:443/read/1`),
    'an empty port': () => htu(`https://${HOST}:/read/1`),
    'dot segments that lead to the target': () => htu(at('/x/./../read/1')),
    'a letter escaped': () => htu(at('/%72ead/%31')),
    'a letter escaped in the target': () => htu(at('/read/1'), '/%72ead/1'),
    'a tilde escaped': () => htu(at('/read/%7Eu'), '/read/~u'),
    'an escape in small letters': () => htu(at('/read/a%2cb'), '/read/a%2Cb'),
    'an escape in small letters in the target': () => htu(at('/read/%C3%A9'), '/read/%c3%a9'),
    'a query and a fragment, which do not count': () => htu(`${at('/read/1')}?a=b#c`),
    'no query where the target has one': () => htu(at('/read/1'), '/read/1?a=b'),
    'no path, for the root': () => htu(`https://${HOST}`, '/'),
    'a slash, for the root': () => htu(at('/'), '/'),
    'a foreign X-Forwarded-Host and -Proto beside it': () =>
      change((r) => {
        r.headers = [
          ['X-Forwarded-Host', 'evil.example'],
          ['X-Forwarded-Proto', 'http'],
          ['Forwarded', 'host=evil.example;proto=http'],
        ]
      }),
  })
})

t.test('what RFC 9449 leaves open', async (t) => {
  grants(t as Tap, lab, {
    'unknown members in header and claims': () =>
      change((r) => {
        Object.assign(r.proof?.header ?? {}, { 'x-new': { a: [1] }, kid: 'k' })
        Object.assign(r.proof?.claims ?? {}, { new: null, aud: 'x', iss: 'y', sub: 1 })
        Object.assign(r.token.claims, { new: { deep: [{}] }, act: { sub: 'x' } })
        Object.assign(r.token.header, { 'x-new': 1, jku: 'https://evil.example', jwk: {}, x5u: 'https://evil.example' })
      }),
    'further public members in the key': () =>
      header({ jwk: { ...clientKey.jwk, use: 'sig', alg: 'ES256', kid: 'mine', 'x-y': 1 } }),
    'a jti of any form': () => claims({ jti: `é "\\ ${'j'.repeat(1000)}${now()}` }),
    'a nonce where none is asked for': () => claims({ nonce: 'of another server' }),
    'the same jti by another key': () => {
      const used = draft()
      const key = makeKey('ES256')
      rebind(used, key, 'ES256')
      if (used.proof !== null) used.proof.claims.jti = 'shared'
      return used
    },
    'and by ours': () => claims({ jti: 'shared' }),
    'typ in any case and with application/': () => change((r) => (r.token.header.typ = 'application/AT+JWT')),
    'a list of audiences': () => token({ aud: ['https://other.example.com', 'https://api.example.com'] }),
    'scopes as a list': () => token({ scope: ['case.read', 'case.write'] }),
  })
})

t.test('the edges of each window', async (t) => {
  grants(t as Tap, lab, {
    'a proof of 58 s ago': () => claims({ iat: now() - 58 }),
    'a proof of 9 s ahead': () => claims({ iat: now() + 9 }),
    'a proof with a fraction of a second': () => claims({ iat: now() - 0.5 }),
    'a proof with exp ahead and nbf past': () => claims({ exp: now() + 5, nbf: now() - 5 }),
    'a token with iat and nbf 9 s ahead': () => token({ iat: now() + 9, nbf: now() + 9, exp: now() + 200 }),
    'a token for two seconds more': () => token({ exp: now() + 2 }),
    'a token of the longest life': () => token({ iat: now() - 100, exp: now() + 500 }),
    'authentication of 14 minutes and 55 seconds ago': () =>
      change((r) => (r.token.claims.auth_time = now() - 895), '/tenants/tenant-1/decision', 'POST'),
    'authentication of 9 s ahead': () =>
      change((r) => (r.token.claims.auth_time = now() + 9), '/tenants/tenant-1/decision', 'POST'),
  })
})

t.test('the nonce dance', async (t) => {
  const first = await lab.send(draft('/nonce'))
  t.equal(first.status, 401)
  t.match(first.header('www-authenticate'), /error="use_dpop_nonce"/)
  const nonce = first.header('dpop-nonce') ?? ''
  const withNonce = (value: string, path = '/nonce', more: Record<string, unknown> = {}) =>
    claims({ nonce: value, ...more }, path)

  const second = await lab.send(withNonce(nonce))
  t.equal(second.status, 200, second.body)
  t.match(second.header('dpop-nonce'), /^[\x21\x23-\x5b\x5d-\x7e]+$/, 'the next one comes with the answer')
  t.equal(second.header('cache-control'), 'no-store')
  t.equal((await lab.send(withNonce(nonce))).status, 200, 'again, for another proof')
  t.equal((await lab.send(withNonce(nonce, '/nonce/2'))).status, 200, 'on another route')
  for (const seconds of [-3590, 3590]) {
    const reply = await lab.send(withNonce(nonce, '/nonce', { iat: now() + seconds }))
    t.equal(reply.status, 200, `iat ${seconds} s: the nonce says how young the proof is`)
  }
  const once = withNonce(nonce, '/nonce', { iat: now() - 3590 })
  t.equal((await lab.send(once)).status, 200)
  t.equal(JSON.parse((await lab.send(once)).body).reason, 'proof_replayed', 'once, whatever its iat says')

  await sleep(1100)
  const third = await lab.send(withNonce(nonce))
  t.equal(third.status, 200, 'that of a second before')
  t.not(third.header('dpop-nonce'), nonce)

  for (const request of [draft(), draft('/profile'), anonymous(draft('/public')), claims({ ath: 'x' }), draft('/unknown')]) {
    const reply = await lab.send(request)
    t.same(reply.headers('dpop-nonce'), [], `none on ${request.target}, answered ${reply.status}`)
  }
})

t.test('1500 honest proofs of one key in a row', async (t) => {
  const model = draft()
  const signed = signJwt(model.token.header, model.token.claims, issuerKey.privateKey)
  const request = () => printDraft(change((r) => (r.spoilToken = () => signed)))
  const statuses: Record<number, number> = {}
  const pace = async (count: number) => {
    const client = await lab.open()
    for (let sent = 0; sent < count; sent += 15) {
      client.send(...Array.from({ length: 15 }, request))
      for (let i = 0; i < 15; i++) {
        const { status } = await client.response()
        statuses[status] = (statuses[status] ?? 0) + 1
      }
    }
    client.close()
  }
  await Promise.all([1, 2, 3, 4].map(() => pace(375)))
  t.same(statuses, { 200: 1500 })
})

t.test('forms of HTTP', async (t) => {
  const ask = async (bytes: Buffer | string, method = 'GET'): Promise<RawResponse> => {
    const client = await lab.open()
    t.teardown(() => client.close())
    client.send(bytes)
    const reply = await client.response({ method })
    if (reply.header('connection') === 'close') await client.ended()
    return reply
  }
  t.test('HEAD on a route for GET, with htm HEAD', async (t) => {
    const reply = await ask(printDraft(draft('/read/1', 'HEAD')), 'HEAD')
    t.equal(reply.status, 200)
    t.equal(lab.calls.at(-1)?.method, 'HEAD')
    const wrong = change((r) => Object.assign(r.proof?.claims ?? {}, { htm: 'GET' }), '/read/1', 'HEAD')
    t.equal((await ask(printDraft(wrong), 'HEAD')).status, 401)
  })
  t.test('a target in absolute form', async (t) => {
    for (const origin of [`https://${HOST}`, `HTTPS://${HOST.toUpperCase()}:443`]) {
      const request = draft()
      request.target = `${origin}/read/1?a`
      const reply = await ask(printDraft(request))
      t.equal(reply.status, 200, reply.body.toString())
      t.equal(lab.calls.at(-1)?.url, '/read/1?a')
    }
  })
  t.test('HTTP/1.0 with a Host: served and closed', async (t) => {
    const reply = await ask(printDraft(draft()).toString('latin1').replace('HTTP/1.1', 'HTTP/1.0'))
    t.equal(reply.status, 200)
    t.equal(reply.header('connection'), 'close')
    t.equal(reply.header('transfer-encoding'), undefined)
  })
  t.test('Host with its default port, and in capitals', async (t) => {
    for (const host of [`${HOST}:443`, HOST.toUpperCase()]) {
      const request = draft()
      request.host = host
      t.equal((await ask(printDraft(request))).status, 200, host)
    }
  })
  t.test('a chunked body', async (t) => {
    const request = draft('/tenants/tenant-1/decision', 'POST')
    request.headers = [['Transfer-Encoding', 'chunked']]
    const reply = await ask(Buffer.concat([printDraft(request), Buffer.from('3\r\nabc\r\n0\r\n\r\n')]))
    t.equal(reply.status, 200)
    t.equal(lab.calls.at(-1)?.body.toString(), 'abc')
  })
})
