// How does one granted request get to its upstream, and when a second time? (contract §6) Signs, writes, and refuses whatever
// is no final answer a client may see. What becomes of the answer is the receiver's: forward.ts and websocket.ts.
//
// undici itself never writes a request twice here: without pipelining, a running request fails with its connection, and only
// requests that were not written yet are moved to another connection.

import { randomUUID } from 'node:crypto'
import type { Duplex, Readable } from 'node:stream'
import { type Dispatcher, errors } from 'undici'
import type { SigningKeys } from '../keys/signing.js'
import type { Times } from '../times.js'
import type { Seconds } from '../verify/scalars.js'
import type { Upstream } from '../verify/types.js'
import { Denial, deny, type Grant } from '../verify/verdict.js'
import { signAssertion } from './assertion.js'
import { codeOf, failure, isClosed } from './failure.js'
import { requestHeaders } from './headers.js'
import { upstreamTarget } from './path.js'
import { milliseconds, type Pools } from './pools.js'

export type SenderOptions = {
  readonly pools: Pools
  readonly signingKeys: () => SigningKeys
  readonly assertion: { readonly issuer: string; readonly ttl: Seconds; readonly header: string }
  readonly clock: () => Seconds
  /** Has a request a trace that goes to a collector? */
  readonly isTraced: (requestId: string) => boolean
}

export type Message = {
  readonly body: Uint8Array | Readable | null
  /** Headers of our own beside those of the grant: framing, or a WebSocket's handshake. Flat. */
  readonly headers: readonly string[]
  readonly upgrade: 'websocket' | null
  /** Where it is written down when what happened. */
  readonly times: Times
}

/** What comes back. After `end`, `failed` or `upgraded` nothing more does, and after `cancel` nothing at all. */
export type Receiver = {
  /** A connection is there and the request is being written: the client may send its body. */
  writing(): void
  /** A final answer's head. */
  head(status: number, headers: readonly Buffer[], resume: () => void): void
  /** False: stop until `resume` is called. */
  data(chunk: Buffer): boolean
  end(): void
  upgraded(headers: readonly Buffer[], socket: Duplex): void
  failed(denial: Denial): void
}

/** Gives up on the request: it is not written if it was not yet, else its connection is closed. */
export type Cancel = () => void

/** Interim answers of one request; each of them gives an upstream its `headers` timeout anew, so they must end somewhere. */
const INTERIM_ANSWERS = 8

/** Gives the request to the upstream's pool, and what comes of it to the receiver, which may be called before this returns. */
export type Send = (grant: Grant, message: Message, receiver: Receiver) => Cancel

