// Could what Fastify, its proxy plugins and undici were found to do be done to the gateway? Headers, messages and TLS of what is behind
// it; paths have a file of their own, and so has `holdfast client`, which is what the plugins serve here.
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { makeCertificate } from '../support/certs.js'
import { issuerKey, makeDraft } from '../support/draft.js'
import { base64url, makeKey, sha256, signJwt } from '../support/jwt.js'
import { anonymous, bearer, certificateBound } from '../support/kinds.js'
import { HOST, type Lab, startLab } from '../support/lab.js'
import { casesOf, changed, claims, grants, ISSUER, pairsOf, reasonOf, refuses } from './attack.js'
import { openRecorder } from './recorder.js'

// Before there is a gateway: making one holds the process up, and the gateway would call itself overloaded.
const rsaKey = makeKey('PS256')
const selfSigned = await openRecorder({
  tls: await makeCertificate({ subject: 'CN=localhost', names: ['localhost', '127.0.0.1'] }),
})
const secretive = await openRecorder({
  answer: (_, response) =>
    response
      .writeHead(200, { Connection: 'close, X-Secret, x-other-secret', 'X-Secret': 's1', 'X-OTHER-SECRET': 's2', 'X-Open': 'o' })
      .end('{}'),
})

const route = (path: string, upstream: string) =>
  `  - { path: ${path}, methods: [GET, POST], tier: bound_read, upstream: ${upstream}, ${ISSUER} }\n`
const lab: Lab = await startLab({
  store: 'memory',
  yaml: (parts) => {
    const url = /url: '([^']+)'/.exec(parts.upstreams ?? '')?.[1]
    const legacy = `url: '${url}', client_cert: true, set_headers: { X-Remote-User: token.sub, X-Tenant-Id: tenant_of_all }`
    return {
      ...parts,
      limits: '{ header_bytes: 64KiB }',
      issuers: `
  - { issuer: https://as.example.com, audience: https://api.example.com, jwks_file: issuer.jwks, algorithms: [PS256, ES256, EdDSA, RS256] }
  - { issuer: https://as2.example.com, audience: https://api.example.com, jwks_file: issuer.jwks, algorithms: [ES256] }`,
      upstreams: `
  cases: { url: '${url}', audience: cases }
  legacy: { ${legacy} }
  self_signed: { url: '${selfSigned.origin}' }
  secretive: { url: '${secretive.origin}' }`,
      routes: `${parts.routes}\n${route('/legacy', 'legacy')}${route('/self-signed', 'self_signed')}${route('/secretive', 'secretive')}`,
    }
  },
})
t.teardown(async () => {
  await lab.stop()
  selfSigned.close()
  secretive.close()
})
const lastCall = () => pairsOf(lab.calls.at(-1)?.rawHeaders ?? [])
lab.write(
  'issuer.jwks',
  JSON.stringify({
    keys: [
      { ...issuerKey.jwk, kid: 'issuer-1' },
      { ...rsaKey.jwk, kid: 'no-alg' },
    ],
  }),
)
await lab.reload((parts) => parts)

t.test('CVE-2026-107318: an upstream with a certificate that nobody vouches for is not spoken to', async (t) => {
  const reply = await lab.send(changed(undefined, '/self-signed'))
  t.equal(reply.status, 502)
  t.equal(reasonOf(reply), 'upstream_unreachable')
  t.equal(selfSigned.asked.length, 0, 'nothing was sent to it, least of all an assertion')
})

