// What a soak and its backend say to each other.

export type ToUpstream =
  /** PEM of all keys that an assertion may be signed with. */
  { readonly keys: readonly string[] } | { readonly ask: 'notes' | 'close' | 'open' }

export type UpstreamNotes = {
  readonly calls: number
  /** What no backend may ever see. */
  readonly breaches: readonly string[]
  /** `txn` of each request to a durable tier. */
  readonly durable: readonly string[]
}
