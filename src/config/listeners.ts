// Our own side of the network, resolved: public origins in normal form, listeners with their keys, the admin listener.

import { normalOrigin } from '../verify/target.js'
import { type ListenPlaces, resolveBehind } from './behind.js'
import type { Config, Listener } from './config.js'
import { readCrl, subjectOf } from './crl.js'
import { isLoopback } from './fields.js'
import { absolute, readCaFile, readCertificates, readCrlFile, readPair } from './files.js'
import type { Loading, Rule } from './loading.js'
import type { Listen, Single } from './schema.js'
import type { Sections } from './sections.js'
import { type Place, under } from './source.js'

/** Origins in normal form, https alone; those that are none were reported. */
export function resolveOrigins(origins: readonly string[], place: Place, { findings }: Loading): readonly string[] {
  const resolved: string[] = []
  for (const [i, text] of origins.entries()) {
    const origin = normalOrigin(text)
    if (origin === null || !origin.startsWith('https://'))
      findings.problem(under(place, i), 'expected an https origin without a path, such as https://api.example.com')
    else if (resolved.includes(origin)) findings.problem(under(place, i), 'this origin stands here twice')
    else resolved.push(origin)
  }
  return resolved
}

/** Those of `public_origins` that are named; left out, all. Others were reported. */
export function chooseOrigins(named: readonly string[] | undefined, all: readonly string[], at: Loading & { place: Place }) {
  // None at all: that was reported, once is enough.
  if (named === undefined || all.length === 0) return all
  return named.flatMap((text, i) => {
    const origin = normalOrigin(text)
    if (origin !== null && all.includes(origin)) return [origin]
    at.findings.problem(under(at.place, i), 'expected one of `public_origins`')
    return []
  })
}

/** A listener as it is written, and where. */
export type ListenerInput = ListenPlaces & { readonly value: Listen; readonly decides: boolean }

/** Those of `listen`, and that of `decision_api`, which differs in its form alone: nobody but a hop may connect there. */
export function listenersOf({ listeners, single, main }: Sections): readonly ListenerInput[] {
  const edges = listeners
    .filter((one) => one !== null)
    .map(({ value, place }) => ({ value, place, behindAt: under(place, 'behind'), decides: false }))
  if (!single.decision_api) return edges
  const { host, port, socket, tls, ...spokenFor } = single.decision_api
  const place = under(main, 'decision_api')
  const value: Listen = {
    host,
    port,
    ...(socket === undefined ? {} : { socket }),
    tls: tls === null ? null : { ...tls, ...NO_CERTIFICATES },
    behind: { ...spokenFor, host: 'same' },
  }
  return [...edges, { value, place, behindAt: place, decides: true }]
}

export function resolveListeners(
  listeners: readonly ListenerInput[],
  publicOrigins: readonly string[],
  loading: Loading,
): readonly (ListenPlaces & { readonly value: Listener })[] {
  const taken = new Set<string>()
  return listeners.flatMap(({ value, place, behindAt, decides }) => {
    const { host, port, tls } = value
    const address = value.socket ?? `${host} ${port}`
    const isFree = value.socket === undefined && port === 0
    const setting = value.socket === undefined ? 'port' : 'socket'
    if (!isFree && taken.has(address)) loading.findings.problem(under(place, setting), `another listener has this ${setting}`)
    taken.add(address)
    const behind = resolveBehind(value, { place, behindAt }, loading)
    const pair = tls === null ? null : readPair(tls, under(place, 'tls'), loading)
    const certificates =
      value.behind === undefined
        ? resolveClientCertificates(tls ?? NO_CERTIFICATES, under(place, 'tls'), loading)
        : resolveClientCertificates(certificatesOf(value.behind), behindAt, loading)
    const origins = chooseOrigins(value.origins, publicOrigins, { place: under(place, 'origins'), ...loading })
    if (tls !== null && pair === null) return []
    const socket = value.socket === undefined ? null : absolute({ value: value.socket, place })
    const { proxy_protocol = null } = value
    const resolved = { host, port, socket, tls: pair, proxy_protocol, behind, decides, ...certificates, origins }
    return [{ value: resolved, place, behindAt }]
  })
}

