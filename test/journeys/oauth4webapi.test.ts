// Does `oauth4webapi` get along with the gateway? Nonces, key rotation on both sides, every binding on one gateway at once, and
// whether it can read each refusal, up to the metadata that the challenge points to.
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import { outcomeOf } from '../../examples/demo/attacks.js'
import type { Connection, OAuthClient } from '../../examples/demo/oauth-clients.js'
import { HOST } from '../support/lab.js'
import {
  ALL,
  advanceClock,
  type Change,
  changedProofs,
  forged,
  keysOf,
  ORIGIN,
  OTHER_ORIGIN,
  type Realm,
  SCOPES,
  STRONG,
  spoiledConnection,
  startRealm,
} from './real-clients.js'

const realm: Realm = await startRealm()
t.teardown(() => realm.close())

/** A token, what proves it, and the connection that carries both; left out: no proof. */
type Caller = { readonly text: string; readonly handle?: oauth.DPoPHandle | null; readonly connection: Connection }
type Call = readonly [method: 'GET' | 'POST', path: string]

const PROFILE: Call = ['GET', '/profile']
const READ: Call = ['GET', '/cases/42']
const NOTE: Call = ['POST', '/cases/42/notes']
const PAY: Call = ['POST', '/payments']
const MTLS: Call = ['GET', '/mtls']
const BOTH: Call = ['GET', '/both']

/** As the library's documentation has it: once more when a nonce is asked for. */
async function ask({ text, handle, connection }: Caller, [method, path]: Call, origin = ORIGIN): Promise<Response> {
  const options = { [oauth.customFetch]: connection.fetch, ...(handle ? { DPoP: handle } : {}) }
  const body = method === 'POST' ? '{}' : null
  const send = () => oauth.protectedResourceRequest(text, method, new URL(path, origin), undefined, body, options)
  try {
    return await send()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return send()
  }
}

/** The answer, be it a grant, a refusal without challenge, or one that the library throws. */
async function outcome(caller: Caller, call: Call, origin?: string): Promise<string> {
  try {
    return await outcomeOf(await ask(caller, call, origin))
  } catch (error) {
    if (error instanceof oauth.WWWAuthenticateChallengeError) return outcomeOf(error.response)
    throw error
  }
}

const network = realm.connect()
const partner = await realm.client('partner-1')
const hold = async (client: OAuthClient, bound: Parameters<OAuthClient['ownToken']>[1], connection: Connection = network) => ({
  ...(await client.ownToken(ALL, bound)),
  connection,
})
const shortLived = await hold(await realm.client('short-1'), 'by the connection')
const client = realm.connect('client')
const other = realm.connect('other')
/** One caller of each kind, all on the same gateway. */
const callers = {
  dpop: await hold(partner, 'dpop'),
  certificate: await hold(await realm.client('partner-2', { certificate: 'client' }), 'by the connection', client),
  'other certificate': await hold(await realm.client('partner-3', { certificate: 'other' }), 'by the connection', other),
  both: await hold(await realm.client('double', { at: realm.rotating.issuer }), 'dpop', client),
  bearer: await hold(partner, 'by the connection'),
}
const portal = await realm.client('portal')

t.test('grants a sensitive and a high_value route, 100 calls in turn and 50 at once', async (t) => {
  const connection = realm.connect()
  const caller = await hold(partner, 'dpop', connection)
  for (const call of [PROFILE, READ, NOTE, PAY]) t.equal(await outcome(caller, call), 'granted', call.join(' '))
  for (let i = 0; i < 100; i++) {
    const got = await outcome(caller, PAY)
    if (got !== 'granted') t.fail(`call ${i}: ${got}`)
  }
  const refused = connection.statuses.filter((status) => status !== 200)
  t.same(refused, [401], 'one nonce is asked for in all')
  const newcomer = await hold(partner, 'dpop', connection)
  const outcomes = await Promise.all(Array.from({ length: 50 }, () => outcome(newcomer, PAY)))
  t.same([...new Set(outcomes)], ['granted'])
})

