// What a decision is: a Grant or a Denial. Both are values; nothing is thrown at a hostile request.

import type { Reason } from './reasons.js'
import type { Decision, Evidence, HeldBody, Route } from './types.js'

/**
 * What a client needs to know to do better: when to come back (seconds), which methods there are, how old an authentication may be
 * (seconds), and of which classes it should be, where that is not the route's own demand.
 */
export type Hints = {
  readonly retryAfter?: number
  readonly maxAge?: number
  readonly acrValues?: readonly string[]
  readonly allow?: readonly string[]
}

/** A refusal. `detail` is for the audit event and `explain`; it is never shown to a client. */
export class Denial {
  readonly reason: Reason
  readonly detail: string | undefined
  readonly hints: Hints
  constructor(reason: Reason, detail: string | undefined, hints: Hints) {
    this.reason = reason
    this.detail = detail
    this.hints = hints
  }
}

const NO_HINTS: Hints = {}

/** Refuses, with a private detail that must not hold a token, a proof or a key. */
export const deny = (reason: Reason, detail?: string, hints: Hints = NO_HINTS): Denial => new Denial(reason, detail, hints)

const minted = Symbol('only decide() makes a Grant')

/**
 * Permission to forward one request. Only `decide()` makes one, and `upstream/` takes nothing else, so "forgot to
 * authorise" does not compile.
 */
export class Grant {
  readonly evidence: Evidence
  readonly route: Route
  /** `jti` of the assertion that will be signed for it. */
  readonly assertionId: string
  /** The held body where the tier demands a digest, else null: the body is streamed. */
  readonly body: HeldBody | null
  constructor(key: typeof minted, evidence: Evidence, route: Route, assertionId: string, body: HeldBody | null) {
    if (key !== minted) throw new TypeError('a Grant is made by decide() alone')
    this.evidence = evidence
    this.route = route
    this.assertionId = assertionId
    this.body = body
  }
}

/** For `decide.ts` alone; test/architecture.test.ts holds everyone else to it. */
export const grant = (evidence: Evidence, route: Route, assertionId: string, body: HeldBody | null): Grant =>
  new Grant(minted, evidence, route, assertionId, body)

export type Verdict = Grant | Denial

/** What came of asking a policy decision point: null permits. */
export type Decided = { readonly denial: Denial | null; readonly decision: Decision }
