// What a check is: a name, its place in the specification, the reasons it may give, the settings it reads, and a pure `run`.
// The order of checks is the contract's (§4) and stands in index.ts.

import type { z } from 'zod'
import type { Reason } from '../reasons.js'
import type { Seconds } from '../scalars.js'
import type { AccessToken, Confirmation, Evidence, InboundRequest, PeerCertificate, Proof } from '../types.js'
import { type Denial, deny } from '../verdict.js'

/** One key of routes.yaml: its form and what it means, from which docs/settings.md and the JSON Schema are printed. */
export type Setting = { readonly schema: z.ZodType; readonly description: string }
export type Settings = Readonly<Record<string, Setting>>

/** What the settings parse to. */
export type Parsed<S extends Settings> = { readonly [K in keyof S]: z.output<S[K]['schema']> }

/** What the rules of a route parse to: null where it has none. */
export type Rules<S extends Settings> = { readonly [K in keyof S]: z.output<S[K]['schema']> | null }

/** Declares a setting: the keys of a tier, or the rules of a route. */
export const setting = <T extends z.ZodType>(schema: T, description: string) => ({ schema, description })

/** What a check can see: all that was gathered before it. `proof` and `confirmation` are null where there is none. */
export type Gathered = {
  readonly inbound: InboundRequest
  /** Of the route, as in routes.yaml. */
  readonly path: string
  readonly tier: string
  readonly now: Seconds
  /** How far ahead of ours other clocks may be (`clock_skew`). */
  readonly clockSkew: Seconds
  readonly captured: Readonly<Record<string, string>>
  readonly scheme: Evidence['scheme']
  readonly token: AccessToken
  readonly confirmation: Confirmation | null
  readonly proof: Proof | null
  /** When the nonce of the proof was made, where one is demanded and this one is ours and fresh. */
  readonly nonceTime: Seconds | null
  readonly certificate: PeerCertificate | null
}

export type Needs = 'proof' | 'confirmation'

type With<N extends Needs> = Gathered & { readonly [K in N]: NonNullable<Gathered[K]> }

export type CheckDefinition<N extends Needs, R extends Reason, S extends Settings, T extends Settings> = {
  readonly name: string
  readonly spec: string
  /** Skipped where this evidence is absent; that it must be there is demanded by `scheme` and `binding` alone. */
  readonly needs: readonly N[]
  readonly reasons: readonly R[]
  /** What the tier says. */
  readonly settings: S
  /** What the route itself says; a route without it has null. */
  readonly rules: T
  run(gathered: With<N>, policy: Parsed<S> & Rules<T>, deny: (reason: R, detail?: string) => Denial): Denial | null
}

/** A check with its types forgotten, as the runner sees it. */
export type Check = CheckDefinition<Needs, Reason, Settings, Settings>

/** Ties `run` to the settings, rules, needs and reasons that are declared beside it. */
export const defineCheck = <N extends Needs, R extends Reason, S extends Settings, T extends Settings>(
  check: CheckDefinition<N, R, S, T>,
) => check

/** Does the check apply: is the evidence there that it needs? */
export function applies(check: Check, gathered: Gathered): boolean {
  for (const need of check.needs) if (gathered[need] === null) return false
  return true
}

/** Runs a check that applies; null when it has nothing against the request. */
export const runCheck = (check: Check, gathered: Gathered, policy: Parsed<Settings> & Rules<Settings>): Denial | null =>
  check.run(gathered as With<Needs>, policy, deny)
