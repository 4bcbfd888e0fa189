// How many processes are of use? The cores this container may use: Node counts those of the machine, cgroups limit their time.

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

type ReadText = (path: string) => string | null

function readSystem(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

const CPU_MAX = '/sys/fs/cgroup/cpu.max'
const CFS_QUOTA = '/sys/fs/cgroup/cpu/cpu.cfs_quota_us'
const CFS_PERIOD = '/sys/fs/cgroup/cpu/cpu.cfs_period_us'

/** Whole cores, at least one: half a core more would only be throttled. */
export function availableCores(cores: number = availableParallelism(), read: ReadText = readSystem): number {
  return Math.max(1, Math.min(cores, Math.floor(quota(read))))
}

/** Cores' worth of time that cgroups v2 or v1 grant; Infinity without limit. */
function quota(read: ReadText): number {
  const unified = read(CPU_MAX)
  const [time, period] = unified === null ? [read(CFS_QUOTA), read(CFS_PERIOD)] : unified.trim().split(' ')
  const granted = Number(time ?? Number.NaN) / Number(period ?? Number.NaN)
  // `max` in v2, -1 in v1: no limit.
  return granted > 0 ? granted : Number.POSITIVE_INFINITY
}
