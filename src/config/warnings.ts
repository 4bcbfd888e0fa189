// What works, but is weaker than it looks: told by `holdfast check`, each with what to do about it. Nothing here stops a gateway.

import { X509Certificate } from 'node:crypto'
import type { Route } from '../verify/types.js'
import type { Config, Listener } from './config.js'
import { readCrl } from './crl.js'
import { isLoopback } from './fields.js'
import type { Loading } from './loading.js'
import { servedMethods } from './matcher.js'
import { type Place, positionOf, under } from './source.js'

/** Where the parts of a Config were written; `routes` beside those of the Config. */
export type Places = { readonly main: Place; readonly routes: readonly Place[] }

type Warn = (place: Place, sentence: string) => void
type Subject = { readonly config: Config; readonly places: Places; readonly warn: Warn }

export function warn(config: Config, places: Places, { findings }: Loading): void {
  const subject: Subject = { config, places, warn: (place, sentence) => findings.warning(place, sentence) }
  warnOfListeners(subject)
  warnOfState(subject)
  warnOfIssuers(subject)
  warnOfUpstreams(subject)
  warnOfPdps(subject)
  warnOfClients(subject)
  for (const [i, route] of config.routes.entries()) {
    const place = places.routes[i]
    if (place === undefined) continue
    warnOfRoute(route, place, subject)
    warnOfShadow(route, place, subject)
  }
}

const isDurable = ({ policy }: Route): boolean => policy.audit === 'durable'
const demandsNonce = ({ policy }: Route): boolean => policy.token === 'required' && policy.nonce === 'required'

function warnOfListeners({ config, places, warn }: Subject): void {
  const { main } = places
  for (const [i, listener] of config.listeners.entries()) {
    const isList = main.source.document.getIn(['listen', i]) !== undefined
    const at = listener.decides ? under(main, 'decision_api') : isList ? under(main, 'listen', i) : under(main, 'listen')
    const behindAt = listener.decides ? at : under(at, 'behind')
    for (const sentence of certificateWarnings(listener)) warn(under(at, 'tls', 'cert'), sentence)
    if (listener.behind?.hop === 'loopback')
      warn(
        under(behindAt, 'hop'),
        'whoever runs on this machine, or in this pod, can speak for clients: take a socket, which has permissions',
      )
    const ended = listener.crl.some((pem) => (readCrl(pem)?.nextUpdate ?? Number.POSITIVE_INFINITY) * 1000 < Date.now())
    if (ended)
      warn(
        under(listener.behind === null ? under(at, 'tls') : behindAt, 'crl'),
        'a list is past its nextUpdate: every certificate of its CA is refused until there is a newer one',
      )
  }
  if (!isLoopback(config.admin.host))
    warn(
      under(main, 'admin', 'host'),
      'others can reach the admin listener: say 127.0.0.1, or keep this network for operators alone',
    )
}

function certificateWarnings({ tls, behind, origins }: Listener): readonly string[] {
  if (tls === null) return []
  const certificate = new X509Certificate(tls.cert)
  // A hop connects by another name than clients.
  const foreign = behind !== null ? [] : origins.filter((origin) => !isFor(certificate, new URL(origin).hostname))
  const ended = Date.parse(certificate.validTo) < Date.now()
  return [
    ...(ended ? ['the certificate has ended: get a new one'] : []),
    ...(foreign.length > 0 ? [`the certificate is not for ${foreign.join(', ')}: clients will refuse it there`] : []),
  ]
}

function isFor(certificate: X509Certificate, host: string): boolean {
  const isAddress = /^(\[.*\]|[\d.]+)$/.test(host)
  return (isAddress ? certificate.checkIP(host.replace(/^\[|\]$/g, '')) : certificate.checkHost(host)) !== undefined
}

