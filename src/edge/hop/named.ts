// Is this connection the hop's? Known when it is opened, before anything is read on it (contract §10). Does not check: that its certificate
// has not ended since, which is judged on each request.

import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Behind } from '../../config/config.js'
import { urisOf } from '../../verify/certificate-trust.js'

/** Why not; null: it is. A certificate that the handshake did not accept never comes here. */
export function whyNotHop(socket: Socket, { hop }: Behind): string | null {
  // Nobody else can open it: the file's permissions say who.
  if (hop === 'socket') return null
  if (hop === 'loopback') return isLoopback(socket.remoteAddress ?? '') ? null : 'not from loopback'
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
  if (certificate === undefined) return 'without a certificate'
  return hop.names.some((name) => hasName(certificate, name)) ? null : 'by another name'
}

const isLoopback = (address: string): boolean => /^(?:::ffff:)?127\.|^::1$/.test(address)

/** Alternative names alone, and no wildcard of theirs: who may speak for clients is written out. */
function hasName(certificate: X509Certificate, name: string): boolean {
  if (!name.includes('://')) return certificate.checkHost(name, { subject: 'never', wildcards: false }) !== undefined
  return urisOf(certificate.subjectAltName ?? '')?.has(name) === true
}
