// `holdfast probe --upstream` against backends: those that verify, one that believes everything, and each of those that forgot one thing. What
// got through must be what was forgotten, and nothing else.
import { createHash, createHmac, createPublicKey, verify } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startBackend } from '../../examples/legacy-backend/server.js'
import { probe as command } from '../../src/cli/probe.js'
import { isProblem, type Report } from '../../src/probe/attack.js'
import { UPSTREAM_CATALOGUE } from '../../src/probe/upstream/catalogue.js'
import { makeKey, signJwt } from '../support/jwt.js'

const gateway = makeKey('ES256')
const kid = gateway.jkt
const jwks = { keys: [{ ...gateway.jwk, kid, alg: 'ES256', use: 'sig' }] }
const PATH = '/cases/42?full=1'
const says = {
  iss: 'https://gateway.example.com',
  aud: 'cases',
  tier: 'high_value',
  sub: 'user-1',
  binding: { method: 'dpop', jkt: 'x' },
}
const pem = gateway.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const publicPem = createPublicKey(gateway.privateKey).export({ type: 'spki', format: 'pem' }).toString()

const files = t.testdir({
  'assertion.key': pem,
  'claims.json': JSON.stringify(says),
  'other.key': 'no key',
  'claims.txt': 'none',
})
const KEY = ['--assertion-key', 'assertion.key', '--claims', 'claims.json']

type Ran = { readonly code: number; readonly report: Report; readonly out: string; readonly err: string }

const NO_REPORT = { findings: [] as Report['findings'] } as Report

async function probe(url: string, args: readonly string[] = KEY): Promise<Ran> {
  const [out, err]: [string[], string[]] = [[], []]
  const io = { out: (line: string) => void out.push(line), err: (line: string) => void err.push(line), env: {}, cwd: files }
  const code = await command.run(['--upstream', url, '--yes', '--rate', '1000', '--json', '-', ...args], io)
  const text = out.join('\n')
  return { code, report: text.startsWith('{') ? JSON.parse(text) : NO_REPORT, out: text, err: err.join('\n') }
}

const idsOf = ({ findings }: Report, verdict: string): readonly string[] =>
  findings.filter(({ outcome }) => outcome.verdict === verdict).map(({ attack }) => attack.id)
const problemsOf = ({ findings }: Report): readonly string[] =>
  findings.filter(isProblem).map(({ attack, outcome }) => `${attack.id} ${outcome.verdict}`)

/** A backend whose answer is 200 where `believes` says so. */
async function serve(t: Test, believes: (request: IncomingMessage, body: Buffer) => boolean): Promise<string> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    response.writeHead(believes(request, Buffer.concat(chunks)) ? 200 : 401).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${PATH}`
}

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('base64url')
const decode = (part: string | undefined) => JSON.parse(Buffer.from(part ?? '', 'base64url').toString())

type Hole =
  | 'exp'
  | 'iat'
  | 'aud'
  | 'iss'
  | 'typ'
  | 'htm'
  | 'target'
  | 'bdh'
  | 'signature'
  | 'none'
  | 'hmac'
  | 'embedded'
  | 'two'
  | 'jti'
  | 'missing'

/** A verifier that lacks what `hole` names. */
function verifier(hole: Hole | null): (request: IncomingMessage, body: Buffer) => boolean {
  const seen = new Set<string>()
  return (request, body) => {
    const lines = request.headersDistinct['holdfast-assertion'] ?? []
    if (lines.length === 0) return hole === 'missing'
    const [text = ''] = lines
    if (lines.length > 1 && hole !== 'two') return false
    try {
      const [head, payload, signature = ''] = text.split('.')
      const { alg, typ, jwk } = decode(head)
      const claims = decode(payload)
      const input = Buffer.from(`${head}.${payload}`)
      const verifies = (key: ReturnType<typeof createPublicKey>): boolean =>
        verify('sha256', input, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))
      const isSigned =
        hole === 'signature' ||
        (hole === 'none' && alg === 'none') ||
        (hole === 'hmac' && alg === 'HS256' && signature === createHmac('sha256', publicPem).update(input).digest('base64url')) ||
        (hole === 'embedded' && jwk !== undefined && verifies(createPublicKey({ key: jwk, format: 'jwk' }))) ||
        (alg === 'ES256' && verifies(createPublicKey(gateway.privateKey)))
      const now = Date.now() / 1000
      const demands: Readonly<Partial<Record<Hole, boolean>>> = {
        exp: typeof claims.exp === 'number' && now < claims.exp,
        iat: typeof claims.iat === 'number' && claims.iat < now + 5,
        aud: claims.aud === says.aud,
        iss: claims.iss === says.iss,
        typ: typ === 'holdfast+jwt',
        htm: claims.htm === request.method,
        target: claims.target === request.url,
        bdh: claims.bdh === (body.length > 0 ? sha256(body) : undefined),
        jti: !seen.has(claims.jti),
      }
      seen.add(claims.jti)
      return isSigned && Object.entries(demands).every(([name, holds]) => holds || name === hole)
    } catch {
      return false
    }
  }
}

const POSTED = [...KEY, '--data', 'amount=1', '--single-use']

t.test('a backend that verifies: nothing gets through, and all was tried', async (t) => {
  const { code, report, err } = await probe(await serve(t, verifier(null)), POSTED)
  t.same(problemsOf(report), [])
  t.same(idsOf(report, 'held').length, UPSTREAM_CATALOGUE.length, err)
  t.equal(code, 0)
  t.notMatch(JSON.stringify(report), /eyJ[\w-]{40,}\.eyJ[\w-]{40,}\.[\w-]{80,}/, 'no assertion that works stands in the report')
})

t.test('the backend of the examples', async (t) => {
  const published = createServer((_, response) => void response.end(JSON.stringify(jwks)))
  await new Promise<void>((resolve) => published.listen(0, '127.0.0.1', resolve))
  const jwksUrl = `http://127.0.0.1:${(published.address() as AddressInfo).port}/`
  const settings = { host: '127.0.0.1', port: 0, jwksUrl, issuer: says.iss, audience: says.aud, header: 'holdfast-assertion' }
  const server = await startBackend(settings)
  t.teardown(() => {
    server.close()
    published.close()
  })
  const { code, report } = await probe(`http://127.0.0.1:${(server.address() as AddressInfo).port}${PATH.replace('?full=1', '')}`)
  t.same(problemsOf(report), [])
  t.equal(code, 0)
})

