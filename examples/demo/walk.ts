// The walk: every tier granted as it should be used, then every misuse refused with its reason. One row, one request (or what
// leads up to it), one expected outcome.

import { X509Certificate } from 'node:crypto'
import * as oauth from 'oauth4webapi'
import { makeProof, outcomeOf, sendByHand } from './attacks.js'
import type { HeldToken } from './oauth-clients.js'
import type { Stage } from './stage.js'

export type Row = {
  readonly what: string
  readonly method: string
  readonly path: string
  readonly tier: string
  readonly expected: string
  /** Requests that must have reached the backend, exactly; left out: one where `expected` is granted, else none. */
  readonly reaches?: number
  /** What came of it, in the words of `expected`. */
  readonly run: (stage: Stage, url: string) => Promise<string>
}

const DECISION = '/tenants/north/cases/42/enforcement-decision'

const reference = { method: 'GET', path: '/public/reference-data', tier: 'public' }
const profile = { method: 'GET', path: '/profile', tier: 'low_user' }
const readCase = { method: 'GET', path: '/cases/42', tier: 'sensitive_read' }
const addNote = { method: 'POST', path: '/cases/42/notes', tier: 'moderate_write' }
const decide = { method: 'POST', path: DECISION, tier: 'sensitive_write' }
const pay = { method: 'POST', path: '/payments/initiate', tier: 'high_value' }

/** The DPoP-bound token that the thief has got hold of: partner-1's, good for reading cases and for payments. */
const stolen = (stage: Stage): Promise<HeldToken> =>
  stage.once('stolen', () => stage.partner.ownToken('case.read payments', 'dpop'))
const bound = (stage: Stage): Promise<HeldToken> =>
  stage.once('certificate-bound', () => stage.mtlsPartner.ownToken('case.read payments', 'by the connection'))
const adaDecides = (stage: Stage): Promise<HeldToken> =>
  stage.once('ada decides', () => stage.portal.userToken('case.enforcement.modify', 'ada', 'dpop'))

const keysOf = ({ keys }: HeldToken): oauth.CryptoKeyPair => {
  if (keys === null) throw new Error('this token is not bound to a key')
  return keys
}

const GRANTED: readonly Row[] = [
  {
    ...reference,
    what: 'anyone reads reference data',
    expected: 'granted',
    run: async (stage, url) => outcomeOf(await stage.portal.call(null, 'GET', url)),
  },
  {
    ...profile,
    what: 'Ada reads her profile with a plain bearer token',
    expected: 'granted',
    run: async (stage, url) => {
      const token = await stage.once('ada plain', () => stage.portal.userToken('profile', 'ada', 'not'))
      return outcomeOf(await stage.portal.call(token, 'GET', url))
    },
  },
  {
    ...readCase,
    what: 'Ada reads a case with a DPoP-bound token',
    expected: 'granted',
    run: async (stage, url) => outcomeOf(await stage.portal.call(await adaReads(stage), 'GET', url)),
  },
  {
    ...addNote,
    what: 'Ada adds a note to it',
    expected: 'granted',
    run: async (stage, url) => {
      const token = await stage.portal.userToken('case.write', 'ada', 'dpop')
      return outcomeOf(await stage.portal.call(token, 'POST', url, '{"note":"called back"}'))
    },
  },
  {
    ...decide,
    what: 'Ada decides, minutes after a strong login',
    expected: 'granted',
    run: async (stage, url) => outcomeOf(await stage.portal.call(await adaDecides(stage), 'POST', url, '{"decision":"uphold"}')),
  },
  {
    ...pay,
    what: 'partner-1 pays: DPoP, and the nonce it is asked for',
    expected: 'granted',
    run: async (stage, url) => outcomeOf(await stage.partner.call(await stolen(stage), 'POST', url, '{"amount":"10.00"}')),
  },
  {
    ...pay,
    what: 'partner-2 pays with a certificate-bound token',
    expected: 'granted',
    run: async (stage, url) => outcomeOf(await stage.mtlsPartner.call(await bound(stage), 'POST', url, '{"amount":"10.00"}')),
  },
]

const adaReads = (stage: Stage): Promise<HeldToken> =>
  stage.once('ada reads', () => stage.portal.userToken('case.read', 'ada', 'dpop'))

const callerWithoutKeys: Row = {
  ...pay,
  what: 'curl pays, through holdfast client',
  expected: 'granted',
  run: async ({ places }) => {
    const headers = { 'content-type': 'application/json' }
    return outcomeOf(await fetch(places.client + pay.path, { method: 'POST', headers, body: '{"amount":"10.00"}' }))
  },
}

