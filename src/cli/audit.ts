// `holdfast audit`: is a log whole (`verify`), and what does it say of one request, subject or client (`export`)? Reads files alone;
// what makes them evidence is audit/chain.ts, and what is found out about them is audit/evidence.ts.

import { createReadStream, readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Evidence, type Finding, type PublishedKey } from '../audit/evidence.js'
import { loadConfig } from '../config/load.js'
import { formatProblem } from '../config/problems.js'
import { codeOf } from '../config/source.js'
import { loadSigningKeys } from '../keys/signing.js'
import type { Bytes } from '../verify/scalars.js'
import type { Command, Io } from './command.js'

const HELP = `holdfast audit verify [--config routes.yaml | --jwks FILE ...] [--running] FILE... | --stream
holdfast audit export [--request ID] [--subject SUB] [--client ID] [--since TIME] [--until TIME]
                      [--config routes.yaml | --jwks FILE ...] [--running] FILE... | --stream

Reads files of the audit log of one gateway, in whatever order: those of all workers, and those that rotation put aside. Or the Redis
streams (\`audit.stream\`) of all gateways: a line is then an entry of the stream, counted from its oldest.

  verify     says where lines were removed, put in, changed, moved or cut off, and which were never signed
  export     prints the lines of what is asked for, all that is asked at once, as they stand; what \`verify\` finds goes to stderr

  --config   the keys that checkpoints are signed with are those of this configuration (default: routes.yaml)
  --jwks     or those of a JWK set, as /.well-known/jwks.json of the admin listener has it; keep one of each key that ever signed
  --stream   the streams in the Redis of \`audit.stream\` in --config
  --running  the gateway runs, or was killed, so that the newest file of each worker need not end with its signature
  --request  the request id that the client was told, and the upstream
  --since    RFC 3339 times, such as 2026-03-31T12:00:00Z: events of then or later; --until: before then
  --help     this text

A log that is cut off exactly behind a checkpoint, while the gateway runs, looks like one that goes on no further: its copies elsewhere
tell (docs/evidence.md).

Exit code: 0 whole, 1 not, for what is said, 2 wrong usage.
`

export const audit: Command = {
  name: 'audit',
  summary: 'verify the audit log, and export what it says of a request, subject or client',
  help: HELP,
  run: async (args, io) => {
    const wanted = readArguments(args)
    if (typeof wanted === 'string') {
      io.err(`holdfast audit: ${wanted}`)
      io.err('try: holdfast audit --help')
      return 2
    }
    const keys = readKeys(wanted, io)
    if (keys === null) return 1
    const evidence = new Evidence({ keys, isRunning: wanted.running })
    const isWanted = wanted.step === 'export' ? filterOf(wanted.filter) : () => false
    const reading = { evidence, isWanted, io }
    if (!(await (wanted.stream ? readStreamsOf(wanted.config, reading) : readAll(wanted.files, reading)))) return 1
    return report(evidence.end(), wanted.step, io)
  },
}

type Filter = {
  readonly request?: string
  readonly subject?: string
  readonly client?: string
  readonly since?: string
  readonly until?: string
}
type Wanted = {
  readonly step: 'verify' | 'export'
  readonly files: readonly string[]
  readonly config: string
  readonly jwks: readonly string[]
  readonly running: boolean
  readonly stream: boolean
  readonly filter: Filter
}

const OPTIONS = {
  config: { type: 'string' },
  jwks: { type: 'string', multiple: true },
  running: { type: 'boolean' },
  stream: { type: 'boolean' },
  request: { type: 'string' },
  subject: { type: 'string' },
  client: { type: 'string' },
  since: { type: 'string' },
  until: { type: 'string' },
} as const

/** A string: what is wrong. */
function readArguments(args: readonly string[]): Wanted | string {
  try {
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS })
    const { config = 'routes.yaml', jwks = [], running = false, stream = false, ...filter } = values
    const [step, ...files] = positionals
    if (step !== 'verify' && step !== 'export') return 'expected verify or export'
    if ((files.length === 0) !== stream) return `${step} expects the files of the log, or --stream`
    if (step === 'verify' && Object.keys(filter).length > 0) return 'verify reads whole files: leave the filter out'
    const unread = [filter.since, filter.until].find((time) => time !== undefined && Number.isNaN(Date.parse(time)))
    return unread === undefined
      ? { step, files, config, jwks, running, stream, filter }
      : 'expected a time such as 2026-03-31T12:00:00Z'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** The public keys; null: it was said why there are none. */
function readKeys({ jwks, config }: Wanted, io: Io): readonly PublishedKey[] | null {
  if (jwks.length === 0) {
    const loaded = loadConfig(resolve(io.cwd, config), io.env)
    if (loaded.config !== null) return loadSigningKeys(loaded.config.assertion.keys).jwks.keys
    for (const problem of loaded.problems) io.err(formatProblem(problem))
    io.err('holdfast audit: give the keys that checkpoints are signed with: --config routes.yaml, or --jwks FILE')
    return null
  }
  const keys: PublishedKey[] = []
  for (const file of jwks) {
    try {
      const set = JSON.parse(readFileSync(resolve(io.cwd, file), 'utf8')) as { keys?: unknown }
      if (!Array.isArray(set.keys)) throw new Error('it is no JWK set')
      keys.push(...(set.keys as PublishedKey[]))
    } catch (error) {
      io.err(`holdfast audit: ${file} can't be read (${codeOf(error)}): give a JWK set, such as the admin listener publishes`)
      return null
    }
  }
  return keys
}

