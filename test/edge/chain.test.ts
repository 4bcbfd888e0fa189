// Certificates that a hop passes on are judged as the handshake would have judged them: each of these is shown to both.
import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { createJudge, type Judge } from '../../src/edge/chain/chain.js'
import {
  type Credential,
  hoursFromNow,
  type KeyType,
  makeCa,
  makeCertificate,
  makeCrl,
  makeOddCertificate,
  type Wanted,
} from '../support/certs.js'
import { openTestEdge } from '../support/edge.js'
import { openRaw } from '../support/raw.js'

const NOW = Date.now() / 1000
const pems = (text: string) =>
  (text.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? []).map((pem) => new X509Certificate(pem))

/** What we say of a leaf with its chain, both in one PEM. */
function judged(judge: Judge, { cert }: { readonly cert: string }): string | null {
  const [leaf, ...chain] = pems(cert)
  if (leaf === undefined) throw new Error('no certificate')
  const { invalid, life } = judge(leaf, chain, NOW)
  return invalid ?? (NOW >= life.notBefore && NOW <= life.notAfter ? null : 'dates')
}

type Case = {
  readonly why: string
  readonly client: Credential
  readonly ca: readonly Credential[]
  readonly crl?: readonly string[]
  readonly isStricter?: true
}

/** For certificates alone (as the library counts bits of KeyUsage). */
const CERT_SIGN = 0x20

const client = (wanted: Wanted) => makeCertificate({ ekus: ['client'], ...wanted })

