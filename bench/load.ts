// Load by wrk with requests that were signed before the run, each sent once, and the CPU time that the server's processes took
// for them (user and system, from /proc). Ratios within one run are all that is quoted.
import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export type Sample = {
  /** CPU microseconds of the server's processes for each request. */
  readonly cpu: number
  readonly requestsPerSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Answers that were not the expected status. */
  readonly unexpected: number
}

const CLOCK_TICKS = Number(spawnSync('getconf', ['CLK_TCK']).stdout.toString()) || 100

/** CPU seconds that a process, its threads and all its descendants have used. */
export function cpuSeconds(pid: number): number {
  const children = new Map<number, number[]>()
  const used = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      const parent = Number(fields[1])
      children.set(parent, [...(children.get(parent) ?? []), Number(name)])
      used.set(Number(name), (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS)
    } catch {
      // ended meanwhile
    }
  }
  const total = (one: number): number =>
    (used.get(one) ?? 0) + (children.get(one) ?? []).reduce((sum, child) => sum + total(child), 0)
  return total(pid)
}

export type Load = {
  readonly url: string
  readonly folder: string
  /** Header blocks, one for each request, used once each; empty: plain requests. */
  readonly headers: readonly (readonly [authorization: string, dpop: string])[]
  readonly seconds: number
  readonly connections: number
  readonly expect: number
  readonly pid: number
}

/** Runs one load and measures it. */
export async function measure(load: Load): Promise<Sample> {
  const { url, folder, headers, seconds, connections, expect, pid } = load
  const file = join(folder, 'proofs.txt')
  const script = join(folder, 'load.lua')
  writeFileSync(file, headers.map((pair) => pair.join('\t')).join('\n'))
  writeFileSync(script, luaScript(file, expect))
  const before = cpuSeconds(pid)
  const wrk = spawn('wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', script, url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  wrk.stdout.on('data', (chunk: Buffer) => {
    output += chunk
  })
  await new Promise((resolve) => wrk.on('close', resolve))
  const after = cpuSeconds(pid)
  const found = /RESULT (\d+) (\d+) (\d+) (\d+) (\d+)/.exec(output)
  if (found === null) throw new Error(`wrk said nothing to count: ${output}`)
  const [requests = 0, micros = 0, p50 = 0, p99 = 0, unexpected = 0] = found.slice(1).map(Number)
  return {
    cpu: ((after - before) * 1e6) / requests,
    requestsPerSecond: (requests * 1e6) / micros,
    p50: p50 / 1000,
    p99: p99 / 1000,
    unexpected,
  }
}

/** When the proofs run out, the last are not sent again: the run ends early, and says so by its count. */
const luaScript = (file: string, expect: number): string => `
local requests, at, plain = {}, 0, nil
unexpected = 0
function init(args)
  plain = wrk.format("GET")
  for line in io.lines(${JSON.stringify(file)}) do
    local a, d = line:match("^(.-)\\t(.*)$")
    if a then requests[#requests + 1] = wrk.format("GET", nil, { ["Authorization"] = a, ["DPoP"] = d, ["Host"] = wrk.headers["Host"] }) end
  end
end
function request()
  if #requests == 0 then return plain end
  at = at + 1
  if at > #requests then wrk.thread:stop() at = #requests end
  return requests[at]
end
function response(status) if status ~= ${expect} then unexpected = unexpected + 1 end end
local threads = {}
function setup(thread) table.insert(threads, thread) end
function done(summary, latency)
  local wrong = 0
  for _, thread in ipairs(threads) do wrong = wrong + thread:get("unexpected") end
  print(string.format("RESULT %d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), wrong))
end
`
