// What is an attack, and what can come of it? The vocabulary of `holdfast probe`: one wrong request (or one right request that
// careless servers refuse), what a resource server must do with it, and how bad it is when it does otherwise.

import type { Bench } from './bench.js'

/** critical: a stolen token works. high: one check of several is missing. medium: needs more luck, or breaks something. low: untidy. */
export const SEVERITIES = ['critical', 'high', 'medium', 'low'] as const
export type Severity = (typeof SEVERITIES)[number]

/** In the order in which they are run and reported. */
export const TOPICS = {
  honest: 'Right requests that must pass',
  downgrade: 'A bound token without its proof',
  proof: 'The proof as a JWT',
  algorithm: 'Algorithms and keys of the proof',
  target: 'Method and target of the proof',
  time: 'Age of the proof and nonces',
  binding: 'Proof, token and key belong together',
  certificate: 'Certificate-bound tokens',
  token: 'The access token',
  replay: 'One proof, one use',
  path: 'Paths that two parsers read in two ways',
  header: 'Headers that a client could spoof',
  framing: 'Where a request ends (HTTP/1.1)',
  http2: 'Where a request ends (HTTP/2)',
  challenge: 'What a refusal says',
  bypass: 'Past the gateway, without its word',
  assertion: 'Who signed the assertion',
  purpose: 'What the assertion was made for',
} as const
export type Topic = keyof typeof TOPICS

/** What an attack cannot do without; where it is missing, the attack is skipped, and says so. */
export type Need =
  | 'dpop'
  | 'certificate'
  | 'nonce'
  | 'no nonce'
  | 'second client'
  | 'body'
  | 'echo'
  | 'http/1.1'
  | 'http/2'
  | 'issuer keys'
  | 'assertion key'
  | 'query'
  | 'single use'

export type Attack = {
  /** Stable, for reports and for `--only`: `proof-typ-jwt`. */
  readonly id: string
  readonly topic: Topic
  /** What is sent, in one line: `typ is JWT`. */
  readonly title: string
  /** `RFC 9449 §4.3 (4)`, or the class of fault where no text says it: `CWE-444`. */
  readonly spec: string
  /** How bad it is when the server does otherwise than expected. */
  readonly severity: Severity
  /** `refused`, `granted`, or a short clause where it is neither: `one of 20 granted`. */
  readonly expected: string
  readonly needs: readonly Need[]
  readonly run: (bench: Bench) => Promise<Outcome>
}

/**
 * held: the server did what is expected. through: it granted what it must refuse. wrong: it refused what it must grant, or said
 * something it must not. broke: 500, 502, 504 or a dropped connection. unclear: overloaded, rate limited. skipped: a need is missing.
 */
export const VERDICTS = ['held', 'through', 'wrong', 'broke', 'unclear', 'skipped'] as const
export type Verdict = (typeof VERDICTS)[number]

export type Outcome = {
  readonly verdict: Verdict
  /** The request, tokens and proofs shortened: enough to repeat it, not enough to use it. */
  readonly sent: string
  /** Status, challenge and what else decided: `401 DPoP error="invalid_dpop_proof"`. */
  readonly came: string
}

export type Finding = { readonly attack: Omit<Attack, 'run'>; readonly outcome: Outcome; readonly milliseconds: number }

export type Report = {
  readonly url: string
  readonly method: string
  /** Where every connection went. */
  readonly address: string
  /** `TLSv1.3, http/1.1 and h2` */
  readonly transport: string
  /** `DPoP`, `certificate`, `DPoP and certificate` */
  readonly binding: string
  /** ISO 8601, UTC. */
  readonly startedAt: string
  readonly seconds: number
  readonly requests: number
  readonly findings: readonly Finding[]
}

/** Is this something to mend? `held`, `unclear` and `skipped` are not. */
export const isProblem = ({ outcome }: Finding): boolean =>
  outcome.verdict === 'through' || outcome.verdict === 'wrong' || outcome.verdict === 'broke'
