import t from 'tap'
import { type Caller, refusal } from '../../src/client/guard.js'

const caller: Caller = {
  method: 'GET',
  url: '/cases/42?a=b%20c&d',
  host: '127.0.0.1:8080',
  origin: undefined,
  fetchSite: undefined,
  hasBody: false,
}
const statusOf = (change: Partial<Caller>): number | null => refusal({ ...caller, ...change }, 8080)?.status ?? null

t.test('grants programs on this machine', async (t) => {
  for (const host of ['127.0.0.1:8080', 'localhost:8080', 'LOCALHOST:8080', '127.9.9.9:8080', '[::1]:8080']) {
    t.equal(statusOf({ host }), null, host)
  }
  for (const url of ['/', '/a', '/a/', '/%70', '/a.b/..c/d..', '/:x@y;z=1', '/a?q={"x":[1]}|^`', '/a?b?c//../d']) {
    t.equal(statusOf({ url }), null, url)
  }
  t.equal(statusOf({ origin: 'http://127.0.0.1:8080', fetchSite: 'same-origin' }), null, 'its own page')
  t.equal(statusOf({ fetchSite: 'none' }), null, 'typed into the address bar')
  t.equal(statusOf({ method: 'POST', hasBody: true }), null)
})

t.test('denies other Host names (DNS rebinding)', async (t) => {
  const hosts = [
    undefined,
    '',
    'evil.example',
    'evil.example:8080',
    '127.0.0.1',
    '127.0.0.1:8081',
    '10.0.0.1:8080',
    '0.0.0.0:8080',
  ]
  for (const host of [...hosts, '127.0.0.1.evil.example:8080', 'localhost.:8080', 'localhost:8080@evil', '127.0.0.1:08080x']) {
    t.equal(statusOf({ host }), 421, String(host))
  }
})

t.test('denies web pages of other origins', async (t) => {
  for (const fetchSite of ['cross-site', 'same-site', 'new-value']) t.equal(statusOf({ fetchSite }), 403, fetchSite)
  for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1:9999', 'https://127.0.0.1:8080', '']) {
    t.equal(statusOf({ origin }), 403, `origin ${origin}`)
  }
})

t.test('denies targets that are not canonical', async (t) => {
  const targets = [
    '',
    '*',
    'http://127.0.0.1:8080/a',
    '//evil.example/a',
    '/a//b',
    '/a/../b',
    '/a/..',
    '/./a',
    '/%2e%2E/a',
    '/.%2e/a',
  ]
  for (const url of [
    ...targets,
    '/a\\b',
    '/..\\a',
    '/%5cb',
    '/a%2Fb',
    '/a%00',
    '/a%zz',
    '/a%2',
    '/a b',
    '/a#b',
    '/a"b',
    '/{x}',
    '/ü',
  ]) {
    t.equal(statusOf({ url }), 400, url)
  }
  t.equal(statusOf({ url: '/a?b#c' }), 400, 'a fragment')
  t.equal(statusOf({ url: '/a?b%' }), 400, 'a bad escape in the query')
})

t.test('denies GET with a body', async (t) => {
  t.equal(statusOf({ hasBody: true }), 400)
  t.equal(statusOf({ method: 'HEAD', hasBody: true }), 400)
})