async function cases(): Promise<{ readonly valid: readonly Case[]; readonly invalid: readonly Case[] }> {
  const root = await makeCa('Root')
  const sameName = await makeCa('Root')
  const under = await makeCa('Under', { ca: root })
  const third = await makeCa('Third', { ca: under })
  const endedRoot = await makeCa('Root', { notAfter: hoursFromNow(-0.5) })
  const endedUnder = await makeCa('Under', { ca: root, notAfter: hoursFromNow(-0.5) })
  const server = await makeCertificate({ ca: root, subject: 'CN=Mid', ekus: ['server'] })
  const forServers = await makeCertificate({ ca: root, subject: 'CN=For servers', isCa: true, ekus: ['server'] })
  const narrow = await makeOddCertificate({ ca: root, subject: 'CN=Narrow', isCa: true, pathLength: 0 })
  const belowNarrow = await makeCa('Below narrow', { ca: narrow })
  const named = await makeOddCertificate({
    ca: root,
    subject: 'CN=Named',
    isCa: true,
    extensions: [['2.5.29.30', false, '3010a00e300c820a6578616d706c652e636f']],
  })
  const ofType = async (keyType: KeyType) => makeCa(`CA ${keyType}`, { keyType })
  const [p384, ed, rsa, weakRsa, sha1] = (await Promise.all(
    (['P-384', 'Ed25519', 'RSA 2048', 'RSA 1024', 'P-256 with SHA-1'] as const).map(ofType),
  )) as [Credential, Credential, Credential, Credential, Credential]
  const listless = await makeOddCertificate({ subject: 'CN=Listless', isCa: true, keyUsage: CERT_SIGN })
  const revoked = await client({ ca: root })
  const valid = await client({ ca: root })
  const lists = [await makeCrl(root, [revoked])]
  const all = async (...cases: readonly (Omit<Case, 'client'> & { client: Credential | Promise<Credential> })[]) =>
    Promise.all(cases.map(async (one) => ({ ...one, client: await one.client })))
  return {
    valid: await all(
      { why: 'of the CA', client: valid, ca: [root] },
      { why: 'without a purpose', client: makeCertificate({ ca: root }), ca: [root] },
      { why: 'with both purposes', client: client({ ca: root, ekus: ['server', 'client'] }), ca: [root] },
      { why: 'of an intermediate CA that it brings', client: client({ ca: under, chain: [under] }), ca: [root] },
      { why: 'of one that we have', client: client({ ca: under }), ca: [root, under] },
      { why: 'of the third, in any order', client: client({ ca: third, chain: [under, third] }), ca: [root] },
      { why: 'with the root in its chain', client: client({ ca: under, chain: [under, root] }), ca: [root] },
      { why: 'beside a CA of the same name', client: valid, ca: [sameName, root] },
      { why: 'beside a CA of the same name that has ended', client: valid, ca: [endedRoot, root] },
      {
        why: 'with an intermediate that has ended beside its heir',
        client: client({ ca: under, chain: [under, endedUnder] }),
        ca: [root],
      },
      { why: 'not revoked', client: valid, ca: [root], crl: lists },
      { why: 'under a CA that allows just that', client: client({ ca: narrow, chain: [narrow] }), ca: [root] },
      ...[p384, ed, rsa].map((ca) => ({ why: ca.issued.subject, client: client({ ca }), ca: [ca] })),
      { why: 'with an RSA key', client: client({ ca: root, keyType: 'RSA 2048' }), ca: [root] },
    ),
    invalid: await all(
      { why: 'of a stranger', client: client({ ca: await makeCa('Stranger') }), ca: [root] },
      { why: 'of a stranger by the same name', client: client({ ca: sameName }), ca: [root] },
      { why: 'with a stranger’s root in its chain', client: client({ ca: sameName, chain: [sameName] }), ca: [root] },
      { why: 'signed by itself', client: client({}), ca: [root] },
      { why: 'the CA itself', client: root, ca: [root] },
      { why: 'a CA in place of a client', client: under, ca: [root] },
      { why: 'ended', client: client({ ca: root, notBefore: hoursFromNow(-2), notAfter: hoursFromNow(-1) }), ca: [root] },
      { why: 'not begun', client: client({ ca: root, notBefore: hoursFromNow(1), notAfter: hoursFromNow(2) }), ca: [root] },
      { why: 'of a CA that has ended', client: client({ ca: endedRoot }), ca: [endedRoot] },
      { why: 'of an intermediate that has ended', client: client({ ca: endedUnder, chain: [endedUnder] }), ca: [root] },
      { why: 'without its intermediate', client: client({ ca: under }), ca: [root] },
      { why: 'without a root of ours', client: client({ ca: under }), ca: [under] },
      { why: 'for servers', client: client({ ca: root, ekus: ['server'] }), ca: [root] },
      { why: 'of an intermediate for servers', client: client({ ca: forServers, chain: [forServers] }), ca: [root] },
      { why: 'issued by a leaf', client: client({ ca: server, chain: [server] }), ca: [root] },
      { why: 'too far below', client: client({ ca: belowNarrow, chain: [belowNarrow, narrow] }), ca: [root] },
      { why: 'for signing nothing', client: makeOddCertificate({ ca: root, keyUsage: CERT_SIGN }), ca: [root] },
      { why: 'revoked', client: revoked, ca: [root], crl: lists },
      { why: 'with a list that has ended', client: valid, ca: [root], crl: [await makeCrl(root, [], hoursFromNow(-1))] },
      { why: 'with a list of another CA', client: valid, ca: [root], crl: [await makeCrl(await makeCa('Other'))] },
      { why: 'with a list that another signed by this name', client: valid, ca: [root], crl: [await makeCrl(sameName)] },
      {
        why: 'with a list of changes alone',
        client: valid,
        ca: [root],
        crl: [await makeCrl(root, [], hoursFromNow(1), [['2.5.29.27', true, '020101']])],
        isStricter: true,
      },
      {
        why: 'with a list that nobody understands',
        client: valid,
        ca: [root],
        crl: [await makeCrl(root, [], hoursFromNow(1), [['1.3.6.1.4.1.99999.1', true, '0500']])],
      },
      {
        why: 'of a CA that may not sign lists',
        client: client({ ca: listless }),
        ca: [listless],
        crl: [await makeCrl(listless)],
      },
      { why: 'without the list of its intermediate', client: client({ ca: under, chain: [under] }), ca: [root], crl: lists },
      {
        why: 'of an intermediate that is revoked',
        client: client({ ca: under, chain: [under] }),
        ca: [root],
        crl: [await makeCrl(root, [under]), await makeCrl(under)],
      },
      { why: 'with a small key', client: client({ ca: root, keyType: 'RSA 1024' }), ca: [root] },
      { why: 'of a CA with a small key', client: client({ ca: weakRsa }), ca: [weakRsa] },
      { why: 'signed with SHA-1', client: client({ ca: sha1 }), ca: [sha1] },
      {
        why: 'with a critical extension that nobody knows',
        client: makeOddCertificate({ ca: root, extensions: [['1.3.6.1.4.1.99999.1', true, '0500']] }),
        ca: [root],
      },
      { why: 'with a NUL in its name', client: client({ ca: root, subject: 'CN=good\0evil' }), ca: [root] },
      {
        why: 'with name constraints above',
        client: client({ ca: named, chain: [named], names: ['a.example.co'] }),
        ca: [root],
        isStricter: true,
      },
    ),
  }
}