type Event = { readonly [member: string]: unknown }

function filterOf({ request, subject, client, since, until }: Filter): (event: Event) => boolean {
  const from = since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(since)
  const to = until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until)
  const hasTime = since !== undefined || until !== undefined
  // The outcome of a request names neither subject nor client: it is found by the request that they made.
  const requests = new Set<unknown>()
  return (event) => {
    const time = Date.parse(String(event.time))
    if (hasTime && !(time >= from && time < to)) return false
    if (request !== undefined && event.request_id !== request) return false
    const isTheirs = (subject === undefined || event.subject === subject) && (client === undefined || event.client_id === client)
    if (isTheirs && event.request_id !== undefined) requests.add(event.request_id)
    return isTheirs || (event.event_type === 'request_outcome' && requests.has(event.request_id))
  }
}

type Reading = { readonly evidence: Evidence; readonly isWanted: (event: Event) => boolean; readonly io: Io }

/** False: it was said which file can't be read. */
async function readAll(files: readonly string[], { evidence, isWanted, io }: Reading): Promise<boolean> {
  let done: Bytes = 0
  const all = files.reduce((sum, file) => sum + (statSync(resolve(io.cwd, file), { throwIfNoEntry: false })?.size ?? 0), 0)
  for (const file of files) {
    evidence.begin(file)
    let shown = 0
    try {
      for await (const line of linesOf(resolve(io.cwd, file))) {
        const event = evidence.take(line)
        if (event !== null && isWanted(event)) io.out(Buffer.from(line).toString('utf8').trimEnd())
        done += line.length
        shown += line.length
        if (shown < SHOW_EVERY) continue
        shown = 0
        io.terminal?.progress(`${file}: ${Math.floor((100 * done) / all)} %`)
      }
    } catch (error) {
      io.terminal?.progress(null)
      io.err(`holdfast audit: ${file} can't be read (${codeOf(error)})`)
      return false
    }
  }
  io.terminal?.progress(null)
  return true
}

/** False: it was said why they can't be read. */
async function readStreamsOf(config: string, { evidence, isWanted, io }: Reading): Promise<boolean> {
  const { config: loaded, problems } = loadConfig(resolve(io.cwd, config), io.env)
  const redis = loaded?.audit.stream?.redis
  if (redis === undefined) {
    for (const problem of problems) io.err(formatProblem(problem))
    io.err(`holdfast audit: ${config} names no audit.stream, whose Redis would be asked`)
    return false
  }
  const { readStreams } = await import('../audit/stream.js')
  try {
    for await (const { stream, lines } of readStreams(redis)) {
      evidence.begin(stream, { isStream: true })
      let count = 0
      for await (const line of lines) {
        const event = evidence.take(line)
        if (event !== null && isWanted(event)) io.out(Buffer.from(line).toString('utf8').trimEnd())
        count += 1
        if (count % SHOW_EVERY_ENTRIES === 0) io.terminal?.progress(`${stream}: ${count} entries`)
      }
    }
    return true
  } catch (error) {
    io.err(`holdfast audit: the streams can't be read: ${error instanceof Error ? error.message : String(error)}`)
    return false
  } finally {
    io.terminal?.progress(null)
  }
}

const SHOW_EVERY_ENTRIES = 5000
const SHOW_EVERY: Bytes = 4 * 1024 * 1024
const NEWLINE = 0x0a

/** Lines with their newlines, as bytes: what is hashed is what stands there. */
async function* linesOf(file: string): AsyncGenerator<Uint8Array> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) {
    rest = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer])
    let from = 0
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE, from)) {
      yield rest.subarray(from, end + 1)
      from = end + 1
    }
    rest = rest.subarray(from)
  }
  if (rest.length > 0) yield rest
}

function report({ findings, files }: ReturnType<Evidence['end']>, step: Wanted['step'], io: Io): number {
  // What `export` prints is for a file or a pipe.
  const say = step === 'verify' ? io.out : io.err
  const print = ({ file, line, kind, text }: Finding): string => `${file}:${line}: ${kind === 'note' ? 'note: ' : ''}${text}`
  for (const finding of findings) (finding.kind === 'problem' ? io.err : say)(print(finding))
  if (step === 'verify')
    for (const { file, events, checkpoints, from, to } of files)
      say(`${file}: ${events} events, ${checkpoints} checkpoints${from === null ? '' : `, ${from} to ${to}`}`)
  const problems = findings.filter(({ kind }) => kind === 'problem').length
  say(
    problems === 0
      ? 'whole: every event is where the gateway wrote it'
      : `not whole: ${problems} problem${problems === 1 ? '' : 's'}`,
  )
  return problems === 0 ? 0 : 1
}
