// How is an attack written down? Most change one thing of the right request and expect a refusal; some change what must not
// matter and expect a grant. These two make the catalogue read like a list.

import { createPublicKey, type KeyObject } from 'node:crypto'
import type { HeldKey } from '../client/key.js'
import type { Attack, Need, Outcome, Severity, Topic } from './attack.js'
import type { Bench, RefusalOptions } from './bench.js'
import { type Draft, jwt, type ProofDraft, signerOf } from './draft.js'

type Change = (draft: Draft, bench: Bench) => void | Promise<void>
type Words = readonly [id: string, title: string, spec: string]
export type AttackOptions = RefusalOptions & { readonly needs?: readonly Need[]; readonly severity?: Severity }

const rows =
  (expected: 'refused' | 'granted') =>
  (topic: Topic, severity: Severity, needs: readonly Need[]) =>
  ([id, title, spec]: Words, change: Change, options: AttackOptions = {}): Attack => ({
    id: `${topic}-${id}`,
    topic,
    title,
    spec,
    severity: options.severity ?? severity,
    expected,
    needs: [...needs, ...(options.needs ?? [])],
    run: async (bench) => {
      const draft = await bench.draft()
      await change(draft, bench)
      return expected === 'refused' ? bench.mustRefuse(draft, options) : bench.mustGrant(draft)
    },
  })

/** Attacks of one topic that must be refused; each row says what it changes. */
export const refusing = rows('refused')

/** Requests that look odd and are right: refusing them turns honest clients away. */
export const granting = rows('granted')

/** A change of the draft's proof, which attacks with the need `dpop` always have. */
export const onProof =
  (change: (proof: ProofDraft, draft: Draft, bench: Bench) => void | Promise<void>): Change =>
  (draft, bench) => {
    if (draft.proof === null) throw new Error('the draft has no proof')
    return change(draft.proof, draft, bench)
  }

/** Sets a member of the proof's claims, or takes it away when `value` is undefined. */
export const claim = (name: string, value: unknown): Change => onProof(({ claims }) => set(claims, name, value))

/** The same for the proof's header. */
export const header = (name: string, value: unknown): Change => onProof(({ header }) => set(header, name, value))

function set(members: Record<string, unknown>, name: string, value: unknown): void {
  if (value === undefined) delete members[name]
  else members[name] = value
}

export const skipped = (why: string): Outcome => ({ verdict: 'skipped', sent: '', came: why })

/** A token that is bound to this very key, so that nothing is wrong with the request but the key or its algorithm. */
export async function draftBoundTo(bench: Bench, privateKey: KeyObject, alg: string): Promise<Draft | Outcome> {
  const publicJwk = createPublicKey(privateKey).export({ format: 'jwk' }) as HeldKey['publicJwk']
  const sign = signerOf(privateKey, alg)
  const key = {
    // The type lists what a careful client holds; these keys are what a careless one may.
    alg: alg as HeldKey['alg'],
    kid: null,
    publicJwk,
    privateKey,
    sign: async (header: object, claims: object) => jwt(JSON.stringify({ ...header, alg }), JSON.stringify(claims), sign),
  }
  return (await bench.draftBoundTo(key)) ?? skipped('the authorization server gives no token bound to such a key')
}
