// Request smuggling through the whole gateway (RFC 9112 §11.2): after each attempt the upstream has seen exactly the requests that were
// granted, and the next honest request of another connection, over the one connection to the upstream, gets its own answer.
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Draft, makeDraft, printDraft } from '../support/draft.js'
import { anonymous } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'
import { openWitness } from './witness.js'

const witness = await openWitness()
const lab = await startLab({
  store: 'memory',
  yaml: (parts) => ({
    ...parts,
    limits: '{ body_idle: 700ms, body_total: 2s }',
    upstreams: `{ cases: { url: 'http://127.0.0.1:${witness.port}', audience: cases, connections: 1 } }`,
    routes: `${parts.routes}
  - { path: /socket, methods: [GET], tier: public, upstream: cases, websocket: true }`,
  }),
})
t.teardown(async () => {
  await lab.stop()
  witness.close()
})

const draft = (path: string, method = 'POST') => makeDraft({ host: HOST, path, method })
/** The three ways of a body: of nobody in particular, streamed behind a proof, and held for its digest. */
const KINDS = {
  'on a public route': () => anonymous(draft('/public')),
  'behind a proof': () => draft('/read/1'),
  'in a body that is held': () => draft('/tenants/tenant-1/decision'),
} as const satisfies Record<string, () => Draft>

/** Needs no credentials: wherever it came to be read as a request, the upstream would see it. */
const SMUGGLED = `GET /public?smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`
const CHUNKED = 'Transfer-Encoding: chunked\r\n'
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
const lengthOf = (text: string) => `Content-Length: ${text.length}\r\n`
/** The draft as it is sent, with more lines at the end of its head, and what follows the head. */
const withLines = (request: Draft, lines: string, rest: string): string =>
  `${printDraft(request).toString('latin1').slice(0, -2)}${lines}\r\n${rest}`

/** Each answer as `400 request_malformed` or `200 POST /public HTTP/1.1`, which is what the upstream was asked. */
const answersIn = (text: string): string[] =>
  text
    .split(/(?=HTTP\/1\.1 \d{3} )/)
    .filter((answer) => answer !== '')
    .map((answer) => {
      const [, told = ''] = /"(?:reason|line)":"([^"]*)"/.exec(answer) ?? []
      return `${answer.slice(9, 12)} ${told}`
    })

/** What the upstream was asked since then. */
const linesSince = (before: number): string[] => witness.requests.slice(before).map(({ line }) => line)

let turn = 0
/** The honest request of someone else, whose answer must be its own. */
async function honest(t: Test): Promise<string> {
  turn += 1
  const path = `/read/honest-${turn}`
  const reply = await lab.send(draft(path, 'GET'))
  const line = `GET ${path} HTTP/1.1`
  t.equal(reply.status, 200, 'the next honest request')
  t.equal(JSON.parse(reply.body).line, line, 'gets the answer to itself')
  return line
}

type Expected = { readonly answers: readonly string[]; readonly granted: readonly string[] }

/** Sends the parts with a pause between them, until the gateway ends the connection; then asks honestly. */
async function attempt(t: Test, parts: readonly string[], { answers, granted }: Expected): Promise<void> {
  const before = witness.requests.length
  const client = await lab.open()
  try {
    for (const [index, part] of parts.entries()) {
      if (index > 0) await sleep(30)
      client.send(part)
    }
    t.strictSame(answersIn(await client.ended(4_000)), answers)
  } finally {
    client.close()
  }
  const line = await honest(t)
  t.strictSame(linesSince(before), [...granted, line], 'the upstream saw what was granted and no more')
  await witness.settled()
  t.strictSame(witness.faults, [], 'and every byte of it was HTTP')
}

const MALFORMED: Expected = { answers: ['400 request_malformed'], granted: [] }

