// An upstream that lies, through the whole gateway: what it says against HTTP reaches no client, what is ours to say it can't say for
// us, and whatever it sends too much is never the answer to the next client, who shares its connection.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { RESERVED_HEADERS } from '../../src/verify/reserved-headers.js'
import { makeDraft, printDraft } from '../support/draft.js'
import { closed, type Hit, openRawUpstream } from '../support/front.js'
import { anonymous } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'

const ok = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const targetOf = ({ head }: Hit) => head.split(' ')[1] ?? ''

/** What comes of a request that is not honest; each test sets its own. */
let attack: (hit: Hit) => void = () => undefined
const upstream = await openRawUpstream((hit) => {
  const target = targetOf(hit)
  if (target.startsWith('/read/honest-')) hit.socket.write(ok(target))
  else attack(hit)
})
const lab = await startLab({
  store: 'memory',
  yaml: (parts) => ({
    ...parts,
    upstreams: `{ cases: { url: '${upstream.url}', audience: cases, connections: 1, timeouts: { connect: 2s, headers: 2s, body: 2s } } }`,
  }),
})
t.teardown(async () => {
  upstream.close()
  await lab.stop()
})

const draft = (path = '/read/1', method = 'GET') => makeDraft({ host: HOST, path, method })
const says = (bytes: string) => (hit: Hit) => void hit.socket.write(Buffer.from(bytes, 'latin1'))

let turn = 0
/** Another client's request, over whatever connection is there: its answer is its own. */
async function honest(t: Test): Promise<void> {
  turn += 1
  const path = `/read/honest-${turn}`
  const reply = await lab.send(draft(path))
  t.strictSame([reply.status, reply.body], [200, path], 'the next client gets its own answer')
}

const LATE = [
  'a HEAD',
  'a HEAD in chunks',
  'a 204 with a length',
  'a 304 with a length',
  'a 204 in chunks',
  'a 304 in chunks',
] as const

const INVALID: Readonly<Record<string, string>> = {
  'chunked twice': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'status 1000': 'HTTP/1.1 1000 OK\r\nContent-Length: 3\r\n\r\nabc',
  'status 99': 'HTTP/1.1 99 OK\r\nContent-Length: 3\r\n\r\nabc',
  'status 999': 'HTTP/1.1 999 OK\r\nContent-Length: 3\r\n\r\nabc',
  'a status below zero': 'HTTP/1.1 -20 OK\r\nContent-Length: 3\r\n\r\nabc',
  'a status of letters': 'HTTP/1.1 abc OK\r\nContent-Length: 3\r\n\r\nabc',
  'no status': 'HTTP/1.1 \r\nContent-Length: 3\r\n\r\nabc',
  'another protocol': 'ICY 200 OK\r\nContent-Length: 3\r\n\r\nabc',
  'a version that does not exist': 'HTTP/1.9 200 OK\r\nContent-Length: 3\r\n\r\nabc',
  'HTTP/0.9, a page without head': '<html>hello</html>\r\n\r\n',
  'a carriage return in the status line': 'HTTP/1.1 200 OK\rX-Split: 1\r\nContent-Length: 3\r\n\r\nabc',
  'a header split by a carriage return': 'HTTP/1.1 200 OK\r\nX: a\rX-Split: 1\r\nContent-Length: 3\r\n\r\nabc',
  'a header split by a line feed': 'HTTP/1.1 200 OK\r\nX: a\nX-Split: 1\r\nContent-Length: 3\r\n\r\nabc',
  'a space before the colon': 'HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc',
  'a space in a name': 'HTTP/1.1 200 OK\r\nX Y: 1\r\nContent-Length: 3\r\n\r\nabc',
  'a name of nothing': 'HTTP/1.1 200 OK\r\n: 1\r\nContent-Length: 3\r\n\r\nabc',
  'a line without colon': 'HTTP/1.1 200 OK\r\nXY\r\nContent-Length: 3\r\n\r\nabc',
  'a line that begins with a space': 'HTTP/1.1 200 OK\r\n X: 1\r\nContent-Length: 3\r\n\r\nabc',
  'a folded length': 'HTTP/1.1 200 OK\r\nContent-Length:\r\n 3\r\n\r\nabc',
  'two equal lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc',
  'a length with a sign': 'HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc',
  'a length in hexadecimal': 'HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc',
  'a length beyond counting': 'HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551619\r\n\r\nabc',
  'a coding and a length': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc',
  'a coding that ends in chunked': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'chunked that is not last': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'a switch to a protocol that nobody asked for': 'HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0',
  'an unasked-for 100': `HTTP/1.1 100 Continue\r\n\r\n${ok('abc')}`,
  'a hundred thousand hints': `${'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n'.repeat(103_000)}${ok('abc')}`,
}

