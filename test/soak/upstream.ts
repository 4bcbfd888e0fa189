// The backend of a soak, in a thread of its own: does to each request what the request asks for, and notes what reached it. What no
// backend may ever see (a request that had to be refused, one proof in two requests, an assertion that is not the gateway's) is a breach.
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parentPort } from 'node:worker_threads'
import type { ToUpstream, UpstreamNotes } from './messages.js'

/** What a request asks this backend to do with it. */
const ASK = 'x-soak-ask'
/** The request's own name: of two with one proof, the same. */
const NAME = 'x-soak-name'
/** How long (milliseconds) a name is remembered at least: no proof is good for longer. */
const MEMORY_MS = 300_000
const LARGE = Buffer.alloc(1024 * 1024, 'x')

const channel = parentPort
if (channel === null) throw new Error('this is a thread of a soak')
const say = (message: unknown): void => channel.postMessage(message)

let keys: readonly KeyObject[] = []
const breaches: string[] = []
const durable: string[] = []
let calls = 0

let young = new Map<string, string>()
let old = new Map<string, string>()
setInterval(() => {
  old = young
  young = new Map()
}, MEMORY_MS).unref()

/** Is this assertion signed by one of the gateway's keys? Its claims; null: it is not. */
function readAssertion(text: string): Record<string, unknown> | null {
  const [header = '', claims = '', signature = ''] = text.split('.')
  const signed = Buffer.from(`${header}.${claims}`)
  const isGood = keys.some((key) =>
    verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')),
  )
  return isGood ? JSON.parse(Buffer.from(claims, 'base64url').toString()) : null
}

/** What no backend may ever see in this request; null: nothing. */
function breachOf({ headersDistinct }: IncomingMessage): string | null {
  const assertions = headersDistinct['holdfast-assertion'] ?? []
  const claims = readAssertion(assertions[0] ?? '')
  if (assertions.length !== 1 || claims === null) return 'not one assertion of the gateway'
  const [name = ''] = headersDistinct[NAME] ?? []
  const txn = String(claims.txn)
  const before = young.get(name) ?? old.get(name)
  young.set(name, txn)
  if (claims.tier === 'soak_write') durable.push(txn)
  if (name.startsWith('wrong')) return 'a request that had to be refused'
  if (headersDistinct.authorization !== undefined || headersDistinct.dpop !== undefined) return 'credentials'
  if (headersDistinct['x-remote-user'] !== undefined) return 'a header that a client made up'
  // A GET whose idle connection broke comes a second time, as the same transaction.
  return before === undefined || before === txn ? null : 'one proof in two requests'
}

function serve(request: IncomingMessage, response: ServerResponse): void {
  calls += 1
  const breach = breachOf(request)
  if (breach !== null) breaches.push(`${breach}: ${request.url} ${request.headersDistinct[NAME]}`)
  request.on('error', () => undefined).resume()
  const [ask] = request.headersDistinct[ASK] ?? []
  if (ask === 'reset') return void request.socket.resetAndDestroy()
  if (ask === 'short') {
    response.writeHead(200, { 'Content-Length': 100 }).write('short')
    return void setTimeout(() => response.destroy(), 20)
  }
  if (ask === 'large') return void response.end(LARGE)
  const answer = (): void => void response.end('done')
  if (ask === 'slow') return void setTimeout(answer, 300)
  request.on('end', answer)
}

const server = createServer(serve)
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as AddressInfo
say({ port })

channel.on('message', (message: ToUpstream) => {
  if ('keys' in message) {
    keys = message.keys.map((pem) => createPublicKey(pem))
    return say({ taken: true })
  }
  if (message.ask === 'close') {
    server.close(() => say({ closed: true }))
    return server.closeAllConnections()
  }
  if (message.ask === 'open') return void server.listen(port, '127.0.0.1', () => say({ port }))
  const notes: UpstreamNotes = { calls, breaches: [...breaches], durable: [...durable] }
  return say(notes)
})