export function createSender({ pools, signingKeys, assertion, clock, isTraced }: SenderOptions): Send {
  return (grant, message, receiver) => {
    const { inbound } = grant.evidence
    const { upstream } = grant.route
    const lane = pools.get(upstream)
    const target = upstreamTarget(grant.route, inbound.target)
    const mayRepeat = (inbound.method === 'GET' || inbound.method === 'HEAD') && message.body === null

    let over = false
    let repeated = false
    let abort: ((error: Error) => void) | null = null
    let waiting: NodeJS.Timeout | undefined
    let isQueued = false
    let reused = false
    let began = false
    let interim = 0

    const leaveQueue = (): void => {
      if (!isQueued) return
      isQueued = false
      lane.queued -= 1
    }
    const cancel = (): void => {
      if (over) return
      over = true
      clearTimeout(waiting)
      abort?.(new errors.RequestAbortedError())
    }
    const fail = (denial: Denial): void => {
      if (over) return
      cancel()
      receiver.failed(denial)
    }

    /**
     * Only a reused connection that closed in silence: an upstream that gave up an idle connection just as we wrote to it.
     * A request that was never written, because its idle connection broke while it waited, is not sent a second time at all.
     */
    const isWorthAnother = (error: Error): boolean => {
      if (repeated || began || !isClosed(error)) return false
      return abort === null ? !pools.dialling() : reused && mayRepeat
    }

    const handler: Dispatcher.DispatchHandler = {
      onConnect(abortThis) {
        leaveQueue()
        // Thrown, because undici then drops the request and keeps the connection; aborting would close it.
        if (over) throw new errors.RequestAbortedError()
        abort = abortThis
        reused = !pools.dialling()
        clearTimeout(waiting)
        receiver.writing()
      },
      onResponseStarted() {
        began = true
      },
      onHeaders(status, headers, resume) {
        if (over) return false
        if (status >= 100 && status < 200) {
          // 100 never comes here: undici takes it as an error, since we ask for none. 101 answers no question of ours either.
          if (status === 101 || ++interim > INTERIM_ANSWERS) fail(deny('upstream_invalid', `status ${status}`))
          return true
        }
        const problem = headProblem(status, headers, upstream)
        if (problem !== null) {
          fail(deny('upstream_invalid', problem))
          return false
        }
        message.times.answered = performance.now()
        receiver.head(status, headers, resume)
        // RFC 9112 §6.3 (1): it ends with its head. But who announces a coding may send a body all the same, and that would be the
        // next request's answer: this connection is not used again. After HEAD, and beside a length, undici itself closes it.
        if ((status === 204 || status === 304) && codingsOf(headers).length > 0) {
          over = true
          receiver.end()
          abort?.(new errors.RequestAbortedError())
          return false
        }
        return true
      },
      onData: (chunk) => !over && receiver.data(chunk),
      onComplete() {
        if (over) return
        over = true
        receiver.end()
      },
      onUpgrade(_status, headers, socket) {
        if (over || headers === null) {
          socket.destroy()
          return
        }
        over = true
        message.times.answered = performance.now()
        try {
          receiver.upgraded(headers as Buffer[], socket)
        } catch (error) {
          socket.destroy()
          receiver.failed(deny('gateway_fault', codeOf(error as Error)))
        }
      },
      onError(error) {
        leaveQueue()
        if (over) return
        clearTimeout(waiting)
        if (!isWorthAnother(error)) {
          over = true
          receiver.failed(failure(error, began ? 'began' : 'silent'))
          return
        }
        repeated = true
        abort = null
        // Later, because undici is in the middle of clearing this connection away.
        queueMicrotask(() => dispatch(randomUUID()))
      },
    }

    const dispatch = (jti: string): void => {
      if (over) return
      const now = clock()
      message.times.signing = performance.now()
      const token = signAssertion(grant, { ...assertion, key: signingKeys().current, now, target, jti })
      message.times.signed = performance.now()
      const own = { assertionHeader: assertion.header, assertion: token, isTraced: isTraced(inbound.requestId) }
      const judged = requestHeaders(inbound, grant, own)
      if (judged instanceof Denial) {
        fail(judged)
        return
      }
      const options = {
        path: target,
        method: inbound.method,
        headers: message.headers.length === 0 ? judged.headers : [...judged.headers, ...message.headers],
        body: message.body,
        upgrade: message.upgrade,
        // Always the same, whatever Host says: undici drops a connection when the next request has another one.
        servername: upstream.url.hostname,
      }
      lane.pool.dispatch(options, handler)
      // The queue for a connection counts as connecting; undici would let a request wait there without end. On an idle connection
      // it has been written by now.
      if (abort !== null || over) return
      if (!isQueued) lane.queued += 1
      isQueued = true
      waiting = setTimeout(() => fail(deny('upstream_timeout', 'no connection')), milliseconds(upstream.timeouts.connect))
    }

    dispatch(grant.assertionId)
    return cancel
  }
}

/** Why a final answer is none that a client may see, though undici could read it; null where it may. */
function headProblem(status: number, headers: readonly Buffer[], { pass_token }: Upstream): string | null {
  if (status < 200 || status > 599) return `status ${status}`
  // About our credentials, not the client's: it can do nothing about either (contract §4).
  if ((status === 401 || status === 407) && !pass_token) return `status ${status}`
  // The header goes no further than here, so a coding that undici has not undone would reach the client as if it were content.
  const codings = codingsOf(headers)
  return codings.length > 1 || codings.some((coding) => coding !== 'chunked') ? 'transfer coding' : null
}

/** What each line of Transfer-Encoding says, in lower case. */
function codingsOf(headers: readonly Buffer[]): readonly string[] {
  const codings: string[] = []
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]
    if (name?.length !== 'transfer-encoding'.length || name.toString('latin1').toLowerCase() !== 'transfer-encoding') continue
    codings.push(headers[index + 1]?.toString('latin1').toLowerCase() ?? '')
  }
  return codings
}
