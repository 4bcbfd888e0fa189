// deploy/kubernetes/behind: each routes.yaml is one that `check` has nothing against and that believes the named hop alone, and what stands beside it
// leads to the gateway by mutual TLS, with certificates that are replaced and paths that are not. No cluster: that the formats are read as nginx and
// Envoy write them is for the journeys.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { checkConfig } from '../../src/config/load.js'
import { makeAssertionKey } from '../support/certificates.js'
import { makeCa, makeServer } from '../support/certs.js'

const FOLDER = join(import.meta.dirname, '..', '..', '..', 'deploy', 'kubernetes', 'behind')
const read = (name: string): string => readFileSync(join(FOLDER, name), 'utf8')

type Document = {
  readonly kind: string
  readonly metadata: { readonly annotations?: Record<string, string> }
  readonly spec: object
}
const documents = (name: string): readonly Document[] =>
  parseAllDocuments(read(name)).map((document) => {
    if ('errors' in document && document.errors.length > 0) throw document.errors[0]
    return document.toJS() as Document
  })

const ca = await makeCa('CA of all')
const server = await makeServer(ca, ['holdfast.edge.svc'])
const BROUGHT = {
  ...Object.fromEntries(
    ['server', 'gateway'].flatMap((name) => [
      [`certs/${name}.crt`, server.cert],
      [`certs/${name}.key`, server.key],
    ]),
  ),
  ...Object.fromEntries(['hops-ca', 'client-ca', 'redis-ca', 'legacy-ca'].map((name) => [`certs/${name}.crt`, ca.cert])),
  'certs/assertion.key': makeAssertionKey(),
  'secrets/redis': 'password-of-redis\n',
}

for (const [name, format] of [
  ['ingress-nginx', 'nginx'],
  ['istio', 'xfcc'],
] as const)
  t.test(`${name}: its routes.yaml`, async (t) => {
    const folder = t.testdir({ 'routes.yaml': read(`routes-${name}.yaml`) })
    for (const [path, text] of Object.entries(BROUGHT)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), text)
    }
    const { config, problems, warnings } = checkConfig(join(folder, 'routes.yaml'), {})
    t.strictSame(problems, [])
    t.strictSame(
      warnings.map(({ path }) => path),
      ['admin.host'],
      'which the chart’s NetworkPolicy is for',
    )
    const [listener, ...others] = config?.listeners ?? []
    t.strictSame(others, [])
    t.match(listener, {
      tls: { cert: server.cert },
      client_certificates: 'pki',
      behind: { certificate: format, address: 'forwarded_for', host: 'same', hop: { names: ['ingress.internal'] } },
    })
  })

t.test('ingress-nginx: verified on both sides, certificates replaced, nothing rewritten or sent twice', async (t) => {
  const [ingress, ...others] = documents('ingress-nginx.yaml')
  t.strictSame(others, [])
  const said = Object.fromEntries(
    Object.entries(ingress?.metadata.annotations ?? {}).map(([name, value]) => [
      name.replace('nginx.ingress.kubernetes.io/', ''),
      value,
    ]),
  )
  t.match(said, {
    'backend-protocol': 'HTTPS',
    'proxy-ssl-verify': 'on',
    'proxy-ssl-name': 'holdfast.edge.svc',
    'auth-tls-verify-client': 'optional',
    'auth-tls-pass-certificate-to-upstream': 'true',
    'proxy-next-upstream': 'off',
  })
  for (const name of Object.keys(said)) t.notMatch(name, /snippet|rewrite|x-forwarded-prefix/)
  t.match(ingress?.spec, {
    tls: [{ hosts: ['api.example.com'] }],
    rules: [
      {
        host: 'api.example.com',
        http: { paths: [{ path: '/', backend: { service: { name: 'holdfast', port: { name: 'https' } } } }] },
      },
    ],
  })
})

t.test('Istio: verified on both sides, nothing rewritten or sent twice', async (t) => {
  const [gateway, virtual, rule, ...others] = documents('istio.yaml')
  t.strictSame(others, [])
  const host = 'holdfast.edge.svc.cluster.local'
  t.match(gateway, { kind: 'Gateway', spec: { servers: [{ tls: { mode: 'OPTIONAL_MUTUAL' } }] } })
  t.match(virtual, {
    kind: 'VirtualService',
    spec: { http: [{ route: [{ destination: { host } }], retries: { attempts: 0 }, rewrite: undefined }] },
  })
  t.match(rule, {
    kind: 'DestinationRule',
    spec: { host, trafficPolicy: { tls: { mode: 'MUTUAL', sni: 'holdfast.edge.svc', subjectAltNames: ['holdfast.edge.svc'] } } },
  })
  t.match(read('istio.yaml'), 'SANITIZE_SET')
})
