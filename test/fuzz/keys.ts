// Keys that are the same in every run, so that an input that was signed in one is as good in another. They guard nothing.
import {
  checkPrimeSync,
  createECDH,
  createHash,
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto'
import { thumbprint } from '../support/jwt.js'

export type FixedKey = {
  readonly alg: 'ES256' | 'EdDSA' | 'PS256'
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly jwk: JsonWebKey
  readonly jkt: string
}

/** As many bytes as are wanted, always the same for a name. */
function bytesOf(name: string, length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, i) => createHash('sha256').update(`${name} ${i}`).digest())
  return Buffer.concat(blocks).subarray(0, length)
}

function fixed(alg: FixedKey['alg'], jwk: JsonWebKey): FixedKey {
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' })
  const publicKey = createPublicKey(privateKey)
  const open = publicKey.export({ format: 'jwk' })
  return { alg, privateKey, publicKey, jwk: open, jkt: thumbprint(open) }
}

const base64url = (bytes: Buffer): string => bytes.toString('base64url')

export function ecKey(name: string): FixedKey {
  const pair = createECDH('prime256v1')
  const d = bytesOf(name, 32)
  pair.setPrivateKey(d)
  const point = pair.getPublicKey()
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map(base64url)
  return fixed('ES256', { kty: 'EC', crv: 'P-256', x, y, d: base64url(d) } as JsonWebKey)
}

/** RFC 8410: the private key is any 32 bytes. */
export function edKey(name: string): FixedKey {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), bytesOf(name, 32)])
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  return fixed('EdDSA', privateKey.export({ format: 'jwk' }))
}

const bigOf = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`)
const bytesOfBig = (value: bigint): string => {
  const hex = value.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64url')
}

/** Of 1024 bits, and one that 65537 does not divide into. */
function primeOf(name: string): bigint {
  const start = bytesOf(name, 128)
  start[0] = (start[0] ?? 0) | 0xc0
  let candidate = bigOf(start) | 1n
  while (candidate % 65537n === 1n || !checkPrimeSync(candidate)) candidate += 2n
  return candidate
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [value % modulus, modulus, 1n, 0n]
  while (b > 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y]
  return ((x % modulus) + modulus) % modulus
}

export function rsaKey(name: string): FixedKey {
  const [p, q] = [primeOf(`${name} p`), primeOf(`${name} q`)]
  const d = inverse(65537n, (p - 1n) * (q - 1n))
  const parts = { n: p * q, e: 65537n, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) }
  return fixed('PS256', {
    kty: 'RSA',
    ...Object.fromEntries(Object.entries(parts).map(([part, value]) => [part, bytesOfBig(value)])),
  })
}
