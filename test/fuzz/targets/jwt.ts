// Access tokens and DPoP proofs in the pure core: never a throw, and a grant only for what jose, written by others, takes for signed and
// fitting as well, and what says each thing once in the one spelling there is.
import { importJWK, jwtVerify } from 'jose'
import { LRUCache } from 'lru-cache'
import { replayKey } from '../../../src/verify/hashes.js'
import type { Policy } from '../../../src/verify/policy.js'
import { NOTHING_REVOKED } from '../../../src/verify/revocations.js'
import { verifyToken } from '../../../src/verify/token.js'
import type { ProofHeader, VerifiedToken, VerifyPorts } from '../../../src/verify/types.js'
import { Denial } from '../../../src/verify/verdict.js'
import { verify } from '../../../src/verify/verify.js'
import { makeInbound, makeRoute } from '../../support/granted.js'
import { sha256, thumbprint } from '../../support/jwt.js'
import { readWords } from '../corpus.js'
import { makeJws, type Parts, signText, twinOf } from '../jws.js'
import { ecKey, edKey, type FixedKey, rsaKey } from '../keys.js'
import { saysAllOnce } from '../naive-json.js'
import { ISSUER, NOW, ORIGIN, policyOf } from '../policies.js'
import { fine, judge, type Session, type Target, type Verdict } from '../target.js'

type Keys = readonly FixedKey[]

/** One of each algorithm. */
const keysOf = (name: string): Keys => [ecKey(name), edKey(name), rsaKey(name)]
const others = (keys: Keys, key: FixedKey): Keys => [...keys.filter((one) => one !== key), ecKey('someone else')]

const tokenParts = (key: FixedKey, cnf: object | null): Parts => ({
  header: { typ: 'at+jwt', alg: key.alg, kid: key.alg },
  claims: {
    iss: ISSUER.issuer,
    aud: ORIGIN,
    sub: 'user-1',
    client_id: 'client-1',
    jti: 'token-1',
    iat: NOW - 10,
    exp: NOW + 240,
    scope: 'case.read case.write',
    ...(cnf === null ? {} : { cnf }),
  },
})

const proofParts = (key: FixedKey, token: string): Parts => ({
  header: { typ: 'dpop+jwt', alg: key.alg, jwk: key.jwk },
  claims: { jti: `proof of ${key.alg}`, htm: 'GET', htu: `${ORIGIN}/read/1`, iat: NOW, ath: sha256(token) },
})

const sign = ({ header, claims }: Parts, key: FixedKey): string => signText(JSON.stringify(header), JSON.stringify(claims), key)

/** Ports as a gateway has them; the caches stay, so that what was good before is there to be mistaken for. */
const portsOf = (keys: Keys): VerifyPorts => ({
  keysFor: (_, { kid, alg }) =>
    keys.filter((key) => (kid === null ? key.alg === alg : key.alg === kid)).map((key) => ({ kid: key.alg, key: key.publicKey })),
  revocations: NOTHING_REVOKED,
  keysGeneration: () => 0,
  introspect: () => 'inactive',
  nonceTime: () => null,
  tokens: new LRUCache<string, VerifiedToken>({ max: 500 }),
  proofHeaders: new LRUCache<string, ProofHeader>({ max: 500 }),
  limits: { credential_bytes: 8192, proof_bytes: 8192 },
})

/** Three segments, each in its one spelling, and JSON that says all once. */
function isCanonical(text: string): boolean {
  const segments = text.split('.')
  const isOneSpelling = (one: string): boolean => one !== '' && Buffer.from(one, 'base64url').toString('base64url') === one
  if (segments.length !== 3 || !segments.every(isOneSpelling)) return false
  return segments.slice(0, 2).every((one) => saysAllOnce(Buffer.from(one, 'base64url').toString()))
}

const at = { currentDate: new Date(NOW * 1000) }
const isNear = (value: unknown, from: number, to: number): boolean => typeof value === 'number' && value >= from && value <= to

async function isSoundToken(text: string, keys: Keys): Promise<boolean> {
  const { payload, protectedHeader: header } = await jwtVerify(
    text,
    ({ kid, alg }) => {
      const key = keys.find((one) => (kid === undefined ? one.alg === alg : one.alg === kid))
      if (key === undefined) throw new Error('no key')
      return key.publicKey
    },
    {
      ...at,
      clockTolerance: 10,
      issuer: ISSUER.issuer,
      audience: ORIGIN,
      typ: 'at+jwt',
      algorithms: ['ES256', 'EdDSA', 'Ed25519', 'PS256'],
    },
  )
  // `nbf` and `iat` may be ahead by `clock_skew`; `exp` has no leeway (contract §3).
  const texts = [payload.sub, payload.jti, payload.client_id].every((one) => typeof one === 'string' && one !== '')
  return (
    texts &&
    isNear(payload.iat, Number.NEGATIVE_INFINITY, NOW + 10) &&
    Number(payload.exp) > NOW &&
    !('crit' in header) &&
    isCanonical(text)
  )
}

