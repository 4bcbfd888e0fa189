// The examples behind real Envoy, nginx, Traefik, Caddy and HAProxy, as their READMEs start them: walked by curl with a certificate and by oauth4webapi;
// and each of more than a hundred headers that a client could forge, from both sides of the hop: none is believed. Proxies that are not installed
// are skipped.
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { decodeJwt } from 'jose'
import * as oauth from 'oauth4webapi'
import t, { type Test } from 'tap'
import { Agent, fetch as undiciFetch } from 'undici'
import {
  type Client,
  type Example,
  find,
  PROXIES,
  type ProxyName,
  startExample,
  thumbprintOf,
} from '../../examples/proxies/stage.js'
import { exchange, type Reply } from '../support/http.js'
import { freePort } from '../support/redis.js'

t.setTimeout(300_000)
const HOST = 'localhost'

const pem = ({ cert }: Client): string => encodeURIComponent(cert)
const der = ({ cert }: Client): string => cert.replace(/-----[^-]*-----|\s/g, '')

/** Every header in which some proxy says who the client is, as it would say it of this one. */
const certificateHeaders = (client: Client): readonly (readonly [string, string])[] => [
  ['Client-Cert', `:${der(client)}:`],
  ['Client-Cert-Chain', `:${der(client)}:`],
  ['X-Forwarded-Client-Cert', `Cert="${pem(client)}"`],
  ['X-Forwarded-Client-Cert', `Hash=${Buffer.from(thumbprintOf(client), 'base64url').toString('hex')}`],
  ['ssl-client-cert', pem(client)],
  ['ssl-client-verify', 'SUCCESS'],
  ['X-Forwarded-Tls-Client-Cert', encodeURIComponent(der(client))],
  ['X-Forwarded-Tls-Client-Cert-Info', encodeURIComponent('Subject="CN=client"')],
  ['X-Amzn-Mtls-Clientcert', pem(client)],
  ['X-Amzn-Mtls-Clientcert-Leaf', pem(client)],
  ['X-SSL-Client-Cert', der(client)],
  ['X-SSL-Client-Verify', '0'],
  ['X-Client-Cert', pem(client)],
  ['SSL_CLIENT_CERT', pem(client)],
]
const FORGED_ADDRESS = '6.6.6.6'
const ADDRESSES: readonly (readonly [string, string])[] = [
  ['X-Forwarded-For', FORGED_ADDRESS],
  ['Forwarded', `for=${FORGED_ADDRESS};host=evil.example;proto=http`],
  ['X-Real-IP', FORGED_ADDRESS],
  ['True-Client-IP', FORGED_ADDRESS],
  ['X-Client-IP', FORGED_ADDRESS],
  ['X-Cluster-Client-IP', FORGED_ADDRESS],
  ['X-Envoy-External-Address', FORGED_ADDRESS],
  ['X-Original-Forwarded-For', FORGED_ADDRESS],
]
const METHODS_AND_TARGETS: readonly (readonly [string, string])[] = [
  ['X-HTTP-Method-Override', 'DELETE'],
  ['X-HTTP-Method', 'DELETE'],
  ['X-Method-Override', 'DELETE'],
  ['X-Original-Method', 'DELETE'],
  ['X-Forwarded-Method', 'DELETE'],
  ['X-Original-URL', '/cases/evil'],
  ['X-Rewrite-URL', '/cases/evil'],
  ['X-Forwarded-Uri', '/cases/evil'],
  ['X-Envoy-Original-Path', '/cases/evil'],
  ['X-Forwarded-Prefix', '/evil'],
  ['X-Forwarded-Host', 'evil.example'],
  ['X-Forwarded-Proto', 'http'],
  ['X-Forwarded-Port', '666'],
  ['Holdfast-Assertion', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmlsIn0.'],
]

type Lines = readonly (readonly [string, string])[]
/** The ways in which one header is tried. */
const SPELLINGS: Readonly<Record<string, (line: readonly [string, string]) => Lines>> = {
  'as it is': (line) => [line],
  'in capitals': ([name, value]) => [[name.toUpperCase(), value]],
  'with _ for -': ([name, value]) => [[name.replaceAll('-', '_'), value]],
  twice: (line) => [line, line],
  'that Connection names': (line) => [line, ['Connection', `keep-alive, ${line[0]}`]],
}
const tried = (lines: Lines): readonly (readonly [title: string, lines: Lines])[] =>
  Object.entries(SPELLINGS).flatMap(([how, spell]) => lines.map((line) => [`${line[0]} ${how}`, spell(line)] as const))

type Asking = { readonly path?: string; readonly client?: Client | null; readonly lines?: Lines; readonly port?: number }

/** A request with these lines, byte for byte; null: the connection was refused. */
async function ask(
  example: Example,
  token: string,
  { path = '/cases/42', client = null, lines = [], port }: Asking,
): Promise<Reply | null> {
  const { ports } = example
  const head = [
    `GET ${path} HTTP/1.1`,
    `Host: localhost:${port === ports.asking ? port : ports.proxy}`,
    `Authorization: Bearer ${token}`,
  ]
  const sent = [...head, ...lines.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n')
  const to = { port: port ?? ports.proxy, servername: port === ports.holdfast ? 'holdfast.internal' : HOST }
  return exchange(sent, { ...to, ...(client === null ? {} : { cert: client.cert, key: client.key }) }).catch(() => null)
}

async function walkByCurl(t: Test, { folder, origin, clients, token }: Example): Promise<void> {
  writeFileSync(join(folder, 'token.jwt'), await token({ 'x5t#S256': thumbprintOf(clients.client) }))
  const curl = async (...more: readonly string[]): Promise<string> => {
    const args = ['-s', '-o', '/dev/null', '-w', '%{http_code}', '--cacert', 'certs/ca.crt', ...more, `${origin}/cases/42`]
    const bearer = `Authorization: Bearer ${readFileSync(join(folder, 'token.jwt'), 'utf8')}`
    return (await promisify(execFile)('curl', [...args, '-H', bearer], { cwd: folder })).stdout
  }
  const own = ['--cert', 'certs/client.crt', '--key', 'certs/client.key']
  t.equal(await curl(...own), '200', 'curl, with its certificate')
  t.equal(await curl(), '401', 'without one')
  t.equal(await curl('--cert', 'certs/other.crt', '--key', 'certs/other.key'), '401', 'with another’s')
  t.match(
    await curl(...certificateHeaders(clients.client).flatMap(([name, value]) => ['-H', `${name}: ${value}`])),
    /^40[01]$/,
    'spoofed',
  )
}

async function walkByOauth(t: Test, { folder, origin, token }: Example): Promise<string> {
  const agent = new Agent({ connect: { ca: readFileSync(join(folder, 'certs/ca.crt'), 'utf8') } })
  t.teardown(() => agent.close())
  const keys = await oauth.generateKeyPair('ES256')
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', keys.publicKey)
  const jkt = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(JSON.stringify({ crv, kty, x, y })))).toString(
    'base64url',
  )
  const text = await token({ jkt })
  const options = (handle: oauth.DPoPHandle) => ({
    DPoP: handle,
    [oauth.customFetch]: (url: string, init: object) =>
      undiciFetch(url, { ...init, dispatcher: agent }) as unknown as Promise<Response>,
  })
  const send = (handle: oauth.DPoPHandle, path: string) =>
    oauth.protectedResourceRequest(text, 'GET', new URL(path, origin), undefined, null, options(handle))
  const handle = oauth.DPoP({}, keys)
  t.equal((await send(handle, '/proven/42?with=a%20query')).status, 200, 'oauth4webapi, with its key')
  const other = oauth.DPoP({}, await oauth.generateKeyPair('ES256'))
  t.equal(await send(other, '/proven/42').catch(({ status }) => status), 401, 'with another')
  return text
}

