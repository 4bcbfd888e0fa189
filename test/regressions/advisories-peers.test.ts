// What two widely used resource servers granted when one thing of a good request was changed (Apache mod_oauth2 3.3.1, Spring Security
// 7.1.2, as their manuals set them up), and what they refused though it was good. Here each has the other answer.
import { setImmediate as breath } from 'node:timers/promises'
import t from 'tap'
import { type Draft, printDraft, rebind, signProof } from '../support/draft.js'
import { makeKey, sha256, signJwt } from '../support/jwt.js'
import { HOST, startLab } from '../support/lab.js'
import type { RawClient } from '../support/raw.js'
import { changed, claims, grants, ISSUER, proofOf, reasonOf, refuses } from './attack.js'

// Before there is a gateway: making one holds the process up, and the gateway would call itself overloaded.
const SMALL = makeKey('RSA-1024')
const lab = await startLab({
  yaml: (parts) => ({
    ...parts,
    routes: `${parts.routes}
  - { path: '/files/*', methods: [GET], tier: bound_read, upstream: cases, ${ISSUER} }
`,
  }),
})
t.teardown(() => lab.stop())

const header = (name: string, value: unknown) => changed((draft) => (proofOf(draft).header[name] = value))
const tokenHeader = (name: string, value: unknown) =>
  changed((draft) => {
    draft.token.header[name] = value
    if (value === undefined) delete draft.token.header[name]
  })
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
/** The last two or four bits of a segment's last letter mean nothing when they are not zero (RFC 4648 §3.5). */
const spareBits = (index: number) => (jwt: string) =>
  onPart(index, (part) => part.slice(0, -1) + ALPHABET[ALPHABET.indexOf(part.at(-1) ?? '') | 1])(jwt)
const padded = (index: number) => onPart(index, (part) => `${part}${'='.repeat((4 - (part.length % 4)) % 4)}`)
function onPart(index: number, change: (part: string) => string) {
  return (jwt: string) =>
    jwt
      .split('.')
      .map((part, i) => (i === index ? change(part) : part))
      .join('.')
}
/** A payload whose length leaves spare bits, and padding, at its end. */
const uneven = (claims: Record<string, unknown>) => {
  while (JSON.stringify(claims).length % 3 === 0) claims.pad = `${claims.pad ?? ''}x`
}
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
/** ECDSA takes `n - s` for `s`: another signature of the same message, that anyone can make. */
const negated = onPart(2, (part) => {
  const bytes = Buffer.from(part, 'base64url')
  const s = ORDER - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  return Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]).toString('base64url')
})

type Row = readonly [sent: string, reason: string, make: () => Draft]

const BOTH: readonly Row[] = [
  ['an RSA key of 1,024 bits', 'proof_malformed', () => changed((draft) => rebind(draft, SMALL, 'PS256'))],
  ['htm: get', 'proof_method', () => claims({ htm: 'get' })],
  ['padding behind a proof’s signature', 'proof_malformed', () => changed((draft) => (draft.spoilProof = padded(2)))],
  ['padding behind a token’s signature', 'token_malformed', () => changed((draft) => (draft.spoilToken = padded(2)))],
  ...[0, 1, 2].map(
    (index): Row => [
      `unused bits in part ${index + 1} of a proof`,
      'proof_malformed',
      () =>
        changed((draft) => {
          uneven(proofOf(draft).header)
          // `ath` becomes 43 characters when it is signed.
          uneven(Object.assign(proofOf(draft).claims, { ath: sha256(signed(draft)) }))
          draft.spoilProof = spareBits(index)
        }),
    ],
  ),
  ['unused bits in a token’s signature', 'token_malformed', () => changed((draft) => (draft.spoilToken = spareBits(2)))],
  [
    'a proof made for another origin, with that origin as Host',
    'host_unknown',
    () =>
      changed((draft) => {
        draft.host = 'evil.example.com'
        proofOf(draft).claims.htu = 'https://evil.example.com/read/1'
      }),
  ],
  [
    'a token bound to a certificate as well, without any certificate',
    'certificate_missing',
    () =>
      changed(
        (draft) => (draft.token.claims.cnf = { ...(draft.token.claims.cnf as object), 'x5t#S256': sha256('a certificate') }),
      ),
  ],
]

