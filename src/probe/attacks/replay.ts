// One proof, one use: a captured proof must not pass again, not as it was, not with other bytes of the same signature, not among
// twenty copies at once, not behind a thousand newer ones. And what is not a replay must pass.

import { generateKeyPairSync } from 'node:crypto'
import type { Attack, Need, Outcome, Severity } from '../attack.js'
import type { Bench } from '../bench.js'
import { ATH, type Draft, type Printed, printDraft, signerOf } from '../draft.js'
import { type Answer, bytesOf } from '../http1.js'
import { skipped } from '../rules.js'
import { show, showAnswer } from '../show.js'

const ONCE = 'RFC 9449 §11.1'
const COPIES = 20
/** For what was sent to be there. */
const SETTLE_MS = 300
const AHEAD_SECONDS = 8
const EVERY_SECONDS = 5
const LONGEST_SECONDS = 660
/** The order of P-256 (FIPS 186-5, SP 800-186 §3.2.1.3): s and n - s are both right for the same r. */
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

type Words = readonly [id: string, title: string]
type Options = {
  readonly severity?: Severity
  readonly needs?: readonly Need[]
  readonly expected?: string
  readonly spec?: string
}

const attack = (
  [id, title]: Words,
  run: Attack['run'],
  { severity = 'high', needs = [], expected = 'refused', spec = ONCE }: Options = {},
): Attack => ({
  id: `replay-${id}`,
  topic: 'replay',
  title,
  spec,
  severity,
  expected,
  needs: ['dpop', ...needs],
  run,
})

/** A request that was granted, as it went over the wire: what a thief has captured. */
async function captured(
  bench: Bench,
  change: (draft: Draft) => void = () => undefined,
): Promise<{ draft: Draft; printed: Printed } | Outcome> {
  const draft = await bench.draft()
  change(draft)
  const printed = printDraft(draft)
  const answer = await bench.send(printed)
  if (bench.isGranted(answer)) return { draft, printed }
  return { verdict: 'unclear', sent: show(printed), came: `the request to capture: ${showAnswer(answer)}` }
}

/** Captures a request, makes another of it, and expects that to be refused. */
const again = (words: Words, make: (printed: Printed, draft: Draft) => Printed | null, options?: Options): Attack =>
  attack(
    words,
    async (bench) => {
      const first = await captured(bench)
      if ('verdict' in first) return first
      const second = make(first.printed, first.draft)
      return second === null ? skipped('the key is not of the kind that this needs') : bench.mustRefuse(second)
    },
    options,
  )

const withProof = (printed: Printed, change: (proof: string) => string): Printed => ({
  ...printed,
  lines: printed.lines.map(([name, value]) => [name, name.toLowerCase() === 'dpop' ? change(value) : value]),
})

const withSignature = (printed: Printed, change: (text: string) => string): Printed =>
  withProof(printed, (proof) => {
    const [header, claims, signature = ''] = proof.split('.')
    return `${header}.${claims}.${change(signature)}`
  })

function mirrored(printed: Printed, { proof }: Draft): Printed | null {
  if (proof?.header.alg !== 'ES256') return null
  return withSignature(printed, (text) => {
    const bytes = Buffer.from(text, 'base64url')
    const s = BigInt(`0x${bytes.toString('hex', 32)}`)
    return Buffer.concat([bytes.subarray(0, 32), Buffer.from((P256_ORDER - s).toString(16).padStart(64, '0'), 'hex')]).toString(
      'base64url',
    )
  })
}

/** The last character holds bits that decoders drop; another character with the same upper bits is the same signature. */
function spareBits(printed: Printed): Printed | null {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const changed = withSignature(printed, (text) =>
    text.length % 4 === 0 ? text : text.slice(0, -1) + (alphabet[alphabet.indexOf(text.at(-1) ?? 'A') ^ 1] ?? 'A'),
  )
  return JSON.stringify(changed.lines) === JSON.stringify(printed.lines) ? null : changed
}