/** Heads that two servers could read differently, with a request where the one of them would find the next. */
const HEADS: Readonly<Record<string, readonly [lines: string, rest: string]>> = {
  'CL.TE': [`${lengthOf(`0\r\n\r\n${SMUGGLED}`)}${CHUNKED}`, `0\r\n\r\n${SMUGGLED}`],
  'TE.CL': [`${CHUNKED}Content-Length: 4\r\n`, `${chunk(SMUGGLED)}0\r\n\r\n`],
  'CL.TE with a length of nothing': [`Content-Length: 0\r\n${CHUNKED}`, `0\r\n\r\n${SMUGGLED}`],
  'CL.CL': [`Content-Length: 0\r\n${lengthOf(SMUGGLED)}`, SMUGGLED],
  'CL.CL in a list': [`Content-Length: 0, ${SMUGGLED.length}\r\n`, SMUGGLED],
  'CL.CL, folded': [`Content-Length: 0\r\n ${SMUGGLED.length}\r\n`, SMUGGLED],
  'a length behind a carriage return': [`X: a\rContent-Length: ${SMUGGLED.length}\r\n`, SMUGGLED],
  'a coding behind a carriage return': [`X: a\rTransfer-Encoding: chunked\r\n`, `0\r\n\r\n${SMUGGLED}`],
  'a coding behind a line feed': [`X: a\nTransfer-Encoding: chunked\r\n`, `0\r\n\r\n${SMUGGLED}`],
  'the end of the head in line feeds': ['X: a\n\n', SMUGGLED],
  'the end of the head in carriage returns': ['X: a\r\r', SMUGGLED],
  'TE.TE, chunked and something': [`${CHUNKED}Transfer-Encoding: x\r\n`, `0\r\n\r\n${SMUGGLED}`],
  'TE.TE, something and chunked': [`Transfer-Encoding: x\r\n${CHUNKED}`, `0\r\n\r\n${SMUGGLED}`],
  'TE.TE, xchunked': [`${lengthOf(SMUGGLED)}Transfer-Encoding: xchunked\r\n`, SMUGGLED],
  'TE.TE, quoted': ['Transfer-Encoding: "chunked"\r\n', `0\r\n\r\n${SMUGGLED}`],
  'TE.TE, with a parameter': ['Transfer-Encoding: chunked;q=1\r\n', `0\r\n\r\n${SMUGGLED}`],
  'TE.TE, with a comma behind it': ['Transfer-Encoding: chunked,\r\n', `0\r\n\r\n${SMUGGLED}`],
  'TE.TE, a vertical tab': ['Transfer-Encoding: \x0bchunked\r\n', `0\r\n\r\n${SMUGGLED}`],
  'TE.TE, a NUL': ['Transfer-Encoding: chunked\0\r\n', `0\r\n\r\n${SMUGGLED}`],
  'TE.TE, a space in its name': [`${lengthOf(SMUGGLED)}Transfer-Encoding : chunked\r\n`, SMUGGLED],
  'TE.TE, a tab in its name': [`${lengthOf(SMUGGLED)}Transfer-Encoding\t: chunked\r\n`, SMUGGLED],
  'TE.TE, folded': [`${lengthOf(SMUGGLED)}X: a\r\n Transfer-Encoding: chunked\r\n`, SMUGGLED],
  'TE.TE, folded behind its name': ['Transfer-Encoding:\r\n chunked\r\n', `0\r\n\r\n${SMUGGLED}`],
  '0.CL, a length in capitals of another script': ['Content-Length: \xb22\r\n', SMUGGLED],
  '0.CL, a space before the length': [` ${lengthOf(SMUGGLED)}`, SMUGGLED],
  '0.CL, a length with a sign': [`Content-Length: +${SMUGGLED.length}\r\n`, SMUGGLED],
  '0.CL, a space in its name': [`Content-Length : ${SMUGGLED.length}\r\n`, SMUGGLED],
  'an Upgrade with a body': [`Connection: Upgrade\r\nUpgrade: websocket\r\n${lengthOf(SMUGGLED)}`, SMUGGLED],
  'an Upgrade to h2c with a body': [
    `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n${CHUNKED}`,
    `0\r\n\r\n${SMUGGLED}`,
  ],
}