const STOLEN: readonly Row[] = [
  {
    ...readCase,
    what: 'no token at all',
    expected: 'credentials_missing',
    run: async ({ network }, url) => outcomeOf(await sendByHand(network, { method: 'GET', url })),
  },
  {
    ...readCase,
    what: "a stolen token, proven with the thief's own key",
    expected: 'proof_key',
    run: async (stage, url) => {
      const { text: token } = await stolen(stage)
      const proof = await makeProof({ keys: await oauth.generateKeyPair('ES256'), method: 'GET', url, token })
      return outcomeOf(await sendByHand(stage.network, { method: 'GET', url, scheme: 'DPoP', token, proof }))
    },
  },
  {
    ...readCase,
    what: 'a stolen token without any proof',
    expected: 'proof_missing',
    run: async (stage, url) => {
      const { text: token } = await stolen(stage)
      return outcomeOf(await sendByHand(stage.network, { method: 'GET', url, scheme: 'DPoP', token }))
    },
  },
  {
    ...readCase,
    what: 'a bound token sent as Bearer',
    expected: 'scheme_downgraded',
    run: async (stage, url) => {
      const { text: token } = await stolen(stage)
      return outcomeOf(await sendByHand(stage.network, { method: 'GET', url, scheme: 'Bearer', token }))
    },
  },
  {
    ...readCase,
    what: 'a token and its proof, both caught, used again',
    expected: 'proof_replayed',
    reaches: 1,
    run: async (stage, url) => {
      const held = await stolen(stage)
      const request = { method: 'GET', url, scheme: 'DPoP', token: held.text } as const
      const proof = await makeProof({ keys: keysOf(held), ...request })
      const first = await outcomeOf(await sendByHand(stage.network, { ...request, proof }))
      if (first !== 'granted') return `the first use: ${first}`
      return outcomeOf(await sendByHand(stage.network, { ...request, proof }))
    },
  },
  {
    ...readCase,
    what: 'a proof made for another URL',
    expected: 'proof_target',
    run: async (stage, url) => {
      const held = await stolen(stage)
      const proof = await makeProof({ keys: keysOf(held), method: 'GET', url: url.replace('42', '43'), token: held.text })
      return outcomeOf(await sendByHand(stage.network, { method: 'GET', url, scheme: 'DPoP', token: held.text, proof }))
    },
  },
  {
    ...readCase,
    what: 'a proof made for another method',
    expected: 'proof_method',
    run: async (stage, url) => {
      const held = await stolen(stage)
      const proof = await makeProof({ keys: keysOf(held), method: 'POST', url, token: held.text })
      return outcomeOf(await sendByHand(stage.network, { method: 'GET', url, scheme: 'DPoP', token: held.text, proof }))
    },
  },
  {
    ...readCase,
    what: 'a proof made five minutes ago',
    expected: 'proof_too_old',
    run: async (stage, url) => {
      const held = await stolen(stage)
      const proof = await makeProof({ keys: keysOf(held), method: 'GET', url, token: held.text, age: 300 })
      return outcomeOf(await sendByHand(stage.network, { method: 'GET', url, scheme: 'DPoP', token: held.text, proof }))
    },
  },
  {
    ...pay,
    what: 'a fresh proof without the nonce',
    expected: 'nonce_missing',
    run: async (stage, url) => {
      const held = await stolen(stage)
      const proof = await makeProof({ keys: keysOf(held), method: 'POST', url, token: held.text })
      return outcomeOf(await sendByHand(stage.network, { method: 'POST', url, scheme: 'DPoP', token: held.text, proof }))
    },
  },
  {
    ...pay,
    what: "partner-2's token, another client's certificate",
    expected: 'certificate_mismatch',
    run: async (stage, url) => {
      const { text: token } = await bound(stage)
      return outcomeOf(await sendByHand(stage.strangerNetwork, { method: 'POST', url, scheme: 'Bearer', token }))
    },
  },
]

/** Names that backends and proxies have trusted, each with the certificate that the token is bound to: public, so no proof. */
const SPOOFED = [
  'x-client-cert',
  'client-cert',
  'x-forwarded-client-cert',
  'x-ssl-client-cert',
  'ssl-client-cert',
  'x_client_cert',
]

const spoofedHeaders = (stage: Stage): Record<string, string> => {
  const der = new X509Certificate(stage.mtlsPartnerCertificate).raw.toString('base64')
  return { ...Object.fromEntries(SPOOFED.map((name) => [name, `:${der}:`])), 'holdfast-assertion': 'eyJhbGciOiJub25lIn0.e30.' }
}

