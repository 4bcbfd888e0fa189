// Keeps as many workers running as routes.yaml asks for. A worker that dies is replaced, the others keep their connections; a reload
// goes from worker to worker, and all take it or none; what they must share comes from here. The primary itself serves no request.

import type { Texts } from '../config/disk.js'
import { type SharedFetch, shareFetches } from '../keys/shared.js'
import type { ReloadReport } from '../metrics/registry.js'
import type { Seconds } from '../verify/scalars.js'
import { type Acceptor, acceptOn } from './accept.js'
import { createWorkerMetrics } from './counters.js'
import { keepWorker, type Member, PACE, type Pace } from './member.js'
import type { Peer } from './peer.js'
import { messageOf, oneOf } from './process.js'
import { PULSE, type Pulse } from './pulse.js'
import { createReloads, type Log, type Read, type ReloadsOptions } from './reloads.js'
import { makeSecrets, rotateTicketSecret, type SharedSecrets } from './secrets.js'

/** What a worker begins with. It reads no file itself: they may have changed since, and all must serve by the same. */
export type Start = SharedSecrets & { readonly worker: number; readonly texts: Texts }

/** What may have changed by the time it accepts requests. */
export type Latest = { readonly ticketSecret: string; readonly report: ReloadReport; readonly isListening: boolean }

/** What tests shorten. */
export type Timing = { readonly pace?: Pace; readonly pulse?: Pulse; readonly rotation?: Seconds }

export type PrimaryOptions = {
  readonly workers: number
  readonly log: Log
  readonly first: Read
  readonly read: ReloadsOptions['read']
  readonly timing: Timing
}

/** Runs until it is told to drain; resolves to the exit code: 1 where no worker ever came so far as to accept requests. */
export async function runPrimary({ workers, log, first, read, timing }: PrimaryOptions): Promise<number> {
  let secrets = makeSecrets()
  const fetch = shareFetches(() => Date.now() / 1000)
  const metrics = createWorkerMetrics()
  const members: Member[] = []
  const peers = () => members.map((member) => member.peer()).filter((peer) => peer !== null)
  /** What each worker was told to serve by, by its number. */
  const told = new Map<number, Texts>()
  const begun = beginningOf(workers)
  let acceptor: Acceptor | null = null
  let isDraining = false
  /** Workers that are draining. */
  const left = new Set<Peer>()

  const open = (index: number): Member =>
    keepWorker({
      index,
      pace: timing.pace ?? PACE,
      pulse: timing.pulse ?? PULSE,
      handlers: () => ({
        start: (): Start => {
          const { texts } = reloads.current()
          told.set(index, texts)
          return { ...secrets, worker: index, texts }
        },
        keySet: (source) => fetch(source as Parameters<SharedFetch>[0]),
        metrics: () => metrics.collect(peers()),
        leave: () => {
          const peer = members[index]?.peer() ?? null
          if (peer !== null) left.add(peer)
          return isDraining || peer === null ? acceptor?.close() : acceptor?.remove(peer)
        },
      }),
      accepting: (facts): Latest => {
        if (begun.settle(index, facts)) log.info({ worker: index }, 'a worker accepts requests in place of one that ended')
        void reloads.inTurn(bringAll)
        const peer = members[index]?.peer() ?? null
        if (peer !== null) acceptor?.add(peer)
        return { ticketSecret: secrets.ticketSecret, report: reloads.report(), isListening: acceptor !== null }
      },
      silent: () => log.error({ worker: index }, 'a worker does not answer any more and is ended'),
      ended: (end, { peer, waitMs }) => {
        if (peer !== null) {
          left.delete(peer)
          void acceptor?.remove(peer)
          void reloads.inTurn(() => metrics.ended(peer))
        }
        if (waitMs === null) return
        log.error({ worker: index, ...end, in_ms: waitMs }, 'a worker ended and is replaced')
        begun.settle(index, null)
      },
    })

  /** Null: it took it, or there is no one to take it. */
  const bring = async (member: Member, texts: Texts): Promise<string | null> => {
    const peer = member.peer()
    if (peer === null) return null
    told.set(member.index, texts)
    const refused = await peer.call('reload', texts).catch(messageOf)
    return typeof refused === 'string' ? `worker ${member.index}: ${refused}` : null
  }
  /** Whoever serves by something else: it started while a reload was under way, or took what another one refused. */
  const bringAll = async (): Promise<void> => {
    const { texts } = reloads.current()
    for (const member of members) {
      const refused = told.get(member.index) === texts ? null : await bring(member, texts)
      if (refused !== null) log.error({}, refused)
    }
  }
  const reloads = createReloads({
    first,
    read,
    log,
    // One worker after another, so that they do not all stand still at once.
    take: async ({ texts }) => {
      for (const member of members) {
        const refused = await bring(member, texts)
        if (refused !== null) return refused
      }
      return null
    },
    tell: async (report) => {
      await bringAll()
      for (const peer of peers()) await peer.call('report', report).catch(messageOf)
    },
  })

  const stopped = oneOf(['SIGTERM', 'SIGINT'])
  for (let index = 0; index < workers; index++) members.push(open(index))
  const stopRotation = rotateTicketSecret((ticketSecret) => {
    secrets = { ...secrets, ticketSecret }
    for (const peer of peers()) void peer.call('ticketSecret', ticketSecret).catch(messageOf)
  }, timing.rotation)

  const beginning = await Promise.race([begun.all, stopped])
  let hasBegun = beginning !== null
  if (beginning === null) log.error({}, 'not started: no worker could, for what is said above')
  else if (beginning !== 'stopped') {
    try {
      acceptor = await acceptOn(first.config.listeners)
      for (const peer of peers()) {
        acceptor.add(peer)
        void peer.call('listening').catch(messageOf)
      }
      log.info({ addresses: acceptor.addresses, ...beginning }, 'accepting requests')
    } catch (error) {
      hasBegun = false
      log.error({}, `not started: ${messageOf(error)}`)
    }
  }
  if (hasBegun) {
    await stopped
    log.info({}, 'draining')
  }
  isDraining = true
  // They were told before us.
  if (left.size > 0) void acceptor?.close()
  const atOnce = (): void => {
    for (const member of members) member.kill()
    process.exit(1)
  }
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, atOnce)
  stopRotation()
  reloads.stop()
  const codes = await Promise.all(members.map((member) => member.drain()))
  void acceptor?.close()
  return hasBegun && codes.every((code) => code === 0) ? 0 : 1
}

/** Waits for the first process of each worker: resolves to what one of them says of itself, and how many came so far; null: none. */
function beginningOf(workers: number) {
  const came = new Map<number, object | null>()
  let resolve: (beginning: object | null) => void = () => undefined
  const all = new Promise<object | null>((settled) => {
    resolve = settled
  })
  return {
    all,
    /** `facts`: it accepts requests; null: it ended. True: it is not the first. */
    settle(index: number, facts: object | null): boolean {
      if (came.has(index)) return true
      came.set(index, facts)
      const accepting = [...came.values()].filter((one) => one !== null)
      if (came.size === workers) resolve(accepting.length === 0 ? null : { ...accepting[0], workers: accepting.length })
      return false
    },
  }
}
