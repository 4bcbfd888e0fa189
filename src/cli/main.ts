// Which command is meant? The list of them is the table of contract §1. Errors go to stderr and say what to do next.

import { certs } from './certs.js'
import { check } from './check.js'
import { client } from './client.js'
import { type Command, type Io, VERSION } from './command.js'
import { explain } from './explain.js'
import { probe } from './probe.js'

/** Runs `holdfast COMMAND ...`; `serve` is given, because it alone builds a gateway. Returns the exit code. */
export async function runCli(argv: readonly string[], io: Io, serve: Command): Promise<number> {
  const commands = [serve, check, explain, certs, client, probe]
  const [name, ...args] = argv
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    for (const line of usage(commands)) io.out(line)
    return name === undefined ? 2 : 0
  }
  if (name === '--version') {
    io.out(VERSION)
    return 0
  }
  const command = commands.find((one) => one.name === name)
  if (command === undefined) {
    io.err(`holdfast: there is no command ${JSON.stringify(name)}`)
    io.err('try: holdfast --help')
    return 2
  }
  if (args.includes('--help') || args.includes('-h')) {
    io.out(command.help.trimEnd())
    return 0
  }
  try {
    return await command.run(args, io)
  } catch (error) {
    io.err(`holdfast ${name}: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
}

const usage = (commands: readonly Command[]): readonly string[] => [
  'holdfast: an edge gateway that makes stolen tokens useless',
  '',
  'usage: holdfast COMMAND [options]',
  '',
  ...commands.map(({ name, summary }) => `  ${name.padEnd(9)} ${summary}`),
  '',
  'holdfast COMMAND --help tells all of one command; docs/settings.md, of routes.yaml.',
]
