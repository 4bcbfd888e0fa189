// Does a certificate lead to a CA of ours (RFC 5280 §6)? For certificates that no handshake of ours has seen, because a hop passed them on:
// OpenSSL judges those of handshakes, and Node lends it for no others. Stricter than OpenSSL where it is simpler: no name constraints, no
// RSASSA-PSS signatures. Its words for what is wrong are used here too. Does not check: that the client has the key, which the hop saw.

import { X509Certificate } from 'node:crypto'
import { type Certificate, type Life, readCertificate, whyNotClient, whyNotIssuer } from './certificate.js'
import { judgeRevocation, type List, readList } from './revocation.js'
import { isSignedBy } from './signed.js'

/** `life`: how long this holds, by the dates of all that was looked at, revocation lists included. */
export type Judgement = { readonly invalid: string | null; readonly life: Life }

/** Judges a leaf; `others` may lead from it to a CA, and are trusted no further. */
export type Judge = (leaf: X509Certificate, others: readonly X509Certificate[], now: number) => Judgement

/** CAs above one another, of which real chains have two or three. */
const HIGHEST = 6

/** Signatures that are verified for one leaf. Certificates can be made that issue each other, in as many orders as there are. */
const MOST_SIGNATURES = 24

/** By PEM of CAs, and of revocation lists, which are demanded of each CA of a chain where there is any. Throws for what is none. */
export function createJudge(ca: string, crl: readonly string[]): Judge {
  const blocks = ca.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  const known = readable(blocks.map((pem) => new X509Certificate(pem)))
  // Its own signature proves nothing, so it may be a weak one.
  const anchors = new Set(known.filter(({ subject, issuer, node, key }) => subject === issuer && node.verify(key)))
  const lists = crl.map(readList)

  const judge: Judge = (node, others, now) => {
    const leaf = readCertificate(node)
    if (leaf === null) return NOT_DER
    const unfit = whyNotClient(leaf)
    if (unfit !== null) return { invalid: unfit, life: leaf.life }
    const candidates = [...known, ...readable(others)]
    let signatures = 0

    /** From a certificate up to a CA of ours, with `below` CAs under the one that issued it. */
    const climb = (certificate: Certificate, below: number): Judgement => {
      let found: Judgement = { invalid: 'UNABLE_TO_GET_ISSUER_CERT', life: certificate.life }
      if (below >= HIGHEST) return found
      for (const issuer of candidates) {
        if (issuer.subject !== certificate.issuer || !certificate.node.checkIssued(issuer.node)) continue
        if (signatures++ >= MOST_SIGNATURES) return found
        if (!isSignedBy(certificate.signed, issuer.key)) continue
        const judged = judgeLink(certificate, issuer, { below, lists, isAnchor: anchors.has(issuer) })
        const above = judged.invalid !== null || anchors.has(issuer) ? judged : both(judged, climb(issuer, below + 1))
        if (above.invalid === null && isWithin(above.life, now)) return above
        found = above
      }
      return found
    }
    return climb(leaf, 0)
  }
  return (node, others, now) => {
    try {
      return judge(node, others, now)
    } catch {
      return NOT_DER
    }
  }
}

const NOT_DER: Judgement = {
  invalid: 'NOT_DER',
  life: { notBefore: Number.POSITIVE_INFINITY, notAfter: Number.NEGATIVE_INFINITY },
}

const readable = (certificates: readonly X509Certificate[]): readonly Certificate[] =>
  certificates.map(readCertificate).filter((one) => one !== null)

type Link = { readonly below: number; readonly lists: readonly List[]; readonly isAnchor: boolean }

/** One certificate and its issuer, whose signature is good. */
function judgeLink(certificate: Certificate, issuer: Certificate, { below, lists, isAnchor }: Link): Judgement {
  const unfit = whyNotIssuer(issuer, below)
  if (unfit !== null) return { invalid: unfit, life: certificate.life }
  let life = common(certificate.life, issuer.life)
  // A CA of ours is its own issuer.
  for (const one of lists.length === 0 ? [] : isAnchor ? [certificate, issuer] : [certificate]) {
    const found = judgeRevocation(one, issuer, lists)
    if (typeof found === 'string') return { invalid: found, life }
    life = common(life, found)
  }
  return { invalid: null, life }
}

const both = (a: Judgement, b: Judgement): Judgement => ({ invalid: a.invalid ?? b.invalid, life: common(a.life, b.life) })

const common = (a: Life, b: Life): Life => ({
  notBefore: Math.max(a.notBefore, b.notBefore),
  notAfter: Math.min(a.notAfter, b.notAfter),
})

const isWithin = ({ notBefore, notAfter }: Life, now: number): boolean => now >= notBefore && now <= notAfter
