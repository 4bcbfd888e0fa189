// Clients that take all they can get, as a thread: each kind of them goes on until the thread is ended, and says how often it did
// what it does. They know nothing of the gateway; what they send was made by the test.
import { connect as connectPlain } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { parentPort, workerData } from 'node:worker_threads'

export type Plan = {
  readonly port: number
  readonly host: string
  readonly connections: number
  readonly address: string
} & (
  | {
      /** Asks again when all that was asked is answered. */
      readonly does: 'asks'
      readonly requests: readonly string[]
      /** Requests that are sent together. */
      readonly pipelined?: number
    }
  | {
      /** Sends a head and then bytes as fast as they are taken, until there are `bytes` of them; then reads one answer, and begins again. */
      readonly does: 'sends'
      readonly head: string
      readonly piece: Uint8Array
      readonly bytes: number
    }
  | {
      /** Reads an answer that does not end; slowly: 16 KiB in each 100 ms. */
      readonly does: 'reads'
      readonly head: string
      readonly slowly?: boolean
    }
  /** Connects, and begins anew when the handshake is complete. */
  | { readonly does: 'connects'; readonly credential?: { readonly key: string; readonly cert: string } }
  /** Sends the same first flight on each connection, which costs it nothing, and begins anew when it is answered, which costs the server a signature. */
  | { readonly does: 'greets'; readonly hello: Uint8Array }
  /** Connects, and never says a word. */
  | { readonly does: 'waits' }
  /** Connects and stays. */
  | { readonly does: 'stays' }
)

const plan = workerData as Plan
const { port, host, address } = plan

let done = 0
const count = (more = 1): void => {
  done += more
}
setInterval(() => {
  if (done > 0) parentPort?.postMessage(done)
  done = 0
}, 20)

const options = { port, host: '127.0.0.1', servername: host, localAddress: address, rejectUnauthorized: false }
const dial = (ready: (socket: TLSSocket) => void, closed: () => void): void => {
  const credential = plan.does === 'connects' ? plan.credential : undefined
  const socket = connect({ ...options, ...credential }, () => ready(socket))
  socket.on('error', () => undefined).on('close', closed)
}

/** Calls back for each whole answer; all have a Content-Length. */
function readAnswers(socket: TLSSocket, answered: () => void): void {
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, end))?.[1] ?? 0)
      if (text.length < end + 4 + length) return
      text = text.slice(end + 4 + length)
      count()
      answered()
    }
  })
}

let next = 0

function asks(requests: readonly string[], pipelined: number): void {
  dial(
    (socket) => {
      let open = 0
      const send = () => {
        open = pipelined
        for (let i = 0; i < pipelined; i++) socket.write(requests[next++ % requests.length] ?? '', 'latin1')
      }
      readAnswers(socket, () => {
        open -= 1
        if (open === 0) send()
      })
      send()
    },
    () => asks(requests, pipelined),
  )
}

function sends(head: string, piece: Uint8Array, bytes: number): void {
  dial(
    (socket) => {
      const begin = () => {
        let left = bytes
        const more = () => {
          while (left > 0) {
            const part = piece.subarray(0, Math.min(left, piece.length))
            left -= part.length
            count(part.length / 1024 ** 2)
            if (!socket.write(part)) return void socket.once('drain', more)
          }
        }
        socket.write(head)
        more()
      }
      if (bytes === Number.MAX_SAFE_INTEGER) socket.resume()
      else readAnswers(socket, begin)
      begin()
    },
    () => sends(head, piece, bytes),
  )
}

function reads(head: string, slowly: boolean): void {
  dial(
    (socket) => {
      socket.write(head)
      if (!slowly) return void socket.on('data', ({ length }: Buffer) => count(length / 1024 ** 2))
      socket.once('readable', () => {
        const timer = setInterval(() => {
          const part = socket.read(16 * 1024) as Buffer | null
          if (part !== null) count(part.length / 1024 ** 2)
        }, 100)
        socket.once('close', () => clearInterval(timer))
      })
    },
    () => reads(head, slowly),
  )
}

function connects(): void {
  dial((socket) => {
    count()
    socket.destroy()
  }, connects)
}

function greets(hello: Uint8Array): void {
  const socket = connectPlain({ port, host: '127.0.0.1', localAddress: address }, () => socket.write(hello))
  socket.once('data', () => {
    count()
    socket.resetAndDestroy()
  })
  socket.on('error', () => undefined).on('close', () => greets(hello))
}

function waits(): void {
  const socket = connectPlain({ port, host: '127.0.0.1', localAddress: address }, () => count())
  socket.on('error', () => undefined).on('close', waits)
}

function stays(): void {
  dial(
    () => count(),
    () => undefined,
  )
}

for (let i = 0; i < plan.connections; i++) {
  switch (plan.does) {
    case 'asks':
      asks(plan.requests, plan.pipelined ?? 1)
      break
    case 'sends':
      sends(plan.head, plan.piece, plan.bytes)
      break
    case 'reads':
      reads(plan.head, plan.slowly === true)
      break
    case 'connects':
      connects()
      break
    case 'greets':
      greets(plan.hello)
      break
    case 'waits':
      waits()
      break
    case 'stays':
      stays()
      break
  }
}