t.test('CVE-2026-33805: Connection cannot take away what the gateway adds', async (t) => {
  const certificate = { certificate: 'client' } as const
  const send = async (headers: [string, string][]) => {
    const request = certificateBound(makeDraft({ host: HOST, path: '/legacy' }), lab.thumbprint('client'))
    request.headers = headers
    await grants(t, lab, request, 'the request passes', certificate)
    return lastCall()
  }
  const added = (await send([])).map(([name]) => name)
  for (const name of ['Holdfast-Assertion', 'X-Remote-User', 'X-Tenant-Id', 'Client-Cert', 'X-Request-Id', 'Forwarded', 'Via'])
    t.ok(added.includes(name), `${name} is one that the gateway adds`)
  for (const i of casesOf('x').keys()) {
    const spelt = added.map((name) => casesOf(name)[i] ?? name).filter((name) => name.toLowerCase() !== 'host')
    const copies = spelt
      .filter((name) => !/^(?:connection|content-length|transfer-encoding)$/i.test(name))
      .map((name): [string, string] => [name, 'spoofed'])
    const got = await send([['Connection', `close, ${spelt.join(', ')}`], ...copies])
    t.same(
      got.map(([name]) => name),
      added,
      `each once, and nothing else: ${spelt[0]}`,
    )
    t.notOk(
      got.some(([, value]) => value.includes('spoofed')),
      'and none is the client’s copy',
    )
  }
})

t.test('CVE-2026-3635: X-Forwarded headers of a peer do not move htu', async (t) => {
  const spoofs: [string, string][][] = [
    [['X-Forwarded-Host', 'evil.example.com']],
    [['X-Forwarded-Proto', 'http']],
    [['X-Forwarded-Port', '8443']],
    [['Forwarded', 'host=evil.example.com;proto=http']],
    [
      ['X-Original-Host', 'evil.example.com'],
      ['X-Host', 'evil.example.com'],
    ],
  ]
  const elsewhere = ['https://evil.example.com/read/1', `http://${HOST}/read/1`, `https://${HOST}:8443/read/1`]
  for (const headers of spoofs) {
    const said = headers.map(([name, value]) => `${name}: ${value}`).join(', ')
    for (const htu of elsewhere) {
      const request = claims({ htu })
      request.headers = headers
      await refuses(t, lab, request, 'proof_target', `${htu} with ${said}`)
    }
    await grants(
      t,
      lab,
      changed((draft) => (draft.headers = headers)),
      `an honest proof beside ${said}`,
    )
  }
})

t.test('CVE-2026-107832: a reserved header is removed in whatever case it comes', async (t) => {
  const names = ['X-User', 'X-Roles', 'X-Remote-User', 'X-Internal-Assertion']
  await grants(
    t,
    lab,
    changed((draft) => (draft.headers = names.flatMap((name) => casesOf(name).map((one): [string, string] => [one, 'spoofed'])))),
  )
  t.notOk(lastCall().some(([, value]) => value === 'spoofed'))
})

// A proxy has no schema: what a Content-Type means is the backend's to say, and no decision of ours may hang on it. So odd ones are
// neither refused with 415 nor repaired (RFC 9110 §8.3, §7.7); what must hold is that they switch nothing off.
t.test('CVE-2026-33806, CVE-2025-32442, CVE-2026-3419: no check hangs on Content-Type', async (t) => {
  const types = ['application/json', 'application/json x', 'application/json;', 'APPLICATION/JSON\t;charset=x', 'x', 'a/b/c', '']
  const body = Buffer.from('{"decision":"close"}')
  const posted = (type: string) =>
    changed(
      (draft) => {
        draft.headers = [['Content-Type', type]]
        draft.body = body
      },
      '/tenants/tenant-1/decision',
      'POST',
    )
  for (const type of types) {
    await grants(t, lab, posted(type), `"${type}"`)
    const call = lab.calls.at(-1)
    t.equal(call?.headers['content-type'], type, 'byte for byte')
    t.ok(call?.body.equals(body), 'with its body')
    const payload = String(call?.headers['holdfast-assertion']).split('.')[1] ?? ''
    t.equal(JSON.parse(Buffer.from(payload, 'base64url').toString()).bdh, sha256(body), 'whose digest is signed')

    const stolen = posted(type)
    stolen.token.claims.cnf = { jkt: makeKey().jkt }
    await refuses(t, lab, stolen, 'proof_key', `"${type}" opens nothing`)
    const large = posted(type)
    large.body = Buffer.alloc(1024 * 1024 + 1)
    await refuses(t, lab, large, 'body_too_large', `"${type}" lifts no limit`)
  }
  await grants(t, lab, posted(' application/json'))
  t.equal(
    lab.calls.at(-1)?.headers['content-type'],
    'application/json',
    'spaces around a value are not part of it (RFC 9110 §5.5)',
  )
  t.notMatch(sourcesOf('src/edge/server.ts'), /\bschema:/, 'Fastify validates nothing here')
})

