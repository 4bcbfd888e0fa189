// Answers of introspection, plain and signed: never a throw, an answer is one only where jose and a naive reader say so too, and a token
// is made of it only where its claims are sound.
import { jwtVerify } from 'jose'
import type { IssuerSource } from '../../../src/config/config.js'
import { readAnswer } from '../../../src/introspection/answer.js'
import { verifyOpaque } from '../../../src/verify/opaque.js'
import type { Introspected, VerifyPorts } from '../../../src/verify/types.js'
import { Denial } from '../../../src/verify/verdict.js'
import { source } from '../../keys/key-server.js'
import { readWords } from '../corpus.js'
import { makeJws, type Parts, signText } from '../jws.js'
import { ecKey } from '../keys.js'
import { saysAllOnce } from '../naive-json.js'
import { ISSUER, NOW, ORIGIN, policyOf } from '../policies.js'
import { fine, judge, type Session, type Target, type Verdict } from '../target.js'

const key = ecKey('issuer')
const foreign = [ecKey('someone else')]

const issuerThat = (signed: 'required' | 'off'): IssuerSource => {
  const introspection = {
    endpoint: null,
    client_id: 'gateway',
    auth: { by: 'secret', secret: 's' },
    signed,
    ...{ cache: 30, negative_cache: 10, timeout: 2, concurrency: 4 },
  } as const
  return source(ISSUER.issuer, { from: 'discovery' }, { introspection })
}

const CLAIMS = {
  active: true,
  iss: ISSUER.issuer,
  aud: ORIGIN,
  client_id: 'client-1',
  sub: 'user-1',
  iat: NOW - 10,
  exp: NOW + 240,
  scope: 'case.read',
  token_type: 'DPoP',
  cnf: { jkt: key.jkt },
}

const PARTS: Parts = {
  header: { typ: 'token-introspection+jwt', alg: key.alg, kid: 'issuer' },
  claims: { iss: ISSUER.issuer, aud: 'gateway', iat: NOW, token_introspection: CLAIMS },
}

const keysFor: VerifyPorts['keysFor'] = (_, { kid }) =>
  kid === null || kid === 'issuer' ? [{ kid: 'issuer', key: key.publicKey }] : []

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What a naive reader makes of a plain answer; null: nothing. */
function readNaively(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) && saysAllOnce(text) ? value : null
  } catch {
    return null
  }
}

/** What jose makes of a signed one. */
async function readByJose(text: string): Promise<Record<string, unknown> | null> {
  try {
    const { payload } = await jwtVerify(text, key.publicKey, {
      issuer: ISSUER.issuer,
      audience: ['gateway', ORIGIN, ...issuerThat('required').audience],
      typ: 'token-introspection+jwt',
      algorithms: ['ES256'],
      currentDate: new Date(NOW * 1000),
      clockTolerance: 1e12,
    })
    const near = typeof payload.iat === 'number' && Math.abs(payload.iat - NOW) <= 30
    return near && isObject(payload.token_introspection) ? payload.token_introspection : null
  } catch {
    return null
  }
}

/** Sound by the words of the contract, read another way than the gateway reads them. */
function isSound(claims: Record<string, unknown>): boolean {
  const { active, iss, aud, exp, iat, nbf, cnf } = claims
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  const members = cnf === undefined ? [] : isObject(cnf) ? Object.keys(cnf) : ['none']
  return (
    active === true &&
    (iss === undefined || iss === ISSUER.issuer) &&
    audiences.includes(ORIGIN) &&
    Number(exp) > NOW &&
    Number(iat) <= NOW + 10 &&
    (nbf === undefined || Number(nbf) <= NOW + 10) &&
    members.every((name) => ['jkt', 'x5t#S256', 'kc-jkt-type'].includes(name)) &&
    !/refresh|id/i.test(String(claims.token_type ?? ''))
  )
}

async function check(input: Buffer, signed: 'required' | 'off'): Promise<Verdict> {
  const issuer = issuerThat(signed)
  const type = signed === 'required' ? 'application/token-introspection+jwt' : 'application/json'
  const answer: Introspected = await readAnswer(
    { headers: { 'content-type': type }, bytes: input },
    { issuer, keysFor, now: NOW },
  )
  if (answer === 'inactive') return fine('inactive')
  if ('unavailable' in answer) return fine(answer.unavailable)
  const text = input.toString(signed === 'required' ? 'latin1' : 'utf8')
  const other = signed === 'required' ? await readByJose(text) : readNaively(text)
  const isSame = other?.active === true && JSON.stringify(other) === JSON.stringify(answer.active)
  const judging = { policy: policyOf('low_user', { trustedIssuers: [issuer] }), now: NOW }
  const ports = { introspect: () => answer } as unknown as VerifyPorts
  const token = await verifyOpaque({ ...judging, raw: 'opaque', issuer, receivedAt: NOW }, ports)
  const outcome = token instanceof Denial ? `${token.reason} ${token.detail ?? ''}` : 'granted'
  return judge(outcome, [
    [isSame, 'takes for an answer what another reader does not'],
    [token instanceof Denial || isSound(answer.active), 'makes a token of claims that are not sound'],
  ])
}

const target = (name: string, signed: 'required' | 'off', session: Omit<Session, 'check'>): Target => ({
  name,
  most: 64 * 1024,
  slowest: 50,
  together: 1,
  open: async () => ({ ...session, check: (input) => check(input, signed) }),
})

const plainClaims: Parts = { header: {}, claims: CLAIMS }
/** The claims of a JWT that is wrong in a place or a few, without the rest of it. */
const claimsOf = (jws: Buffer): Buffer => Buffer.from(jws.toString('latin1').split('.')[1] ?? '', 'base64url')

export const INTROSPECTION: readonly Target[] = [
  target('introspection', 'off', {
    seeds: [Buffer.from(JSON.stringify(CLAIMS)), Buffer.from('{"active":false}')],
    words: readWords('json'),
    make: (random) => claimsOf(makeJws(random, { good: plainClaims, key, foreign })),
  }),
  target('signed introspection', 'required', {
    seeds: [Buffer.from(signText(JSON.stringify(PARTS.header), JSON.stringify(PARTS.claims), key))],
    words: readWords('jwt'),
    make: (random) => makeJws(random, { good: PARTS, key, foreign }),
  }),
]