function warnOfState({ config, places, warn }: Subject): void {
  const at = (...path: readonly string[]) => under(places.main, ...path)
  if (config.replay.store === 'memory' && config.routes.some(({ policy }) => policy.token === 'required'))
    warn(
      at('replay', 'store'),
      'used proofs are remembered by one process, until it ends: use redis for replicas, or a restart within `proof_max_age`',
    )
  if (config.nonceSecrets.length === 0 && config.routes.some(demandsNonce))
    warn(
      at('dpop', 'nonce_secret'),
      'made anew at each start: set it where there are replicas, or each refuses the nonces of the others',
    )
  if (config.audit.file === null && config.audit.stream === null && config.routes.some(isDurable))
    warn(
      at('audit', 'file'),
      '`audit: durable` is then written to standard output, without knowing that it is on disk: name a file, or a stream',
    )
  const { tracing } = config
  if (tracing?.otlp.startsWith('http:') && !isLoopback(new URL(tracing.otlp).hostname))
    warn(at('tracing', 'otlp'), 'traces travel in plaintext: use https, or a collector on this machine')
}

function warnOfIssuers({ config, places, warn }: Subject): void {
  for (const [i, { issuer, keys, introspection }] of config.issuers.entries()) {
    const url = keys.from === 'uri' ? keys.uri : keys.from === 'discovery' ? issuer : ''
    const setting = keys.from === 'uri' ? 'jwks_uri' : 'issuer'
    if (url.startsWith('http:'))
      warn(
        under(places.main, 'issuers', i, setting),
        'keys come over plain http: good for development on this machine, https for everything else',
      )
    if (introspection?.endpoint?.startsWith('http:'))
      warn(
        under(places.main, 'issuers', i, 'introspection', 'endpoint'),
        'tokens are sent there over plain http: good for development on this machine, https for everything else',
      )
  }
}

function warnOfUpstreams({ config, places, warn }: Subject): void {
  for (const upstream of config.upstreams) {
    const at = (setting: string) => under(places.main, 'upstreams', upstream.name, setting)
    const isPlain = upstream.url.protocol === 'http:' && !isLoopback(upstream.url.hostname)
    const isHigh = config.routes.some((route) => route.upstream === upstream && isDurable(route))
    if (isPlain && isHigh)
      warn(at('url'), 'plaintext behind a tier with `audit: durable`: whoever is in between reads and changes it; use https')
    if (isPlain && Object.keys(upstream.set_headers).length > 0)
      warn(
        at('set_headers'),
        'what the upstream trusts travels in plaintext: use https, and let it take connections of the gateway only',
      )
    if (upstream.pass_token)
      warn(at('pass_token'), 'the upstream could use the token elsewhere: let it verify the assertion instead')
  }
}

function warnOfPdps({ config, places, warn }: Subject): void {
  for (const { name, url, authorization, tls } of config.pdps) {
    const at = under(places.main, 'pdps', name)
    if (url.startsWith('http:'))
      warn(
        under(at, 'url'),
        'whoever is in between says who may do what: http is good for a process on this machine, https for everything else',
      )
    else if (authorization === null && tls.cert === undefined)
      warn(at, 'it does not know who asks: give it `authorization`, or a client certificate in `tls`')
    if (!config.routes.some(({ decision }) => decision?.pdp === name)) warn(at, 'no route asks it')
  }
}

const isForAnyClient = ({ policy }: Route): boolean => policy.token === 'required' && policy.clients === null

function warnOfClients({ config, places, warn }: Subject): void {
  const { clients, routes, listeners } = config
  const high = places.routes[routes.findIndex((route) => isForAnyClient(route) && isDurable(route))]
  if (clients === null && high !== undefined)
    warn(
      under(high, 'tier'),
      'every client of the issuer that gets the scope may use this: register those that should in `clients` (docs/clients.md)',
    )
  const isNamed =
    clients?.some(({ certificates = {} }) => Object.keys(certificates).some((way) => way.startsWith('tls_'))) ?? false
  if (isNamed && !listeners.some(({ client_certificates }) => client_certificates === 'pki'))
    warn(
      under(places.main, 'clients'),
      'some are known by names in certificates, which no listener judges: set `client_certificates: pki`, or register thumbprints',
    )
}

const WRITING = ['POST', 'PUT', 'PATCH', 'DELETE']

