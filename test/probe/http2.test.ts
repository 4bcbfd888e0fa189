// What do the attacks on HTTP/2 find, and where do they find nothing? On servers of node:http2 that are strict or careless in their
// own code, and on one of a few frames that takes everything.
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import t from 'tap'
import { HTTP2_ATTACKS } from '../../src/probe/attacks/http2.js'
import type { Printed } from '../../src/probe/draft.js'
import type { Route } from '../../src/probe/http1.js'
import { exchangeOverHttp2, exchangeRawHttp2, fieldsOf } from '../../src/probe/http2.js'
import { makeCertificates } from '../support/certificates.js'
import { HOST } from '../support/lab.js'
import { idsWith, makeBench, runAll } from './bench.js'

type Json = Record<string, unknown>
const PATH = '/read/1'
const granting = HTTP2_ATTACKS.filter(({ expected }) => expected === 'granted').map(({ id }) => id)
const unbroken = HTTP2_ATTACKS.filter(({ expected }) => expected.includes('no fault')).map(({ id }) => id)
const refused = HTTP2_ATTACKS.filter(({ expected }) => expected === 'refused').map(({ id }) => id)

const claimsOf = (proof: string): Json => JSON.parse(Buffer.from(proof.split('.')[1] ?? '', 'base64url').toString())

/** Is it the one request that is right? Signatures are not what is asked for here. */
function isRight({ method, rawHeaders }: Http2ServerRequest): boolean {
  const all = (name: string): readonly string[] => rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1] === name)
  const [authorization = '', ...moreAuthorization] = all('authorization')
  const [proof = '', ...moreProofs] = all('dpop')
  if (moreAuthorization.length > 0 || moreProofs.length > 0 || !/^DPoP [\w-]+\.[\w-]+\.[\w-]+$/.test(authorization)) return false
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(proof)) return false
  const isHere = [...all(':authority'), ...all('host')].every((host) => host === HOST) && all(':authority').length === 1
  const { htm, htu } = claimsOf(proof)
  const isFor = all(':path')[0] === PATH && all(':scheme')[0] === 'https'
  return (
    isHere &&
    isFor &&
    htm === method &&
    htu === `https://${HOST}${PATH}` &&
    all('content-length').every((one) => /^\d+$/.test(one))
  )
}

/** The first of each, and no thought of where it came from. */
function looksRight({ headers }: Http2ServerRequest): boolean {
  return headers.authorization !== undefined && headers.dpop !== undefined
}

/** What such a server must be told; what else it takes, its version of nghttp2 decides. */
const CARELESS = [
  'authorization-twice',
  'authorization-first-wrong',
  'authorization-last-wrong',
  'authorization-halves',
  'dpop-twice',
  'dpop-first-wrong',
  'dpop-last-wrong',
  'dpop-halves',
  'method-unknown',
  'method-lower',
  'host-other',
  'host-other-proof',
  'authority-other',
  'authority-other-proof',
  'scheme-http-proof',
]

const PREFACE_BYTES = 24
const frameOf = (type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.from([0, payload.length >> 8, payload.length & 255, type, flags, 0, 0, 0, stream]), payload])
/** RFC 7541 §A: the eighth of the static table is `:status: 200`. */
const STATUS_200 = frameOf(1, 5, 1, Buffer.from([0x88]))
const RESET = frameOf(3, 0, 1, Buffer.from([0, 0, 0, 1]))
const GOAWAY = frameOf(7, 0, 0, Buffer.from([0, 0, 0, 0, 0, 0, 0, 1]))

