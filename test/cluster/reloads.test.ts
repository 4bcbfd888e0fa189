// When files are read again and what is told of it: what was refused for a reason that is not in the files is tried again, quietly.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createReloads, readNow, readOf } from '../../src/cluster/reloads.js'
import type { ReloadReport } from '../../src/metrics/registry.js'
import { writeMaterial } from '../config/material.js'
import { waitFor } from '../support/fleet.js'

const yaml = (watch: string, path: string): string => `version: 1
watch: ${watch}
listen: { tls: { key: certs/server.key, cert: certs/server.crt } }
public_origins: [https://api.example.com]
assertion: { key: certs/assertion.key }
upstreams: { cases: { url: https://cases.internal } }
routes: [{ path: ${path}, methods: [GET], tier: public, upstream: cases }]
`

/** `refusals`: why what is taken can't be, one after the other; then it can. */
async function start(t: Test, watch: string, refusals: readonly string[] = []) {
  const folder = t.testdir({})
  await writeMaterial(folder)
  const file = join(folder, 'routes.yaml')
  writeFileSync(file, yaml(watch, '/first'))
  const { loaded, recording } = readNow(file, {}, null)
  if (loaded.config === null) throw new Error('it has problems')
  const lines: string[] = []
  const say = (_: object, line: string): void => void lines.push(line)
  const told: ReloadReport[] = []
  const taken: string[] = []
  const left = [...refusals]
  const reloads = createReloads({
    first: readOf(loaded.config, recording),
    read: (running) => readNow(file, {}, running),
    take: async ({ config }) => {
      taken.push(config.routes.map(({ path }) => path).join())
      return left.shift() ?? null
    },
    tell: async (report) => void told.push(report),
    log: { info: say, warn: say, error: say },
    again: 0.2,
  })
  t.teardown(() => reloads.stop())
  return { file, reloads, lines, told, taken }
}

t.test('what was refused for a reason that is not in the files is tried again, and said once', async (t) => {
  const { file, reloads, lines, told, taken } = await start(t, '100ms', ['no memory', 'no memory', 'no memory', 'no room'])
  writeFileSync(file, yaml('100ms', '/second'))
  await waitFor('it is taken', () => reloads.report().taken === 1)
  t.same(taken, Array(5).fill('/second'))
  t.same(lines, ['no memory', 'no room', 'reloaded'], 'what is no news is not said again')
  t.match(reloads.report(), { taken: 1, refused: 2, problem: null })
  t.equal(reloads.current().config.routes[0]?.path, '/second')
  t.equal(told.length, 5, 'whoever took it is told to take it back, each time')
})

t.test('a file with problems: said once, with its line, however often it is looked at', async (t) => {
  const { file, reloads, lines, taken } = await start(t, '100ms')
  writeFileSync(file, yaml('100ms', 'second'))
  await waitFor('it is refused', () => reloads.report().problem !== null)
  t.match(reloads.report().problem, /^reload: 1 problem\(s\) .*routes\.yaml:7:18 routes\.0\.path: .*; the old one serves on$/)
  t.equal(lines.length, 2)
  writeFileSync(file, yaml('100ms', '/first'))
  await waitFor('the old one is back', () => reloads.report().problem === null)
  t.same(taken, ['/first'])
  t.equal(lines.at(-1), 'reloaded')
})

t.test('with `watch: off` nothing is read but at SIGHUP, and `watch` itself can be changed so', async (t) => {
  const { file, reloads, taken } = await start(t, 'off')
  writeFileSync(file, yaml('100ms', '/second'))
  process.kill(process.pid, 'SIGHUP')
  await waitFor('it is taken', () => reloads.report().taken === 1)
  t.same(taken, ['/second'])
  writeFileSync(file, yaml('100ms', '/third'))
  await waitFor('it is watched from then on', () => taken.includes('/third'))
})
