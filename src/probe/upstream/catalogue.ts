// Requests that a backend behind the gateway must refuse when they come to it directly. Each changes one thing of the right one.

import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Attack, Need, Severity, Topic } from '../attack.js'
import type { Line } from '../draft.js'
import { type AssertionDraft, type Members, type Model, signerFor, textOf } from './assertion.js'

export type UpstreamAttack = Omit<Attack, 'run'> & {
  readonly change: (draft: AssertionDraft, model: Model) => void
  /** The same assertion again, after it was granted. */
  readonly isReplay?: true
}

type Words = readonly [id: string, title: string, spec: string]

const rows =
  (topic: Topic, severity: Severity, ...needs: readonly Need[]) =>
  ([id, title, spec]: Words, change: UpstreamAttack['change'], ...more: readonly Need[]): UpstreamAttack => ({
    id: `${topic}-${id}`,
    topic,
    title,
    spec,
    severity,
    expected: 'refused',
    needs: [...needs, ...more],
    change,
  })

const sends =
  (lines: AssertionDraft['lines']): UpstreamAttack['change'] =>
  (draft) => {
    draft.lines = lines
  }
const header =
  (change: Members): UpstreamAttack['change'] =>
  (draft) => {
    draft.header = without({ ...draft.header, ...change })
  }
const claims =
  (change: (now: Members) => Members): UpstreamAttack['change'] =>
  (draft) => {
    draft.claims = without({ ...draft.claims, ...change(draft.claims) })
  }

/** Members that are undefined are taken away. */
const without = (members: Members): Members =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))

const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const signedByStranger: UpstreamAttack['change'] = (draft) => {
  draft.sign = signerFor(stranger.privateKey)
}
const unsigned =
  (alg: string): UpstreamAttack['change'] =>
  (draft) => {
    draft.header = { ...draft.header, alg }
    draft.sign = () => ''
  }
const besideForged =
  (order: (right: string, other: string) => readonly string[]): UpstreamAttack['change'] =>
  (draft) => {
    const other = textOf({ ...draft, sign: signerFor(stranger.privateKey) })
    draft.lines = (right, name) => order(right, other).map((text): Line => [name, text])
  }

/** What backends are told who asks by, where no assertion is read: names that gateways and their examples use. */
const IDENTITIES: readonly string[] = [
  'X-Remote-User',
  'Remote-User',
  'X-Forwarded-User',
  'X-Forwarded-Email',
  'X-Auth-Request-User',
  'X-User',
  'X-User-Id',
  'X-Client-Id',
  'X-Authenticated-Userid',
  'X-Consumer-Username',
  'X-Userinfo',
  'SSL_CLIENT_S_DN',
  'X-SSL-Client-DN',
  'Client-Cert',
]

const bypass = rows('bypass', 'critical')
const assertion = rows('assertion', 'critical')
const purpose = rows('purpose', 'high', 'assertion key')

const HOUR = 3600
const number = (value: unknown): number => (typeof value === 'number' ? value : 0)

