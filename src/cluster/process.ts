// What a process that serves does, alone or as one of several: it starts or says why not, and takes another configuration.

import pino from 'pino'
import { type Io, VERSION } from '../cli/command.js'
import type { Config } from '../config/config.js'
import type { Gateway } from '../gateway.js'
import type { GatewayOptions } from '../running.js'

/** The operator's log, on stderr; standard output may be the audit log. */
export const logger = pino({ base: { pid: process.pid } }, pino.destination({ dest: 2, sync: true }))

/** Resolves when requests are accepted; rejects with a message for the operator. */
export async function start(config: Config, options: Omit<GatewayOptions, 'log' | 'version'>): Promise<Gateway> {
  // A primary has no use for all the code behind it.
  const { startGateway } = await import('../gateway.js')
  return startGateway(config, { ...options, version: VERSION, log: (message) => logger.warn(message) })
}

/**
 * Ends the process with exit code 1 where it can't begin to serve: what was opened by then would keep it, and there is nothing to
 * finish.
 */
export async function orExit<T>(begin: Promise<T>, io: Io): Promise<T> {
  try {
    return await begin
  } catch (error) {
    io.err(`holdfast serve: ${messageOf(error)}`)
    return process.exit(1)
  }
}

/** Takes another configuration, and opens the audit file anew in any case. Resolves to why it was not taken; null: it was. */
export async function take(gateway: Gateway, config: Config | null): Promise<string | null> {
  await gateway.reopenAudit()
  if (config === null) return 'reload: the configuration that was found good has problems here'
  try {
    await gateway.reload(config)
    return null
  } catch (error) {
    return `reload: ${messageOf(error)}; the old one serves on`
  }
}

/** Resolves at the first of these signals. */
export const oneOf = (signals: readonly NodeJS.Signals[]): Promise<'stopped'> =>
  new Promise((resolve) => {
    for (const signal of signals) process.once(signal, () => resolve('stopped'))
  })

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Tasks begin when those before them are done, however they ended. */
export function oneAfterAnother(failed: (error: unknown) => void): (task: () => Promise<void>) => Promise<void> {
  let last = Promise.resolve()
  return (task) => {
    last = last.then(task).catch(failed)
    return last
  }
}
