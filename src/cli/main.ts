// Which command is meant? The list of them is the table of contract §1. Errors go to stderr and say what to do next.

import { type Command, type Io, VERSION } from './command.js'

export type LoadCommand = () => Promise<Command>

/** Each is loaded when it is asked for: a gateway need not carry the code of the others. */
const LOADERS = new Map<string, LoadCommand>([
  ['check', async () => (await import('./check.js')).check],
  ['explain', async () => (await import('./explain.js')).explain],
  ['certs', async () => (await import('./certs.js')).certs],
  ['audit', async () => (await import('./audit.js')).audit],
  ['keys', async () => (await import('./keys.js')).keys],
  ['clients', async () => (await import('./clients.js')).clients],
  ['revoke', async () => (await import('./revoke.js')).revoke],
  ['revocations', async () => (await import('./revocations.js')).revocations],
  ['unrevoke', async () => (await import('./unrevoke.js')).unrevoke],
  ['client', async () => (await import('./client.js')).client],
  ['probe', async () => (await import('./probe.js')).probe],
])

/** Runs `holdfast COMMAND ...`; `serve` is given, because it alone builds a gateway. Returns the exit code. */
export async function runCli(argv: readonly string[], io: Io, serve: LoadCommand): Promise<number> {
  const loaders = new Map([['serve', serve], ...LOADERS])
  const [name, ...args] = argv
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    for (const line of usage(await Promise.all([...loaders.values()].map((load) => load())))) io.out(line)
    return name === undefined ? 2 : 0
  }
  if (name === '--version') {
    io.out(VERSION)
    return 0
  }
  const command = await loaders.get(name)?.()
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
  ...commands.map(({ name, summary }) => `  ${name.padEnd(11)} ${summary}`),
  '',
  'holdfast COMMAND --help tells all of one command; docs/settings.md, of routes.yaml.',
]
