// The proof as a JWT: is it one, and has it every member that RFC 9449 §4.2 demands, of the right type, once?

import { randomUUID } from 'node:crypto'
import type { Attack } from '../attack.js'
import { base64url, jwt, proofText } from '../draft.js'
import { claim, header, onProof, refusing } from '../rules.js'

const refused = refusing('proof', 'high', ['dpop'])
const WELL_FORMED = 'RFC 9449 §4.3 (2)'
const REQUIRED = 'RFC 9449 §4.3 (3)'
const ONE = 'RFC 9449 §4.3 (1)'

const spoil = (change: (proof: string) => string) =>
  onProof((proof) => {
    proof.spoil = change
  })

const part = (index: number, change: (text: string) => string) =>
  spoil((proof) =>
    proof
      .split('.')
      .map((text, i) => (i === index ? change(text) : text))
      .join('.'),
  )

/** Replaces header or claims by any JSON text, and signs that. */
const written = (what: 'header' | 'claims', write: (text: string) => string) =>
  onProof((proof) => {
    const { sign } = proof
    proof.spoil = (signed) => {
      const [head = '', payload = ''] = signed.split('.').map((text) => Buffer.from(text, 'base64url').toString('utf8'))
      return what === 'header' ? jwt(write(head), payload, sign) : jwt(head, write(payload), sign)
    }
  })

const spareBits = (text: string): string => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(text.at(-1) ?? 'A')
  return text.slice(0, -1) + (alphabet[last ^ 1] ?? 'A')
}

const MISSING: readonly Attack[] = (['typ', 'alg', 'jwk'] as const)
  .map((name) => refused([`no-${name}`, `the header has no ${name}`, REQUIRED], header(name, undefined)))
  .concat(
    (['jti', 'htm', 'htu', 'iat', 'ath'] as const).map((name) =>
      refused([`no-${name}`, `the claims have no ${name}`, REQUIRED], claim(name, undefined)),
    ),
  )

const TYPES: readonly (readonly [name: string, value: unknown, title: string])[] = [
  ['jti', '', 'jti is an empty string'],
  ['jti', 7, 'jti is a number'],
  ['jti', ['x'], 'jti is a list'],
  ['jti', null, 'jti is null'],
  ['iat', '1', 'iat is a string'],
  ['iat', null, 'iat is null'],
  ['iat', true, 'iat is true'],
  ['htm', null, 'htm is null'],
  ['htu', {}, 'htu is an object'],
  ['htu', '', 'htu is an empty string'],
  ['ath', '', 'ath is an empty string'],
  ['ath', null, 'ath is null'],
]