/** Answers the first request with these bytes, whatever it says. */
function serveFrames(socket: TLSSocket, answer: Buffer): void {
  let waiting: Buffer = Buffer.alloc(0)
  let skip = PREFACE_BYTES
  let isEnded = false
  let isAnswered = false
  socket.on('error', () => undefined)
  socket.write(frameOf(4, 0, 0))
  socket.on('data', (chunk: Buffer) => {
    waiting = Buffer.concat([waiting, chunk])
    for (;;) {
      const length = skip > 0 ? skip : waiting.length < 9 ? Number.POSITIVE_INFINITY : 9 + waiting.readUIntBE(0, 3)
      if (waiting.length < length) return
      const frame = waiting.subarray(0, length)
      waiting = waiting.subarray(length)
      const isPreface = skip > 0
      skip = 0
      if (isPreface) continue
      const [type = 0, flags = 0] = frame.subarray(3)
      if (type === 4 && (flags & 1) === 0) socket.write(frameOf(4, 1, 0))
      isEnded ||= (type === 1 || type === 9) && (flags & 4) !== 0
      if (isEnded && !isAnswered) socket.write(answer)
      isAnswered ||= isEnded
    }
  })
}

t.test('HTTP/2', async (t) => {
  const certificates = await makeCertificates(HOST)
  const { 'ca.crt': ca = '', 'server.crt': cert = '', 'server.key': key = '' } = certificates.files
  const routeTo = (port: number): Route => ({ address: '127.0.0.1', port, hostname: HOST, ca, own: null })
  const listen = async (server: {
    listen: (port: number, host: string, then: () => void) => unknown
    address: () => unknown
    close: () => unknown
  }) => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => server.close())
    return (server.address() as AddressInfo).port
  }
  const serve = (answer: (request: Http2ServerRequest, response: Http2ServerResponse) => void) =>
    listen(createSecureServer({ cert, key, allowHTTP1: true }, answer))
  const frames = (answer: Buffer) =>
    listen(createServer({ cert, key, ALPNProtocols: ['h2'] }, (socket) => serveFrames(socket, answer)))
  const judging = (judge: (request: Http2ServerRequest) => boolean) =>
    serve((request, response) => {
      request.resume()
      response.writeHead(judge(request) ? 200 : 401).end()
    })
  const ranOn = (port: number, body?: string) =>
    runAll(makeBench({ port, ca, path: PATH, ...(body !== undefined && { body }) }), HTTP2_ATTACKS)
  const printed: Printed = { method: 'GET', path: '/a?b', host: HOST, lines: [], body: null, identity: 'own' }

  t.test('sends a request as it is and reads its answer', async (t) => {
    const port = await serve((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        response.setHeader('WWW-Authenticate', ['DPoP algs="ES256"', 'Bearer realm="x"'])
        response.writeHead(request.url === '/refused' ? 401 : 200)
        response.end(JSON.stringify([request.method, request.url, request.rawHeaders, Buffer.concat(chunks).toString()]))
      })
    })
    const lines = [
      ['DPoP', 'one'],
      ['dpop', 'two'],
      ['X-Long', 'l'.repeat(40_000)],
    ] as const
    const body = Buffer.from('b'.repeat(100_000))
    const {
      status,
      headers,
      body: text,
      lost,
    } = await exchangeOverHttp2(routeTo(port), { ...printed, method: 'POST', lines, body })
    t.same([status, lost, text.length], [200, null, 64 * 1024])
    t.same(
      headers.filter(([name]) => name === 'www-authenticate').map(([, value]) => value),
      ['DPoP algs="ES256"', 'Bearer realm="x"'],
    )
    const seen = JSON.parse((await exchangeOverHttp2(routeTo(port), { ...printed, lines })).body)
    const pseudo = [':method', 'GET', ':scheme', 'https', ':authority', HOST, ':path', '/a?b']
    t.same(seen, ['GET', '/a?b', [...pseudo, 'dpop', 'one', 'dpop', 'two', 'x-long', 'l'.repeat(40_000)], ''])
    t.equal((await exchangeOverHttp2(routeTo(port), { ...printed, path: '/refused' })).status, 401)
    const head = await exchangeOverHttp2(routeTo(port), { ...printed, method: 'HEAD' })
    t.same([head.status, head.body], [200, ''])
  })

  t.test('says how an answer was lost', async (t) => {
    const lost = async (port: number) => {
      const answer = await exchangeRawHttp2(routeTo(port), 'own', { fields: fieldsOf(printed), data: null })
      return [answer.status, answer.lost]
    }
    t.same(await lost(await frames(RESET)), [0, 'closed'], 'a stream that is reset')
    t.same(await lost(await frames(GOAWAY)), [0, 'closed'], 'a connection that is given up')
    t.same(await lost(await frames(Buffer.concat([STATUS_200, RESET]))), [200, null], 'not one that is reset behind its answer')
    const old = await listen(
      createServer({ cert, key, ALPNProtocols: ['http/1.1'] }, (socket) => socket.on('error', () => undefined)),
    )
    t.same(await lost(old), [0, 'refused'], 'no HTTP/2')
    t.same(await lost(1), [0, 'refused'], 'nobody there')
  })

  t.test('finds nothing on a server that looks at everything', async (t) => {
    const ran = await ranOn(await judging(isRight))
    const rest = ran.filter(({ outcome }) => outcome.verdict !== 'held')
    t.same(
      rest.map(({ attack, outcome }) => [attack.id, outcome.came]),
      [],
    )
    t.ok(ran.length >= 70, `${ran.length} attacks`)
    t.ok(
      ran.every(({ outcome }) => !/eyJ[\w-]{30}/.test(outcome.sent)),
      'no token is shown',
    )
  })

  t.test('finds what a server does not look at', async (t) => {
    const through = idsWith(await ranOn(await judging(looksRight)), 'through')
    for (const id of CARELESS) t.ok(through.includes(`http2-${id}`), id)
    t.notOk(through.includes('http2-none'))
  })

  t.test('reports each of them where everything is taken', async (t) => {
    const ran = await ranOn(await frames(STATUS_200), '{"amount":1}')
    t.same(idsWith(ran, 'through'), refused)
    t.same(idsWith(ran, 'held'), [...granting, ...unbroken])
  })

  t.test('takes a stream that is reset for a refusal, but of what must be granted', async (t) => {
    for (const answer of [RESET, GOAWAY]) {
      const ran = await ranOn(await frames(answer), '{"amount":1}')
      t.same(idsWith(ran, 'held'), [...refused, ...unbroken])
      t.same(idsWith(ran, 'broke'), granting)
    }
  })

  t.test('reports right requests that are refused, and faults', async (t) => {
    t.same(idsWith(await ranOn(await judging(() => false), '{"amount":1}'), 'wrong'), granting)
    const port = await serve((_, response) => void response.writeHead(502).end())
    const broke = idsWith(await ranOn(port, '{"amount":1}'), 'broke')
    t.ok(granting.every((id) => broke.includes(id)))
  })

  t.test('answers a demand for a nonce before it judges', async (t) => {
    const port = await serve((request, response) => {
      const isNew = claimsOf(String(request.headers.dpop)).nonce === 'n-1'
      const demand = { 'www-authenticate': 'DPoP error="use_dpop_nonce"', 'dpop-nonce': 'n-1' }
      response.writeHead(isNew ? 200 : 401, isNew ? {} : demand).end()
    })
    const ran = await runAll(
      makeBench({ port, ca, path: PATH }),
      HTTP2_ATTACKS.filter(({ id }) => id === 'http2-right' || id === 'http2-host-other'),
    )
    t.same(
      ran.map(({ outcome }) => outcome.verdict),
      ['held', 'through'],
    )
  })

  t.test('goes over HTTP/2 where the bench says so', async (t) => {
    const port = await serve((request, response) => void response.writeHead(request.httpVersion === '2.0' ? 200 : 505).end())
    const bench = makeBench({ port, ca, path: PATH }, { protocol: 'h2' })
    t.equal((await bench.mustGrant(await bench.draft())).verdict, 'held')
  })
})