const RULES: readonly Row[] = [
  {
    ...pay,
    what: "partner-2's token, its certificate in a header",
    expected: 'certificate_missing',
    run: async (stage, url) => {
      const { text: token } = await bound(stage)
      const headers = spoofedHeaders(stage)
      return outcomeOf(await sendByHand(stage.network, { method: 'POST', url, scheme: 'Bearer', token, headers }))
    },
  },
  {
    ...reference,
    what: 'spoofed certificate and assertion headers',
    expected: 'granted, none arrived',
    run: async (stage, url) => {
      const headers = spoofedHeaders(stage)
      const outcome = await outcomeOf(await sendByHand(stage.network, { method: 'GET', url, headers }))
      const received = stage.backendSaw.at(-1)?.headers ?? {}
      const arrived = Object.keys(headers).filter((name) => received[name] === headers[name])
      return `${outcome}, ${arrived.length === 0 ? 'none arrived' : `arrived: ${arrived.join(', ')}`}`
    },
  },
  {
    ...pay,
    what: 'a plain bearer token, where a bound one is due',
    expected: 'token_unbound',
    run: async (stage, url) => {
      const { text: token } = await stage.once('ada plain', () => stage.portal.userToken('profile', 'ada', 'not'))
      return outcomeOf(await sendByHand(stage.network, { method: 'POST', url, scheme: 'Bearer', token }))
    },
  },
  {
    ...readCase,
    what: 'a token that lives for an hour',
    expected: 'token_lifetime',
    run: async (stage, url) => {
      const token = await stage.batch.ownToken('case.read', 'dpop')
      return outcomeOf(await stage.batch.call(token, 'GET', url))
    },
  },
  {
    ...addNote,
    what: 'a token without the scope',
    expected: 'scope_missing',
    run: async (stage, url) => outcomeOf(await stage.portal.call(await adaReads(stage), 'POST', url, '{}')),
  },
  {
    ...decide,
    path: DECISION.replace('north', 'south'),
    what: "another tenant's case",
    expected: 'tenant_mismatch',
    run: async (stage, url) => outcomeOf(await stage.portal.call(await adaDecides(stage), 'POST', url, '{}')),
  },
  {
    ...decide,
    what: 'a login of two hours ago: step up (RFC 9470)',
    expected: 'authentication_old',
    run: async (stage, url) => {
      const token = await stage.portal.userToken('case.enforcement.modify', 'ada-this-morning', 'dpop')
      const response = await stage.portal.call(token, 'POST', url, '{}')
      const challenge = response.headers.get('www-authenticate') ?? ''
      const asks = challenge.includes('insufficient_user_authentication') && /max_age="?900\b/.test(challenge)
      return asks ? outcomeOf(response) : `no step-up asked for: ${challenge}`
    },
  },
  {
    ...profile,
    what: 'a client that is suspended, with a token that is good',
    expected: 'client_inactive',
    run: async (stage, url) => outcomeOf(await stage.batch.call(await stage.batch.ownToken('profile', 'dpop'), 'GET', url)),
  },
  {
    ...pay,
    what: 'a client that was not approved for payments, whatever its token says',
    expected: 'client_unqualified',
    run: async (stage, url) => {
      const token = await stage.portal.userToken('payments', 'ada', 'dpop')
      return outcomeOf(await stage.portal.call(token, 'POST', url, '{}'))
    },
  },
  {
    ...readCase,
    path: '/cases/%2e%2e/admin',
    tier: '-',
    what: 'a path that two parsers read in two ways',
    expected: 'target_malformed',
    run: async (stage) => stage.rawOutcome('GET', '/cases/%2e%2e/admin'),
  },
  {
    ...readCase,
    path: '/admin',
    tier: '-',
    what: 'a path that no route names',
    expected: 'route_unknown',
    run: async ({ network }, url) => outcomeOf(await sendByHand(network, { method: 'GET', url })),
  },
]

const AROUND: readonly Row[] = [
  {
    ...readCase,
    tier: '(backend)',
    what: 'straight to the backend, past the gateway',
    expected: 'status 403',
    reaches: 1,
    run: async (stage) => outcomeOf(await fetch(`${stage.backendUrl}/cases/42`)),
  },
  {
    ...readCase,
    tier: '(backend)',
    what: 'straight to the backend with a used assertion',
    expected: 'status 403',
    reaches: 1,
    run: async (stage) => {
      const used = stage.backendSaw.findLast(({ url }) => url === '/cases/42')
      const assertion = String(used?.headers['holdfast-assertion'])
      return outcomeOf(await fetch(`${stage.backendUrl}/cases/42`, { headers: { 'holdfast-assertion': assertion } }))
    },
  },
]

export const WALK: readonly Row[] = [...GRANTED, callerWithoutKeys, ...STOLEN, ...RULES, ...AROUND]
