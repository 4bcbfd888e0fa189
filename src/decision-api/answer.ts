// May the request that another proxy asks about pass? The same judgement in the same order as of one that comes to us (edge/enforce.ts),
// and the same audit event; but nothing is forwarded: the hop is told what to send on, or what to refuse with (contract §10).

import { randomUUID } from 'node:crypto'
import {
  type Arrival,
  contextOf,
  type Enforcement,
  judgeArrival,
  matchRoute,
  NO_PROGRESS,
  NOTHING_FOUND,
  ownHeaders,
  refused,
} from '../edge/enforce.js'
import { type Head, readLines } from '../edge/inbound.js'
import type { Connection } from '../edge/server.js'
import { newTimes, type Times } from '../times.js'
import type { Permit } from '../upstream/headers.js'
import type { RefusalContext } from '../verify/challenge.js'
import type { Bytes } from '../verify/scalars.js'
import type { HeldBody, Refused } from '../verify/types.js'
import { Denial, deny, type Grant } from '../verify/verdict.js'
import type { Asked } from './asked.js'

/** One question and the way its answer goes. */
export type Question = {
  readonly connection: Connection
  /** The message that it came in. */
  readonly message: Pick<Head, 'method' | 'httpVersion' | 'rawTarget' | 'rawHeaders'>
  /** Called once it is known to come from the hop. */
  read(): Asked | Denial
  /** Of the request that is asked about, where the question has it. */
  holdBody(maxBody: Bytes): Promise<HeldBody | Denial>
  /** `own`: headers of ours for the client, flat. */
  permit(permit: Permit, own: readonly string[]): void
  refuse(denial: Denial, context: RefusalContext): void
}

/** What to do to a request that was granted; `upstream_invalid` when a value for `set_headers` can't stand in a header. */
export type PermitFor = (granted: Grant, times: Times) => Permit | Denial

/** Answers one question. Never rejects: what escapes is a bug of ours, answered as `gateway_fault` and reported. */
export async function answer(question: Question, enforcement: Enforcement, permitFor: PermitFor): Promise<void> {
  const { connection, message } = question
  const times = newTimes(performance.now())
  let head: Head = {
    requestId: randomUUID(),
    receivedAt: enforcement.clock(),
    method: message.method,
    httpVersion: message.httpVersion,
    rawTarget: message.rawTarget,
    rawHeaders: message.rawHeaders,
    peer: connection.peer,
    servername: null,
    removedPrefix: '',
  }
  let lines = NO_LINES
  const progress = { ...NO_PROGRESS }
  const account = (verdict: Grant | Refused, failure: Denial | null = null): void => {
    const { inbound, match } = progress
    const outcome = failure === null ? null : { upstreamStatus: null, reason: failure.reason, bytes: 0, domainDecision: null }
    enforcement.audit({ head, inbound, match, verdict, outcome, times, durationMs: performance.now() - times.began })
  }
  const refuse = (denial: Denial): void => question.refuse(denial, contextOf(head, lines, progress, enforcement))
  try {
    const asked = readQuestion(question, head, enforcement)
    if (!(asked instanceof Denial)) {
      head = asked.head
      lines = readLines(head.rawHeaders)
    }
    const arrival: Arrival = { head, lines, progress, times }
    const verdict = asked instanceof Denial ? refused(asked) : await judge(question, { arrival, id: asked.id }, enforcement)
    if ('denial' in verdict) {
      refuse(verdict.denial)
      account(verdict)
      return
    }
    const permit = permitFor(verdict, times)
    if (permit instanceof Denial) refuse(permit)
    else question.permit(permit, ownHeaders(head, lines, progress, enforcement))
    account(verdict, permit instanceof Denial ? permit : null)
  } catch (error) {
    enforcement.fault(error)
    const denial = deny('gateway_fault')
    try {
      refuse(denial)
      account({ denial, found: NOTHING_FOUND })
    } catch (second) {
      enforcement.fault(second)
    }
  }
}

const NO_LINES = readLines([])

type Understood = { readonly head: Head; readonly id: string | null }

/** What is asked about stands in the head in place of the question's own, and whoever the hop speaks for in place of the hop. */
function readQuestion(question: Question, head: Head, { hop }: Enforcement): Understood | Denial {
  // config/behind.ts: a listener that decides has one.
  const client = hop === null ? deny('hop_untrusted', 'no hop') : hop.clientOf(question.connection, head)
  if (client instanceof Denial) return client
  const asked = question.read()
  if (asked instanceof Denial) return asked
  const { requestId, receivedAt, httpVersion } = head
  const { method, rawTarget, rawHeaders, id } = asked
  // Member by member, in the order of every head: this is done for each question.
  const { peer, servername, removedPrefix } = client.head
  return { head: { requestId, receivedAt, method, httpVersion, rawTarget, rawHeaders, peer, servername, removedPrefix }, id }
}

type Told = { readonly arrival: Arrival; readonly id: string | null }

function judge(question: Question, { arrival, id }: Told, enforcement: Enforcement): Refused | Promise<Grant | Refused> {
  const inbound = judgeArrival(arrival, enforcement)
  if (inbound instanceof Denial) return refused(inbound)
  const match = matchRoute(inbound, arrival, enforcement)
  if (match instanceof Denial) return refused(match)
  const { times } = arrival
  return enforcement.decide({ inbound, match }, { holdBody: question.holdBody, times, claimant: id })
}
