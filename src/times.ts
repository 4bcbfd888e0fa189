// When did what happen to one request? One record each, written where it happens; metrics count the phases and a trace shows them
// (metrics/decisions.ts, tracing/). Costs a handful of readings of the clock that no one sets, whether anyone looks or not.

/** Milliseconds of `performance.now()`; 0: it did not come to that. A request that is sent twice has the times of the second. */
export type Times = {
  /** Its head was read. */
  readonly began: number
  /** Token, proof, rules: `verify`, keys that had to be fetched included. */
  verifying: number
  verified: number
  /** The policy decision point is being asked; it has answered. */
  asking: number
  asked: number
  /** The proof is being recorded as used; the store has answered. */
  recording: number
  recorded: number
  /** The assertion. */
  signing: number
  signed: number
  /** The head of the upstream's answer is there. */
  answered: number
}

export const newTimes = (began: number): Times => ({
  began,
  verifying: 0,
  verified: 0,
  asking: 0,
  asked: 0,
  recording: 0,
  recorded: 0,
  signing: 0,
  signed: 0,
  answered: 0,
})

/** The phases that are measured, each from one of these moments to the other. */
export const PHASES = {
  verify: ['verifying', 'verified'],
  decision: ['asking', 'asked'],
  replay: ['recording', 'recorded'],
  sign: ['signing', 'signed'],
  upstream: ['signed', 'answered'],
} as const satisfies Record<string, readonly [keyof Times, keyof Times]>

export type Phase = keyof typeof PHASES
