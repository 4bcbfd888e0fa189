// One of several processes that serve: it begins with what the primary tells it, and does what the primary says. Without a primary
// there is nobody to look after it, so it finishes what is in flight and ends.

import cluster from 'node:cluster'
import type { Socket } from 'node:net'
import type { Io } from '../cli/command.js'
import type { Config } from '../config/config.js'
import { recordedDisk, type Texts } from '../config/disk.js'
import { loadConfig } from '../config/load.js'
import type { FetchedSet, FetchSet } from '../keys/issuers.js'
import type { ReloadReport } from '../metrics/registry.js'
import { catchHangups } from './hangups.js'
import { type Channel, type Handlers, openPeer, type Peer } from './peer.js'
import type { Latest, Start } from './primary.js'
import { logger, start, take } from './process.js'

/** Runs until the primary says so, or is gone. `file` is what the primary read, by its name. Rejects where it can't begin. */
export async function runWorker(file: string, io: Io): Promise<never> {
  // Else Node ends this process in the moment in which the primary is gone.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true
  // A service manager or a terminal tells the primary and its workers alike: a worker heeds its primary. Only SIGTERM may be for it
  // alone; until it accepts requests, that ends it.
  catchHangups()
  process.on('SIGINT', () => undefined)
  let stop: () => void = () => process.exit(1)
  process.once('disconnect', () => {
    logger.error('the primary process is gone')
    primary.close('it is gone')
    stop()
  })

  const handlers: Record<string, Handlers[string]> = {}
  const primary = openPeer(PRIMARY, handlers)
  const { texts, ...secrets } = (await primary.call('start')) as Start
  const load = (texts: Texts, running: Config | null) => loadConfig(file, io.env, running, recordedDisk(texts))
  const { config } = load(texts, null)
  if (config === null) throw new Error('the configuration that the primary found good has problems here')
  const metrics = async (): Promise<string> => String(await primary.call('metrics'))
  // Where it is gone, nothing more comes.
  const leave = () => primary.call('leave').catch(() => undefined)
  const gateway = await start(config, { ...secrets, fetchSet: fetchBy(primary), metrics, leave })

  const stopped = new Promise<void>((resolve) => {
    stop = resolve
  })
  // It drains once, whoever says so first and how often.
  process.on('SIGTERM', stop)
  Object.assign(handlers, {
    connection: (listener: number, socket: Socket) => gateway.take(listener, socket),
    listening: () => gateway.announce(),
    drain: () => stop(),
    reload: (texts: Texts) => {
      const { config } = load(texts, gateway.config())
      gateway.excuseStall()
      return take(gateway, config)
    },
    report: async (report: ReloadReport) => {
      if (report.problem !== null) await gateway.reopenAudit()
      gateway.reportReload(report)
    },
    ticketSecret: (secret: string) => gateway.setTicketSecret(secret),
    metrics: () => gateway.metrics(),
    pulse: () => null,
  })
  const facts = { admin: gateway.adminAddress, policy_version: config.policyVersion }
  const { ticketSecret, report, isListening } = (await primary.call('accepting', facts)) as Latest
  gateway.setTicketSecret(ticketSecret)
  gateway.reportReload(report)
  if (isListening) gateway.announce()

  await stopped
  logger.info('draining')
  await gateway.drain()
  return process.exit(0)
}

const PRIMARY: Channel = {
  // One that is gone is noticed by the end of the channel; that nothing could be sent to it is no news.
  send: (message) => void (process.connected && process.send?.(message, undefined, undefined, () => undefined)),
  onMessage: (listener) => void process.on('message', listener),
}

/** One process fetches issuer keys for all (contract §4). */
const fetchBy =
  (primary: Peer): FetchSet =>
  (source, stop) =>
    new Promise((resolve, reject) => {
      stop.addEventListener('abort', () => reject(new Error('given up')), { once: true })
      primary.call('keySet', source).then((fetched) => resolve(fetched as FetchedSet), reject)
    })
