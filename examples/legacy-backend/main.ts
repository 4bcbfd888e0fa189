// Runs the legacy backend by itself, with the addresses of the repository's routes.yaml unless the environment says otherwise.

import { startBackend } from './server.js'

const { env } = process
const server = await startBackend({
  host: env.HOST ?? '127.0.0.1',
  port: Number(env.PORT ?? 9300),
  jwksUrl: env.JWKS_URL ?? 'http://127.0.0.1:9090/.well-known/jwks.json',
  issuer: env.ASSERTION_ISSUER ?? 'https://localhost:8443',
  audience: env.ASSERTION_AUDIENCE ?? 'cases',
  header: (env.ASSERTION_HEADER ?? 'Holdfast-Assertion').toLowerCase(),
})
console.log('legacy backend listens; stop it with Ctrl-C')
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close()
    server.closeAllConnections()
  })
}