t.test('grants with a nonce of another route, and keeps nonces of origins apart', async (t) => {
  const held = await hold(partner, 'dpop')
  const seen: Record<string, unknown>[] = []
  const caller = { ...held, handle: changedProofs(keysOf(held), (_, claims) => void seen.push({ ...claims })) }
  t.equal(await outcome(caller, READ), 'granted')
  t.equal(await outcome(caller, PAY), 'granted')
  t.equal(await outcome(caller, READ), 'granted', 'where none is demanded')
  const [first, asked, paid, read] = seen.map(({ nonce }) => nonce)
  t.same([first, asked], [undefined, undefined])
  t.type(paid, 'string')
  t.type(read, 'string', 'the library sends what it has')

  seen.length = 0
  t.equal(await outcome(caller, PAY, OTHER_ORIGIN), 'granted')
  t.equal(seen[0]?.nonce, undefined, 'not that of the first origin')
  t.type(seen[1]?.nonce, 'string')
  t.equal(seen[1]?.htu, `${OTHER_ORIGIN}/payments`)
  t.equal(await outcome(caller, PAY), 'granted', 'both are kept')
  t.equal(seen.length, 3)
})

t.test('grants the new key of a client with its new token, and refuses the old key with it', async (t) => {
  const [old, next] = [await hold(partner, 'dpop'), await hold(partner, 'dpop')]
  t.equal(await outcome(old, PAY), 'granted')
  t.equal(await outcome(next, PAY), 'granted')
  t.equal(await outcome({ ...next, handle: old.handle }, READ), 'proof_key')
  t.equal(await outcome({ ...old, handle: next.handle }, READ), 'proof_key')
  t.equal(await outcome(old, READ), 'granted', 'the old pair goes on until its token ends')
})

/** Who is granted what. */
const FIT: readonly (readonly [keyof typeof callers, readonly Call[]])[] = [
  ['dpop', [PROFILE, READ, NOTE, PAY]],
  ['certificate', [PROFILE, READ, NOTE, PAY, MTLS]],
  ['other certificate', [PROFILE, READ, NOTE, PAY, MTLS]],
  ['both', [PROFILE, READ, NOTE, PAY, MTLS, BOTH]],
  ['bearer', [PROFILE, READ]],
]

/** A token of one with what another has. */
const MISFIT: readonly (readonly [what: string, caller: Caller, call: Call, reason: string])[] = [
  ['a key’s token, with another key', { ...callers.dpop, handle: callers.both.handle }, READ, 'proof_key'],
  ['a key’s token, with a certificate alone', { ...callers.dpop, handle: null, connection: client }, READ, 'scheme_downgraded'],
  ['a key’s token, where a certificate is due', { ...callers.dpop, connection: client }, MTLS, 'binding_insufficient'],
  [
    'a certificate’s token, with another certificate',
    { ...callers.certificate, connection: other },
    READ,
    'certificate_mismatch',
  ],
  [
    'another’s token, with this certificate',
    { ...callers['other certificate'], connection: client },
    PAY,
    'certificate_mismatch',
  ],
  ['a certificate’s token, without any', { ...callers.certificate, connection: network }, PROFILE, 'certificate_missing'],
  ['a certificate’s token, with a key', { ...callers.certificate, handle: callers.dpop.handle }, READ, 'scheme_mismatch'],
  ['a doubly bound token, with the key alone', { ...callers.both, connection: network }, READ, 'certificate_missing'],
  ['a doubly bound token, with another certificate', { ...callers.both, connection: other }, BOTH, 'certificate_mismatch'],
  ['a doubly bound token, with the certificate alone', { ...callers.both, handle: null }, BOTH, 'scheme_downgraded'],
  ['a doubly bound token, with another key', { ...callers.both, handle: callers.dpop.handle }, BOTH, 'proof_key'],
  ['a plain token, with a key', { ...callers.bearer, handle: callers.dpop.handle }, PROFILE, 'scheme_mismatch'],
  ['a plain token, with a certificate', { ...callers.bearer, connection: client }, PAY, 'token_unbound'],
]

