// What is left of a gateway's duties in HTTP: methods that are never forwarded, dates, problem documents, headers of FAPI, answers that
// are not touched (RFC 9110, RFC 9457, FAPI 1.0 Part 1 §6.2).
import type { IncomingMessage, ServerResponse } from 'node:http'
import t from 'tap'
import { type Draft, makeDraft, printDraft } from '../support/draft.js'
import { anonymous } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'

const ID = '4f0f7a1e-3b1f-4c3e-9d53-3a5f0e9b7c11'
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

let asked: IncomingMessage[] = []
/** What the upstream answers; each test sets its own. */
let answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) => void response.end()
const lab = await startLab({
  store: 'memory',
  yaml: (parts) => ({
    ...parts,
    tiers: `${parts.tiers}  open: { extends: public, rate_limit: off }\n`,
    routes: `${parts.routes?.replaceAll('tier: public', 'tier: open')}
  - { path: /options, methods: [OPTIONS, GET], tier: open, upstream: cases }`,
  }),
  upstream: (request, response) => {
    asked.push(request)
    request.resume().on('end', () => answer(request, response))
  },
})
t.teardown(() => lab.stop())
t.beforeEach(() => {
  asked = []
  answer = (_, response) => void response.end('{}')
})

const draft = (path = '/read/1', method = 'GET') => makeDraft({ host: HOST, path, method })
const change = (make: (draft: Draft) => void, request = draft()): Draft => {
  make(request)
  return request
}
const withHeaders = (headers: Draft['headers'], request = draft()) => change((r) => (r.headers = headers), request)
const reasonOf = (reply: { body: string }) => JSON.parse(reply.body).reason

/** A request for each place at which one is refused, and its status. */
const REFUSED: Readonly<Record<string, readonly [status: number, make: () => Draft]>> = {
  request_malformed: [400, () => withHeaders([['Host', 'two']])],
  target_malformed: [400, () => anonymous(draft('/public/..'))],
  credentials_in_query: [400, () => draft('/read/1?access_token=secret')],
  credentials_missing: [401, () => anonymous(draft())],
  token_expired: [401, () => change((r) => Object.assign(r.token.claims, { iat: r.now - 100, exp: r.now - 1 }))],
  proof_missing: [401, () => change((r) => (r.proof = null))],
  nonce_missing: [401, () => draft('/nonce')],
  scope_missing: [403, () => change((r) => (r.token.claims.scope = 'none'))],
  route_unknown: [404, () => draft('/nothing')],
  method_not_allowed: [405, () => draft('/read/1', 'DELETE')],
  body_too_large: [413, () => withHeaders([['Content-Length', '9999999']], draft('/read/1', 'POST'))],
  target_too_long: [414, () => draft(`/read/${'x'.repeat(9000)}`)],
  expectation_failed: [417, () => withHeaders([['Expect', 'secret']])],
  host_unknown: [421, () => change((r) => (r.host = 'secret.example'))],
  headers_too_large: [431, () => withHeaders([['X-Large', 'x'.repeat(40_000)]])],
  upstream_invalid: [502, () => draft('/read/broken')],
}
const breakOne = (request: IncomingMessage, response: ServerResponse): void => {
  if (request.url === '/read/broken') response.socket?.end('secret\r\n\r\n')
  else response.end('{}')
}

t.test('every refusal is a problem document, whatever Accept says', async (t) => {
  for (const [reason, [status, make]] of Object.entries(REFUSED)) {
    await t.test(`denies ${reason}: status ${status}, the form of RFC 9457, nothing private`, async (t) => {
      answer = breakOne
      const request = make()
      request.headers = [...request.headers, ['Accept', 'text/html'], ['X-Secret', 'secret'], ['Accept-Encoding', 'gzip']]
      const reply = await lab.send(request)
      const problem = JSON.parse(reply.body)
      t.equal(reply.status, status)
      t.match(problem, { type: `urn:holdfast:reason:${reason}`, reason, status, title: String, request_id: UUID })
      t.strictSame(
        Object.keys(problem).sort(),
        ['reason', 'request_id', 'status', 'title', 'type'],
        'no second word on the error',
      )
      t.equal(reply.header('content-type'), 'application/problem+json')
      t.equal(reply.header('cache-control'), 'no-store')
      t.equal(reply.header('content-encoding'), undefined)
      t.equal(reply.header('x-request-id'), problem.request_id)
      t.match(reply.header('date'), /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/)
      t.match(reply.header('x-fapi-interaction-id'), UUID)
      t.notMatch(reply.text, /secret|127\.0\.0\.1|eyJ|node:|\.js:/i)
    })
  }
})

