// What a process holds, from /proc: to be compared with what it held when nothing had happened yet.
import { readdirSync, readFileSync } from 'node:fs'

export type Holdings = {
  /** Resident memory, in bytes. */
  readonly rss: number
  /** Open files, sockets among them. */
  readonly handles: number
}

/** Of several processes together. */
export function holdingsOf(pids: readonly number[]): Holdings {
  let [rss, handles] = [0, 0]
  for (const pid of pids) {
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    rss += Number(kilobytes) * 1024
    handles += readdirSync(`/proc/${pid}/fd`).length
  }
  return { rss, handles }
}
