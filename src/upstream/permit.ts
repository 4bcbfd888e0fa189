// What does a hop get for a request that was granted, where it sends it on by itself (contract §10)? The same assertion, for the path that the
// route gives the upstream, and the same headers, but for those that only whoever sends it on can say.

import type { Times } from '../times.js'
import type { Denial, Grant } from '../verify/verdict.js'
import { signAssertion } from './assertion.js'
import { type Permit, permitHeaders } from './headers.js'
import { upstreamTarget } from './path.js'
import type { SenderOptions } from './send.js'

/** `upstream_invalid` when a value for `set_headers` can't stand in a header. */
export function createPermits({ signingKeys, assertion, clock, isTraced }: Omit<SenderOptions, 'pools'>) {
  return (granted: Grant, times: Times): Permit | Denial => {
    const { inbound } = granted.evidence
    const target = upstreamTarget(granted.route, inbound.target)
    times.signing = performance.now()
    const context = { ...assertion, key: signingKeys().current, now: clock(), target, jti: granted.assertionId }
    const token = signAssertion(granted, context)
    times.signed = performance.now()
    const own = { assertionHeader: assertion.header, assertion: token, isTraced: isTraced(inbound.requestId) }
    return permitHeaders(inbound, granted, own)
  }
}
