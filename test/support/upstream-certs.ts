// Certificates for upstreams on loopback, made for one run: a CA and what it signs. Written in DER by hand (RFC 5280 §4.1), so
// that no tool has to be installed.

import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

export type Pem = { readonly cert: string; readonly key: string }

/** Tag, length, value. */
function der(tag: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const value = Buffer.concat(parts.map((part) => Buffer.from(part as Buffer)))
  const length = value.length < 128 ? [value.length] : [0x82, value.length >> 8, value.length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), value])
}

const sequence = (...parts: readonly Buffer[]) => der(0x30, ...parts)
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'))
const boolean = () => der(0x01, Buffer.from([0xff]))
const time = (ms: number) => der(0x17, `${new Date(ms).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`)
const commonName = (name: string) => sequence(der(0x31, sequence(oid('550403'), der(0x0c, name))))
const ECDSA_SHA256 = sequence(oid('2a8648ce3d040302'))
const BASIC_CONSTRAINTS_CA = sequence(oid('551d13'), boolean(), der(0x04, sequence(boolean())))

/** IP addresses and DNS names (RFC 5280 §4.2.1.6). */
function alternativeNames(subjects: readonly string[]): Buffer {
  const names = subjects.map((name) =>
    /^[\d.]+$/.test(name) ? der(0x87, Buffer.from(name.split('.').map(Number))) : der(0x82, name),
  )
  return sequence(oid('551d11'), der(0x04, sequence(...names)))
}

type Fields = { readonly subject: string; readonly publicKey: KeyObject; readonly extension: Buffer }

function certify(issuer: string, issuerKey: KeyObject, { subject, publicKey, extension }: Fields): string {
  const hour = 3_600_000
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ECDSA_SHA256,
    commonName(issuer),
    sequence(time(Date.now() - hour), time(Date.now() + hour)),
    commonName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(extension)),
  )
  const signature = der(0x03, Buffer.from([0]), sign('sha256', body, issuerKey))
  const base64 = sequence(body, ECDSA_SHA256, signature).toString('base64')
  return `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
}

const makeKeys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pemOf = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString()

export type Authority = {
  /** PEM. */
  readonly ca: string
  /** A leaf for these names, IP addresses or DNS names. */
  issue(name: string, subjects: readonly string[]): Pem
}

export function makeAuthority(name: string): Authority {
  const own = makeKeys()
  return {
    ca: certify(name, own.privateKey, { subject: name, publicKey: own.publicKey, extension: BASIC_CONSTRAINTS_CA }),
    issue(subject, subjects) {
      const leaf = makeKeys()
      const extension = alternativeNames(subjects)
      return {
        cert: certify(name, own.privateKey, { subject, publicKey: leaf.publicKey, extension }),
        key: pemOf(leaf.privateKey),
      }
    },
  }
}