async function isSoundProof(text: string, { token, jkt }: { readonly token: string; readonly jkt: string }): Promise<boolean> {
  const { payload, protectedHeader: header } = await jwtVerify(
    text,
    ({ jwk, alg }) => {
      if (jwk === undefined) throw new Error('no key')
      return importJWK(jwk, alg)
    },
    { ...at, clockTolerance: 10, algorithms: ['ES256', 'EdDSA', 'Ed25519', 'PS256'] },
  )
  const { jti, htm, htu, iat, ath } = payload
  const isOfKey = header.jwk !== undefined && thumbprint(header.jwk) === jkt && !('d' in header.jwk)
  const isHere =
    htm === 'GET' && typeof htu === 'string' && new URL(htu).href.replace(/[?#].*/, '').replace('%31', '1') === `${ORIGIN}/read/1`
  const isNow = isNear(iat, NOW - 60, NOW + 10) && ath === sha256(token) && typeof jti === 'string' && jti !== ''
  return header.typ === 'dpop+jwt' && isOfKey && isHere && isNow && !('crit' in header) && isCanonical(text)
}

/** A grant is right when the other reader says so too. */
async function confirm(outcome: string, sound: () => Promise<boolean>): Promise<Verdict> {
  const isSound = await sound().catch(() => false)
  return judge(outcome, [[isSound, 'grants what jose or RFC 9449 §4.3 would not']])
}

async function openTokens(): Promise<Session> {
  const keys = keysOf('issuer')
  const ports = portsOf(keys)
  const policy: Policy = policyOf('low_user')
  const good = keys.map((key) => ({ good: tokenParts(key, null), key, foreign: others(keys, key) }))
  const texts = good.map(({ good, key }) => sign(good, key))
  return {
    seeds: [...texts, ...texts.slice(0, 1).map(withTwin)].map((text) => Buffer.from(text)),
    words: readWords('jwt'),
    make: (random) => makeJws(random, random.pick(good)),
    check: async (input) => {
      const text = input.toString('latin1')
      const found = await verifyToken(text, { policy, now: NOW }, ports)
      if (found instanceof Denial) return fine(`${found.reason} ${found.detail ?? ''}`)
      return confirm('granted', () => isSoundToken(text, keys))
    },
  }
}

const withTwin = (text: string): string => text.replace(/[^.]*$/, twinOf)

async function openProofs(): Promise<Session> {
  const issuer = ecKey('issuer')
  const keys = keysOf('client')
  const ports = portsOf([issuer])
  const route = makeRoute({ policy: policyOf('sensitive_read'), path: '/read/:id' })
  const target = { origin: ORIGIN, base: ORIGIN, path: '/read/1', rawPath: '/read/1', query: null, matrix: false }
  const good = keys.map((key) => {
    const token = sign(tokenParts(issuer, { jkt: key.jkt }), issuer)
    return { token, jkt: key.jkt, good: proofParts(key, token), key, foreign: others(keys, key) }
  })
  const ask = async (text: string, { token, jkt }: (typeof good)[number]): Promise<Verdict> => {
    const inbound = makeInbound({ method: 'GET', target, authorization: [`DPoP ${token}`], dpop: [text] })
    const found = await verify({ inbound, match: { route, captured: { id: '1' } } }, NOW, ports)
    if ('denial' in found) return fine(`${found.denial.reason} ${found.denial.detail ?? ''}`)
    const { proof } = found
    if (proof === null || replayKey(proof.header.jkt, proof.claims.jti).length !== 21)
      return judge('', [[false, 'grants without proof']])
    return confirm(`granted ${proof.header.alg}`, () => isSoundProof(text, { token, jkt }))
  }
  return {
    seeds: good.map(({ good, key }) => Buffer.from(sign(good, key))),
    words: readWords('jwt'),
    make: (random) => makeJws(random, random.pick(good)),
    check: async (input) => {
      const text = input.toString('latin1')
      const verdicts: Verdict[] = []
      for (const one of good) verdicts.push(await ask(text, one))
      return verdicts.find(({ problem }) => problem !== null) ?? fine(verdicts.map(({ outcome }) => outcome).join(', '))
    },
  }
}

export const TOKEN: Target = { name: 'token', most: 64 * 1024, slowest: 50, together: 1, open: openTokens }
export const PROOF: Target = { name: 'proof', most: 64 * 1024, slowest: 50, together: 1, open: openProofs }
