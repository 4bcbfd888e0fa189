// Does a JSON text say all once? By its tokens, unlike the gateway's own walk; for texts that JSON.parse takes.

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g

export function saysAllOnce(text: string): boolean {
  const open: string[][] = []
  const tokens = text.match(TOKEN) ?? []
  return tokens.every((token, i) => {
    if (token === '{' || token === '[') open.push([])
    else if (token === '}' || token === ']') {
      const names = open.pop() ?? []
      return new Set(names).size === names.length
    } else if (tokens[i + 1] === ':') open.at(-1)?.push(String(JSON.parse(token)))
    return true
  })
}
