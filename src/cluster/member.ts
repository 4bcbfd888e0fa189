// One worker of several, kept running: when its process ends, another takes its place, sooner the better the one before has lived. One
// that runs no more and does not end is ended.

import cluster, { type Worker } from 'node:cluster'
import { type Channel, type Handlers, openPeer, type Peer } from './peer.js'
import { type Pulse, watchPulse } from './pulse.js'

/** How soon a worker that ended is replaced (milliseconds). */
export type Pace = { readonly first: number; readonly longest: number }

export const PACE: Pace = { first: 500, longest: 30_000 }

/** How long to wait after so many ends in a row: not at all at first, then twice as long each time. */
export const waitAfter = (ends: number, { first, longest }: Pace): number =>
  ends === 0 ? 0 : Math.min(longest, first * 2 ** (ends - 1))

/** How a process ended. `code` is null where a signal did it, and the name of the error where there never was one. */
export type End = { readonly code: number | string | null; readonly signal: string | null }

export type MemberOptions = {
  /** From 0. */
  readonly index: number
  readonly pace: Pace
  readonly pulse: Pulse
  /** What it answers to a worker that was just started. */
  readonly handlers: () => Handlers
  /** A worker accepts requests; `facts` are what it says of itself. What this returns is its answer. */
  readonly accepting: (facts: object) => unknown
  /** It does not answer any more, and is ended. */
  readonly silent: () => void
  /** The process of `peer` has ended, and another is started in `waitMs`; null: none is. */
  readonly ended: (end: End, known: { readonly peer: Peer | null; readonly waitMs: number | null }) => void
}

export type Member = {
  readonly index: number
  /** Its worker, while it accepts requests. */
  peer(): Peer | null
  /** Lets its worker finish what is in flight, and starts no other. Resolves to the exit code. */
  drain(): Promise<number>
  /** Ends its worker at once. */
  kill(): void
}

type Started = {
  readonly worker: Worker
  readonly peer: Peer
  readonly exit: Promise<number>
  isAccepting: boolean
  /** Ends what looks whether it runs. */
  leaveAlone: () => void
}

/** Starts a worker, and again whenever it ends. */
export function keepWorker({ index, pace, pulse, handlers, accepting, silent, ended }: MemberOptions): Member {
  let started: Started | null = null
  let ends = 0
  let isDraining = false
  let timer: NodeJS.Timeout | undefined

  const end = (end: End, livedMs: number): void => {
    const peer = started?.peer ?? null
    // What could not start is not likely to a moment later.
    if (livedMs >= pace.longest) ends = 0
    else if (!started?.isAccepting) ends = Math.max(ends, 1)
    started?.leaveAlone()
    started = null
    peer?.close('it ended')
    if (isDraining) return void ended(end, { peer, waitMs: null })
    const waitMs = waitAfter(ends++, pace)
    timer = setTimeout(start, waitMs)
    ended(end, { peer, waitMs })
  }

  function start(): void {
    const startedAt = performance.now()
    const lived = () => performance.now() - startedAt
    let worker: Worker
    try {
      worker = cluster.fork()
    } catch (error) {
      // No memory for another process, and that may be why the last one ended: the others must go on.
      return void end({ code: nameOf(error), signal: null }, 0)
    }
    const exit = new Promise<number>((resolve) => {
      worker.once('exit', (code: number | null, signal: string | null) => {
        resolve(code ?? (signal === 'SIGTERM' ? 0 : 1))
        end({ code, signal }, lived())
      })
      worker.on('error', (error) => {
        // Said of a process that never came to be, which has no exit; and of what could not be sent to one that is ending, which has.
        if (worker.process.pid !== undefined) return
        resolve(1)
        end({ code: nameOf(error), signal: null }, 0)
      })
    })
    const own: Started = {
      worker,
      exit,
      isAccepting: false,
      leaveAlone: () => undefined,
      peer: openPeer(channelTo(worker), {
        ...handlers(),
        accepting: (facts) => {
          own.isAccepting = true
          // Not before: how long a start may take is for issuers and disks to say.
          own.leaveAlone = watchPulse(
            () => own.peer.call('pulse'),
            pulse,
            () => {
              silent()
              worker.process.kill('SIGKILL')
            },
          )
          return accepting(facts as object)
        },
      }),
    }
    started = own
  }

  start()
  return {
    index,
    peer: () => (started?.isAccepting ? started.peer : null),
    drain: async () => {
      isDraining = true
      clearTimeout(timer)
      if (started === null) return 0
      const { worker, peer, exit, isAccepting } = started
      // One that was still starting has served nothing, and ends by the signal itself.
      if (isAccepting) void peer.call('drain').catch(() => undefined)
      else worker.process.kill('SIGTERM')
      return exit
    },
    kill: () => void started?.worker.process.kill('SIGKILL'),
  }
}

const nameOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : 'unknown error')

const channelTo = (worker: Worker): Channel => ({
  // A worker that has just ended is noticed by its exit; that nothing could be sent to it is no news.
  // A connection stays open here too, until the worker has said that it has it.
  send: (message, socket) => void (worker.isConnected() && worker.send(message, socket, { keepOpen: true }, () => undefined)),
  onMessage: (listener) => void worker.on('message', (message) => listener(message)),
})