t.test('CVE-2026-1525: one message stays one, however its length is repeated', async (t) => {
  const smuggled = `GET /public?smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`
  const length = (name: string, of = smuggled.length) => `${name}: ${of}\r\n`
  const heads = [
    length('Content-Length') + length('content-length'),
    length('Content-Length') + length('CONTENT-LENGTH', 0),
    length('content-length', 0) + length('Content-length'),
    `${length('Content-Length')}Transfer-Encoding: chunked\r\n`,
    `transfer-encoding: chunked\r\n${length('CONTENT-LENGTH')}`,
  ]
  for (const lines of heads) {
    const before = lab.upstreamCalls()
    const reply = await lab.sendRaw(`POST /public HTTP/1.1\r\nHost: ${HOST}\r\n${lines}\r\n${smuggled}`)
    t.equal(reasonOf(reply), 'request_malformed', JSON.stringify(lines))
    t.equal(lab.upstreamCalls(), before)
  }
  const one = anonymous(changed((draft) => (draft.body = Buffer.from('x=1')), '/public', 'POST'))
  await grants(t, lab, one, 'an honest one')
  t.same(
    lastCall()
      .filter(([name]) => /^(?:content-length|transfer-encoding)$/i.test(name))
      .map(([, value]) => value),
    ['3'],
    'has one length',
  )
})

t.test('CVE-2026-1527: nothing of an Upgrade value becomes a header or a request', async (t) => {
  for (const value of ['a\rX-Injected: 1', 'a\nX-Injected: 1', 'a\r\n X-Injected: 1', 'a\0b', 'a\r\n\tb']) {
    const before = lab.upstreamCalls()
    const head = `GET /public HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: ${value}\r\n\r\n`
    const reply = await lab.sendRaw(Buffer.from(head, 'latin1'))
    t.equal(reasonOf(reply), 'request_malformed', JSON.stringify(value))
    t.equal(lab.upstreamCalls(), before)
  }
  const head = `GET /public HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: foo, websocket/13\r\n\r\n`
  t.equal((await lab.sendRaw(head)).status, 200, 'an Upgrade that no route serves is a plain request')
  t.notOk(
    lastCall().some(([name]) => /^upgrade$/i.test(name)),
    'without it',
  )
})

t.test('CVE-2026-71849: what the upstream’s Connection names stays on its hop', async (t) => {
  const reply = await lab.send(changed(undefined, '/secretive'))
  t.equal(reply.status, 200)
  t.equal(reply.header('x-open'), 'o')
  t.same([...reply.headers('x-secret'), ...reply.headers('x-other-secret')], [])
})

t.test('CVE-2026-22817: the algorithm is never the token’s choice', async (t) => {
  const rsa = () =>
    bearer(
      changed((draft) => {
        draft.token.key = rsaKey
        Object.assign(draft.token.header, { kid: 'no-alg', alg: 'RS256' })
      }, '/profile'),
    )
  await grants(t, lab, rsa(), 'the RSA key, which names no alg, is good for RS256')
  const pems = (['spki', 'pkcs1'] as const).map((type) => rsaKey.publicKey.export({ type, format: 'pem' }).toString())
  const secrets = [...pems, ...pems.map((pem) => pem.trim()), JSON.stringify(rsaKey.jwk), String(rsaKey.jwk.n)]
  for (const secret of secrets) {
    const forged = rsa()
    const header = { ...forged.token.header, alg: 'HS256' }
    forged.spoilToken = () => signJwt(header, forged.token.claims, Buffer.from(secret))
    await refuses(t, lab, forged, 'token_algorithm', `HS256 keyed with ${secret.slice(0, 30)}`)
    const renamed = rsa()
    const [, payload, signature] = signJwt(header, renamed.token.claims, Buffer.from(secret)).split('.')
    renamed.spoilToken = () => `${base64url(renamed.token.header)}.${payload}.${signature}`
    await refuses(t, lab, renamed, 'token_signature', 'and called RS256')
  }
})

