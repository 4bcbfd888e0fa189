// The list as one process holds it: what verify looks up on each request. Terms that many entries share, as those of one incident do, are
// held once: a million entries are little more than their names.

import { KINDS, type Kind, type RevocationList, type Terms } from '../verify/revocations.js'
import { nameOf, readName, readTerms } from './entry.js'

export type HeldList = RevocationList & {
  /** Takes an entry as Redis has it. A name that is none of ours is left out. */
  set(name: string, terms: string): void
  delete(name: string): void
  /** Entries that refuse, by kind. */
  counts(): Readonly<Record<Kind, number>>
  /** All entries as they stand in Redis: name, terms, name, terms, ... */
  entries(): Iterable<readonly [name: string, terms: string]>
}

/** Terms that are looked for before new ones are read. */
const MOST_SHARED = 1000

type Values = Map<string, Terms>

const ofEach = <T>(make: () => T): Record<Kind, T> => Object.fromEntries(KINDS.map((kind) => [kind, make()])) as Record<Kind, T>

export function createList(): HeldList {
  const kinds = ofEach((): Map<string, Values> => new Map())
  const counts = ofEach(() => 0)
  const shared = new Map<string, Terms>()
  let size = 0

  const change = (kind: Kind, before: Terms | undefined, after: Terms | undefined): void => {
    size += Number(after !== undefined) - Number(before !== undefined)
    counts[kind] += Number(after?.effect === 'refuse') - Number(before?.effect === 'refuse')
  }
  const termsFrom = (text: string): Terms => {
    const known = shared.get(text)
    if (known !== undefined) return known
    const terms = readTerms(text)
    if (shared.size >= MOST_SHARED) shared.clear()
    shared.set(text, terms)
    return terms
  }

  return {
    get size() {
      return size
    },
    termsOf: (kind, scope, value) => kinds[kind].get(scope)?.get(value),
    set(name, text) {
      const target = readName(name)
      if (target === null) return
      const { kind, scope, value } = target
      const scopes = kinds[kind]
      const values = scopes.get(scope) ?? new Map<string, Terms>()
      scopes.set(scope, values)
      const terms = termsFrom(text)
      change(kind, values.get(value), terms)
      values.set(value, terms)
    },
    delete(name) {
      const target = readName(name)
      const values = target === null ? undefined : kinds[target.kind].get(target.scope)
      if (target === null || values === undefined) return
      change(target.kind, values.get(target.value), undefined)
      values.delete(target.value)
    },
    counts: () => ({ ...counts }),
    *entries() {
      for (const kind of KINDS)
        for (const [scope, values] of kinds[kind])
          for (const [value, terms] of values) yield [nameOf({ kind, scope, value }), JSON.stringify(terms)]
    },
  }
}