t.test('heads that end in two places', async (t) => {
  for (const [why, [lines, rest]] of Object.entries(HEADS)) {
    for (const where of ['on a public route', 'behind a proof'] as const) {
      await t.test(`denies request_malformed: ${why}, ${where}`, (t) =>
        attempt(t, [withLines(KINDS[where](), lines, rest)], MALFORMED),
      )
    }
  }
})

/** What stands where a chunk should, behind a good one. */
const CHUNKS: Readonly<Record<string, string>> = {
  'a size with an underscore': `1_0\r\n${SMUGGLED}`,
  'a size with 0x': `0x0\r\n\r\n${SMUGGLED}`,
  'a size with a sign': `+0\r\n\r\n${SMUGGLED}`,
  'a size below zero': `-1\r\n\r\n${SMUGGLED}`,
  'a size behind a space': ` 0\r\n\r\n${SMUGGLED}`,
  'a size before a tab': `0\t\r\n\r\n${SMUGGLED}`,
  'no size': `\r\n\r\n${SMUGGLED}`,
  'a size that is no number': `zz\r\n\r\n${SMUGGLED}`,
  'a size of 2 to the 64': `10000000000000000\r\n\r\n${SMUGGLED}`,
  'a size that wraps to 4': `100000000000000004\r\nabcd\r\n0\r\n\r\n${SMUGGLED}`,
  'a size of many zeros and too many digits': `${'f'.repeat(40)}\r\n${SMUGGLED}`,
  'a size that ends in a line feed': `0\n\r\n${SMUGGLED}`,
  'a size that ends in a carriage return': `0\rX\r\n${SMUGGLED}`,
  'a chunk that ends in a line feed': `4\r\nabcd\n0\r\n\r\n${SMUGGLED}`,
  'a chunk that ends in something': `4\r\nabcdXX0\r\n\r\n${SMUGGLED}`,
  'a chunk that goes on': `4\r\nabcdefgh\r\n0\r\n\r\n${SMUGGLED}`,
  'an extension with a line feed': `4;a\nb\r\nabcd\r\n0\r\n\r\n${SMUGGLED}`,
  'an extension with a carriage return': `4;a\rb\r\nabcd\r\n0\r\n\r\n${SMUGGLED}`,
  'an extension that ends in a line feed': `4;a=b\nabcd\r\n0\r\n\r\n${SMUGGLED}`,
  'an extension without a name that ends in a line feed': `4;\nabcd\r\n0\r\n\r\n${SMUGGLED}`,
  'an extension of a mebibyte': `4;${'x'.repeat(1024 ** 2)}\r\nabcd\r\n0\r\n\r\n${SMUGGLED}`,
  'many extensions': `4;${'a=b;'.repeat(10_000)}c=d\r\nabcd\r\n0\r\n\r\n${SMUGGLED}`,
  'a last chunk that ends in a line feed': `0\n\n${SMUGGLED}`,
  'a trailer with a line feed': `0\r\nX: a\nY: b\r\n\r\n${SMUGGLED}`,
  'a folded trailer': `0\r\nX: a\r\n b\r\n\r\n${SMUGGLED}`,
  'a length in a trailer': `0\r\nContent-Length: 99\r\n\r\n${SMUGGLED}`,
  'a coding in a trailer': `0\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n${SMUGGLED}`,
  'a trailer with a space in its name': `0\r\nX : a\r\n\r\n${SMUGGLED}`,
}

t.test('bodies that end in two places', async (t) => {
  for (const [why, rest] of Object.entries(CHUNKS)) {
    for (const [where, make] of Object.entries(KINDS)) {
      await t.test(`denies request_malformed: ${why}, ${where}`, (t) =>
        attempt(t, [withLines(make(), CHUNKED, chunk('good')) + rest], MALFORMED),
      )
    }
    await t.test(`denies request_malformed: ${why}, when the upstream has the head already`, (t) =>
      attempt(t, [withLines(draft('/read/1'), CHUNKED, chunk('good')), rest], MALFORMED),
    )
  }
})

