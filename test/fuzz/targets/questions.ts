// What other proxies ask, in every dialect and nearly so: nobody's word is taken twice, and nothing is asked about that does not stand in the question.
import { endpointOf, readAsked } from '../../../src/decision-api/asked.js'
import { normalName } from '../../../src/verify/reserved-headers.js'
import { fine, judge, type Target, type Verdict } from '../target.js'

/** The headers that say what is asked about: a repeated one makes it no question. */
const SAYING: Readonly<Record<string, readonly string[]>> = {
  auth_request: ['x-original-method', 'x-original-url'],
  forward_auth: ['x-forwarded-method', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-uri'],
  ext_authz: ['host', 'x-forwarded-proto'],
}

/** A request line without a version, then header lines. */
function check(input: Buffer): Verdict {
  const text = input.toString('latin1')
  const [start = '', ...rest] = text.split('\n')
  const [method = '', url = ''] = start.split(' ')
  const rawHeaders = rest.flatMap((line) => {
    const [, name = '', value = ''] = /^([^:]*): *(.*)$/.exec(line) ?? []
    return [name, value]
  })
  const endpoint = endpointOf(url)
  // The parser has none without a method.
  if (endpoint === null || method === '') return fine('no endpoint')
  const asked = readAsked(endpoint, { method, url, rawHeaders })
  if (typeof asked === 'string') return fine(asked)
  const names = rawHeaders.filter((_, i) => i % 2 === 0).map(normalName)
  const [first, host = ''] = asked.rawHeaders
  const told = (SAYING[endpoint] ?? []).map((name) => names.filter((one) => one === name).length)
  const left = asked.rawHeaders.filter((_, i) => i % 2 === 0).map(normalName)
  return judge(`${endpoint} ${asked.id === null ? 'unnamed' : 'named'}`, [
    [told.every((times) => times === 1), 'a word that was said twice, or not at all'],
    [asked.method !== '' && text.includes(asked.method), 'a method that nobody asked about'],
    [asked.rawTarget.length > 0 && text.includes(asked.rawTarget), 'a target that nobody asked about'],
    [first === 'Host' && host !== '' && text.includes(host), 'a host that nobody asked about'],
    [left.filter((name) => name === 'host').length === 1, 'a second Host'],
    [(SAYING[endpoint] ?? []).every((name) => name === 'host' || !left.includes(name)), 'the hop’s word as the client’s'],
    [endpoint === 'ext_authz' || text.includes('https'), 'a client that came without TLS'],
  ])
}

const lines = (...all: readonly string[]): Buffer => Buffer.from(all.join('\n'), 'latin1')

const SEEDS = [
  lines('GET /auth-request', 'Host: h', 'X-Original-Method: POST', 'X-Original-URL: https://a.example/b?c=d', 'DPoP: e30'),
  lines('GET /auth-request', 'X-Original-Method: GET', 'X-Original-URL: https://a.example/', 'X-Original-Request-Id: 0f'),
  lines(
    'GET /forward-auth?x',
    'X-Forwarded-Method: GET',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: a.example:8443',
    'X-Forwarded-Uri: /b?c',
    'Authorization: DPoP e30',
  ),
  lines('PUT /ext-authz/b?c', 'Host: a.example', 'X-Forwarded-Proto: https', 'X-Envoy-Auth-Partial-Body: false'),
]
const WORDS = [
  'X_Original_URL: ',
  'x.forwarded.uri: ',
  'http://',
  'https:',
  '//',
  '@',
  '?',
  '#',
  '\n',
  ': ',
  ' ',
  'Host: ',
  ',',
].map((word) => Buffer.from(word))

export const QUESTIONS: Target = {
  name: 'questions',
  most: 4096,
  slowest: 50,
  together: 1,
  open: async () => ({ seeds: SEEDS, words: WORDS, check }),
}
