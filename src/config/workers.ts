// How many processes are of use? The cores this container may use: Node counts those it may be scheduled on (cpusets included), cgroups
// limit their time. A limit of any group above ours holds for us too, and a container may see its own group as the root or by its
// full name, so every place on the way up is looked at (cgroups(7), Documentation/admin-guide/cgroup-v2.rst).

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'

type ReadText = (path: string) => string | null

function readSystem(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

/** Where the groups of this process are listed, one hierarchy a line: `0::/path` in v2, `4:cpu,cpuacct:/path` in v1. */
const GROUPS = '/proc/self/cgroup'
const UNIFIED = '/sys/fs/cgroup'
const CPU = '/sys/fs/cgroup/cpu'

/** Whole cores, at least one: half a core more would only be throttled. */
export function availableCores(cores: number = availableParallelism(), read: ReadText = readSystem): number {
  const groups = (read(GROUPS) ?? '').split('\n').map((line) => line.split(':'))
  const pathOf = (isOurs: (controllers: string) => boolean): string =>
    groups.find(([, controllers]) => controllers !== undefined && isOurs(controllers))?.[2] ?? '/'
  const unified = upwards(
    UNIFIED,
    pathOf((controllers) => controllers === ''),
  ).map((group) => unifiedQuota(group, read))
  const limited = upwards(
    CPU,
    pathOf((controllers) => controllers.split(',').includes('cpu')),
  ).map((group) => cfsQuota(group, read))
  return Math.max(1, Math.min(cores, Math.floor(Math.min(...unified, ...limited))))
}

/** The folders of a group and of all above it, up to the root of its hierarchy. */
function upwards(root: string, path: string): readonly string[] {
  const folders = [root]
  for (let group = path; group !== '/' && group.startsWith('/'); group = dirname(group)) folders.push(join(root, group))
  return folders
}

/** v2: `QUOTA PERIOD`, and `max` where there is no limit. */
function unifiedQuota(group: string, read: ReadText): number {
  const [time, period] = (read(`${group}/cpu.max`) ?? '').trim().split(' ')
  return coresOf(time, period)
}

/** v1: a file each, and -1 where there is no limit. */
const cfsQuota = (group: string, read: ReadText): number =>
  coresOf(read(`${group}/cpu.cfs_quota_us`), read(`${group}/cpu.cfs_period_us`))

/** Cores' worth of time; Infinity without limit, and where it can't be read. */
function coresOf(time: string | null | undefined, period: string | null | undefined): number {
  const granted = Number(time ?? Number.NaN) / Number(period ?? Number.NaN)
  return granted > 0 ? granted : Number.POSITIVE_INFINITY
}
