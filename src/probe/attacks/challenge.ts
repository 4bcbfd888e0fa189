// What does a refusal say? Enough for an honest client to do better (RFC 6750 §3, RFC 9449 §7.1), and nothing that the attacker put
// in, or that tells of the inside.

import { randomBytes } from 'node:crypto'
import type { Attack, Outcome, Severity } from '../attack.js'
import { type Bench, headersOf } from '../bench.js'
import { type Draft, printDraft } from '../draft.js'
import type { Answer } from '../http1.js'
import { onProof, skipped } from '../rules.js'
import { show, showAnswer } from '../show.js'

type Words = readonly [id: string, title: string, spec: string]
type Options = {
  readonly severity?: Severity
  readonly needs?: Attack['needs']
  /** What is odd about the request is not wrong in itself. */
  readonly mayGrant?: boolean
}
type Judge = (answer: Answer, bench: Bench) => string | null

/** `judge` says what is wrong with the answer; null: nothing. */
const saying = (
  [id, title, spec]: Words,
  expected: string,
  change: (draft: Draft, bench: Bench) => void | Promise<void>,
  judge: Judge,
  { severity = 'low', needs = [], mayGrant = false }: Options = {},
): Attack => ({
  id: `challenge-${id}`,
  topic: 'challenge',
  title,
  spec,
  severity,
  expected,
  needs,
  run: async (bench): Promise<Outcome> => {
    const draft = await bench.draft()
    await change(draft, bench)
    const printed = printDraft(draft)
    const answer = await bench.send(printed)
    const sent = show(printed)
    if (bench.isGranted(answer) && !mayGrant) return { verdict: 'through', sent, came: showAnswer(answer) }
    if (answer.status === 429 || answer.status === 503) return { verdict: 'unclear', sent, came: showAnswer(answer) }
    const problem = judge(answer, bench)
    return {
      verdict: problem === null ? 'held' : 'wrong',
      sent,
      came: problem === null ? showAnswer(answer) : `${problem}: ${showAnswer(answer)}`,
    }
  },
})

const challengesOf = (answer: Answer): readonly string[] => headersOf(answer, 'www-authenticate')

const hasError = (answer: Answer, errors: readonly string[]): boolean =>
  challengesOf(answer).some((value) => errors.some((error) => new RegExp(`error="?${error}"?(?:[,\\s]|$)`).test(value)))

const demands =
  (status: number, ...errors: readonly string[]): Judge =>
  (answer) => {
    if (answer.status !== status) return `status ${answer.status} instead of ${status}`
    return hasError(answer, errors) ? null : `no challenge with error="${errors.join('" or "')}"`
  }

const anonymous = (draft: Draft): void => {
  draft.credentials = () => []
}
const spoiltToken = (draft: Draft): void => {
  draft.token = `${draft.token.slice(0, -8)}AAAAAAAA`
}
const spoiltProof = onProof((proof) => {
  proof.spoil = (text) => `${text.slice(0, -8)}AAAAAAAA`
})

/** RFC 9110 §11.6.1: scheme, then auth-params or token68, in a grammar that a careful client can read. */
const CHALLENGE =
  /^[!#$%&'*+.^_`|~\w-]+(?: +[!#$%&'*+.^_`|~\w-]+ *= *(?:"(?:[^"\\]|\\.)*"|[!#$%&'*+.^_`|~\w-]+)(?: *, *(?:[!#$%&'*+.^_`|~\w-]+ *= *(?:"(?:[^"\\]|\\.)*"|[!#$%&'*+.^_`|~\w-]+)|[!#$%&'*+.^_`|~\w-]+(?= )))*)?$/
/** RFC 6750 §3: what error and error_description may hold. */
const ERROR_TEXT = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

function grammar(answer: Answer): string | null {
  for (const value of challengesOf(answer)) {
    for (const [, text] of value.matchAll(/error(?:_description)?="([^"]*)"/g)) {
      if (!ERROR_TEXT.test(text ?? '')) return 'error or error_description holds characters that RFC 6750 §3 does not allow'
    }
    if (/^Bearer$/i.test(value.trim())) return 'Bearer without any auth-param'
    if (!CHALLENGE.test(value.trim()) && !/,\s*(?:Bearer|DPoP)\s/i.test(value))
      return 'WWW-Authenticate cannot be read as challenges'
  }
  return challengesOf(answer).length === 0 ? 'no WWW-Authenticate' : null
}

