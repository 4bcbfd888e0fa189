// What was measured, and on what: for whoever reads the figures later.
import { spawnSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'

export type Machine = {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly kernel: string
  /** Program and version; of ours, the node that runs the benchmark. */
  readonly versions: Readonly<Record<string, string>>
}

const VERSIONS: Readonly<Record<string, readonly [command: string, args: readonly string[], pattern: RegExp]>> = {
  nginx: ['nginx', ['-v'], /nginx\/(\S+)/],
  haproxy: ['haproxy', ['-v'], /version (\S+)/],
  Apache: ['apache2', ['-v'], /Apache\/(\S+)/],
  mod_oauth2: ['dpkg-query', ['-W', 'libapache2-mod-oauth2'], /\t(\S+)/],
  Redis: ['redis-server', ['--version'], /v=(\S+)/],
  wrk: ['wrk', ['-v'], /wrk (?:debian\/)?(\S+)/],
  // Of all but node, which brings its own.
  'system OpenSSL': ['openssl', ['version'], /OpenSSL (\S+)/],
}

export function readMachine(): Machine {
  const versions: Record<string, string> = { Node: process.versions.node, OpenSSL: process.versions.openssl }
  for (const [name, [command, args, pattern]] of Object.entries(VERSIONS)) {
    const { stdout, stderr } = spawnSync(command, [...args], { encoding: 'utf8' })
    const version = pattern.exec(`${stdout ?? ''}${stderr ?? ''}`)?.[1]
    if (version !== undefined) versions[name] = version
  }
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 1e9),
    kernel: release(),
    versions,
  }
}
