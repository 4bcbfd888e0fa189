// Is this process fit for requests? Contract §8: not before the first complete start, not while draining, not when overloaded.
// What is merely degraded does not count, so that one lost Redis does not take all replicas and their public routes away.

export type Readiness = { readonly ready: boolean; readonly degraded: readonly string[] }

export type Health = {
  readonly phase: 'starting' | 'serving' | 'draining'
  readonly isOverloaded: boolean
  /** What each part says of itself: issuer keys, replay store, audit sink, last reload; null when all is well. */
  readonly parts: readonly (string | null)[]
}

/** What `/readyz` answers. */
export const readinessOf = ({ phase, isOverloaded, parts }: Health): Readiness => ({
  ready: phase === 'serving' && !isOverloaded,
  degraded: parts.filter((part) => part !== null),
})