t.test('a problem document of the upstream is passed on as it is', async (t) => {
  const problem = '{"type":"about:blank","status":409,"instance":"/read/1","error":"theirs"}'
  answer = (_, response) => response.writeHead(409, { 'Content-Type': 'application/problem+json' }).end(problem)
  const reply = await lab.send(draft())
  t.strictSame([reply.status, reply.header('content-type'), reply.body], [409, 'application/problem+json', problem])
})

t.test('HEAD is judged as GET is, and its answers have no body', async (t) => {
  const refused = await lab.open()
  refused.send(printDraft(anonymous(draft('/read/1', 'HEAD'))), printDraft(draft('/read/1', 'HEAD')))
  const first = await refused.response({ method: 'HEAD' })
  t.equal(first.status, 401)
  t.ok(first.lines.some((line) => line.startsWith('WWW-Authenticate: DPoP')))
  t.ok(Number(first.header('content-length')) > 0, 'the length that GET would have')
  const second = await refused.response({ method: 'HEAD' })
  t.strictSame([second.status, second.header('content-type')], [200, undefined], 'read right behind the head of the first')
  refused.close()
})

t.test('denies request_malformed: a Host that is none', async (t) => {
  for (const host of [
    '',
    `${HOST}/read`,
    `user@${HOST}`,
    `${HOST}?x`,
    `${HOST}#x`,
    `${HOST}, other.example`,
    `${HOST}:x`,
    `${HOST}:99999`,
  ]) {
    const reply = await lab.send(change((r) => (r.host = host)))
    t.strictSame([reply.status, reasonOf(reply)], [400, 'request_malformed'], host)
  }
  t.equal(asked.length, 0)
})

t.test('denies method_not_allowed: TRACE, CONNECT and OPTIONS go nowhere, and nothing is reflected', async (t) => {
  const lines: Draft['headers'] = [
    ['Max-Forwards', '3'],
    ['X-Reflected', 'secret'],
  ]
  for (const method of ['TRACE', 'OPTIONS', 'PATCH', 'PROPFIND']) {
    const reply = await lab.send(withHeaders(lines, draft('/read/1', method)))
    t.strictSame([reply.status, reasonOf(reply), reply.header('allow')], [405, 'method_not_allowed', 'GET, POST, HEAD'], method)
    t.notMatch(reply.text, 'secret')
  }
  const tunnel = await lab.sendRaw(`CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}\r\nX-Reflected: secret\r\n\r\n`)
  t.strictSame([tunnel.status, reasonOf(tunnel)], [405, 'method_not_allowed'])
  t.notMatch(tunnel.text, 'secret')
  t.equal(asked.length, 0)
})

t.test('denies method_not_allowed: a preflight, and no answer speaks of CORS', async (t) => {
  const origin: [string, string] = ['Origin', 'https://app.example']
  const preflight = await lab.send(
    withHeaders([origin, ['Access-Control-Request-Method', 'POST']], anonymous(draft('/read/1', 'OPTIONS'))),
  )
  t.equal(preflight.status, 405)
  for (const reply of [
    preflight,
    await lab.send(withHeaders([origin])),
    await lab.send(withHeaders([origin], anonymous(draft()))),
  ])
    t.notMatch(reply.text, /access-control-/i)
})

t.test('a route for OPTIONS passes it on, without Max-Forwards', async (t) => {
  t.equal((await lab.send(withHeaders([['Max-Forwards', '1']], anonymous(draft('/options', 'OPTIONS'))))).status, 200)
  t.equal(asked[0]?.method, 'OPTIONS')
  t.notOk('max-forwards' in (asked[0]?.headers ?? {}))
})

t.test('an answer has a date: the upstream’s, or ours where it gives none', async (t) => {
  const old = 'Fri, 31 Dec 1999 23:59:59 GMT'
  answer = (_, response) => response.writeHead(200, { Date: old }).end()
  t.strictSame((await lab.send(draft())).headers('date'), [old])
  answer = (_, response) => {
    response.sendDate = false
    response.end()
  }
  const dates = (await lab.send(draft())).headers('date')
  t.equal(dates.length, 1)
  t.ok(Math.abs(Date.parse(dates[0] ?? '') - Date.now()) < 5_000)
})

