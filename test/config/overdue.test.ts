// What is overdue, second by second.
import t from 'tap'
import type { RegisteredClient } from '../../src/config/config.js'
import { overdueOf, registryReadings } from '../../src/config/overdue.js'
import { client } from '../../src/config/schema-clients.js'

const DAY = 86_400
/** The end of 2027-03-31. */
const END = Date.UTC(2027, 3, 1) / 1000

/** A client of which nothing is overdue before 2027. */
const registered = (change: Readonly<Record<string, unknown>> = {}): RegisteredClient => ({
  ...client.parse({ client_id: 'a', status: 'testing', security_contact: 'a', ...change }),
  issuer: 'https://as.example.com',
  endOfKeys: null,
  endOfCertificates: null,
  tiers: new Set(['low_user']),
})
const kinds = (one: RegisteredClient, now: number) => overdueOf(one, now).map(({ kind, sentence }) => `${kind}: ${sentence}`)

t.test('an end is told of 30 days ahead', async (t) => {
  const expiring = registered({ expires: '2027-03-31' })
  t.same(kinds(expiring, END - 30 * DAY - 1), [])
  t.same(kinds(expiring, END - 30 * DAY), ['expiry: it expires on 2027-03-31: renew or end it'])
  t.same(kinds(expiring, END - 1), ['expiry: it expires on 2027-03-31: renew or end it'])
  t.same(kinds(expiring, END), ['expiry: it expired on 2027-03-31: its tokens are refused'])

  const certificate = { ...registered(), endOfCertificates: END - 1 }
  t.same(kinds(certificate, END - 30 * DAY - 2), [])
  t.same(kinds(certificate, END - 30 * DAY - 1), ['certificate: its last certificate ends on 2027-03-31: register a new one'])
  t.same(kinds(certificate, END), ['certificate: its last certificate ended on 2027-03-31: register a new one'])
})

t.test('a rotation is overdue when its day is over', async (t) => {
  const rotating = { ...registered({ token_endpoint_auth_method: 'private_key_jwt' }), endOfKeys: END }
  t.same(kinds(rotating, END - 1), [])
  t.same(kinds(rotating, END), ['rotation: its keys had to be rotated by 2027-03-31'])
  const never = { ...rotating, endOfKeys: null }
  t.same(kinds(never, 0), ['rotation: its keys were never rotated: say `last` when they are'])
  t.same(kinds({ ...never, token_endpoint_auth_method: 'none' }, 0), [], 'a public client has none')
})

t.test('certification is asked of active clients of high tiers', async (t) => {
  const high = { ...registered({ status: 'active' }), tiers: new Set(['low_user', 'sensitive_write']) }
  const text = 'certification: it is not certified, and its `highest_tier` is a high one'
  t.same(kinds(high, 0), [text])
  t.same(kinds({ ...high, certification: { status: 'applied' } }, 0), [text])
  t.same(kinds({ ...high, certification: { status: 'certified' } }, 0), [])
  t.same(kinds({ ...high, tiers: new Set(['low_user']) }, 0), [])
  t.same(kinds({ ...high, status: 'testing' }, 0), [])
  t.same(kinds({ ...high, certification: { status: 'certified', until: END } }, END), [
    'certification: its certification ended on 2027-03-31',
  ])
})

t.test('who is not served has nothing overdue, and is counted', async (t) => {
  const gone = { expires: '2027-03-31', security_contact: undefined }
  for (const status of ['draft', 'approved', 'suspended']) t.same(kinds(registered({ ...gone, status }), END), [])
  t.same(registryReadings([registered(gone), registered({ ...gone, status: 'suspended' })], END), {
    statuses: { draft: 0, approved: 0, testing: 1, active: 0, suspended: 1 },
    overdue: { contact: 1, rotation: 0, certificate: 0, certification: 0, expiry: 1 },
  })
  t.equal(registryReadings(null, END), null, 'without a registry there is nothing to say')
})
