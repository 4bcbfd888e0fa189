// `holdfast serve`: one process, or a primary that keeps as many workers as routes.yaml asks for. Signals: SIGHUP reloads, SIGTERM
// and SIGINT drain, a second one exits at once. Says one line when requests are accepted (contract §1).

import cluster, { type Worker } from 'node:cluster'
import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import pino from 'pino'
import type { Command, Io } from './cli/command.js'
import type { Config } from './config/config.js'
import { loadConfig } from './config/load.js'
import { formatProblem } from './config/problems.js'
import { type Gateway, startGateway } from './gateway.js'
import { answerFetches, askPrimary, type Channel, shareFetches } from './keys/shared.js'

const HELP = `holdfast serve [routes.yaml]

Runs the gateway. One line on stderr says when it accepts requests: addresses, workers, policy version.

  routes.yaml   the configuration (default: routes.yaml); \`holdfast check\` finds its problems first
  --help        this text

Signals: SIGHUP loads the configuration again (a bad one is logged, the old one stays); SIGTERM and SIGINT drain and exit 0;
a second one exits at once. Audit events go to the file routes.yaml names, else to standard output; everything else to stderr.
Exit code: 0 drained, 1 the configuration has problems or a port is taken, 2 wrong usage.
`

/** How a worker is told which it is and what all of them share. */
const WORKER = 'HOLDFAST_WORKER'
const NONCE_SECRET = 'HOLDFAST_WORKER_NONCE_SECRET'

export const serve: Command = {
  name: 'serve',
  summary: 'run the gateway',
  help: HELP,
  run: async (args, io) => {
    if (args.length > 1 || args[0]?.startsWith('-')) {
      io.err('holdfast serve: expected at most one file')
      io.err('try: holdfast serve --help')
      return 2
    }
    const file = resolve(io.cwd, args[0] ?? 'routes.yaml')
    const config = load(file, io)
    if (config === null) return 1
    if (config.workers > 1 && cluster.isPrimary) return runPrimary(config)
    return runWorker(file, config, io)
  },
}

const logger = pino({ base: { pid: process.pid } }, pino.destination({ dest: 2, sync: true }))

function load(file: string, io: Io): Config | null {
  const { config, problems } = loadConfig(file, io.env)
  for (const problem of problems) io.err(formatProblem(problem))
  if (config === null) io.err(`holdfast: not started: ${problems.length} problem(s) in the configuration, listed above`)
  return config
}

async function runWorker(file: string, config: Config, io: Io): Promise<number> {
  const log = (message: string) => logger.warn(message)
  const nonceSecret = io.env[NONCE_SECRET] ?? randomBytes(32).toString('base64url')
  const fetching = cluster.isWorker ? { fetchSet: askPrimary(primary) } : {}
  const gateway = await startGateway(config, { worker: Number(io.env[WORKER] ?? 0), nonceSecret, log, ...fetching })
  const accepting = { addresses: gateway.addresses, admin: gateway.adminAddress, policy_version: config.policyVersion }
  if (cluster.isWorker) process.send?.({ accepting })
  else logger.info({ ...accepting, workers: 1 }, 'accepting requests')
  process.on('SIGHUP', () => void reload(file, gateway, io))
  // A terminal tells the primary and its workers alike; a worker heeds its primary alone.
  if (cluster.isWorker) process.on('SIGINT', () => undefined)
  const signals: NodeJS.Signals[] = cluster.isWorker ? ['SIGTERM'] : ['SIGTERM', 'SIGINT']
  await oneOf(signals)
  logger.info('draining')
  for (const signal of signals) process.once(signal, () => process.exit(1))
  await gateway.drain()
  // A worker's channel to its primary would keep it alive.
  if (cluster.isWorker) process.disconnect()
  process.removeAllListeners('SIGHUP')
  return 0
}

const primary: Channel = {
  send: (message) => void process.send?.(message),
  onMessage: (listener) => void process.on('message', listener),
}

async function reload(file: string, gateway: Gateway, io: Io): Promise<void> {
  await gateway.reopenAudit()
  const { config, problems } = loadConfig(file, io.env, gateway.config())
  for (const problem of problems) logger.error(formatProblem(problem))
  if (config === null) {
    gateway.reportReload(`reload: ${problems.length} problem(s) in the configuration; the old one serves on`)
    return
  }
  try {
    await gateway.reload(config)
    logger.info({ policy_version: config.policyVersion }, 'reloaded')
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    logger.error(message)
    gateway.reportReload(`reload: ${message}`)
  }
}

const oneOf = (signals: readonly NodeJS.Signals[]): Promise<void> =>
  new Promise((resolve) => {
    for (const signal of signals) process.once(signal, () => resolve())
  })

/** Keeps the workers running, and passes signals on. A worker that dies is replaced; the others keep their connections. */
async function runPrimary(config: Config): Promise<number> {
  const nonceSecret = randomBytes(32).toString('base64url')
  const fetch = shareFetches(() => Date.now() / 1000)
  let draining = false
  let accepting = 0
  const start = (index: number): void => {
    const worker = cluster.fork({ [WORKER]: String(index), [NONCE_SECRET]: nonceSecret })
    answerFetches(
      {
        send: (message) => worker.isConnected() && worker.send(message),
        onMessage: (listener) => worker.on('message', listener),
      },
      fetch,
    )
    worker.on('message', (message: { accepting?: object }) => {
      if (message.accepting === undefined) return
      accepting += 1
      if (accepting === config.workers) logger.info({ ...message.accepting, workers: config.workers }, 'accepting requests')
    })
    worker.on('exit', (code, signal) => {
      if (draining) return
      logger.error({ worker: index, code, signal }, 'a worker ended and is replaced')
      setTimeout(() => draining || start(index), RESTART_MS)
    })
  }
  for (let index = 0; index < config.workers; index++) start(index)
  const workers = (): Worker[] => Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined)
  const tell = (signal: NodeJS.Signals) => {
    for (const worker of workers()) worker.process.kill(signal)
  }
  process.on('SIGHUP', () => tell('SIGHUP'))
  await oneOf(['SIGTERM', 'SIGINT'])
  draining = true
  logger.info('draining')
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(1))
  // One that was still starting has served nothing, and ends by the signal itself.
  const exits = workers().map(
    (worker) =>
      new Promise<number>((resolve) => worker.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGTERM' ? 0 : 1)))),
  )
  tell('SIGTERM')
  const codes = await Promise.all(exits)
  process.removeAllListeners('SIGHUP')
  return codes.every((code) => code === 0) ? 0 : 1
}

/** Before a worker that died is replaced (milliseconds): one that can't start must not spin. */
const RESTART_MS = 500
