// What a reload changes at once, also for tokens, proof keys and connections that were there before (contract §2 Reload).
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { makeAssertionKey } from '../support/certificates.js'
import { makeCrl } from '../support/certs.js'
import { type Draft, issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { makeKey } from '../support/jwt.js'
import { anonymous, certificateBound } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'
import { PERMIT, startPdp } from '../support/pdp.js'

const draft = (path = '/read/1'): Draft => makeDraft({ host: HOST, path })
const reasonOf = (reply: { body: string }) => JSON.parse(reply.body).reason

t.test('a stricter tier holds for a token that was accepted before, on connections that are open', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const client = await lab.open()
  t.teardown(() => client.close())
  const { token } = draft()
  const send = async () => {
    const request = draft()
    request.token = token
    client.send(printDraft(request))
    return client.response()
  }
  t.equal((await send()).status, 200)
  await lab.reload((parts) => ({ ...parts, tiers: `${parts.tiers?.replace('audit: all', 'audit: all, token_max_ttl: 60s')}` }))
  const refused = await send()
  t.equal(refused.status, 401)
  t.equal(JSON.parse(refused.body.toString()).reason, 'token_lifetime')
})

t.test('a key that is gone takes its tokens with it', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const { token } = draft()
  const send = () => {
    const request = draft()
    request.token = token
    return lab.send(request)
  }
  t.equal((await send()).status, 200)
  t.equal((await send()).status, 200)
  lab.write('issuer.jwks', JSON.stringify({ keys: [{ ...makeKey().jwk, kid: 'issuer-1' }] }))
  await lab.reload((parts) => parts)
  t.equal(reasonOf(await send()), 'token_signature')
  lab.write('issuer.jwks', JSON.stringify({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] }))
  await lab.reload((parts) => parts)
  t.equal((await send()).status, 200)
})

t.test('a key that the issuer takes out of its set stops cached tokens at the next fetch', async (t) => {
  let key = issuerKey
  const issuer = createServer((_, response) => void response.end(JSON.stringify({ keys: [{ ...key.jwk, kid: 'issuer-1' }] })))
  await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve))
  t.teardown(() => issuer.close())
  const { port } = issuer.address() as AddressInfo
  const from = `jwks_uri: 'http://127.0.0.1:${port}/jwks', jwks_refresh: 200ms`
  const lab = await startLab({
    store: 'memory',
    yaml: (parts) => ({ ...parts, issuers: parts.issuers?.replace('jwks_file: issuer.jwks', from) ?? '' }),
  })
  t.teardown(() => lab.stop())
  const { token } = draft()
  const send = () => {
    const request = draft()
    request.token = token
    return lab.send(request)
  }
  t.equal((await send()).status, 200)
  key = makeKey()
  for (let i = 0; i < 50 && (await send()).status === 200; i++) await sleep(50)
  t.equal(reasonOf(await send()), 'token_signature')
})

t.test('a revoked certificate loses its connection, and has no other', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const { clientCa, clients } = lab.certificates
  const bound = () => printDraft(certificateBound(draft('/mtls'), lab.thumbprint('client')))
  const [certified, plain] = await Promise.all([lab.open({ certificate: 'client' }), lab.open()])
  t.teardown(() => plain.close())
  certified.send(bound())
  t.equal((await certified.response()).status, 200)
  plain.send(printDraft(draft()))
  t.equal((await plain.response()).status, 200)

  lab.write('clients.crl', await makeCrl(clientCa, [clients.client]))
  await lab.reload((parts) => ({
    ...parts,
    listen: parts.listen?.replace('client_ca: client-ca.crt', 'client_ca: client-ca.crt, crl: [clients.crl]') ?? '',
  }))
  t.equal(await certified.ended(), '', 'closed, without a word')
  t.equal(reasonOf(await lab.sendRaw(bound(), { certificate: 'client' })), 'certificate_invalid')
  const other = certificateBound(draft('/mtls'), lab.thumbprint('other'))
  t.equal((await lab.send(other, { certificate: 'other' })).status, 200, 'another of the same CA')
  plain.send(printDraft(draft()))
  t.equal((await plain.response()).status, 200, 'a connection without certificate goes on')
})

