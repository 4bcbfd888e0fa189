// What stands in the headers that a hop is believed? Never read: `X_Forwarded_For` for `X-Forwarded-For`, which backends take for the same
// and proxies do not replace; trailers; and what `Connection` names, because whoever sent that meant it to be taken away on the way.

/** The values of all lines of this name (lower case), in order. */
export function linesOf(rawHeaders: readonly string[], name: string): readonly string[] {
  const lines: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const value = rawHeaders[i + 1] ?? ''
    const lower = rawHeaders[i]?.toLowerCase()
    if (lower === name) lines.push(value)
    else if (
      lower === 'connection' &&
      value
        .toLowerCase()
        .split(',')
        .some((option) => option.trim() === name)
    )
      return []
  }
  return lines
}
