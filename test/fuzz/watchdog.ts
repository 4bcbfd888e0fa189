// Finds what never comes back: a thread of its own that looks whether inputs go on being taken. One that has been in work for too long is
// written down, and the process is ended, because nothing else can end a loop.
import { mkdirSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { isMainThread, Worker, workerData } from 'node:worker_threads'

/** How long (milliseconds) one input may stop everything. */
const LONGEST_MS = 20_000
const LONGEST_INPUT = 2 * 1024 * 1024

export type Watchdog = {
  /** This input is taken now. */
  begin(target: string, input: Buffer): void
  /** Nothing is under way that could hang. */
  rest(): void
  close(): Promise<void>
}

type Shared = { readonly state: SharedArrayBuffer; readonly bytes: SharedArrayBuffer; readonly folder: string }

/** state: [number of the input, 0 while resting; its length; the length of its target's name, which stands behind it]. */
export function watch(folder: string): Watchdog {
  const shared: Shared = { state: new SharedArrayBuffer(12), bytes: new SharedArrayBuffer(LONGEST_INPUT + 64), folder }
  const state = new Int32Array(shared.state)
  const bytes = new Uint8Array(shared.bytes)
  const worker = new Worker(import.meta.filename, { workerData: shared })
  worker.unref()
  let count = 0
  return {
    begin(target, input) {
      count = (count % 0x7ffffffe) + 1
      bytes.set(input.subarray(0, LONGEST_INPUT))
      bytes.set(Buffer.from(target).subarray(0, 64), Math.min(input.length, LONGEST_INPUT))
      Atomics.store(state, 1, Math.min(input.length, LONGEST_INPUT))
      Atomics.store(state, 2, target.length)
      Atomics.store(state, 0, count)
    },
    rest: () => void Atomics.store(state, 0, 0),
    close: async () => void (await worker.terminate()),
  }
}

function guard({ state, bytes, folder }: Shared): void {
  const numbers = new Int32Array(state)
  let last = 0
  let since = Date.now()
  setInterval(() => {
    const now = Atomics.load(numbers, 0)
    if (now !== last || now === 0) {
      last = now
      since = Date.now()
      return
    }
    if (Date.now() - since < LONGEST_MS) return
    const length = numbers[1] ?? 0
    const all = Buffer.from(new Uint8Array(bytes))
    const target = all.subarray(length, length + (numbers[2] ?? 0)).toString()
    const file = join(folder, `${target}-hangs.bin`)
    mkdirSync(folder, { recursive: true })
    writeFileSync(file, all.subarray(0, length))
    // Not process.stderr, nor process.exit: both need the thread that hangs.
    writeSync(2, `\n${target}: an input takes longer than ${LONGEST_MS / 1000} s, see ${file}\n`)
    process.kill(process.pid, 'SIGKILL')
  }, 1000)
}

if (!isMainThread) guard(workerData as Shared)
