// What goes on after its request was granted: WebSockets and event streams. Each is ended when what it was granted by is revoked, or
// its client is dismissed from the registry, also if that happened between the grant and its first byte. Does not know how one is ended, nor who is revoked.

import type { Evidence } from '../verify/types.js'

export type OpenStreams = {
  /** `end` is called once, when it is to end; at once, where it must not have begun. */
  add(evidence: Evidence, end: () => void): void
  delete(end: () => void): void
  endRevoked(): void
  /** Ends those of clients that a new registry serves no longer, and from now on such as open. */
  dismiss(isDismissed: (evidence: Evidence) => boolean): void
  endAll(): void
}

export function createOpenStreams(isRevoked: (evidence: Evidence) => boolean): OpenStreams {
  const open = new Map<() => void, Evidence>()
  let isDismissed: typeof isRevoked = () => false
  const endWhere = (isOver: (evidence: Evidence) => boolean): void => {
    for (const [end, evidence] of open) {
      if (!isOver(evidence)) continue
      open.delete(end)
      end()
    }
  }
  return {
    add(evidence, end) {
      if (isRevoked(evidence) || isDismissed(evidence)) end()
      else open.set(end, evidence)
    },
    delete: (end) => void open.delete(end),
    endRevoked: () => endWhere(isRevoked),
    dismiss(whom) {
      isDismissed = whom
      endWhere(whom)
    },
    endAll: () => endWhere(() => true),
  }
}
