// Addresses by the word of a hop: the last entry of a list, or nothing.
import t from 'tap'
import { readForwarded } from '../../../src/edge/hop/address.js'

t.test('the last element of Forwarded says who the client is', async (t) => {
  for (const [line, address] of [
    ['for=192.0.2.1', '192.0.2.1'],
    ['For="192.0.2.1:4711"', '192.0.2.1'],
    ['for="[2001:db8::1]"', '2001:db8::1'],
    ['for="[2001:db8::1]:80";proto=https;by=203.0.113.43', '2001:db8::1'],
    ['proto=https;for=192.0.2.1;host="api.example.com:8443"', '192.0.2.1'],
    ['for=6.6.6.6, for=192.0.2.1', '192.0.2.1'],
    // What a client leaves open does not swallow what the hop adds.
    ['for="6.6.6.6, for=192.0.2.1', '192.0.2.1'],
    ['for=6.6.6.6;x=", for="[2001:db8::1]"', '2001:db8::1'],
  ] as const)
    t.equal(readForwarded([line])?.address, address, line)
  t.equal(readForwarded(['for=6.6.6.6', 'for=192.0.2.1'])?.address, '192.0.2.1', 'two lines')
})

t.test('what is no address is none', async (t) => {
  for (const line of [
    '',
    'for=',
    'for=unknown',
    'for=_hidden',
    'for=192.0.2.1,',
    'for=192.0.2.1, ',
    'for=192.0.2.1;for=6.6.6.6',
    'for=2001:db8::1',
    'for="2001:db8::1%eth0"',
    'for="[192.0.2.1]"',
    'for="192.0.2.1:99999"',
    'for=192.0.2.1;',
    'for = 192.0.2.1',
    'for="192.0.2.1\\"',
    'by=192.0.2.1',
    'xfor=192.0.2.1',
    'for=192.0.2.1;host="a,for=6.6.6.6"',
    'for=192.0.2.1;host="a\\",for=6.6.6.6;x=\\"b"',
  ])
    t.equal(readForwarded([line]), null, line)
  t.equal(readForwarded([]), null)
  t.equal(readForwarded(['for=192.0.2.1', '']), null)
})
