// `holdfast probe URL --token-from CONFIG`: attacks a running deployment that the user owns, and reports what got through (contract
// §1). Reads what it needs, asks whether this is meant, runs the catalogue of src/probe/ and writes the reports. With --upstream, a backend
// (probe-upstream.ts).

import { resolve } from 'node:path'
import { type Credentials, openCredentials } from '../client/credentials.js'
import { type ClientSettings, readSettings } from '../client/settings.js'
import { type Attack, TOPICS } from '../probe/attack.js'
import type { BenchSettings } from '../probe/bench.js'
import { CATALOGUE } from '../probe/catalogue.js'
import { issuerKeys } from '../probe/issuer.js'
import { type Place, placeOf, watchAddress } from '../probe/place.js'
import { listOf } from '../probe/report-table.js'
import { ProbeError, runProbe } from '../probe/run.js'
import { UPSTREAM_CATALOGUE } from '../probe/upstream/catalogue.js'
import type { Command, Io } from './command.js'
import { PROBE_HELP, type ProbeArguments, readProbeArguments } from './probe-arguments.js'
import { bodyOf, confirmAddress, finish, judgeReportPlaces, openFiles, wrongUsage } from './probe-steps.js'
import { probeUpstream } from './probe-upstream.js'

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
    const catalogue = wanted.upstream === null ? CATALOGUE : UPSTREAM_CATALOGUE
    const unknown = wanted.words.find((word) => !Object.hasOwn(TOPICS, word) && !catalogue.some(({ id }) => id === word))
    if (unknown !== undefined) {
      io.err(`holdfast probe: no attack has the id or topic ${JSON.stringify(unknown)}`)
      io.err('try: holdfast probe --list')
      return 2
    }
    const isWanted = ({ id, topic }: Pick<Attack, 'id' | 'topic'>): boolean => wanted.takes(id, topic)
    if (wanted.isList) {
      for (const line of listOf(catalogue.filter(isWanted), io.terminal?.columns ?? 120)) io.out(line)
      return 0
    }
    if (!catalogue.some(isWanted)) {
      io.err('holdfast probe: --only and --skip leave no attack')
      io.err('try: holdfast probe --list')
      return 2
    }
    try {
      return await (wanted.upstream === null
        ? probeGateway(wanted, CATALOGUE.filter(isWanted), io)
        : probeUpstream(wanted, wanted.upstream, UPSTREAM_CATALOGUE.filter(isWanted), io))
    } catch (error) {
      if (!(error instanceof ProbeError)) throw error
      io.terminal?.progress(null)
      io.err(`holdfast probe: ${error.message}`)
      return 1
    }
  },
}

async function probeGateway(wanted: ProbeArguments, attacks: typeof CATALOGUE, io: Io): Promise<number> {
  const place = placeOf(wanted.url)
  if (typeof place === 'string') return wrongUsage(io, [place])
  const own = readClient(wanted.tokenFrom, place, io)
  const second = wanted.second === null ? null : readClient(wanted.second, place, io)
  if ('problems' in own) return wrongUsage(io, own.problems)
  if (second !== null && 'problems' in second) return wrongUsage(io, second.problems)
  const given = readGiven(wanted, io)
  if ('problems' in given) return wrongUsage(io, given.problems)

  const confirmed = await confirmAddress(wanted, place, attacks.length * REQUESTS_EACH + wanted.flood, io)
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

function readGiven(wanted: ProbeArguments, io: Io): Given | { readonly problems: readonly string[] } {
  const files = openFiles(io)
  const body = bodyOf(wanted, files)
  const wrongTokens = new Map(wanted.wrongTokens.map((file) => [file, files.textOf('--wrong-token', file).trim()]))
  judgeReportPlaces(wanted, files, io)
  return files.problems.length > 0 ? files : { body, wrongTokens }
}

/** Some attacks send one request, some up to twenty, and the right one is sent in between. */
const REQUESTS_EACH = 3

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
