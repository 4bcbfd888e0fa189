// Appends lines to a file in the order they came, and says which of them are on disk. Group commit: one write and one fsync are
// in flight at a time, and all who wait share the next. A write that fails leaves no torn line behind, and is tried again.
// Does not know: what the lines say.

import { setTimeout as sleep } from 'node:timers/promises'
import { closeSink, isMoved, NEWLINE, openSink, type Sink, STDOUT, syncSink, takeBack, writeAll } from './sink.js'

/** Characters that may wait: beyond, lines are dropped and counted, because memory is worth more than a line nobody waits for. */
const MOST_QUEUED = 16 * 1024 * 1024
const MOST_IN_A_BATCH = 1024 * 1024
const FLUSH_AT = 64 * 1024
const FLUSH_MS = 100
/** After a failure: when the lines that wait are tried again, and for how long nobody else tries. */
const RETRY_MS = 1000
const REFUSE_MS = 100
/** A disk that takes longer is as good as full: a request must not hang on it. */
const STUCK_MS = 5000

/** `settle` is there where somebody waits: a line whose request is refused otherwise. */
type Entry = { readonly line: string; settle: ((written: boolean) => void) | null }

export type LineFileOptions = { readonly path: string | null; readonly log: (message: string) => void }

/** Opens `path` for appending (mode 0600 when new), or standard output. Rejects with a message for the operator. */
export async function openLineFile({ path, log }: LineFileOptions): Promise<LineFile> {
  return new LineFile(path === null ? STDOUT : await openSink(path), log)
}

export class LineFile {
  #sink: Sink
  /** The file ends within a line: the next write begins with a newline. */
  #torn: boolean
  #queue: Entry[] = []
  #queued = 0
  #last: Entry | null = null
  #working: Promise<void> | null = null
  #flushTimer: NodeJS.Timeout | null = null
  #problem: string | null = null
  #failedAt = 0
  #stuck = false
  #dropped = 0
  /** Of these, how many since lines were last written without delay. */
  #lost = 0
  #syncs = 0
  #closed = false
  /** Why the path could not be opened anew. */
  #stays: string | null = null
  readonly #log: (message: string) => void

  constructor(sink: Sink, log: (message: string) => void) {
    this.#sink = sink
    this.#torn = sink.torn
    this.#log = log
  }

