// Age of the proof, and nonces: a proof made long ago or for later must not pass, and where the server asks for a nonce, only with
// one that it gave, and not long ago.

import type { Attack } from '../attack.js'
import { asksForNonce, headersOf } from '../bench.js'
import { printDraft } from '../draft.js'
import { granting, onProof, refusing, skipped } from '../rules.js'
import { show, showAnswer } from '../show.js'

const refused = refusing('time', 'high', ['dpop'])
const refusedNonce = refusing('time', 'high', ['dpop', 'nonce'])
const grantedNonce = granting('time', 'low', ['dpop', 'nonce'])
const granted = granting('time', 'medium', ['dpop'])
const AGE = 'RFC 9449 §4.3 (11)'
const NONCE = 'RFC 9449 §4.3 (10)'

const aged = (seconds: number) =>
  onProof((proof) => {
    proof.claims.iat = Number(proof.claims.iat) + seconds
  })

/** Dated by its iat alone: a nonce that the server gave unasked would date it too (RFC 9449 §4.3 (11)). */
const dated = (iat: (now: number) => number) =>
  onProof((proof, draft) => {
    draft.retriesNonce = false
    delete proof.claims.nonce
    proof.claims.iat = iat(Number(proof.claims.iat))
  })

/** The server's own nonce is wrong on purpose here, so its demand for a right one is the answer, not a reason to try again. */
const nonce = (change: (nonce: string) => unknown) =>
  onProof((proof, draft) => {
    draft.retriesNonce = false
    const value = change(String(proof.claims.nonce))
    if (value === undefined) delete proof.claims.nonce
    else proof.claims.nonce = value
  })

const changedAt = (index: number) => (text: string) => {
  const at = index < 0 ? text.length + index : index
  return text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
}

export const TIME_ATTACKS: readonly Attack[] = [
  ...[
    ['an hour', 3600],
    ['ten minutes', 600],
    ['a day', 86_400],
  ].map(([words, seconds]) =>
    refused(
      [`old-${seconds}`, `iat is ${words} ago`, AGE],
      dated((now) => now - Number(seconds)),
      { needs: ['no nonce'] },
    ),
  ),
  ...[
    ['ten minutes', 600],
    ['an hour', 3600],
    ['a day', 86_400],
  ].map(([words, seconds]) =>
    refused(
      [`ahead-${seconds}`, `iat is ${words} ahead`, 'RFC 9449 §11.1'],
      dated((now) => now + Number(seconds)),
      {
        needs: ['no nonce'],
      },
    ),
  ),
  // RFC 9449 §11.1 leaves "seconds or minutes"; the number is FAPI's.
  refused(
    ['ahead-90', 'iat is 90 seconds ahead', 'FAPI 2.0 §5.3.2.1'],
    dated((now) => now + 90),
    {
      needs: ['no nonce'],
      severity: 'low',
    },
  ),
  refused(['ahead-day-with-nonce', 'iat is a day ahead, with a right nonce', 'RFC 9449 §11.1'], aged(86_400), {
    needs: ['nonce'],
    severity: 'low',
  }),
  refused(['old-day-with-nonce', 'iat is a day ago, with a right nonce', AGE], aged(-86_400), {
    needs: ['nonce'],
    severity: 'low',
  }),
  refused(
    ['iat-milliseconds', 'iat in milliseconds', 'RFC 7519 §2'],
    dated(() => Date.now()),
    { needs: ['no nonce'] },
  ),
  refused(
    ['iat-zero', 'iat is 0', AGE],
    dated(() => 0),
    { needs: ['no nonce'] },
  ),
  refused(
    ['iat-negative', 'iat is -1', AGE],
    dated(() => -1),
    { needs: ['no nonce'] },
  ),
  refused(
    ['exp-past', 'the proof has an exp that is past', 'RFC 7519 §4.1.4'],
    onProof((proof) => {
      proof.claims.exp = Number(proof.claims.iat) - 60
    }),
    {
      severity: 'medium',
    },
  ),
  refused(
    ['nbf-ahead', 'the proof has an nbf far ahead', 'RFC 7519 §4.1.5'],
    onProof((proof) => {
      proof.claims.nbf = Number(proof.claims.iat) + 3600
    }),
    {
      severity: 'medium',
    },
  ),
  granted(['slow-clock', 'iat is 10 seconds ago', 'FAPI 2.0 §5.3.2.1'], aged(-10)),
  granted(['fast-clock', 'iat is 8 seconds ahead', 'FAPI 2.0 §5.3.2.1'], aged(8)),
  granted(
    ['nbf-exp', 'the proof has a right nbf and exp', 'RFC 7519 §4.1'],
    onProof((proof) => {
      proof.claims.nbf = proof.claims.iat
      proof.claims.exp = Number(proof.claims.iat) + 300
    }),
  ),

  refusedNonce(
    ['no-nonce', 'no nonce, where the server asks for one', NONCE],
    nonce(() => undefined),
  ),
  refusedNonce(
    ['nonce-made-up', 'a nonce that the server never gave', NONCE],
    nonce(() => 'bm9uY2Utb2Ytbm9ib2R5'),
  ),
  refusedNonce(
    ['nonce-empty', 'an empty nonce', NONCE],
    nonce(() => ''),
  ),
  refusedNonce(['nonce-first', 'a nonce changed at its start', NONCE], nonce(changedAt(0))),
  refusedNonce(['nonce-last', 'a nonce changed near its end', NONCE], nonce(changedAt(-3))),
  refusedNonce(
    ['nonce-list', 'a list with the right nonce in it', NONCE],
    nonce((right) => [right]),
    { severity: 'medium' },
  ),
  refusedNonce(
    ['nonce-number', 'a nonce that is a number', NONCE],
    nonce(() => 7),
    { severity: 'medium' },
  ),
  refusedNonce(
    ['nonce-longer', 'the right nonce with something behind it', NONCE],
    nonce((right) => `${right}x`),
  ),
  grantedNonce(['nonce-again', 'the same nonce for a second proof', 'RFC 9449 §11.1'], () => undefined),
  {
    ...refusedNonce(['nonce-answer', 'what the demand for a nonce says', 'RFC 9449 §9'], () => undefined, { severity: 'low' }),
    expected: '401, error="use_dpop_nonce", one DPoP-Nonce of legal characters',
    run: async (bench) => {
      const draft = await bench.draft()
      await nonce(() => undefined)(draft, bench)
      const printed = printDraft(draft)
      const answer = await bench.send(printed)
      if (bench.isGranted(answer)) return skipped('it is not asked for')
      const given = headersOf(answer, 'dpop-nonce')
      // RFC 9449 §8.1: 1*NQCHAR.
      const right = asksForNonce(answer) && given.length === 1 && /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(given[0] ?? '')
      return {
        verdict: right ? 'held' : 'wrong',
        sent: show(printed),
        came: `${showAnswer(answer)} with ${given.length} DPoP-Nonce`,
      }
    },
  },
]
