// One row of the standards' demands on a resource server, and the tests that prove it. docs/conformance.md is printed from these.

/** A test that runs in `npm test`: its file from the root of the repository, and its exact title. */
export type Proof = { readonly file: string; readonly title: string }

export type Row = {
  /** `DPOP-01`: the letters name the topic, the number never changes. */
  readonly id: string
  /** One sentence: what must hold. */
  readonly requirement: string
  /** `RFC 9449 §4.3 (1)`; `decision` where no text dictates one outcome and docs/decisions.md or contract.md does. */
  readonly spec: string
  /** Where the specification's own text was read for this row; left out: it was not opened again for it. */
  readonly read?: string
} & (
  | { readonly tests: readonly Proof[] }
  /** Why no test here proves it: one sentence, true of the product today. */
  | { readonly not: string }
)