  /** Queues a line (with its newline); on disk within 100 ms when all is well. Never throws. */
  write(line: string): void {
    this.#last = null
    if (this.#closed || this.#queued + line.length > MOST_QUEUED) {
      this.#drop()
      return
    }
    this.#last = { line, settle: null }
    this.#queue.push(this.#last)
    this.#queued += line.length
    if (this.#problem === null && this.#queued >= FLUSH_AT) this.#work()
    else this.#workLater(this.#problem === null ? FLUSH_MS : RETRY_MS)
  }

  /** Whether the line that was written just before gets to disk; when not, it is taken out again. */
  committed(): Promise<boolean> {
    const entry = this.#last
    if (entry === null) return Promise.resolve(false)
    if (this.#stuck || (this.#problem !== null && performance.now() - this.#failedAt < REFUSE_MS)) {
      this.#queue.pop()
      this.#queued -= entry.line.length
      this.#last = null
      return Promise.resolve(false)
    }
    return new Promise((settle) => {
      entry.settle = settle
      this.#work()
    })
  }

  /** Why lines can't be written now; null when they can. */
  problem(): string | null {
    if (this.#lost === 0) return this.#problem
    return `${this.#problem ?? 'the disk is too slow'}; ${this.#lost} lines lost`
  }

  /** Lines dropped, and fsyncs done, since the start. */
  counters(): { readonly dropped: number; readonly syncs: number } {
    return { dropped: this.#dropped, syncs: this.#syncs }
  }

  /** Opens the path anew, for log rotation by rename. When that fails, the old file goes on. */
  async reopen(): Promise<void> {
    const { path } = this.#sink
    if (path === null || this.#closed) return
    while (this.#working !== null) await this.#working
    this.#working = this.#swap(path).finally(() => {
      this.#working = null
    })
    await this.#working
    if (this.#queue.length > 0) this.#work()
  }

  /** Opens the path anew where the file is there no more. */
  async follow(): Promise<void> {
    if (await isMoved(this.#sink)) await this.reopen()
  }

  /** Writes what is queued, as far as it can be within 5 s, then closes. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer)
    const late = new AbortController()
    await Promise.race([this.#drain(), sleep(STUCK_MS, undefined, { signal: late.signal }).catch(() => undefined)])
    late.abort()
    const lost = this.#queue.length
    if (lost > 0) this.#log(`audit log: closed with ${lost} lines unwritten: ${this.#problem ?? 'the disk does not answer'}`)
    this.#withdraw(() => true)
    if (this.#working === null) await closeSink(this.#sink)
  }

  async #drain(): Promise<void> {
    while (this.#working !== null) await this.#working
    while (this.#queue.length > 0 && (await this.#commitNext()));
  }

  #workLater(ms: number): void {
    if (this.#flushTimer !== null || this.#closed) return
    this.#flushTimer = setTimeout(() => {
      this.#flushTimer = null
      this.#work()
    }, ms)
    this.#flushTimer.unref()
  }

  /** Starts writing at the end of this turn of the event loop, so that all who came in it share one fsync. */
  #work(): void {
    if (this.#working !== null || this.#closed) return
    this.#working = new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => this.#commitWhileDue())
      .finally(() => {
        this.#working = null
        // Who was told of one line may have written the next before we got here.
        if (this.#isAwaited()) this.#work()
        else if (this.#queue.length > 0) this.#workLater(this.#problem === null ? FLUSH_MS : RETRY_MS)
      })
  }

  async #commitWhileDue(): Promise<void> {
    do if (!(await this.#commitNext())) return
    while (this.#queued >= FLUSH_AT || this.#isAwaited())
  }

  #isAwaited(): boolean {
    return this.#queue.some(({ settle }) => settle !== null)
  }

  /** One write, one fsync if anybody waits. False when it failed. */
  async #commitNext(): Promise<boolean> {
    const batch = this.#take()
    if (batch.length === 0) return true
    const timer = setTimeout(() => this.#becomeStuck(batch), STUCK_MS)
    const problem = await this.#commit(batch)
    clearTimeout(timer)
    this.#stuck = false
    if (problem !== null) {
      this.#putBack(batch, problem)
      return false
    }
    for (const { settle } of batch) settle?.(true)
    if (this.#problem !== null || (this.#lost > 0 && this.#queued < FLUSH_AT)) this.#recover()
    return true
  }

  #take(): readonly Entry[] {
    let length = 0
    let count = 0
    for (const { line } of this.#queue) {
      if (count > 0 && length + line.length > MOST_IN_A_BATCH) break
      length += line.length
      count += 1
    }
    this.#queued -= length
    return this.#queue.splice(0, count)
  }

  /** Null when the batch is written (and synced where somebody waits); else what went wrong, with nothing of it left behind. */
  async #commit(batch: readonly Entry[]): Promise<string | null> {
    const sink = this.#sink
    const bytes = Buffer.from((this.#torn ? '\n' : '') + batch.map(({ line }) => line).join(''))
    const progress = { written: 0 }
    try {
      await writeAll(sink, bytes, { progress, patience: STUCK_MS })
      if (sink.isFile && batch.some(({ settle }) => settle !== null)) {
        await syncSink(sink)
        this.#syncs += 1
      }
      this.#torn = false
      return null
    } catch (error) {
      const { written } = progress
      if (written > 0 && !(await takeBack(sink, written))) this.#torn = bytes[written - 1] !== NEWLINE
      return error instanceof Error ? error.message : 'unknown error'
    }
  }

  /** Whoever waits is told no and their lines are gone: their requests are refused. The other lines are tried again, in order. */
  #putBack(batch: readonly Entry[], problem: string): void {
    this.#failedAt = performance.now()
    this.#say(problem)
    this.#queue = [...batch, ...this.#queue]
    this.#queued = this.#queue.reduce((sum, { line }) => sum + line.length, 0)
    this.#withdraw(({ settle }) => settle !== null)
  }

  #becomeStuck(batch: readonly Entry[]): void {
    this.#stuck = true
    this.#say(`the disk has not answered for ${STUCK_MS / 1000} s`)
    for (const { settle } of batch) settle?.(false)
    this.#withdraw(({ settle }) => settle !== null)
  }

  #withdraw(which: (entry: Entry) => boolean): void {
    const gone = this.#queue.filter(which)
    this.#queue = this.#queue.filter((entry) => !which(entry))
    for (const { line, settle } of gone) {
      this.#queued -= line.length
      settle?.(false)
    }
  }

  #drop(): void {
    if (this.#lost === 0) this.#log('audit log: lines are dropped, because too many wait to be written')
    this.#dropped += 1
    this.#lost += 1
  }

  #recover(): void {
    this.#log(`audit log: writes again; ${this.#lost} lines were lost`)
    this.#problem = null
    this.#lost = 0
  }

  #say(problem: string): void {
    if (problem !== this.#problem) this.#log(`audit log: ${problem}; durable requests are refused until it can be written`)
    this.#problem = problem
  }

  async #swap(path: string): Promise<void> {
    try {
      const old = this.#sink
      this.#sink = await openSink(path)
      this.#torn = this.#sink.torn
      this.#stays = null
      await closeSink(old)
    } catch (error) {
      const problem = error instanceof Error ? error.message : path
      if (problem !== this.#stays) this.#log(`${problem}; the old file goes on`)
      this.#stays = problem
    }
  }
}