t.test('what breaks HTTP is told as such, with nothing of it', async (t) => {
  for (const [why, bytes] of Object.entries(INVALID)) {
    await t.test(`denies upstream_invalid: ${why}`, async (t) => {
      attack = ({ socket }) => void socket.end(Buffer.from(bytes, 'latin1'))
      const hits = upstream.hits.length
      const client = await lab.open()
      client.send(printDraft(draft()))
      const { status, lines, body, header } = await client.response()
      const problem = JSON.parse(body.toString())
      t.strictSame([status, problem.reason, problem.status], [502, 'upstream_invalid', 502])
      t.equal(header('content-type'), 'application/problem+json')
      t.strictSame(Object.keys(problem).sort(), ['reason', 'request_id', 'status', 'title', 'type'])
      // Without request ids: they are random, and may hold any three letters.
      const told = `${lines.join('\n')}${body}`.replace(/[\da-f]{8}-[\da-f-]{27}/g, '')
      t.notMatch(told, /split|abc|127\.0\.0\.1|early|link/i, 'nothing of the upstream is told')
      client.send(printDraft(draft('/read/honest-same')))
      t.equal((await client.response()).body.toString(), '/read/honest-same', 'the client may go on')
      client.close()
      t.equal(upstream.hits.length, hits + 2, 'it was asked once')
      await honest(t)
    })
  }
})

t.test('denies upstream_invalid: a head without end costs no more than its limit', async (t) => {
  let written = 0
  attack = ({ socket }) => {
    const filler = Buffer.from(`X-Filler: ${'x'.repeat(4000)}\r\n`.repeat(16))
    const more = () => {
      while (!socket.destroyed) {
        written += filler.length
        if (!socket.write(filler)) return void socket.once('drain', more)
      }
    }
    socket.write('HTTP/1.1 200 OK\r\n')
    more()
  }
  const reply = await lab.send(draft())
  t.strictSame([reply.status, JSON.parse(reply.body).reason], [502, 'upstream_invalid'])
  await closed(upstream.hits.at(-1)?.socket)
  t.ok(written < 16 * 1024 ** 2, `${written} bytes, and then its connection was closed`)
  await honest(t)
})

t.test('a 100 that the upstream sends unasked is not the client’s, who gets ours', async (t) => {
  attack = says(`HTTP/1.1 100 Continue\r\nX-Secret: 1\r\n\r\n${ok('abc')}`)
  const request = draft('/read/1', 'POST')
  request.headers = [
    ['Expect', '100-continue'],
    ['Content-Length', '4'],
  ]
  const client = await lab.open()
  client.send(printDraft(request))
  const first = await client.response()
  t.strictSame([first.status, first.lines], [100, []])
  client.send('abcd')
  const second = await client.response()
  t.strictSame([second.status, JSON.parse(second.body.toString()).reason], [502, 'upstream_invalid'])
  t.equal(second.header('connection'), 'close', 'nobody knows whether its body follows')
  client.close()
  await honest(t)
})

/** What stands behind `3\r\nabc\r\n` of a chunked answer whose head has gone to the client. */
const BROKEN_CHUNKS: Readonly<Record<string, string>> = {
  'a size with 0x': '0x0\r\n\r\n',
  'a size with an underscore': '1_0\r\n',
  'a size that is no number': 'zz\r\n',
  'a size beyond counting': `${'f'.repeat(17)}\r\n`,
  'a size that ends in a line feed': '0\n\r\n',
  'a chunk that goes on': '3\r\nabcdef\r\n0\r\n\r\n',
  'a chunk that ends in a line feed': '3\r\nabc\n0\r\n\r\n',
  'an extension with a line feed': '3;a\nb\r\nabc\r\n0\r\n\r\n',
  'a trailer with a space in its name': '0\r\nX : 1\r\n\r\n',
  'a trailer split by a carriage return': '0\r\nX: a\rY: b\r\n\r\n',
  'trailers without end': `0\r\n${`X-Filler: ${'x'.repeat(1000)}\r\n`.repeat(100)}`,
}

