// A client's certificate by the word of a hop (contract §10): each format read strictly and judged as if it had been shown to us, and what a
// client could smuggle through a hop that adds where it should replace.
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { type Credential, hoursFromNow, makeCa, makeCertificate, makeCrl } from '../support/certs.js'
import { type Draft, makeDraft, printDraft } from '../support/draft.js'
import { exchangeOn, type Reply } from '../support/http.js'
import { HOST, type Lab, startLab } from '../support/lab.js'
import { openPlain, openRaw } from '../support/raw.js'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-behind-'))
t.teardown(() => rmSync(folder, { recursive: true }))

type Headers = Draft['headers']
const ca = await makeCa('Client CA')
const under = await makeCa('Under', { ca })
const ekus = ['client'] as const
const client = await makeCertificate({ ca, ekus })
const branch = await makeCertificate({ ca: under, ekus })
const other = await makeCertificate({ ca, ekus })
const ended = await makeCertificate({ ca, ekus, notBefore: hoursFromNow(-2), notAfter: hoursFromNow(-1) })
const revoked = await makeCertificate({ ca, ekus })
const foreign = await makeCertificate({ ca: await makeCa('Client CA'), ekus })
const selfSigned = await makeCertificate({ ekus })

const der = ({ cert }: { readonly cert: string }): string => new X509Certificate(cert).raw.toString('base64')
const pem = ({ cert }: { readonly cert: string }): string => new X509Certificate(cert).toString()
const hex = (one: Credential): string => Buffer.from(one.x5tS256, 'base64url').toString('hex')
const escaped = (...all: readonly Credential[]): string => encodeURIComponent(all.map(pem).join(''))
/** Leaves `+`, `/` and `=` as they are. */
const lightly = (...all: readonly Credential[]): string =>
  escaped(...all)
    .replaceAll('%2B', '+')
    .replaceAll('%2F', '/')
    .replaceAll('%3D', '=')

let sockets = 0
type Mode = 'pki' | 'pop_only'

/** A gateway behind a hop on a socket that passes certificates on so. */
async function start(
  format: string,
  mode: Mode,
): Promise<{ lab: Lab; ask: (who: Credential, headers: Headers) => Promise<Reply> }> {
  const path = join(folder, `${++sockets}.sock`)
  const judged = mode === 'pki' ? ', client_ca: c.crt, crl: [c.crl, under.crl]' : ''
  const lab = await startLab({
    store: 'memory',
    files: { 'c.crt': ca.cert, 'c.crl': await makeCrl(ca, [revoked]), 'under.crl': await makeCrl(under) },
    yaml: (defaults) => ({
      ...defaults,
      listen: `{ socket: ${path}, tls: off, behind: { hop: socket, address: forwarded_for, certificate: ${format}, client_certificates: ${mode}${judged} } }`,
      upstreams: defaults.upstreams?.replace('audience: cases', 'audience: cases, client_cert: true') ?? '',
    }),
  })
  /** As whoever has a token bound to this certificate. */
  const ask = async ({ x5tS256 }: Credential, headers: Headers) => {
    const made = makeDraft({ host: HOST, path: '/mtls' })
    Object.assign(made, { scheme: 'Bearer', proof: null, headers: [['X-Forwarded-For', '192.0.2.1'], ...headers] })
    made.token.claims.cnf = { 'x5t#S256': x5tS256 }
    return exchangeOn(await openPlain({ path }), printDraft(made))
  }
  return { lab, ask }
}

const outcomeOf = ({ status, body }: Reply): unknown => (status === 200 ? 200 : JSON.parse(body).reason)

type Row = readonly [why: string, who: Credential, headers: Headers, outcome: number | string]
const MISSING = 'certificate_missing'
const INVALID = 'certificate_invalid'
const MISMATCH = 'certificate_mismatch'

