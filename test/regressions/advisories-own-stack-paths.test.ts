// Could a path be made to leave its prefix, its route or its upstream, as it could in Fastify's proxy plugins? For each attempt: what the
// upstream was asked stays below the prefix it belongs to, or it was not asked at all.
import { createHash } from 'node:crypto'
import t from 'tap'
import { type Draft, makeDraft, printDraft } from '../support/draft.js'
import { HOST, startLab } from '../support/lab.js'
import { changed, grants, ISSUER, reasonOf, refuses, type Tap } from './attack.js'
import { openRecorder } from './recorder.js'

const accept = (key: unknown) => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
const sockets = await openRecorder({
  upgrade: ({ headers }, socket) => {
    const head = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket']
    socket.on('error', () => undefined)
    socket.end(`${head.join('\r\n')}\r\nSec-WebSocket-Accept: ${accept(headers['sec-websocket-key'])}\r\n\r\n`)
  },
})
const [one, two] = [await openRecorder(), await openRecorder()]

const lab = await startLab({
  store: 'memory',
  yaml: (parts) => {
    const url = /url: '([^']+)'/.exec(parts.upstreams ?? '')?.[1]
    const route = (path: string, upstream: string, more = '') =>
      `  - { path: '${path}', methods: [GET], tier: bound_read, upstream: ${upstream}, ${ISSUER}${more} }\n`
    return {
      ...parts,
      upstreams: `
  cases: { url: '${url}', audience: cases }
  based: { url: '${url}/base' }
  sockets: { url: '${sockets.origin}' }
  one: { url: '${one.origin}/ab' }
  two: { url: '${two.origin}/ab/cd' }
  same_one: { url: '${one.origin}' }
  same_two: { url: '${one.origin}/ab' }`,
      routes: `${parts.routes}
${route('/api/files/*', 'based', ', strip_prefix: /api/files, add_prefix: /v2/store')}
${route('/plain/*', 'cases')}${route('/admin', 'cases')}
${route('/ws/*', 'sockets', ', websocket: true')}
${route('/one/*', 'one', ', strip_prefix: /one')}${route('/two/*', 'two', ', strip_prefix: /two')}
${route('/1/*', 'same_one', ', strip_prefix: /1')}${route('/2/*', 'same_two', ', strip_prefix: /2')}`,
    }
  },
})
t.teardown(async () => {
  await lab.stop()
  for (const recorder of [sockets, one, two]) recorder.close()
})
const to = (path: string, headers: Draft['headers'] = []) =>
  changed((draft) => {
    draft.headers = headers
  }, path)
const escaped = (character: string) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`

t.test('CVE-2026-16117: an encoded prefix is the prefix, or no route', async (t) => {
  const prefix = '/api/files'
  for (const [i, character] of [...prefix].entries()) {
    for (const spelt of [escaped(character), escaped(character).toUpperCase()]) {
      const path = `${prefix.slice(0, i)}${spelt}${prefix.slice(i + 1)}/x%20y`
      if (character === '/') await refuses(t, lab, to(path), i === 0 ? 'request_malformed' : 'target_malformed', path)
      else {
        await grants(t, lab, to(path), path)
        t.equal(lab.calls.at(-1)?.url, '/base/v2/store/x%20y', `${path} is rewritten`)
      }
    }
  }
  const all = [...prefix].map((character) => (character === '/' ? '/' : escaped(character))).join('')
  await grants(t, lab, to(`${all}/x`), all)
  t.equal(lab.calls.at(-1)?.url, '/base/v2/store/x')
  await refuses(t, lab, to('/api/Files/x'), 'route_unknown', 'another case is another path')
  await refuses(t, lab, to('/api%2Ffiles/x'), 'target_malformed', 'an encoded slash is none')
})

t.test('CVE-2026-85124: backslashes do not climb out of a prefix', async (t) => {
  const slashes = ['\\', '%5c', '%5C']
  for (const slash of slashes) {
    for (const path of [
      `/api/files/..${slash}admin`,
      `/api/files${slash}..${slash}admin`,
      `/api/files/a${slash}..${slash}..${slash}admin`,
      `/api/files/%2e%2e${slash}admin`,
      `/api/files/${slash}evil.example.com`,
      `/${slash}evil.example.com/`,
    ])
      await refuses(t, lab, to(path), 'target_malformed', path)
  }
  for (const path of ['/api/files/%255c..%255cadmin', '/api/files/..%255cadmin']) {
    await grants(t, lab, to(path), 'an escape of an escape is text')
    t.equal(lab.calls.at(-1)?.url, path.replace('/api/files', '/base/v2/store'), 'and is not decoded on the way')
  }
})

t.test('CVE-2026-120213: what a parameter captures is one segment behind the prefix, as it came', async (t) => {
  for (const value of [
    'a%2fb%23',
    'a%2Fb',
    '..%2f..%2fadmin',
    '%2e%2e',
    '.',
    'a%5cb',
    'a%00',
    'a%0d%0aX-Injected:%201',
    '%c0%af',
  ])
    await refuses(t, lab, to(`/api/files/${value}/x`), 'target_malformed', value)
  for (const value of ['a%23b', 'a%3Fb%3Dc', 'a%20b', 'a%25', 'http:%2525', '@evil.example.com', ':8080']) {
    await grants(t, lab, to(`/api/files/${value}?q=1`), value)
    t.equal(lab.calls.at(-1)?.url, `/base/v2/store/${value}?q=1`, 'nothing of it became a query or a fragment')
    await grants(t, lab, to(`/read/${value}`), value)
    t.equal(lab.calls.at(-1)?.url, `/read/${value}`)
  }
})

const HANDSHAKE: Draft['headers'] = [
  ['Connection', 'Upgrade'],
  ['Upgrade', 'websocket'],
  ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
  ['Sec-WebSocket-Version', '13'],
]

t.test('CVE-2026-15631: a WebSocket handshake has no path of its own to climb out by', async (t) => {
  const paths = [
    '/ws/../admin',
    '/ws/%2e%2e/admin',
    '/ws/.%2E/admin',
    '/ws/..\\admin',
    '/ws/..%5cadmin',
    '/ws/..%2fadmin',
    '/ws/x/../../admin',
  ]
  for (const path of [...paths, '/ws//admin', '/ws/..;/admin', '/ws/./x', '/../ws/x']) {
    await refuses(t, lab, to(path, HANDSHAKE), 'target_malformed', path)
    // A handshake that Fastify never sees is judged all the same.
    const bare = await lab.sendRaw(
      `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n${HANDSHAKE.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
    )
    t.equal(reasonOf(bare), 'target_malformed', `${path} without credentials`)
  }
  t.equal(sockets.asked.length, 0, 'nothing arrived')
  const client = await lab.open()
  t.teardown(() => client.close())
  client.send(printDraft(to('/ws/x', HANDSHAKE)))
  t.equal((await client.response()).status, 101, 'an honest one is served')
  t.same(
    sockets.asked.map(({ url }) => url),
    ['/ws/x'],
  )
})

