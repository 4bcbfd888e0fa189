// Whom do we attack? One host at one address, both confirmed by the person who asked; if its name comes to mean another machine
// while the probe runs, the probe stops.

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { ProbeError } from './run.js'

export type Place = {
  /** `https://api.example.com` */
  readonly origin: string
  readonly hostname: string
  readonly host: string
  readonly port: number
  /** Path and query as given, not normalised. */
  readonly path: string
}

/** The parts of a URL, or what is wrong with it. `mayBePlain`: a backend, which need not have TLS. */
export function placeOf(url: string, mayBePlain = false): Place | string {
  if (!URL.canParse(url)) return `${JSON.stringify(url)} is no URL; give one such as https://api.example.com/payments`
  const { protocol, origin, hostname, host, port, username, hash } = new URL(url)
  if (mayBePlain && protocol !== 'https:' && protocol !== 'http:') return 'the URL of a backend begins with https or http'
  if (!mayBePlain && protocol !== 'https:')
    return 'only https URLs can be probed: a resource server takes tokens over TLS alone (RFC 6750 §5.3)'
  if (username !== '' || hash !== '') return 'the URL has a user name or a fragment; leave them out'
  const path = url.slice(url.indexOf('//') + 2).replace(/^[^/?]*/, '')
  return {
    origin,
    hostname: hostname.replace(/^\[|\]$/g, ''),
    host,
    port: port === '' ? (protocol === 'http:' ? 80 : 443) : Number(port),
    path: path.startsWith('/') ? path : `/${path}`,
  }
}

/** Every address that the name has now. */
export async function addressesOf(hostname: string): Promise<readonly string[]> {
  if (isIP(hostname) !== 0) return [hostname]
  try {
    return (await lookup(hostname, { all: true })).map(({ address }) => address)
  } catch {
    throw new ProbeError(`${hostname} has no address: is the name right, and does this machine's DNS know it?`)
  }
}

const LOOK_AGAIN_MS = 5000

/** Rejects once the name no longer has the confirmed address. Asks at most every 5 s. */
export function watchAddress(
  hostname: string,
  confirmed: string,
  { lookUp = addressesOf, everyMs = LOOK_AGAIN_MS } = {},
): () => Promise<void> {
  let next = Date.now() + everyMs
  return async () => {
    if (Date.now() < next) return
    next = Date.now() + everyMs
    const now = await lookUp(hostname)
    if (!now.includes(confirmed))
      throw new ProbeError(`${hostname} is no longer at ${confirmed}: stopped, start again to confirm where it is now`)
  }
}