const ONE: readonly Row[] = [
  ['no ath', 'proof_claim', () => claims({ ath: undefined })],
  ['another token’s ath', 'proof_token', () => claims({ ath: sha256('another token') })],
  ['no jti', 'proof_claim', () => claims({ jti: undefined })],
  ['no htm, at which a child of the server crashed', 'proof_claim', () => claims({ htm: undefined })],
  ['no htu, at which a child of the server crashed', 'proof_claim', () => claims({ htu: undefined })],
  [
    'a private jwk',
    'proof_private_key',
    () => changed((draft) => (proofOf(draft).header.jwk = proofOf(draft).key.privateKey.export({ format: 'jwk' }))),
  ],
  ['unknown crit', 'proof_malformed', () => header('crit', ['x'])],
  ['b64', 'proof_malformed', () => header('b64', false)],
  ['unknown crit in a token', 'token_malformed', () => tokenHeader('crit', ['x'])],
  ['path in other case in htu', 'proof_target', () => claims({ htu: `https://${HOST}/Read/1` })],
  ['htu that is equal when decoded', 'proof_target', () => claims({ htu: `https://${HOST}/files/a,b` }, '/files/a%2Cb')],
  ['htu that is equal when encoded', 'proof_target', () => claims({ htu: `https://${HOST}/files/a%2Cb` }, '/files/a,b')],
  ['nbf of a token ahead', 'token_not_yet_valid', () => changed((draft) => (draft.token.claims.nbf = draft.now + 60))],
  ['nbf of a proof ahead', 'proof_in_future', () => claims({ nbf: Math.floor(Date.now() / 1000) + 60 })],
  ...['dpop+jwt', 'JWT', undefined].map(
    (typ): Row => [`a token typed ${typ ?? 'nothing'}`, 'token_type', () => tokenHeader('typ', typ)],
  ),
  ...(
    [
      ['X-Forwarded-Host', 'evil.example.com', 'https://evil.example.com/read/1'],
      ['X-Forwarded-Proto', 'http', `http://${HOST}/read/1`],
    ] as const
  ).map(
    ([name, value, htu]): Row => [
      `htu as ${name} says`,
      'proof_target',
      () => {
        const draft = claims({ htu })
        draft.headers = [[name, value]]
        return draft
      },
    ],
  ),
]

const signed = ({ token }: Draft) => signJwt(token.header, token.claims, token.key.privateKey)

t.test('Apache mod_oauth2 3.3.1, Spring Security 7.1.2: what both granted is refused', async (t) => {
  for (const [sent, reason, make] of BOTH) await t.test(`denies ${reason}: ${sent}`, (t) => refuses(t, lab, make(), reason, sent))
})

t.test('Apache mod_oauth2 3.3.1, Spring Security 7.1.2: what one of them granted is refused', async (t) => {
  for (const [sent, reason, make] of ONE)
    await t.test(`denies ${reason}: ${sent}`, async (t) => {
      await refuses(t, lab, make(), reason, sent)
      await grants(t, lab, changed(), 'and the next request is served')
    })
})

t.test('Apache mod_oauth2 3.3.1, Spring Security 7.1.2: a used proof is used in every form that it can be given', async (t) => {
  const used = changed()
  const token = signed(used)
  const proof = signProof(proofOf(used), token)
  const again = (text: string) =>
    changed((draft) => {
      draft.spoilToken = () => token
      draft.spoilProof = () => text
    })
  await grants(t, lab, again(proof), 'once')
  await refuses(t, lab, again(proof), 'proof_replayed', 'as it was')
  const anew = signProof({ ...proofOf(used), claims: { ...proofOf(used).claims, iat: used.now + 1 } }, token)
  await refuses(t, lab, again(anew), 'proof_replayed', 'the same jti signed anew')
  await refuses(t, lab, again(negated(proof)), 'proof_replayed', 's -> n-s')
  await refuses(t, lab, again(spareBits(2)(proof)), 'proof_malformed', 'with other trailing bits')
  await refuses(t, lab, again(padded(2)(proof)), 'proof_malformed', 'with padding')
  const first = changed()
  const text = signed(first)
  first.spoilToken = () => text
  first.spoilProof = negated
  await grants(t, lab, first, 'n-s is a good signature, so it is the record that refuses it above')
  first.spoilProof = (proof) => proof
  await refuses(t, lab, first, 'proof_replayed', 'and the other way round')
})