t.test('grants every binding on one gateway at once, and refuses each token with the means of another', async (t) => {
  const before = realm.lab.upstreamCalls()
  const rounds = 4
  const fit = FIT.flatMap(([name, calls]) =>
    calls.map((call) => [`${name}: ${call.join(' ')}`, callers[name], call, 'granted'] as const),
  )
  const work = Array.from({ length: rounds }, () => [...fit, ...MISFIT]).flat()
  const outcomes = await Promise.all(work.map(async ([what, caller, call]) => [what, await outcome(caller, call)] as const))
  const perRow = new Map<string, Set<string>>()
  for (const [what, got] of outcomes) perRow.set(what, (perRow.get(what) ?? new Set()).add(got))
  for (const [what, , , expected] of [...fit, ...MISFIT]) t.same([...(perRow.get(what) ?? [])], [expected], what)
  t.equal(realm.lab.upstreamCalls(), before + rounds * fit.length, 'what was refused did not get through')

  const binding = async (caller: Caller, call: Call) => {
    t.equal(await outcome(caller, call), 'granted')
    return decodeJwt(String(realm.lab.calls.at(-1)?.headers['holdfast-assertion'])).binding
  }
  const x5t = realm.lab.thumbprint('client')
  t.match(await binding(callers.both, BOTH), { method: 'both', jkt: String, 'x5t#S256': x5t })
  t.same(await binding(callers.certificate, MTLS), { method: 'mtls', 'x5t#S256': x5t })
  t.same(await binding(callers.bearer, READ), { method: 'none' })
})

const DECIDE: Call = ['POST', '/tenants/north/decision']
const fresh = async () => ({ ...callers.dpop, handle: oauth.DPoP({}, keysOf(callers.dpop)) })
const withProof = (change: Change): Caller => ({ ...callers.dpop, handle: changedProofs(keysOf(callers.dpop), change) })
const claim = (name: string, value: unknown) => withProof((_, claims) => void Object.assign(claims, { [name]: value }))
const header = (name: string, value: unknown) => withProof((head) => void Object.assign(head, { [name]: value }))
const now = () => Math.floor(Date.now() / 1000)
/** A caller whose headers are changed after the library has made them. */
const spoiled = (change: (headers: Record<string, string>) => void): Caller => ({
  ...callers.dpop,
  connection: spoiledConnection(network, change),
})

type Refused = {
  readonly reason: string
  readonly caller: Caller | Promise<Caller>
  readonly call?: Call
  readonly status?: number
  readonly error?: string
  /** The scheme whose challenge carries the error. */
  readonly scheme?: 'dpop' | 'bearer'
  /** Further parameters beside the error. */
  readonly more?: Record<string, unknown>
}

const TOKEN = { error: 'invalid_token', scheme: 'dpop' } as const
const BEARER = { error: 'invalid_token', scheme: 'bearer' } as const
const PROOF = { error: 'invalid_dpop_proof', scheme: 'dpop' } as const
const NONCE = { error: 'use_dpop_nonce', scheme: 'dpop', call: PAY } as const
const STEP_UP = {
  error: 'insufficient_user_authentication',
  scheme: 'dpop',
  call: DECIDE,
  more: { acr_values: STRONG, max_age: '900' },
} as const
const asAda = async (person: string) => ({ ...(await portal.userToken('decide', person, 'dpop')), connection: network })

