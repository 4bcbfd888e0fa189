// How does each kind of proxy pass on the certificate of its client? One of these is chosen for a listener, and the headers of all others
// are removed as any client's would be.

import type { X509Certificate } from 'node:crypto'
import type { Behind } from '../../config/config.js'
import { type Format, present, readBase64, readEscapedPem } from './presented.js'
import { xfcc } from './xfcc.js'

const REPEATED = 'a header that is repeated'
const isRepeated = (lines: readonly (readonly string[])[]): boolean => lines.some(({ length }) => length > 1)

/** RFC 9440 §2: a Byte Sequence, and a List of them, without the leaf, beside it. */
const clientCert: Format = {
  names: ['client-cert', 'client-cert-chain'],
  read(lines) {
    if (isRepeated(lines)) return REPEATED
    const [[leaf] = [], [chain] = []] = lines
    if (leaf === undefined) return chain === undefined ? null : 'a chain without its leaf'
    const items = [leaf, ...(chain === undefined ? [] : chain.split(',').map((item) => item.trim()))]
    return present(all(items.map((item) => readBase64(/^:(.+):$/.exec(item)?.[1] ?? ''))))
  },
}

/** ingress-nginx: `$ssl_client_escaped_cert` and `$ssl_client_verify`. */
const nginx: Format = {
  names: ['ssl-client-cert', 'ssl-client-verify'],
  read(lines) {
    if (isRepeated(lines)) return REPEATED
    const [[cert = ''] = [], [verify = 'NONE'] = []] = lines
    if (cert === '' && verify === 'NONE') return null
    // FAILED and why: nginx went on, because it was told to leave it to us.
    if (cert === '' || !/^(?:SUCCESS$|FAILED:)/.test(verify)) return 'a certificate and a verdict that do not fit'
    return present(single(readEscapedPem(cert)), verify === 'SUCCESS')
  },
}

/** Base64 of the leaf and of what the client sent along, between commas; percent-encoded by versions before 3. */
const traefik: Format = {
  names: ['x-forwarded-tls-client-cert'],
  read(lines) {
    if (isRepeated(lines)) return REPEATED
    const [[value] = []] = lines
    if (value === undefined) return null
    return present(all(value.replaceAll('%2B', '+').replaceAll('%2F', '/').replaceAll('%3D', '=').split(',').map(readBase64)))
  },
}

/** AWS: the whole chain where the load balancer passes it through, the leaf where it verified. */
const alb: Format = {
  names: ['x-amzn-mtls-clientcert', 'x-amzn-mtls-clientcert-leaf'],
  read(lines) {
    if (isRepeated(lines)) return REPEATED
    const [[chain] = [], [leaf] = []] = lines
    if (chain !== undefined && leaf !== undefined) return 'two certificates'
    if (leaf !== undefined) return present(single(readEscapedPem(leaf)), true)
    return chain === undefined ? null : present(readEscapedPem(chain))
  },
}

/** `%[ssl_c_der,base64]` and `%[ssl_c_verify]`, OpenSSL's number of what is wrong. */
const haproxy: Format = {
  names: ['x-ssl-client-cert', 'x-ssl-client-verify'],
  read(lines) {
    if (isRepeated(lines)) return REPEATED
    const [[cert = ''] = [], [verify = ''] = []] = lines
    // Without a certificate nothing is wrong with it.
    if (cert === '') return verify === '' || verify === '0' ? null : 'a verdict without its certificate'
    return /^\d{1,5}$/.test(verify) ? present(all([readBase64(cert)]), verify === '0') : 'a certificate without a verdict'
  },
}

export const FORMATS: Readonly<Record<Exclude<Behind['certificate'], 'none'>, Format>> = {
  client_cert: clientCert,
  xfcc,
  nginx,
  traefik,
  alb,
  haproxy,
}

const all = (certificates: readonly (X509Certificate | null)[]): readonly X509Certificate[] | null =>
  certificates.every((one) => one !== null) ? certificates : null

const single = (certificates: readonly X509Certificate[] | null): readonly X509Certificate[] | null =>
  certificates?.length === 1 ? certificates : null
