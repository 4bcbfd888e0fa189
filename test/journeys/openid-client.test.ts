// Does `openid-client` get along with the gateway as it is, by its own means alone? Tokens of a real authorization server, nonces,
// rotations, renewal and step-up; what it cannot handle, no one who uses it can.
import { setTimeout as sleep } from 'node:timers/promises'
import * as client from 'openid-client'
import t from 'tap'
import { outcomeOf } from '../../examples/demo/attacks.js'
import type { HeldToken } from '../../examples/demo/oauth-clients.js'
import { ALL, type CountingConnection, keysOf, ORIGIN, type Realm, STRONG, startRealm } from './real-clients.js'

const realm: Realm = await startRealm()
t.teardown(() => realm.close())

const discover = (connection: CountingConnection, clientId = 'partner-1') =>
  client.discovery(new URL(realm.issuer), clientId, undefined, client.PrivateKeyJwt(realm.authKey), {
    // The authorization server is plain http on loopback.
    execute: [client.allowInsecureRequests],
    [client.customFetch]: connection.fetch,
  })

type Caller = {
  readonly connection: CountingConnection
  readonly config: client.Configuration
  readonly handle: client.DPoPHandle
  readonly renew: (scope?: string) => Promise<client.TokenEndpointResponse & client.TokenEndpointResponseHelpers>
}

/** A client with a key of its own, as the library's documentation has it. */
async function makeCaller(clientId?: string): Promise<Caller> {
  const connection = realm.connect()
  const config = await discover(connection, clientId)
  const handle = client.getDPoPHandle(config, await client.randomDPoPKeyPair())
  const renew = (scope = ALL) => client.clientCredentialsGrant(config, { scope, resource: ORIGIN }, { DPoP: handle })
  return { connection, config, handle, renew }
}

type Call = { readonly method?: string; readonly path: string; readonly token: string }

/** One call of the library; a challenge that it throws is an answer here. */
async function outcome({ config, handle }: Pick<Caller, 'config' | 'handle'>, { method = 'GET', path, token }: Call) {
  const body = method === 'GET' ? null : '{"amount":"10.00"}'
  const headers = new Headers({ 'content-type': 'application/json' })
  const url = new URL(path, ORIGIN)
  try {
    return await outcomeOf(await client.fetchProtectedResource(config, token, url, method, body, headers, { DPoP: handle }))
  } catch (error) {
    if (error instanceof client.WWWAuthenticateChallengeError) return outcomeOf(error.response)
    throw error
  }
}

const pay = (caller: Caller, token: string) => outcome(caller, { method: 'POST', path: '/payments', token })
const refusals = ({ connection }: Caller, from = 0) => connection.statuses.slice(from).filter((status) => status === 401).length

t.test('grants a sensitive and a high_value route; the nonce is fetched by the library itself', async (t) => {
  const caller = await makeCaller()
  const { access_token: token, token_type, scope } = await caller.renew()
  t.equal(token_type, 'dpop')
  t.equal(scope, ALL)
  const from = caller.connection.statuses.length
  t.equal(await outcome(caller, { path: '/cases/42?full=yes', token }), 'granted')
  t.equal(await outcome(caller, { method: 'POST', path: '/cases/42/notes', token }), 'granted')
  t.equal(refusals(caller, from), 0, 'no nonce where none is demanded')
  t.equal(await pay(caller, token), 'granted')
  t.same(caller.connection.statuses.slice(from), [200, 200, 401, 200])
  const { url, body, headers } = realm.lab.calls.at(-1) ?? {}
  t.same([url, String(body)], ['/payments', '{"amount":"10.00"}'], 'the body of the retried request arrives')
  t.equal(headers?.['content-type'], 'application/json')
  t.same([headers?.authorization, headers?.dpop], [undefined, undefined])
})

t.test('grants 100 calls one after another and 50 at once', async (t) => {
  const caller = await makeCaller()
  const { access_token: token } = await caller.renew()
  const [from, before] = [caller.connection.statuses.length, realm.lab.upstreamCalls()]
  for (let i = 0; i < 100; i++) {
    const outcome = await pay(caller, token)
    if (outcome !== 'granted') t.fail(`call ${i}: ${outcome}`)
  }
  t.equal(refusals(caller, from), 1, 'one nonce is asked for, and every answer brings the next')

  const newcomer = await makeCaller()
  const { access_token: another } = await newcomer.renew()
  const outcomes = await Promise.all(Array.from({ length: 50 }, () => pay(newcomer, another)))
  t.same([...new Set(outcomes)], ['granted'], 'no proof is taken for another, no first call fails for want of a nonce')
  t.equal(realm.lab.upstreamCalls(), before + 150)
})

type Payer = readonly [caller: Caller, token: string]

const makePayer = async (): Promise<Payer> => {
  const caller = await makeCaller()
  const { access_token: token } = await caller.renew()
  return [caller, token]
}

/** Every one pays without a pause, twice at a time, until told to stop; then says all that came of it. */
function startPaying(payers: readonly Payer[]) {
  const workers = [...payers, ...payers].map((payer) => ({ payer, outcomes: [] as string[] }))
  let isOver = false
  const work = workers.map(async ({ payer, outcomes }) => {
    while (!isOver) outcomes.push(await pay(...payer))
  })
  return {
    /** When everyone has finished two more calls, so that no answer is under way that began before. */
    twoMore: async () => {
      const due = workers.map(({ outcomes }) => outcomes.length + 2)
      while (workers.some(({ outcomes }, index) => outcomes.length < (due[index] ?? 0))) await sleep(10)
    },
    stop: async () => {
      isOver = true
      await Promise.all(work)
      return workers.flatMap(({ outcomes }) => outcomes)
    },
  }
}

