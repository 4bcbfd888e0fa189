// Which certificate did the client show to the hop? Read from the one format that is configured, and judged as if it had been shown to us
// (contract §10). What can't be read is a certificate that is invalid, never none at all: only a token that is bound to one asks for it.

import { LRUCache } from 'lru-cache'
import type { Listener } from '../../config/config.js'
import type { Seconds } from '../../verify/scalars.js'
import type { PeerCertificate } from '../../verify/types.js'
import { createJudge, type Judge } from '../chain/chain.js'
import { lifeOf } from '../peer.js'
import { FORMATS } from './formats.js'
import { linesOf } from './lines.js'
import type { Presented } from './presented.js'

export type CertificateReader = (rawHeaders: readonly string[], now: Seconds) => PeerCertificate | null

/** Certificates that are remembered with what was found of them, and characters of headers they are remembered by. */
const REMEMBERED = { max: 2000, maxSize: 8 * 1024 * 1024 }

/** Made once for a configuration, so that nothing is remembered beyond the CAs and lists it was judged by. */
export function createCertificateReader({ behind, client_certificates, client_ca, crl }: Listener): CertificateReader {
  if (behind === null || behind.certificate === 'none') return () => null
  const format = FORMATS[behind.certificate]
  const judge = client_certificates === 'pki' ? createJudge(client_ca ?? '', crl) : null
  const known = new LRUCache<string, PeerCertificate>({ ...REMEMBERED, sizeCalculation: (_, key) => key.length + 1 })

  return (rawHeaders, now) => {
    const lines = format.names.map((name) => linesOf(rawHeaders, name))
    if (lines.every(({ length }) => length === 0)) return null
    // No line holds a line feed or a NUL.
    const key = lines.map((values) => `${values.length}\n${values.join('\n')}`).join('\0')
    const found = known.get(key)
    if (found !== undefined && now >= found.notBefore && now <= found.notAfter) return found
    const presented = format.read(lines)
    if (presented === null) return null
    if (typeof presented === 'string') return unreadable(presented)
    const certificate = certificateOf(presented, judge, now)
    known.set(key, certificate)
    return certificate
  }
}

/** Judged in every mode: to be refused. */
const unreadable = (invalid: string): PeerCertificate => ({
  x5tS256: '',
  der: new Uint8Array(),
  invalid,
  notBefore: Number.POSITIVE_INFINITY,
  notAfter: Number.NEGATIVE_INFINITY,
  judged: true,
  subject: '',
})

function certificateOf({ leaf, x5tS256, chain, isVerified }: Presented, judge: Judge | null, now: Seconds): PeerCertificate {
  // A hash has no dates, and nobody can say who issued it.
  if (leaf === null) return { ...(judge === null ? BARE : unreadable('hash alone')), x5tS256 }
  const own = { x5tS256, der: leaf.raw, subject: leaf.subject ?? '' }
  if (judge === null) return { ...own, invalid: null, judged: false, ...lifeOf(leaf) }
  const { invalid, life } = judge(leaf, chain, now)
  return { ...own, invalid: isVerified === false ? 'not verified by the hop' : invalid, judged: true, ...life }
}

const BARE: Omit<PeerCertificate, 'x5tS256'> = {
  der: new Uint8Array(),
  invalid: null,
  notBefore: Number.NEGATIVE_INFINITY,
  notAfter: Number.POSITIVE_INFINITY,
  judged: false,
  subject: '',
}