const resigned = (draft: Draft, change: (claims: Record<string, unknown>) => void): Printed => {
  if (draft.proof !== null) {
    draft.proof.claims = { ...draft.proof.claims, ath: ATH }
    change(draft.proof.claims)
  }
  return printDraft(draft)
}

/** A space more, which JSON and forms do not mind: what refuses it must refuse it for the proof. */
async function otherBody(bench: Bench): Promise<Outcome> {
  const longer = (draft: Draft): void => {
    draft.body = Buffer.concat([draft.body ?? Buffer.alloc(0), Buffer.from(' ')])
  }
  const right = await bench.draft()
  longer(right)
  if (!bench.isGranted(await bench.send(right))) return skipped('a body with a space behind it is refused in any case')
  const first = await captured(bench)
  if ('verdict' in first) return first
  longer(first.draft)
  return bench.mustRefuse({ ...first.printed, body: first.draft.body })
}

const countGranted = (bench: Bench, answers: readonly Answer[]): number =>
  answers.filter((answer) => bench.isGranted(answer)).length

/** All but the last bytes of each copy are there before the last of any is sent: the copies meet in the server, however slow the way. */
async function sendAtOnce(bench: Bench, printed: Printed): Promise<readonly Answer[]> {
  if (bench.settings.protocol === 'h2') return Promise.all(Array.from({ length: COPIES }, () => bench.send(printed)))
  for (let i = 0; i < COPIES; i++) await bench.pace()
  const bytes = bytesOf(printed)
  const connections = await Promise.all(Array.from({ length: COPIES }, () => bench.open(printed.identity)))
  for (const connection of connections) connection.send(bytes.subarray(0, -1))
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  for (const connection of connections) connection.send(bytes.subarray(-1))
  const answers = await Promise.all(connections.map((connection) => connection.answer(printed.method)))
  for (const connection of connections) connection.close()
  return answers
}

async function parallelCopies(bench: Bench): Promise<Outcome> {
  const printed = printDraft(await bench.draft())
  const answers = await sendAtOnce(bench, printed)
  const granted = countGranted(bench, answers)
  const came = `${granted} of ${COPIES} granted`
  return {
    verdict: granted > 1 ? 'through' : granted === 1 ? 'held' : 'unclear',
    sent: `${COPIES} times at once:\n${show(printed)}`,
    came,
  }
}

async function honestInParallel(bench: Bench): Promise<Outcome> {
  const drafts = await Promise.all(Array.from({ length: COPIES }, () => bench.draft()))
  const answers = await Promise.all(drafts.map((draft) => bench.send(draft)))
  const granted = countGranted(bench, answers)
  const limited = answers.some(({ status }) => status === 429 || status === 503)
  return {
    verdict: granted === COPIES ? 'held' : limited ? 'unclear' : 'wrong',
    sent: `${COPIES} right requests at once, each with a proof of its own`,
    came: `${granted} of ${COPIES} granted`,
  }
}

/** The captured proof, sent again behind many newer ones: a store that keeps the last thousand has forgotten it. */
async function behindMany(bench: Bench): Promise<Outcome> {
  const count = bench.settings.flood
  if (count === 0) return skipped('--flood 0')
  const first = await captured(bench)
  if ('verdict' in first) return first
  const sender = bench.series()
  try {
    const refused = await sendHonest(bench, sender, count)
    if (refused !== null && refused.granted < count / 2) {
      return {
        verdict: 'unclear',
        sent: `${count} right requests`,
        came: `${refused.granted} granted, then ${showAnswer(refused.answer)}`,
      }
    }
    const replay = await bench.mustRefuse(first.printed)
    const sent = `behind ${count} newer proofs, again:\n${replay.sent}`
    // What is refused for its age says nothing of what is remembered.
    if (replay.verdict === 'held' && !bench.isGranted(await bench.send(printDraft(await asOldAs(bench, first.draft)))))
      return skipped(`${count} requests took longer than a proof lives here: give a smaller --flood or a larger --rate`)
    if (replay.verdict !== 'held' || refused === null) return { ...replay, sent }
    return {
      verdict: 'wrong',
      sent: `${count} right requests in a row`,
      came: `${refused.granted} granted, then ${showAnswer(refused.answer)}`,
    }
  } finally {
    sender.close()
  }
}