export const UPSTREAM_CATALOGUE: readonly UpstreamAttack[] = [
  bypass(
    ['none', 'no assertion at all', 'contract §6'],
    sends(() => []),
  ),
  bypass(
    ['empty', 'an empty assertion', 'contract §6'],
    sends((_, name) => [[name, '']]),
  ),
  bypass(
    ['word', 'a word in place of an assertion', 'contract §6'],
    sends((_, name) => [[name, 'true']]),
  ),
  bypass(
    ['identity-headers', `no assertion, but ${IDENTITIES.slice(0, 3).join(', ')} and others say who asks`, 'CWE-290'],
    sends(() => IDENTITIES.map((name): Line => [name, name === 'Client-Cert' ? ':AAAA:' : 'admin'])),
  ),
  bypass(
    ['identity-forwarded', 'no assertion, but headers say that it comes from this machine, by TLS and verified', 'CWE-290'],
    sends(() => [
      ['X-Forwarded-For', '127.0.0.1'],
      ['X-Real-IP', '127.0.0.1'],
      ['Forwarded', 'for=127.0.0.1;proto=https'],
      ['X-Forwarded-Proto', 'https'],
      ['ssl-client-verify', 'SUCCESS'],
      ['X-SSL-Client-Verify', 'SUCCESS'],
    ]),
  ),
  bypass(
    ['bearer', 'the right assertion as a bearer token, and nowhere else', 'contract §6'],
    sends((right) => [['Authorization', `Bearer ${right}`]]),
    'assertion key',
  ),
  assertion(['none', 'alg is none, without a signature', 'RFC 8725 §3.2'], unsigned('none')),
  assertion(['none-case', 'alg is NoNe, without a signature', 'RFC 8725 §3.2'], unsigned('NoNe')),
  assertion(['stripped', 'the signature is empty', 'RFC 7515 §5.2'], (draft) => {
    draft.sign = () => ''
  }),
  assertion(['stranger', 'signed by another key, under the gateway’s kid', 'RFC 7515 §5.2'], signedByStranger),
  assertion(['no-kid', 'signed by another key, without a kid', 'RFC 7515 §4.1.4'], (draft, model) => {
    header({ kid: undefined })(draft, model)
    signedByStranger(draft, model)
  }),
  assertion(['embedded', 'signed by another key, which stands in its header (jwk)', 'RFC 8725 §3.10'], (draft, model) => {
    header({ jwk: stranger.publicKey.export({ format: 'jwk' }), kid: undefined })(draft, model)
    signedByStranger(draft, model)
  }),
  assertion(['zero', 'a signature of zeros', 'CVE-2022-21449'], (draft) => {
    draft.sign = () => Buffer.alloc(64).toString('base64url')
  }),
  assertion(
    ['hmac', 'HS256 with the gateway’s public key as the secret', 'RFC 8725 §3.1'],
    (draft, { key }) => {
      draft.header = { ...draft.header, alg: 'HS256' }
      draft.sign = (input) => createHmac('sha256', publicPem(key)).update(input).digest('base64url')
    },
    'assertion key',
  ),
  assertion(
    ['changed', 'another sub under the signature of the right one', 'RFC 7515 §5.2'],
    (draft) => {
      const right = textOf(draft).split('.')[2] ?? ''
      draft.claims = { ...draft.claims, sub: 'admin' }
      draft.sign = () => right
    },
    'assertion key',
  ),
  assertion(
    ['twice', 'a forged one in a field of its own behind the right one', 'RFC 9110 §5.3'],
    besideForged((right, other) => [right, other]),
    'assertion key',
  ),
  assertion(
    ['first', 'a forged one in a field of its own before the right one', 'RFC 9110 §5.3'],
    besideForged((right, other) => [other, right]),
    'assertion key',
  ),
  purpose(
    ['expired', 'expired an hour ago', 'RFC 7519 §4.1.4'],
    claims(({ iat, exp }) => ({ iat: number(iat) - HOUR, exp: number(exp) - HOUR })),
  ),
  purpose(
    ['no-end', 'without exp', 'RFC 7519 §4.1.4'],
    claims(() => ({ exp: undefined })),
  ),
  purpose(
    ['ahead', 'made an hour from now', 'RFC 7519 §4.1.6'],
    claims(({ iat, exp }) => ({ iat: number(iat) + HOUR, exp: number(exp) + HOUR })),
  ),
  purpose(
    ['audience', 'for another backend (aud)', 'RFC 8725 §3.9'],
    claims(({ aud }) => ({ aud: `${aud}-of-another` })),
  ),
  purpose(
    ['audience-none', 'without aud', 'RFC 8725 §3.9'],
    claims(() => ({ aud: undefined })),
  ),
  purpose(
    ['issuer', 'by another gateway (iss), with this one’s key', 'RFC 8725 §3.8'],
    claims(() => ({ iss: 'https://gateway.invalid' })),
  ),
  purpose(['type', 'of another type (typ), as an ID token is', 'RFC 8725 §3.11'], header({ typ: 'JWT' })),
  purpose(['type-none', 'without a type', 'RFC 8725 §3.11'], header({ typ: undefined })),
  purpose(
    ['method', 'for another method (htm)', 'contract §6'],
    claims(({ htm }) => ({ htm: htm === 'DELETE' ? 'GET' : 'DELETE' })),
  ),
  purpose(
    ['target', 'for another path (target)', 'contract §6'],
    claims(() => ({ target: '/another/path', qsh: undefined })),
  ),
  purpose(
    ['query', 'for another query (target, qsh)', 'contract §6'],
    claims(({ target }) => ({
      target: `${String(target).split('?', 1)}?another=1`,
      qsh: 'fm1ItjVqoVTrPgB1ANYyPUGnAtvVDsWFAn6YqjbYCGo',
    })),
    'query',
  ),
  purpose(
    ['any', 'for no method and no path', 'contract §6'],
    claims(() => ({ htm: undefined, target: undefined, htu: undefined, qsh: undefined })),
  ),
  purpose(
    ['body', 'for another body (bdh)', 'contract §6'],
    claims(() => ({ bdh: '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU' })),
    'body',
  ),
  { ...purpose(['again', 'the same assertion a second time', 'contract §6'], () => undefined, 'single use'), isReplay: true },
]

const publicPem = (key: KeyObject | null): string =>
  key === null ? '' : createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString()
