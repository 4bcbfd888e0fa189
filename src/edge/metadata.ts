// What does this resource tell of itself? RFC 9728 protected resource metadata, built from the routes and so never at odds with
// what is enforced, and the keys of our assertions. One document an origin; path-suffixed ones do not exist (contract §4 C11).

import type { Config } from '../config/config.js'
import { algNames, TOKEN_ALGORITHMS } from '../verify/signatures.js'
import type { Route } from '../verify/types.js'

export const METADATA_PATH = '/.well-known/oauth-protected-resource'
export const JWKS_PATH = '/.well-known/holdfast-jwks.json'

/** The documents of one origin, by path: [media type, text]. */
export type Documents = ReadonlyMap<string, readonly [type: string, print: () => string]>

/** The documents of every public origin: metadata is printed once for a configuration, keys whenever they are asked for. */
export function publicDocuments(config: Config, jwks: () => object): ReadonlyMap<string, Documents> {
  const keys = (): string => JSON.stringify(jwks())
  const documents = new Map<string, Documents>()
  for (const origin of config.publicOrigins) {
    const metadata = JSON.stringify(resourceMetadata(config, origin))
    documents.set(
      origin,
      new Map([
        [METADATA_PATH, ['application/json', () => metadata]],
        [JWKS_PATH, ['application/jwk-set+json', keys]],
      ]),
    )
  }
  return documents
}

/** RFC 9728 §2; members without value are left out (§3.2). */
function resourceMetadata(config: Config, origin: string): object {
  const routes = config.routes.filter((route) => route.origins.includes(origin) && route.policy.token === 'required')
  const demands = (bindings: readonly string[]) => (route: Route) => bindings.includes(route.policy.binding)
  const proofAlgorithms = unique(routes.flatMap((route) => route.policy.proof_algorithms))
  return {
    resource: origin,
    ...list('authorization_servers', unique(routes.flatMap((route) => route.policy.trustedIssuers.map(({ issuer }) => issuer)))),
    ...list('scopes_supported', unique(routes.flatMap((route) => route.policy.scopes ?? []))),
    bearer_methods_supported: ['header'],
    ...list('dpop_signing_alg_values_supported', algNames(TOKEN_ALGORITHMS.filter((name) => proofAlgorithms.includes(name)))),
    dpop_bound_access_tokens_required: routes.length > 0 && routes.every(demands(['dpop', 'both'])),
    tls_client_certificate_bound_access_tokens: config.listeners.some(
      (listener) => listener.client_certificates !== 'off' && listener.origins.includes(origin),
    ),
  }
}

const unique = <T>(values: readonly T[]): readonly T[] => [...new Set(values)]
const list = (name: string, values: readonly string[]) => (values.length === 0 ? {} : { [name]: values })