/** What every format must do, given how it passes certificates on. */
const common = (passed: (one: Credential) => Headers, none: Headers): readonly Row[] => {
  const own = passed(client)
  const [first] = own
  const name = first?.[0] ?? ''
  return [
    ['the certificate', client, own, 200],
    ['none', client, none, MISSING],
    ['nothing at all', client, [], MISSING],
    ['that of someone else', other, own, MISMATCH],
    ['its name in other case', client, own.map(([one, value]) => [one.toUpperCase(), value]), 200],
    ['its name with _ for -', client, own.map(([one, value]) => [one.replaceAll('-', '_'), value]), MISSING],
    [
      'another beside it with _ for -',
      client,
      [...own, ...passed(other).map(([one, value]): [string, string] => [one.replaceAll('-', '_'), value])],
      200,
    ],
    ['two headers', client, [...own, ...own.slice(0, 1)], INVALID],
    ['two headers, of two certificates', client, [...own, ...passed(other).slice(0, 1)], INVALID],
    ['two headers, the other way round', client, [...passed(other).slice(0, 1), ...own], INVALID],
    ['a list', client, [[name, `${first?.[1]}, ${passed(other)[0]?.[1]}`], ...own.slice(1)], INVALID],
    ['what Connection names', client, [...own, ['Connection', `close, ${own.map(([one]) => one).join(', ')}`]], MISSING],
    ['cut short', client, [[name, first?.[1].slice(0, first[1].length / 2) ?? ''], ...own.slice(1)], INVALID],
    ['nonsense', client, [[name, 'nonsense'], ...own.slice(1)], INVALID],
    ['30,000 bytes of it', client, [[name, 'A'.repeat(30_000)], ...own.slice(1)], INVALID],
  ]
}

const ALL_FORMATS = (one: Credential): Headers => [
  ['Client-Cert', `:${der(one)}:`],
  ['X-Forwarded-Client-Cert', `Cert="${escaped(one)}"`],
  ['ssl-client-cert', escaped(one)],
  ['ssl-client-verify', 'SUCCESS'],
  ['X-Forwarded-Tls-Client-Cert', der(one)],
  ['X-Amzn-Mtls-Clientcert', lightly(one)],
  ['X-Amzn-Mtls-Clientcert-Leaf', lightly(one)],
  ['X-SSL-Client-Cert', der(one)],
  ['X-SSL-Client-Verify', '0'],
]

type Kind = {
  readonly passed: (one: Credential) => Headers
  readonly none: Headers
  /** Rows of its own, in `pki`. */
  readonly rows: readonly Row[]
  /** And in `pop_only`. */
  readonly pop?: readonly Row[]
}

const PASSED = {
  client_cert: (one: Credential): Headers => [['Client-Cert', `:${der(one)}:`]],
  nginx: (one: Credential): Headers => [
    ['ssl-client-cert', escaped(one)],
    ['ssl-client-verify', 'SUCCESS'],
  ],
  traefik: (one: Credential): Headers => [['X-Forwarded-Tls-Client-Cert', der(one)]],
  alb: (one: Credential): Headers => [['X-Amzn-Mtls-Clientcert', lightly(one)]],
  haproxy: (one: Credential): Headers => [
    ['X-SSL-Client-Cert', der(one)],
    ['X-SSL-Client-Verify', '0'],
  ],
}

/** Something before or behind what is passed on. */
const more = (passed: (one: Credential) => Headers): readonly Row[] =>
  ['AAAA', ' ', '%00', ','].flatMap((text) => {
    const [[name, value] = ['', ''], ...others] = passed(client)
    return [
      [`something behind: ${JSON.stringify(text)}`, client, [[name, `${value}${text}.`], ...others], INVALID] as const,
      [`something before: ${JSON.stringify(text)}`, client, [[name, `.${text}${value}`], ...others], INVALID] as const,
    ]
  })