/** What is well framed is what it is framed as, whatever it looks like. */
const GRANTED: Readonly<Record<string, readonly [lines: string, rest: string, body: string]>> = {
  'a request in a body with a length': [lengthOf(SMUGGLED), SMUGGLED, SMUGGLED],
  'a request in a chunk': [CHUNKED, `${chunk(SMUGGLED)}0\r\n\r\n`, SMUGGLED],
  'a chunked body in a chunk': [CHUNKED, `${chunk('0\r\n\r\n')}0\r\n\r\n`, '0\r\n\r\n'],
  'extensions, which go no further': [CHUNKED, '4;a=b;c="d"\r\nabcd\r\n0;e\r\n\r\n', 'abcd'],
  'sizes in capitals and with zeros before': [CHUNKED, '000A\r\n0123456789\r\n00\r\n\r\n', '0123456789'],
  'trailers, which go no further': [CHUNKED, '4\r\nabcd\r\n0\r\nHost: other\r\nX-Remote-User: admin\r\n\r\n', 'abcd'],
  'an Upgrade that Connection does not name': [`Upgrade: h2c\r\n${lengthOf(SMUGGLED)}`, SMUGGLED, SMUGGLED],
}

t.test('bodies that look like requests', async (t) => {
  for (const [why, [lines, rest, body]] of Object.entries(GRANTED)) {
    for (const method of ['POST', 'GET']) {
      await t.test(`grants ${why}, in a ${method}`, async (t) => {
        const line = `${method} /public HTTP/1.1`
        const request = withLines(anonymous(draft('/public', method)), `${lines}Connection: close\r\n`, rest)
        const before = witness.requests.length
        await attempt(t, [request], { answers: [`200 ${line}`], granted: [line] })
        t.equal(witness.requests[before]?.body, body, 'the body and all of it')
      })
    }
  }
})

