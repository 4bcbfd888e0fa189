// May an issuer's keys be fetched from this URL, and from the address its name turned out to have? Contract §2 "Issuer keys":
// https, http only to loopback, never to link-local addresses, where clouds keep their credentials. Judged at every
// connection, after DNS: a name that changes its address between two lookups gains nothing.

import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

// A BlockList sees through ::ffff:a.b.c.d by itself; NAT64 and 6to4 are spelt out.
const forbidden = new BlockList()
forbidden.addSubnet('169.254.0.0', 16, 'ipv4')
forbidden.addSubnet('fe80::', 10, 'ipv6')
forbidden.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6')
forbidden.addSubnet('2002:a9fe::', 32, 'ipv6')
// Metadata services of clouds that are not link-local: AWS over IPv6, Alibaba, Oracle, Azure's host.
forbidden.addAddress('fd00:ec2::254', 'ipv6')
forbidden.addAddress('100.100.100.200', 'ipv4')
forbidden.addAddress('192.0.0.192', 'ipv4')
forbidden.addAddress('168.63.129.16', 'ipv4')
// "This host": connects to loopback without being called so.
forbidden.addSubnet('0.0.0.0', 8, 'ipv4')
forbidden.addAddress('::', 'ipv6')

const familyOf = (address: string) => (isIP(address) === 6 ? 'ipv6' : 'ipv4')

/** Why nothing is fetched from this IP address, or null. `scheme` is a URL's, with its colon. */
export function addressProblem(address: string, scheme: string): string | null {
  const family = familyOf(address)
  if (forbidden.check(address, family)) return `${address} is a link-local or metadata address`
  if (scheme === 'http:' && !loopback.check(address, family)) return 'http is for loopback only: use https'
  return null
}

/** The URL, or a sentence on why nothing is fetched from it. A host that is an IP address is judged here, names in `guardedLookup`. */
export function readFetchUrl(text: string): URL | string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null) return 'is not a URL'
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return `has the scheme ${url.protocol} where https: is expected`
  if (url.username !== '' || url.password !== '') return 'holds a user name or password'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0) return addressProblem(host, url.protocol) ?? url
  return url.protocol === 'http:' && host !== 'localhost' ? 'is http, which is for loopback only: use https' : url
}

/** A `lookup` for net.connect that fails when any address of the name is one that nothing is fetched from. */
export function guardedLookup(scheme: string): LookupFunction {
  return (hostname, options, callback) => {
    const all: LookupOptions & { all: true } = { ...options, all: true }
    lookup(hostname, all, (error, found) => {
      if (error !== null) return callback(error, '')
      const problem = found.map(({ address }) => addressProblem(address, scheme)).find((text) => text !== null)
      const [first] = found
      if (problem !== undefined || first === undefined) return callback(new Error(problem ?? 'no address'), '')
      if (options.all === true) return callback(null, found satisfies LookupAddress[])
      callback(null, first.address, first.family)
    })
  }
}
