// Appends lines to a file in the order they came, and says which of them are on disk. Group commit: one write and one fsync are
// in flight at a time, and all who wait share the next. A write that fails leaves no torn line behind, and is tried again.
// A file that is large enough makes room for another. Does not know: what the lines say, nor how they are chained (chain.ts).

import { setTimeout as sleep } from 'node:timers/promises'
import type { Bytes } from '../verify/scalars.js'
import { Chain, type ChainOptions, type Line } from './chain.js'
import { openFile } from './file-sink.js'
import { moveAside } from './rotation.js'
import type { Sink, Trouble } from './sink.js'

/** Characters that may wait: beyond, lines are dropped and counted, because memory is worth more than a line nobody waits for. */
const MOST_QUEUED = 16 * 1024 * 1024
const MOST_IN_A_BATCH = 1024 * 1024
const FLUSH_AT = 64 * 1024
const FLUSH_MS = 100
/** After a failure: when the lines that wait are tried again, and for how long nobody else tries. */
const RETRY_MS = 1000
const REFUSE_MS = 100
/** A disk that takes longer is as good as full: no request hangs on it for a second. */
const STUCK_MS = 800
/** How long closing takes at most: nobody waits then. */
const PATIENCE_MS = 5000

/** `settle` is there where somebody waits, from `since` on: a line whose request is refused otherwise. */
type Entry = { readonly line: Line; settle: ((written: boolean) => void) | null; since: number }

const END: Entry = { line: { at: 'end' }, settle: null, since: 0 }

/** Characters of a line that waits; of a checkpoint, which is not made yet, about. */
const lengthOf = ({ line }: Entry): number => (typeof line === 'string' ? line.length : 600)

/** At which size a file makes room for another, and how many of those before it are kept. */
export type Rotation = { readonly size: Bytes; readonly keep: number }

