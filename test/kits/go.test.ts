// The Go kit, as middleware of net/http. Built once: Go's own cache has what did not change.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, testKit } from './harness.js'

const BUILT = join(ROOT, 'node_modules', '.cache', 'holdfast', 'kits-go')

/** What is missing; null: both programs are built. */
function build(): string | null {
  if (spawnSync('go', ['version']).status !== 0) return 'go'
  mkdirSync(BUILT, { recursive: true })
  const { status, stderr } = spawnSync('go', ['build', '-o', BUILT, './run', './backend'], {
    cwd: join(ROOT, 'test', 'kits', 'go'),
    encoding: 'utf8',
  })
  if (status === 0) return null
  // Modules that can't be had are missing; anything else is wrong with the kit.
  if (/proxyconnect|dial tcp|no such host|i\/o timeout|module lookup disabled/.test(stderr))
    return 'go-jose, from the module proxy,'
  throw new Error(stderr)
}

testKit({
  name: 'the Go kit',
  missing: build(),
  runner: [join(BUILT, 'run')],
  backends: { 'net/http': [join(BUILT, 'backend')] },
})