type ClientCertificates = Pick<NonNullable<Listen['tls']>, 'client_certificates' | 'client_ca' | 'crl'>

const NO_CERTIFICATES: ClientCertificates = { client_certificates: 'off', crl: [] }

/** The hop's own certificate is no client's. */
const certificatesOf = (behind: NonNullable<Listen['behind']>): ClientCertificates =>
  behind.certificate === 'none' ? { ...behind, client_certificates: 'off' } : behind

/** What a client's certificate is judged by, as it stands in the map at `at`. */
function resolveClientCertificates(certificates: ClientCertificates, at: Place, loading: Loading) {
  for (const [isBroken, setting, sentence] of certificateRules(certificates))
    if (isBroken) loading.findings.problem(under(at, setting), sentence)
  const { client_certificates, client_ca, crl: files } = certificates
  const ca = client_ca === undefined ? null : readCaFile({ value: client_ca, place: under(at, 'client_ca') }, loading)
  const crl = files.flatMap((file, i) => readCrlFile({ value: file, place: under(at, 'crl', i) }, loading))
  if (ca !== null && files.length > 0) demandEveryCrl(ca, crl, { place: under(at, 'crl'), ...loading })
  return { client_certificates, client_ca: ca, crl }
}

const certificateRules = ({ client_certificates, client_ca, crl }: ClientCertificates): readonly Rule[] => {
  const isPki = client_certificates === 'pki'
  return [
    [
      isPki && client_ca === undefined,
      'client_certificates',
      '`pki` needs `client_ca`: the CAs that client certificates chain to',
    ],
    [!isPki && client_ca !== undefined, 'client_ca', 'is read with `client_certificates: pki` only: say that, or leave it out'],
    [!isPki && crl.length > 0, 'crl', 'is read with `client_certificates: pki` only: say that, or leave it out'],
  ]
}

/** With one list missing, OpenSSL refuses every chain of that CA. */
function demandEveryCrl(ca: string, crl: readonly string[], { place, findings }: Loading & { place: Place }): void {
  const listed = crl.map((pem) => readCrl(pem)?.issuer)
  const missing = (readCertificates(ca) ?? []).filter((certificate) => !listed.includes(subjectOf(certificate) ?? ''))
  if (missing.length === 0) return
  // Node has no subject where it is empty, whatever its type says.
  const names = missing.map(({ subject }) => subject?.replaceAll('\n', ', ') ?? 'the CA without a name').join('; ')
  findings.problem(place, `has no list of ${names}: give one for each CA of \`client_ca\`, or none at all`)
}

/** An origin that no listener serves would be a promise that nothing keeps. */
export function demandEveryOrigin(listeners: Sections['listeners'], origins: readonly string[], at: Loading & { place: Place }) {
  // A listener that is wrong may be the one.
  if (listeners.length === 0 || listeners.some((one) => one?.value.origins === undefined)) return
  const served = listeners.flatMap((one) => one?.value.origins?.map(normalOrigin) ?? [])
  for (const [i, origin] of origins.entries())
    if (!served.includes(origin))
      at.findings.problem(under(at.place, i), 'no listener serves this origin: name it in the `origins` of one')
}

/** The origin of a page stands in `Origin` in normal form, so it is compared as it is. */
export function resolveCors(cors: NonNullable<Single['cors']>, place: Place, { findings }: Loading): Config['cors'] {
  const origins = cors.origins.flatMap((text, i) => {
    const origin = normalOrigin(text)
    if (origin !== null && (origin.startsWith('https://') || isLoopback(new URL(origin).hostname))) return [origin]
    findings.problem(
      under(place, 'origins', i),
      'expected the origin of a page without a path, such as https://app.example.com; http only on loopback, and no `*`',
    )
    return []
  })
  return { ...cors, origins }
}

export function resolveAdmin(admin: Single['admin'], place: Place, loading: Loading): Config['admin'] {
  const { host, port, tls } = admin
  return { host, port, tls: tls === undefined ? null : readPair(tls, under(place, 'tls'), loading) }
}
