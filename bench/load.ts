// Load by wrk with requests that were signed before the run, each sent once, and what the server's processes used for them.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Pids, usedBy, watch } from './resources.js'

/** What one load of one server came to. */
export type LoadSample = {
  /** Requests that were answered. */
  readonly answered: number
  /** CPU microseconds of the server's processes for each request. */
  readonly cpu: number
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Resident memory of the server's processes at its peak, in MB. */
  readonly rss: number
  /** Share of one core that the generator used. */
  readonly generator: number
}

/** Names and values of one request, beside Host. */
export type RequestHeaders = Readonly<Record<string, string>>

export type Load = {
  readonly url: string
  /** Where the generator's files go. */
  readonly folder: string
  readonly method?: string
  readonly body?: string
  /** One for each request; empty: plain requests without end. */
  readonly requests: readonly RequestHeaders[]
  /** From the first again when all were sent; else each is sent once, and the load ends with the last. */
  readonly repeats?: boolean
  /** Headers that every request has. */
  readonly headers?: RequestHeaders
  readonly seconds: number
  readonly connections: number
  /** The one status that answers must have; any other fails the run, because it would measure something else. */
  readonly expect: number
  /** The server's process; several, where one request is served by all of them. */
  readonly pid: Pids
}

export const hasWrk = (): boolean => (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'wrk')))

/** Runs one load and measures it. */
export async function measure(load: Load): Promise<LoadSample> {
  const { url, folder, requests, seconds, connections, pid } = load
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 'requests.txt')
  const script = join(folder, 'load.lua')
  const lines = requests.map((headers) => Object.entries(headers).map(([name, value]) => `${name}: ${value}`))
  writeFileSync(file, lines.map((line) => line.join('\t')).join('\n'))
  writeFileSync(script, luaScript(file, load))
  const wrk = ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', script, url]
  const { output, cpu, rss, generator } = await underLoad(pid, 'wrk', wrk)
  rmSync(folder, { recursive: true })
  const found = /RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)/.exec(output)
  if (found === null) throw new Error(`wrk said nothing to count: ${output}`)
  const [answered = 0, micros = 0, p50 = 0, p99 = 0, unexpected = 0, status] = found.slice(1).map(Number)
  if (answered === 0 || unexpected > 0)
    throw new Error(
      `${url}: ${unexpected} of ${answered} answers were not ${load.expect} but ${status || 'a broken connection'}: this would measure something else`,
    )
  const rates = { cpu: (cpu * 1e6) / answered, perSecond: (answered * 1e6) / micros }
  return { answered, ...rates, p50: p50 / 1000, p99: p99 / 1000, rss, generator }
}

export type UnderLoad = Pick<LoadSample, 'rss' | 'generator'> & {
  /** What the generator printed. */
  readonly output: string
  /** CPU seconds of the server's processes. */
  readonly cpu: number
}

/** Runs a generator, and says what the server used meanwhile. */
export async function underLoad(pid: Pids, command: string, args: readonly string[]): Promise<UnderLoad> {
  const before = usedBy(pid).cpu
  let watching: ReturnType<typeof watch> | undefined
  try {
    const output = await outputOf(command, args, (generator) => {
      watching = watch(pid, generator)
    })
    const cpu = usedBy(pid).cpu - before
    return { output, cpu, rss: (watching?.stop().rss ?? 0) / 1e6, generator: watching?.stop().generator ?? 0 }
  } finally {
    watching?.stop()
  }
}

/** What a program prints; rejects when it fails. */
export function outputOf(command: string, args: readonly string[], onStart?: (pid: number) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    if (child.pid !== undefined) onStart?.(child.pid)
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
    })
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`${command} ended with ${code}: ${output}`))))
  })
}

const lua = (text: string): string => JSON.stringify(text)

/** When requests that are sent once run out, none is sent again: the load ends early, and its duration says so. */
const luaScript = (file: string, { expect, method = 'GET', body, headers = {}, repeats = false }: Load): string => `
local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds; long micros; } moment; int gettimeofday(moment *, void *);")
local moment = ffi.new("moment")
local function now()
  ffi.C.gettimeofday(moment, nil)
  return tonumber(moment.seconds) * 1e6 + tonumber(moment.micros)
end
local requests, at, plain, over = {}, 0, nil, false
unexpected, last, started, lasted = 0, 0, 0, 0
local body = ${body === undefined ? 'nil' : lua(body)}
local function format(line)
  local headers = { ["Host"] = wrk.headers["Host"]${Object.entries(headers)
    .map(([name, value]) => `, [${lua(name)}] = ${lua(value)}`)
    .join('')} }
  for name, value in line:gmatch("([^\\t:]+): ([^\\t]+)") do headers[name] = value end
  return wrk.format(${lua(method)}, nil, headers, body)
end
function init(args)
  for line in io.lines(${lua(file)}) do requests[#requests + 1] = format(line) end
  plain = format("")
end
function request()
  if #requests == 0 then return plain end
  if started == 0 then started = now() end
  at = at + 1
  if at > #requests then
    at = ${repeats ? '1' : '#requests'}
    if not ${repeats} and not over then
      over, lasted = true, now() - started
      wrk.thread:stop()
    end
  end
  return requests[at]
end
-- What is still sent while the thread stops is a repeat.
function response(status) if status ~= ${expect} and not over then unexpected, last = unexpected + 1, status end end
local thread
function setup(one) thread = one end
function done(summary, latency)
  local lasted = thread:get("lasted")
  local duration = lasted > 0 and lasted or summary.duration
  local errors = summary.errors
  local wrong, status = thread:get("unexpected") + errors.connect + errors.read + errors.write, thread:get("last")
  print(string.format("RESULT %d %d %d %d %d %d", summary.requests, duration, latency:percentile(50), latency:percentile(99), wrong, status))
end
`
