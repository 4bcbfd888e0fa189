// Certificates, access tokens and what refusals say, where no other test has looked: RFC 8705 §3, RFC 8725 §3, RFC 9068 §4, RFC 6750 §3.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import t from 'tap'
import { issue, USAGES } from '../../src/cli/x509.js'
import { type Draft, issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { exchange, type Reply } from '../support/http.js'
import { makeKey } from '../support/jwt.js'
import { certificateBound } from '../support/kinds.js'
import { HOST, type LabYaml, startLab } from '../support/lab.js'
import { openRaw } from '../support/raw.js'

const second = makeKey('ES256')
const rsa = makeKey('PS256')

const upstream = (request: IncomingMessage, response: ServerResponse): void => {
  if (request.url === '/read/ntlm') response.writeHead(401, { 'WWW-Authenticate': 'NTLM' })
  response.end('{}')
}
const withSecondIssuer = (parts: LabYaml): LabYaml => ({
  ...parts,
  issuers: `
  - { issuer: https://as.example.com, audience: https://api.example.com, jwks_file: issuer.jwks, algorithms: [PS256, ES256, EdDSA] }
  - { issuer: https://as2.example.com, audience: https://api.example.com, jwks_file: second.jwks, algorithms: [PS256, ES256, EdDSA] }`,
})
const jwk = (key: typeof second, kid: string, more: object = {}): object => ({ ...key.jwk, kid, ...more })

const lab = await startLab({ upstream })
t.teardown(() => lab.stop())
// The second issuer has a key with the first one's kid, and two keys of one kid besides.
lab.write('second.jwks', JSON.stringify({ keys: [jwk(second, 'issuer-1')] }))
lab.write(
  'issuer.jwks',
  JSON.stringify({
    keys: [
      jwk(issuerKey, 'issuer-1'),
      jwk(rsa, 'issuer-1'),
      jwk(rsa, 'rs256', { alg: 'RS256' }),
      jwk(rsa, 'enc', { use: 'enc' }),
    ],
  }),
)
await lab.reload(withSecondIssuer)

const { clientCa, clients } = lab.certificates
const draft = (path = '/read/1', method = 'GET'): Draft => makeDraft({ host: HOST, path, method })
const change = (make: (draft: Draft) => void, path?: string): Draft => {
  const request = draft(path)
  make(request)
  return request
}
const reasonOf = ({ status, body }: Reply): string => (status === 200 ? 'granted' : JSON.parse(body).reason)
const bound = (x5t: string): Draft => certificateBound(draft('/mtls'), x5t)
const with_ = (request: Draft, { cert, key }: { cert: string; key: string }): Promise<Reply> =>
  exchange(printDraft(request), { port: lab.port, servername: HOST, ca: lab.certificates.files['ca.crt'], cert, key })

t.test('denies certificate_mismatch: a new certificate for the same key, and the same names for another key', async (t) => {
  t.equal(reasonOf(await with_(bound(clients.client.x5tS256), clients.client)), 'granted')
  const hour = 3_600_000
  const usual = {
    isCa: false,
    usages: [USAGES.client],
    notBefore: new Date(Date.now() - hour),
    notAfter: new Date(Date.now() + hour),
  }
  const { subject, keys, algorithm } = clients.client.issued
  const renewed = await issue({ ...usual, subject, keys, algorithm }, clientCa.issued)
  const namesake = await issue({ ...usual, subject }, clientCa.issued)
  for (const { cert, key } of [renewed, namesake]) {
    t.equal(reasonOf(await with_(bound(clients.client.x5tS256), { cert, key })), 'certificate_mismatch')
  }
})

t.test('denies certificate_mismatch: bound to the certificate of the CA', async (t) => {
  const chain = { cert: `${clients.client.cert}\n${clientCa.cert}`, key: clients.client.key }
  t.equal(reasonOf(await with_(bound(clientCa.x5tS256), chain)), 'certificate_mismatch')
})

t.test('denies binding_unsupported: an x5t#S256 in another spelling is never a match', async (t) => {
  const right = clients.client.x5tS256
  const bytes = Buffer.from(right, 'base64url')
  const spellings = [`${right}=`, bytes.toString('hex'), ` ${right}`, right.slice(0, -1), `${right}A`, '', 7, [right], null]
  for (const one of spellings) {
    const request = draft('/mtls')
    certificateBound(request, one as string)
    t.equal(reasonOf(await with_(request, clients.client)), 'binding_unsupported', JSON.stringify(one))
  }
})

t.test('denies token_type: JWTs of every other kind, though the same issuer signed them', async (t) => {
  const kinds = [
    'JWT',
    'dpop+jwt',
    'oauth-authz-req+jwt',
    'secevent+jwt',
    'logout+jwt',
    'token-introspection+jwt',
    'txntoken+jwt',
  ]
  for (const typ of [...kinds, 'client-authentication+jwt', 'id_token', 'at+jwt+x', 'application/jwt', '', 7, undefined]) {
    const request = change((r) => {
      r.token.header.typ = typ
    })
    t.equal(reasonOf(await lab.send(request)), 'token_type', String(typ))
  }
})

t.test('denies token_signature: a token of one issuer under the key of another that has the same kid', async (t) => {
  const request = change((r) => {
    r.token.key = second
  })
  t.equal(reasonOf(await lab.send(request)), 'token_signature')
})

t.test('takes of two keys with one kid the one that fits', async (t) => {
  t.equal(reasonOf(await lab.send(draft())), 'granted')
  const signed = change((r) => {
    r.token.key = rsa
    r.token.header.alg = 'PS256'
  })
  t.equal(reasonOf(await lab.send(signed)), 'granted')
})

t.test('denies token_signature: a key that is published for another algorithm or use', async (t) => {
  for (const kid of ['rs256', 'enc']) {
    const request = change((r) => {
      r.token.key = rsa
      Object.assign(r.token.header, { alg: 'PS256', kid })
    })
    t.equal(reasonOf(await lab.send(request)), 'token_signature', kid)
  }
})

t.test('denies token_signature: a kid that is a path, a query, a prototype or a key', async (t) => {
  const kids = [
    '../../../../dev/null',
    "' or 1=1 --",
    '__proto__',
    'constructor',
    'toString',
    'x'.repeat(2000),
    '\u0000',
    '{"kty":"oct"}',
  ]
  for (const kid of kids) {
    const request = change((r) => {
      r.token.header.kid = kid
    })
    t.equal(reasonOf(await lab.send(request)), 'token_signature', kid.slice(0, 20))
  }
})

t.test('denies token_audience: ours in other case, with a slash, and with something behind it', async (t) => {
  const ours = 'https://api.example.com'
  for (const aud of [ours.toUpperCase(), `${ours}/`, `${ours}.evil.example`, [`${ours}/x`], ` ${ours}`]) {
    const request = change((r) => {
      r.token.claims.aud = aud
    })
    t.equal(reasonOf(await lab.send(request)), 'token_audience', String(aud))
  }
})

t.test('denies token_malformed: a token in any other spelling than its own', async (t) => {
  for (const spoil of [(token: string) => `${token}=`, (token: string) => `${token}.`, (token: string) => `${token}.e30`]) {
    const request = change((r) => {
      r.spoilToken = spoil
    })
    t.equal(reasonOf(await lab.send(request)), 'token_malformed')
  }
  const lower = change((r) => {
    r.spoilToken = (token) => token.toLowerCase()
  })
  t.not(reasonOf(await lab.send(lower)), 'granted')
})

t.test('denies user_required: a token without a user is no user, whatever its sub', async (t) => {
  const path = '/tenants/tenant-1/decision'
  for (const claims of [{ sub: 'client-1' }, { acr: undefined, auth_time: undefined }]) {
    const request = makeDraft({ host: HOST, path, method: 'POST' })
    Object.assign(request.token.claims, claims)
    t.equal(reasonOf(await lab.send(request)), 'user_required')
  }
})

t.test('denies authentication_old: a fresh token of an old login, and auth_time that is no time', async (t) => {
  const path = '/tenants/tenant-1/decision'
  for (const auth_time of [Math.floor(Date.now() / 1000) - 901, '1', null]) {
    const request = makeDraft({ host: HOST, path, method: 'POST' })
    Object.assign(request.token.claims, { auth_time })
    const reply = await lab.send(request)
    t.match(reasonOf(reply), /authentication_old|user_required/)
    t.equal(reply.status, reasonOf(reply) === 'user_required' ? 403 : 401)
  }
})

t.test('a step-up challenge is told to nobody whose token does not hold', async (t) => {
  const request = makeDraft({ host: HOST, path: '/tenants/tenant-1/decision', method: 'POST' })
  request.token.claims.acr = 'urn:example:weak'
  request.spoilToken = (token) => `${token.slice(0, -6)}AAAAAA`
  const reply = await lab.send(request)
  t.equal(reasonOf(reply), 'token_signature')
  t.notMatch(reply.headers('www-authenticate').join(), /acr_values|max_age|insufficient/)
})

t.test('an upstream’s 401 is 502 here, and its challenge stays inside', async (t) => {
  const reply = await lab.send(draft('/read/ntlm'))
  t.equal(reasonOf(reply), 'upstream_invalid')
  t.same(reply.headers('www-authenticate'), [])
})

t.test('every challenge keeps to the characters and forms of RFC 6750 §3', async (t) => {
  const odd = '"\\\r\nX-Evil: 1\u00e9'
  const requests = [
    change((r) => {
      r.proof = null
    }),
    change((r) => {
      if (r.proof !== null) Object.assign(r.proof.claims, { htu: odd, htm: odd })
    }),
    change((r) => Object.assign(r.token.claims, { scope: odd })),
    change((r) => Object.assign(r.token.claims, { iss: odd })),
    change((r) => Object.assign(r.token.header, { kid: odd })),
    change((r) => {
      r.credentials = () => []
    }),
  ]
  for (const request of requests) {
    const reply = await lab.send(request)
    const challenges = reply.headers('www-authenticate')
    t.ok(challenges.length > 0 || reply.status === 403)
    for (const challenge of challenges) {
      t.match(challenge, /^(?:Bearer|DPoP) [\x20-\x7e]+$/, 'at least one parameter')
      const names = [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name]) => name)
      t.equal(new Set(names).size, names.length, 'each at most once')
      for (const [, text] of challenge.matchAll(/error(?:_description)?="([^"]*)"/g))
        t.match(text, /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/)
    }
    t.equal(reply.header('x-evil'), undefined)
    t.equal(reply.header('cache-control'), 'no-store')
  }
})

