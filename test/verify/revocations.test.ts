// What an entry revokes, and what it does not: every kind, whose it is, tokens of before and after, and a list that is too old.
import t from 'tap'
import type { Policy } from '../../src/verify/policy.js'
import { judgeRevocations, KINDS, type Kind, revokedBy } from '../../src/verify/revocations.js'
import type { AccessToken } from '../../src/verify/types.js'
import { issuer, NOW } from '../support/granted.js'
import { listOf } from '../support/revocations.js'

const IAT = NOW - 60
const token: AccessToken = {
  header: {},
  claims: { sid: 'session-1' },
  issuer,
  clientId: 'client-1',
  subject: 'user-1',
  scope: [],
  audience: [],
  jti: 'token-1',
  iat: IAT,
  exp: NOW + 240,
  ath: 'ath',
  confirmation: { jkt: 'key-1', x5tS256: 'certificate-1' },
}
const inbound = { peer: { address: '192.0.2.1', port: 1, certificate: null } }
const sender = { token, inbound }

const VALUES: Readonly<Record<Kind, string>> = {
  token: 'token-1',
  session: 'session-1',
  subject: 'user-1',
  client: 'client-1',
  jkt: 'key-1',
  certificate: 'certificate-1',
  issuer: issuer.issuer,
  authentication: 'user-1',
}

t.test('each kind revokes what it names, and nothing else', async (t) => {
  for (const kind of KINDS) {
    t.equal(revokedBy(sender, NOW, listOf([kind, VALUES[kind]])), kind)
    t.equal(revokedBy(sender, NOW, listOf([kind, `${VALUES[kind]}x`])), null, `another ${kind}`)
    const isUser = (one: Kind) => one === 'subject' || one === 'authentication'
    for (const other of KINDS.filter((one) => one !== kind && !(isUser(one) && isUser(kind))))
      t.equal(revokedBy(sender, NOW, listOf([other, VALUES[kind]])), null, `${other} of the same name as ${kind}`)
  }
})

t.test('what is an issuer’s is not another’s', async (t) => {
  for (const kind of ['token', 'session', 'subject', 'client', 'authentication'] as const)
    t.equal(revokedBy(sender, NOW, listOf([kind, VALUES[kind], {}, 'https://other.example.com'])), null, kind)
})

t.test('tokens issued before a time, and not those that are issued from then on', async (t) => {
  t.equal(revokedBy(sender, NOW, listOf(['subject', 'user-1', { issued_before: IAT + 1 }])), 'subject')
  t.equal(revokedBy(sender, NOW, listOf(['subject', 'user-1', { issued_before: IAT }])), null, 'iat is not before itself')
  t.equal(revokedBy(sender, NOW, listOf(['subject', 'user-1', { until: NOW + 1 }])), 'subject')
  t.equal(revokedBy(sender, NOW, listOf(['subject', 'user-1', { until: NOW }])), null, 'its time is over')
  t.equal(revokedBy(sender, NOW, listOf(['subject', 'user-1', { effect: 'none' }])), null, 'it was taken back')
})

t.test('an authentication that must be newer: a step-up, with the age that would do', async (t) => {
  const list = listOf(['authentication', 'user-1', { issued_before: NOW - 30 }])
  const judge = (auth_time: unknown) =>
    judgeRevocations({ ...sender, token: { ...token, claims: { auth_time } } }, { replay_outage: 'local' } as Policy, NOW, {
      list: () => list,
      isStale: () => false,
    })
  t.match(judge(NOW - 31), { reason: 'authentication_old', detail: 'by authentication', hints: { maxAge: 30 } })
  t.match(judge(undefined), { reason: 'authentication_old' }, 'none is old')
  t.match(judge('now'), { reason: 'authentication_old' })
  t.equal(judge(NOW - 30), null)
  const both = listOf(['authentication', 'user-1'], ['subject', 'user-1'])
  t.equal(revokedBy(sender, NOW, both), 'subject', 'what refuses for good comes first')
})

t.test('a certificate that is shown beside a token counts, bound to it or not', async (t) => {
  const certificate = {
    x5tS256: 'certificate-2',
    der: Buffer.alloc(0),
    invalid: null,
    notBefore: 0,
    notAfter: Infinity,
    judged: true,
    subject: '',
  }
  const shown = { token: { ...token, confirmation: null }, inbound: { peer: { ...inbound.peer, certificate } } }
  t.equal(revokedBy(shown, NOW, listOf(['certificate', 'certificate-2'])), 'certificate')
})

t.test('what a token does not have is not revoked', async (t) => {
  const bare = { token: { ...token, claims: { sid: 7 }, jti: null, subject: null, confirmation: null }, inbound }
  t.equal(revokedBy(bare, NOW, listOf(['token', 'null'], ['session', '7'], ['subject', 'null'], ['jkt', 'undefined'])), null)
})

t.test('a list that is too old refuses where the tier is closed, but says first what it knows', async (t) => {
  const judge = (replay_outage: 'closed' | 'local', list = listOf()) =>
    judgeRevocations(sender, { replay_outage } as Policy, NOW, { list: () => list, isStale: () => true })
  t.match(judge('closed'), { reason: 'revocations_unavailable' })
  t.equal(judge('local'), null)
  for (const outage of ['closed', 'local'] as const)
    t.match(judge(outage, listOf(['client', 'client-1'])), { reason: 'token_revoked', detail: 'by client' })
})
