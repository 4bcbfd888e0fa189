// What deploy/helm makes of the values in its ci/. Helm need not be everywhere where tests run, so what it printed is kept in
// test/deploy/rendered/, with a hash of the chart that it was printed from.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

export const ROOT = join(import.meta.dirname, '..', '..')
const CHART = join(ROOT, 'deploy', 'helm')

/** Files of deploy/helm/ci, without `-values.yaml`. */
export const EXAMPLES = ['ingress', 'sidecar'] as const
export type Example = (typeof EXAMPLES)[number]

/** Named by the environment, else on PATH. */
const HELM = process.env.HELM ?? 'helm'
export const hasHelm = (): boolean => spawnSync(HELM, ['version']).status === 0

export const helm = (...args: readonly string[]): string =>
  execFileSync(HELM, [...args, '--kube-version', '1.34.0'], { cwd: CHART, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

export const valuesOf = (example: Example): string => join(CHART, 'ci', `${example}-values.yaml`)
export const renderedFile = (example: Example): string => join(ROOT, 'test', 'deploy', 'rendered', `${example}.yaml`)

/** `more`: further arguments of `helm template`. */
export const render = (example: Example, ...more: readonly string[]): string =>
  helm('template', 'api', '.', '--namespace', 'edge', '--values', valuesOf(example), ...more)

/** Of all that the chart consists of, but for its page. */
function chartHash(): string {
  const names = readdirSync(CHART, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(CHART, name)).isFile())
  const hash = createHash('sha256')
  for (const name of names.filter((name) => name !== 'README.md').sort())
    hash.update(`${name}\0`).update(readFileSync(join(CHART, name)))
  return hash.digest('hex')
}

/** The first line of what is kept. */
export const stamp = (): string => `# Printed by npm run chart from deploy/helm as of ${chartHash()}.\n`
