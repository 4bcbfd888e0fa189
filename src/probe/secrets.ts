// What must not stand in a report? Every token that was had: attacks send it in headers, queries and claims, and servers echo it.

import type { Report } from './attack.js'
import type { Holder } from './bench.js'

/** What is shorter is not taken for a token, or the report would be full of holes. */
const LEAST_SECRET = 12
const TELLING = 24
const SHOWN = 8

/** The same holder; each of its tokens is added to `secrets`. */
export function noting({ key, tokens, tokensFor }: Holder, secrets: Set<string>): Holder {
  const noted = (source: Holder['tokens']): Holder['tokens'] => ({
    ...source,
    current: async () => {
      const token = await source.current()
      secrets.add(token.text)
      return token
    },
  })
  return { key, tokens: noted(tokens), tokensFor: tokensFor && ((key) => noted(tokensFor(key))) }
}

/** Wherever a token begins, in whatever became of it, it is cut short. */
export function withoutTokens(report: Report, secrets: ReadonlySet<string>): Report {
  const patterns = [...secrets]
    .filter((secret) => secret.length >= LEAST_SECRET)
    .flatMap((secret) => [secret.slice(0, TELLING), encodeURIComponent(secret).slice(0, TELLING)])
    .map((start) => new RegExp(`${start.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}[\\w.~+/=%-]*`, 'g'))
  const cut = (text: string): string =>
    patterns.reduce(
      (text, pattern) => text.replace(pattern, (token) => `${token.slice(0, SHOWN)}... (${token.length} characters)`),
      text,
    )
  const findings = report.findings.map((finding) => {
    const { verdict, sent, came } = finding.outcome
    return { ...finding, outcome: { verdict, sent: cut(sent), came: cut(came) } }
  })
  return { ...report, findings }
}
