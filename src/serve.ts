// `holdfast serve`: one process, or a primary that keeps as many workers as routes.yaml asks for. Signals: SIGHUP reloads, SIGTERM
// and SIGINT drain, a second one exits at once. Says one line when requests are accepted (contract §1).

import cluster from 'node:cluster'
import { resolve } from 'node:path'
import type { Command, Io } from './cli/command.js'
import { type Read, runPrimary, type Timing } from './cluster/primary.js'
import { logger, logProblems, oneOf, orExit, refusalOf, reload, start } from './cluster/process.js'
import { makeSecrets, rotateTicketSecret } from './cluster/secrets.js'
import { runWorker } from './cluster/worker.js'
import type { Config } from './config/config.js'
import { recordingDisk } from './config/disk.js'
import { loadConfig } from './config/load.js'
import { formatProblem } from './config/problems.js'

const HELP = `holdfast serve [routes.yaml]

Runs the gateway. One line on stderr says when it accepts requests: addresses, workers, policy version.

  routes.yaml   the configuration (default: routes.yaml); \`holdfast check\` finds its problems first
  --help        this text

Signals: SIGHUP loads the configuration again (a bad one is logged, the old one stays); SIGTERM and SIGINT drain and exit 0;
a second one exits at once. Audit events go to the file routes.yaml names, else to standard output; everything else to stderr.
Exit code: 0 drained, 1 the configuration has problems or a port is taken, 2 wrong usage.
`

/** Tests shorten times. */
export const serveWith = (timing: Timing): Command => ({
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
    if (cluster.isWorker) return orExit(runWorker(file, io), io)
    const { disk, texts } = recordingDisk()
    const { config, problems } = loadConfig(file, io.env, null, disk)
    if (config === null) {
      for (const problem of problems) io.err(formatProblem(problem))
      io.err(`holdfast: not started: ${problems.length} problem(s) in the configuration, listed above`)
      return 1
    }
    if (config.workers === 1) return runAlone(file, { config, timing, io })
    const { workers, policyVersion } = config
    const readAgain = () => readFor(config, file, io)
    return runPrimary({ workers, log: logger, first: { texts, policyVersion }, readAgain, timing })
  },
})

export const serve = serveWith({})

/** What workers are to load, or why they are not; `running` is what a reload may not change all of. */
function readFor(running: Config, file: string, io: Io): Read | { readonly problem: string } {
  const { disk, texts } = recordingDisk()
  const loaded = loadConfig(file, io.env, running, disk)
  logProblems(loaded)
  return loaded.config === null ? { problem: refusalOf(loaded) } : { texts, policyVersion: loaded.config.policyVersion }
}

async function runAlone(file: string, { config, timing, io }: { config: Config; timing: Timing; io: Io }): Promise<number> {
  const gateway = await orExit(start(config, { worker: 0, ...makeSecrets() }), io)
  const { addresses, adminAddress: admin } = gateway
  logger.info({ addresses, admin, policy_version: config.policyVersion, workers: 1 }, 'accepting requests')
  const stopRotation = rotateTicketSecret(gateway.setTicketSecret, timing.rotation)
  const onHangup = async (): Promise<void> => {
    const refused = await reload(gateway, () => loadConfig(file, io.env, gateway.config()))
    if (refused === null) return logger.info({ policy_version: gateway.config().policyVersion }, 'reloaded')
    logger.error(refused)
    gateway.reportReload(refused)
  }
  process.on('SIGHUP', onHangup)
  const signals: NodeJS.Signals[] = ['SIGTERM', 'SIGINT']
  await oneOf(signals)
  logger.info('draining')
  for (const signal of signals) process.once(signal, () => process.exit(1))
  stopRotation()
  await gateway.drain()
  process.off('SIGHUP', onHangup)
  return 0
}
