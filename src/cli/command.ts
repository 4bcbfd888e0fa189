// What a command of `holdfast` is, and all it sees of the world around it.

export type Io = {
  /** One line to standard output. */
  readonly out: (line: string) => void
  /** One line to standard error. */
  readonly err: (line: string) => void
  readonly env: Readonly<Record<string, string | undefined>>
  /** Absolute; relative paths in arguments start from it. */
  readonly cwd: string
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