const secret = (letter: string) => `"${letter.repeat(32)}"`
const rotate = (...letters: string[]) =>
  realm.reload((parts) => ({ ...parts, dpop: `{ nonce_secret: [${letters.map(secret).join(', ')}] }` }))

t.test('grants clients that rotate, wait and renew, side by side', async (t) => {
  t.jobs = 3
  t.test('grants parallel calls while nonces and their secret change', async (t) => {
    const payers = await Promise.all(Array.from({ length: 4 }, makePayer))
    for (const payer of payers) t.equal(await pay(...payer), 'granted')
    const asked = () => payers.reduce((sum, [caller]) => sum + refusals(caller), 0)
    const before = asked()
    const { twoMore, stop } = startPaying(payers)
    await twoMore()
    await rotate('m', 'n')
    await twoMore()
    await rotate('k', 'm')
    await twoMore()
    // Nonces are made anew each second.
    await sleep(1100)
    const outcomes = await stop()
    t.same([...new Set(outcomes)], ['granted'], `${outcomes.length} calls`)
    t.equal(asked(), before, 'no one is even asked for another nonce: the previous secret still counts')
  })

  t.test('grants calls with nonces at the end of their life', async (t) => {
    // Nonces of this route live for three seconds: before, at and after their end.
    const waits = [2000, 2300, 2600, 2800, 2900, 2950, 3000, 3050, 3100, 3300]
    const outcomes = await Promise.all(
      waits.map(async (wait) => {
        const caller = await makeCaller()
        const { access_token: token } = await caller.renew()
        t.equal(await outcome(caller, { path: '/quick', token }), 'granted')
        const from = caller.connection.statuses.length
        await sleep(wait)
        return [await outcome(caller, { path: '/quick', token }), refusals(caller, from)] as const
      }),
    )
    t.same([...new Set(outcomes.map(([outcome]) => outcome))], ['granted'])
    t.equal(outcomes.at(-1)?.[1], 1, 'the last one was asked for a fresh nonce')
  })

  t.test('grants a client that renews its token whenever it ends', async (t) => {
    const caller = await makeCaller('short-1')
    let held = await caller.renew()
    t.equal(held.expires_in, 2)
    const outcomes: string[] = []
    for (let renewals = 0; renewals < 2 || outcomes.at(-1) !== 'granted'; ) {
      const got = await pay(caller, held.access_token)
      outcomes.push(got)
      if (got === 'granted') await sleep(50)
      else if (got !== 'token_expired') break
      else {
        held = await caller.renew()
        renewals += 1
      }
    }
    t.same([...new Set(outcomes)], ['granted', 'token_expired'])
    t.ok(outcomes.length > 10, `${outcomes.length} calls`)
  })
})

t.test('grants calls after a secret that leaves no nonce good', async (t) => {
  const payers = await Promise.all(Array.from({ length: 4 }, makePayer))
  for (const payer of payers) t.equal(await pay(...payer), 'granted')
  const before = payers.map(([caller]) => refusals(caller))
  await rotate('z')
  t.same(
    await Promise.all(payers.map((payer) => pay(...payer))),
    payers.map(() => 'granted'),
  )
  t.same(
    payers.map(([caller]) => refusals(caller)),
    before.map((count) => count + 1),
    'each is asked for another once',
  )
})

t.test('refuses an old authentication with a challenge that says what to do', async (t) => {
  const portal = await realm.client('portal')
  const config = await discover(realm.connect(), 'portal')
  const decide = async (held: HeldToken) => {
    const handle = client.getDPoPHandle(config, keysOf(held))
    const url = new URL('/tenants/north/decision', ORIGIN)
    return client.fetchProtectedResource(config, held.text, url, 'POST', '{}', undefined, { DPoP: handle })
  }
  const demanded = async (person: string) => {
    const error = await decide(await portal.userToken('decide', person, 'dpop')).catch((error: unknown) => error)
    if (!(error instanceof client.WWWAuthenticateChallengeError)) throw error
    t.equal(error.status, 401)
    return error.cause.find(({ parameters }) => parameters.error === 'insufficient_user_authentication')
  }
  const expected = { scheme: 'dpop', parameters: { acr_values: STRONG, max_age: '900' } }
  t.match(await demanded('ada-this-morning'), expected)
  t.match(await demanded('ada-weak'), expected)
  t.equal(
    await outcomeOf(await decide(await portal.userToken('decide', 'ada', 'dpop'))),
    'granted',
    'the authentication demanded',
  )
})

t.test('grants a new proof key with a new token, and refuses the old key with it', async (t) => {
  const [old, next] = [await makeCaller(), await makeCaller()]
  const [{ access_token: before }, { access_token: after }] = [await old.renew(), await next.renew()]
  t.equal(await pay(old, before), 'granted')
  t.equal(await pay(next, after), 'granted')
  t.equal(await pay(old, after), 'proof_key')
  t.equal(await pay(next, before), 'proof_key')
  t.equal(await pay(old, before), 'granted', 'the old one goes on until its token ends')
})