const { valid, invalid } = await cases()

t.test('accepts what the handshake accepts', async (t) => {
  for (const one of valid) {
    const judge = createJudge(one.ca.map(({ cert }) => cert).join('# a comment\n'), one.crl ?? [])
    t.equal(judged(judge, one.client), null, one.why)
    t.equal(await inHandshake(one), null, `${one.why}: the handshake`)
  }
})

t.test('denies certificate_invalid: what the handshake refuses', async (t) => {
  for (const one of invalid) {
    const judge = createJudge(one.ca.map(({ cert }) => cert).join(''), one.crl ?? [])
    t.type(judged(judge, one.client), 'string', `${one.why}: ${judged(judge, one.client)}`)
    if (one.isStricter !== true) t.type(await inHandshake(one), 'string', `${one.why}: the handshake`)
  }
})

/** What the handshake of a listener with these CAs and lists finds; it may also end it. */
async function inHandshake({ client: { cert, key }, ca, crl = [] }: Case): Promise<string | null> {
  const edge = await openTestEdge({
    listener: { client_certificates: 'pki', client_ca: ca.map((one) => one.cert).join(''), crl },
  })
  try {
    const open = await openRaw(edge.port, { cert, key, ciphers: 'DEFAULT@SECLEVEL=0' })
    open.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await open.response()
    open.close()
    const certificate = edge.seen[0]?.connection.peer.certificate
    if (certificate === undefined || certificate === null) return 'none'
    const { invalid, notBefore, notAfter } = certificate
    return invalid ?? (NOW >= notBefore && NOW <= notAfter ? null : 'dates')
  } catch (error) {
    return String(error)
  } finally {
    await edge.close()
  }
}

t.test('a chain that could be climbed in many ways costs no more than one that can’t', async (t) => {
  // All of one name and key, so that each has issued each.
  const root = await makeCa('Root')
  const first = await makeCa('Twin')
  const twins = await Promise.all(
    Array.from({ length: 7 }, () => makeOddCertificate({ ca: first, subject: 'CN=Twin', isCa: true, keys: first.issued.keys })),
  )
  const leaf = await client({ ca: first, chain: [first, ...twins] })
  const judge = createJudge(root.cert, [])
  const began = process.cpuUsage()
  t.type(judged(judge, leaf), 'string')
  t.ok(process.cpuUsage(began).user < 2_000_000, 'and ends')
})

t.test('says how long it holds: until the first of all that it rests on ends', async (t) => {
  const root = await makeCa('Root')
  const under = await makeCa('Under', { ca: root, notAfter: hoursFromNow(0.5) })
  const leaf = await client({ ca: under, chain: [under] })
  const [own, ...others] = pems(leaf.cert)
  if (own === undefined) throw new Error('no certificate')
  const seconds = (date: Date) => Math.floor(date.getTime() / 1000)
  t.ok(Math.abs(createJudge(root.cert, [])(own, others, NOW).life.notAfter - seconds(hoursFromNow(0.5))) < 60)
  const lists = [await makeCrl(root), await makeCrl(under, [], hoursFromNow(0.25))]
  t.ok(Math.abs(createJudge(root.cert, lists)(own, others, NOW).life.notAfter - seconds(hoursFromNow(0.25))) < 60)
})
