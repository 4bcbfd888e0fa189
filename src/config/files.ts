// Reads the files that routes.yaml names, and judges them there and then: a key that does not fit its certificate is a problem with
// a line, not a gateway that does not start. What files hold is never shown.

import { createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject, X509Certificate } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { isWorthImporting, publicMembers } from '../verify/hashes.js'
import { isJsonObject, readJsonObject } from '../verify/json.js'
import { keyFits, TOKEN_ALGORITHMS } from '../verify/signatures.js'
import type { TlsFiles } from './config.js'
import { readCrl } from './crl.js'
import type { Loading } from './loading.js'
import { codeOf, type Located, type Place, under } from './source.js'

/** A path as an absolute one: it is relative to the file that names it. */
export const absolute = ({ value, place }: Located<string>): string => resolve(dirname(place.source.file), value)

/** The text of a file; null when it can't be read, and that was reported. */
export function readText(file: Located<string>, { findings, disk }: Loading): string | null {
  try {
    return disk.read(absolute(file))
  } catch (error) {
    findings.problem(
      file.place,
      `the file cannot be read (${codeOf(error)}): give the path of a readable file, relative to this one`,
    )
    return null
  }
}

/** PEM blocks of one kind, such as `CERTIFICATE`. */
export const pemBlocks = (text: string, label: string): readonly string[] =>
  text.match(new RegExp(`-----BEGIN ${label}-----[^-]*-----END ${label}-----`, 'g')) ?? []

/** The certificates of a PEM text; null when there are none, or one is broken. */
export function readCertificates(text: string): readonly X509Certificate[] | null {
  try {
    const blocks = pemBlocks(text, 'CERTIFICATE')
    return blocks.length === 0 ? null : blocks.map((block) => new X509Certificate(block))
  } catch {
    return null
  }
}

/** PEM of one or more certificates; null when it is none, and that was reported. */
export function readCertificateFile(file: Located<string>, loading: Loading): string | null {
  const text = readText(file, loading)
  if (text === null || readCertificates(text) !== null) return text
  loading.findings.problem(file.place, 'the file holds no certificate in PEM')
  return null
}

/** PEM of CAs; null when one of them is none, and that was reported. */
export function readCaFile(file: Located<string>, loading: Loading): string | null {
  const text = readCertificateFile(file, loading)
  if (text === null || (readCertificates(text)?.every(({ ca }) => ca) ?? false)) return text
  loading.findings.problem(file.place, 'the file holds a certificate that is no CA: put the CAs that issue there, and only these')
  return null
}

function readPrivateKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem)
  } catch {
    // What node says of a broken key may quote from it.
    return null
  }
}

type Pair = { readonly key: string; readonly cert: string }

/** A private key and the certificate that belongs to it, both named in the map at `place`. */
export function readPair(pair: Pair, place: Place, loading: Loading): TlsFiles | null {
  const keyFile = { value: pair.key, place: under(place, 'key') }
  const key = readText(keyFile, loading)
  const cert = readCertificateFile({ value: pair.cert, place: under(place, 'cert') }, loading)
  const privateKey = key === null ? null : readPrivateKey(key)
  if (key !== null && privateKey === null)
    loading.findings.problem(keyFile.place, 'the file holds no private key in PEM without passphrase')
  if (key === null || cert === null || privateKey === null) return null
  const [leaf] = readCertificates(cert) ?? []
  if (leaf?.checkPrivateKey(privateKey)) return { key, cert }
  loading.findings.problem(keyFile.place, 'the private key does not belong to the first certificate of `cert`')
  return null
}

/** PEM of an EC P-256 private key, which signs assertions. */
export function readAssertionKey(file: Located<string>, loading: Loading): string | null {
  const pem = readText(file, loading)
  if (pem === null || readPrivateKey(pem)?.asymmetricKeyDetails?.namedCurve === 'prime256v1') return pem
  loading.findings.problem(
    file.place,
    'the file holds no EC P-256 private key in PEM: make one with `holdfast certs DIR` or `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`',
  )
  return null
}

/** PEM of a private key that signs our client assertions; null when it is none, and that was reported. */
export function readClientKey(file: Located<string>, loading: Loading): string | null {
  const pem = readText(file, loading)
  const key = pem === null ? null : readPrivateKey(pem)
  if (pem === null || (key !== null && TOKEN_ALGORITHMS.some((alg) => keyFits(alg, key)))) return pem
  loading.findings.problem(file.place, 'the file holds no EC P-256, Ed25519 or RSA (2048 to 4096 bits) private key in PEM')
  return null
}

/** Revocation lists, one each: Node loads only the first of a bundle. */
export function readCrlFile(file: Located<string>, loading: Loading): readonly string[] {
  const text = readText(file, loading)
  if (text === null) return []
  const blocks = pemBlocks(text, 'X509 CRL')
  if (blocks.length > 0 && blocks.every((block) => readCrl(block) !== null)) return blocks
  loading.findings.problem(file.place, 'the file holds no certificate revocation list in PEM')
  return []
}

/** A JWK set with at least one public key that fits one of the algorithms. */
export function readJwksFile(file: Located<string>, algorithms: readonly string[], loading: Loading): string | null {
  const text = readText(file, loading)
  if (text === null) return null
  const keys = readJsonObject(Buffer.from(text))?.keys
  const isUsable = Array.isArray(keys) && keys.some((jwk) => algorithms.some((alg) => fitsJwk(jwk, alg)))
  if (isUsable) return text
  loading.findings.problem(file.place, 'the file holds no JWK set with a public key for one of `algorithms`')
  return null
}

function fitsJwk(jwk: unknown, alg: string): boolean {
  const members = isJsonObject(jwk) && !('d' in jwk) ? publicMembers(jwk) : null
  if (members === null || !isWorthImporting(members)) return false
  try {
    return keyFits(alg, createPublicKey({ key: members as JsonWebKey, format: 'jwk' }))
  } catch {
    return false
  }
}
