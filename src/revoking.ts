// What follows from a change of the list of revocations in this process, beside the refusals of verify: it is written down, and what is open
// already and must not be is ended. Nothing here decides who is revoked.

import { revocationEvent, revocationsLoaded } from './audit/revocation.js'
import type { AuditLog } from './audit/types.js'
import type { RedisSettings } from './config/config.js'
import { type Following, followRevocations } from './revocations/follow.js'
import { createOpenStreams, type OpenStreams } from './upstream/streams.js'
import { revokedBy } from './verify/revocations.js'
import type { Seconds } from './verify/scalars.js'

export type Revoking = {
  /** null: without Redis nothing can be revoked. */
  readonly revocations: Following | null
  readonly streams: OpenStreams
}

export type RevokingOptions = {
  readonly redis: RedisSettings | null
  readonly audit: Pick<AuditLog, 'write'>
  readonly clock: () => Seconds
  readonly log: (message: string) => void
}

/** Connects in the background. */
export function openRevoking({ redis, audit, clock, log }: RevokingOptions): Revoking {
  if (redis === null) return { revocations: null, streams: createOpenStreams(() => false) }
  const streams = createOpenStreams(
    ({ token, inbound }) => token !== null && revokedBy({ token, inbound }, clock(), revocations.list()) !== null,
  )
  const revocations = followRevocations(redis, {
    log,
    changed: (changes, list) => {
      if (changes === null && list.size > 0) audit.write(revocationsLoaded(list.size, clock()))
      for (const change of changes ?? []) audit.write(revocationEvent(change, clock()))
      streams.endRevoked()
    },
  })
  return { revocations, streams }
}
