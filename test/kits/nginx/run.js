// Puts requests to an nginx with the kit, as test/kits/harness.ts describes, on one connection.
import { Agent, request as ask, createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { startNginx } from './nginx.js'

const agent = new Agent({ keepAlive: true, maxSockets: 1 })
const app = createServer((request, response) => request.resume().on('end', () => response.end())).listen(0, '127.0.0.1')
let nginx
let now

const send = ({ method, target, headers, body }, { tiers, bindings, body_digest, audience }) =>
  new Promise((resolve, reject) => {
    const options = { tiers: tiers ?? [], bindings: bindings ?? [] }
    const lines = [
      ...headers.flat(),
      ...['X-Now', String(now), 'X-Audience', audience, 'X-Digest', body_digest ? 'on' : 'off'],
      ...['X-Tiers', options.tiers.join(' '), 'X-Bindings', options.bindings.join(' ')],
    ]
    const asked = ask({ port: nginx.port, host: '127.0.0.1', agent, method, path: target, headers: lines }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode))
    })
    asked.on('error', reject).end(Buffer.from(body, 'base64'))
  })

for await (const line of createInterface({ input: process.stdin })) {
  const said = JSON.parse(line)
  if (said.jwks_url !== undefined) {
    nginx = await startNginx({
      ...said,
      behind: `127.0.0.1:${app.address().port}`,
      changes: {
        'holdfast_audience payments;': 'holdfast_audience $http_x_audience;',
        '"sensitive_read high_value";': '$http_x_tiers;',
        '"dpop mtls";': '$http_x_bindings;',
        'holdfast_body_digest on;': 'holdfast_body_digest $http_x_digest;',
        'proxy_cache_valid 200 30s;': 'proxy_cache_valid 200 1s;',
      },
    })
  } else if (said.now !== undefined) now = said.now
  else process.stdout.write(`${JSON.stringify([await send(said.request, said.options)])}\n`)
}
process.exit()