t.test('denies host_unknown: a name in SNI that is not the name in Host', async (t) => {
  const certificate = lab.certificates.files['ca.crt']
  const client = await openRaw(lab.port, {
    servername: 'mtls.example.com',
    ca: certificate,
    checkServerIdentity: () => undefined,
  })
  client.send(printDraft(draft()))
  const answer = await client.response()
  t.equal(answer.status, 421)
  t.equal(JSON.parse(answer.body.toString()).reason, 'host_unknown')
  client.close()
})

t.test('a client of TLS 1.3 without post-handshake authentication is asked in the handshake, and never again', async (t) => {
  const { cert, key } = clients.client
  const client = await openRaw(lab.port, {
    servername: HOST,
    ca: lab.certificates.files['ca.crt'],
    cert,
    key,
    minVersion: 'TLSv1.3',
  })
  t.equal(client.socket.getProtocol(), 'TLSv1.3')
  client.send(printDraft(bound(clients.client.x5tS256)))
  t.equal((await client.response()).status, 200)
  client.close()
})

t.test('TLS 1.0 and 1.1 are not spoken', async (t) => {
  for (const version of ['TLSv1', 'TLSv1.1'] as const) {
    const options = {
      servername: HOST,
      ca: lab.certificates.files['ca.crt'],
      minVersion: version,
      maxVersion: version,
      ciphers: 'DEFAULT:@SECLEVEL=0',
    }
    await t.rejects(
      openRaw(lab.port, options).then(async (client) => {
        await once(client.socket, 'secureConnect')
      }),
      version,
    )
  }
})