t.test('Apache mod_oauth2 3.3.1, liboauth2: of 50 parallel copies one is served', async (t) => {
  const draft = changed()
  const before = lab.upstreamCalls()
  const replies = await Promise.all(Array.from({ length: 50 }, () => lab.send(draft)))
  t.same(replies.map(reasonOf).sort(), ['granted', ...Array(49).fill('proof_replayed')])
  t.equal(lab.upstreamCalls(), before + 1)
})

const MUST_PASS: Readonly<Record<string, () => Draft>> = {
  'a request path with an escape': () => changed(undefined, '/files/a%20b%2Cc'),
  'htu with :443': () => claims({ htu: `https://${HOST}:443/read/1` }),
  'htu with dot segments that normalise to the target': () => claims({ htu: `https://${HOST}/a/../read/./1` }),
  'htu with encoded dot segments': () => claims({ htu: `https://${HOST}/a/%2e%2E/read/1` }),
  '%78 for x in htu': () => claims({ htu: `https://${HOST}/files/%78` }, '/files/x'),
  'x for %78 in htu': () => claims({ htu: `https://${HOST}/files/x` }, '/files/%78'),
  '%c3 for %C3 in htu': () => claims({ htu: `https://${HOST}/files/%c3%a9` }, '/files/%C3%A9'),
  'upper-case scheme and host': () => claims({ htu: `HTTPS://${HOST.toUpperCase()}/read/1` }),
  'an honest proof beside a foreign X-Forwarded-Host': () =>
    changed((draft) => (draft.headers = [['X-Forwarded-Host', 'evil.example.com']])),
  'an honest proof beside X-Forwarded-Proto: http': () => changed((draft) => (draft.headers = [['X-Forwarded-Proto', 'http']])),
}

t.test('Apache mod_oauth2 3.3.1, Spring Security 7.1.2: what they refused and is good is granted', async (t) => {
  for (const [sent, make] of Object.entries(MUST_PASS)) await t.test(`grants ${sent}`, (t) => grants(t, lab, make(), sent))
})

type Counts = Record<string, number>

/** Sends all on one connection, a few at a time on their way; adds up how often there was which answer. */
async function stream(client: RawClient, requests: readonly Buffer[], counts: Counts): Promise<void> {
  // No more than the gateway lets wait behind one that is served.
  const WINDOW = 8
  for (let i = 0; i < requests.length; i += WINDOW) {
    const some = requests.slice(i, i + WINDOW)
    client.send(...some)
    for (const _ of some) {
      const { status, body } = await client.response()
      const reason = reasonOf({ status, body: body.toString() })
      counts[reason] = (counts[reason] ?? 0) + 1
    }
  }
}

t.test(
  'Spring jti map, Spring Security 7.1.2: 1,500 honest proofs of one key pass, and a replay behind them does not',
  async (t) => {
    const HONEST = 1500
    const one = changed()
    const token = signed(one)
    const ath = sha256(token)
    const prepare = () =>
      changed((draft) => {
        draft.spoilToken = () => token
        proofOf(draft).claims.ath = ath
      })
    const proofs: Buffer[] = []
    while (proofs.length <= HONEST) {
      proofs.push(printDraft(prepare()))
      // Signing holds the process up, and the gateway would call itself overloaded.
      if (proofs.length % 50 === 0) await breath()
    }
    const [first = Buffer.alloc(0), ...honest] = proofs
    // Kept alive, and four, so that they share round trips to Redis.
    const clients = await Promise.all(Array.from({ length: 4 }, () => lab.open()))
    t.teardown(() => clients.map((client) => client.close()))
    const send = async (requests: readonly Buffer[]): Promise<Counts> => {
      const counts: Counts = {}
      await Promise.all(
        clients.map((client, i) =>
          stream(
            client,
            requests.filter((_, j) => j % clients.length === i),
            counts,
          ),
        ),
      )
      return counts
    }
    t.same(await send([first]), { granted: 1 })
    const started = performance.now()
    t.same(await send(honest), { granted: HONEST }, 'in a row, of one client and one key')
    const took = performance.now() - started
    t.ok(took < 30_000, `${Math.round(took)} ms: sooner than a record of 1,000 would let go of the first by itself`)
    t.same(await send([first]), { proof_replayed: 1 }, 'the first is remembered behind all of them')
    t.same(await send(honest.slice(0, 100)), { proof_replayed: 100 }, 'and so are they')
  },
)
