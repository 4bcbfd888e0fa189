// Files of every kind are replaced while the gateway runs and nobody tells it: good ones are taken, bad ones keep the old configuration
// and show with their line, and what is mended is taken by itself (contract §2 Reload, §9).

import { createHash, X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startCallers } from '../support/callers.js'
import { makeAssertionKey } from '../support/certificates.js'
import { type Credential, makeCa, makeCertificate, makeCrl, makeServer } from '../support/certs.js'
import { issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { type Fleet, HOST, makePlace, OPEN, type Place, serve, waitFor } from '../support/fleet.js'
import { makeKey } from '../support/jwt.js'
import { certificateBound } from '../support/kinds.js'

const WATCH = '100ms'
const paid = () => printDraft(makeDraft({ host: HOST, path: '/pay' }))
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`

type Site = {
  readonly place: Place
  readonly gateway: Fleet
  /** Of the upstream at /secure. */
  readonly upstreamCa: Credential
  write(name: string, text: string): void
  read(name: string): string
  readyz(): Promise<{ readonly ready: boolean; readonly degraded: readonly string[] }>
  metric(name: string): Promise<number>
}

/** A gateway that has a file of every kind, all of them beside its routes.yaml. */
async function startSite(t: Test): Promise<Site> {
  const place = await makePlace(t)
  const write = (name: string, text: string): void => writeFileSync(join(place.folder, name), text)
  const upstreamCa = await makeCa('Upstream CA')
  const [server, own] = [await makeServer(upstreamCa), await makeCertificate({ ca: upstreamCa, ekus: ['client'] })]
  const upstream = createServer({ key: server.key, cert: server.cert, ca: upstreamCa.cert, requestCert: true }, (_, response) =>
    response.end('secure'),
  )
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    upstream.closeAllConnections()
    upstream.close()
  })
  write('clients.crl', await makeCrl(place.certificates.clientCa))
  write('nonce.secret', `${'n'.repeat(40)}\n`)
  write('upstream-ca.crt', upstreamCa.cert)
  write('upstream.key', own.key)
  write('upstream.crt', own.cert)
  mkdirSync(join(place.folder, 'routes.d'))
  write('routes.d/a.yaml', 'routes: [{ path: /included, methods: [GET], tier: open, upstream: u }]\n')
  const gateway = await serve(t, place, {
    watch: WATCH,
    tls: 'client_certificates: pki, client_ca: client-ca.crt, crl: [clients.crl]',
    upstreams: `s: { url: 'https://localhost:${(upstream.address() as AddressInfo).port}', audience: s,
      tls: { ca: upstream-ca.crt, cert: upstream.crt, key: upstream.key } }`,
    more: `  - { path: /secure, methods: [GET], tier: open, upstream: s }
  - { path: /nonce, methods: [GET], tier: high_value, upstream: u }
include: [routes.d/*.yaml]
dpop: { nonce_secret: "$\{file:nonce.secret}" }
`,
  })
  const admin = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${gateway.admin}${path}`)).text()
  return {
    place,
    gateway,
    upstreamCa,
    write,
    read: (name) => readFileSync(join(place.folder, name), 'utf8'),
    readyz: async () => JSON.parse(await admin('/readyz')),
    metric: async (name) => {
      const line = (await admin('/metrics')).split('\n').find((one) => one.startsWith(`${name} `))
      return Number(line?.slice(name.length + 1))
    },
  }
}

const KINDS: readonly (readonly [file: string, setting: string])[] = [
  ['server.key', 'listen.tls.key'],
  ['server.crt', 'listen.tls.cert'],
  ['client-ca.crt', 'listen.tls.client_ca'],
  ['clients.crl', 'listen.tls.crl'],
  ['assertion.key', 'assertion.key'],
  ['issuer.jwks', 'issuers.0.jwks_file'],
  ['nonce.secret', 'dpop.nonce_secret'],
  ['upstream-ca.crt', 'upstreams.s.tls.ca'],
  ['upstream.key', 'upstreams.s.tls.key'],
  ['upstream.crt', 'upstreams.s.tls.cert'],
]

t.test('a bad file of any kind is refused with its line, the old one serves on, and a mended one is taken', async (t) => {
  const { place, gateway, write, read, readyz, metric } = await startSite(t)
  const file = (name: string): string => join(place.folder, name)
  const callers = startCallers(t, [gateway], { kept: 2, fresh: 1, request: paid })
  const isWell = async (): Promise<boolean> => (await readyz()).degraded.length === 0
  const refusedAt = (where: string): Promise<void> =>
    waitFor(
      async () => `${where} in ${(await readyz()).degraded}`,
      async () => {
        const { ready, degraded } = await readyz()
        return ready && degraded.length === 1 && degraded[0]?.includes(where) === true
      },
    )
  const corruptions: readonly (readonly [what: string, spoil: (name: string) => void])[] = [
    ['overwritten', (name) => write(name, 'nonsense')],
    ['halved', (name) => truncateSync(file(name), Math.floor(read(name).length / 2))],
    ['gone', (name) => rmSync(file(name))],
  ]
  for (const [i, [name, setting]] of KINDS.entries()) {
    const whole = read(name)
    const [what, spoil] = corruptions[i % corruptions.length] ?? ['', () => undefined]
    spoil(name)
    await refusedAt(` ${setting}: `)
    t.equal(await metric('holdfast_config_last_reload_successful'), 0)
    t.match(gateway.said(), new RegExp(`"msg":"\\S+:\\d+:\\d+ ${setting}: `), `${name}, ${what}`)
    write(name, whole)
    await waitFor(`${name} is taken again`, isWell)
    t.equal(await metric('holdfast_config_last_reload_successful'), 1)
  }
  for (const [what, spoil] of corruptions) {
    const main = gateway.file.slice(place.folder.length + 1)
    for (const name of [main, 'routes.d/a.yaml']) {
      const whole = read(name)
      const isWholeWithoutIt = what === 'gone' && name !== main
      spoil(name)
      await waitFor(`${name}, ${what}`, async () =>
        isWholeWithoutIt ? (await gateway.send(get('/included'))).status === 404 : !(await isWell()),
      )
      const { status } = await gateway.send(get('/included'))
      t.equal(status, isWholeWithoutIt ? 404 : 200, `${name}, ${what}`)
      write(name, whole)
      await waitFor(
        `${name} is taken again`,
        async () => (await isWell()) && (await gateway.send(get('/included'))).status === 200,
      )
    }
  }
  await callers.stop()
  t.same(callers.failures, [], `${callers.count()} requests meanwhile`)
  t.ok((await metric('holdfast_reloads_total{result="refused"}')) >= KINDS.length + 5)
})

t.test('a good file of any kind is taken', async (t) => {
  const { place, gateway, upstreamCa, write, readyz } = await startSite(t)
  const { clientCa, clients } = place.certificates
  const statusOf = async (bytes: string | Buffer, options = {}): Promise<number> => (await gateway.send(bytes, options)).status
  const becomes = (status: number, bytes: () => string | Buffer, options = {}): Promise<void> =>
    waitFor(`${status}`, async () => (await statusOf(bytes(), options).catch(() => 0)) === status)

  t.equal(await statusOf(get('/secure')), 200)
  const foreign = await makeCa('Foreign CA')
  write('upstream-ca.crt', foreign.cert)
  await becomes(502, () => get('/secure'))
  write('upstream-ca.crt', foreign.cert + upstreamCa.cert)
  await becomes(200, () => get('/secure'))
  t.pass('the CA of an upstream')

  write('routes.d/b.yaml', 'routes: [{ path: /more, methods: [GET], tier: open, upstream: u }]\n')
  await becomes(200, () => get('/more'))
  t.pass('another included file')

  write('issuer.jwks', JSON.stringify({ keys: [{ ...makeKey().jwk, kid: 'issuer-1' }] }))
  await becomes(401, paid)
  write('issuer.jwks', JSON.stringify({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] }))
  await becomes(200, paid)
  t.pass("an issuer's keys; what was cached of its tokens is gone with them")

  const { header } = await gateway.send(printDraft(makeDraft({ host: HOST, path: '/nonce' })))
  const nonce = header('dpop-nonce') ?? ''
  const withNonce = () => printDraft(makeDraft({ host: HOST, path: '/nonce', nonce }))
  t.equal(await statusOf(withNonce()), 200)
  write('nonce.secret', `${'m'.repeat(40)}\n`)
  await becomes(401, withNonce)
  t.pass('a mounted secret')

  const server = await makeServer(clientCa, [HOST])
  const open = await gateway.open()
  const kept = new X509Certificate(open.socket.getPeerCertificate().raw).fingerprint256
  write('server.key', server.key)
  write('server.crt', server.cert)
  place.ca += clientCa.cert
  await waitFor('the new certificate', async () => {
    const other = await gateway.open()
    const { raw } = other.socket.getPeerCertificate()
    other.close()
    return createHash('sha256').update(raw).digest('base64url') === server.x5tS256
  })
  open.send(OPEN)
  t.equal((await open.response()).status, 200, 'a connection that was there keeps its own')
  t.not(kept, new X509Certificate(server.cert).fingerprint256)

  const bound = (name: 'client' | 'untrusted') =>
    printDraft(certificateBound(makeDraft({ host: HOST, path: '/mtls' }), clients[name].x5tS256))
  const certified = await gateway.open({ cert: clients.client.cert, key: clients.client.key })
  certified.send(bound('client'))
  t.equal((await certified.response()).status, 200)
  write('clients.crl', await makeCrl(clientCa, [clients.client]))
  t.equal(await certified.ended(20_000), '', 'closed, so that its next request is judged in a new handshake')
  const { cert, key } = clients.client
  t.equal(await statusOf(bound('client'), { cert, key }), 401, 'as revoked')
  open.send(OPEN)
  t.equal((await open.response()).status, 200, 'a connection without certificate goes on')

  const untrusted = { cert: clients.untrusted.cert, key: clients.untrusted.key }
  t.equal(await statusOf(bound('untrusted'), untrusted), 401)
  const [other] = [place.certificates.foreignCa]
  write('clients.crl', (await makeCrl(clientCa)) + (await makeCrl(other)))
  write('client-ca.crt', clientCa.cert + other.cert)
  await becomes(200, () => bound('untrusted'), untrusted)
  t.pass('another CA of clients, whose list came with it')

  write('assertion.key', makeAssertionKey())
  const published = async (): Promise<string> => (await gateway.send(get('/.well-known/holdfast-jwks.json'))).body
  const before = await published()
  await waitFor('another key', async () => (await published()) !== before)
  t.same((await readyz()).degraded, [])
  open.close()
})

t.test('a Kubernetes volume that is swapped is taken as one, whole or not at all', async (t) => {
  const { place, gateway, read, readyz } = await startSite(t)
  const volume = join(place.folder, 'volume')
  const main = gateway.file.slice(place.folder.length + 1)
  const names = [main, 'server.key', 'server.crt']
  mkdirSync(volume)
  let version = 0
  const publish = (texts: Readonly<Record<string, string>>): void => {
    const folder = join(volume, `..${++version}`)
    mkdirSync(folder)
    for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text)
    symlinkSync(`..${version}`, join(volume, '..data_tmp'))
    renameSync(join(volume, '..data_tmp'), join(volume, '..data'))
    if (version > 1) rmSync(join(volume, `..${version - 1}`), { recursive: true })
  }
  const first = Object.fromEntries(names.map((name) => [name, read(name)]))
  publish(first)
  for (const name of names) {
    symlinkSync(join('volume', '..data', name), join(place.folder, `${name}.link`))
    renameSync(join(place.folder, `${name}.link`), join(place.folder, name))
  }
  const callers = startCallers(t, [gateway], { kept: 2, fresh: 1, request: () => OPEN })
  const ca = await makeCa('CA of the volume')
  place.ca += ca.cert
  const withRoute = (path: string): string =>
    `${first[main]}`.replace('\ninclude', `\n  - { path: ${path}, methods: [GET], tier: open, upstream: u }\ninclude`)
  for (const path of ['/one', '/two', '/three']) {
    const server = await makeServer(ca, [HOST])
    publish({ [main]: withRoute(path), 'server.key': server.key, 'server.crt': server.cert })
    await waitFor(`${path}, and its certificate`, async () => {
      const client = await gateway.open()
      const { raw } = client.socket.getPeerCertificate()
      client.send(get(path))
      const { status } = await client.response()
      client.close()
      const isNew = createHash('sha256').update(raw).digest('base64url') === server.x5tS256
      t.equal(isNew && status !== 200, false, 'the certificate never without its route')
      return isNew && status === 200
    })
  }
  const server = await makeServer(ca, [HOST])
  publish({ [main]: withRoute('/four'), 'server.key': server.key, 'server.crt': read('server.crt') })
  await waitFor('it is refused', async () => (await readyz()).degraded[0]?.includes('listen.tls.key') === true)
  t.equal((await gateway.send(get('/four'))).status, 404)
  t.equal((await gateway.send(get('/three'))).status, 200)
  publish({ [main]: withRoute('/four'), 'server.key': server.key, 'server.crt': server.cert })
  await waitFor('it is taken', async () => (await gateway.send(get('/four'))).status === 200)
  t.same((await readyz()).degraded, [])
  await callers.stop()
  t.same(callers.failures, [], `${callers.count()} requests meanwhile`)
})

t.test('two workers take changed files together, and a file that is only touched changes nothing', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2, watch: WATCH })
  const text = readFileSync(gateway.file, 'utf8')
  const statuses = async (path: string): Promise<readonly number[]> => {
    const replies = await Promise.all(Array.from({ length: 6 }, () => gateway.send(get(path))))
    return [...new Set(replies.map(({ status }) => status))]
  }
  const callers = startCallers(t, [gateway], { kept: 4, fresh: 1, request: paid })
  for (let i = 1; i <= 3; i++) {
    writeFileSync(
      gateway.file,
      text.replace('routes:', `routes:\n  - { path: /new-${i}, methods: [GET], tier: open, upstream: u }`),
    )
    await gateway.until(/"reloaded"/, i)
    t.same(await statuses(`/new-${i}`), [200])
    writeFileSync(gateway.file, 'version: 1\nroutes: [')
    await gateway.until(/the old one serves on/, i)
    t.same(await statuses(`/new-${i}`), [200])
  }
  writeFileSync(gateway.file, text)
  await gateway.until(/"reloaded"/, 4)
  writeFileSync(gateway.file, text)
  writeFileSync(join(place.folder, 'issuer.jwks'), readFileSync(join(place.folder, 'issuer.jwks')))
  const before = callers.count()
  await waitFor('time for several looks', () => callers.count() > before + 200)
  t.equal(gateway.lines('reloaded').length, 4)
  await callers.stop()
  t.same(callers.failures, [], `${callers.count()} requests meanwhile`)
})
