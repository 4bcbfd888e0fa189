// kits/vectors.json: what every kit of kits/ must grant and refuse, made by the gateway's own code at one second of one day.
import { existsSync, readFileSync } from 'node:fs'
import { badDrafts } from './bad.js'
import { goodDrafts } from './good.js'
import { vectorKeys } from './keys.js'
import { ISSUER, NOW, print, type Vector } from './vector.js'

export const VECTORS = 'kits/vectors.json'

export type VectorFile = {
  readonly issuer: string
  readonly jwks: { readonly keys: readonly object[] }
  /** Epoch seconds. */
  readonly now: number
  readonly vectors: readonly Vector[]
}

const JWT = /[\w-]+\.[\w-]+\.[\w-]+/g

/** The file's text; `path`: where it is already, so that its signatures stay as they are. */
export function vectorsJson(path: string = VECTORS): string {
  const keys = vectorKeys(existsSync(path) ? (readFileSync(path, 'utf8').match(JWT) ?? []) : [])
  const good = goodDrafts(keys)
  const vectors = [
    ...good.map((draft) => print(draft, null)),
    ...badDrafts(good, keys).map(({ draft, wrong }) => print(draft, wrong)),
  ]
  const file: VectorFile = { issuer: ISSUER, jwks: keys.jwks, now: NOW, vectors }
  return `${JSON.stringify(file, null, 2)}\n`
}
