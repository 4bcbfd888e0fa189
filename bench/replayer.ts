// A load generator for what wrk can't do, as a process of its own: client certificates, new handshakes (full and resumed), and a
// fixed rate whose latencies are counted from when a request was due, so that a server that stalls is not asked less.
import { readFileSync } from 'node:fs'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'

export type ReplayPlan = {
  /** `closed`: each connection asks again when it was answered; `open`: at `rate`; `handshakes`: one request a connection. */
  readonly mode: 'closed' | 'open' | 'handshakes'
  readonly port: number
  readonly path: string
  readonly connections: number
  readonly seconds: number
  /** Requests a second, of all connections; of `open` only. */
  readonly rate?: number
  /** `handshakes`: takes up the session before. */
  readonly resumes?: boolean
  /** A JSON file: headers of each request, sent once each, or of the only one, sent again and again. */
  readonly requests: string
  readonly certificate: { readonly key: string; readonly cert: string } | null
  readonly expect: number
}

export type Replayed = {
  readonly count: number
  readonly seconds: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly unexpected: number
  /** Handshakes that took up a session. */
  readonly resumed: number
}

const plan: ReplayPlan = JSON.parse(process.argv[2] ?? '{}')
const requests: Record<string, string>[] = JSON.parse(readFileSync(plan.requests, 'utf8'))
const options: ConnectionOptions = {
  host: '127.0.0.1',
  port: plan.port,
  servername: 'localhost',
  rejectUnauthorized: false,
  ...(plan.certificate ?? {}),
}
const latencies: number[] = []
let unexpected = 0
let resumed = 0
let sent = 0
let over = false

/** The next request as text; null: each was sent. */
function nextRequest(close = false): string | null {
  const headers = requests.length === 1 ? requests[0] : requests[sent]
  if (headers === undefined) return null
  sent += 1
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `GET ${plan.path} HTTP/1.1\r\nHost: localhost:${plan.port}\r\n${close ? 'Connection: close\r\n' : ''}${lines.join('')}\r\n`
}

/** Calls back with the status of each answer; bodies have a Content-Length here. */
function readAnswers(socket: TLSSocket, answered: (status: number) => void): void {
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    for (;;) {
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, end))?.[1] ?? 0)
      if (text.length < end + 4 + length) return
      const status = Number(text.slice(9, 12))
      text = text.slice(end + 4 + length)
      answered(status)
    }
  })
}

const count = (status: number, since: number): void => {
  latencies.push(performance.now() - since)
  if (status !== plan.expect) unexpected += 1
}

const opened = (): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const socket = connect(options, () => resolve(socket))
    socket.once('error', reject)
  })

async function closedLoop(): Promise<void> {
  const socket = await opened()
  await new Promise<void>((done) => {
    let since = 0
    let isDone = false
    // A connection that the server closed is an answer nobody expects.
    socket.once('close', () => {
      if (!isDone) unexpected += 1
      done()
    })
    const ask = () => {
      const text = over ? null : nextRequest()
      if (text === null) {
        isDone = true
        return done()
      }
      since = performance.now()
      socket.write(text)
    }
    readAnswers(socket, (status) => {
      count(status, since)
      ask()
    })
    ask()
  })
  socket.destroy()
}

async function openLoop(rate: number): Promise<void> {
  const idle: TLSSocket[] = []
  const busy = new Map<TLSSocket, number>()
  const due: number[] = []
  const serve = () => {
    while (idle.length > 0 && due.length > 0) {
      const text = nextRequest()
      const at = due.shift()
      const socket = idle.pop()
      if (text === null || at === undefined || socket === undefined) return
      busy.set(socket, at)
      socket.write(text)
    }
  }
  for (let i = 0; i < plan.connections; i++) {
    const socket = await opened()
    readAnswers(socket, (status) => {
      count(status, busy.get(socket) ?? 0)
      idle.push(socket)
      serve()
    })
    idle.push(socket)
  }
  const start = performance.now()
  let made = 0
  await new Promise<void>((done) => {
    const tick = () => {
      const elapsed = performance.now() - start
      for (; made < (elapsed * rate) / 1000; made++) due.push(start + (made * 1000) / rate)
      serve()
      if (over || sent >= requests.length) return void setTimeout(done, 200)
      setTimeout(tick, 1)
    }
    tick()
  })
  for (const socket of [...idle, ...busy.keys()]) socket.destroy()
}

async function handshakes(): Promise<void> {
  let session: Buffer | undefined
  while (!over) {
    const since = performance.now()
    await new Promise<void>((done, fail) => {
      const socket = connect({ ...options, ...(plan.resumes && session !== undefined ? { session } : {}) }, () => {
        if (socket.isSessionReused()) resumed += 1
        socket.write(nextRequest(true) ?? '')
      })
      socket.on('session', (ticket) => {
        session = ticket
      })
      readAnswers(socket, (status) => count(status, since))
      socket.once('close', () => done())
      socket.once('error', fail)
    })
  }
}

const percentile = (share: number): number => {
  const sorted = latencies.sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

const start = performance.now()
setTimeout(() => {
  over = true
}, plan.seconds * 1000).unref()
const many = (run: () => Promise<void>) => Promise.all(Array.from({ length: plan.connections }, run))
if (plan.mode === 'open') await openLoop(plan.rate ?? 1)
else await many(plan.mode === 'closed' ? closedLoop : handshakes)
const seconds = (performance.now() - start) / 1000
const replayed: Replayed = {
  count: latencies.length,
  seconds,
  p50: percentile(0.5),
  p99: percentile(0.99),
  unexpected,
  resumed,
}
process.stdout.write(JSON.stringify(replayed))
