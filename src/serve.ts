// `holdfast serve`: one process, or a primary that keeps as many workers as routes.yaml asks for. Signals: SIGHUP reloads, SIGTERM
// and SIGINT drain, a second one exits at once. Says one line when requests are accepted (contract §1).

import cluster from 'node:cluster'
import { resolve } from 'node:path'
import type { Command, Io } from './cli/command.js'
import { catchHangups } from './cluster/hangups.js'
import { type PrimaryOptions, runPrimary, type Timing } from './cluster/primary.js'
import { logger, oneOf, orExit, start, take } from './cluster/process.js'
import { createReloads, type Read, readNow, readOf } from './cluster/reloads.js'
import { makeSecrets, rotateTicketSecret } from './cluster/secrets.js'
import { runWorker } from './cluster/worker.js'
import { formatProblem } from './config/problems.js'

const HELP = `holdfast serve [routes.yaml]

Runs the gateway. One line on stderr says when it accepts requests: addresses, workers, policy version.

  routes.yaml   the configuration (default: routes.yaml); \`holdfast check\` finds its problems first
  --help        this text

The configuration is loaded again when one of its files changes (\`watch\`) and at SIGHUP: all of it is taken, or it is logged what
is wrong and the old one stays. SIGTERM and SIGINT drain and exit 0; a second one exits at once. Audit events go to the file
routes.yaml names, else to standard output; everything else to stderr.
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
    catchHangups()
    const { loaded, recording } = readNow(file, io.env, null)
    const { config, problems } = loaded
    if (config === null) {
      for (const problem of problems) io.err(formatProblem(problem))
      io.err(`holdfast: not started: ${problems.length} problem(s) in the configuration, listed above`)
      return 1
    }
    const first = readOf(config, recording)
    const read = (running: Read) => readNow(file, io.env, running)
    const { workers } = config
    return workers === 1 ? runAlone({ first, read, timing, io }) : runPrimary({ workers, log: logger, first, read, timing })
  },
})

export const serve = serveWith({})

type Alone = Omit<PrimaryOptions, 'workers' | 'log'> & { readonly io: Io }

async function runAlone({ first, read, timing, io }: Alone): Promise<number> {
  const gateway = await orExit(start(first.config, { worker: 0, ...makeSecrets() }), io)
  const { addresses, adminAddress: admin } = gateway
  logger.info({ addresses, admin, policy_version: first.config.policyVersion, workers: 1 }, 'accepting requests')
  const stopRotation = rotateTicketSecret(gateway.setTicketSecret, timing.rotation)
  const reloads = createReloads({
    first,
    read: (running) => {
      const reading = read(running)
      // Whatever comes of it: until now nothing else was done.
      gateway.excuseStall()
      return reading
    },
    take: ({ config }) => take(gateway, config),
    tell: async (report) => {
      if (report.problem !== null) await gateway.reopenAudit()
      gateway.reportReload(report)
    },
    log: logger,
  })
  const signals: NodeJS.Signals[] = ['SIGTERM', 'SIGINT']
  await oneOf(signals)
  logger.info('draining')
  for (const signal of signals) process.once(signal, () => process.exit(1))
  stopRotation()
  reloads.stop()
  await gateway.drain()
  return 0
}
