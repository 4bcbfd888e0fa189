// What every probe does before it sends anything, and after it sent everything: files are read, somebody says that this is meant, reports are
// written.

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isProblem, type Report, SEVERITIES } from '../probe/attack.js'
import { addressesOf, type Place } from '../probe/place.js'
import { htmlOf } from '../probe/report-html.js'
import { jsonOf, summaryOf } from '../probe/report-json.js'
import { junitOf } from '../probe/report-junit.js'
import { tableOf } from '../probe/report-table.js'
import { type Io, VERSION } from './command.js'
import type { ProbeArguments } from './probe-arguments.js'

/** Reads files that options name; what can't be read stands in `problems`. */
export type Files = { readonly problems: string[]; textOf(option: string, file: string): string }

export function openFiles({ cwd }: Io): Files {
  const problems: string[] = []
  return {
    problems,
    textOf(option, file) {
      try {
        return readFileSync(resolve(cwd, file), 'utf8')
      } catch {
        problems.push(`${option} ${file}: cannot be read`)
        return ''
      }
    },
  }
}

/** The body of the right request. */
export function bodyOf({ data, method }: ProbeArguments, files: Files): Buffer | null {
  if (data === null) return method === 'GET' || method === 'HEAD' ? null : Buffer.alloc(0)
  return Buffer.from(data.startsWith('@') ? files.textOf('--data', data.slice(1)) : data)
}

/** The places of the reports must be there before anything is sent. */
export function judgeReportPlaces(wanted: ProbeArguments, { problems }: Files, { cwd }: Io): void {
  for (const option of ['json', 'junit', 'html'] as const) {
    const file = wanted[option]
    if (file === null || file === '-') continue
    const path = resolve(cwd, file)
    if (!existsSync(dirname(path))) problems.push(`--${option} ${file}: there is no such folder`)
    else if (existsSync(path) && statSync(path).isDirectory()) problems.push(`--${option} ${file}: is a folder`)
  }
}

export function wrongUsage(io: Io, lines: readonly string[]): number {
  for (const line of lines) io.err(line)
  return 2
}

/** The address that all connections go to, or why there is none: it is another one, or nobody said yes. `requests`: about how many. */
export async function confirmAddress(
  { address: given, isSure }: Pick<ProbeArguments, 'address' | 'isSure'>,
  { hostname, origin }: Place,
  requests: number,
  io: Io,
): Promise<{ readonly address: string } | { readonly problem: string }> {
  const addresses = await addressesOf(hostname)
  const [first = ''] = addresses
  if (given !== null && !addresses.includes(given))
    return { problem: `${hostname} is at ${addresses.join(', ')}, not at ${given}` }
  const address = given ?? first
  if (isSure) return { address }
  if (io.terminal === undefined) return { problem: 'nobody is there to confirm it; say --yes if this deployment is yours' }
  io.err(`This sends about ${requests} requests, most of them attacks, to ${origin} at ${address}.`)
  io.err('Only probe what is yours, or what its owner asked you to probe.')
  const answer = await io.terminal.ask(`Type its host name to go on (${hostname}): `)
  return answer.trim().toLowerCase() === hostname ? { address } : { problem: 'not confirmed' }
}

/** Writes the reports. Exit code 1: something is as bad as `--fail-on`, or nothing is known at all, which no pipeline may take for good. */
export function finish(wanted: ProbeArguments, report: Report, io: Io): number {
  const writers = [
    [wanted.json, jsonOf],
    [wanted.junit, junitOf],
    [wanted.html, htmlOf],
  ] as const
  const toStdout = writers.some(([file]) => file === '-')
  for (const line of tableOf(report, { isVerbose: wanted.isVerbose, columns: io.terminal?.columns ?? 120 }))
    (toStdout ? io.err : io.out)(line)
  for (const [file, write] of writers) {
    if (file === '-') io.out(write(report, { version: VERSION }).trimEnd())
    else if (file !== null) writeFileSync(resolve(io.cwd, file), write(report, { version: VERSION }))
  }
  const worst = SEVERITIES.indexOf(wanted.failOn)
  const failing = report.findings.some((finding) => isProblem(finding) && SEVERITIES.indexOf(finding.attack.severity) <= worst)
  return failing || !isConclusive(report) ? 1 : 0
}

function isConclusive(report: Report): boolean {
  const { held, through, wrong, broke } = summaryOf(report).counts
  return held + through + wrong + broke > 0
}
