// Fastify and @fastify/http-proxy as their documentation has them: TLS and proxying, nothing else. Started by peers.ts.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import httpProxy from '@fastify/http-proxy'
import Fastify from 'fastify'

const { root, port, upstream } = JSON.parse(process.argv[2] ?? '{}')
const read = (name: string): string => readFileSync(join(root, name), 'utf8')
const app = Fastify({ https: { key: read('server.key'), cert: read('server.crt') } })
app.register(httpProxy, { upstream, undici: { connections: 64 } })
await app.listen({ host: '127.0.0.1', port })
process.once('SIGTERM', () => process.exit(0))