/** A proof of the same age and nonce that was not used. */
async function asOldAs(bench: Bench, { proof }: Draft): Promise<Draft> {
  const draft = await bench.draft()
  if (draft.proof !== null && proof !== null) {
    draft.proof.claims.iat = proof.claims.iat
    if (proof.claims.nonce === undefined) delete draft.proof.claims.nonce
    else draft.proof.claims.nonce = proof.claims.nonce
  }
  return draft
}

/** Null: all were granted. */
async function sendHonest(
  bench: Bench,
  sender: ReturnType<Bench['series']>,
  count: number,
): Promise<{ granted: number; answer: Answer } | null> {
  let refused: Answer | null = null
  let granted = 0
  for (let i = 0; i < count; i++) {
    const answer = await sender.send(await bench.draft())
    if (bench.isGranted(answer)) granted++
    else refused ??= answer
  }
  return refused === null ? null : { granted, answer: refused }
}

/**
 * A proof dated ahead lives longer than one dated now; what remembers it must remember it that long. Each capture is tried once: a
 * store that writes a replay down again would be kept awake by the asking. Ends when an unused proof of that age is refused, too.
 */
async function nearItsEnd(bench: Bench): Promise<Outcome> {
  if (!bench.settings.isPatient) return skipped('takes as long as a proof lives, at most 11 minutes: ask for it with --patient')
  const ahead = (draft: Draft): void => {
    if (draft.proof !== null) draft.proof.claims.iat = Number(draft.proof.claims.iat) + AHEAD_SECONDS
  }
  const captures = []
  for (let i = 0; i < LONGEST_SECONDS / EVERY_SECONDS; i++) {
    const one = await captured(bench, ahead)
    if ('verdict' in one) return one
    captures.push(one)
  }
  const started = Date.now()
  let last: Outcome | null = null
  for (const { draft, printed } of captures) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_SECONDS * 1000))
    if (!bench.isGranted(await bench.send(printDraft(await asOldAs(bench, draft))))) break
    last = await bench.mustRefuse(printed)
    if (last.verdict !== 'held') return { ...last, came: `after ${Math.round((Date.now() - started) / 1000)} s: ${last.came}` }
  }
  return last ?? skipped('a proof dated ahead lives less than five seconds here')
}

async function burnt(bench: Bench): Promise<Outcome> {
  const draft = await bench.draft()
  const right = printDraft(draft)
  const broken = withSignature(right, (text) => (text.startsWith('A') ? 'B' : 'A') + text.slice(1))
  const first = await bench.send(broken)
  if (bench.isGranted(first))
    return { verdict: 'unclear', sent: show(broken), came: `a broken signature passed: ${showAnswer(first)}` }
  return bench.mustGrant(right)
}

/** The thief has seen token and jti, and sends them first with a key of his own. */
async function burntByStranger(bench: Bench): Promise<Outcome> {
  const draft = await bench.draft()
  const strange = await bench.draft()
  if (draft.proof === null || strange.proof === null) return skipped('there is no proof')
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  strange.proof.claims.jti = draft.proof.claims.jti
  Object.assign(strange.proof.header, { alg: 'ES256', jwk: publicKey.export({ format: 'jwk' }) })
  strange.proof.sign = signerOf(privateKey, 'ES256')
  const printed = printDraft(strange)
  const first = await bench.send(printed)
  if (bench.isGranted(first))
    return { verdict: 'unclear', sent: show(printed), came: `a stranger's key passed: ${showAnswer(first)}` }
  return bench.mustGrant(printDraft(draft))
}