t.test('a WebSocket whose client presented a certificate ends with a reload of CRLs, in good order', async (t) => {
  const lab = await startLab({
    store: 'memory',
    yaml: (parts) => ({
      ...parts,
      routes: `${parts.routes}  - { path: /events, methods: [GET], tier: certificates, upstream: cases, websocket: true, issuers: [https://as.example.com] }
  - { path: /bare, methods: [GET], tier: public, upstream: cases, websocket: true }\n`,
    }),
    upgrade: (request, socket) => {
      const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
      const accept = createHash('sha1').update(key).digest('base64')
      const head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
      socket.write(`${head}Sec-WebSocket-Accept: ${accept}\r\n\r\n`)
      socket.on('data', (chunk: Buffer) => socket.write(chunk)).on('error', () => undefined)
    },
  })
  t.teardown(() => lab.stop())
  const opened = async (request: Draft, options = {}) => {
    request.headers = [
      ['Connection', 'Upgrade'],
      ['Upgrade', 'websocket'],
      ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
      ['Sec-WebSocket-Version', '13'],
    ]
    const client = await lab.open(options)
    client.send(printDraft(request))
    t.equal((await client.response()).status, 101)
    return client
  }
  const certified = await opened(certificateBound(draft('/events'), lab.thumbprint('client')), { certificate: 'client' })
  const bare = await opened(anonymous(draft('/bare')))
  lab.write('clients.crl', await makeCrl(lab.certificates.clientCa, [lab.certificates.clients.client]))
  await lab.reload((parts) => ({
    ...parts,
    listen: parts.listen?.replace('client_ca: client-ca.crt', 'client_ca: client-ca.crt, crl: [clients.crl]') ?? '',
  }))
  const goodbye = Buffer.from(await certified.ended(20_000), 'latin1')
  t.same(goodbye, Buffer.from([0x88, 0x02, 0x03, 0xe9]), '1001, so that a client that is still valid comes back')
  const frame = Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x69, 0x6b])
  const echo = once(bare.socket, 'data')
  bare.send(frame)
  t.same(await echo, [frame], 'one without certificate goes on')
  bare.close()
})

