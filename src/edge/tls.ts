// How does a listener speak TLS? TLS 1.3, and 1.2 with ECDHE and AES-GCM alone (BCP 195, contract §2). Pure: options for node:tls.
// Client certificates are asked for, never demanded, in the handshake, but for a hop's.

import { constants, createHash } from 'node:crypto'
import type { SecureContextOptions, TlsOptions } from 'node:tls'
import type { Limits, Listener } from '../config/config.js'

/**
 * TLS_AES_128_GCM_SHA256 is the suite that every TLS 1.3 client has (RFC 8446 §9.1), so leaving ChaCha20 out loses nobody.
 * Security level 2: RSA and DH keys of 2048 bits or more, and no SHA-1 or MD5 signature in a chain.
 */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  '@SECLEVEL=2',
].join(':')

/** How whoever connects is judged in the handshake, and by which CAs (PEM) and revocation lists. */
type Handshake = Pick<Listener, 'crl'> & { readonly mode: Listener['client_certificates']; readonly ca: string | null }

/** Behind a hop the certificate that is shown is the hop's own. */
export function handshakeOf({ behind, client_certificates, client_ca, crl }: Listener): Handshake {
  if (behind === null) return { mode: client_certificates, ca: client_ca, crl }
  return typeof behind.hop === 'string' ? { mode: 'off', ca: null, crl: [] } : { mode: 'pki', ca: behind.hop.ca, crl: [] }
}

/** Does this listener ask for a client certificate at all? */
export const asksForCertificate = (listener: Listener): boolean => handshakeOf(listener).mode !== 'off'

/** What a reload may change: keys, certificates, CAs, CRLs. 0-RTT needs no setting: Node has none. */
export function secureContextOf(listener: Listener): SecureContextOptions {
  const { mode, ca, crl } = handshakeOf(listener)
  const judged = mode === 'pki'
  return {
    ...listener.tls,
    // To Node no list means the public CAs; an empty one means none, which is what counts where only the binding does.
    ca: judged && ca !== null ? [ca] : [],
    crl: judged ? [...crl] : [],
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    ecdhCurve: 'X25519:P-256:P-384',
    // A resumed session brings back the old verdict: no tickets where a verdict counts. TLS 1.3 then still hands out names of
    // sessions in a cache, and a cache exists only where someone listens for `newSession`: no one does.
    secureOptions:
      constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION | (judged ? constants.SSL_OP_NO_TICKET : 0),
    sessionIdContext: sessionContextOf(listener),
  }
}

/** All that the TLS server is opened with. */
export const tlsOptionsOf = (listener: Listener, limits: Pick<Limits, 'handshake'>): TlsOptions => ({
  ...secureContextOf(listener),
  requestCert: asksForCertificate(listener),
  // Of clients, what a certificate is worth is judged on each request; nobody but the hop gets as far as a request of his.
  rejectUnauthorized: listener.behind !== null && asksForCertificate(listener),
  ...(listener.decides ? { ALPNCallback: protocolOf } : { ALPNProtocols: ['http/1.1'] }),
  handshakeTimeout: limits.handshake * 1000,
})

/** Sessions of one listener, or of one way to treat certificates, are not taken up by another. 32 bytes at most. */
const sessionContextOf = ({ host, port, client_certificates }: Listener): string =>
  createHash('sha256').update(`${host}:${port} ${client_certificates}`).digest('base64url').slice(0, 32)

/**
 * By HTTP/2 decisions alone are asked for, and by gRPC alone: whoever offers both, as many HTTP clients do of their own accord, means the
 * endpoints that are asked by HTTP/1.1.
 */
const protocolOf = ({ protocols }: { readonly protocols: readonly string[] }): string | undefined =>
  ['http/1.1', 'h2'].find((one) => protocols.includes(one))
