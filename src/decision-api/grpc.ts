// Connections on which Envoy asks by gRPC: HTTP/2 sessions, within limits, and their end. What is said on them is check.ts, which brings the
// libraries of gRPC along and so is loaded when somebody speaks it (some 70 ms and 8 MB).

import { createServer, type Http2Server, type Http2Session } from 'node:http2'
import type { Config } from '../config/config.js'
import type { Connection, Http2 } from '../edge/server.js'
import type { Bytes } from '../verify/scalars.js'
import type { Question } from './answer.js'

export type GrpcOptions = {
  /** In force now. */
  readonly config: () => Config
  readonly check: (question: Question) => Promise<void>
}

/** Questions that one connection of Envoy's may ask at once. */
const STREAMS = 100

export function createGrpc(options: GrpcOptions): Http2 {
  const sessions = new Set<Http2Session>()
  const connections = new WeakMap<Http2Session, Connection>()
  let server: Promise<Http2Server> | null = null
  let draining = false

  const open = async (): Promise<Http2Server> => {
    const { createCheckHandler } = await import('./check.js')
    const { header_bytes } = options.config().limits
    const settings = { maxConcurrentStreams: STREAMS, maxHeaderListSize: header_bytes, enablePush: false }
    const http2 = createServer({ settings, maxSessionInvalidFrames: 10, maxSessionRejectedStreams: 10 })
    http2.on('session', (session) => {
      sessions.add(session)
      session.once('close', () => sessions.delete(session))
      session.setTimeout(options.config().limits.idle * 1000, () => session.close())
      // It ends the connection; without a listener, the process.
      session.on('error', () => undefined)
      if (draining) session.close()
    })
    const handler = createCheckHandler(options.check, (session) => connections.get(session))
    http2.on('request', (request, response) => handler(largestQuestion(options.config()))(request, response))
    return http2
  }

  return {
    take(socket, connection) {
      server ??= open()
      server.then(
        (http2) => {
          if (socket.destroyed) return
          // Node makes the session at once, and does not say of which socket: what it shows as that is another object.
          const note = (session: Http2Session): void => {
            connections.set(session, connection)
            // What ends a connection in good order: all that was asked is answered.
            socket.destroySoon = () => session.close()
          }
          http2.once('session', note)
          http2.emit('connection', socket)
          // Had it made none, the next one would be taken for this connection's.
          http2.off('session', note)
        },
        () => socket.destroy(),
      )
    },
    drain(quiet) {
      draining = true
      // RFC 9113 §6.8: first that there will be an end, then, when all that was on its way has come, that it is there.
      for (const session of sessions) if (!session.destroyed) session.goaway(0, LAST_STREAM)
      const close = (): void => {
        for (const session of sessions) session.close()
      }
      setTimeout(close, quiet * 1000).unref()
    },
  }
}

const LAST_STREAM = 2 ** 31 - 1

/** Beside a body, what the message of a question may take: headers, the client's certificate, and what protobuf puts between. */
const BESIDE: Bytes = 256 * 1024

const LARGEST = new WeakMap<Config, Bytes>()

/** Reckoned once for each configuration: there may be thousands of routes. */
function largestQuestion(config: Config): Bytes {
  const known = LARGEST.get(config)
  if (known !== undefined) return known
  const bodies = config.routes.map(({ policy }) => (policy.body_digest ? policy.max_body : 0))
  const largest = bodies.reduce((most, one) => Math.max(most, one), 0) + BESIDE
  LARGEST.set(config, largest)
  return largest
}
