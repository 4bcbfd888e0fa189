// `holdfast client FILE`: the other side, for callers that can't make proofs themselves (contract §1). Reads FILE, starts the
// loopback listener of src/client/ and runs until SIGINT or SIGTERM.

import { resolve } from 'node:path'
import { startClient } from '../client/proxy.js'
import { readSettings } from '../client/settings.js'
import type { Command } from './command.js'

const HELP = `holdfast client FILE

Listens on loopback, holds a key or a certificate, gets access tokens and passes each request to the gateway
with the token, a fresh DPoP proof and the nonce that it was asked for. Callers (curl, old batch jobs, a person
trying things) need no key, no token and no OAuth: they call http://127.0.0.1:PORT/path.

Whoever can reach the listener uses your token. It is loopback only, refuses other Host names and web pages, and
never passes on the caller's own Authorization or DPoP header.

FILE is YAML; paths in it are relative to it:

  listen: { port: 8080 }            # host: 127.0.0.1 (default), ::1 or localhost; port 0 takes any free one
  gateway: https://api.example.com  # the public origin; its certificate is always verified
  tls:                              # left out: the system's CAs, no client certificate
    ca: ca.crt                      # the gateway's private CA
    cert: client.crt                # a client certificate and its key, for certificate-bound tokens (RFC 8705)
    key: client.key
  dpop: on                          # on (default) | off: tokens are bound to the certificate instead
  key: dpop.jwk                     # private JWK or PEM (P-256, Ed25519, RSA); left out: a new one at each start

 and where tokens come from, either given:

  token: eyJ...                     # or token_file: token.jwt, read again for each request

 or asked for, with client credentials, and renewed before they end:

  issuer: https://as.example.com    # its metadata is fetched; and / or token_endpoint: https://as.example.com/token
  issuer_ca: as-ca.crt              # left out: tls.ca; the word system: the system's CAs
  client_id: partner-1
  auth: private_key_jwt             # private_key_jwt | tls_client_auth
  client_key: client-auth.jwk       # of private_key_jwt; its kid is sent
  scope: payments
  resource: https://api.example.com # RFC 8707; audience: where the server wants that instead

A request is sent a second time only when the gateway answers use_dpop_nonce and the body is at most 1 MiB; the
nonce is remembered, so a larger body gets through when its caller sends it again.
`

export const client: Command = {
  name: 'client',
  summary: 'pass requests of this machine to the gateway with a token and a fresh proof each',
  help: HELP,
  async run(args, io) {
    const [file, ...rest] = args
    if (file === undefined || rest.length > 0 || file.startsWith('-')) {
      io.err('holdfast client: expected one FILE')
      io.err('try: holdfast client --help')
      return 2
    }
    const settings = readSettings(resolve(io.cwd, file))
    if ('problems' in settings) {
      for (const line of settings.problems) io.err(line)
      return 1
    }
    try {
      const running = await startClient({ settings, report: (line) => io.err(line) })
      io.out(`holdfast client passes ${running.address} on to ${settings.gateway}; stop it with Ctrl-C`)
      await untilSignal()
      await running.close()
      return 0
    } catch (error) {
      io.err(`holdfast client: cannot start: ${startProblem(error, settings.listen?.port)}`)
      return 1
    }
  },
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once, as usual. */
const untilSignal = (): Promise<void> =>
  new Promise((resolve) => {
    const stop = () => {
      process.off('SIGINT', stop)
      process.off('SIGTERM', stop)
      resolve()
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
  })

function startProblem(error: unknown, port: number | undefined): string {
  const code = error instanceof Error && 'code' in error ? error.code : null
  if (code === 'EADDRINUSE') return `port ${port} is in use; change listen.port in FILE`
  if (code === 'EACCES') return `port ${port} needs more rights; use one above 1023 in listen.port`
  return error instanceof Error ? error.message : 'unknown problem'
}
