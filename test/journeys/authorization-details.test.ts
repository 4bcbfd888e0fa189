// Rich authorization requests (RFC 9396) through the whole gateway: which details of a token are enough for a route that names some, and
// which of them the upstream gets to see.
import { decodeJwt } from 'jose'
import t from 'tap'
import type { Reason } from '../../src/verify/reasons.js'
import { makeDraft } from '../support/draft.js'
import { HOST, startLab } from '../support/lab.js'

const lab = await startLab({
  store: 'memory',
  yaml: (parts) => ({
    ...parts,
    routes: `
  - { path: /payments, methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as.example.com],
      authorization_details: [{ type: payment_initiation, actions: [initiate, status] }] }
  - { path: /customers, methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as.example.com],
      authorization_details: [{ type: customer_information, locations: [https://api.example.com/customers] }, { type: account_information }] }
  - { path: /read, methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as.example.com] }
`,
  }),
})
t.teardown(() => lab.stop())

/** RFC 9396 §2, figure 2, and what comes beside it in figure 5. */
const PAYMENT = {
  type: 'payment_initiation',
  actions: ['initiate', 'status', 'cancel'],
  locations: ['https://api.example.com'],
  instructedAmount: { currency: 'EUR', amount: '123.50' },
  creditorName: 'Merchant A',
  creditorAccount: { iban: 'DE02100100109307118603' },
  remittanceInformationUnstructured: 'Ref Number Merchant',
}
const ACCOUNTS = { type: 'account_information', actions: ['list_accounts', 'read_balances'] }
const CUSTOMERS = { type: 'customer_information', locations: ['https://api.example.com/customers'], actions: ['read', 'write'] }
const { locations: _, ...ANYWHERE } = PAYMENT

const send = async (path: string, details: unknown) => {
  const draft = makeDraft({ host: HOST, path })
  if (details !== undefined) draft.token.claims.authorization_details = details
  return lab.send(draft)
}
const passedOn = (): unknown => decodeJwt(String(lab.calls.at(-1)?.headers['holdfast-assertion'])).authorization_details

const GRANTED: readonly (readonly [why: string, path: string, details: unknown, passed: unknown])[] = [
  ['a detail with all actions, for this place', '/payments', [PAYMENT], [PAYMENT]],
  ['a detail without places', '/payments', [ANYWHERE], [ANYWHERE]],
  [
    'this place among others',
    '/payments',
    [{ ...PAYMENT, locations: ['https://x.example', 'https://api.example.com'] }],
    undefined,
  ],
  ['of several the one that fits, alone', '/payments', [ACCOUNTS, { ...PAYMENT, actions: ['status'] }, PAYMENT], [PAYMENT]],
  ['all that fit', '/payments', [PAYMENT, ANYWHERE], [PAYMENT, ANYWHERE]],
  ['one for each that is demanded', '/customers', [ACCOUNTS, CUSTOMERS], [CUSTOMERS, ACCOUNTS]],
]

for (const [why, path, details, passed] of GRANTED) {
  t.test(`grants ${why}`, async (t) => {
    const reply = await send(path, details)
    t.equal(reply.status, 200, reply.body)
    t.same(passedOn(), passed ?? details)
  })
}

t.test('a route that names none passes none on', async (t) => {
  t.equal((await send('/read', [PAYMENT])).status, 200)
  t.equal(passedOn(), undefined)
})

const REFUSED: readonly (readonly [reason: Reason, why: string, path: string, details: unknown])[] = [
  ['authorization_details_missing', 'no details', '/payments', undefined],
  ['authorization_details_missing', 'an empty list', '/payments', []],
  ['authorization_details_missing', 'another type', '/payments', [ACCOUNTS]],
  ['authorization_details_missing', 'its type in other case', '/payments', [{ ...PAYMENT, type: 'Payment_Initiation' }]],
  ['authorization_details_missing', 'an action less', '/payments', [{ ...PAYMENT, actions: ['initiate'] }]],
  [
    'authorization_details_missing',
    'its actions in two details',
    '/payments',
    [
      { ...PAYMENT, actions: ['initiate'] },
      { ...PAYMENT, actions: ['status'] },
    ],
  ],
  ['authorization_details_missing', 'no actions', '/payments', [{ type: 'payment_initiation' }]],
  ['authorization_details_missing', 'actions that are text', '/payments', [{ ...PAYMENT, actions: 'initiate status' }]],
  ['authorization_details_missing', 'for another place', '/payments', [{ ...PAYMENT, locations: ['https://x.example'] }]],
  ['authorization_details_missing', 'for no place', '/payments', [{ ...PAYMENT, locations: [] }]],
  ['authorization_details_missing', 'places that are text', '/payments', [{ ...PAYMENT, locations: 'https://api.example.com' }]],
  ['authorization_details_missing', 'one of two', '/customers', [CUSTOMERS]],
  ['authorization_details_missing', 'no place where the route names one', '/customers', [{ type: CUSTOMERS.type }, ACCOUNTS]],
  ['token_claim', 'details that are one object', '/payments', PAYMENT],
  ['token_claim', 'details that are text', '/payments', JSON.stringify([PAYMENT])],
  ['token_claim', 'details that are null', '/payments', null],
  ['token_claim', 'a detail that is text', '/payments', ['payment_initiation']],
  ['token_claim', 'a detail without type', '/payments', [{ actions: ['initiate', 'status'] }, PAYMENT]],
  ['token_claim', 'a type that is a number', '/read', [{ type: 7 }]],
]

for (const [reason, why, path, details] of REFUSED) {
  t.test(`denies ${reason}: ${why}`, async (t) => {
    const before = lab.upstreamCalls()
    const reply = await send(path, details)
    t.equal(reply.status, reason === 'token_claim' ? 401 : 403)
    t.equal(JSON.parse(reply.body).reason, reason)
    t.equal(lab.upstreamCalls(), before)
    t.equal((await lab.refusal(reply.header('x-request-id') ?? ''))?.reason, reason)
  })
}
