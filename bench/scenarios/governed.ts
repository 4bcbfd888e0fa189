// Who may do what, with all that is known of it: a registry of clients, their tenant, and a long list of what is revoked.
import { Redis } from 'ioredis'
import { nameOf } from '../../src/revocations/entry.js'
import { openStore } from '../../src/revocations/store.js'
import type { Kind } from '../../src/verify/revocations.js'
import { GOVERNED_PREFIX } from '../place.js'
import { ISSUER, makeClient } from '../requests.js'
import { type Contender, LOAD_COLUMNS, type Scenario } from '../scenario.js'
import { asked, provenRequests } from './loads.js'

const REVOKED = 1_000_000
const REGISTERED = 2_000

export const governed: Scenario = {
  name: 'governed',
  title: 'Registry, tenant and 1,000,000 revocations',
  about: `The proven request without any of it, and with ${REGISTERED.toLocaleString('en')} registered clients, a tenant that is compared with the host, and ${REVOKED.toLocaleString('en')} revoked tokens, subjects, keys and clients, of whom the caller is none.`,
  reading: 'All of it is looked up in memory: how much there is must not show. It may cost a twentieth.',
  columns: LOAD_COLUMNS,
  isDefault: true,
  async open(place) {
    await revokeMany(place.redisPort)
    const client = makeClient('client-1')
    const contenders: Contender[] = []
    for (const variant of place.variants)
      for (const registered of [0, REGISTERED]) {
        const server = await place.holdfast(variant, { registered })
        const ask = (origin: string) => ({ requests: provenRequests(place, client, `${origin}/proven`) })
        contenders.push(asked(place, `${registered === 0 ? 'none of it' : 'all of it'}${variant.label}`, server, '/proven', ask))
      }
    return contenders
  },
}

const KINDS: readonly Kind[] = ['token', 'subject', 'jkt', 'client']
const SLICE = 1_000

async function revokeMany(port: number): Promise<void> {
  const redis = new Redis(port)
  const store = openStore(redis, GOVERNED_PREFIX)
  const terms = JSON.stringify({
    effect: 'refuse',
    issued_before: null,
    until: null,
    at: 1_800_000_000,
    by: 'bench',
    reason: 'bench',
  })
  for (let from = 0; from < REVOKED; from += SLICE) {
    const names = Array.from({ length: SLICE }, (_, i) => entryName(from + i))
    await store.restore(names.map((name) => [name, terms]))
  }
  redis.disconnect()
}

/** Of each kind as many, by names that no caller has. */
function entryName(n: number): string {
  const kind = KINDS[n % KINDS.length] ?? 'token'
  return nameOf({ kind, scope: kind === 'jkt' ? '' : ISSUER, value: `revoked-${n}` })
}
