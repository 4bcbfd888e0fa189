// The image of the Dockerfile without an image builder: its last stage is carried out instruction by instruction, with the node that runs
// here, and started as a container runtime does it: process 1 of its own process table, on a read-only root, as the user it names.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { Owner } from './fleet.js'

export const ROOT = join(import.meta.dirname, '..', '..', '..')

/** Why it can't be had here; false: it can. */
export function whyNoImage(): string | false {
  if (process.platform !== 'linux') return 'an image is made of Linux programs'
  if (process.getuid?.() !== 0) return 'only root can mount a root file system'
  const missing = ['unshare', 'chroot', 'ldd', 'dpkg'].filter((name) => spawnSync(name, ['--version']).error !== undefined)
  if (missing.length > 0) return `not here: ${missing.join(', ')}`
  return spawnSync('unshare', ['--mount', '--pid', '--fork', 'true']).status === 0 ? false : 'namespaces are not permitted here'
}

export type Image = {
  /** Its root file system. */
  readonly root: string
  /** `uid:gid`. */
  readonly user: string
  /** Runs it with a folder as /etc/holdfast; `args` in place of its CMD. */
  run(config: string, args?: readonly string[]): ChildProcess
}

type Instruction = { readonly name: string; readonly value: string }

/** The instructions of the last stage. */
function lastStage(): readonly Instruction[] {
  const lines = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  const instructions = lines.map((line) => {
    const [name = '', ...rest] = line.split(' ')
    return { name, value: rest.join(' ') }
  })
  return instructions.slice(instructions.findLastIndex(({ name }) => name === 'FROM'))
}

/** What the build stage leaves at its paths. */
const BUILT: Readonly<Record<string, (to: string) => void>> = {
  '/root-fs': (to) => void execFileSync('sh', [join(ROOT, 'deploy/image/root.sh'), to, process.execPath], { stdio: 'pipe' }),
  '/build/package.json': (to) => cpSync(join(ROOT, 'package.json'), join(to, 'package.json')),
  '/build/node_modules': copyDependencies,
  '/build/dist/src': (to) => cpSync(join(ROOT, 'dist/src'), to, { recursive: true }),
}

/** Those that `npm prune --omit=dev` leaves, by the lock file. */
function copyDependencies(to: string): void {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean; readonly optional?: boolean }>>
  }
  for (const [path, { dev, devOptional, optional }] of Object.entries(packages)) {
    if (!/^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) || dev || devOptional || optional) continue
    const folder = join(to, path.slice('node_modules/'.length))
    mkdirSync(dirname(folder), { recursive: true })
    cpSync(join(ROOT, path), folder, { recursive: true })
  }
}

export function makeImage(t: Owner): Image {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-image-'))
  chmodSync(root, 0o755)
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  let workdir = '/'
  let user = ''
  let env: readonly string[] = []
  let entrypoint: readonly string[] = []
  let command: readonly string[] = []
  for (const { name, value } of lastStage()) {
    if (name === 'COPY') {
      const [, from = '', to = ''] = /^--from=build (\S+) (\S+)$/.exec(value) ?? []
      const copy = BUILT[from]
      if (copy === undefined) throw new Error(`the Dockerfile copies ${value}: say in test/support/image.ts what that is`)
      copy(join(root, to.startsWith('/') ? to : join(workdir, to)))
    } else if (name === 'WORKDIR') workdir = value
    else if (name === 'USER') user = value
    else if (name === 'ENV') env = value.split(' ')
    else if (name === 'ENTRYPOINT') entrypoint = JSON.parse(value)
    else if (name === 'CMD') command = JSON.parse(value)
    else if (name !== 'FROM' && name !== 'EXPOSE') throw new Error(`${name} is new in the Dockerfile: carry it out here`)
  }
  // What a runtime makes to mount upon.
  for (const folder of ['proc', 'dev', 'etc/holdfast']) mkdirSync(join(root, folder), { recursive: true })
  const mounts = `
    mount --bind "$ROOT" "$ROOT"
    mount -t proc proc "$ROOT/proc"
    mount --bind /dev "$ROOT/dev"
    mount --bind "$CONFIG" "$ROOT/etc/holdfast"
    mount -o remount,bind,ro "$ROOT/etc/holdfast"
    mount -o remount,bind,ro "$ROOT"
    exec env -i ${env.join(' ')} $(command -v chroot) --userspec=${user} --groups= "$ROOT" "$@"`
  return {
    root,
    user,
    run: (config, args = command) =>
      spawn(
        'unshare',
        ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-euc', mounts, basename(root), ...entrypoint, ...args],
        {
          env: { PATH: process.env.PATH, ROOT: root, CONFIG: config },
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      ),
  }
}
