// Where keys are never fetched from.
import type { LookupAddress } from 'node:dns'
import t from 'tap'
import { addressProblem, guardedLookup, readFetchUrl } from '../../src/keys/addresses.js'

t.test('refuses URLs', async (t) => {
  const refused = [
    'http://as.example.com/jwks',
    'http://10.0.0.1/jwks',
    'http://127.0.0.1.example.com/jwks',
    'file:///etc/passwd',
    'ftp://as.example.com/jwks',
    'data:application/json,{}',
    'https://user:secret@as.example.com/jwks',
    'https://169.254.169.254/latest/meta-data',
    'https://0xa9fea9fe/jwks',
    'https://2852039166/jwks',
    'https://0251.0376.0251.0376/jwks',
    'https://[fe80::1]/jwks',
    'https://[::ffff:169.254.169.254]/jwks',
    'https://[64:ff9b::169.254.169.254]/jwks',
    'https://[fd00:ec2::254]/jwks',
    'https://100.100.100.200/jwks',
    'http://0.0.0.0/jwks',
    'https://[::]/jwks',
    '/jwks',
    '',
  ]
  for (const url of refused) t.type(readFetchUrl(url), 'string', url)
})

t.test('takes https to anywhere else and http to loopback', async (t) => {
  const taken = [
    'https://as.example.com/jwks',
    'https://10.0.0.1/jwks',
    'http://127.0.0.1:1/',
    'http://127.9.9.9/',
    'http://[::1]:1/',
    'http://localhost/',
  ]
  for (const url of taken) t.ok(readFetchUrl(url) instanceof URL, url)
})

t.test('judges addresses after DNS', async (t) => {
  t.match(addressProblem('169.254.169.254', 'https:'), /link-local/)
  t.match(addressProblem('fe80::1%eth0'.split('%')[0] ?? '', 'https:'), /link-local/)
  t.match(addressProblem('10.0.0.1', 'http:'), /loopback/)
  t.equal(addressProblem('10.0.0.1', 'https:'), null)
  t.equal(addressProblem('::1', 'http:'), null)
  t.equal(addressProblem('::ffff:127.0.0.1', 'http:'), null)
})

const lookup = (name: string, scheme: string, all: boolean) =>
  new Promise<{ error: Error | null; found: string | LookupAddress[] }>((resolve) =>
    guardedLookup(scheme)(name, { all }, (error, found) => resolve({ error, found })),
  )

t.test('guards every lookup of a connection', async (t) => {
  const one = await lookup('localhost', 'http:', false)
  t.equal(one.error, null)
  t.match(one.found, /^(127\.0\.0\.1|::1)$/)
  t.ok(Array.isArray((await lookup('localhost', 'https:', true)).found))
  // getaddrinfo passes an address through as the name of itself: what a rebound name would answer.
  t.match((await lookup('169.254.169.254', 'https:', true)).error?.message, /link-local/)
  t.match((await lookup('192.0.2.1', 'http:', true)).error?.message, /loopback/)
  t.ok((await lookup('name.invalid', 'https:', true)).error)
})
