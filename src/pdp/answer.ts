// What does this answer say (AuthZEN Authorization API 1.0 §6.2, §7.2)? Strict: `decision` is true or false and nothing else, JSON says
// everything once. What is not such an answer says nothing about the request: it is the policy decision point's trouble, told to the
// operator, without anything of the answer in it.

import type { PdpSettings } from '../config/config.js'
import { isJsonObject, readJsonObject } from '../verify/json.js'
import type { Seconds } from '../verify/scalars.js'
import type { JsonObject } from '../verify/types.js'

/** What a denial asks the user to do (RFC 9470). */
export type StepUp = { readonly acrValues: readonly string[] | null; readonly maxAge: Seconds | null }

export type Answer = {
  readonly permits: boolean
  /** What the decision is called there. */
  readonly id: string | null
  readonly policyVersion: string | null
  /** Of a denial, where the policy asks for one and it is configured. */
  readonly stepUp: StepUp | null
  /** Which resource was denied, beginning at 1; null: none, or there is one only. */
  readonly denied: number | null
}

/** Where in `context` of an answer something stands. */
export type Members = Pick<PdpSettings, 'decision_id' | 'policy_version' | 'step_up'>

/** Reads an answer with status 200. `count`: of a question with several resources; null: with one. A sentence when it is none. */
export function readAnswer(bytes: Uint8Array, count: number | null, members: Members): Answer | string {
  const answer = readJsonObject(bytes)
  if (answer === null) return 'the answer is not one JSON object'
  if (count === null) return isResult(answer) ? readResult(answer, null, members) : NO_DECISION
  const { evaluations } = answer
  if (!Array.isArray(evaluations)) return 'the answer has no list of evaluations'
  if (evaluations.length > count) return 'the answer has more evaluations than were asked for'
  if (!evaluations.every(isResult)) return NO_DECISION
  // Results that are missing are denials; the `decision` beside the list counts for nothing (§7.2).
  const denied = evaluations.findIndex(({ decision }) => !decision)
  const deciding = denied < 0 ? evaluations.length : denied
  const result = evaluations[deciding] ?? (deciding < count ? { decision: false } : evaluations[0])
  return result === undefined ? NO_DECISION : readResult(result, deciding < count ? deciding + 1 : null, members)
}

const NO_DECISION = 'the answer does not say true or false'

type Result = JsonObject & { readonly decision: boolean; readonly context?: JsonObject }

const isResult = (value: unknown): value is Result =>
  isJsonObject(value) && typeof value.decision === 'boolean' && (value.context === undefined || isJsonObject(value.context))

function readResult({ decision, context = {} }: Result, denied: number | null, members: Members): Answer {
  return {
    permits: decision,
    id: readText(memberOf(context, members.decision_id)),
    policyVersion: readText(memberOf(context, members.policy_version)),
    stepUp: decision || members.step_up === null ? null : readStepUp(context, members.step_up),
    denied,
  }
}

/** The member that a path such as `step_up.acr` leads to. */
function memberOf(context: JsonObject, path: string): unknown {
  let value: unknown = context
  for (const name of path.split('.')) value = isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
  return value
}

/** What goes into the audit log and the assertion: visible ASCII, and not much of it. */
export const readText = (value: unknown): string | null =>
  typeof value === 'string' && /^[\x21-\x7e]{1,256}$/.test(value) ? value : null

/** As in `acr_values` of a route: it goes into a challenge, inside quotes. */
const ACR = /^[\x21\x23-\x5B\x5D-\x7E]{1,256}$/
const MOST_CLASSES = 8

function readStepUp(context: JsonObject, { acr_values, max_age }: NonNullable<Members['step_up']>): StepUp | null {
  const classes = acr_values === undefined ? undefined : memberOf(context, acr_values)
  const age = max_age === undefined ? undefined : memberOf(context, max_age)
  const list: readonly unknown[] = Array.isArray(classes) ? classes : [classes]
  const isList = list.length > 0 && list.length <= MOST_CLASSES && list.every((one) => typeof one === 'string' && ACR.test(one))
  const stepUp = {
    acrValues: isList ? list.map(String) : null,
    maxAge: typeof age === 'number' && Number.isFinite(age) && age >= 0 ? age : null,
  }
  return stepUp.acrValues === null && stepUp.maxAge === null ? null : stepUp
}