async function forge(t: Test, example: Example): Promise<number> {
  const { clients, ports, calls } = example
  const stolen = await example.token({ 'x5t#S256': thumbprintOf(clients.client) })
  const own = await example.token({ 'x5t#S256': thumbprintOf(clients.other) })
  let count = 0
  const believed: string[] = []
  const forgeries = certificateHeaders(clients.client)
  for (const [title, lines] of tried(forgeries)) {
    count += 3
    const served = calls.length
    const [none, another] = [await ask(example, stolen, { lines }), await ask(example, stolen, { client: clients.other, lines })]
    if (none?.status === 200 || another?.status === 200) believed.push(title)
    if (calls.length > served) believed.push(`${title}, by the backend`)
    // From the other side of the hop: straight to Holdfast, by who is not the hop.
    if ((await ask(example, stolen, { lines, port: ports.holdfast })) !== null) believed.push(`${title}, straight to us`)
  }
  for (const [title, lines] of tried([...ADDRESSES, ...METHODS_AND_TARGETS])) {
    count += 1
    const served = calls.length
    const reply = await ask(example, own, { client: clients.other, lines })
    // Refused by the proxy or by us, or served as if it had not been there.
    if (reply?.status !== 200) continue
    const [call] = calls.slice(served)
    const { htm, target, sub } = decodeJwt(String(call?.headers['holdfast-assertion']))
    const got = JSON.stringify([call?.headers, call?.url, call?.method])
    if (/6\.6\.6\.6|evil|DELETE|:666\b/.test(got) || htm !== 'GET' || target !== '/cases/42' || sub !== 'user-1')
      believed.push(title)
  }
  t.same(believed, [])
  t.notOk(
    example.auditLines().some((line) => JSON.stringify(line).includes(FORGED_ADDRESS)),
    'no address of a client’s own making in the audit log',
  )
  t.equal((await ask(example, own, { client: clients.other }))?.status, 200, 'and who is who it says is served still')
  return count
}