t.test('one that believes everything', async (t) => {
  const { code, report } = await probe(await serve(t, () => true), POSTED)
  t.same(idsOf(report, 'through').length, UPSTREAM_CATALOGUE.length)
  t.equal(code, 1)
})

/** By what was forgotten: which attacks get through, and no others. */
const FORGOTTEN: Readonly<Record<Hole, readonly string[]>> = {
  missing: ['bypass-none', 'bypass-identity-headers', 'bypass-identity-forwarded', 'bypass-bearer'],
  signature: [
    ...['assertion-none', 'assertion-none-case', 'assertion-stripped', 'assertion-stranger', 'assertion-no-kid'],
    ...['assertion-embedded', 'assertion-zero', 'assertion-hmac', 'assertion-changed'],
  ],
  none: ['assertion-none'],
  hmac: ['assertion-hmac'],
  embedded: ['assertion-embedded'],
  two: ['assertion-twice'],
  exp: ['purpose-expired', 'purpose-no-end'],
  iat: ['purpose-ahead'],
  aud: ['purpose-audience', 'purpose-audience-none'],
  iss: ['purpose-issuer'],
  typ: ['purpose-type', 'purpose-type-none'],
  htm: ['purpose-method'],
  target: ['purpose-target', 'purpose-query'],
  bdh: ['purpose-body'],
  jti: ['purpose-again'],
}
t.test('each that forgot one thing', async (t) => {
  for (const [hole, expected] of Object.entries(FORGOTTEN)) {
    const { code, report } = await probe(await serve(t, verifier(hole as Hole)), POSTED)
    t.same([...problemsOf(report)].sort(), expected.map((id) => `${id} through`).sort(), hole)
    t.equal(code, 1, hole)
  }
})

t.test('without the key: what gets through is told, and a refusal proves nothing', async (t) => {
  const open = await probe(await serve(t, verifier('missing')), [])
  t.same([...idsOf(open.report, 'through')], ['bypass-none', 'bypass-identity-headers', 'bypass-identity-forwarded'])
  t.equal(open.code, 1)
  const closed = await probe(await serve(t, verifier(null)), [])
  t.same(problemsOf(closed.report), [])
  t.equal(idsOf(closed.report, 'held').length, 0)
  t.equal(closed.code, 1, 'nothing is proven')
  t.match(closed.err, /Nothing is proven/)
})

t.test('claims are taken from an assertion that the gateway made once', async (t) => {
  const old = signJwt(
    { typ: 'holdfast+jwt', alg: 'ES256', kid },
    { ...says, iat: 1, exp: 31, htm: 'GET', target: '/', qsh: 'x' },
    gateway.privateKey,
  )
  const folder = t.testdir({ 'assertion.jwt': `${old}\n` })
  const claims = ['--assertion-key', 'assertion.key', '--claims', join(folder, 'assertion.jwt')]
  const { code, report } = await probe(await serve(t, verifier(null)), claims)
  t.same(problemsOf(report), [])
  t.equal(code, 0)
})

t.test('what is wrong is said before anything is sent, or with the first answer', async (t) => {
  const url = await serve(t, verifier(null))
  const rows: readonly (readonly [args: readonly string[], code: number, err: RegExp])[] = [
    [['--token-from', 'client.yaml'], 2, /--token-from is read only without --upstream/],
    [['--assertion-key', 'assertion.key'], 2, /--assertion-key needs --claims/],
    [['--assertion-key', 'other.key', '--claims', 'claims.json'], 2, /other\.key: is no EC P-256 private key in PEM/],
    [['--claims', 'claims.txt'], 2, /claims\.txt: is neither a JSON object nor an assertion/],
    [['--claims', 'absent.json'], 2, /absent\.json: cannot be read/],
    [['--cert', 'a'], 2, /--cert and --key belong together/],
    [['--ca', 'assertion.key'], 2, /are for a backend with https/],
    [['--assertion-header', 'a b'], 2, /--assertion-header is not the name of a header/],
    [['--only', 'proof'], 2, /leave no attack/],
    [[...KEY, '--assertion-header', 'X-Other'], 1, /the right request was not granted \(401\): do --claims say/],
  ]
  for (const [args, code, err] of rows) {
    const ran = await probe(url, args)
    t.equal(ran.code, code, args.join(' '))
    t.match(ran.err, err)
  }
  t.match((await probe('ftp://127.0.0.1/')).err, /begins with https or http/)
  const gone = await probe('http://127.0.0.1:1/')
  t.equal(gone.code, 1)
  t.match(gone.err, /can't be reached/)
})

t.test('--list prints its own catalogue', async (t) => {
  const out: string[] = []
  const io = { out: (line: string) => void out.push(line), err: () => undefined, env: {}, cwd: files }
  t.equal(await command.run(['--upstream', 'http://backend.internal/', '--list'], io), 0)
  for (const { id } of UPSTREAM_CATALOGUE)
    t.ok(
      out.some((line) => line.includes(id)),
      id,
    )
  t.notOk(out.some((line) => line.includes('downgrade')))
})
