// `X-Forwarded-Client-Cert` of Envoy, and of Istio and Linkerd with it: `Hash=...;Cert="...";Subject="...";URI=...`. Exactly one element: a
// second one, behind a comma, is of a proxy further away or of the client itself, and says who that one spoke to.

import { type Format, hashOf, present, readEscapedPem } from './presented.js'

/** A pair and what ends it; in quotes a backslash escapes, and outside there are no commas, semicolons, equal signs and quotes. */
const PAIR = /([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;=]*))(;|$)/y

/** Each may be there once; others repeat, as each alternative name has its own. */
const ONCE = ['hash', 'cert', 'chain']

export const xfcc: Format = {
  names: ['x-forwarded-client-cert'],
  read([lines = []]) {
    const [value] = lines
    if (value === undefined) return null
    if (lines.length > 1) return 'a header that is repeated'
    const pairs = readPairs(value)
    if (pairs === null) return 'not one element'
    const { hash, cert, chain } = pairs
    if (hash !== undefined && !/^[0-9a-f]{64}$/.test(hash)) return 'not a hash'
    const own = cert === undefined ? [] : readEscapedPem(cert)
    const all = chain === undefined ? [] : readEscapedPem(chain)
    if (own === null || own.length > 1 || all === null) return 'not a certificate'
    const told = [...(hash === undefined ? [] : [base64url(hash)]), ...[...own, ...all.slice(0, 1)].map(hashOf)]
    const [x5tS256] = told
    if (x5tS256 === undefined) return 'no certificate'
    // Of a chain the first is the leaf.
    if (told.some((one) => one !== x5tS256)) return 'two certificates'
    return cert === undefined ? { leaf: null, x5tS256, chain: [], isVerified: null } : present([...own, ...all.slice(1)])
  },
}

const base64url = (hex: string): string => Buffer.from(hex, 'hex').toString('base64url')

/** By their names in lower case; null: this is not one element, or it says something twice. */
function readPairs(value: string): Readonly<Record<string, string | undefined>> | null {
  const pairs: Record<string, string> = {}
  PAIR.lastIndex = 0
  for (;;) {
    const [, name = '', quoted, plain = '', end] = PAIR.exec(value) ?? []
    const key = name.toLowerCase()
    if (name === '' || (ONCE.includes(key) && Object.hasOwn(pairs, key))) return null
    // As it stands: nothing that is read here has anything to escape.
    pairs[key] = quoted ?? plain
    if (end === '') return pairs
  }
}
