// Which certificates a client's tokens may be bound to: as it registered them, by one of the ways of RFC 8705 §2.1.2 or by themselves.

import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { CertificateTrust } from '../verify/certificate-trust.js'
import { readDistinguishedName } from '../verify/distinguished-name.js'
import type { Seconds } from '../verify/scalars.js'
import { pemBlocks, readCertificateFile } from './files.js'
import type { Loading } from './loading.js'
import type { ClientInput } from './schema.js'
import { type Located, under } from './source.js'

const WAYS = {
  files: 'thumbprint',
  thumbprints: 'thumbprint',
  tls_client_auth_subject_dn: 'subject_dn',
  tls_client_auth_san_dns: 'san_dns',
  tls_client_auth_san_uri: 'san_uri',
  tls_client_auth_san_ip: 'san_ip',
  tls_client_auth_san_email: 'san_email',
} as const satisfies Readonly<Record<string, CertificateTrust['by']>>

/** `end`: when the last of them ends; null: they do not say. */
type Trusted = { readonly trust: CertificateTrust; readonly end: Seconds | null }

/** null: it trusts any, or what stands there is wrong, and that was reported. */
export function readTrust({ value, place }: Located<ClientInput>, loading: Loading): Trusted | null {
  const { certificates } = value
  if (certificates === undefined) return null
  const at = under(place, 'certificates')
  const [way, ...more] = (Object.keys(WAYS) as (keyof typeof WAYS)[]).filter((one) => certificates[one] !== undefined)
  if (way === undefined || more.length > 0) {
    loading.findings.problem(at, `expected exactly one of ${Object.keys(WAYS).join(', ')} (RFC 8705 §2.1.2)`)
    return null
  }
  if (way === 'files') return readFiles({ value: certificates.files ?? [], place: under(at, way) }, loading)
  const values = (certificates[way] ?? []).map((text, i) => {
    const read = READ[way](text)
    if (read === null) loading.findings.problem(under(at, way, i), EXPECTED[way])
    return read ?? ''
  })
  return { trust: { by: WAYS[way], values: new Set(values) }, end: null }
}

type Way = Exclude<keyof typeof WAYS, 'files'>

const asIs = (text: string): string => text
/** Each as it is compared; null: it is none. */
const READ: Readonly<Record<Way, (text: string) => string | null>> = {
  thumbprints: asIs,
  tls_client_auth_subject_dn: readDistinguishedName,
  tls_client_auth_san_dns: (text) => (/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(text) ? text : null),
  tls_client_auth_san_uri: (text) => (URL.canParse(text) ? text : null),
  tls_client_auth_san_ip: (text) => (isIP(text) > 0 ? text : null),
  tls_client_auth_san_email: (text) => (/^[^@\s]+@[^@\s]+$/.test(text) ? text : null),
}
const EXPECTED: Readonly<Record<Way, string>> = {
  thumbprints: '',
  tls_client_auth_subject_dn: 'expected a name as RFC 4514 writes it, most specific first, such as CN=app,O=Bank,C=DE',
  tls_client_auth_san_dns: 'expected a host name without wildcard, such as app.bank.example',
  tls_client_auth_san_uri: 'expected a URI, such as https://app.bank.example',
  tls_client_auth_san_ip: 'expected an IP address',
  tls_client_auth_san_email: 'expected an e-mail address',
}

function readFiles({ value, place }: Located<readonly string[]>, loading: Loading): Trusted {
  const found = value.flatMap((file, i) => {
    const pem = readCertificateFile({ value: file, place: under(place, i) }, loading)
    return pem === null ? [] : pemBlocks(pem, 'CERTIFICATE').map((block) => new X509Certificate(block))
  })
  const hash = ({ fingerprint256 }: X509Certificate) =>
    Buffer.from(fingerprint256.replaceAll(':', ''), 'hex').toString('base64url')
  return {
    trust: { by: 'thumbprint', values: new Set(found.map(hash)) },
    end: found.length === 0 ? null : Math.max(...found.map(({ validTo }) => Date.parse(validTo) / 1000)),
  }
}
