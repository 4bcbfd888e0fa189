// Behind a proxy that ends TLS (contract §10): who is heard as the hop, and what of what it says is believed. Raw sockets speak as the
// hop, and as whoever would like to be taken for it.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { makeCa, makeCertificate, makeOddCertificate } from '../support/certs.js'
import { type Draft, makeDraft, printDraft } from '../support/draft.js'
import { makePlace, OPEN, serve } from '../support/fleet.js'
import { exchangeOn, type Reply } from '../support/http.js'
import { HOST, type Lab, startLab } from '../support/lab.js'
import { openPlain, openRaw } from '../support/raw.js'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-behind-'))
t.teardown(() => rmSync(folder, { recursive: true }))
let sockets = 0

const reasonOf = ({ body }: Reply): unknown => JSON.parse(body).reason
const draft = (path: string, headers: Draft['headers'] = [], change: (draft: Draft) => void = () => undefined): Draft => {
  const made = { ...makeDraft({ host: HOST, path }), headers }
  change(made)
  return made
}

type Behind = { readonly listen: string; readonly behind: string; readonly files?: Readonly<Record<string, string>> }

const startBehind = ({ listen, behind, files = {} }: Behind): Promise<Lab> =>
  startLab({
    store: 'memory',
    files,
    yaml: (defaults) => ({
      ...defaults,
      listen: `{ ${listen}, behind: { ${behind} } }`,
      public_origins: `[https://${HOST}, https://b.example.com]`,
    }),
  })

/** As the hop, on a socket. */
async function onSocket(behind: string) {
  const path = join(folder, `${++sockets}.sock`)
  const lab = await startBehind({ listen: `socket: ${path}, tls: off`, behind: `hop: socket, ${behind}` })
  const send = async (one: Draft) => exchangeOn(await openPlain({ path }), printDraft(one))
  return { lab, path, send }
}

const BY_ADDRESS: Draft['headers'] = [['X-Forwarded-For', '192.0.2.1']]

t.test('a socket: requests are served without TLS, and the hop says who the client is', async (t) => {
  const { lab, path, send } = await onSocket('address: forwarded_for')
  t.teardown(() => lab.stop())
  t.strictSame(lab.gateway.addresses, [path])
  const reply = await send(
    draft('/read/1', [
      ['X-Forwarded-For', '203.0.113.9, 2001:db8::7'],
      ['X-Forwarded-Proto', 'http'],
    ]),
  )
  t.equal(reply.status, 200)
  t.match(lab.calls[0]?.headers, {
    'x-forwarded-for': '2001:db8::7',
    'x-forwarded-host': HOST,
    'x-forwarded-proto': 'https',
    forwarded: `for="[2001:db8::7]";proto=https;host=${HOST}`,
  })
  const event = await lab.refusal(reply.header('x-request-id') ?? '')
  t.equal(event?.client_address, '2001:db8::7')
})

t.test('a socket: connections stay, pipelined requests are answered in order, and what breaks HTTP is refused', async (t) => {
  const { lab, path } = await onSocket('address: forwarded_for')
  t.teardown(() => lab.stop())
  const client = await openPlain({ path })
  const one = draft('/public', BY_ADDRESS)
  client.send(Buffer.concat([printDraft(one), printDraft({ ...one, target: '/nothing' })]))
  t.equal((await client.response()).status, 200)
  t.equal((await client.response()).status, 404)
  client.send('GET / HTTP/1.1\r\nHost : x\r\n\r\n')
  t.equal((await client.response()).status, 400)
  t.equal(await client.ended(), '')
})

t.test('a socket: a head that comes late is refused, and one that ends is none', async (t) => {
  const path = join(folder, `${++sockets}.sock`)
  const lab = await startLab({
    store: 'memory',
    yaml: (defaults) => ({
      ...defaults,
      listen: `{ socket: ${path}, tls: off, behind: { hop: socket, address: forwarded_for } }`,
      limits: '{ headers: 1s, header_bytes: 2KiB }',
    }),
  })
  t.teardown(() => lab.stop())
  const late = await openPlain({ path })
  late.send('GET /public HTTP/1.1\r\n')
  t.equal((await late.response()).status, 408)
  const large = await openPlain({ path })
  large.send(`GET /public HTTP/1.1\r\nHost: ${HOST}\r\nX-A: ${'a'.repeat(3000)}\r\n\r\n`)
  t.equal((await large.response()).status, 431)
})

