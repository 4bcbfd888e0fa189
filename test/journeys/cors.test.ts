// Pages of other origins: what a browser is told before it lets one ask, and what it lets one read (contract §10).
import t from 'tap'
import { type Draft, makeDraft } from '../support/draft.js'
import { HOST, startLab } from '../support/lab.js'

const PAGE = 'https://app.example.com'
const lab = await startLab({
  store: 'memory',
  yaml: (defaults) => ({
    ...defaults,
    cors: `{ origins: [${PAGE}, 'http://localhost:3000'], max_age: 300999ms, headers: [If-Match], expose: [ETag] }`,
    routes: `${defaults.routes}
  - { path: '/read/:id', methods: [PUT], tier: sensitive_write, upstream: cases, issuers: [https://as.example.com], acr_values: [a] }
  - { path: /own, methods: [GET, OPTIONS], tier: public, upstream: cases }`,
  }),
  upstream: (request, response) => {
    response.writeHead(200, [
      ...['Vary', 'Accept-Encoding', 'Access-Control-Allow-Origin', '*', 'Access-Control-Allow-Credentials', 'true'],
      ...['Access-Control-Expose-Headers', 'X-Internal-Thing', 'ETag', '"1"'],
    ])
    response.end(request.method)
  },
})
t.teardown(() => lab.stop())

const draft = (path: string, headers: Draft['headers'], method = 'GET'): Draft => ({
  ...makeDraft({ host: HOST, path, method }),
  headers,
})
const anonymous = (one: Draft): Draft => ({ ...one, credentials: () => [] })
const preflight = (path: string, method: string, origin = PAGE, headers = 'authorization,dpop') =>
  lab.send(
    anonymous(
      draft(
        path,
        [
          ['Origin', origin],
          ['Access-Control-Request-Method', method],
          ['Access-Control-Request-Headers', headers],
        ],
        'OPTIONS',
      ),
    ),
  )
const reasonOf = ({ body }: { readonly body: string }): unknown => JSON.parse(body).reason
const spoken = ({ text }: { readonly text: string }): readonly string[] =>
  text
    .split('\n')
    .filter((line) => /^(access-control-|vary)/i.test(line))
    .sort()

const READABLE = [
  `Access-Control-Allow-Origin: ${PAGE}`,
  'Access-Control-Expose-Headers: DPoP-Nonce, WWW-Authenticate, Retry-After, X-Request-Id, ETag',
]

t.test('a preflight is answered from the routes, without credentials', async (t) => {
  const reply = await preflight('/read/1', 'PUT')
  t.equal(reply.status, 204)
  t.equal(reply.body, '')
  t.strictSame(spoken(reply), [
    'Access-Control-Allow-Headers: Authorization, DPoP, Content-Type, If-Match',
    'Access-Control-Allow-Methods: GET, POST, HEAD, PUT',
    ...READABLE.slice(0, 1),
    READABLE[1],
    // Whole seconds.
    'Access-Control-Max-Age: 300',
    'Vary: Origin',
  ])
  t.equal((await preflight('/public', 'POST', 'http://localhost:3000')).status, 204)
  t.equal((await preflight('/.well-known/oauth-protected-resource', 'GET')).status, 204, 'and documents of our own')
  // Of a tier that demands a nonce: it is not given to whoever has shown nothing.
  t.equal((await preflight('/nonce', 'GET')).header('dpop-nonce'), undefined)
  t.equal(lab.upstreamCalls(), 0)
})

t.test('a preflight for what no route serves is refused, and the page may read why', async (t) => {
  for (const [path, method, status, reason] of [
    ['/nothing', 'GET', 404, 'route_unknown'],
    ['/read/1', 'DELETE', 405, 'method_not_allowed'],
    ['/read/1', 'TRACE', 405, 'method_not_allowed'],
    ['/read/1', 'put', 405, 'method_not_allowed'],
    ['/read/1;a=b', 'GET', 400, 'target_malformed'],
    ['/.well-known/oauth-protected-resource', 'POST', 405, 'method_not_allowed'],
  ] as const) {
    const reply = await preflight(path, method)
    t.strictSame([reply.status, reasonOf(reply)], [status, reason], `${method} ${path}`)
    t.strictSame(spoken(reply), [...READABLE, 'Vary: Origin'])
  }
})

t.test('to a page of another origin nothing is said', async (t) => {
  for (const origin of [
    'https://evil.example',
    'null',
    '*',
    `${PAGE}.evil.example`,
    `${PAGE}:443`,
    'http://app.example.com',
    '',
  ]) {
    const reply = await preflight('/read/1', 'PUT', origin)
    t.strictSame([reply.status, reasonOf(reply)], [405, 'method_not_allowed'], origin)
    t.strictSame(spoken(reply), ['Vary: Origin'])
    const read = await lab.send(draft('/read/1', [['Origin', origin]]))
    t.equal(read.status, 200, 'what it asks is judged as ever: Origin is no credential')
    t.strictSame(spoken(read), ['Vary: Accept-Encoding', 'Vary: Origin'], 'and the upstream has no say')
  }
  const twice = await lab.send(
    draft('/read/1', [
      ['Origin', 'https://evil.example'],
      ['Origin', PAGE],
    ]),
  )
  t.notMatch(twice.text, /evil/)
})

t.test('an answer can be read by the page that asked, and tells the same to caches', async (t) => {
  const reply = await lab.send(draft('/read/1', [['Origin', PAGE]]))
  t.equal(reply.status, 200)
  t.strictSame(spoken(reply), [...READABLE, 'Vary: Accept-Encoding', 'Vary: Origin'])
  t.strictSame(spoken(await lab.send(draft('/read/1', []))), ['Vary: Accept-Encoding', 'Vary: Origin'], 'without a page')
})

t.test('a refusal can be read: status, reason, challenge, nonce', async (t) => {
  const reply = await lab.send(draft('/nonce', [['Origin', PAGE]]))
  t.strictSame([reply.status, reasonOf(reply)], [401, 'nonce_missing'])
  t.ok(reply.header('dpop-nonce'))
  t.match(reply.header('www-authenticate'), 'use_dpop_nonce')
  t.strictSame(spoken(reply), [...READABLE, 'Vary: Origin'])
})

t.test('OPTIONS that is no preflight goes to the route that has it', async (t) => {
  t.equal((await lab.send(anonymous(draft('/own', [['Origin', PAGE]], 'OPTIONS')))).body, 'OPTIONS')
  const bare = await lab.send(anonymous(draft('/own', [['Access-Control-Request-Method', 'GET']], 'OPTIONS')))
  t.strictSame([bare.status, bare.body], [200, 'OPTIONS'])
  const asking: Draft['headers'] = [
    ['Origin', PAGE],
    ['Access-Control-Request-Method', 'GET'],
  ]
  t.equal((await lab.send(anonymous(draft('/own', asking)))).body, 'GET', 'only OPTIONS asks beforehand')
})

t.test('a reload changes which pages may ask', async (t) => {
  await lab.reload((defaults) => ({ ...defaults, cors: '{ origins: [https://other.example] }' }))
  t.equal((await preflight('/read/1', 'PUT')).status, 405)
  t.equal((await preflight('/read/1', 'GET', 'https://other.example')).status, 204)
  await lab.reload(({ cors: _, ...others }) => others)
  const reply = await preflight('/read/1', 'GET')
  t.strictSame([reply.status, spoken(reply)], [405, []], 'without `cors` no header of it is sent')
})