const KINDS: Readonly<Record<string, Kind>> = {
  client_cert: {
    passed: PASSED.client_cert,
    none: [],
    rows: [
      ...more(PASSED.client_cert),
      [
        'with its chain',
        branch,
        [
          ['Client-Cert', `:${der(branch)}:`],
          ['Client-Cert-Chain', `:${der(under)}:`],
        ],
        200,
      ],
      [
        'with all of its chain',
        branch,
        [
          ['Client-Cert', `:${der(branch)}:`],
          ['Client-Cert-Chain', `:${der(under)}:,  :${der(ca)}:`],
        ],
        200,
      ],
      ['without its chain', branch, [['Client-Cert', `:${der(branch)}:`]], INVALID],
      ['a chain alone', client, [['Client-Cert-Chain', `:${der(client)}:`]], INVALID],
      [
        'two chains',
        branch,
        [
          ['Client-Cert', `:${der(branch)}:`],
          ['Client-Cert-Chain', `:${der(under)}:`],
          ['Client-Cert-Chain', `:${der(ca)}:`],
        ],
        INVALID,
      ],
      [
        'a broken chain',
        client,
        [
          ['Client-Cert', `:${der(client)}:`],
          ['Client-Cert-Chain', ':AAAA:'],
        ],
        INVALID,
      ],
      [
        'an endless chain',
        client,
        [
          ['Client-Cert', `:${der(client)}:`],
          [
            'Client-Cert-Chain',
            Array(9)
              .fill(`:${der(ca)}:`)
              .join(','),
          ],
        ],
        INVALID,
      ],
      ['no byte sequence', client, [['Client-Cert', der(client)]], INVALID],
      ['a parameter', client, [['Client-Cert', `:${der(client)}:;a=1`]], INVALID],
      ['an empty one', client, [['Client-Cert', '::']], INVALID],
      ['base64 with a space', client, [['Client-Cert', `:${der(client).slice(0, 64)} ${der(client).slice(64)}:`]], INVALID],
      ['base64url', client, [['Client-Cert', `:${der(client).replaceAll('+', '-').replaceAll('/', '_')}_:`]], INVALID],
      [
        'two in one',
        client,
        [
          [
            'Client-Cert',
            `:${Buffer.concat([client, other].map((one) => new X509Certificate(one.cert).raw)).toString('base64')}:`,
          ],
        ],
        INVALID,
      ],
    ],
  },
  xfcc: {
    passed: (one) => [
      [
        'X-Forwarded-Client-Cert',
        `Hash=${hex(one)};Cert="${escaped(one)}";Subject="CN=client, O=\\"a;b\\"";URI=;DNS=a.example;DNS=b.example`,
      ],
    ],
    none: [],
    rows: [
      ['Cert alone', client, [['X-Forwarded-Client-Cert', `cert="${escaped(client)}"`]], 200],
      ['Cert without quotes', client, [['X-Forwarded-Client-Cert', `Cert=${escaped(client)}`]], 200],
      [
        'Cert and Chain',
        branch,
        [['X-Forwarded-Client-Cert', `Cert="${escaped(branch)}";Chain="${escaped(branch, under)}"`]],
        200,
      ],
      ['Chain alone', client, [['X-Forwarded-Client-Cert', `Chain="${escaped(client)}"`]], INVALID],
      ['Hash alone', client, [['X-Forwarded-Client-Cert', `Hash=${hex(client)}`]], INVALID],
      ['Cert and another Hash', client, [['X-Forwarded-Client-Cert', `Hash=${hex(other)};Cert="${escaped(client)}"`]], INVALID],
      [
        'Cert and another Chain',
        client,
        [['X-Forwarded-Client-Cert', `Cert="${escaped(client)}";Chain="${escaped(other)}"`]],
        INVALID,
      ],
      ['Cert twice', client, [['X-Forwarded-Client-Cert', `Cert="${escaped(client)}";CERT="${escaped(client)}"`]], INVALID],
      ['Cert of two', client, [['X-Forwarded-Client-Cert', `Cert="${escaped(client, other)}"`]], INVALID],
      ['Cert of one twice', client, [['X-Forwarded-Client-Cert', `Cert="${escaped(client, client)}"`]], INVALID],
      ['two elements', client, [['X-Forwarded-Client-Cert', `Cert="${escaped(client)}",By=x`]], INVALID],
      ['two elements, the first empty', client, [['X-Forwarded-Client-Cert', `,Cert="${escaped(client)}"`]], INVALID],
      ['an open quote', client, [['X-Forwarded-Client-Cert', `Subject="CN=a;Cert="${escaped(client)}"`]], INVALID],
      [
        'a quote that is closed too early',
        client,
        [['X-Forwarded-Client-Cert', `Subject="a"b;Cert="${escaped(client)}"`]],
        INVALID,
      ],
      ['a semicolon at the end', client, [['X-Forwarded-Client-Cert', `Cert="${escaped(client)}";`]], INVALID],
      [
        'a certificate within a subject',
        client,
        [['X-Forwarded-Client-Cert', `Hash=${hex(other)};Subject="x\\";Cert=\\"${escaped(client)}\\""`]],
        INVALID,
      ],
      ['nobody', client, [['X-Forwarded-Client-Cert', 'By=spiffe://a/b']], INVALID],
      ['an empty header', client, [['X-Forwarded-Client-Cert', '']], INVALID],
    ],
    pop: [
      [
        'Hash alone',
        client,
        [['X-Forwarded-Client-Cert', `By=spiffe://a/b;Hash=${hex(client)};Subject="";URI=spiffe://a/c`]],
        200,
      ],
      ['Chain alone', branch, [['X-Forwarded-Client-Cert', `Chain="${escaped(branch, under)}"`]], 200],
      ['a hash in capitals', client, [['X-Forwarded-Client-Cert', `Hash=${hex(client).toUpperCase()}`]], INVALID],
      ['a hash too short', client, [['X-Forwarded-Client-Cert', `Hash=${hex(client).slice(2)}`]], INVALID],
    ],
  },
  nginx: {
    passed: PASSED.nginx,
    none: [['ssl-client-verify', 'NONE']],
    rows: [
      ...more(PASSED.nginx),
      ['without a verdict', client, [['ssl-client-cert', escaped(client)]], INVALID],
      [
        'with a verdict of none',
        client,
        [
          ['ssl-client-cert', escaped(client)],
          ['ssl-client-verify', 'NONE'],
        ],
        INVALID,
      ],
      [
        'that failed',
        client,
        [
          ['ssl-client-cert', escaped(client)],
          ['ssl-client-verify', 'FAILED:unable to verify'],
        ],
        INVALID,
      ],
      [
        'two verdicts',
        client,
        [
          ['ssl-client-cert', escaped(client)],
          ['ssl-client-verify', 'FAILED:x'],
          ['ssl-client-verify', 'SUCCESS'],
        ],
        INVALID,
      ],
      ['a verdict alone', client, [['ssl-client-verify', 'SUCCESS']], INVALID],
      [
        'another verdict',
        client,
        [
          ['ssl-client-cert', escaped(client)],
          ['ssl-client-verify', 'success'],
        ],
        INVALID,
      ],
      [
        'two certificates',
        client,
        [
          ['ssl-client-cert', escaped(client, other)],
          ['ssl-client-verify', 'SUCCESS'],
        ],
        INVALID,
      ],
      [
        'a bad escape',
        client,
        [
          ['ssl-client-cert', `${escaped(client)}%zz`],
          ['ssl-client-verify', 'SUCCESS'],
        ],
        INVALID,
      ],
      [
        'text before it',
        client,
        [
          ['ssl-client-cert', `x${escaped(client)}`],
          ['ssl-client-verify', 'SUCCESS'],
        ],
        INVALID,
      ],
    ],
    pop: [
      [
        'that failed',
        selfSigned,
        [
          ['ssl-client-cert', escaped(selfSigned)],
          ['ssl-client-verify', 'FAILED:self-signed certificate'],
        ],
        200,
      ],
    ],
  },
  traefik: {
    passed: PASSED.traefik,
    none: [],
    rows: [
      ...more(PASSED.traefik),
      ['with its chain', branch, [['X-Forwarded-Tls-Client-Cert', `${der(branch)},${der(under)}`]], 200],
      [
        'as older ones escape it',
        branch,
        [['X-Forwarded-Tls-Client-Cert', encodeURIComponent(`${der(branch)}`).concat(',', encodeURIComponent(der(under)))]],
        200,
      ],
      ['an empty entry', client, [['X-Forwarded-Tls-Client-Cert', `${der(client)},`]], INVALID],
    ],
  },
  alb: {
    passed: PASSED.alb,
    none: [],
    rows: [
      ...more(PASSED.alb),
      ['with its chain', branch, [['X-Amzn-Mtls-Clientcert', lightly(branch, under)]], 200],
      ['a leaf that was verified', client, [['X-Amzn-Mtls-Clientcert-Leaf', lightly(client)]], 200],
      ['a leaf with something behind it', client, [['X-Amzn-Mtls-Clientcert-Leaf', lightly(client, other)]], INVALID],
      [
        'both',
        client,
        [
          ['X-Amzn-Mtls-Clientcert-Leaf', lightly(client)],
          ['X-Amzn-Mtls-Clientcert', lightly(client)],
        ],
        INVALID,
      ],
    ],
  },
  haproxy: {
    passed: PASSED.haproxy,
    none: [
      ['X-SSL-Client-Cert', ''],
      ['X-SSL-Client-Verify', '0'],
    ],
    rows: [
      ...more(PASSED.haproxy),
      ['without a verdict', client, [['X-SSL-Client-Cert', der(client)]], INVALID],
      [
        'that failed',
        client,
        [
          ['X-SSL-Client-Cert', der(client)],
          ['X-SSL-Client-Verify', '19'],
        ],
        INVALID,
      ],
      [
        'a verdict that is none',
        client,
        [
          ['X-SSL-Client-Cert', der(client)],
          ['X-SSL-Client-Verify', '0x0'],
        ],
        INVALID,
      ],
      ['a verdict alone', client, [['X-SSL-Client-Verify', '19']], INVALID],
      [
        'in quotes',
        client,
        [
          ['X-SSL-Client-Cert', `"${der(client)}"`],
          ['X-SSL-Client-Verify', '0'],
        ],
        INVALID,
      ],
    ],
    pop: [
      [
        'that failed',
        selfSigned,
        [
          ['X-SSL-Client-Cert', der(selfSigned)],
          ['X-SSL-Client-Verify', '18'],
        ],
        200,
      ],
    ],
  },
}

