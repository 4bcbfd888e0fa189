// The pods of deploy/, served for real: probes, proven requests, an end within the time that the pod is given.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { ROOT, renderedFile } from '../../scripts/chart.js'
import { issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { makePlace } from '../support/fleet.js'
import { type Cluster, makeCluster, type Pod, startPod } from '../support/pod.js'

const JWKS = JSON.stringify({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] })
const timeout = 120_000

async function endsInTime(t: Test, pod: Pod): Promise<void> {
  const { code, share } = await pod.end()
  t.equal(code, 0, pod.said())
  t.ok(share < 1, 'before the kubelet would kill it')
}

const SIDECARS = [
  { name: 'the chart', file: renderedFile('sidecar'), host: 'api.example.com' },
  { name: 'deploy/kubernetes/sidecar.yaml', file: join(ROOT, 'deploy', 'kubernetes', 'sidecar.yaml'), host: 'cases.example.com' },
]

for (const { name, file, host } of SIDECARS) {
  t.test(`as a sidecar, by ${name}`, { timeout }, async (t) => {
    const { upstream } = await makePlace(t)
    const { port: backend } = upstream.address() as AddressInfo
    const cluster = await makeCluster(t, host)
    const pod = await startPod(t, {
      ...{ cluster, file, host, jwks: JWKS },
      replacements: ({ port }) => [
        [/listen: \{ (port: \d+, )?/, `listen: { host: 127.0.0.1, port: ${port}, `],
        [/audience: \S+/, 'audience: https://api.example.com, jwks_file: issuer.jwks'],
        [/http:\/\/127.0.0.1:8080/, `http://127.0.0.1:${backend}`],
      ],
    })
    t.ok(await pod.passes('livenessProbe'))
    t.same(await pod.degraded(), [], 'Redis is reached with its CA and password')
    const request = printDraft(makeDraft({ host, path: '/cases/7' }))
    t.match(await pod.send(request), { status: 200, body: 'done' })
    t.match(await pod.send(request), { status: 401, body: /proof_replayed/ })
    await endsInTime(t, pod)
  })
}

/** An HTTPS server on loopback; its port. */
async function listen(t: Test, { server, ca }: Cluster, asksClients: boolean, answer: RequestListener): Promise<number> {
  const clients = { requestCert: asksClients, rejectUnauthorized: asksClients, ca: ca.cert }
  const listener = createServer({ key: server.key, cert: server.cert, ...clients }, answer).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.teardown(() => {
    listener.closeAllConnections()
    listener.close()
  })
  return (listener.address() as AddressInfo).port
}

t.test('as an ingress, by the chart', { timeout }, async (t) => {
  const host = 'api.example.com'
  const cluster = await makeCluster(t, host)
  /** Events that were on disk when the backend was asked. */
  let written = ''
  let audit = ''
  let shown = ''
  const issuer = await listen(t, cluster, false, (_, response) => response.end(JWKS))
  const backend = await listen(t, cluster, true, (request, response) => {
    shown = String((request.socket as TLSSocket).getPeerCertificate().subject.CN)
    written = readFileSync(audit, 'utf8')
    response.end('paid')
  })
  const pod = await startPod(t, {
    ...{ cluster, file: renderedFile('ingress'), host, jwks: '' },
    replacements: ({ port, folder }) => {
      audit = join(folder, 'audit.jsonl')
      return [
        [/listen:\n/, `listen:\n  host: 127.0.0.1\n  port: ${port}\n`],
        [/https:\/\/as.example.com\/jwks/, `https://localhost:${issuer}/jwks`],
        [/https:\/\/cases.legacy.svc:8443/, `https://localhost:${backend}`],
        [/\/var\/log\/holdfast\/audit.jsonl/, audit],
        [/$/, '\nworkers: 1\n'],
      ]
    },
  })
  t.same(await pod.degraded(), [], 'issuer and Redis are reached by their CAs')
  const payment = (nonce?: string) => {
    const draft = makeDraft({ host, path: '/payments', method: 'POST', ...(nonce === undefined ? {} : { nonce }) })
    draft.body = Buffer.from('{"amount":1}')
    return printDraft(draft)
  }
  const asked = await pod.send(payment())
  t.match(asked, { status: 401, body: /nonce_missing/ })
  t.match(await pod.send(payment(asked.header('dpop-nonce'))), { status: 200, body: 'paid' })
  t.equal(shown, 'gateway', 'the gateway has shown its certificate')
  t.match(written, /"decision":"permit".*"path":"\/payments"/, 'the event was on the disk before')
  await endsInTime(t, pod)
})