t.test('a body that breaks is seen as broken', async (t) => {
  for (const [why, rest] of Object.entries(BROKEN_CHUNKS)) {
    await t.test(`drops an answer with ${why}`, async (t) => {
      attack = says(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n${rest}`)
      const client = await lab.open()
      client.send(printDraft(draft()))
      const text = await client.ended()
      t.notMatch(text, /\r\n0\r\n\r\n$/, 'no last chunk: the client can tell')
      t.notMatch(text, /HTTP\/1\.1 [45]/, 'and no second answer behind the first')
      client.close()
      await honest(t)
    })
  }
  await t.test('drops an answer that is shorter than its length', async (t) => {
    attack = ({ socket }) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc')
    const client = await lab.open()
    client.send(printDraft(draft()))
    await t.rejects(client.response(), /ended within an answer/)
    client.close()
    await honest(t)
  })
})

const POISON = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned'

type Poisoned = { readonly method?: string; readonly head: string; readonly status: number }

/** Answers that are complete before what the upstream takes for their body, which is an answer of its own. */
const POISONED: Readonly<Record<string, Poisoned>> = {
  'a HEAD': { method: 'HEAD', head: `HTTP/1.1 200 OK\r\nContent-Length: ${POISON.length}\r\n\r\n`, status: 200 },
  'a HEAD that is to keep alive': {
    method: 'HEAD',
    head: `HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: ${POISON.length}\r\n\r\n`,
    status: 200,
  },
  'a HEAD in chunks': { method: 'HEAD', head: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', status: 200 },
  'a 204': { head: 'HTTP/1.1 204 No Content\r\n\r\n', status: 204 },
  'a 204 with a length': { head: `HTTP/1.1 204 No Content\r\nContent-Length: ${POISON.length}\r\n\r\n`, status: 204 },
  'a 204 in chunks': { head: 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n', status: 204 },
  'a 304': { head: 'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n', status: 304 },
  'a 304 with a length': { head: `HTTP/1.1 304 Not Modified\r\nContent-Length: ${POISON.length}\r\n\r\n`, status: 304 },
  'a 304 in chunks': { head: 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n', status: 304 },
  'a length of nothing': { head: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', status: 200 },
  'a last chunk': { head: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', status: 200 },
}

t.test('a second answer is nobody’s', async (t) => {
  for (const [why, { method = 'GET', head, status }] of Object.entries(POISONED)) {
    await t.test(`drops an answer behind ${why}`, async (t) => {
      attack = says(head + POISON)
      const client = await lab.open()
      client.send(printDraft(draft('/read/1', method)))
      t.equal((await client.response({ method })).status, status)
      await honest(t)
      client.send(printDraft(draft('/read/honest-same')))
      t.equal((await client.response()).body.toString(), '/read/honest-same', 'nor that of the same client')
      client.close()
    })
    await t.test(`drops an answer that comes on an idle connection, behind ${why}`, async (t) => {
      // Not before the poison has left: what comes while a request is on its way can be told from its answer by nobody.
      const poisoned = new Promise<void>((resolve) => {
        attack = ({ socket }) => {
          socket.write(head)
          setTimeout(() => (socket.destroyed ? resolve() : socket.write(POISON, () => resolve())), 15)
        }
      })
      t.equal((await lab.send(draft('/read/1', method))).status, status)
      await poisoned
      await sleep(40)
      await honest(t)
    })
  }
  /** Where it can be told from its head that an upstream might send a body, its connection is not used again. */
  for (const why of LATE) {
    await t.test(`drops an answer that comes late, while another client waits, behind ${why}`, async (t) => {
      const { method = 'GET', head } = POISONED[why] ?? { head: '' }
      attack = ({ socket }) => {
        setTimeout(() => {
          socket.write(head)
          setTimeout(() => socket.destroyed || socket.write(POISON), 5)
        }, 30)
      }
      const first = lab.send(draft('/read/1', method))
      await sleep(10)
      const path = `/read/slow-${why.replaceAll(' ', '-')}`
      const answered = attack
      attack = (hit) => (targetOf(hit) === path ? void setTimeout(() => hit.socket.write(ok(path)), 40) : answered(hit))
      const second = await lab.send(draft(path))
      await first
      t.notMatch(second.body, 'poisoned')
      t.equal(second.body, path)
    })
  }
  await t.test('drops what is more than the length', async (t) => {
    attack = says(ok('abc') + POISON)
    t.equal((await lab.send(draft())).body, 'abc')
    await honest(t)
  })
})

/** Each name of the first four blocks, and a member of each family. */
const WITHHELD = (['certificate', 'identity', 'addressing', 'hop'] as const)
  .flatMap((block) => RESERVED_HEADERS[block].flatMap((line) => line.split(' ')))
  .map((name) => name.replace('*', 'Any'))
  .filter((name) => !/^(?:connection|transfer-encoding|upgrade)$/i.test(name))

t.test('drops names that the upstream may not say, in every spelling', async (t) => {
  const spellings = WITHHELD.flatMap((name) => [name, name.toLowerCase().replaceAll('-', '_'), name.toUpperCase()])
  t.ok(spellings.length > 500)
  for (let from = 0; from < spellings.length; from += 200) {
    const lines = spellings.slice(from, from + 200).map((name) => `${name}: told\r\n`)
    attack = says(`HTTP/1.1 200 OK\r\n${lines.join('')}Content-Length: 3\r\nX-Theirs: 1\r\n\r\nabc`)
    const reply = await lab.send(draft())
    t.strictSame([reply.status, reply.body], [200, 'abc'])
    t.notMatch(reply.text, 'told')
    t.equal(reply.header('x-theirs'), '1')
  }
})

t.test('drops what the upstream says of authentication, nonces, cookies and itself', async (t) => {
  const lines = [
    'Connection: keep-alive, X-Named, content-length, x-request-id, dpop-nonce, cache-control',
    'X-Named: told',
    'WWW-Authenticate: DPoP error="use_dpop_nonce", told',
    'DPoP-Nonce: told',
    'dpop_nonce: told',
    'Set-Cookie: a=told',
    'Holdfast-Assertion: told',
    'HOLDFAST_ASSERTION: told',
    'X-Accel-Redirect: told',
    'X-Accel-Buffering: no',
    'Client-Cert: told',
    'X-Request-Id: told',
    'x-fapi-interaction-id: told',
    'Proxy-Authenticate: told',
    'Keep-Alive: timeout=5, told',
    'Trailer: told',
  ]
  attack = says(`HTTP/1.1 200 told\r\n${lines.join('\r\n')}\r\nContent-Length: 3\r\n\r\nabc`)
  const request = draft('/nonce')
  Object.assign(request.proof?.claims ?? {}, { nonce: await lab.nonce() })
  const client = await lab.open()
  client.send(printDraft(request))
  const { status, lines: got, body, header } = await client.response()
  t.strictSame([status, body.toString()], [200, 'abc'])
  t.notMatch(got.join('\n'), 'told')
  t.match(header('x-request-id'), /^[0-9a-f-]{36}$/)
  t.match(header('dpop-nonce'), /^[\w-]+$/, 'ours, though Connection names it')
  t.equal(header('cache-control'), 'no-store')
  t.equal(header('www-authenticate'), undefined)
  client.send(printDraft(draft('/read/honest-same')))
  t.equal((await client.response()).status, 200)
  client.close()
})

t.test('drops trailers', async (t) => {
  attack = says(
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: told\r\nDPoP-Nonce: told\r\n\r\n',
  )
  const request = draft()
  request.headers = [
    ['Connection', 'close, TE'],
    ['TE', 'trailers'],
  ]
  const client = await lab.open()
  client.send(printDraft(request))
  const text = await client.ended()
  t.match(text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n3\r\nabc\r\n0\r\n\r\n$/)
  t.notMatch(text, /trailer|told/i)
  client.close()
})

t.test('an upstream that closes does not close the client', async (t) => {
  attack = ({ socket }) => void socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc')
  const client = await lab.open()
  for (const _ of [1, 2]) {
    client.send(printDraft(draft()))
    const { status, header } = await client.response()
    t.strictSame([status, header('connection')], [200, 'keep-alive'])
  }
  client.close()
})

t.test('a body without end for a client that leaves is let go', async (t) => {
  attack = ({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    const more = () => {
      while (!socket.destroyed) if (!socket.write(`1000\r\n${'x'.repeat(0x1000)}\r\n`)) return void socket.once('drain', more)
    }
    more()
  }
  const client = await lab.open()
  client.send(printDraft(anonymous(draft('/public'))))
  await once(client.socket, 'data')
  client.close()
  await closed(upstream.hits.at(-1)?.socket)
  await honest(t)
})
