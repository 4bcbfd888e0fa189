// What the caches of a gateway hold, as /metrics tells it.
import type { Lab } from './lab.js'

export type CacheState = { readonly entries: number; readonly bytes: number; readonly evictions: number }

/** Nothing that is looked up shows in it: it changes when an entry comes or goes. */
export async function readCaches(lab: Lab): Promise<Record<'tokens' | 'proof_keys', CacheState>> {
  const { body } = await lab.admin('/metrics')
  const read = (what: string, cache: string): number => {
    const [, value] = new RegExp(`^holdfast_cache_${what}\\{cache="${cache}"\\} (\\d+)$`, 'm').exec(body) ?? []
    if (value === undefined) throw new Error(`/metrics does not tell ${what} of ${cache}: ${body}`)
    return Number(value)
  }
  const stateOf = (cache: string): CacheState => ({
    entries: read('entries', cache),
    bytes: read('bytes', cache),
    evictions: read('evictions_total', cache),
  })
  return { tokens: stateOf('tokens'), proof_keys: stateOf('proof_keys') }
}
