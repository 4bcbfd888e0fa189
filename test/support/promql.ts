// Which metrics and labels does a PromQL expression speak of? As much of its grammar as that takes: strings, selectors with matchers,
// grouping clauses. Whether it is well-formed is promtool's to say.

export type Matcher = { readonly label: string; readonly value: string; readonly isPattern: boolean }
export type Selector = { readonly metric: string; readonly matchers: readonly Matcher[] }
export type Spoken = {
  readonly selectors: readonly Selector[]
  /** Labels of `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`. */
  readonly grouping: readonly string[]
}

const TOKEN =
  /\s*(?:("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|([A-Za-z_:][\w:]*)|(\d[\w.]*)|(=~|!~|!=|==|>=|<=|[-+*/%^(){}[\],:<>=@]))/y
const GROUPING = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right'])
const WORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan', 'start', 'end', 'atan2'])

function tokensOf(text: string): readonly string[] {
  const tokens: string[] = []
  TOKEN.lastIndex = 0
  while (text.slice(TOKEN.lastIndex).trim() !== '') {
    const at = TOKEN.lastIndex
    const found = TOKEN.exec(text)
    if (found === null) throw new Error(`not PromQL at: ${text.slice(at)}`)
    tokens.push(found[0].trim())
  }
  return tokens
}

const isName = (token: string | undefined): token is string => token !== undefined && /^[A-Za-z_:]/.test(token)

/** Throws for what is no PromQL at first sight. */
export function readPromql(text: string): Spoken {
  const tokens = tokensOf(text)
  const selectors: Selector[] = []
  const grouping: string[] = []
  let at = 0
  const list = (close: string): string[] => {
    const end = tokens.indexOf(close, at)
    if (end < 0) throw new Error(`no ${close} in: ${text}`)
    const inside = tokens.slice(at, end)
    at = end + 1
    return inside.filter((token) => token !== ',')
  }
  const matchers = (): Matcher[] => {
    if (tokens[at] !== '{') return []
    at++
    const inside = list('}')
    const found: Matcher[] = []
    for (let i = 0; i < inside.length; i += 3) {
      const [label = '', operator = '', value = ''] = inside.slice(i, i + 3)
      if (!isName(label) || !/^(=|!=|=~|!~)$/.test(operator)) throw new Error(`no matcher: ${inside.slice(i).join(' ')}`)
      found.push({ label, value: value.slice(1, -1), isPattern: operator.endsWith('~') })
    }
    return found
  }
  while (at < tokens.length) {
    const token = tokens[at++]
    // A range or a subquery: durations, which are no names.
    if (token === '[') list(']')
    else if (token === '{') throw new Error(`a selector without a metric: ${text}`)
    else if (isName(token) && GROUPING.has(token)) {
      if (tokens[at] !== '(') continue
      at++
      grouping.push(...list(')'))
    } else if (isName(token) && !WORDS.has(token)) {
      const isCall = tokens[at] === '(' || GROUPING.has(tokens[at] ?? '')
      if (!isCall) selectors.push({ metric: token, matchers: matchers() })
    }
  }
  return { selectors, grouping }
}