export const PROOF_ATTACKS: readonly Attack[] = [
  ...MISSING,
  ...TYPES.map(([name, value, title]) =>
    refused([title.replaceAll(' ', '-'), title, 'RFC 9449 §4.2'], claim(name, value), { severity: 'medium' }),
  ),
  refused(
    ['iat-huge', 'iat is 1e400', 'RFC 7519 §2'],
    // Without a nonce, which would date it (RFC 9449 §4.3 (11)).
    onProof(({ claims }, draft, bench) => {
      draft.retriesNonce = false
      delete claims.nonce
      return written('claims', (text) => text.replace(/"iat":\d+/, '"iat":1e400'))(draft, bench)
    }),
    { needs: ['no nonce'] },
  ),
  refused(['typ-jwt', 'typ is JWT', 'RFC 9449 §4.3 (4)'], header('typ', 'JWT')),
  refused(['typ-at-jwt', 'typ is at+jwt', 'RFC 9449 §4.3 (4)'], header('typ', 'at+jwt')),
  refused(['typ-suffix', 'typ is dpop+jwt+x', 'RFC 9449 §4.3 (4)'], header('typ', 'dpop+jwt+x')),
  refused(['typ-list', 'typ is a list', 'RFC 9449 §4.3 (4)'], header('typ', ['dpop+jwt'])),

  refused(
    ['two-parts', 'two parts instead of three', WELL_FORMED],
    spoil((proof) => proof.split('.').slice(0, 2).join('.')),
  ),
  refused(
    ['four-parts', 'a fourth part', WELL_FORMED],
    spoil((proof) => `${proof}.${proof.split('.')[2] ?? ''}`),
  ),
  refused(
    ['five-parts', 'five parts, as a JWE has', WELL_FORMED],
    spoil((proof) => `${proof}.AA.AA`),
  ),
  refused(
    ['empty-signature', 'the signature is empty', WELL_FORMED],
    part(2, () => ''),
  ),
  refused(
    ['empty-payload', 'the claims are empty', WELL_FORMED],
    part(1, () => ''),
  ),
  refused(
    ['empty', 'the DPoP header is empty', WELL_FORMED],
    spoil(() => ''),
  ),
  refused(
    ['padding', 'base64url with padding', 'RFC 7515 §2'],
    part(2, (text) => `${text}==`),
    { severity: 'medium' },
  ),
  refused(['spare-bits', 'unused bits of the signature set', 'RFC 4648 §3.5'], part(2, spareBits), { severity: 'medium' }),
  refused(
    ['standard-base64', 'a signature with + or /, as base64 has', 'RFC 7515 §2'],
    onProof((proof) => {
      const { sign } = proof
      const hasOther = (bytes: Buffer): boolean => /[+/]/.test(bytes.toString('base64'))
      proof.sign = (input) => {
        let bytes = sign(input)
        for (let i = 0; i < 50 && !hasOther(bytes); i++) bytes = sign(input)
        return bytes
      }
      proof.spoil = (text) => text.replace(/[^.]*$/, (signature) => signature.replaceAll('-', '+').replaceAll('_', '/'))
    }),
    { severity: 'low' },
  ),
  refused(
    ['inner-space', 'a space inside the signature', WELL_FORMED],
    part(2, (text) => `${text.slice(0, 9)} ${text.slice(9)}`),
    { severity: 'medium' },
  ),
  refused(['json-form', 'JSON serialization instead of compact', WELL_FORMED], spoil(jsonForm)),
  refused(
    ['claims-list', 'the claims are a list', WELL_FORMED],
    written('claims', (text) => `[${text}]`),
  ),
  refused(
    ['claims-null', 'the claims are null', WELL_FORMED],
    written('claims', () => 'null'),
  ),
  // A parser must refuse or take the last (RFC 7519 §4): taking the first is the fault, taking the last is allowed and untidy.
  refused(['claims-twice', 'htm stands twice, the last one wrong', 'RFC 7519 §4'], written('claims', behind('"htm":"OTHER"'))),
  refused(
    ['claims-twice-ath', 'ath stands twice, the last one wrong', 'RFC 7519 §4'],
    written('claims', behind('"ath":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"')),
  ),
  refused(['header-twice', 'typ stands twice, the last one wrong', 'RFC 7515 §4'], written('header', behind('"typ":"JWT"'))),
  refused(['claims-twice-right', 'htm stands twice, the last one right', 'CWE-436'], written('claims', again('"htm":"OTHER"')), {
    severity: 'low',
  }),
  refused(['header-twice-right', 'alg stands twice, the last one right', 'CWE-436'], written('header', again('"alg":"none"')), {
    severity: 'low',
  }),
  refused(['not-utf8', 'the claims are not UTF-8', 'RFC 7519 §7.2'], onProof(notUtf8), { severity: 'medium' }),
  refused(['crit', 'crit names an extension that nobody knows', 'RFC 7515 §4.1.11'], onProof(critical('exp'))),
  refused(['crit-empty', 'crit is an empty list', 'RFC 7515 §4.1.11'], header('crit', []), { severity: 'medium' }),
  refused(['b64-false', 'b64 is false', 'RFC 7797 §6'], onProof(critical('b64', false))),

  refused(
    ['twice', 'two DPoP header lines, both right, each of its own', ONE],
    twoLines((proof, other) => [proof, other]),
  ),
  refused(
    ['twice-one-empty', 'a right DPoP line and an empty one', ONE],
    twoLines((proof) => [proof, '']),
    { severity: 'medium' },
  ),
  refused(
    ['twice-first-wrong', 'a wrong DPoP line, then a right one', ONE],
    twoLines((proof) => ['x.y.z', proof]),
  ),
  refused(
    ['twice-last-wrong', 'a right DPoP line, then a wrong one', ONE],
    twoLines((proof) => [proof, 'x.y.z']),
  ),
  refused(
    ['list', 'two proofs in one line, with a comma', ONE],
    twoLines((proof, other) => [`${proof}, ${other}`]),
  ),
  refused(['long', 'a jti of 60,000 characters', 'RFC 9449 §11.1'], claim('jti', 'x'.repeat(60_000)), {
    severity: 'low',
    mayClose: true,
  }),
]

function again(member: string): (text: string) => string {
  return (text) => `{${member},${text.slice(1)}`
}

function behind(member: string): (text: string) => string {
  return (text) => `${text.slice(0, -1)},${member}}`
}

function jsonForm(proof: string): string {
  const [head, payload, signature] = proof.split('.')
  return JSON.stringify({ protected: head, payload, signature })
}

function notUtf8(proof: { sign: (input: string) => Buffer; spoil: (proof: string) => string }): void {
  const { sign } = proof
  proof.spoil = (signed) => {
    const [head = '', payload = ''] = signed.split('.')
    const bytes = Buffer.from(payload, 'base64url')
    const wrong = Buffer.concat([bytes.subarray(0, -1), Buffer.from(',"x":"\xff\xfe"}', 'latin1')])
    const input = `${head}.${base64url(wrong)}`
    return `${input}.${base64url(sign(input))}`
  }
}

function critical(name: string, value?: unknown): (proof: { header: Record<string, unknown> }) => void {
  return ({ header }) => Object.assign(header, { crit: [name] }, value === undefined ? {} : { [name]: value })
}

/** `other` differs in its jti, so that it is not refused for being sent twice. */
function twoLines(lines: (proof: string, other: string) => readonly string[]) {
  return onProof((proof, draft) => {
    draft.credentials = ({ authorization, dpop }) => {
      const other = proofText({ ...proof, claims: { ...proof.claims, jti: randomUUID() } }, draft.token)
      return [['Authorization', authorization], ...lines(dpop ?? '', other).map((value) => ['DPoP', value] as const)]
    }
  })
}
