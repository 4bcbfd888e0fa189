import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readSettings } from '../../src/client/settings.js'

const dir = t.testdir({ 'key.jwk': '{}', 'ca.crt': 'CA', 'client.crt': 'CERT', 'client.key': 'KEY', 'token.jwt': 'abc' })
const file = join(dir, 'client.yaml')
const read = (text: string) => {
  writeFileSync(file, text)
  return readSettings(file)
}
const problems = (text: string): readonly string[] => {
  const found = read(text)
  return 'problems' in found ? found.problems.map((line) => line.replace(`${file}:`, '')) : []
}

const BASE = 'listen: { port: 8080 }\ngateway: https://api.example.com\n'
const ASK = 'issuer: https://as.example.com\nclient_id: c\nauth: private_key_jwt\nclient_key: key.jwk\n'

t.test('grants the smallest files', async (t) => {
  t.match(read(`${BASE}key: key.jwk\ntoken: abc\n`), {
    listen: { host: '127.0.0.1', port: 8080 },
    gateway: 'https://api.example.com',
    tls: { ca: null, cert: null, key: null },
    dpop: { key: '{}' },
    token: { text: 'abc' },
  })
  t.match(read(`${BASE}${ASK}scope: a b\n`), {
    dpop: { key: null },
    token: { issuer: 'https://as.example.com', clientKey: '{}', scope: 'a b' },
  })
  t.match(read(`${BASE}dpop: off\ntls: { ca: ca.crt, cert: client.crt, key: client.key }\ntoken_file: token.jwt\n`), {
    dpop: null,
    tls: { ca: 'CA', cert: 'CERT', key: 'KEY' },
    issuerCa: 'CA',
    token: { file: join(dir, 'token.jwt') },
  })
  t.match(read(`${BASE}${ASK}tls: { ca: ca.crt }\nissuer_ca: system\n`), { issuerCa: null })
})

t.test('reports every problem with its place', async (t) => {
  t.same(
    problems('listen: { host: 0.0.0.0, port: 8080 }\ngateway: http://api.example.com\nkey: key.jwk\ntoken: abc\nretries: 3\n'),
    [
      '1:17 listen.host: only loopback (127.0.0.1, ::1, localhost): whoever reaches it has your token',
      '2:10 gateway: expected an https origin such as https://api.example.com, without a path',
      '5:1 retries: unknown setting',
    ],
  )
})

t.test('reports what does not fit together', async (t) => {
  const rows: [string, RegExp][] = [
    [BASE, /token: say where the token comes from/],
    [`${BASE}${ASK}token: abc\n`, /token: say where the token comes from/],
    [`${BASE}key: key.jwk\ntoken: abc\ntoken_file: token.jwt\n`, /token_file: token is given too/],
    [`${BASE}token: abc\n`, /key: a given token is bound to a key already/],
    [`${BASE}token: abc\ndpop: off\n`, /dpop: off needs tls.cert/],
    [
      `${BASE}token: abc\ndpop: off\nkey: key.jwk\ntls: { cert: client.crt, key: client.key }\n`,
      /key: is the DPoP key, and dpop is off/,
    ],
    [`${BASE}${ASK}tls: { cert: client.crt }\n`, /tls: cert and key belong together/],
    [`${BASE}issuer: https://as.example.com\n`, /client_id: is required/],
    [`${BASE}issuer: https://as.example.com\nclient_id: c\nauth: private_key_jwt\n`, /client_key: is required/],
    [`${BASE}issuer: https://as.example.com\nclient_id: c\nauth: tls_client_auth\n`, /auth: tls_client_auth needs/],
    [`${BASE}${ASK.replace('https://as', 'http://as')}`, /issuer: expected an https URL/],
    [`${BASE.replace('.com', '.com/api')}${ASK}`, /gateway: expected an https origin/],
    [`${BASE}key: gone.jwk\ntoken: abc\n`, /3:6 key: the file cannot be read/],
    [`${BASE}token: abc\ntoken: def\n`, /DUPLICATE_KEY/],
    ['[', /client|BAD|FLOW|expected/i],
    ['', /listen|expected/i],
  ]
  for (const [text, expected] of rows) t.match(problems(text).join('\n'), expected, String(expected))
  t.match(readSettings(join(dir, 'none.yaml')), { problems: [/cannot be read/] })
})
