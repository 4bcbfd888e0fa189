// Writes audit events: one JSON line each, serialised once, in the order of `seq`, each worker into a file of its own
// (contract §7). A gap in `seq` is a line that was lost. Refusals of callers who have proven nothing are bounded per second. While
// lines are written, a checkpoint is, every so often.
// Does not decide: what is written of a request (record.ts).

import { statSync } from 'node:fs'
import { parse } from 'node:path'
import type { Seconds } from '../verify/scalars.js'
import type { Signer } from './chain.js'
import { openFile, openStdout } from './file-sink.js'
import { LineFile, type Rotation } from './line-file.js'
import type { Sink } from './sink.js'
import { openStream, type StreamSettings } from './stream.js'
import type { AuditEvent, AuditLog } from './types.js'

export type AuditLogOptions = {
  /** null: standard output; then `writeDurable` means written, not synced. */
  readonly file: string | null
  /** In place of a file; null: there is none. */
  readonly stream: StreamSettings | null
  /** Names this gateway, and stays over restarts. */
  readonly host: string
  readonly refusalsPerSecond: number
  /** Names this start of this gateway, for `seq` begins anew with each. */
  readonly instance: string
  readonly worker: number
  /** Who signs checkpoints, by which key, and how often (seconds). The key is asked for when the first line is written. */
  readonly issuer: string
  readonly signer: () => Signer
  readonly checkpoints: Seconds
  /** null: the file is not rotated by us. */
  readonly rotate: Rotation | null
  readonly log: (message: string) => void
}

export type OpenAuditLog = AuditLog & {
  /** Opens the file anew after it was renamed (log rotation). */
  reopen(): Promise<void>
  /** Credentials of the stream's Redis, from its next connection on. */
  renew(redis: StreamSettings['redis']): void
  /** Lines dropped, fsyncs done, refusals that were only counted: since the start. */
  counters(): { readonly dropped: number; readonly syncs: number; readonly counted: number }
}

/** `audit.jsonl` -> `audit.1.jsonl` for worker 1; worker 0 has the plain name. */
export function fileOfWorker(file: string, worker: number): string {
  if (worker === 0) return file
  const { ext } = parse(file)
  return `${file.slice(0, file.length - ext.length)}.${worker}${ext}`
}

/** When this worker last wrote to its file (epoch seconds); null: never, or there is no file. */
export function lastWrite(file: string | null, worker: number): Seconds | null {
  const stat = file === null ? undefined : statSync(fileOfWorker(file, worker), { throwIfNoEntry: false })
  return stat?.isFile() && stat.size > 0 ? stat.mtimeMs / 1000 : null
}

/** Rejects with a message for the operator when the file can't be opened. */
export async function openAuditLog(options: AuditLogOptions): Promise<OpenAuditLog> {
  const { file, issuer, instance, worker, signer, rotate, log } = options
  const chain = { issuer, instance, worker, signer, time: () => new Date() }
  const sink = await openSink(options)
  const lines = new LineFile(sink, { chain, rotate, log })
  const stopFollowing = file === null ? () => undefined : repeat(() => lines.reopen())
  const signs = once(options.checkpoints, () => lines.write({ at: 'interval' }))
  let seq = 0
  const named = `"instance":${JSON.stringify(instance)}`
  // One serialisation a line, by the engine itself: a logger took twice the time of it (docs/decisions.md).
  const write = (event: object): void => {
    seq += 1
    signs.soon()
    lines.write(`{"worker":${worker},"seq":${seq},${named},${JSON.stringify(event).slice(1)}\n`)
  }
  const refusals = boundRefusals(options.refusalsPerSecond, write)
  return {
    write,
    writeUnproven: refusals.write,
    writeDurable: (event) => {
      write(event)
      return lines.committed()
    },
    degraded: () => {
      const problem = lines.problem()
      return problem === null ? null : `audit log: ${problem}`
    },
    reopen: () => lines.reopen(),
    renew: (redis) => sink.renew?.(redis),
    counters: () => ({ ...lines.counters(), counted: refusals.counted() }),
    close: () => {
      refusals.close()
      signs.stop()
      stopFollowing()
      return lines.close()
    },
  }
}

const openSink = async ({ file, stream, host, worker, log }: AuditLogOptions): Promise<Sink> => {
  if (stream !== null) return openStream({ ...stream, host, worker, log })
  return file === null ? openStdout() : openFile(fileOfWorker(file, worker))
}

/** How often it is looked whether the file is still at its path (milliseconds): who rotates it may not be able to send a signal. */
const LOOK_MS = 2000

/** Every so often, and not again before it is done. */
function repeat(task: () => Promise<void>): () => void {
  let timer: NodeJS.Timeout
  let isStopped = false
  const next = (): void => {
    if (!isStopped) timer = setTimeout(() => void task().finally(next), LOOK_MS).unref()
  }
  next()
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}

/** Does `task` so long after it was first asked for, however often it is until then. */
function once(after: Seconds, task: () => void): { soon(): void; stop(): void } {
  let timer: NodeJS.Timeout | null = null
  return {
    soon() {
      timer ??= setTimeout(() => {
        timer = null
        task()
      }, after * 1000).unref()
    },
    stop() {
      if (timer !== null) clearTimeout(timer)
    },
  }
}

/** Passes `most` refusals of each second on, and of the rest one line that counts them by reason. */
function boundRefusals(most: number, write: (event: object) => void) {
  let passed = 0
  let timer: NodeJS.Timeout | null = null
  let counts: Record<string, number> = {}
  let time: unknown
  let counted = 0

  function endSecond(): void {
    if (timer !== null) clearTimeout(timer)
    timer = null
    passed = 0
    if (Object.keys(counts).length === 0) return
    // Its time is that of the last refusal it counts.
    write({ event_type: 'refusals_summary', time, counts })
    counts = {}
  }

  return {
    write(event: AuditEvent): void {
      if (timer === null) {
        timer = setTimeout(endSecond, 1000)
        timer.unref()
      }
      if (passed < most) {
        passed += 1
        write(event)
        return
      }
      const reason = String(event.reason)
      counts[reason] = (counts[reason] ?? 0) + 1
      time = event.time
      counted += 1
    },
    counted: () => counted,
    close: endSecond,
  }
}
