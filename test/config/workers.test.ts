// `workers: auto` inside containers: cgroups v2 and v1, seen from inside and from outside their namespace.

import t from 'tap'
import { availableCores } from '../../src/config/workers.js'

const system = (files: Readonly<Record<string, string>>) => (path: string) => files[path] ?? null
const GROUPS = '/proc/self/cgroup'
const V2 = '/sys/fs/cgroup/cpu.max'
const QUOTA = '/sys/fs/cgroup/cpu/cpu.cfs_quota_us'
const PERIOD = '/sys/fs/cgroup/cpu/cpu.cfs_period_us'
const v1 = (path: string, quota: string) => ({
  [`/sys/fs/cgroup/cpu${path}/cpu.cfs_quota_us`]: `${quota}\n`,
  [`/sys/fs/cgroup/cpu${path}/cpu.cfs_period_us`]: '100000\n',
})

const ROWS: readonly (readonly [files: Record<string, string>, cores: number, why: string])[] = [
  [{}, 8, 'no cgroup'],
  [{ [V2]: 'max 100000\n' }, 8, 'v2 without limit'],
  [{ [V2]: '250000 100000\n' }, 2, 'v2, two and a half cores'],
  [{ [V2]: '150000 100000\n' }, 1, 'v2, a limit of 1500m'],
  [{ [V2]: '50000 100000\n' }, 1, 'v2, half a core'],
  [{ [V2]: '30000 10000\n' }, 3, 'v2, with another period'],
  [{ [V2]: '3200000 100000\n' }, 8, 'v2, more than there are'],
  [{ [V2]: '' }, 8, 'v2, unreadable'],
  [{ [GROUPS]: '0::/\n', [V2]: '400000 100000\n' }, 4, 'v2, its own group is the root'],
  [
    {
      [GROUPS]: '0::/system.slice/holdfast.service\n',
      '/sys/fs/cgroup/system.slice/holdfast.service/cpu.max': '200000 100000\n',
    },
    2,
    'v2, CPUQuota= of a service',
  ],
  [
    {
      [GROUPS]: '0::/kubepods.slice/pod.slice/box\n',
      '/sys/fs/cgroup/kubepods.slice/pod.slice/box/cpu.max': 'max 100000\n',
      '/sys/fs/cgroup/kubepods.slice/pod.slice/cpu.max': '300000 100000\n',
      '/sys/fs/cgroup/kubepods.slice/cpu.max': '600000 100000\n',
    },
    3,
    'v2, the limit of the pod holds for its containers',
  ],
  [{ [GROUPS]: '0::/../../other\n', [V2]: '200000 100000\n' }, 2, 'v2, a group outside of the namespace'],
  [{ [QUOTA]: '-1\n', [PERIOD]: '100000\n' }, 8, 'v1 without limit'],
  [{ [QUOTA]: '300000\n', [PERIOD]: '100000\n' }, 3, 'v1, three cores'],
  [{ [QUOTA]: '300000\n' }, 8, 'v1, unreadable'],
  [{ [GROUPS]: '4:cpu,cpuacct:/docker/1\n3:memory:/docker/1\n', ...v1('/docker/1', '200000') }, 2, 'v1, by its full name'],
  [
    { [GROUPS]: '4:cpuacct,cpu:/docker/1\n0::/\n', ...v1('', '200000') },
    2,
    'v1, named from outside, where its own group is mounted as the root',
  ],
  [{ [GROUPS]: '3:cpuset:/a\n2:cpuacct:/a\n1:cpu:/\n0::/\n', ...v1('/a', '100000') }, 8, 'v1, a group of another controller'],
  [{ [GROUPS]: 'nonsense\n\n', [V2]: '200000 100000\n' }, 2, 'groups that can not be read'],
]
for (const [files, cores, why] of ROWS) t.equal(availableCores(8, system(files)), cores, why)
t.equal(availableCores(2, system({ [V2]: '400000 100000\n' })), 2, 'a cpuset is in what Node counts')
t.ok(availableCores() >= 1, 'here')