t.test('assertion keys and nonce secrets change without anyone noticing', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const published = async (): Promise<string[]> => {
    const { body } = await lab.sendRaw(`GET /.well-known/holdfast-jwks.json HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
    return JSON.parse(body).keys.map(({ kid }: { kid: string }) => kid)
  }
  const signedBy = async (): Promise<string> => {
    t.equal((await lab.send(anonymous(draft('/public')))).status, 200)
    const [header = ''] = String(lab.calls.at(-1)?.headers['holdfast-assertion']).split('.')
    return JSON.parse(Buffer.from(header, 'base64url').toString()).kid
  }
  const [old] = await published()
  t.equal(await signedBy(), old)
  const nonce = await lab.nonce()
  lab.write('next.key', makeAssertionKey())
  await lab.reload((parts) => ({
    ...parts,
    assertion: '{ issuer: https://gateway.example.com, keys: [next.key, assertion.key] }',
    dpop: `{ nonce_secret: [${'m'.repeat(32)}, ${'n'.repeat(32)}] }`,
  }))
  const both = await published()
  t.equal(both.length, 2)
  t.ok(both.includes(old ?? ''), 'backends can still verify what is on its way')
  t.equal(await signedBy(), both[0])
  t.not(both[0], old)
  t.equal((await lab.send(makeDraft({ host: HOST, path: '/nonce', nonce }))).status, 200, 'a nonce of the previous secret')
  await lab.reload((parts) => ({ ...parts, dpop: `{ nonce_secret: ${'m'.repeat(32)} }` }))
  t.equal(reasonOf(await lab.send(makeDraft({ host: HOST, path: '/nonce', nonce }))), 'nonce_stale')
})

t.test('limits hold for the next request', async (t) => {
  const lab = await startLab({ store: 'memory', yaml: (parts) => ({ ...parts, limits: '{ digest_buffer: 1KiB }' }) })
  t.teardown(() => lab.stop())
  const client = await lab.open()
  t.teardown(() => client.close())
  const post = async (headers: Draft['headers'] = []) => {
    const request = makeDraft({ host: HOST, path: '/tenants/tenant-1/decision', method: 'POST' })
    request.body = Buffer.alloc(2000)
    request.headers = headers
    return lab.send(request)
  }
  t.equal(reasonOf(await post()), 'overloaded')
  await lab.reload((parts) => ({ ...parts, limits: '{ digest_buffer: 1MiB, header_count: 10 }' }))
  t.equal((await post()).status, 200)
  const many = Array.from({ length: 10 }, (_, i): [string, string] => [`X-${i}`, '1'])
  t.equal(reasonOf(await post(many)), 'headers_too_large')
  client.send(printDraft(Object.assign(draft(), { headers: many })))
  t.equal((await client.response()).status, 431, 'on a connection that was there before too')
})

t.test('requests under way finish with what they started with', async (t) => {
  let release: () => void = () => undefined
  const lab = await startLab({
    store: 'memory',
    upstream: (_, response) => {
      release = () => void response.end('done')
    },
  })
  t.teardown(() => lab.stop())
  const reply = lab.send(draft())
  await sleep(200)
  await lab.reload((parts) => ({ ...parts, routes: '\n  - { path: /other, methods: [GET], tier: public, upstream: cases }\n' }))
  t.equal((await lab.send(draft())).status, 404)
  release()
  t.equal((await reply).status, 200)
})

t.test('a window that a reload lengthens makes no used proof young again', async (t) => {
  const short = 'audit: all, clock_skew: 1s, proof_max_age: 1s'
  const lab = await startLab({ yaml: (parts) => ({ ...parts, tiers: `${parts.tiers?.replace('audit: all', short)}` }) })
  t.teardown(() => lab.stop())
  const used = draft()
  t.equal((await lab.send(used)).status, 200)
  // Past the end of its record: the window, the skew and a margin.
  await sleep(4500)
  await lab.reload((parts) => ({ ...parts, tiers: `${parts.tiers?.replace('proof_max_age: 1s', 'proof_max_age: 5m')}` }))
  t.equal(JSON.parse((await lab.send(used)).body).reason, 'proof_too_old')
  t.equal((await lab.send(draft())).status, 200, 'a new one passes')
})

for (const [what, change, upstreamOf] of [
  ['a body that is held from now on', 'body_digest: on', null],
  ['a decision that is waited for from now on', '', 'decision: { pdp: policies }, upstream: cases'],
] as const) {
  t.test(`no used proof outlives its record by ${what}`, async (t) => {
    const pdp = await startPdp()
    const settings = 'audit: all, clock_skew: 1s, proof_max_age: 2s'
    const lab = await startLab({
      store: 'memory',
      yaml: (parts) => ({
        ...parts,
        pdps: `{ policies: { url: '${pdp.url}', timeout: 20s } }`,
        tiers: `${parts.tiers?.replace('audit: all', settings)}`,
      }),
    })
    t.teardown(async () => {
      await lab.stop()
      await pdp.stop()
    })
    pdp.answer = async () => {
      await sleep(5000)
      return PERMIT
    }
    const used = makeDraft({ host: HOST, path: '/read/1', method: 'POST' })
    used.body = Buffer.from('body')
    const bytes = printDraft(used)
    t.equal((await lab.sendRaw(bytes)).status, 200)
    await lab.reload((parts) => ({
      ...parts,
      tiers: `${parts.tiers?.replace(settings, `${settings}, ${change}`)}`,
      routes:
        upstreamOf === null
          ? `${parts.routes}`
          : `${parts.routes?.replace("'/read/:id', methods: [GET, POST], tier: bound_read, upstream: cases", `'/read/:id', methods: [GET, POST], tier: bound_read, ${upstreamOf}`)}`,
    }))
    const client = await lab.open()
    t.teardown(() => client.close())
    client.send(bytes.subarray(0, -1))
    if (upstreamOf === null) await sleep(5000)
    client.send(bytes.subarray(-1))
    const { body } = await client.response()
    t.equal(JSON.parse(body.toString()).reason, 'proof_too_old')
  })
}

t.test(
  'a reload while the issuer is silent keeps the keys that are known, says that it is silent, and does not wait for it',
  async (t) => {
    let behaviour: 'answers' | 'refuses' | 'is silent' = 'answers'
    let given: ServerResponse | null = null
    const issuer = createServer((_, response) => {
      given = response
      if (behaviour === 'is silent') return
      response.writeHead(behaviour === 'answers' ? 200 : 500)
      response.end(JSON.stringify({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] }))
    })
    await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve))
    t.teardown(() => {
      issuer.closeAllConnections()
      issuer.close()
    })
    const from = `jwks_uri: 'http://127.0.0.1:${(issuer.address() as AddressInfo).port}/jwks'`
    const lab = await startLab({
      store: 'memory',
      yaml: (parts) => ({ ...parts, issuers: parts.issuers?.replace('jwks_file: issuer.jwks', from) ?? '' }),
    })
    t.teardown(() => lab.stop())
    const degraded = async (): Promise<string> => JSON.parse((await lab.admin('/readyz')).body).degraded.join()
    t.equal((await lab.send(draft())).status, 200)

    behaviour = 'refuses'
    await lab.reload((parts) => parts)
    t.equal((await lab.send(draft())).status, 200)
    await waitFor('it is said', async () => (await degraded()).includes('issuer https://as.example.com'))

    behaviour = 'is silent'
    given = null
    await lab.reload((parts) => parts)
    // Read anew: control flow does not know that the server sets it.
    const asked = () => given as ServerResponse | null
    t.match(await degraded(), 'issuer https://as.example.com', 'and still is, before anyone can know better')
    await waitFor('it is asked', () => asked() !== null)
    t.equal(asked()?.destroyed, false, 'it was not waited for')
    t.equal((await lab.send(draft())).status, 200)
    behaviour = 'answers'
    asked()?.end(JSON.stringify({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] }))
    await waitFor('all is well', async () => (await degraded()) === '')
  },
)
