// A bench for tests of single attacks: credentials of the lab's issuer, and what came of each attack.
import type { Attack, Need, Outcome, Verdict } from '../../src/probe/attack.js'
import { type Bench, type BenchSettings, openBench } from '../../src/probe/bench.js'
import type { Route } from '../../src/probe/http1.js'
import { clientKey, makeDraft } from '../support/draft.js'
import { signJwt } from '../support/jwt.js'
import { HOST } from '../support/lab.js'

export type Target = { readonly port: number; readonly ca: string | undefined; readonly path?: string; readonly body?: string }

const scheme = 'DPoP'

/** DPoP, unless told otherwise, and every need met that attacks of framing, HTTP/2 and paths have. */
export function makeBench({ port, ca, path = '/read/1', body }: Target, changes: Partial<BenchSettings> = {}): Bench {
  const route: Route = { address: '127.0.0.1', port, hostname: HOST, ca: ca ?? null, own: null }
  const token = async () => {
    const { header, claims, key } = makeDraft({ host: HOST, path }).token
    return { text: signJwt(header, claims, key.privateKey), scheme } as const
  }
  const bench = openBench({
    route,
    origin: `https://${HOST}`,
    host: HOST,
    method: body === undefined ? 'GET' : 'POST',
    path,
    body: body === undefined ? null : Buffer.from(body),
    headers: [],
    credentials: {
      key: { alg: 'ES256', kid: null, publicJwk: clientKey.jwk as never, privateKey: clientKey.privateKey, sign: async () => '' },
      tokens: { current: token, forget: () => undefined },
      tokensFor: null,
    },
    second: null,
    protocol: 'http/1.1',
    grantedStatuses: new Set(),
    echoes: false,
    issuerKeys: [],
    wrongTokens: new Map(),
    rate: 1000,
    flood: 0,
    isPatient: false,
    ...changes,
  })
  for (const need of ['http/1.1', 'http/2'] as const satisfies readonly Need[]) bench.note(need)
  return bench
}

export type Ran = { readonly attack: Attack; readonly outcome: Outcome }

/** One after the other, as `holdfast probe` does, those whose needs are met. */
export async function runAll(bench: Bench, attacks: readonly Attack[]): Promise<readonly Ran[]> {
  const ran: Ran[] = []
  for (const attack of attacks)
    if (attack.needs.every((need) => bench.has.has(need))) ran.push({ attack, outcome: await attack.run(bench) })
  return ran
}

/** Ids of those with this verdict. */
export const idsWith = (ran: readonly Ran[], ...verdicts: readonly Verdict[]): readonly string[] =>
  ran.filter(({ outcome }) => verdicts.includes(outcome.verdict)).map(({ attack }) => attack.id)