for (const [format, { passed, none, rows, pop = [] }] of Object.entries(KINDS)) {
  t.test(`denies certificate_invalid: ${format}, judged by CA, dates, usage and revocation`, async (t) => {
    const { lab, ask } = await start(format, 'pki')
    t.teardown(() => lab.stop())
    const mine = new Set(passed(client).map(([name]) => name.toLowerCase()))
    const foreignFormats = ALL_FORMATS(other).filter(
      ([name]) => !mine.has(name.toLowerCase()) && !(format === 'alb' && name.startsWith('X-Amzn')),
    )
    const judged: readonly Row[] = [
      ...common(passed, none),
      ...rows,
      ['all other formats at once', client, [...foreignFormats, ...passed(client)], 200],
      ['all other formats and not its own', other, foreignFormats, MISSING],
      ['ended', ended, passed(ended), INVALID],
      ['revoked', revoked, passed(revoked), INVALID],
      ['of another CA', foreign, passed(foreign), INVALID],
      ['signed by itself', selfSigned, passed(selfSigned), INVALID],
      ['the CA', ca, passed(ca), INVALID],
    ]
    for (const [why, who, headers, outcome] of judged) {
      const reply = await ask(who, headers)
      t.equal(outcomeOf(reply), outcome, why)
      // A second time it is remembered, and nothing else comes of it.
      if (reply.status === 401) t.equal(outcomeOf(await ask(who, headers)), outcome, `${why}, again`)
    }
    const served = lab.calls.map(({ rawHeaders }) =>
      rawHeaders.filter(
        (_, i) => i % 2 === 0 && ALL_FORMATS(client).some(([name]) => name.toLowerCase() === rawHeaders[i]?.toLowerCase()),
      ),
    )
    t.ok(served.length > 0)
    for (const names of served) t.strictSame(names, ['Client-Cert'], 'the upstream sees ours alone')
    for (const { headers } of lab.calls) t.match(headers['client-cert'], /^:[A-Za-z0-9+/=]+:$/)
  })

  t.test(`${format}: in pop_only whoever issued it, the binding counts`, async (t) => {
    const { lab, ask } = await start(format, 'pop_only')
    t.teardown(() => lab.stop())
    const judged: readonly Row[] = [
      ...common(passed, none),
      ...pop,
      ['ended', ended, passed(ended), 200],
      ['signed by itself', selfSigned, passed(selfSigned), 200],
    ]
    for (const [why, who, headers, outcome] of judged) t.equal(outcomeOf(await ask(who, headers)), outcome, why)
  })
}

