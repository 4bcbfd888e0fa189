// How the walk is shown: one table in which every row says what was tried, what should come of it and what did.

export type Result = {
  readonly what: string
  readonly request: string
  readonly tier: string
  readonly expected: string
  readonly got: string
  readonly ok: boolean
}

const HEAD = ['', 'what', 'request', 'tier', 'expected', 'got', ''] as const

/** Lines of the table, columns as wide as their longest cell. */
export function tableOf(results: readonly Result[]): readonly string[] {
  const rows = results.map(({ what, request, tier, expected, got, ok }, index) => [
    String(index + 1),
    what,
    request,
    tier,
    expected,
    ok && got === expected ? 'as expected' : got,
    ok ? 'ok' : 'NOT OK',
  ])
  const widths = HEAD.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [line(HEAD), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)]
}

export type Progress = { readonly say: (step: string) => void; readonly done: () => void }

/** On a terminal one line that changes; elsewhere a line for each step. */
export function progressOn(stream: NodeJS.WriteStream): Progress {
  if (!stream.isTTY) return { say: (step) => void stream.write(`${step}\n`), done: () => {} }
  return {
    say: (step) => void stream.write(`\r\x1b[2K${step}`),
    done: () => void stream.write('\r\x1b[2K'),
  }
}
