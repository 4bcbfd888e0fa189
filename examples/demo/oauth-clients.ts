// The demo's OAuth clients, as real ones are written: oauth4webapi gets tokens, makes proofs and handles nonces. What a thief
// would do differently is not here but in attacks.ts.

import { randomUUID } from 'node:crypto'
import * as oauth from 'oauth4webapi'
import { Agent, type RequestInit, fetch as undiciFetch } from 'undici'

export type TlsMaterial = { readonly ca: string; readonly cert?: string; readonly key?: string }

/** A way out to the network: verifies the other side with our CA, and presents a certificate where one is given. */
export type Connection = {
  readonly fetch: (url: string, init: SendInit) => Promise<Response>
  readonly close: () => Promise<void>
}
export type SendInit = {
  readonly method: string
  readonly headers?: Record<string, string>
  readonly body?: oauth.ProtectedResourceRequestBody
}

export function connect(tls: TlsMaterial): Connection {
  const dispatcher = new Agent({ connect: { ...tls, rejectUnauthorized: true } })
  return {
    // undici's own fetch, because its dispatcher is the one that takes certificates; its Response is the same in all but type.
    fetch: async (url, init) => (await undiciFetch(url, { ...init, dispatcher } as RequestInit)) as unknown as Response,
    close: () => dispatcher.close(),
  }
}

export type OAuthClientSettings = {
  readonly issuer: string
  readonly clientId: string
  readonly connection: Connection
  /** private_key_jwt with this key; left out: the connection's certificate authenticates (RFC 8705 §2). */
  readonly authKey?: oauth.CryptoKey
  /** Sent with every token request (RFC 8707). */
  readonly resource: string
}

/** A token with the key it is bound to, where it is bound to one. */
export type HeldToken = {
  readonly text: string
  readonly keys: oauth.CryptoKeyPair | null
  readonly handle: oauth.DPoPHandle | null
}

export type OAuthClient = {
  /** Client credentials, for the client itself. */
  readonly ownToken: (scope: string, bound: 'dpop' | 'by the connection') => Promise<HeldToken>
  /** An authorization code flow with PKCE: `person` logs in where a browser would be. */
  readonly userToken: (scope: string, person: string, bound: 'dpop' | 'not') => Promise<HeldToken>
  /** One request with the token and, where it is bound to a key, a fresh proof; once more when a nonce is asked for. */
  readonly call: (token: HeldToken | null, method: string, url: string, body?: string) => Promise<Response>
}

export const REDIRECT_URI = 'https://portal.example/callback'

type Options = { [oauth.allowInsecureRequests]: true; [oauth.customFetch]: Connection['fetch'] }

export async function createOAuthClient(settings: OAuthClientSettings): Promise<OAuthClient> {
  // Plain http, because issuer and demo are on loopback.
  const options: Options = { [oauth.allowInsecureRequests]: true, [oauth.customFetch]: settings.connection.fetch }
  const issuer = new URL(settings.issuer)
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options))
  const client: oauth.Client = { client_id: settings.clientId, use_mtls_endpoint_aliases: settings.authKey === undefined }
  const authentication = settings.authKey ? oauth.PrivateKeyJwt(settings.authKey) : oauth.TlsClientAuth()

  const newKeys = async () => {
    const keys = await oauth.generateKeyPair('ES256')
    return { keys, handle: oauth.DPoP(client, keys) }
  }
  return {
    async ownToken(scope, bound) {
      const { keys, handle } = bound === 'dpop' ? await newKeys() : { keys: null, handle: null }
      const ask = async () => {
        const form = new URLSearchParams({ scope, resource: settings.resource })
        const more = handle ? { ...options, DPoP: handle } : options
        const response = await oauth.clientCredentialsGrantRequest(as, client, authentication, form, more)
        return oauth.processClientCredentialsResponse(as, client, response)
      }
      return { text: (await withNonce(ask)).access_token, keys, handle }
    },

    async userToken(scope, person, bound) {
      const { keys, handle } = bound === 'dpop' ? await newKeys() : { keys: null, handle: null }
      const verifier = oauth.generateRandomCodeVerifier()
      const state = randomUUID()
      const url = new URL(as.authorization_endpoint ?? '')
      url.search = new URLSearchParams({
        client_id: settings.clientId,
        redirect_uri: REDIRECT_URI,
        response_type: 'code',
        scope,
        resource: settings.resource,
        code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        state,
        login_hint: person,
      }).toString()
      const answer = oauth.validateAuthResponse(as, client, await browse(url), state)
      const ask = async () => {
        const more = { ...options, ...(handle ? { DPoP: handle } : {}), additionalParameters: { resource: settings.resource } }
        const response = await oauth.authorizationCodeGrantRequest(
          as,
          client,
          authentication,
          answer,
          REDIRECT_URI,
          verifier,
          more,
        )
        return oauth.processAuthorizationCodeResponse(as, client, response)
      }
      return { text: (await withNonce(ask)).access_token, keys, handle }
    },

    async call(token, method, url, body) {
      const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
      if (token === null) return settings.connection.fetch(url, { method, headers, body: body ?? null })
      const more = token.handle ? { ...options, DPoP: token.handle } : options
      const ask = () => oauth.protectedResourceRequest(token.text, method, new URL(url), new Headers(headers), body ?? null, more)
      try {
        return await withNonce(ask)
      } catch (error) {
        if (error instanceof oauth.WWWAuthenticateChallengeError) return error.response
        throw error
      }
    },
  }
}

/** The handle has kept the nonce that came with the error, so the same again is all it takes (RFC 9449 §8, §9). */
async function withNonce<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return ask()
  }
}

/** What a browser does in an authorization request: follows redirects and keeps cookies, up to the client's redirect URI. */
async function browse(start: URL): Promise<URL> {
  const cookies = new Map<string, string>()
  let url = start
  for (let hops = 0; hops < 10; hops++) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, { redirect: 'manual', headers: { cookie } })
    await response.body?.cancel()
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      cookies.set(name, value)
    }
    const location = response.headers.get('location')
    if (location === null) throw new Error(`the authorization server answered ${response.status} to ${url.pathname}`)
    url = new URL(location, url)
    if (url.href.startsWith(REDIRECT_URI)) return url
  }
  throw new Error('the authorization server redirects without end')
}
