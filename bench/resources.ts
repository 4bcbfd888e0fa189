// What processes have used: CPU time and memory of a process, its threads and all its descendants, from /proc.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

const CLOCK_TICKS = Number(spawnSync('getconf', ['CLK_TCK']).stdout?.toString()) || 100
const PAGE_BYTES = Number(spawnSync('getconf', ['PAGESIZE']).stdout?.toString()) || 4096

export type Used = {
  /** User and system time, in seconds. */
  readonly cpu: number
  /** Resident memory, in bytes. */
  readonly rss: number
}

type Processes = ReadonlyMap<number, Used & { readonly parent: number }>

function readProcesses(): Processes {
  const all = new Map<number, Used & { readonly parent: number }>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      // After the command, which may hold spaces: state, parent, ... (proc(5) counts them from 3).
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      const cpu = (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS
      all.set(Number(name), { parent: Number(fields[1]), cpu, rss: Number(fields[21]) * PAGE_BYTES })
    } catch {
      // ended meanwhile
    }
  }
  return all
}

/** Processes, each with all its descendants. */
export type Pids = number | readonly number[]

/** Of processes and all their descendants that are alive. */
export function usedBy(pids: Pids, processes: Processes = readProcesses()): Used {
  const belongs = (one: number): boolean =>
    one === pids ||
    (typeof pids !== 'number' && pids.includes(one)) ||
    (processes.has(one) && belongs(processes.get(one)?.parent ?? 0))
  let [cpu, rss] = [0, 0]
  for (const [one, used] of processes) {
    if (!belongs(one)) continue
    cpu += used.cpu
    rss += used.rss
  }
  return { cpu, rss }
}

/** What of a process' memory are pages of files, its own program above all, that other processes of the same program share: bytes. */
export function mappedBy(pid: number): number {
  const [, kilobytes] = /^RssFile:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

export type Watched = {
  /** Resident memory of the server at its peak, in bytes. */
  readonly rss: number
  /** Share of one core that the generator used: near 1, it was the generator that could do no more. */
  readonly generator: number
}

/** Watches a server and the generator of its load, which can't be asked once it has ended. */
export function watch(server: Pids, generator: number): { stop(): Watched } {
  const since = performance.now()
  let rss = 0
  let busy = 0
  const look = () => {
    const processes = readProcesses()
    rss = Math.max(rss, usedBy(server, processes).rss)
    if (processes.has(generator)) busy = usedBy(generator, processes).cpu / ((performance.now() - since) / 1000)
  }
  const timer = setInterval(look, 250)
  return {
    stop() {
      clearInterval(timer)
      rss = Math.max(rss, usedBy(server).rss)
      return { rss, generator: busy }
    },
  }
}
