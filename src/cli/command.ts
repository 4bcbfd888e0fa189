// What a command of `holdfast` is, and all it sees of the world around it.

/** As in package.json. */
export const VERSION = '0.1.0'

export type Io = {
  /** One line to standard output. */
  readonly out: (line: string) => void
  /** One line to standard error. */
  readonly err: (line: string) => void
  readonly env: Readonly<Record<string, string | undefined>>
  /** Absolute; relative paths in arguments start from it. */
  readonly cwd: string
  /** All of standard input; left out: what the process has. */
  readonly stdin?: () => string
  /** A person who can be asked and shown; left out where there is none (a pipe, a job). */
  readonly terminal?: Terminal
}

export type Terminal = {
  /** One line of answer. */
  readonly ask: (question: string) => Promise<string>
  /** Replaces the line shown before; null takes it away. */
  readonly progress: (line: string | null) => void
  /** Characters in a line. */
  readonly columns: number
}

export type Command = {
  readonly name: string
  /** One line of `holdfast --help`. */
  readonly summary: string
  /** What `holdfast NAME --help` prints. */
  readonly help: string
  /** Resolves to the exit code: 0 done, 1 problems found, 2 wrong usage. */
  readonly run: (args: readonly string[], io: Io) => Promise<number>
}
