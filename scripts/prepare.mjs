// Makes a fresh clone ready: dependencies, compiled code and, with --redis, a real redis-server. Quiet and quick when all is there.
// Plain JavaScript without dependencies, because it runs before there are any.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const CACHE = join(ROOT, 'node_modules', '.cache', 'holdfast')
const say = (line) => process.stderr.write(`holdfast: ${line}\n`)

function fail(line) {
  say(line)
  process.exit(1)
}

/** Runs a program with its output on stderr; true when it ended well. */
function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2], ...options })
  return error === undefined && status === 0
}

/** The same, silent. */
const quietly = (command, args, options) => run(command, args, { stdio: 'ignore', ...options })

function installDependencies() {
  const lock = createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex')
  const stamp = join(CACHE, 'installed')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return
  say('installing dependencies (npm ci)')
  if (!run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']))
    fail('npm ci failed, see above; is the npm registry reachable?')
  // tap's plugins are compiled in once: ours leave its TypeScript plugin out, because tests are compiled before they run.
  if (!quietly(process.execPath, [join(ROOT, 'node_modules/tap/dist/esm/run.mjs'), 'build']))
    fail('the test runner could not be set up: try npx tap build')
  mkdirSync(CACHE, { recursive: true })
  writeFileSync(stamp, lock)
}

function compile() {
  if (!run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json']))
    fail('the code does not compile, see above')
}

const onPath = (name) =>
  (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file))

/** Where test/support/redis.ts looks for a redis-server that is not on PATH. */
const REDIS = join(CACHE, 'redis-server')

function findRedis() {
  if (onPath('redis-server') !== undefined || existsSync(REDIS)) return
  say('installing redis-server, which the tests run against')
  if (onPath('apt-get') === undefined)
    fail('redis-server was not found: install it (brew install redis, dnf install redis, ...) and try again')
  if (!(installAsRoot() && onPath('redis-server')) && !unpackRedis()) {
    fail('redis-server could not be installed: install the package redis-server yourself and try again')
  }
}

function installAsRoot() {
  const prefix =
    process.getuid?.() === 0 ? [] : onPath('sudo') !== undefined && quietly('sudo', ['-n', 'true']) ? ['sudo', '-n'] : null
  if (prefix === null) return false
  // A policy that forbids starting services, for this installation alone: the tests start servers of their own.
  const apt = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1', 'apt-get', '-qq', '-y', '-o', 'Dpkg::Use-Pty=0']
  const [command, ...args] = apt
  const install = () => quietly(command, [...args, '--no-install-recommends', 'install', 'redis-server'])
  return install() || (quietly(command, [...args, 'update']) && install())
}

/** Without root: the packages are downloaded and unpacked beside the dependencies. */
function unpackRedis() {
  const packages = [
    'redis-tools',
    'redis-server',
    'libjemalloc2',
    'liblua5.1-0',
    'liblzf1',
    'libatomic1',
    'libhiredis0.14',
    'lua-cjson',
    'lua-bitop',
  ]
  const folder = join(CACHE, 'redis')
  mkdirSync(folder, { recursive: true })
  const downloads = mkdtempSync(join(folder, 'download-'))
  for (const name of packages) quietly('apt-get', ['download', name], { cwd: downloads })
  for (const file of readdirSync(downloads)) quietly('dpkg-deb', ['-x', join(downloads, file), folder])
  rmSync(downloads, { recursive: true, force: true })
  const binary = join(folder, 'usr/bin/redis-server')
  if (!existsSync(binary)) return false
  const libraries = readdirSync(join(folder, 'usr/lib')).map((name) => join(folder, 'usr/lib', name))
  writeFileSync(REDIS, `#!/bin/sh\nLD_LIBRARY_PATH='${libraries.join(':')}' exec '${binary}' "$@"\n`)
  chmodSync(REDIS, 0o755)
  return quietly(REDIS, ['--version'])
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 18)) fail(`Node ${process.versions.node} is too old: 20.18.1 or newer is needed`)
installDependencies()
compile()
if (process.argv.includes('--redis')) findRedis()
