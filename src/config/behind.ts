// The proxy that ends TLS before us (contract §10): who it is, and what it is believed. What would let anyone else speak for clients is
// a problem of the configuration, with its line.

import { readTarget } from '../verify/target.js'
import type { Route } from '../verify/types.js'
import type { Behind, Listener } from './config.js'
import { isLoopback } from './fields.js'
import { absolute, readCaFile } from './files.js'
import type { Loading, Rule } from './loading.js'
import type { Listen } from './schema.js'
import { isWritten, type Place, under } from './source.js'

/** Where a listener stands, and where what it says of its hop does. */
export type ListenPlaces = { readonly place: Place; readonly behindAt: Place }

const placeOf = (setting: string, { place, behindAt }: ListenPlaces): Place => {
  const [first, ...inner] = setting.split('.')
  return first === 'behind' ? under(behindAt, ...inner) : under(place, ...setting.split('.'))
}

/** null: we are the edge; or something is wrong with it, and that was reported. */
export function resolveBehind(listen: Listen, places: ListenPlaces, loading: Loading): Behind | null {
  const { place, behindAt } = places
  for (const [isBroken, setting, sentence] of [...socketRules(listen, place), ...hopRules(listen, behindAt)])
    if (isBroken) loading.findings.problem(placeOf(setting, places), sentence)
  if (listen.behind === undefined) return null
  const { hop, certificate, address, host, removed_prefix = '' } = listen.behind
  const said = { certificate, address, host, removed_prefix }
  if (typeof hop === 'string') return { hop, ...said }
  const ca = readCaFile({ value: hop.ca, place: under(behindAt, 'hop', 'ca') }, loading)
  return ca === null ? null : { hop: { ca, names: hop.names }, ...said }
}

/** What the kernel takes as the path of a socket, in bytes, its final NUL not counted. */
const SOCKET_PATH = 107

const socketRules = ({ socket, tls, proxy_protocol, behind }: Listen, place: Place): readonly Rule[] => [
  [
    socket !== undefined && (isWritten(under(place, 'host')) || isWritten(under(place, 'port'))),
    'socket',
    'stands in place of `host` and `port`: leave these out, or the socket',
  ],
  [
    socket !== undefined && Buffer.byteLength(absolute({ value: socket, place })) > SOCKET_PATH,
    'socket',
    `a socket has a path of ${SOCKET_PATH} bytes or fewer`,
  ],
  [socket !== undefined && tls !== null, 'tls', 'a socket is served without TLS: say `off`'],
  [
    proxy_protocol !== undefined && (socket !== undefined || behind !== undefined),
    'proxy_protocol',
    'is for where TLS ends here: behind a proxy that ends it, `behind.address` says who the client is',
  ],
  [
    tls === null && behind === undefined,
    'tls',
    'may be `off` only with `behind`: someone must end TLS, and only a named proxy may say who is a client',
  ],
]

/** How it is known that a connection is the hop's must be possible on this listener, and must leave nobody else in. */
function hopRules({ host, socket, tls, behind }: Listen, behindAt: Place): readonly Rule[] {
  if (behind === undefined) return []
  const { hop, certificate, removed_prefix: prefix } = behind
  return [
    [
      tls === null && socket === undefined && !isLoopback(host),
      'tls',
      'may be `off` only on loopback or a socket: everyone on this network could speak for clients',
    ],
    [
      tls !== null && tls.client_certificates !== 'off',
      'tls.client_certificates',
      'in a handshake behind a proxy it is the proxy that shows a certificate: say it in `behind`',
    ],
    [hop === 'socket' && socket === undefined, 'behind.hop', '`socket` needs `socket`: the path to listen on'],
    [hop === 'loopback' && socket !== undefined, 'behind.hop', 'whoever opens a socket has no address: say `socket`'],
    [
      typeof hop !== 'string' && tls === null,
      'behind.hop',
      'a certificate is shown in a handshake: give `tls` a key and a certificate',
    ],
    [
      certificate !== 'none' && hop === 'loopback',
      'behind.certificate',
      'certificates are public, and every container of a pod shares loopback: take a socket, or a hop with a certificate',
    ],
    [
      certificate === 'none' && isWritten(under(behindAt, 'client_certificates')),
      'behind.client_certificates',
      'is read where the hop passes certificates on: say how in `certificate`, or leave it out',
    ],
    [
      prefix !== undefined && (prefix.endsWith('/') || readTarget(prefix, 'https://localhost')?.path !== prefix),
      'behind.removed_prefix',
      'expected a path in normal form, such as /svc2',
    ],
  ]
}

/** Without it all clients would share one limit. */
export function demandAddresses(
  listeners: readonly (ListenPlaces & { readonly value: Listener })[],
  routes: readonly Route[],
  { findings }: Loading,
): void {
  for (const { value, behindAt } of listeners) {
    if (value.behind?.address !== 'none') continue
    const limited = routes.find((route) => isLimitedByAddress(route) && route.origins.some((one) => value.origins.includes(one)))
    if (limited !== undefined)
      findings.problem(
        under(behindAt, 'address'),
        `${limited.path} has a \`rate_limit\` by address: say where the hop names the client’s, or limit that tier otherwise`,
      )
  }
}

const isLimitedByAddress = ({ policy: { rate_limit: limit, token } }: Route): boolean =>
  limit !== null && (limit.by ?? (token === 'none' ? 'address' : 'client')) === 'address'