async function sameJtiOfAnother(bench: Bench): Promise<Outcome> {
  const first = await captured(bench)
  if ('verdict' in first) return first
  const other = await bench.secondDraft()
  if (other.proof === null || first.draft.proof === null) return skipped('the second client has no DPoP key')
  other.proof.claims.jti = first.draft.proof.claims.jti
  return bench.mustGrant(other)
}

const honest = { severity: 'low', expected: 'granted' } as const

export const REPLAY_ATTACKS: readonly Attack[] = [
  again(['same', 'the same request again'], (printed) => printed),
  again(['mirrored', 'a captured proof with s replaced by n - s: the same signature in other bytes'], mirrored, {
    severity: 'high',
    spec: 'RFC 9449 §11.1, CWE-347',
  }),
  again(['spare-bits', 'a captured proof with unused bits of its signature changed'], spareBits, {
    severity: 'high',
    spec: 'RFC 4648 §3.5',
  }),
  again(['padded', 'a captured proof with padding behind it'], (printed) => withProof(printed, (proof) => `${proof}==`), {
    severity: 'high',
    spec: 'RFC 7515 §2',
  }),
  again(['comma', 'a captured proof with a comma behind it'], (printed) => withProof(printed, (proof) => `${proof},`), {
    severity: 'high',
    spec: 'RFC 9449 §4.3 (1)',
  }),
  again(['spaces', 'a captured proof with spaces around it'], (printed) => withProof(printed, (proof) => ` ${proof} `), {
    severity: 'high',
  }),
  again(['query', 'a captured proof with another query'], (printed) => ({
    ...printed,
    path: `${printed.path}${printed.path.includes('?') ? '&' : '?'}replay=1`,
  })),
  again(['scheme-case', 'a captured request with its scheme in other case'], (printed) => ({
    ...printed,
    lines: printed.lines.map(([name, value]) => [
      name,
      name === 'Authorization' ? value.replace(/^\w+/, (scheme) => scheme.toLowerCase()) : value,
    ]),
  })),
  attack(['body', 'a captured proof with another body'], otherBody, { needs: ['body'] }),
  again(['resigned', 'the same jti in a proof made anew'], (_printed, draft) => resigned(draft, () => undefined), {
    severity: 'medium',
  }),
  again(
    ['resigned-later', 'the same jti in a proof made anew, with another iat'],
    (_printed, draft) =>
      resigned(draft, (claims) => {
        claims.iat = Number(claims.iat) - 1
      }),
    {
      severity: 'medium',
    },
  ),
  again(
    ['resigned-htu', 'the same jti with htu spelled otherwise'],
    (_printed, draft) =>
      resigned(draft, (claims) => {
        claims.htu = `${String(claims.htu)}?x=1`
      }),
    { severity: 'medium' },
  ),
  attack(['parallel', `${COPIES} copies at once`], parallelCopies, { expected: `1 of ${COPIES} granted` }),
  attack(['behind-many', 'the same request again, behind many newer proofs'], behindMany, {
    severity: 'high',
    needs: ['http/1.1'],
  }),
  attack(['near-its-end', 'a proof dated ahead, again until its end'], nearItsEnd, { severity: 'high', needs: ['no nonce'] }),

  attack(['honest-parallel', `${COPIES} right requests at once`], honestInParallel, {
    ...honest,
    expected: `${COPIES} of ${COPIES} granted`,
  }),
  attack(['honest-after-broken', 'a right proof whose jti was sent with a broken signature before'], burnt, {
    severity: 'medium',
    expected: 'granted',
  }),
  attack(['honest-after-stranger', "a right proof whose jti came with a stranger's key before"], burntByStranger, {
    severity: 'low',
    expected: 'granted',
  }),
  attack(['honest-same-jti', "another client's proof with the same jti"], sameJtiOfAnother, {
    ...honest,
    needs: ['second client'],
  }),
]