t.test('CVE-2026-35039: a token that shares its ends with a cached one is another token', async (t) => {
  const known = changed(undefined)
  const text = signJwt(known.token.header, known.token.claims, issuerKey.privateKey)
  const [header, payload = '', signature = ''] = text.split('.')
  known.spoilToken = () => text
  await grants(t, lab, known, 'fills the cache')
  const others = { ...known.token.claims, sub: 'admin', scope: 'case.read case.write admin' }
  const half = payload.length >> 1
  const forgeries = {
    'head and signature': `${header}.${base64url(others)}.${signature}`,
    'all but a letter of the payload': `${header}.${payload.slice(0, half)}${payload[half] === 'A' ? 'B' : 'A'}${payload.slice(half + 1)}.${signature}`,
    'all but the end': `${text.slice(0, -10)}AAAAAAAAAA`,
    'all but the beginning': `${base64url({ ...known.token.header, x: 1 })}.${payload}.${signature}`,
  }
  for (const [why, forged] of Object.entries(forgeries)) {
    const reason = reasonOf(await lab.send(changed((draft) => (draft.spoilToken = () => forged))))
    t.match(reason, /^token_(?:signature|malformed)$/, why)
  }
  t.equal(
    reasonOf(
      await lab.send(
        changed((draft) => {
          draft.spoilToken = () => text
        }, '/partner'),
      ),
    ),
    'granted',
    'the known one goes on, judged by each route',
  )
})

t.test('CVE-2026-92395: no address is trusted, IPv4 in IPv6 least of all', { skip: !hasIpv6() && 'no IPv6 here' }, async (t) => {
  const dual = await startLab({
    store: 'memory',
    yaml: (parts) => ({
      ...parts,
      listen: parts.listen?.replace('127.0.0.1', "'::'") ?? '',
      tiers: `${parts.tiers}  public: { rate_limit: { rate: 2/m, by: address }, audit: all }\n`,
    }),
  })
  t.teardown(() => dual.stop())
  const ask = async (forwardedFor: string) => {
    const request = anonymous(changed((draft) => (draft.headers = [['X-Forwarded-For', forwardedFor]]), '/public'))
    return reasonOf(await dual.send(request))
  }
  const said = [await ask('203.0.113.1'), await ask('10.0.0.1, 203.0.113.2'), await ask('::ffff:203.0.113.3')]
  t.same(said, ['granted', 'granted', 'rate_limited'], 'a caller is one caller, whomever it claims to be')
  for (const call of dual.calls) t.equal(call.headers['x-forwarded-for'], '127.0.0.1', 'the real peer alone')
  const setting = { listen: "{ host: '::', trust_proxy: '::ffff:10.0.0.0/8', tls: { key: server.key, cert: server.crt } }" }
  await t.rejects(
    async () => dual.reload((parts) => ({ ...parts, ...setting })),
    /trust_proxy/,
    'and there is no setting that would change it',
  )
})

t.test(
  'CVE-2026-92395, CVE-2026-3635, CVE-2026-107832, CVE-2026-1525: what is installed is of no affected version',
  async (t) => {
    const floors = { fastify: '5.12.6', undici: '7.24.0', '@fastify/proxy-addr': '5.1.1' }
    for (const [name, floor] of Object.entries(floors)) {
      const { version } = JSON.parse(sourcesOf(`node_modules/${name}/package.json`))
      t.ok(isAtLeast(version, floor), `${name} ${version} is ${floor} or newer`)
    }
  },
)

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === '::1'))
}

function sourcesOf(path: string): string {
  return readFileSync(join(import.meta.dirname, '..', '..', '..', path), 'utf8')
}

function isAtLeast(version: string, floor: string): boolean {
  const [have, want] = [version, floor].map((text) => text.split('.').map(Number))
  const differing = want?.findIndex((part, i) => part !== have?.[i]) ?? -1
  return differing < 0 || (have?.[differing] ?? 0) > (want?.[differing] ?? 0)
}
