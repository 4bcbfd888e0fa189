// The header of a balancer: whole, in pieces, and what looks like one.
import t from 'tap'
import { readProxyHeader } from '../../src/edge/proxy-header.js'

const SIGNATURE = '0d0a0d0a000d0a515549540a'
const v2 = (hex: string): Buffer => Buffer.from((SIGNATURE + hex).replaceAll(' ', ''), 'hex')
const TCP4 = '21 11 000c c0000201 0a000001 1267 01bb'
const TCP6 = '21 21 0024 20010db8000000000000000000000007 00000000000000000000000000000001 1267 01bb'

const WHOLE: readonly (readonly [why: string, header: Buffer, client: object | null])[] = [
  ['TCP4', Buffer.from('PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n'), { address: '192.0.2.1', port: 4711 }],
  ['TCP6', Buffer.from('PROXY TCP6 2001:db8::7 ::1 4711 443\r\n'), { address: '2001:db8::7', port: 4711 }],
  ['unknown', Buffer.from('PROXY UNKNOWN\r\n'), null],
  ['unknown, with what nobody reads', Buffer.from('PROXY UNKNOWN 6.6.6.6 6.6.6.6 1 1\r\n'), null],
  ['version 2, IPv4', v2(TCP4), { address: '192.0.2.1', port: 4711 }],
  ['version 2, IPv6', v2(TCP6), { address: '2001:db8::7', port: 4711 }],
  ['version 2, extensions', v2(TCP4.replace('000c', '0013').concat('04 0004 00000000')), { address: '192.0.2.1', port: 4711 }],
  ['version 2, local', v2('20 00 0000'), null],
  ['version 2, local with an address', v2(TCP4.replace('21', '20')), null],
  ['version 2, unspecified', v2('21 00 0000'), null],
  ['version 2, a unix socket', v2(`21 31 00d8${'00'.repeat(216)}`), null],
]

t.test('says whose the connection is, and where it begins', async (t) => {
  for (const [why, header, client] of WHOLE) {
    t.same(readProxyHeader(Buffer.concat([header, Buffer.from('rest')])), { bytes: header.length, client }, why)
    for (let length = 0; length < header.length; length++) {
      const part = readProxyHeader(header.subarray(0, length))
      if (part !== 'more') t.fail(`${why}: ${length} bytes are taken for all`)
    }
  }
})

t.test('what is no header is none', async (t) => {
  const texts = [
    'GET / HTTP/1.1\r\n',
    'PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n',
    'PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 1\r\n',
    'PROXY TCP4 192.0.2.256 10.0.0.1 4711 443\r\n',
    'PROXY TCP4 2001:db8::7 ::1 4711 443\r\n',
    'PROXY TCP6 192.0.2.1 10.0.0.1 4711 443\r\n',
    'PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n',
    'PROXY TCP4 192.0.2.1 10.0.0.1 04711 443\r\n',
    'PROXY TCP4  192.0.2.1 10.0.0.1 4711 443\r\n',
    'PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 \r\n',
    'PROXY UDP4 192.0.2.1 10.0.0.1 4711 443\r\n',
    'PROXY UNKNOWNED\r\n',
    'proxy TCP4 192.0.2.1 10.0.0.1 4711 443\r\n',
    'PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\n\r\n',
    `PROXY UNKNOWN ${'x'.repeat(100)}\r\n`,
    '\x16\x03\x01\x02\x00',
    '\r\n\r\n\0\r\nQUIT\r',
  ]
  for (const text of texts) t.equal(readProxyHeader(Buffer.from(text, 'latin1')), null, JSON.stringify(text))
  for (const hex of [
    '11 11 000c c0000201 0a000001 1267 01bb',
    '22 11 000c c0000201 0a000001 1267 01bb',
    '21 12 000c c0000201 0a000001 1267 01bb',
    '21 41 000c c0000201 0a000001 1267 01bb',
    '21 11 000b c0000201 0a000001 1267 01',
    TCP6.replace('0024', '000c'),
    '21 11 ffff c0000201 0a000001 1267 01bb',
  ])
    t.equal(readProxyHeader(v2(hex)), null, hex)
})