t.test('a socket: a WebSocket goes through', async (t) => {
  const path = join(folder, `${++sockets}.sock`)
  const lab = await startLab({
    store: 'memory',
    yaml: (defaults) => ({
      ...defaults,
      listen: `{ socket: ${path}, tls: off, behind: { hop: socket, address: forwarded_for } }`,
      routes: '[{ path: /socket, methods: [GET], tier: public, upstream: cases, websocket: true }]',
    }),
    upgrade: (request, socket) => {
      const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      const head = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket']
      socket.write([...head, `Sec-WebSocket-Accept: ${accept.digest('base64')}`, '', ''].join('\r\n'))
      socket.pipe(socket)
    },
  })
  t.teardown(() => lab.stop())
  const client = await openPlain({ path })
  const lines = [
    'GET /socket HTTP/1.1',
    `Host: ${HOST}`,
    'X-Forwarded-For: 192.0.2.1',
    'Connection: Upgrade',
    'Upgrade: websocket',
  ]
  client.send([...lines, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', '', ''].join('\r\n'))
  t.equal((await client.response()).status, 101)
  const [echo] = await Promise.all([once(client.socket, 'data'), client.send(Buffer.from('818200000000', 'hex'), 'hi')])
  t.match(String(echo), 'hi')
  client.close()
})

t.test('a socket that a killed gateway left behind is taken, one that is served is not, and an end takes it away', async (t) => {
  const { lab, path } = await onSocket('address: forwarded_for')
  const listen = `socket: ${path}, tls: off`
  await t.rejects(
    startBehind({ listen, behind: 'hop: socket, address: forwarded_for' }),
    /can't listen on .*: choose another `socket`/,
  )
  await lab.stop()
  t.notOk(existsSync(path))
  const { spawnSync } = await import('node:child_process')
  // Killed, so that it can't take its socket away.
  const code = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', code])
  t.ok(existsSync(path))
  const next = await startBehind({ listen, behind: 'hop: socket, address: forwarded_for' })
  t.teardown(() => next.stop())
  t.equal((await exchangeOn(await openPlain({ path }), printDraft(draft('/public', BY_ADDRESS)))).status, 200)
})

t.test('a socket: workers take turns, and a drain ends in order', async (t) => {
  const place = await makePlace(t)
  const path = join(place.folder, 'edge.sock')
  const gateway = await serve(t, place, {
    workers: 2,
    listen: `{ socket: edge.sock, tls: off, behind: { hop: socket, address: forwarded_for } }`,
  })
  const open = OPEN.replace('\r\n\r\n', '\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n')
  const served = new Set<number>()
  for (let i = 0; i < 8; i++) {
    const reply = await exchangeOn(await openPlain({ path }), open)
    t.equal(reply.status, 200)
    served.add(await gateway.workerOf(reply.header('x-request-id')))
  }
  t.equal(served.size, 2)
  const client = await openPlain({ path })
  client.send(open)
  t.equal((await client.response()).status, 200)
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.ended, 0)
  t.equal(await client.ended(), '')
  t.notOk(existsSync(path))
})

t.test('loopback: whoever comes from elsewhere is refused with 403, before any header of theirs is believed', async (t) => {
  const outside = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')
  const lab = await startBehind({
    listen: 'host: 0.0.0.0, tls: { key: server.key, cert: server.crt }',
    behind: 'hop: loopback, address: forwarded_for',
  })
  t.teardown(() => lab.stop())
  t.equal((await lab.send(draft('/read/1', BY_ADDRESS))).status, 200)
  if (outside === undefined) return t.comment('this machine has no address but loopback')
  const client = await openRaw(lab.port, { host: outside.address, servername: HOST })
  const reply = await exchangeOn(client, printDraft(draft('/read/1', BY_ADDRESS)))
  t.strictSame([reply.status, reasonOf(reply), reply.header('connection')], [403, 'hop_untrusted', 'close'])
  t.match(await lab.refusal(reply.header('x-request-id') ?? ''), {
    reason: 'hop_untrusted',
    detail: 'not from loopback',
    client_address: outside.address,
  })
})

t.test('loopback without TLS', async (t) => {
  const lab = await startBehind({ listen: 'host: 127.0.0.1, tls: off', behind: 'hop: loopback, address: forwarded' })
  t.teardown(() => lab.stop())
  const send = async (forwarded: string) =>
    exchangeOn(await openPlain({ port: lab.port, host: '127.0.0.1' }), printDraft(draft('/public', [['Forwarded', forwarded]])))
  t.equal((await send('for=192.0.2.1;proto=http, for="[2001:db8::1]:4711";by=_x')).status, 200)
  t.equal(lab.calls[0]?.headers['x-forwarded-for'], '2001:db8::1')
  t.equal((await send('for=unknown')).status, 400)
})

t.test('mutual TLS: the hop is whoever has a certificate of its CA by one of its names', async (t) => {
  const [ca, foreign] = await Promise.all([makeCa('Hops CA'), makeCa('Hops CA')])
  /** With one alternative name: of kind 2 a DNS name, of 6 a URI (RFC 5280 §4.2.1.6). */
  const named = (kind: 2 | 6, name: string) => {
    const der = Buffer.concat([Buffer.from([0x30, name.length + 2, 0x80 + kind, name.length]), Buffer.from(name)])
    return makeOddCertificate({ ca, extensions: [['2.5.29.17', false, der.toString('hex')]] })
  }
  const [workload, disguised, child] = await Promise.all([
    named(6, 'spiffe://bank/ingress'),
    named(2, 'a, URI:spiffe://bank/ingress, b'),
    named(6, 'spiffe://bank/ingress/child'),
  ])
  const names = ['ingress.bank.internal']
  const ekus = ['client'] as const
  const [hop, wild, other, common, server, stranger] = await Promise.all([
    makeCertificate({ ca, names, ekus }),
    makeCertificate({ ca, names: ['*.bank.internal'], ekus }),
    makeCertificate({ ca, names: ['egress.bank.internal'], ekus }),
    makeCertificate({ ca, subject: 'CN=ingress.bank.internal', ekus }),
    makeCertificate({ ca, names, ekus: ['server'] }),
    makeCertificate({ ca: foreign, names, ekus }),
  ])
  const lab = await startBehind({
    listen: 'tls: { key: server.key, cert: server.crt }',
    behind: 'hop: { ca: hops.crt, names: [ingress.bank.internal, spiffe://bank/ingress] }, address: forwarded_for',
    files: { 'hops.crt': ca.cert },
  })
  t.teardown(() => lab.stop())
  const request = () => printDraft(draft('/read/1', BY_ADDRESS))
  const as = async ({ cert, key }: { cert: string; key: string }) =>
    exchangeOn(await openRaw(lab.port, { servername: 'holdfast.internal', cert, key }), request())
  t.equal((await as(hop)).status, 200, 'by whatever SNI it connects')
  t.equal((await as(workload)).status, 200, 'by a URI')
  for (const [who, detail] of [
    [disguised, 'by another name'],
    [child, 'by another name'],
    [wild, 'by another name'],
    [other, 'by another name'],
    [common, 'by another name'],
  ] as const) {
    const reply = await as(who)
    t.strictSame([reply.status, reasonOf(reply)], [403, 'hop_untrusted'], detail)
    t.match(await lab.refusal(reply.header('x-request-id') ?? ''), { detail })
  }
  const { cert, key } = other
  const broken = await exchangeOn(await openRaw(lab.port, { servername: HOST, cert, key }), 'GET / HTTP/1.1\r\nHost\r\n\r\n')
  t.strictSame([broken.status, reasonOf(broken)], [403, 'hop_untrusted'], 'whatever it says')
  t.match(await lab.refusal(broken.header('x-request-id') ?? ''), { detail: 'by another name' })
  for (const [why, who] of Object.entries({ server, stranger, none: { cert: '', key: '' } })) {
    const client = await openRaw(lab.port, { servername: HOST, ...(why === 'none' ? {} : who) })
    client.send(request())
    t.equal(await client.ended(20_000), '', `${why}: ends with the handshake`)
  }
  t.equal(lab.upstreamCalls(), 2)

  const open = await openRaw(lab.port, { servername: HOST, cert: hop.cert, key: hop.key })
  open.send(request())
  t.equal((await open.response()).status, 200)
  await lab.reload((defaults) => ({
    ...defaults,
    listen:
      '{ tls: { key: server.key, cert: server.crt }, behind: { hop: { ca: hops.crt, names: [egress.bank.internal] }, address: forwarded_for } }',
    public_origins: `[https://${HOST}]`,
  }))
  t.equal(await open.ended(20_000), '', 'another name is in force at once')
  t.equal((await as(other)).status, 200)
  t.equal((await as(hop)).status, 403)
})

t.test('an address that is none refuses: nobody is guessed', async (t) => {
  const { lab, send } = await onSocket('address: forwarded_for')
  t.teardown(() => lab.stop())
  const cases: readonly (readonly [Draft['headers'], string | null])[] = [
    [[['X-Forwarded-For', '10.0.0.1, 192.0.2.1']], '192.0.2.1'],
    [[['X-Forwarded-For', '192.0.2.1:65535']], '192.0.2.1'],
    [[['X-Forwarded-For', '::ffff:192.0.2.1']], '192.0.2.1'],
    [[['X-Forwarded-For', '"><script>, [2001:db8::1]:80']], '2001:db8::1'],
    // A hop that adds a line of its own: the last is its.
    [
      [
        ['X-Forwarded-For', '6.6.6.6'],
        ['X-Forwarded-For', '192.0.2.1'],
      ],
      '192.0.2.1',
    ],
    [
      [
        ['X-Forwarded-For', '192.0.2.1'],
        ['X_Forwarded_For', '6.6.6.6'],
        ['X.Forwarded.For', '6.6.6.6'],
      ],
      '192.0.2.1',
    ],
    [
      [
        ['X-Forwarded-For', '192.0.2.1'],
        ['Forwarded', 'for=6.6.6.6'],
        ['X-Real-IP', '6.6.6.6'],
      ],
      '192.0.2.1',
    ],
    [[], null],
    [[['X_Forwarded_For', '192.0.2.1']], null],
    [[['Forwarded', 'for=192.0.2.1']], null],
    [[['X-Forwarded-For', '']], null],
    [[['X-Forwarded-For', '192.0.2.1,']], null],
    [
      [
        ['X-Forwarded-For', '192.0.2.1'],
        ['X-Forwarded-For', ''],
      ],
      null,
    ],
    [[['X-Forwarded-For', 'unknown']], null],
    [[['X-Forwarded-For', '192.0.2.256']], null],
    [[['X-Forwarded-For', '192.0.2.1:65536']], null],
    [[['X-Forwarded-For', '0x7f.1']], null],
    [[['X-Forwarded-For', 'fe80::1%eth0']], null],
    [
      [
        ['X-Forwarded-For', '192.0.2.1'],
        ['Connection', 'X-Forwarded-For'],
      ],
      null,
    ],
  ]
  for (const [headers, address] of cases) {
    const reply = await send(draft('/public', headers))
    const told = JSON.stringify(headers)
    if (address === null) t.strictSame([reply.status, reasonOf(reply)], [400, 'request_malformed'], told)
    else t.strictSame([reply.status, lab.calls.at(-1)?.headers['x-forwarded-for']], [200, address], told)
  }
  const trailer = `${printDraft(
    draft('/public', [
      ['Transfer-Encoding', 'chunked'],
      ['Trailer', 'X-Forwarded-For'],
    ]),
  )}`
    .replace('GET', 'POST')
    .concat('0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n')
  const { path } = { path: lab.gateway.addresses[0] ?? '' }
  t.equal((await exchangeOn(await openPlain({ path }), trailer)).status, 400, 'a trailer is no header')
})

t.test('without an address nobody is named, and the hop not in its client’s place', async (t) => {
  const path = join(folder, `${++sockets}.sock`)
  const lab = await startLab({
    store: 'memory',
    yaml: (defaults) => ({
      ...defaults,
      listen: `{ socket: ${path}, tls: off, behind: { hop: socket } }`,
      tiers: `${defaults.tiers}\n  public: { rate_limit: off }\n`,
    }),
  })
  t.teardown(() => lab.stop())
  t.equal((await exchangeOn(await openPlain({ path }), printDraft(draft('/public', BY_ADDRESS)))).status, 200)
  t.equal(lab.calls[0]?.headers['x-forwarded-for'], 'unknown')
})

t.test('the origin: Host says it, or the hop’s X-Forwarded-Host, and never both', async (t) => {
  const same = await onSocket('address: forwarded_for')
  t.teardown(() => same.lab.stop())
  await same.send(draft('/public', [...BY_ADDRESS, ['X-Forwarded-Host', 'b.example.com']]))
  t.equal(same.lab.calls[0]?.headers['x-forwarded-host'], HOST)
  const unknown = await same.send(draft('/public', [...BY_ADDRESS, ['X-Forwarded-Host', HOST]], (r) => (r.host = 'internal')))
  t.equal(reasonOf(unknown), 'host_unknown')

  const { lab, send } = await onSocket('address: forwarded_for, host: forwarded')
  t.teardown(() => lab.stop())
  const named = (...hosts: readonly string[]): Draft['headers'] => [
    ...BY_ADDRESS,
    ...hosts.map((host): [string, string] => ['X-Forwarded-Host', host]),
  ]
  const reply = await send(draft('/read/1', named(HOST), (r) => (r.host = 'internal:8080')))
  t.equal(reply.status, 200)
  t.match(lab.calls[0]?.headers, { 'x-forwarded-host': HOST, forwarded: `for=192.0.2.1;proto=https;host=${HOST}` })
  for (const [hosts, reason] of [
    [[], 'request_malformed'],
    [[HOST, HOST], 'request_malformed'],
    [[`${HOST}, b.example.com`], 'request_malformed'],
    [['evil.example'], 'host_unknown'],
    [[`${HOST}/path`], 'request_malformed'],
    [[''], 'request_malformed'],
  ] as const)
    t.equal(reasonOf(await send(draft('/read/1', named(...hosts)))), reason, JSON.stringify(hosts))
  const twoHosts = draft('/read/1', [...named(HOST), ['Host', HOST]])
  t.equal(reasonOf(await send(twoHosts)), 'request_malformed', 'Host is framing still')
  const folded = await send(draft('/read/1', [...BY_ADDRESS, ['X_Forwarded_Host', HOST]]))
  t.equal(reasonOf(folded), 'request_malformed', 'another name')
})

t.test('a path prefix that the hop took away is in htu and in what clients are told, not in the target', async (t) => {
  const { lab, send } = await onSocket('address: forwarded_for, removed_prefix: /svc2')
  t.teardown(() => lab.stop())
  const withHtu = (htu: string) =>
    draft('/read/1?q=1', BY_ADDRESS, (r) => {
      if (r.proof !== null) r.proof.claims.htu = htu
    })
  t.equal((await send(withHtu(`https://${HOST}/svc2/read/1`))).status, 200)
  t.equal((await send(withHtu(`https://${HOST.toUpperCase()}:443/svc2/a/../re%61d/1`))).status, 200, 'in normal form')
  for (const path of ['/read/1', '/svc2/svc2/read/1', '/svc2read/1', '/SVC2/read/1', '/svc2', ''])
    t.equal(reasonOf(await send(withHtu(`https://${HOST}${path}`))), 'proof_target', path)
  t.equal(lab.calls[0]?.url, '/read/1?q=1')
  const [, claims = ''] = String(lab.calls[0]?.headers['holdfast-assertion']).split('.')
  t.match(JSON.parse(Buffer.from(claims, 'base64url').toString()), { htu: `https://${HOST}/svc2/read/1`, target: '/read/1?q=1' })
})

t.test('one hop brings as many connections as it likes, within the limit of all', async (t) => {
  const path = join(folder, `${++sockets}.sock`)
  const lab = await startLab({
    store: 'memory',
    yaml: (defaults) => ({
      ...defaults,
      listen: `{ socket: ${path}, tls: off, behind: { hop: socket, address: forwarded_for } }`,
      limits: '{ connections_per_address: 2, connections: 5 }',
    }),
  })
  t.teardown(() => lab.stop())
  const open = await Promise.all(Array.from({ length: 5 }, () => openPlain({ path })))
  for (const client of open) {
    client.send(printDraft(draft('/public', BY_ADDRESS)))
    t.equal((await client.response()).status, 200)
  }
  const sixth = await openPlain({ path })
  t.equal(await sixth.ended(20_000), '')
  for (const client of open) client.close()
})
