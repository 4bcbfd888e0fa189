// With what does a client call, and where do its tokens come from? Key, proofs, token source and verified connections, as a client
// file says; shared by `holdfast client`, which uses them well, and `holdfast probe`, which uses them badly on purpose.

import { Agent } from 'undici'
import { type HeldKey, newKey, readKey } from './key.js'
import { type Prover, proverOf } from './proofs.js'
import type { ClientSettings } from './settings.js'
import { givenToken, requestedTokens, type TokenSource } from './tokens.js'

export type Credentials = {
  /** The DPoP key; null where tokens are bound to the certificate alone. */
  readonly key: HeldKey | null
  readonly prover: Prover | null
  readonly tokens: TokenSource
  /** Tokens of the same client, bound to another key; null where the token was given and no other can be asked for. */
  readonly tokensFor: ((key: HeldKey) => TokenSource) | null
  /** Connections to the gateway, with the certificate where there is one. */
  readonly gatewayAgent: Agent
  /** Connections to the authorization server. */
  readonly issuerAgent: Agent
  readonly close: () => Promise<void>
}

/** Throws a sentence when a key can't be used. Asks for no token yet. */
export function openCredentials(settings: ClientSettings): Credentials {
  const key = settings.dpop && (settings.dpop.key === null ? newKey() : usableKey(settings.dpop.key, 'key'))
  const prover = key && proverOf(key)
  const gatewayAgent = agentFor(settings, settings.tls.ca)
  const issuerAgent = agentFor(settings, settings.issuerCa)
  const tokensOf = (prover: Prover | null): TokenSource =>
    tokenSource(settings, { dispatcher: issuerAgent, prover, scheme: prover ? 'DPoP' : 'Bearer' })
  return {
    key,
    prover,
    tokens: tokensOf(prover),
    tokensFor: 'clientId' in settings.token && prover ? (key) => tokensOf(proverOf(key)) : null,
    gatewayAgent,
    issuerAgent,
    close: async () => {
      await Promise.all([gatewayAgent.close(), issuerAgent.close()])
    },
  }
}

/** Our own agent, never a default one: those of reply-from do not verify the gateway (CVE-2026-107318). */
const agentFor = ({ tls }: ClientSettings, ca: string | null): Agent =>
  new Agent({
    connect: {
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      ...(ca === null ? {} : { ca }),
      ...(tls.cert === null || tls.key === null ? {} : { cert: tls.cert, key: tls.key }),
    },
  })

type Sources = { dispatcher: Agent; prover: Prover | null; scheme: 'DPoP' | 'Bearer' }

function tokenSource({ token }: ClientSettings, { dispatcher, prover, scheme }: Sources): TokenSource {
  if (!('clientId' in token)) return givenToken(token, scheme)
  const clientKey = token.clientKey === null ? null : usableKey(token.clientKey, 'client_key')
  return requestedTokens(token, { dispatcher, prover, clientKey })
}

function usableKey(text: string, name: string): HeldKey {
  const key = readKey(text)
  if (typeof key === 'string') throw new Error(`${name}: ${key}`)
  return key
}
