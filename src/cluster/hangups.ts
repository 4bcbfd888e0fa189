// SIGHUP ends a process that does not listen for it. Ours must outlive one that comes while it still starts, and heed it when it can:
// whoever changed the files could not know how far it was.

let heed: (() => void) | null = null
let isCaught = false
let wasMissed = false

/** From now on no SIGHUP ends this process. */
export function catchHangups(): void {
  if (isCaught) return
  isCaught = true
  process.on('SIGHUP', () => {
    if (heed === null) wasMissed = true
    else heed()
  })
}

/** Calls `listener` at each SIGHUP, and now for any that came before. Returns what stops that: those that come then do nothing. */
export function heedHangups(listener: () => void): () => void {
  catchHangups()
  heed = listener
  if (wasMissed) listener()
  wasMissed = false
  return () => {
    heed = () => undefined
  }
}