const INSIDE = [
  [/\bat [\w.<>$ ]+\((?:\/|file:|node:|[A-Z]:\\)[^)]*:\d+/, 'a stack trace'],
  [/Traceback \(most recent call last\)|\bat [\w$.]+\([\w$]+\.java:\d+\)/, 'a stack trace'],
  [/node_modules|\/usr\/(?:lib|local)|[A-Z]:\\\\?(?:Users|Program)/, 'a path of the server'],
  [/ECONN\w+|SQLSTATE|JsonWebTokenError|JWSSignatureVerificationFailed|com\.nimbusds|io\.jsonwebtoken/, 'an internal error'],
  [/\b(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2,3}\b/, 'an internal address'],
] as const

const inside: Judge = ({ body, headers }) => {
  const text = `${headers.map(([name, value]) => `${name}: ${value}`).join('\n')}\n${body}`
  return INSIDE.find(([pattern]) => pattern.test(text))?.[1] ?? null
}

const versions: Judge = ({ headers }) => {
  const telling = headers.find(
    ([name, value]) => (name === 'server' && /\d/.test(value)) || name === 'x-powered-by' || name === 'x-aspnet-version',
  )
  return telling === undefined ? null : `${telling[0]} tells a product's version`
}

const canary = `probe${randomBytes(6).toString('hex')}`
const echoed: Judge = ({ body, headers }) => {
  if (headers.some(([name]) => name === 'x-injected')) return 'a header could be injected'
  return body.includes(canary) || headers.some(([, value]) => value.includes(canary))
    ? 'the answer has what the attacker sent'
    : null
}

const inProof = (name: string) =>
  onProof((proof) => {
    proof.claims[name] = `"${canary}"\r\nX-Injected: yes`
  })

const dpop: Options = { needs: ['dpop'] }