export type LineFileOptions = {
  readonly chain: ChainOptions
  /** null: files are rotated by somebody else, or not at all. */
  readonly rotate: Rotation | null
  readonly log: (message: string) => void
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
  /** Lines that are being written. */
  #writing = 0
  #dropped = 0
  /** Of these, how many since lines were last written without delay. */
  #lost = 0
  #syncs = 0
  #closed = false
  /** Why the path could not be opened anew. */
  #stays: string | null = null
  /** Bytes in the file, as far as we know. */
  #size: Bytes
  /** null: nothing was written, so that where it goes on is not looked up yet. */
  #chain: Chain | null = null
  readonly #chainOptions: ChainOptions
  readonly #rotate: Rotation | null
  readonly #log: (message: string) => void

  constructor(sink: Sink, { chain, rotate, log }: LineFileOptions) {
    this.#sink = sink
    this.#torn = sink.torn
    this.#size = sink.size
    this.#chainOptions = chain
    this.#rotate = rotate
    this.#log = log
  }

  /** Queues a line (with its newline), or a checkpoint; on disk within 100 ms when all is well. Never throws. */
  write(line: Line): void {
    this.#last = null
    const entry: Entry = { line, settle: null, since: 0 }
    if (this.#closed || this.#queued + lengthOf(entry) > MOST_QUEUED) {
      this.#drop()
      return
    }
    this.#last = entry
    this.#queue.push(entry)
    this.#queued += lengthOf(entry)
    if (this.#problem === null && this.#queued >= FLUSH_AT) this.#work()
    else this.#workLater(this.#problem === null ? FLUSH_MS : RETRY_MS)
  }

  /** Whether the line that was written just before gets to disk; when not, it is taken out again. */
  committed(): Promise<boolean> {
    const entry = this.#last
    if (entry === null) return Promise.resolve(false)
    if (this.#stuck || (this.#problem !== null && performance.now() - this.#failedAt < REFUSE_MS)) {
      this.#queue.pop()
      this.#queued -= lengthOf(entry)
      this.#last = null
      return Promise.resolve(false)
    }
    return new Promise((settle) => {
      entry.settle = settle
      entry.since = performance.now()
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

  /** Opens the path anew where the file is there no more, for log rotation by rename. When that fails, the old file goes on. */
  async reopen(): Promise<void> {
    const { path } = this.#sink
    if (path === null || this.#closed || !(await this.#sink.isMoved())) return
    while (this.#working !== null) await this.#working
    this.#working = this.#swap(path).finally(() => {
      this.#working = null
    })
    await this.#working
    if (this.#queue.length > 0) this.#work()
  }

  /** Writes what is queued, as far as it can be within 5 s, then closes. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer)
    const late = new AbortController()
    await Promise.race([this.#drain(), sleep(PATIENCE_MS, undefined, { signal: late.signal }).catch(() => undefined)])
    late.abort()
    const lost = this.#queue.length + this.#writing
    if (lost > 0)
      this.#log(`audit log: closed with ${lost} lines unwritten: ${this.#problem ?? `${this.#sink.name} does not answer`}`)
    this.#withdraw(() => true)
    await this.#sink.close()
  }

  async #drain(): Promise<void> {
    while (this.#working !== null) await this.#working
    while (this.#queue.length > 0 && (await this.#commitNext()));
    // Also where nothing was written: whoever wrote before may have had no time to.
    if (this.#queue.length === 0 && (this.#chain?.hasBegun() || this.#size > 0)) await this.#commit([END])
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
    // Who waits longest came while the batch before was written.
    const first = batch.find(({ settle }) => settle !== null)
    const left = first === undefined ? STUCK_MS : first.since + STUCK_MS - performance.now()
    const trouble: Trouble = (problem) => this.#becomeStuck(batch, problem)
    const timer = setTimeout(() => trouble(`${this.#sink.name} has not answered for ${STUCK_MS} ms`), left)
    this.#writing = batch.length
    const problem = await this.#commit(batch, trouble)
    clearTimeout(timer)
    this.#writing = 0
    this.#stuck = false
    if (problem !== null) {
      this.#putBack(batch, problem)
      return false
    }
    for (const { settle } of batch) settle?.(true)
    if (this.#problem !== null || (this.#lost > 0 && this.#queued < FLUSH_AT)) this.#recover()
    if (this.#rotate !== null && this.#size >= this.#rotate.size) await this.#turnOver(this.#rotate)
    return true
  }

  #take(): readonly Entry[] {
    let length = 0
    let count = 0
    for (const entry of this.#queue) {
      if (count > 0 && length + lengthOf(entry) > MOST_IN_A_BATCH) break
      length += lengthOf(entry)
      count += 1
    }
    this.#queued -= length
    return this.#queue.splice(0, count)
  }

  /** Null when the batch is written (and synced where somebody waits); else what went wrong, with nothing of it left behind. */
  async #commit(batch: readonly Entry[], trouble: Trouble = () => undefined): Promise<string | null> {
    this.#chain ??= new Chain(await this.#sink.last(trouble), this.#chainOptions)
    const lines = batch.map(({ line }) => line)
    const sealed = this.#chain.seal(lines, this.#torn)
    const isAwaited = batch.some(({ settle }) => settle !== null)
    const appended = await this.#sink.append(sealed.lines, { isTorn: this.#torn, isAwaited, trouble })
    this.#torn = appended.isTorn
    this.#size += appended.bytes
    if (appended.isSynced) this.#syncs += 1
    sealed.written(appended.lines)
    return appended.problem
  }

  /** Whoever waits is told no and their lines are gone: their requests are refused. The other lines are tried again, in order. */
  #putBack(batch: readonly Entry[], problem: string): void {
    this.#failedAt = performance.now()
    this.#say(problem)
    this.#queue = [...batch, ...this.#queue]
    this.#queued = this.#queue.reduce((sum, entry) => sum + lengthOf(entry), 0)
    this.#withdraw(({ settle }) => settle !== null)
  }

  #becomeStuck(batch: readonly Entry[], problem: string): void {
    this.#stuck = true
    this.#say(problem)
    for (const { settle } of batch) settle?.(false)
    this.#withdraw(({ settle }) => settle !== null)
  }

  #withdraw(which: (entry: Entry) => boolean): void {
    const gone = this.#queue.filter(which)
    this.#queue = this.#queue.filter((entry) => !which(entry))
    for (const entry of gone) {
      this.#queued -= lengthOf(entry)
      entry.settle?.(false)
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

  /** The file that is closed ends with a checkpoint, and the next begins with one. */
  async #swap(path: string): Promise<void> {
    try {
      const old = this.#sink
      const next = await openFile(path)
      if (this.#chain?.hasBegun()) await this.#commit([END])
      this.#sink = next
      this.#torn = next.torn
      this.#size = next.size
      this.#stays = null
      await old.close()
      await this.#commit([])
    } catch (error) {
      const problem = error instanceof Error ? error.message : path
      if (problem !== this.#stays) this.#log(`${problem}; the old file goes on`)
      this.#stays = problem
    }
  }

  /** Gives the file a name of its own and goes on in another; those that are too many are deleted. */
  async #turnOver({ size, keep }: Rotation): Promise<void> {
    const { path } = this.#sink
    this.#size = await this.#sink.length()
    // Somebody else has emptied it meanwhile.
    if (path === null || this.#size < size) return
    const problem = await moveAside(path, keep)
    if (problem === null) await this.#swap(path)
    else if (problem !== this.#stays) this.#log(`audit log: ${problem}`)
    this.#stays = problem
  }
}