function warnOfRoute(route: Route, place: Place, { config, warn }: Subject): void {
  const { policy, methods } = route
  const written = methods.filter((method) => WRITING.includes(method))
  if (written.length > 0 && policy.binding === 'none')
    warn(
      under(place, 'tier'),
      policy.token === 'none'
        ? `${written.join(', ')} without any token: take a tier with \`binding: any\`, unless everyone may write here`
        : `${written.join(', ')} with an unbound token, which works for whoever stole it: take a tier with \`binding: any\``,
    )
  if (policy.token === 'none') return
  const asksNobody = !config.listeners.some(
    ({ client_certificates, origins }) =>
      client_certificates !== 'off' && origins.some((origin) => route.origins.includes(origin)),
  )
  if (asksNobody && (policy.binding === 'mtls' || policy.binding === 'both'))
    warn(under(place, 'tier'), 'demands a client certificate, and no listener asks for one: set `client_certificates`')
  const { trustedIssuers, token_algorithms } = policy
  for (const { issuer, algorithms } of trustedIssuers) {
    if (!algorithms.some((algorithm) => token_algorithms.some((one) => one === algorithm)))
      warn(under(place, 'tier'), `its \`token_algorithms\` and those of ${issuer} have none in common: every token is refused`)
  }
  if (policy.token_max_ttl === null && policy.nonce === 'off')
    warn(under(place, 'tier'), 'neither `token_max_ttl` nor `nonce` limits how long a stolen key can be of use: set one of them')
  if (policy.report_only_until !== null && policy.report_only_until * 1000 <= Date.now())
    warn(under(place, 'tier'), '`report_only_until` is over, and what it covered is enforced: take it out')
}

const STRENGTH = { none: 0, any: 1, dpop: 2, mtls: 2, both: 3 } as const

/** Does `route` demand less of a caller than `other`? */
function isLaxer({ policy: a }: Route, { policy: b }: Route): boolean {
  if (a.token === 'none' || b.token === 'none') return a.token === 'none' && b.token !== 'none'
  if (STRENGTH[a.binding] < STRENGTH[b.binding]) return true
  return (a.step_up === 'off' && b.step_up === 'required') || (a.nonce === 'off' && b.nonce === 'required')
}

/** A lax route beside a strict one takes what differs from the strict path in a way that many backends don't see. */
function warnOfShadow(strict: Route, place: Place, { config, places, warn }: Subject): void {
  for (const { origin, path, method } of lookalikes(strict)) {
    const match = config.match(origin, path, method)
    if (match === 'unknown' || !('route' in match) || !isOpen(match.route) || !isLaxer(match.route, strict)) continue
    if (match.route.upstream.url.origin !== strict.upstream.url.origin) continue
    const lax = places.routes[config.routes.indexOf(match.route)]
    if (lax === undefined) continue
    const { line } = positionOf(place)
    warn(
      under(lax, 'path'),
      `also takes ${path}, which the stricter route ${strict.path} (${place.source.file}:${line}) does not: if the upstream takes both for the same, make this path narrower (or set \`case_insensitive\` there, where it is about case)`,
    )
    // One is enough to see what is meant.
    return
  }
}

/** Does it take paths that are not written out? */
const isOpen = ({ path }: Route): boolean => /\/:|\/\*$/.test(path)

const FILLING = 'x'

/** Requests for the paths of a route with a slash more or less, and with one segment in other case. */
function* lookalikes({ path, methods, origins, upstream }: Route) {
  const segments = path.split('/').map((segment) => (segment.startsWith(':') || segment === '*' ? FILLING : segment))
  const filled = segments.join('/')
  const slash = filled.endsWith('/') ? filled.slice(0, -1) : `${filled}/`
  const cases = upstream.case_insensitive
    ? []
    : segments.flatMap((_, i) => [inCase(segments, i, upper), inCase(segments, i, lower)])
  for (const origin of origins)
    for (const method of servedMethods(methods))
      for (const other of [slash, ...cases]) if (other !== filled && other !== '') yield { origin, path: other, method }
}

const upper = (text: string): string => text.toUpperCase()
const lower = (text: string): string => text.toLowerCase()

/** Escapes keep their case: they are in normal form. */
const inCase = (segments: readonly string[], at: number, change: (text: string) => string): string =>
  segments
    .map((segment, i) =>
      i === at && segment !== FILLING
        ? segment.replace(/%[0-9A-F]{2}|[^%]+/g, (part) => (part.startsWith('%') ? part : change(part)))
        : segment,
    )
    .join('/')
