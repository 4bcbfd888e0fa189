// The examples of the AuthZEN Authorization API 1.0 itself: answers as it prints them, read by us, and questions of ours beside those that
// it prints.
import t from 'tap'
import { type Answer, readAnswer } from '../../src/pdp/answer.js'
import { metadataUrl } from '../../src/pdp/exchange.js'
import { questionOf } from '../../src/pdp/question.js'
import { makeGrant, makeRoute, makeToken } from '../support/granted.js'

const members = { decision_id: 'id', policy_version: 'policy', step_up: null }
const read = (answer: unknown, count: number | null = null) => readAnswer(Buffer.from(JSON.stringify(answer)), count, members)

const DENIED_ITEMS = [
  { decision: true },
  { decision: false, context: { error: { status: 404, message: 'Resource not found' } } },
  { decision: false, context: { reason: 'Subject is a viewer of the resource' } },
]

const ANSWERS: readonly (readonly [section: string, answer: unknown, count: number | null, expected: Partial<Answer>])[] = [
  ['§5.5 a decision', { decision: true }, null, { permits: true, id: null, denied: null }],
  [
    '§6.2 reasons beside it',
    {
      decision: true,
      context: {
        id: '0',
        reason_admin: { en: 'Request failed policy C076E82F' },
        reason_user: { 'en-403': 'Insufficient privileges. Contact your administrator', 'es-403': 'Privilegios insuficientes.' },
      },
    },
    null,
    { permits: true, id: '0' },
  ],
  [
    '§7.1.2 execute_all',
    { evaluations: [{ decision: true }, { decision: false }, { decision: true }] },
    3,
    { permits: false, denied: 2 },
  ],
  [
    '§7.1.2 deny_on_first_deny',
    { evaluations: [{ decision: true }, { decision: false, context: { id: '200' } }] },
    3,
    { permits: false, denied: 2, id: '200' },
  ],
  [
    '§7.1.2 permit_on_first_permit, which we never ask for',
    { evaluations: [{ decision: true }] },
    3,
    { permits: false, denied: 2 },
  ],
  ['§7.2.1 errors of single evaluations', { evaluations: DENIED_ITEMS }, 3, { permits: false, denied: 2 }],
]
for (const [section, answer, count, expected] of ANSWERS) t.test(section, async (t) => t.match(read(answer, count), expected))

t.test('what an answer calls its decision is visible ASCII and its own, or it is not told on', async (t) => {
  const nameOf = (id: unknown, path = 'id') => {
    const answer = readAnswer(Buffer.from(JSON.stringify({ decision: true, context: { id } })), null, {
      ...members,
      decision_id: path,
    })
    return typeof answer === 'string' ? answer : answer.id
  }
  t.equal(nameOf('d-1'), 'd-1')
  t.equal(nameOf({ of: 'd-1' }, 'id.of'), 'd-1')
  t.equal(nameOf('x'.repeat(256)), 'x'.repeat(256))
  for (const id of ['', 'a b', 'a\nb', 'é', 'x'.repeat(257), 7, null, { of: 'd-1' }])
    t.equal(nameOf(id), null, JSON.stringify(id))
  t.equal(nameOf('d-1', 'constructor.name'), null)
})

t.test('§9.2 where the metadata is', async (t) => {
  t.equal(metadataUrl('https://pdp.example.com'), 'https://pdp.example.com/.well-known/authzen-configuration')
  t.equal(metadataUrl('https://pdp.example.com/'), 'https://pdp.example.com/.well-known/authzen-configuration')
  t.equal(metadataUrl('https://pdp.example.com/tenant1'), 'https://pdp.example.com/.well-known/authzen-configuration/tenant1')
})

type Tuple = { subject: object; action: object; resource: object; evaluations: object[] }

t.test('§6.1.1 the question of the first example', async (t) => {
  const { evidence } = makeGrant({ evidence: { token: makeToken({ subject: 'alice@example.com' }) } })
  const resources = [{ type: 'account', id: '123' }]
  const route = makeRoute({ decision: { pdp: 'policies', timeout: 1, action: 'can_read', resources } })
  const question = questionOf(evidence, { route, captured: {} }, { user: 'user', client: 'client' })
  const asked: Tuple = JSON.parse(question?.body ?? '')
  t.equal(question?.count, null)
  t.match(asked, {
    subject: { type: 'user', id: 'alice@example.com' },
    resource: { type: 'account', id: '123' },
    action: { name: 'can_read', properties: { method: 'GET' } },
  })
  t.same(Object.keys(asked).sort(), ['action', 'context', 'resource', 'subject'])
})

t.test('§7.1.1 subject, action and context once for all, resources one by one, in their order', async (t) => {
  const { evidence } = makeGrant()
  const resources = ['boxcarring.md', 'subject-search.md', 'resource-search.md'].map((id) => ({ type: 'document', id }))
  const route = makeRoute({ decision: { pdp: 'policies', timeout: 1, action: 'can_read', resources } })
  const question = questionOf(evidence, { route, captured: {} }, { user: 'user', client: 'client' })
  const asked: Tuple = JSON.parse(question?.body ?? '')
  t.equal(question?.count, 3)
  t.same(
    asked.evaluations,
    resources.map((resource) => ({ resource })),
  )
  t.same(Object.keys(asked).sort(), ['action', 'context', 'evaluations', 'options', 'subject'])
})

t.test('what cannot be asked is not asked', async (t) => {
  const decision = { pdp: 'policies', timeout: 1, action: null, resources: [{ type: 'case', id: 'path.id' }] }
  const match = (captured: Record<string, string>) => ({ route: makeRoute({ decision }), captured })
  const types = { user: 'user', client: 'client' }
  t.equal(questionOf(makeGrant().evidence, match({}), types), null, 'a value of the path that is no UTF-8')
  const nobody = makeGrant({ evidence: { token: makeToken({ subject: null, clientId: '' }) } })
  t.equal(questionOf(nobody.evidence, match({ id: '7' }), types), null, 'a token that names nobody')
  t.ok(questionOf(makeGrant().evidence, match({ id: '7' }), types))
})
