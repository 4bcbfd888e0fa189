// What does the hop say of the client that it speaks for? Address, host and certificate, each from the one header it is configured to come in; any
// other is as little believed as a client's (contract §10). Made once for a listener and a configuration.

import type { Behind, Listener } from '../../config/config.js'
import { type Denial, deny } from '../../verify/verdict.js'
import type { Connection } from '../connections.js'
import type { Head } from '../inbound.js'
import { type Address, readForwarded, readForwardedFor } from './address.js'
import { createCertificateReader } from './certificate.js'
import { linesOf } from './lines.js'

export type Hop = {
  /** The client of one request, or why the hop is not heard. Reads no header of whoever is not the hop. */
  clientOf(connection: Connection, head: Pick<Head, 'rawHeaders' | 'receivedAt'>): Client | Denial
}

export type Client = {
  /** What stands in the head in place of the hop's own; what SNI it sends is between it and us. */
  readonly head: Pick<Head, 'peer' | 'servername' | 'removedPrefix'>
  /** Lines that name the origin, in place of Host; null: Host does. */
  readonly host: readonly string[] | null
}

/** null: we are the edge. */
export function createHop(listener: Listener): Hop | null {
  const { behind } = listener
  if (behind === null) return null
  const readCertificate = createCertificateReader(listener)
  const readAddress = addressReaderOf(behind)
  return {
    clientOf({ peer, stranger }, { rawHeaders, receivedAt: now }) {
      if (stranger !== null) return deny('hop_untrusted', stranger)
      const { certificate } = peer
      // A connection outlives dates.
      if (certificate !== null && (now < certificate.notBefore || now > certificate.notAfter))
        return deny('hop_untrusted', 'dates')
      const address = readAddress(rawHeaders)
      if (address === null) return deny('request_malformed', 'the hop names no address')
      const host = behind.host === 'same' ? null : linesOf(rawHeaders, 'x-forwarded-host')
      const client = { ...address, certificate: readCertificate(rawHeaders, now) }
      return { head: { peer: client, servername: null, removedPrefix: behind.removed_prefix }, host }
    },
  }
}

/** Nobody knows: then nobody is named, and never the hop in its client's place. */
const NOWHERE: Address = { address: '', port: 0 }

function addressReaderOf({ address }: Behind): (rawHeaders: readonly string[]) => Address | null {
  if (address === 'none') return () => NOWHERE
  if (address === 'forwarded') return (rawHeaders) => readForwarded(linesOf(rawHeaders, 'forwarded'))
  return (rawHeaders) => readForwardedFor(linesOf(rawHeaders, 'x-forwarded-for'))
}
