// Who is on the other end of this TLS connection? Its address and the certificate it proved possession of (RFC 8705 §3).
// Read once for each connection; the verdict of the handshake stays with it. Dates are judged on each request, elsewhere.

import { createHash, type X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Listener } from '../config/config.js'
import type { Seconds } from '../verify/scalars.js'
import type { Peer, PeerCertificate } from '../verify/types.js'

export type CertificateMode = Listener['client_certificates']

/** The peer of a connection; of one with TLS, when its handshake is complete. */
export const readPeer = (socket: Socket, mode: CertificateMode): Peer => ({
  address: plainAddress(socket.remoteAddress),
  port: socket.remotePort ?? 0,
  certificate: socket instanceof TLSSocket && mode !== 'off' ? readCertificate(socket, mode) : null,
})

const MAPPED = '::ffff:'

/** An IPv4 peer of a dual-stack listener is named as it is everywhere else. '' when the peer has gone already. */
export const plainAddress = (address = ''): string =>
  address.startsWith(MAPPED) && address.includes('.') ? address.slice(MAPPED.length) : address

function readCertificate(socket: TLSSocket, mode: CertificateMode): PeerCertificate | null {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return null
  const judged = mode === 'pki'
  return {
    x5tS256: createHash('sha256').update(certificate.raw).digest('base64url'),
    der: certificate.raw,
    invalid: judged ? whyInvalid(socket, certificate) : null,
    ...lifeOf(certificate),
    judged,
    subject: certificate.subject ?? '',
  }
}

/** How Node shows a NUL in a subject and in an alternative name. */
const NUL = /\\0|\\u0000/

/**
 * What OpenSSL found (chain, dates, purpose, revocation, strength), and what it lets pass: a CA in place of a client, and
 * names with a NUL that a C library would read only half of. Does not check: that anyone in particular is named.
 */
function whyInvalid({ authorized, authorizationError }: TLSSocket, certificate: X509Certificate): string | null {
  // Node says a string here, whatever its type says.
  return authorized ? whyNoLeaf(certificate) : String(authorizationError ?? 'NOT_AUTHORIZED')
}

/** Why no client can be it, whoever issued it. */
export function whyNoLeaf(certificate: X509Certificate): string | null {
  if (certificate.ca) return 'LEAF_IS_CA'
  return NUL.test(`${certificate.subject}${certificate.subjectAltName}`) ? 'NAME_WITH_NUL' : null
}

/** When it begins and ends. A date that can't be read must never count as one that is fine: NaN would pass every comparison. */
export const lifeOf = ({ validFrom, validTo }: X509Certificate): Pick<PeerCertificate, 'notBefore' | 'notAfter'> => ({
  notBefore: secondsOf(validFrom) ?? Number.POSITIVE_INFINITY,
  notAfter: secondsOf(validTo) ?? Number.NEGATIVE_INFINITY,
})

function secondsOf(text: string): Seconds | null {
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? null : ms / 1000
}
