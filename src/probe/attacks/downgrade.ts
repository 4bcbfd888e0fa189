// A bound token without what it is bound to: the reason why sender-constrained tokens exist. Also the other ways of bringing a
// token, which a resource server must not take.

import type { Attack } from '../attack.js'
import type { Draft, Line } from '../draft.js'
import { granting, refusing, skipped } from '../rules.js'

const dpop = refusing('downgrade', 'critical', ['dpop'])
const any = refusing('downgrade', 'high', [])
const granted = granting('downgrade', 'low', [])

const BEARER = 'RFC 9449 §7.2'
const NO_PROOF = 'RFC 9449 §7.1'
const SYNTAX = 'RFC 6750 §3.1'

/** Replaces the lines of Authorization and DPoP. */
const lines = (make: (texts: { authorization: string; dpop: string; token: string }) => readonly Line[]) => (draft: Draft) => {
  draft.credentials = ({ authorization, dpop }) => make({ authorization, dpop: dpop ?? '', token: draft.token })
}
const proofLine = (dpop: string): readonly Line[] => (dpop === '' ? [] : [['DPoP', dpop]])

const scheme = (name: string) => (draft: Draft) => {
  draft.scheme = name
}
const inQuery = (draft: Draft, value: string): void => {
  draft.path += `${draft.path.includes('?') ? '&' : '?'}${value}`
}