t.test('mutual TLS: the certificate is the client’s that the hop passes on, and never the hop’s own', async (t) => {
  const hops = await makeCa('Hops CA')
  const hop = await makeCertificate({ ca: hops, names: ['ingress.internal'], ekus })
  const lab = await startLab({
    store: 'memory',
    files: { 'c.crt': ca.cert, 'hops.crt': hops.cert },
    yaml: (defaults) => ({
      ...defaults,
      listen: `{ tls: { key: server.key, cert: server.crt }, behind: { hop: { ca: hops.crt, names: [ingress.internal] }, address: forwarded_for, certificate: client_cert, client_ca: c.crt } }`,
    }),
  })
  t.teardown(() => lab.stop())
  const ask = async ({ x5tS256 }: Credential, headers: Headers, { cert, key }: Credential = hop) => {
    const made = makeDraft({ host: HOST, path: '/mtls' })
    Object.assign(made, { scheme: 'Bearer', proof: null, headers: [['X-Forwarded-For', '192.0.2.1'], ...headers] })
    made.token.claims.cnf = { 'x5t#S256': x5tS256 }
    return exchangeOn(await openRaw(lab.port, { servername: HOST, cert, key }), printDraft(made))
  }
  const passed: Headers = [['Client-Cert', `:${der(client)}:`]]
  t.equal(outcomeOf(await ask(client, passed)), 200)
  t.equal(outcomeOf(await ask(hop, [])), MISSING)
  t.equal(outcomeOf(await ask(hop, passed)), MISMATCH)
  t.equal(outcomeOf(await ask(hop, [['Client-Cert', `:${der(hop)}:`]])), INVALID, 'its CA is none of clients')
  await t.rejects(ask(client, passed, client), 'a client is no hop')
  const metadata = await exchangeOn(
    await openRaw(lab.port, { servername: HOST, cert: hop.cert, key: hop.key }),
    `GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: ${HOST}\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n`,
  )
  t.equal(JSON.parse(metadata.body).tls_client_certificate_bound_access_tokens, true, 'and clients are told that they may')
})