const REFUSED: readonly Refused[] = [
  {
    reason: 'credentials_malformed',
    status: 400,
    error: 'invalid_request',
    scheme: 'dpop',
    caller: spoiled((h) => (h.authorization = 'DPoP a b')),
  },
  {
    reason: 'credentials_in_query',
    status: 400,
    error: 'invalid_request',
    caller: callers.dpop,
    call: ['GET', '/cases/1?access_token=a'],
  },
  { reason: 'token_malformed', caller: { ...callers.dpop, text: 'opaque' }, ...TOKEN },
  { reason: 'token_signature', caller: { ...callers.dpop, text: forged(callers.dpop.text) }, ...TOKEN },
  { reason: 'token_lifetime', caller: realm.client('hour-1').then((one) => hold(one, 'dpop')), ...TOKEN },
  { reason: 'token_unbound', caller: callers.bearer, call: NOTE, ...BEARER },
  { reason: 'scheme_downgraded', caller: { ...callers.dpop, handle: null }, ...BEARER },
  { reason: 'scheme_mismatch', caller: { ...callers.bearer, handle: callers.dpop.handle }, ...TOKEN },
  { reason: 'binding_insufficient', caller: callers.dpop, call: MTLS, ...TOKEN },
  { reason: 'binding_insufficient', caller: callers.certificate, call: BOTH, ...BEARER },
  { reason: 'certificate_missing', caller: { ...callers.certificate, connection: network }, ...BEARER },
  { reason: 'certificate_mismatch', caller: { ...callers.certificate, connection: other }, call: PAY, ...BEARER },
  { reason: 'proof_missing', caller: spoiled((h) => delete h.dpop), ...PROOF },
  { reason: 'proof_malformed', caller: spoiled((h) => (h.dpop = 'a.b')), ...PROOF },
  { reason: 'proof_type', caller: header('typ', 'JWT'), ...PROOF },
  { reason: 'proof_algorithm', caller: header('alg', 'none'), ...PROOF },
  {
    reason: 'proof_private_key',
    caller: withProof((head) => void Object.assign(head, { jwk: { ...(head.jwk as object), d: 'AA' } })),
    ...PROOF,
  },
  { reason: 'proof_claim', caller: claim('jti', undefined), ...PROOF },
  { reason: 'proof_key', caller: { ...callers.dpop, handle: callers.both.handle }, ...TOKEN },
  { reason: 'proof_token', caller: claim('ath', 'A'.repeat(43)), ...PROOF },
  { reason: 'proof_method', caller: claim('htm', 'PUT'), ...PROOF },
  { reason: 'proof_target', caller: claim('htu', `${ORIGIN}/cases/43`), ...PROOF },
  { reason: 'proof_too_old', caller: claim('iat', now() - 600), ...PROOF },
  { reason: 'proof_in_future', caller: claim('iat', now() + 600), ...PROOF },
  { reason: 'proof_signature', caller: spoiled((h) => (h.dpop = forged(h.dpop ?? ''))), ...PROOF },
  { reason: 'nonce_missing', caller: fresh(), ...NONCE },
  { reason: 'nonce_stale', caller: claim('nonce', 'not-ours'), ...NONCE },
  {
    reason: 'scope_missing',
    status: 403,
    error: 'insufficient_scope',
    scheme: 'dpop',
    caller: partner.ownToken('profile', 'dpop').then((held) => ({ ...held, connection: network })),
    more: { scope: 'case.read' },
  },
  { reason: 'authentication_old', caller: asAda('ada-this-morning'), ...STEP_UP },
  { reason: 'authentication_weak', caller: asAda('ada-weak'), ...STEP_UP },
]

/** One request of the library, never a second one, and the challenge that it throws. */
async function challenge(
  { text, handle, connection }: Caller,
  [method, path]: Call,
): Promise<oauth.WWWAuthenticateChallengeError> {
  const options = { [oauth.customFetch]: connection.fetch, ...(handle ? { DPoP: handle } : {}) }
  const body = method === 'POST' ? '{}' : null
  try {
    const response = await oauth.protectedResourceRequest(text, method, new URL(path, ORIGIN), undefined, body, options)
    throw new Error(`no challenge: ${response.status} ${await response.text()}`)
  } catch (error) {
    if (error instanceof oauth.WWWAuthenticateChallengeError) return error
    throw error
  }
}

const METADATA = '/.well-known/oauth-protected-resource'

t.test('refuses with challenges that the library reads', async (t) => {
  const check = async ({ reason, caller, call = READ, status = 401, error, scheme, more = {} }: Refused) => {
    const refused = await challenge(await caller, call)
    t.equal(await outcomeOf(refused.response), reason)
    t.equal(refused.status, status, reason)
    for (const { scheme: offered, parameters } of refused.cause) {
      t.equal(parameters.resource_metadata, ORIGIN + METADATA, `${reason}: ${offered}`)
      if (offered === 'bearer') t.equal(parameters.realm, HOST, `${reason}: realm`)
      else t.match(parameters.algs, /\bES256\b/, `${reason}: algs`)
      const isAtFault = scheme === undefined || scheme === offered
      t.equal(parameters.error, isAtFault ? error : undefined, `${reason}: ${offered}`)
      t.type(parameters.error_description, parameters.error === undefined ? 'undefined' : 'string')
      if (isAtFault) t.match(parameters, more, `${reason}: ${offered}`)
    }
    const offered = refused.cause.map(({ scheme }) => scheme)
    const others = call === BOTH ? [] : call === MTLS ? ['bearer'] : ['dpop', 'bearer']
    const used = scheme ?? 'dpop'
    t.same([...offered].sort(), [...new Set([...others, ...(call === BOTH ? ['dpop'] : []), used])].sort(), `${reason}: schemes`)
    t.equal(oauth.isDPoPNonceError(refused), error === 'use_dpop_nonce', `${reason}: asks for a nonce, or does not`)
    t.equal(refused.response.headers.has('dpop-nonce'), call === PAY, `${reason}: brings one where nonces are demanded`)
  }
  for (const row of REFUSED) await check(row)

  const bare = spoiled((headers) => {
    delete headers.authorization
    delete headers.dpop
  })
  await check({ reason: 'credentials_missing', caller: bare })

  const twice = claim('jti', 'the-same')
  t.equal(await outcome(twice, READ), 'granted')
  await check({ reason: 'proof_replayed', caller: twice, ...PROOF })

  await sleep(Number(decodeJwt(shortLived.text).exp) * 1000 - Date.now())
  await check({ reason: 'token_expired', caller: shortLived, ...BEARER })

  t.equal(await outcome(await asAda('ada'), DECIDE), 'granted', 'what the step-up challenge asks for')
})