export const DOWNGRADE_ATTACKS: readonly Attack[] = [
  dpop(['bearer', 'a DPoP-bound token as Bearer, without proof', BEARER], (draft) => {
    draft.scheme = 'Bearer'
    draft.proof = null
  }),
  dpop(['bearer-with-proof', 'a DPoP-bound token as Bearer, beside a right proof', BEARER], scheme('Bearer'), {
    severity: 'high',
  }),
  dpop(['bearer-lower', 'the same with the scheme in lower case, without proof', BEARER], (draft) => {
    draft.scheme = 'bearer'
    draft.proof = null
  }),
  dpop(['no-proof', 'scheme DPoP without a proof', NO_PROOF], (draft) => {
    draft.proof = null
  }),
  dpop(['no-proof-lower', 'scheme dpop without a proof', NO_PROOF], (draft) => {
    draft.scheme = 'dpop'
    draft.proof = null
  }),
  dpop(
    ['empty-proof', 'scheme DPoP with an empty DPoP header', NO_PROOF],
    lines(({ authorization }) => [
      ['Authorization', authorization],
      ['DPoP', ''],
    ]),
  ),
  dpop(
    ['proof-elsewhere', 'the proof in X-DPoP instead of DPoP', NO_PROOF],
    lines(({ authorization, dpop }) => [
      ['Authorization', authorization],
      ['X-DPoP', dpop],
    ]),
  ),
  ...(
    [
      ['basic', 'Basic', 'scheme Basic'],
      ['token-scheme', 'Token', 'a scheme that nobody knows'],
    ] as const
  ).flatMap(([id, name, words]) => [
    dpop([id, `the token under ${words}, without proof`, SYNTAX], (draft) => {
      draft.scheme = name
      draft.proof = null
    }),
    dpop([`${id}-with-proof`, `the token under ${words}, beside a right proof`, SYNTAX], scheme(name), { severity: 'low' }),
  ]),

  any(
    ['none', 'no credentials', SYNTAX],
    lines(() => []),
    { severity: 'critical' },
  ),
  {
    ...any(['none-head', 'HEAD without credentials', 'CWE-650'], () => undefined),
    run: async (bench) => {
      const draft = await bench.draft()
      if (draft.method !== 'GET') return skipped('the right request is not a GET')
      return bench.mustRefuse({ ...draft, method: 'HEAD', proof: null, credentials: () => [] })
    },
  },
  any(
    ['proof-only', 'a right proof and no token', SYNTAX],
    lines(({ dpop }) => proofLine(dpop)),
    { needs: ['dpop'] },
  ),
  any(
    ['empty-authorization', 'an empty Authorization', SYNTAX],
    lines(({ dpop }) => [['Authorization', ''], ...proofLine(dpop)]),
  ),
  any(
    ['scheme-only', 'a scheme without token', SYNTAX],
    lines(({ authorization, dpop }) => [['Authorization', authorization.split(' ')[0] ?? ''], ...proofLine(dpop)]),
  ),
  any(
    ['token-only', 'a token without scheme', SYNTAX],
    lines(({ token, dpop }) => [['Authorization', token], ...proofLine(dpop)]),
  ),
  any(
    ['two-words', 'a token with a word behind it', 'RFC 9110 §11.4'],
    lines(({ authorization, dpop }) => [['Authorization', `${authorization} x`], ...proofLine(dpop)]),
    {
      severity: 'medium',
    },
  ),
  any(
    ['quoted', 'the token in quotes', 'RFC 9110 §11.2'],
    (draft) => {
      draft.token = `"${draft.token}"`
    },
    {
      severity: 'low',
    },
  ),
  any(
    ['twice', 'two Authorization lines, both right', 'RFC 9110 §5.3, §11.6.2'],
    lines(({ authorization, dpop }) => [['Authorization', authorization], ['Authorization', authorization], ...proofLine(dpop)]),
    { severity: 'low' },
  ),
  any(
    ['twice-first-wrong', 'a wrong Authorization line, then the right one', 'RFC 9449 §7.2'],
    lines(({ authorization, dpop }) => [['Authorization', 'Bearer x'], ['Authorization', authorization], ...proofLine(dpop)]),
    { severity: 'medium' },
  ),
  any(
    ['twice-last-wrong', 'the right Authorization line, then a wrong one', 'RFC 9449 §7.2'],
    lines(({ authorization, dpop }) => [['Authorization', authorization], ['Authorization', 'Bearer x'], ...proofLine(dpop)]),
    { severity: 'medium' },
  ),
  any(
    ['proxy-authorization', 'the token in Proxy-Authorization', 'RFC 9449 §7.1'],
    lines(({ authorization, dpop }) => [['Proxy-Authorization', authorization], ...proofLine(dpop)]),
  ),
  any(['query', 'the token in the query alone', 'FAPI 2.0 §5.3.4'], (draft) => {
    inQuery(draft, `access_token=${draft.token}`)
    lines(({ dpop }) => proofLine(dpop))(draft)
  }),
  any(
    ['query-and-header', 'the token in the query and in the header', 'RFC 6750 §3.1'],
    (draft) => inQuery(draft, `access_token=${draft.token}`),
    { severity: 'low' },
  ),
  any(['query-escaped', 'the token in the query under an escaped name', 'FAPI 2.0 §5.3.4'], (draft) => {
    inQuery(draft, `access%5Ftoken=${draft.token}`)
    lines(({ dpop }) => proofLine(dpop))(draft)
  }),
  any(
    ['form', 'the token in a form body', 'RFC 6750 §2.2'],
    (draft) => {
      draft.body = Buffer.from(`access_token=${draft.token}`)
      const others = draft.headers.filter(([name]) => name.toLowerCase() !== 'content-type')
      draft.headers = [...others, ['Content-Type', 'application/x-www-form-urlencoded']]
      lines(({ dpop }) => proofLine(dpop))(draft)
    },
    { needs: ['body'] },
  ),
  any(['cookie', 'the token in a cookie', 'RFC 6750 §2'], (draft) => {
    draft.headers.push(['Cookie', `access_token=${draft.token}; token=${draft.token}; Authorization=${draft.token}`])
    lines(({ dpop }) => proofLine(dpop))(draft)
  }),
  ...(
    [
      'X-Access-Token',
      'X-Forwarded-Access-Token',
      'X-Auth-Token',
      'X-Authorization',
      'X-Original-Authorization',
      'Access-Token',
    ] as const
  ).map((name) =>
    any([`in-${name.toLowerCase()}`, `the token in ${name}`, 'RFC 6750 §2'], (draft) => {
      draft.headers.push([name, name.endsWith('Authorization') ? `${draft.scheme} ${draft.token}` : draft.token])
      lines(({ dpop }) => proofLine(dpop))(draft)
    }),
  ),

  granted(['scheme-case', 'the scheme in other case', 'RFC 9110 §11.1'], (draft) => {
    draft.scheme = draft.scheme.replace(/[a-z]/gi, (letter) =>
      letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
    )
  }),
  granted(
    ['header-case', 'header names in other case', 'RFC 9110 §5.1'],
    lines(({ authorization, dpop }) => [['AUTHORIZATION', authorization], ...(dpop === '' ? [] : [['dPOP', dpop] as const])]),
  ),
]
