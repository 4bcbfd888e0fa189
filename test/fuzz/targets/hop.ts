// What a hop says of its client, in every format and nearly so: nothing is made up, and no certificate is good that none of our CAs issued.
// And the addresses that hops and balancers tell.
import { isIP } from 'node:net'
import { createJudge, type Judge } from '../../../src/edge/chain/chain.js'
import { readForwarded, readForwardedFor } from '../../../src/edge/hop/address.js'
import { FORMATS } from '../../../src/edge/hop/formats.js'
import type { Presented } from '../../../src/edge/hop/presented.js'
import { readProxyHeader } from '../../../src/edge/proxy-header.js'
import { makeCa, makeCertificate, makeCrl } from '../../support/certs.js'
import { bad, judge as decide, fine, type Session, type Target, type Verdict } from '../target.js'

const KINDS = Object.values(FORMATS)
const NOW = Date.now() / 1000

/** The first byte chooses the format; then come the lines of its headers, by turns. */
function lay(input: Buffer): { readonly kind: number; readonly lines: readonly (readonly string[])[] } {
  const kind = (input[0] ?? 0) % KINDS.length
  const names = KINDS[kind]?.names ?? []
  const lines = input.subarray(1).toString('latin1').split('\n')
  return { kind, lines: names.map((_, i) => lines.filter((line, j) => j % names.length === i && line !== '-')) }
}

type Known = { readonly judge: Judge; readonly issued: ReadonlySet<string> }

function checkPresented({ leaf, x5tS256, chain }: Presented, input: Buffer, { judge, issued }: Known): Verdict {
  if (leaf === null) return decide('hash', [[/^[\w-]{43}$/.test(x5tS256), 'a hash that is none']])
  const { invalid } = judge(leaf, chain, NOW)
  const der = leaf.raw.toString('base64')
  const text = unescaped(input.toString('latin1')).replace(/[\r\n]|%0[AaDd]/g, '')
  return decide(invalid ?? 'valid', [
    [text.includes(der), 'a certificate that nobody sent'],
    [invalid !== null || issued.has(der), 'a certificate that nobody issued'],
    [chain.length <= 8, 'a chain too long'],
  ])
}

const unescaped = (text: string): string =>
  text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

const openHop = async (): Promise<Session> => {
  const ca = await makeCa('Client CA')
  const under = await makeCa('Under', { ca })
  const client = await makeCertificate({ ca, ekus: ['client'] })
  const branch = await makeCertificate({ ca: under, ekus: ['client'] })
  const known = {
    judge: createJudge(ca.cert, [await makeCrl(ca), await makeCrl(under)]),
    issued: new Set([client, branch].map(({ cert }) => derOf(cert))),
  }
  const [pem, chain] = [encodeURIComponent(client.cert), encodeURIComponent(branch.cert + under.cert)]
  const [der, two] = [derOf(client.cert), `${derOf(branch.cert)},${derOf(under.cert)}`]
  const hash = Buffer.from(client.x5tS256, 'base64url').toString('hex')
  const seeds: readonly (readonly [kind: keyof typeof FORMATS, text: string])[] = [
    ['client_cert', `:${der}:\n-`],
    ['client_cert', `:${derOf(branch.cert)}:\n:${derOf(under.cert)}:`],
    ['xfcc', `By=spiffe://a/b;Hash=${hash};Cert="${pem}";Subject="CN=\\"a\\"";URI=`],
    ['xfcc', `Cert="${encodeURIComponent(branch.cert)}";Chain="${chain}"`],
    ['nginx', `${pem}\nSUCCESS`],
    ['traefik', two],
    ['alb', `${chain}\n-`],
    ['alb', `-\n${pem}`],
    ['haproxy', `${der}\n0`],
  ]
  return {
    seeds: seeds.map(([kind, text]) => Buffer.concat([Buffer.from([Object.keys(FORMATS).indexOf(kind)]), Buffer.from(text)])),
    words: ['"', ';', ',', ':', '%0A', '%', 'Hash=', 'Cert="', 'Chain="', '\n', '-', '+', '=', 'NONE', 'FAILED:x'].map((word) =>
      Buffer.from(word),
    ),
    check: (input) => {
      const { kind, lines } = lay(input)
      const presented = KINDS[kind]?.read(lines)
      if (presented === undefined) return bad('no format')
      if (presented === null) return fine('none')
      return typeof presented === 'string' ? fine(presented) : checkPresented(presented, input, known)
    },
  }
}

const derOf = (pem: string): string => pem.replace(/-----[^-]*-----|\s/g, '')

function checkAddresses(input: Buffer): Verdict {
  const lines = input.toString('latin1').split('\n')
  const last = lines.at(-1)?.split(',').at(-1) ?? ''
  for (const read of [readForwardedFor, readForwarded]) {
    const found = read(lines)
    if (found === null) continue
    return decide('an address', [
      [isIP(found.address) !== 0, 'an address that is none'],
      [last.includes(found.address), 'an address of someone else'],
      [found.port >= 0 && found.port <= 65535, 'a port that is none'],
    ])
  }
  return fine('none')
}

function checkProxyHeader(input: Buffer): Verdict {
  const header = readProxyHeader(input)
  if (header === null || header === 'more') return fine(String(header))
  const { bytes, client } = header
  return decide(client === null ? 'nobody' : `IPv${isIP(client.address)}`, [
    [bytes <= input.length, 'more than there is'],
    [client === null || isIP(client.address) !== 0, 'an address that is none'],
    [readProxyHeader(input.subarray(0, bytes - 1)) === 'more', 'whole before its end'],
    [
      JSON.stringify(readProxyHeader(Buffer.concat([input.subarray(0, bytes), input]))) === JSON.stringify(header),
      'by what follows it',
    ],
  ])
}

const words = (...texts: readonly string[]): readonly Buffer[] => texts.map((text) => Buffer.from(text, 'latin1'))

const ADDRESSES = words(
  '203.0.113.9, 192.0.2.1',
  '192.0.2.1:4711',
  '[2001:db8::7]:80',
  'for=192.0.2.1;proto=https, for="[2001:db8::1]:4711";by=_x',
  'for="6.6.6.6\nfor=192.0.2.1',
)
const HEADERS = [
  ...words('PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\nGET', 'PROXY TCP6 2001:db8::7 ::1 4711 443\r\n', 'PROXY UNKNOWN\r\n'),
  ...['2111000cc00002010a000001126701bb', '20000000', `2121002420010db8${'00'.repeat(28)}126701bb`].map((hex) =>
    Buffer.from(`0d0a0d0a000d0a515549540a${hex}`, 'hex'),
  ),
]

const session = (seeds: readonly Buffer[], check: Session['check'], tokens: readonly Buffer[]) => async (): Promise<Session> => ({
  seeds,
  words: tokens,
  check,
})

export const HOPS: readonly Target[] = [
  { name: 'hop-certificates', most: 16_384, slowest: 200, together: 1, open: openHop },
  {
    name: 'hop-addresses',
    most: 4096,
    slowest: 50,
    together: 1,
    open: session(ADDRESSES, checkAddresses, words('for=', '"', ';', ',', '[', ']', '::', '\\', '\n')),
  },
  {
    name: 'proxy-headers',
    most: 5000,
    slowest: 50,
    together: 1,
    open: session(HEADERS, checkProxyHeader, words('PROXY ', 'TCP4', 'TCP6', ' ', '\r\n', '0', '\0', 'UNKNOWN')),
  },
]