t.test('CVE-2026-16158: upstreams whose base and path read the same are not mixed up', async (t) => {
  const asked = async (path: string) => {
    const before = [one.asked.length, two.asked.length]
    const reply = await lab.send(to(path))
    t.equal(reply.status, 200, path)
    const [first, second] = [one.asked.slice(before[0]), two.asked.slice(before[1])]
    const requests = [...first.map((request) => ['one', request] as const), ...second.map((request) => ['two', request] as const)]
    return requests.map(([where, { url, headers }]) => `${where} ${url} for ${audienceOf(headers['holdfast-assertion'])}`)
  }
  // Twice, and in both orders: a cache would have the other's answer by then.
  for (const round of [1, 2]) {
    t.same(await asked('/one/cd/x'), ['one /ab/cd/x for one'], `round ${round}`)
    t.same(await asked('/two/x'), ['two /ab/cd/x for two'])
    t.same(await asked('/1/ab/x'), ['one /ab/x for same_one'])
    t.same(await asked('/2/x'), ['one /ab/x for same_two'])
    t.same(await asked('/two/x?a=1'), ['two /ab/cd/x?a=1 for two'])
    t.same(await asked('/one/cd/x?a=1'), ['one /ab/cd/x?a=1 for one'])
  }
})

function audienceOf(assertion: unknown): unknown {
  const [, payload = ''] = String(assertion).split('.')
  return JSON.parse(Buffer.from(payload, 'base64url').toString()).aud
}

const DOTS = ['..', '.', '%2e%2e', '%2E%2e', '.%2e', '%2e.', '%2e', '..;', '..;a=b', '.;', '%2e%2e;x', '..%3b']
/** Of each route that a lab has, a path that is granted on it. */
const ROUTES = [
  '/public',
  '/profile',
  '/read/1',
  '/nonce',
  '/mtls',
  '/both',
  '/partner',
  '/api/files/x',
  '/plain/x',
  '/admin',
  '/ws/x',
]

const climbs = (path: string, dots: string): string[] => {
  const segments = path.split('/').slice(1)
  return [
    `${path}/${dots}/admin`,
    `${path}/${dots}`,
    `${path}/x/${dots}/`,
    `/${dots}${path}`,
    `/${segments[0]}/${dots}/admin`,
    `/${segments[0]}/${dots}/${dots}/admin?x=/..`,
  ]
}

t.test('CVE-2021-21321, CVE-2021-21322: dot segments are refused on every route', async (t) => {
  const client = await lab.open()
  t.teardown(() => client.close())
  const ask = async (t: Tap, target: string) => {
    client.send(`GET ${target} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
    const { status, body } = await client.response()
    t.equal(reasonOf({ status, body: body.toString() }), 'target_malformed', target)
  }
  const before = lab.upstreamCalls()
  for (const path of ROUTES) for (const dots of DOTS) for (const target of climbs(path, dots)) await ask(t, target)
  t.equal(lab.upstreamCalls(), before, 'the upstream saw none of them')
  const draft = makeDraft({ host: HOST, path: '/plain/..a/b../...?x=/../y' })
  await grants(t, lab, draft, 'segments that only contain dots, and a query, are no one’s way out')
})
