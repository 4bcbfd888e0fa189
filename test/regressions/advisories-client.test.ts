// `holdfast client` is where @fastify/http-proxy and @fastify/reply-from are used. Releases of them are affected by published advisories:
// is any of them open to a caller of it? Also: that nothing else in src/ uses them.
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startClient } from '../../src/client/proxy.js'
import { newCa, type Seen, startGateway } from '../client/gateway.js'
import { makeCertificate } from '../support/certs.js'
import { casesOf } from './attack.js'

const ca = await newCa()
const tls = { ...(await ca.issue('localhost')), ca: ca.cert }
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const key = JSON.stringify(privateKey.export({ format: 'jwk' }))

/** A gateway, and a client before it that knows `trusted` alone. */
async function stage(t: Test, pair: { readonly cert: string; readonly key: string } = tls, trusted: string | null = ca.cert) {
  const gateway = await startGateway({ ...pair, ca: ca.cert })
  const client = await startClient({
    settings: {
      listen: { host: '127.0.0.1', port: 0 },
      gateway: gateway.origin,
      tls: { ca: trusted, cert: null, key: null },
      issuerCa: null,
      dpop: { key },
      token: { text: 'the-token' },
    },
    report: () => undefined,
  })
  t.teardown(async () => {
    await client.close()
    await gateway.close()
  })
  const port = Number(new URL(client.address).port)
  return { gateway, port, last: () => gateway.seen.at(-1) as Seen }
}

/** Sends a head as it is; the status of the answer. Connections are closed by the answer. */
async function ask(port: number, target: string, lines = ''): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  const ended = once(socket, 'close')
  socket.write(`GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${lines === '' ? 'Connection: close\r\n' : lines}\r\n`)
  await ended
  return Number(text.slice(9, 12))
}

t.test('CVE-2026-107318: the client verifies its gateway, whatever reply-from would do', async (t) => {
  const selfSigned = await makeCertificate({ subject: 'CN=localhost', names: ['localhost', '127.0.0.1'] })
  for (const trusted of [null, ca.cert]) {
    const { gateway, port } = await stage(t, selfSigned, trusted)
    t.equal(await ask(port, '/x'), 502)
    t.equal(gateway.seen.length, 0, 'the token was not sent')
  }
})

t.test('CVE-2026-33805: Connection cannot take the client’s credentials off, nor leave a copy in their place', async (t) => {
  const { port, last } = await stage(t)
  for (const i of casesOf('x').keys()) {
    const names = ['Authorization', 'DPoP', 'Host'].map((name) => casesOf(name)[i])
    const copies = names.slice(0, 2).map((name) => `${name}: spoofed\r\n`)
    t.equal(await ask(port, '/x', `Connection: close, ${names.join(', ')}\r\n${copies.join('')}`), 200)
    t.equal(last().headers.authorization, 'DPoP the-token', names.join())
    t.type(last().proof, 'object', 'with the proof of the client')
  }
})

t.test('CVE-2026-16117: the path that is proven is the path that is sent', async (t) => {
  const { port, last } = await stage(t)
  for (const path of ['/%61dmin', '/a%64min/x', '/cases/%70', '/a?b=%2e%2e/c']) {
    t.equal(await ask(port, path), 200, path)
    t.equal(last().url, path, 'byte for byte')
    t.type(last().proof, 'object', 'and its proof is good')
  }
})

// A target is a path here, not a URL, so `http:/…` is no scheme, and there is no prefix or parameter to inject anything into.
t.test(
  'CVE-2026-85124, CVE-2026-120213, CVE-2021-21321, CVE-2021-21322: a path that two parsers read in two ways is refused',
  async (t) => {
    const { gateway, port } = await stage(t)
    const climbing = [
      '/a/../b',
      '/a/..',
      '/./a',
      '/%2e%2e/b',
      '/a/.%2E/b',
      '/a/..\\b',
      '/a/..%5cb',
      '/\\evil.example/',
      '/a%5C..%5Cb',
    ]
    for (const path of [
      ...climbing,
      '//evil.example/a',
      '/a%2f..%2fb',
      '/a%2Fb%23',
      '/a#b',
      '/a%00',
      '/a\tb',
      'http:/a',
      '@evil.example',
    ]) {
      const status = await ask(port, path)
      t.ok(status === 400 || status === 404, `${path}: ${status}`)
    }
    t.equal(gateway.seen.length, 0)
  },
)

t.test('CVE-2026-15631: the client passes no WebSocket on', async (t) => {
  const { gateway, port } = await stage(t)
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'
  for (const path of ['/ws', '/ws/../admin', '/ws/%2e%2e/admin', '/ws/..\\admin']) {
    const status = await ask(port, path, `Connection: Upgrade, close\r\nUpgrade: websocket\r\n${key}`)
    t.not(status, 101, path)
  }
  for (const { url, headers } of gateway.seen) {
    t.equal(url, '/ws', 'what climbs is not passed on')
    t.equal(headers.upgrade, undefined, 'and the rest is a plain request')
  }
})

t.test('CVE-2026-16158: each request goes to the gateway by its own target', async (t) => {
  const { gateway, port } = await stage(t)
  const paths = ['/a/b', '/a', '/a/b', '/b', '/?/a/b', '/a?/b', '/a/b?', '/a']
  for (const path of paths) t.equal(await ask(port, path), 200)
  t.same(
    gateway.seen.map(({ url }) => url),
    paths,
  )
  t.ok(
    gateway.seen.every(({ proof }) => typeof proof === 'object'),
    'and each proof is of its own',
  )
})

t.test(
  'CVE-2026-107318, CVE-2026-33805, CVE-2026-16117, CVE-2026-120213: the plugins are used in src/client/ alone, with an own agent',
  async (t) => {
    const root = join(import.meta.dirname, '..', '..', '..', 'src')
    const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => ({ name: name.replaceAll('\\', '/'), text: readFileSync(join(root, name), 'utf8') }))
    const users = sources.filter(({ text }) => /['"]@fastify\/(?:http-proxy|reply-from)['"]/.test(text))
    t.same(
      users.map(({ name }) => name),
      ['client/proxy.ts'],
    )
    const [{ text } = { text: '' }] = users
    t.match(text, /undici: requester,/, 'never an agent of the plugin’s making')
    t.match(text, /disableCache: true,/)
    t.match(text, /websocket: false,/)
    t.notMatch(text, /\bprefix:|rewritePrefix|rewriteRequestHeaders/, 'and nothing that the advisories are about')
  },
)
