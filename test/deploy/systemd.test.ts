// The unit of deploy/systemd: what systemd itself says of it, and how long it waits for a gateway that drains.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const UNIT = join(import.meta.dirname, '..', '..', '..', 'deploy', 'systemd', 'holdfast.service')
const analyse = (...args: readonly string[]) => spawnSync('systemd-analyze', [...args, UNIT], { encoding: 'utf8' })
const isOld = !/^systemd (2[5-9]\d|[3-9]\d\d)/.test(
  spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' }).stdout ?? '',
)
const skip = isOld ? 'systemd-analyze 250 or newer is not here' : false

t.test(
  'systemd takes every line of it',
  { skip: skip || (existsSync('/usr/bin/node') ? false : 'no /usr/bin/node') },
  async (t) => {
    const { status, stderr } = analyse('verify', '--man=no')
    t.equal(status, 0)
    t.notMatch(stderr, /holdfast\.service/)
  },
)

t.test('it is exposed less than 1.5 of 10', { skip }, async (t) => {
  const { status, stdout, stderr } = analyse('security', '--offline=yes', '--threshold=15')
  t.equal(status, 0, stdout + stderr)
})

t.test('it waits longer than a gateway drains by default', async (t) => {
  const [, seconds] = /^TimeoutStopSec=(\d+)$/m.exec(readFileSync(UNIT, 'utf8')) ?? []
  t.ok(Number(seconds) >= 30 + 15)
  t.match(readFileSync(UNIT, 'utf8'), /^KillMode=mixed$/m, 'the primary ends its workers: they get no signal beside that')
})
