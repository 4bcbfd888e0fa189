// What pages try, each in a real browser: what a listed one may do and read, and what no other gets by frames, redirects, forms, caches,
// cookies or WebSockets. The browser believes what the gateway says; cors.test.ts has the headers that say it.
import type { IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import { skip, startBrowser } from '../support/browser.js'
import { credentialsOf, makeDraft } from '../support/draft.js'
import { HOST, type LabYaml, startLab } from '../support/lab.js'
import { startPages } from '../support/pages.js'

const API = `https://${HOST}`

const credentials = (path: string, method = 'GET') => credentialsOf(makeDraft({ host: HOST, path, method }))

t.test('pages of other origins read and send what they may and no more, in a browser', { skip, timeout: 110_000 }, async (t) => {
  const [app, neighbour] = await Promise.all([startPages(API), startPages(API)])
  const APP = `http://localhost:${app.port}`
  /** Of the same site, and so of the same cache and the same cookies, but not listed. */
  const NEIGHBOUR = `http://localhost:${neighbour.port}`
  const EVIL = `http://evil.example:${neighbour.port}`
  const listing = (origin: string) => (others: LabYaml) => ({
    ...others,
    cors: `{ origins: ['${origin}'], max_age: 10m, headers: [If-Match], expose: [ETag] }`,
  })
  const withRoutes = (defaults: LabYaml) => ({
    ...defaults,
    routes: `${defaults.routes}
  - { path: '/read/:id', methods: [PUT], tier: bound_read, upstream: cases, issuers: [https://as.example.com] }
  - { path: /socket, methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as.example.com], websocket: true }`,
  })
  /** Of every request that reached the upstream. */
  const seen: IncomingHttpHeaders[] = []
  const lab = await startLab({
    store: 'memory',
    yaml: (defaults) => listing(APP)(withRoutes(defaults)),
    upstream: ({ headers }, response) => {
      seen.push(headers)
      // What it says of CORS does not count; and it lets caches keep all.
      response.writeHead(200, {
        'Access-Control-Allow-Origin': headers.origin ?? '*',
        'Access-Control-Allow-Credentials': 'true',
        'Access-Control-Expose-Headers': 'X-Internal-Thing',
        'Cache-Control': 'public, max-age=600',
        'X-Internal-Thing': 'secret',
        ETag: '"1"',
      })
      response.end(`answer ${seen.length}`)
    },
  })
  const { 'server.key': key = '', 'server.crt': cert = '' } = lab.certificates.files
  const sibling = await startPages(API, { key, cert })
  /** Of the same site, as a subdomain that somebody else has got hold of. */
  const SIBLING = `https://blog.example.com:${sibling.port}`
  const browser = await startBrowser({
    certificate: cert,
    rules: [`MAP ${HOST}:443 127.0.0.1:${lab.port}`, 'MAP evil.example 127.0.0.1', 'MAP blog.example.com 127.0.0.1'],
  })
  t.teardown(async () => {
    await browser.stop()
    await lab.stop()
    for (const server of [app, neighbour, sibling]) server.close()
  })
  const page = await browser.open(APP)
  const evil = await browser.open(EVIL)

  await t.test('a listed page asks with a token, and reads what is exposed and nothing else', async (t) => {
    const answer = await page.fetch(`${API}/read/1`, { headers: credentials('/read/1') })
    t.match(answer, { type: 'cors', status: 200, body: /answer/, headers: { etag: '"1"' } })
    t.notMatch(answer, { headers: { 'x-internal-thing': 'secret' } })
  })

  await t.test('what no route has and no setting names is never sent', async (t) => {
    const before = seen.length
    const refused = await page.fetch(`${API}/read/1`, { method: 'DELETE', headers: credentials('/read/1', 'DELETE') })
    t.equal(refused, 'TypeError')
    t.equal(await page.fetch(`${API}/read/1`, { headers: { ...credentials('/read/1'), 'x-thing': '1' } }), 'TypeError')
    t.notOk(lab.events().some(({ method }) => method === 'DELETE'))
    t.equal(seen.length, before)
    t.match(await page.fetch(`${API}/read/1`, { method: 'PUT', headers: credentials('/read/1', 'PUT') }), { status: 200 })
    t.match(await page.fetch(`${API}/read/1`, { headers: { ...credentials('/read/1'), 'if-match': '"1"' } }), { status: 200 })
  })

  await t.test('a frame without an origin reads nothing, also in a listed page', async (t) => {
    const answer = await page.evaluate(`new Promise((resolve) => {
      addEventListener('message', ({ data }) => resolve(data), { once: true })
      const frame = document.createElement('iframe')
      frame.sandbox = 'allow-scripts'
      frame.srcdoc = \`<script>
        fetch('${API}/public').then((answer) => answer.status, (error) => error.name)
          .then((answer) => parent.postMessage([origin, answer], '*'))
      </\` + \`script>\`
      document.body.append(frame)
    })`)
    t.strictSame(answer, ['null', 'TypeError'])
  })

  await t.test('a redirect of another origin opens nothing', async (t) => {
    t.equal(await evil.fetch(`${EVIL}/to/public`), 'TypeError')
    t.equal(await page.fetch(`${EVIL}/to/public`), 'TypeError', 'its origin is null after that')
    t.match(await page.fetch(`${APP}/to/public`), { status: 200 }, 'which a redirect of its own does not do')
  })

  await t.test('cookies that a browser has do not open anything and go nowhere', async (t) => {
    const other = await browser.open(SIBLING)
    await other.setCookie(API, 'session', 'of-the-victim')
    const before = seen.length
    const init = { credentials: 'include', cache: 'no-store' }
    for (const from of [page, evil, other]) t.equal(await from.fetch(`${API}/public`, init), 'TypeError')
    t.ok(
      other.sent.some(({ headers }) => headers.Cookie?.includes('of-the-victim')),
      'though it sent them',
    )
    t.equal(seen.length, before + 3)
    t.notOk(seen.some((headers) => 'cookie' in headers))
    const proven = { ...init, headers: credentials('/read/1') }
    t.equal(await page.fetch(`${API}/read/1`, proven), 'TypeError', 'also with a token')
  })

  await t.test('a form, and what is sent without reading, is refused', async (t) => {
    const before = seen.length
    for (const path of ['/read/1', '/tenants/tenant-1/decision']) {
      const answer = await evil.fetch(API + path, { method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}' })
      t.match(answer, { type: 'opaque', status: 0, body: '' }, path)
    }
    t.equal(await evil.fetch(`${API}/read/1`, { headers: credentials('/read/1') }), 'TypeError', 'not even a token of its own')
    t.equal(await evil.fetch(`${API}/read/1`, { mode: 'no-cors' }).then((one) => typeof one), 'object')
    t.equal(seen.length, before)
  })

  await t.test('a page cannot open a WebSocket to a route that wants a token', async (t) => {
    const before = seen.length
    for (const from of [page, evil]) {
      const end = await from.evaluate(`new Promise((resolve) => {
        const socket = new WebSocket('wss://${HOST}/socket')
        socket.onopen = () => resolve('open')
        socket.onclose = ({ code }) => resolve(code)
      })`)
      t.equal(end, 1006)
    }
    t.equal(seen.length, before)
  })

  await t.test('what a cache has for one page is not given to another', async (t) => {
    const other = await browser.open(NEIGHBOUR)
    const url = `${API}/public?cached`
    t.match(await page.fetch(url), { status: 200 })
    const times = seen.length
    t.match(await page.fetch(url), { status: 200 })
    t.equal(seen.length, times, 'it is cached')
    for (const cache of ['default', 'force-cache']) t.equal(await other.fetch(url, { cache }), 'TypeError', cache)
    t.equal(await other.fetch(`${url}=by-another`), 'TypeError')
    t.match(await page.fetch(`${url}=by-another`), { status: 200 }, 'nor does what another has cached shut it out')
  })

  await t.test('a page that is taken off the list reads nothing more, whatever its browser remembers', async (t) => {
    const ask = () => page.fetch(`${API}/read/7`, { method: 'PUT', headers: credentials('/read/7', 'PUT') })
    t.match(await ask(), { status: 200 })
    await lab.reload(listing('https://app.example.com'))
    const before = seen.length
    t.equal(await ask(), 'TypeError')
    t.equal(seen.length, before + 1, 'a preflight that it remembers lets it ask, with a token that is as good as before')
    t.equal(await page.fetch(`${API}/read/8`, { method: 'PUT', headers: credentials('/read/8', 'PUT') }), 'TypeError')
    t.equal(seen.length, before + 1, 'and only what it remembers')
    await lab.reload(listing(APP))
    t.match(await page.fetch(`${API}/read/8`, { method: 'PUT', headers: credentials('/read/8', 'PUT') }), { status: 200 })
  })
})
