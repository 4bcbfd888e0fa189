// `holdfast probe URL --token-from CONFIG`: attacks a running deployment that the user owns, and reports what got through (contract
// §1). Reads what it needs, asks whether this is meant, runs the catalogue of src/probe/ and writes the reports.

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Credentials, openCredentials } from '../client/credentials.js'
import { type ClientSettings, readSettings } from '../client/settings.js'
import { isProblem, type Report, SEVERITIES, TOPICS } from '../probe/attack.js'
import type { BenchSettings } from '../probe/bench.js'
import { CATALOGUE } from '../probe/catalogue.js'
import { issuerKeys } from '../probe/issuer.js'
import { addressesOf, type Place, placeOf, watchAddress } from '../probe/place.js'
import { htmlOf } from '../probe/report-html.js'
import { jsonOf, summaryOf } from '../probe/report-json.js'
import { junitOf } from '../probe/report-junit.js'
import { listOf, tableOf } from '../probe/report-table.js'
import { ProbeError, runProbe } from '../probe/run.js'
import { type Command, type Io, VERSION } from './command.js'
import { PROBE_HELP, type ProbeArguments, readProbeArguments } from './probe-arguments.js'

export const probe: Command = {
  name: 'probe',
  summary: 'attack a running deployment with every known wrong request',
  help: PROBE_HELP,
  async run(args, io) {
    const wanted = readProbeArguments(args)
    if (typeof wanted === 'string') {
      io.err(`holdfast probe: ${wanted}`)
      io.err('try: holdfast probe --help')
      return 2
    }
    const unknown = wanted.words.find((word) => !Object.hasOwn(TOPICS, word) && !CATALOGUE.some(({ id }) => id === word))
    if (unknown !== undefined) {
      io.err(`holdfast probe: no attack has the id or topic ${JSON.stringify(unknown)}`)
      io.err('try: holdfast probe --list')
      return 2
    }
    const attacks = CATALOGUE.filter(({ id, topic }) => wanted.takes(id, topic))
    if (wanted.isList) {
      for (const line of listOf(attacks, io.terminal?.columns ?? 120)) io.out(line)
      return 0
    }
    if (attacks.length === 0) {
      io.err('holdfast probe: --only and --skip leave no attack')
      io.err('try: holdfast probe --list')
      return 2
    }
    try {
      return await attack(wanted, attacks, io)
    } catch (error) {
      if (!(error instanceof ProbeError)) throw error
      io.terminal?.progress(null)
      io.err(`holdfast probe: ${error.message}`)
      return 1
    }
  },
}

async function attack(wanted: ProbeArguments, attacks: typeof CATALOGUE, io: Io): Promise<number> {
  const place = placeOf(wanted.url)
  if (typeof place === 'string') return wrongUsage(io, [place])
  const own = readClient(wanted.tokenFrom, place, io)
  const second = wanted.second === null ? null : readClient(wanted.second, place, io)
  if ('problems' in own) return wrongUsage(io, own.problems)
  if (second !== null && 'problems' in second) return wrongUsage(io, second.problems)
  const given = readGiven(wanted, io)
  if ('problems' in given) return wrongUsage(io, given.problems)

  const confirmed = await confirmAddress(wanted, place, attacks.length, io)
  if ('problem' in confirmed) return wrongUsage(io, [`holdfast probe: ${confirmed.problem}: nothing was sent`])
  const { address } = confirmed
  const credentials = openCredentials(own)
  const others = second && openCredentials(second)
  try {
    const keys = await issuerKeys((await credentials.tokens.current()).text, credentials.issuerAgent)
    const holders = {
      address,
      own,
      credentials,
      issuerKeys: keys,
      second: second && others && { settings: second, credentials: others },
    }
    const report = await runProbe({
      settings: benchSettings(wanted, place, holders, given),
      attacks,
      report: ({ done, of, title }) => io.terminal?.progress(`${done + 1}/${of} ${title}`),
      stillThere: watchAddress(place.hostname, address),
    })
    io.terminal?.progress(null)
    return finish(wanted, report, io)
  } finally {
    await Promise.all([credentials.close(), others?.close()])
  }
}

function wrongUsage(io: Io, lines: readonly string[]): number {
  for (const line of lines) io.err(line)
  return 2
}