/** Where the proxy asks, and forwards by itself. */
async function walkAsking(t: Test, example: Example): Promise<void> {
  const { clients, calls, ports } = example
  const port = ports.asking
  const stolen = await example.token({ 'x5t#S256': thumbprintOf(clients.client) })
  const served = await ask(example, stolen, { port, client: clients.client })
  t.equal(served?.status, 200, 'asked about: the client with its certificate')
  const headers = calls.at(-1)?.headers ?? {}
  t.match(decodeJwt(String(headers['holdfast-assertion'])), { sub: 'user-1', target: '/cases/42', binding: { method: 'mtls' } })
  t.equal(headers.authorization, undefined, 'no token goes on')
  const before = calls.length
  const believed: string[] = []
  for (const client of [null, clients.other])
    for (const [title, lines] of [['nothing forged', []] as const, ...tried(certificateHeaders(clients.client))]) {
      const reply = await ask(example, stolen, { port, client, lines })
      if (reply === null || reply.status < 400 || reply.status >= 500) believed.push(`${title}: ${reply?.status}`)
    }
  t.same(believed, [], 'asked about: another certificate and none, whatever is forged')
  t.equal(calls.length, before, 'and nothing came to the backend')
  const neighbour = await ask(example, stolen, { client: example.neighbour, port: ports.decisions })
  t.match(neighbour === null || neighbour.status === 403, true, 'nobody but the hop may ask')
}

for (const name of Object.keys(PROXIES) as ProxyName[])
  t.test(name, { skip: find(name) === undefined ? `${name} is not installed` : false }, async (t) => {
    const [proxy, holdfast, backend, admin] = [await freePort(), await freePort(), await freePort(), await freePort()]
    const ports = { proxy, holdfast, backend, admin, asking: await freePort(), decisions: await freePort() }
    const example = await startExample(name, ports)
    t.teardown(example.stop)
    await walkByCurl(t, example)
    await walkByOauth(t, example)
    const stolen = await example.token({ 'x5t#S256': thumbprintOf(example.clients.client) })
    const neighbour = await ask(example, stolen, { client: example.neighbour, port: ports.holdfast })
    t.equal(neighbour?.status, 403)
    t.match(neighbour?.body, /hop_untrusted/, 'a neighbour of the hop’s, with a certificate of the same CA')
    t.ok((await forge(t, example)) > 100)
    if (name !== 'haproxy') await walkAsking(t, example)
  })