t.test('what follows a request', async (t) => {
  const refused = (lines: string, rest: string) => withLines(anonymous(draft('/read/1')), lines, rest)
  const last = withLines(anonymous(draft('/public?last', 'GET')), 'Connection: close\r\n', '')
  const LAST = 'GET /public?last HTTP/1.1'

  t.test('grants the next one when an unread body has passed, and nothing within that body', async (t) => {
    const expected = { answers: ['401 credentials_missing', `200 ${LAST}`], granted: [LAST] }
    await attempt(t, [refused(lengthOf(SMUGGLED), SMUGGLED) + last], expected)
    await attempt(t, [refused(CHUNKED, `${chunk(SMUGGLED)}0\r\n\r\n`) + last], expected)
    await attempt(t, [refused(lengthOf(SMUGGLED), SMUGGLED.slice(0, 9)), SMUGGLED.slice(9) + last], expected)
    await attempt(t, [refused(lengthOf(SMUGGLED), ''), SMUGGLED, last], expected)
  })
  t.test('drops what follows an unread body that breaks', async (t) => {
    for (const rest of ['zz\r\n', '4\nabcd\r\n0\r\n\r\n', '0\n\n']) {
      const before = witness.requests.length
      const client = await lab.open()
      client.send(refused(CHUNKED, chunk('good')))
      t.equal((await client.response()).status, 401)
      client.send(rest + SMUGGLED)
      t.equal(await client.ended(), '', 'nothing more is said')
      client.close()
      const line = await honest(t)
      t.strictSame(linesSince(before), [line])
    }
  })
  t.test('drops what follows a refusal, where that closes', async (t) => {
    const staying = { target_malformed: '/public/..', method_not_allowed: '/profile' }
    const malformed = withLines(anonymous(draft('/public', 'GET')), 'X : y\r\n', '')
    await attempt(t, [malformed + SMUGGLED + last], MALFORMED)
    // These do not close: whoever asks for something else may go on.
    for (const [reason, path] of Object.entries(staying)) {
      const status = reason === 'target_malformed' ? 400 : 405
      const request = withLines(anonymous(draft(path, 'PUT')), lengthOf('abcd'), 'abcd')
      await attempt(t, [request + last], { answers: [`${status} ${reason}`, `200 ${LAST}`], granted: [LAST] })
    }
  })
  t.test('drops what follows a request that expects 100-continue and is refused', async (t) => {
    const expected = { answers: ['401 credentials_missing'], granted: [] }
    await attempt(t, [refused(`Expect: 100-continue\r\n${lengthOf(SMUGGLED)}`, SMUGGLED)], expected)
    await attempt(t, [refused(`Expect: 100-continue\r\n${lengthOf(SMUGGLED)}`, ''), SMUGGLED], expected)
  })
  t.test('denies expectation_failed: expectations that one server knows and another does not', async (t) => {
    for (const expectation of ['y 100-continue', '100-continue, x', '100-continue;', 'x']) {
      const request = withLines(anonymous(draft('/public')), `Expect: ${expectation}\r\n${lengthOf(SMUGGLED)}`, SMUGGLED)
      await attempt(t, [request], { answers: ['417 expectation_failed'], granted: [] })
    }
  })
  t.test('drops what follows a request that closes', async (t) => {
    await attempt(t, [last + SMUGGLED], { answers: [`200 ${LAST}`], granted: [LAST] })
    const old = `GET /public?old HTTP/1.0\r\nHost: ${HOST}\r\nConnection: keep-alive\r\n\r\n`
    await attempt(t, [old + SMUGGLED], { answers: ['200 GET /public?old HTTP/1.1'], granted: ['GET /public?old HTTP/1.1'] })
  })
  t.test('drops what follows an Upgrade, whatever is upgraded to', async (t) => {
    for (const protocol of ['websocket', 'h2c', 'TLS/1.0']) {
      const request = withLines(anonymous(draft('/public', 'GET')), `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`, SMUGGLED)
      await attempt(t, [request], { answers: ['200 GET /public HTTP/1.1'], granted: ['GET /public HTTP/1.1'] })
    }
  })
  t.test('drops what follows a WebSocket handshake that the upstream does not take up', async (t) => {
    const lines = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${'A'.repeat(22)}==\r\n`
    const request = withLines(anonymous(draft('/socket', 'GET')), lines, SMUGGLED)
    const expected = { answers: ['200 GET /socket HTTP/1.1'], granted: ['GET /socket HTTP/1.1'] }
    await attempt(t, [request, SMUGGLED], expected)
    const wrong = withLines(anonymous(draft('/socket', 'GET')), lines.replace('13', '12'), SMUGGLED)
    await attempt(t, [wrong, SMUGGLED], MALFORMED)
  })
})

t.test('bodies that pause', async (t) => {
  t.test('denies request_timeout: what comes after the pause is no request', async (t) => {
    for (const [where, make] of Object.entries(KINDS)) {
      const before = witness.requests.length
      const client = await lab.open()
      client.send(withLines(make(), lengthOf(SMUGGLED), ''))
      const { status, header } = await client.response()
      t.strictSame([status, header('connection')], [408, 'close'], where)
      client.send(SMUGGLED)
      t.equal(await client.ended(), '', 'nothing answers it')
      const line = await honest(t)
      t.strictSame(linesSince(before), [line])
    }
    await witness.settled()
  })
  t.test('grants one that pauses for less, as one body', async (t) => {
    const before = witness.requests.length
    const line = 'POST /read/1 HTTP/1.1'
    const parts = [
      withLines(draft('/read/1'), `${lengthOf(SMUGGLED)}Connection: close\r\n`, ''),
      SMUGGLED.slice(0, 9),
      SMUGGLED.slice(9),
    ]
    await attempt(t, parts, { answers: [`200 ${line}`], granted: [line] })
    t.equal(witness.requests[before]?.body, SMUGGLED)
  })
})

t.test('two clients at once over one upstream connection keep their answers apart', async (t) => {
  const client = await lab.open()
  client.send(withLines(anonymous(draft('/public')), CHUNKED, chunk('half')))
  await sleep(30)
  const before = witness.requests.length
  const waiting = honest(t)
  await sleep(30)
  client.send('zz\r\n')
  t.equal((await client.response()).status, 400)
  const line = await waiting
  t.strictSame(linesSince(before), [line], 'the half of the one never became part of the other')
  client.close()
})
