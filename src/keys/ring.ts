// Which public keys do backends need? Those of the configuration; and one that signed until it was taken out of it, for as long as an
// assertion of it can live, because a rotation that goes too fast must not turn requests that are under way into refusals.

import type { JWK } from 'jose'
import type { Seconds } from '../verify/scalars.js'
import type { SigningKeys } from './signing.js'

export type KeyRing = {
  /** From now on these sign, for every request, and assertions live for `ttl`. */
  use(keys: SigningKeys, ttl: Seconds): void
  /** Throws before the first `use`. */
  signing(): SigningKeys
  /** The JWK set to publish now. */
  jwks(): { readonly keys: readonly JWK[] }
}

export function createKeyRing(clock: () => Seconds): KeyRing {
  let used: { readonly keys: SigningKeys; readonly ttl: Seconds } | null = null
  /** Keys that signed before the last `use`, by kid, and when their last assertion ends. */
  const signed = new Map<string, { readonly jwk: JWK; readonly until: Seconds }>()

  const signing = (): SigningKeys => {
    if (used === null) throw new Error('there are no signing keys yet')
    return used.keys
  }
  return {
    use(keys, ttl) {
      const now = clock()
      for (const [kid, { until }] of signed) if (until <= now) signed.delete(kid)
      const [jwk] = used?.keys.jwks.keys ?? []
      if (used !== null && jwk !== undefined) {
        const { kid } = used.keys.current
        // It may have signed longer-lived ones before `ttl` was shortened.
        signed.set(kid, { jwk, until: Math.max(now + used.ttl, signed.get(kid)?.until ?? 0) })
      }
      used = { keys, ttl }
    },
    signing,
    jwks() {
      const { keys } = signing().jwks
      const now = clock()
      const gone = [...signed].filter(([kid, { until }]) => until > now && !keys.some((key) => key.kid === kid))
      return { keys: [...keys, ...gone.map(([, { jwk }]) => jwk)] }
    },
  }
}