t.test('grants a client that knows nothing but the URL: challenge, metadata, authorization server, token', async (t) => {
  for (const origin of [ORIGIN, OTHER_ORIGIN]) {
    const fetched: string[] = []
    const options = {
      [oauth.customFetch]: (url: string, init: Parameters<Connection['fetch']>[1]) => {
        fetched.push(url)
        return network.fetch(url, init)
      },
    }
    const error = await oauth
      .protectedResourceRequest('unknown', 'GET', new URL('/cases/42', origin), undefined, null, options)
      .catch((error: unknown) => error)
    if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error
    const response = await oauth.resourceDiscoveryRequest(new URL(origin), options)
    t.equal(fetched.at(-1), error.cause[0]?.parameters.resource_metadata, 'both name the same document')
    const document = await oauth.processResourceDiscoveryResponse(new URL(origin), response)
    t.match(document, {
      resource: origin,
      authorization_servers: [realm.issuer, realm.rotating.issuer],
      bearer_methods_supported: ['header'],
      tls_client_certificate_bound_access_tokens: true,
      dpop_bound_access_tokens_required: false,
    })
    t.same([...(document.scopes_supported ?? [])].sort(), [...SCOPES].sort())
    t.ok(document.dpop_signing_alg_values_supported?.includes('ES256'))
    const found = await realm.client('partner-1', { at: document.authorization_servers?.[0] ?? '' })
    t.equal(await outcome(await hold(found, 'dpop'), READ, origin), 'granted')
  }
})

// The last test: the clock goes ahead in it.
t.test('grants tokens of a new signing key with one fetch, and refuses those of a removed one', async (t) => {
  const { rotating } = realm
  const single = await realm.client('single', { at: rotating.issuer })
  await realm.reload((parts) => parts)
  const old = await hold(single, 'dpop')
  t.equal(await outcome(old, PAY), 'granted')

  await rotating.publish('first', 'second')
  const next = await hold(single, 'dpop')
  // Made before its key is published, because the authorization server is asked for nothing more once the clock goes ahead.
  await rotating.publish('second', 'third')
  const third = await hold(single, 'dpop')
  await rotating.publish('first', 'second')

  const reads = rotating.keySetReads()
  t.equal(await outcome(next, PAY), 'keys_unavailable', 'within 30 s of a fetch, nobody knows')
  t.equal(rotating.keySetReads(), reads, 'and nobody asks')
  advanceClock(31)
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => outcome(next, READ)))
  t.same([...new Set(outcomes)], ['granted'], 'all wait for the one fetch')
  t.equal(rotating.keySetReads(), reads + 1)
  t.equal(await outcome(old, PAY), 'granted', 'the old key is still published')

  await rotating.publish('second', 'third')
  t.equal(await outcome(old, PAY), 'granted', 'until the set is read again')
  advanceClock(31)
  t.equal(await outcome(third, READ), 'granted', 'which the next new key brings about')
  t.equal(rotating.keySetReads(), reads + 2)
  t.equal(await outcome(old, READ), 'keys_unavailable', 'refused at once, although it was accepted before')
  t.equal(await outcome(next, READ), 'granted')
  advanceClock(31)
  t.equal(await outcome(old, READ), 'token_signature', 'a fetch later it is known to be gone')
  t.equal(await outcome(third, PAY), 'granted')
})
