// What the tests of advisories share: a granted request with one thing changed, and how it was answered.
import type t from 'tap'
import { type Draft, makeDraft } from '../support/draft.js'
import type { Reply } from '../support/http.js'
import { HOST, type Lab, type SendOptions } from '../support/lab.js'

export type Tap = Pick<typeof t, 'equal' | 'same' | 'match' | 'ok' | 'notOk' | 'notMatch'>

/** What routes that want a token must say where there are several issuers. */
export const ISSUER = 'issuers: [https://as.example.com]'

/** A request that is granted, with what `change` does to it. */
export function changed(change: (draft: Draft) => void = () => undefined, path = '/read/1', method = 'GET'): Draft {
  const draft = makeDraft({ host: HOST, path, method })
  change(draft)
  return draft
}

/** The proof of a draft that has one. */
export function proofOf(draft: Draft): NonNullable<Draft['proof']> {
  if (draft.proof === null) throw new Error('the draft has a proof')
  return draft.proof
}

/** As `changed`, with these claims in its proof; undefined takes one away. */
export const claims = (values: Record<string, unknown>, path?: string): Draft =>
  changed((draft) => {
    const proof = proofOf(draft)
    const kept = Object.entries({ ...proof.claims, ...values }).filter(([, value]) => value !== undefined)
    proof.claims = Object.fromEntries(kept)
  }, path)

/** `granted`, the reason of a refusal, or the status of an answer that is neither. */
export function reasonOf(reply: Pick<Reply, 'status' | 'body'>): string {
  if (reply.status < 300) return 'granted'
  try {
    return String(JSON.parse(reply.body).reason)
  } catch {
    return String(reply.status)
  }
}

/** Sends it, and holds that the refusal is the one expected and the upstream was not asked. */
export async function refuses(
  t: Tap,
  lab: Lab,
  draft: Draft,
  reason: string,
  why = reason,
  options?: SendOptions,
): Promise<void> {
  const before = lab.upstreamCalls()
  t.equal(reasonOf(await lab.send(draft, options)), reason, why)
  t.equal(lab.upstreamCalls(), before, `${why}: the upstream is not asked`)
}

/** Sends it, and holds that it reached the upstream. */
export async function grants(t: Tap, lab: Lab, draft: Draft, why = 'granted', options?: SendOptions): Promise<void> {
  const before = lab.upstreamCalls()
  t.equal(reasonOf(await lab.send(draft, options)), 'granted', why)
  t.equal(lab.upstreamCalls(), before + 1, `${why}: the upstream is asked`)
}

/** Header lines of a flat list, names as they came. */
export function pairsOf(rawHeaders: readonly string[]): [name: string, value: string][] {
  const pairs: [string, string][] = []
  for (let i = 0; i < rawHeaders.length; i += 2) pairs.push([rawHeaders[i] ?? '', rawHeaders[i + 1] ?? ''])
  return pairs
}

/** Every way in which a test writes a header's name: as it is, and in lower, upper and mixed case. */
export const casesOf = (name: string): string[] => [
  name,
  name.toLowerCase(),
  name.toUpperCase(),
  [...name].map((letter, i) => (i % 2 === 0 ? letter.toLowerCase() : letter.toUpperCase())).join(''),
]
