// `workers: auto` inside containers: cgroups v2 and v1.

import t from 'tap'
import { availableCores } from '../../src/config/workers.js'

const system = (files: Readonly<Record<string, string>>) => (path: string) => files[path] ?? null
const V2 = '/sys/fs/cgroup/cpu.max'
const QUOTA = '/sys/fs/cgroup/cpu/cpu.cfs_quota_us'
const PERIOD = '/sys/fs/cgroup/cpu/cpu.cfs_period_us'

const ROWS: readonly (readonly [files: Record<string, string>, cores: number, why: string])[] = [
  [{}, 8, 'no cgroup'],
  [{ [V2]: 'max 100000\n' }, 8, 'v2 without limit'],
  [{ [V2]: '250000 100000\n' }, 2, 'v2, two and a half cores'],
  [{ [V2]: '50000 100000\n' }, 1, 'v2, half a core'],
  [{ [V2]: '3200000 100000\n' }, 8, 'v2, more than there are'],
  [{ [V2]: '' }, 8, 'v2, unreadable'],
  [{ [QUOTA]: '-1\n', [PERIOD]: '100000\n' }, 8, 'v1 without limit'],
  [{ [QUOTA]: '300000\n', [PERIOD]: '100000\n' }, 3, 'v1, three cores'],
  [{ [QUOTA]: '300000\n' }, 8, 'v1, unreadable'],
]
for (const [files, cores, why] of ROWS) t.equal(availableCores(8, system(files)), cores, why)
t.ok(availableCores() >= 1, 'here')