t.test('a certificate changes nothing for a token that is bound to none', async (t) => {
  const { lab } = await start('client_cert', 'pki')
  t.teardown(() => lab.stop())
  const path = lab.gateway.addresses[0] ?? ''
  const made = {
    ...makeDraft({ host: HOST, path: '/read/1' }),
    headers: [
      ['X-Forwarded-For', '192.0.2.1'],
      ['Client-Cert', 'nonsense'],
    ] as Headers,
  }
  t.equal((await exchangeOn(await openPlain({ path }), printDraft(made))).status, 200)
  t.equal(lab.calls[0]?.headers['client-cert'], undefined)
})

t.test('a trailer is no header, and controls in a header are no request', async (t) => {
  const { lab, ask } = await start('client_cert', 'pki')
  t.teardown(() => lab.stop())
  const path = lab.gateway.addresses[0] ?? ''
  const made = makeDraft({ host: HOST, path: '/mtls' })
  Object.assign(made, {
    scheme: 'Bearer',
    proof: null,
    headers: [
      ['X-Forwarded-For', '192.0.2.1'],
      ['Transfer-Encoding', 'chunked'],
      ['Trailer', 'Client-Cert'],
    ],
  })
  made.token.claims.cnf = { 'x5t#S256': client.x5tS256 }
  const trailer = `${printDraft(made)}0\r\nClient-Cert: :${der(client)}:\r\n\r\n`
  t.equal(outcomeOf(await exchangeOn(await openPlain({ path }), trailer)), MISSING)
  for (const name of ['Client-Cert\0', 'Client-Cert ', 'Client\r-Cert', ' Client-Cert']) {
    const reply = await ask(client, [[name, `:${der(client)}:`]])
    t.equal(outcomeOf(reply), 'request_malformed', JSON.stringify(name))
  }
  for (const value of [`:${der(client)}\0:`, `:${der(client)}\r:`, `:${der(client)}\n:`])
    t.equal(outcomeOf(await ask(client, [['Client-Cert', value]])), 'request_malformed', JSON.stringify(value.slice(-4)))
  const split = await ask(client, [['Client-Cert', `:${der(client)}:\r\nClient-Cert: :${der(other)}:`]])
  t.equal(outcomeOf(split), INVALID)
  t.equal(outcomeOf(await ask(client, [['Client-Cert', `:${'A'.repeat(40_000)}:`]])), 'headers_too_large')
})

t.test('names with line breaks and NULs are no names', async (t) => {
  const { lab, ask } = await start('client_cert', 'pki')
  t.teardown(() => lab.stop())
  for (const wanted of [{ subject: 'CN=good\0evil' }, { names: ['good.example\0.evil.example'] }]) {
    const odd = await makeCertificate({ ca, ekus, ...wanted })
    t.equal(outcomeOf(await ask(odd, [['Client-Cert', `:${der(odd)}:`]])), INVALID)
  }
  const folded = await makeCertificate({ ca, ekus, subject: 'CN=good\r\nX-Admin: 1' })
  const reply = await ask(folded, [['Client-Cert', `:${der(folded)}:`]])
  t.equal(reply.status === 200 ? lab.calls.at(-1)?.headers['x-admin'] : undefined, undefined)
})

t.test('a reload with another list judges anew what was remembered', async (t) => {
  const { lab, ask } = await start('client_cert', 'pki')
  t.teardown(() => lab.stop())
  const own: Headers = [['Client-Cert', `:${der(client)}:`]]
  t.equal(outcomeOf(await ask(client, own)), 200)
  lab.write('c.crl', await makeCrl(ca, [client]))
  const path = lab.gateway.addresses[0] ?? ''
  await lab.reload((defaults) => ({
    ...defaults,
    listen: `{ socket: ${path}, tls: off, behind: { hop: socket, address: forwarded_for, certificate: client_cert, client_ca: c.crt, crl: [c.crl, under.crl] } }`,
  }))
  t.equal(outcomeOf(await ask(client, own)), INVALID)
})