/** The client file, and whether it is one for this place: its token goes nowhere else. */
function readClient(file: string, { origin }: Place, io: Io): ClientSettings | { readonly problems: readonly string[] } {
  const settings = readSettings(resolve(io.cwd, file))
  if ('problems' in settings || settings.gateway === origin) return settings
  return {
    problems: [
      `${file}: gateway is ${settings.gateway}, and the URL is of ${origin}; a token is only sent to the gateway that its file names`,
    ],
  }
}

type Given = { readonly body: Buffer | null; readonly wrongTokens: ReadonlyMap<string, string> }

/** What the options name by file, read before anything is sent; and the places of the reports, which must be there. */
function readGiven(wanted: ProbeArguments, io: Io): Given | { readonly problems: readonly string[] } {
  const problems: string[] = []
  const textOf = (option: string, file: string): string => {
    try {
      return readFileSync(resolve(io.cwd, file), 'utf8')
    } catch {
      problems.push(`${option} ${file}: cannot be read`)
      return ''
    }
  }
  const body = bodyOf(wanted, (file) => textOf('--data', file))
  const wrongTokens = new Map(wanted.wrongTokens.map((file) => [file, textOf('--wrong-token', file).trim()]))
  for (const option of ['json', 'junit', 'html'] as const) {
    const file = wanted[option]
    if (file === null || file === '-') continue
    const path = resolve(io.cwd, file)
    if (!existsSync(dirname(path))) problems.push(`--${option} ${file}: there is no such folder`)
    else if (existsSync(path) && statSync(path).isDirectory()) problems.push(`--${option} ${file}: is a folder`)
  }
  return problems.length > 0 ? { problems } : { body, wrongTokens }
}

function bodyOf({ data, method }: ProbeArguments, read: (file: string) => string): Buffer | null {
  if (data === null) return method === 'GET' || method === 'HEAD' ? null : Buffer.alloc(0)
  return Buffer.from(data.startsWith('@') ? read(data.slice(1)) : data)
}

/** Some attacks send one request, some up to twenty, and the right one is sent in between. */
const REQUESTS_EACH = 3

/** The address that all connections go to, or why there is none: it is another one, or nobody said yes. */
async function confirmAddress(
  wanted: ProbeArguments,
  { hostname, origin }: Place,
  count: number,
  io: Io,
): Promise<{ readonly address: string } | { readonly problem: string }> {
  const addresses = await addressesOf(hostname)
  const [first = ''] = addresses
  if (wanted.address !== null && !addresses.includes(wanted.address)) {
    return { problem: `${hostname} is at ${addresses.join(', ')}, not at ${wanted.address}` }
  }
  const address = wanted.address ?? first
  if (wanted.isSure) return { address }
  if (io.terminal === undefined) return { problem: 'nobody is there to confirm it; say --yes if this deployment is yours' }
  io.err(`This sends about ${count * REQUESTS_EACH + wanted.flood} requests, most of them attacks, to ${origin} at ${address}.`)
  io.err('Only probe what is yours, or what its owner asked you to probe.')
  const answer = await io.terminal.ask(`Type its host name to go on (${hostname}): `)
  return answer.trim().toLowerCase() === hostname ? { address } : { problem: 'not confirmed' }
}

type Holders = {
  readonly address: string
  readonly issuerKeys: BenchSettings['issuerKeys']
  readonly own: ClientSettings
  readonly credentials: Credentials
  readonly second: { readonly settings: ClientSettings; readonly credentials: Credentials } | null
}

function benchSettings(
  wanted: ProbeArguments,
  place: Place,
  { address, own, credentials, issuerKeys, second }: Holders,
  { body, wrongTokens }: Given,
): BenchSettings {
  const { hostname, port, origin, host, path } = place
  const routeOf = ({ tls }: ClientSettings) => ({
    address,
    port,
    hostname,
    ca: tls.ca,
    own: tls.cert === null || tls.key === null ? null : { cert: tls.cert, key: tls.key },
  })
  return {
    route: routeOf(own),
    origin,
    host,
    method: wanted.method,
    path,
    body,
    headers: wanted.headers,
    credentials,
    second: second && { credentials: second.credentials, route: routeOf(second.settings) },
    protocol: wanted.protocol,
    grantedStatuses: new Set(wanted.granted),
    echoes: wanted.echoes,
    issuerKeys,
    wrongTokens,
    rate: wanted.rate,
    flood: wanted.flood,
    isPatient: wanted.isPatient,
  }
}

/** Writes the reports. Exit code 1: something is as bad as `--fail-on`, or nothing is known at all, which no pipeline may take for good. */
function finish(wanted: ProbeArguments, report: Report, io: Io): number {
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