t.test('x-fapi-interaction-id', async (t) => {
  const sent = (value: string, request = draft()) => lab.send(withHeaders([['x-fapi-interaction-id', value]], request))
  await t.test('grants: a UUID is echoed and reaches the upstream', async (t) => {
    for (const id of [ID, ID.toUpperCase()]) {
      t.strictSame((await sent(id)).headers('x-fapi-interaction-id'), [id])
      t.equal(asked.at(-1)?.headers['x-fapi-interaction-id'], id)
    }
  })
  await t.test('denies: a UUID is echoed in refusals too', async (t) => {
    answer = breakOne
    for (const [reason, [status, make]] of Object.entries(REFUSED)) {
      if (reason === 'headers_too_large') continue
      const request = make()
      request.headers = [...request.headers, ['x-fapi-interaction-id', ID]]
      const reply = await lab.send(request)
      t.strictSame([reply.status, reply.header('x-fapi-interaction-id')], [status, ID], reason)
    }
  })
  await t.test('drops what is no UUID, or not one, and makes one', async (t) => {
    for (const id of ['', 'abc', `${ID}x`, 'x'.repeat(10_000), `${ID}, ${ID}`, `{${ID}}`]) {
      const ids = (await sent(id)).headers('x-fapi-interaction-id')
      t.equal(ids.length, 1)
      t.match(ids[0], UUID)
      t.not(ids[0], ID)
      t.notOk('x-fapi-interaction-id' in (asked.at(-1)?.headers ?? {}))
    }
  })
  await t.test('drops one that the upstream says', async (t) => {
    answer = (_, response) => response.writeHead(200, { 'X-Fapi-Interaction-Id': 'theirs' }).end()
    t.strictSame((await sent(ID)).headers('x-fapi-interaction-id'), [ID])
  })
})

t.test('grants whatever Accept and the headers of FAPI say, and makes nothing of them', async (t) => {
  const rows: readonly Draft['headers'][] = [
    [],
    [['Accept', 'application/json; charset=utf-8']],
    [['Accept', 'application/json, application/*+json, */*']],
    [['x-fapi-customer-ip-address', '198.51.100.7']],
    [['x-fapi-customer-ip-address', '2001:db8::1893:25c8:1946']],
    [['x-fapi-auth-date', 'Tue, 11 Sep 2012 19:43:31 GMT']],
    ...['true', 'TRUE', 'junk', ''].map((value): Draft['headers'] => [['x-fapi-end-user-present', value]]),
  ]
  for (const headers of rows) {
    answer = (_, response) => response.writeHead(200, { 'Content-Type': 'application/json; charset=utf-8' }).end('{"a":"é"}')
    const reply = await lab.send(withHeaders(headers))
    t.strictSame([reply.status, reply.body], [200, '{"a":"é"}'], JSON.stringify(headers))
    t.equal(reply.header('content-type'), 'application/json; charset=utf-8')
    const got = asked.at(-1)?.headers ?? {}
    for (const [name, value] of headers) t.equal(got[name.toLowerCase()], value, 'it passes as it came')
    t.equal(got['x-forwarded-for'], '127.0.0.1')
    t.equal(got.forwarded, `for=127.0.0.1;proto=https;host=${HOST}`)
  }
})

t.test('answers are not touched: not compressed, not unpacked, not cut', async (t) => {
  const packed = Buffer.from('1f8b08000000000000034b4c4a0600c241243503000000', 'hex')
  const asking: Draft['headers'] = [
    ['Accept-Encoding', 'gzip, br'],
    ['Range', 'bytes=0-1'],
    ['If-None-Match', '"1"'],
  ]
  answer = (_, response) => response.writeHead(200, { 'Content-Type': 'text/plain' }).end('a'.repeat(5_000))
  const plain = await lab.send(withHeaders(asking))
  t.strictSame([plain.status, plain.header('content-encoding'), plain.body], [200, undefined, 'a'.repeat(5_000)])
  t.match(asked.at(-1)?.headers, { 'accept-encoding': 'gzip, br', range: 'bytes=0-1', 'if-none-match': '"1"' })
  answer = (_, response) =>
    response
      .writeHead(206, { 'Content-Encoding': 'gzip', 'Content-Range': 'bytes 0-22/99', 'Content-Length': packed.length })
      .end(packed)
  const client = await lab.open()
  client.send(printDraft(withHeaders(asking)))
  const part = await client.response()
  client.close()
  t.strictSame([part.status, part.header('content-encoding'), part.header('content-range')], [206, 'gzip', 'bytes 0-22/99'])
  t.strictSame(part.body, packed)
})
