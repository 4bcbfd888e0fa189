// Takes a granted WebSocket handshake to the upstream and, once that has accepted it, joins the two connections (contract §6).
// The upstream is dialled first and its answer decides: not a byte of the client's passes before its 101, and a refusal of its
// reaches the client as the ordinary answer it is.

import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Outcome } from '../audit/types.js'
import type { Limits } from '../config/config.js'
import type { Times } from '../times.js'
import { type Denial, deny, type Grant } from '../verify/verdict.js'
import { type Answer, startAnswer, withoutHeader } from './answer.js'
import { acceptanceProblem, readHandshake } from './handshake.js'
import { responseHeaders } from './headers.js'
import { untilTime } from './pools.js'
import { type Cancel, createSender, type Receiver, type Send, type SenderOptions } from './send.js'
import type { OpenStreams } from './streams.js'
import { joinSockets, type Tunnel } from './tunnel.js'

/** The client's side of a WebSocket handshake: what Node's `upgrade` event gives, and what the edge adds to any answer (flat). */
export type Handover = {
  readonly request: IncomingMessage
  readonly socket: Socket
  /** What the client sent behind its handshake: the first bytes of the WebSocket, if there comes to be one. */
  readonly head: Buffer
  readonly own: readonly string[]
  /** Where it is written down when what happened. */
  readonly times: Times
  /** Where the edge has put one on the socket already; else one is made when there is something to answer. */
  readonly response?: ServerResponse
  /** Called when the tunnel stands; closing it ends it in good order (1001 when the gateway stops). */
  readonly opened?: (tunnel: Tunnel) => void
}

export type TunnelsOptions = SenderOptions & { readonly limits: Pick<Limits, 'body_idle'>; readonly streams: OpenStreams }

export type Tunnels = {
  /**
   * Resolves with the Outcome when the tunnel has ended or the upstream's refusal was given to the client; with a Denial, that
   * the caller must write, when neither came about. `bytes` are those to the client, frames and all.
   */
  open(grant: Grant, handover: Handover): Promise<Outcome | Denial>
}

export function createTunnels(options: TunnelsOptions): Tunnels {
  const send = createSender(options)
  return {
    open: (grant, handover) => new Promise((resolve) => run({ grant, handover, send, options }, resolve)),
  }
}

type Run = { readonly grant: Grant; readonly handover: Handover; readonly send: Send; readonly options: TunnelsOptions }

const NOTHING: Outcome = { upstreamStatus: null, reason: null, bytes: 0, domainDecision: null }

function run({ grant, handover, send, options }: Run, resolve: (result: Outcome | Denial) => void): void {
  const { request, socket, own, times } = handover
  const { token, inbound } = grant.evidence
  const assertionHeader = options.assertion.header
  // Node's server has let go of this socket: without a listener its error would end the process.
  socket.on('error', () => undefined)
  const handshake = readHandshake(request)
  if (typeof handshake === 'string') {
    resolve(deny('request_malformed', handshake))
    return
  }

  let answer: Answer | null = null
  let cancel: Cancel | null = null
  let expiry: NodeJS.Timeout | undefined
  let end: () => void = () => undefined
  const settle = (result: Outcome | Denial): void => {
    clearTimeout(expiry)
    options.streams.delete(end)
    socket.off('close', gone)
    resolve(result)
  }
  const gone = (): void => {
    cancel?.()
    settle(answer?.outcome(null) ?? NOTHING)
  }
  /** Until the token ends or is revoked. */
  const untilItsEnd = (ended: () => void): void => {
    end = ended
    if (token !== null) expiry = setTimeout(end, untilTime(token.exp, options.clock()))
    options.streams.add(grant.evidence, end)
  }

  const accepted: Receiver['upgraded'] = (raw, upstream) => {
    const problem = acceptanceProblem(
      raw.map((bytes) => bytes.toString('latin1')),
      handshake,
    )
    if (problem !== null) {
      upstream.destroy()
      settle(deny('upstream_invalid', problem))
      return
    }
    const { headers, domainDecision } = responseHeaders(raw, {
      route: grant.route,
      target: inbound.target,
      assertionHeader,
      own,
    })
    const response = takeResponse(handover)
    // RFC 9110 §8.6: what follows is no content, so it has no length.
    response.writeHead(101, ['Connection', 'Upgrade', 'Upgrade', 'websocket', ...withoutHeader(headers, 'content-length')])
    response.flushHeaders()
    response.detachSocket(socket)

    socket.off('close', gone)
    const tunnel = joinSockets(socket, upstream, {
      patience: options.limits.body_idle,
      ended: (bytes) => settle({ upstreamStatus: 101, reason: null, bytes, domainDecision }),
    })
    if (handover.head.length > 0) upstream.write(handover.head)
    handover.opened?.(tunnel)
    untilItsEnd(() => tunnel.close(1008))
  }

  const refused: Receiver['head'] = (status, raw, resume) => {
    const exchange = { request, response: takeResponse(handover), own, times, sendContinue: () => undefined }
    const refusal = startAnswer(grant, exchange, { assertionHeader, rest: () => 0, patience: options.limits.body_idle })
    refusal.head(status, raw, resume)
    answer = refusal
    if (!refusal.isEventStream()) return
    untilItsEnd(() => {
      refusal.stop()
      gone()
    })
  }

  if (socket.destroyed) {
    gone()
    return
  }
  socket.on('close', gone)
  cancel = send(
    grant,
    { body: null, headers: handshake.headers, upgrade: 'websocket', times },
    {
      writing: () => undefined,
      upgraded: accepted,
      head: refused,
      data: (chunk) => answer?.data(chunk) ?? true,
      end() {
        settle(answer?.outcome(null) ?? NOTHING)
        answer?.end()
      },
      failed(denial) {
        answer?.cut()
        settle(answer?.isStarted() ? answer.outcome(denial.reason) : denial)
      },
    },
  )
}

/**
 * An HTTP answer on a socket that Node's server no longer looks after; the connection ends with it. Throws when an answer to an
 * earlier request is still under way there: then nothing may be written between.
 */
function takeResponse({ request, socket, response: given }: Handover): ServerResponse {
  const response = given ?? new ServerResponse(request)
  if (given === undefined) {
    try {
      response.assignSocket(socket)
    } catch (error) {
      socket.destroy()
      throw error
    }
  }
  response.shouldKeepAlive = false
  // What Node's server does for answers of its own.
  socket.on('timeout', () => socket.destroy())
  response.on('finish', () => socket.destroySoon())
  return response
}
