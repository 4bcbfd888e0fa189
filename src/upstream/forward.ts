// Forwards one granted request and its answer, bodies streamed both ways with backpressure (contract §6, §9).
// A Denial comes back only while nothing has been sent to the client; from then on a failure ends its connection.
// Does not serve upgrades: websocket.ts does.

import type { Outcome } from '../audit/types.js'
import type { Limits } from '../config/config.js'
import { type Denial, deny, type Grant } from '../verify/verdict.js'
import { type Exchange, startAnswer } from './answer.js'
import { untilTime } from './pools.js'
import { clientBody, type Framing, framingOf } from './request-body.js'
import { type Cancel, createSender, type Send, type SenderOptions } from './send.js'
import type { OpenStreams } from './streams.js'

export type { Exchange } from './answer.js'

export type ForwarderOptions = SenderOptions & {
  readonly limits: Pick<Limits, 'body_idle'>
  /** Event streams are ended in good order; their clients come back. */
  readonly streams: OpenStreams
}

export type Forwarder = {
  /**
   * Resolves when the answer is complete or given up: with its Outcome, or with a Denial that the caller must write. With a
   * Denial some of the client's body may be unread, so the caller closes the connection after it.
   */
  forward(grant: Grant, exchange: Exchange): Promise<Outcome | Denial>
}

export function createForwarder(options: ForwarderOptions): Forwarder {
  const send = createSender(options)
  return {
    forward: (grant, exchange) => new Promise((resolve) => run({ grant, exchange, send, options }, resolve)),
  }
}

type Run = { readonly grant: Grant; readonly exchange: Exchange; readonly send: Send; readonly options: ForwarderOptions }

function run({ grant, exchange, send, options }: Run, resolve: (result: Outcome | Denial) => void): void {
  const { request, response } = exchange
  const { max_body } = grant.route.policy
  const { body_idle } = options.limits
  const framing = grant.body === null ? framingOf(request) : null
  if (framing !== null && (framing.length ?? 0) > max_body) {
    resolve(deny('body_too_large'))
    return
  }

  let settled = false
  let cancel: Cancel | null = null
  let expiry: NodeJS.Timeout | undefined
  const body = framing === null ? null : clientBody(request, { max_body, body_idle }, (denial) => giveUp(denial))
  const answer = startAnswer(grant, exchange, {
    assertionHeader: options.assertion.header,
    rest: body === null ? () => 0 : body.rest,
    patience: body_idle,
  })

  const settle = (result: Outcome | Denial): void => {
    if (settled) return
    settled = true
    clearTimeout(expiry)
    if (answer.isEventStream()) options.streams.delete(expire)
    response.off('close', gone)
    body?.stream.destroy()
    resolve(result)
  }
  const giveUp = (denial: Denial): void => {
    if (settled) return
    answer.cut()
    settle(answer.isStarted() ? answer.outcome(denial.reason) : denial)
    cancel?.()
  }
  const finish = (): void => {
    if (settled) return
    settle(answer.outcome(null))
    answer.end()
  }
  const gone = (): void => {
    settle(answer.outcome(null))
    cancel?.()
  }
  /** Every event stream ends when the token does (contract §6), when it is revoked, and when the gateway stops; the client comes back. */
  const expire = (): void => {
    settle(answer.outcome(null))
    answer.stop()
    cancel?.()
  }

  if (response.destroyed) {
    gone()
    return
  }
  response.on('close', gone)
  const message = {
    body: grant.body?.bytes ?? body?.stream ?? null,
    headers: framingHeaders(framing),
    upgrade: null,
    times: exchange.times,
  }
  cancel = send(grant, message, {
    writing() {
      if (body === null) return
      exchange.sendContinue()
      body.start()
    },
    head(status, raw, resume) {
      answer.head(status, raw, resume)
      if (answer.isBodyless()) return finish()
      if (!answer.isEventStream()) return
      const { token } = grant.evidence
      if (token !== null) expiry = setTimeout(expire, untilTime(token.exp, options.clock()))
      options.streams.add(grant.evidence, expire)
    },
    data: answer.data,
    end: finish,
    failed: giveUp,
    upgraded: (_headers, socket) => void socket.destroy(),
  })
}

/** Framing towards the upstream is ours: a length where one is known, else undici writes chunks. */
const framingHeaders = (framing: Framing): readonly string[] =>
  framing?.length == null ? [] : ['Content-Length', String(framing.length)]
