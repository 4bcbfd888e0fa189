// The proven request, asked about by another proxy instead of sent through us.

import { measure } from '../load.js'
import { freePort, hasEnvoy, hasNginx, startAskingEnvoy, startAskingNginx } from '../peers.js'
import { makeClient } from '../requests.js'
import { type Contender, LOAD_COLUMNS, NODE_WARM_UP, type Scenario } from '../scenario.js'
import { asked, CONNECTIONS, provenRequests } from './loads.js'

export const decisions: Scenario = {
  name: 'decisions',
  title: 'The decision API',
  about:
    'The proven request proxied by us; the same as a question to `/auth-request`, over plain HTTP on loopback as a proxy asks it; sent to Envoy, which asks by gRPC, and of which our own share is shown; and sent to nginx, which asks that question and passes the request on (`auth_request`).',
  reading: `**nginx and its question** is what nginx and Holdfast use together for one request: TLS ends there, and two processes speak HTTP about it. Half of **question by gRPC** is spent in the library of gRPC:
answered on Node's HTTP/2 alone it came to 1.1 of **proxied** (docs/decisions.md). Where that CPU counts, let Envoy ask by HTTP.`,
  columns: LOAD_COLUMNS,
  isDefault: true,
  async open(place, skip) {
    const client = makeClient('client-1')
    const ask = (origin: string) => ({ requests: provenRequests(place, client, `${origin}/unheld`) })
    const contenders: Contender[] = []
    if (!hasNginx()) skip('nginx is left out: the package nginx is not installed')
    if (!hasEnvoy()) skip('Envoy is left out: npm run bench finds none (node scripts/prepare.mjs --peers)')
    for (const variant of place.variants) {
      const [nginxPort, envoyPort] = [await freePort(), await freePort()]
      const server = await place.holdfast(variant, { decidesFor: [nginxPort, envoyPort] })
      contenders.push(asked(place, `proxied${variant.label}`, server, '/unheld', ask), {
        name: `question${variant.label}`,
        warmUp: NODE_WARM_UP,
        measure: () => {
          const url = `https://localhost:${server.port}/unheld`
          return measure({
            url: `http://127.0.0.1:${server.decisionPort}/auth-request`,
            folder: place.folder(),
            seconds: place.seconds,
            connections: CONNECTIONS,
            expect: 200,
            pid: server.pid,
            headers: { 'X-Original-Method': 'GET', 'X-Original-URL': url },
            requests: provenRequests(place, client, url),
          })
        },
      })
      const ports = { upstream: place.upstreamPort, decisions: server.decisionPort }
      if (hasEnvoy()) {
        const envoy = place.keep(await startAskingEnvoy(place.root, envoyPort, ports))
        const ours = { ...envoy, pid: server.pid }
        contenders.push(asked(place, `question by gRPC${variant.label}`, ours, '/unheld', ask))
      }
      if (!hasNginx()) continue
      const nginx = place.keep(await startAskingNginx(place.root, nginxPort, ports))
      const both = { ...nginx, pid: [nginx.pid, server.pid] }
      contenders.push(asked(place, `nginx and its question${variant.label}`, both, '/unheld', ask))
    }
    return contenders
  },
}