export const CHALLENGE_ATTACKS: readonly Attack[] = [
  saying(['none', 'no credentials', 'RFC 9110 §15.5.2'], '401 with a challenge', anonymous, (answer) =>
    answer.status !== 401
      ? `status ${answer.status} instead of 401`
      : challengesOf(answer).length === 0
        ? 'no WWW-Authenticate'
        : null,
  ),
  saying(['none-error', 'no credentials', 'RFC 6750 §3.1'], 'a challenge without error', anonymous, (answer) =>
    challengesOf(answer).some((value) => /(?:^|[\s,])error\s*=/.test(value))
      ? 'it has an error, though nothing was presented'
      : null,
  ),
  saying(
    ['none-dpop', 'no credentials', 'RFC 9449 §7.1'],
    'a DPoP challenge with algs',
    anonymous,
    (answer) => {
      const dpop = challengesOf(answer).find((value) => /(?:^|,)\s*DPoP\b/i.test(value))
      if (dpop === undefined) return 'no DPoP challenge'
      return /algs="[^"]+"/.test(dpop) ? null : 'the DPoP challenge has no algs'
    },
    dpop,
  ),
  saying(
    ['algs', 'no credentials', 'RFC 9449 §11.6'],
    'algs without none and without MACs',
    anonymous,
    (answer) => {
      const listed = challengesOf(answer).flatMap((value) => /algs="([^"]*)"/.exec(value)?.[1]?.split(' ') ?? [])
      return listed.some((alg) => /^(?:none|HS\d+)$/i.test(alg)) ? 'algs lists what must never be accepted' : null
    },
    { severity: 'high', needs: ['dpop'] },
  ),
  saying(['grammar', 'a wrong token', 'RFC 9110 §11.6.1, RFC 6750 §3'], 'challenges that can be read', spoiltToken, grammar),
  saying(
    ['token', 'a wrong token', 'RFC 6750 §3.1'],
    '401 with error="invalid_token"',
    spoiltToken,
    demands(401, 'invalid_token'),
  ),
  saying(
    ['proof', 'a proof with a broken signature', 'RFC 9449 §7.1'],
    '401 with error="invalid_dpop_proof"',
    spoiltProof,
    demands(401, 'invalid_dpop_proof'),
    dpop,
  ),
  saying(
    ['no-proof', 'scheme DPoP without a proof', 'RFC 9449 §7.1'],
    '400 or 401 with an error',
    (draft) => {
      draft.proof = null
    },
    (answer) =>
      answer.status === 400 || answer.status === 401
        ? hasError(answer, ['invalid_dpop_proof', 'invalid_request', 'invalid_token'])
          ? null
          : 'no error'
        : `status ${answer.status}`,
    dpop,
  ),
  saying(
    ['two', 'two Authorization lines', 'RFC 6750 §3.1'],
    '400',
    (draft) => {
      draft.credentials = ({ authorization, dpop }) => [
        ['Authorization', authorization],
        ['Authorization', authorization],
        ...(dpop === null ? [] : [['DPoP', dpop] as const]),
      ]
    },
    (answer) => (answer.status === 400 ? null : `status ${answer.status} instead of 400`),
  ),
  saying(['no-store', 'a wrong token', 'RFC 9449 §8.2, RFC 9111 §5.2.2.5'], 'Cache-Control: no-store', spoiltToken, (answer) =>
    headersOf(answer, 'cache-control').some((value) => /no-store/i.test(value)) ? null : 'no Cache-Control: no-store',
  ),
  saying(['one-nonce', 'a wrong token', 'RFC 9449 §8.1'], 'at most one DPoP-Nonce', spoiltToken, (answer) =>
    headersOf(answer, 'dpop-nonce').length > 1 ? 'more than one DPoP-Nonce' : null,
  ),
  ...(['jti', 'htu', 'htm', 'ath', 'nonce'] as const).map((name) =>
    saying(
      [`echo-${name}`, `quotes, line ends and a word in ${name}`, 'CWE-113, CWE-79'],
      'none of it in the answer',
      inProof(name),
      echoed,
      { severity: 'medium', needs: ['dpop'], mayGrant: true },
    ),
  ),
  saying(
    ['echo-token', 'a word in place of the token', 'CWE-79'],
    'none of it in the answer',
    (draft) => {
      draft.token = canary
    },
    echoed,
    { severity: 'medium' },
  ),
  saying(
    ['echo-scheme', 'a word as scheme', 'CWE-79'],
    'none of it in the answer',
    (draft) => {
      draft.scheme = canary
    },
    echoed,
    { severity: 'medium' },
  ),
  saying(
    ['inside-token', 'a token that is no JWT', 'RFC 9457 §5'],
    'nothing of the inside',
    (draft) => {
      draft.token = 'x.y.z'
    },
    inside,
  ),
  saying(
    ['inside-proof', 'a proof that is no JWT', 'RFC 9457 §5'],
    'nothing of the inside',
    onProof((proof) => {
      proof.spoil = () => '{"x":[}'
    }),
    inside,
    dpop,
  ),
  saying(['versions', 'no credentials', 'RFC 9110 §10.2.4'], 'no product version', anonymous, versions),
  {
    id: 'challenge-metadata',
    topic: 'challenge',
    title: 'where resource_metadata leads',
    spec: 'RFC 9728 §3.3',
    severity: 'low',
    expected: 'a document of this resource, over https',
    needs: [],
    run: metadata,
  },
]

async function metadata(bench: Bench): Promise<Outcome> {
  const draft = await bench.draft()
  anonymous(draft)
  const refusal = await bench.send(printDraft(draft))
  const url = challengesOf(refusal)
    .map((value) => /resource_metadata="([^"]+)"/.exec(value)?.[1])
    .find((one) => one !== undefined)
  if (url === undefined) return skipped('the challenge names none, which RFC 9728 §5 leaves open')
  if (!URL.canParse(url) || new URL(url).origin !== bench.settings.origin)
    return { verdict: 'wrong', sent: show(printDraft(draft)), came: `resource_metadata is ${url}` }
  const asked = { ...printDraft(draft), method: 'GET', path: new URL(url).pathname + new URL(url).search, lines: [], body: null }
  const answer = await bench.send(asked)
  const resource = /"resource"\s*:\s*"([^"]*)"/.exec(answer.body)?.[1]
  const fits = resource !== undefined && `${bench.settings.origin}${bench.settings.path}`.startsWith(resource.replace(/\/$/, ''))
  return { verdict: answer.status === 200 && fits ? 'held' : 'wrong', sent: show(asked), came: showAnswer(answer) }
}
