// What deploy/ gives to a cluster: Kubernetes takes it, its parts fit each other, nothing in it has more rights than it needs, and the
// routes.yaml within is one that `holdfast check` has nothing against.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { EXAMPLES, hasHelm, helm, render, renderedFile, stamp, valuesOf } from '../../scripts/chart.js'
import { checkConfig } from '../../src/config/load.js'
import { makeAssertionKey } from '../support/certificates.js'
import { makeCa, makeServer } from '../support/certs.js'
import { gatewayOf, judgeManifest, type Manifest, mountConfig, only, readManifests, templateOf } from '../support/kubernetes.js'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const read = (path: string): string => readFileSync(path, 'utf8')

const MANIFESTS: Readonly<Record<string, readonly Manifest[]>> = {
  'the chart as an ingress': readManifests(read(renderedFile('ingress'))),
  'the chart as a sidecar': readManifests(read(renderedFile('sidecar'))),
  'deploy/kubernetes/sidecar.yaml': readManifests(read(join(ROOT, 'deploy', 'kubernetes', 'sidecar.yaml'))),
}

const keysOf = (value: unknown): readonly string[] =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value).sort() : []

const ca = await makeCa('CA of all')
const server = await makeServer(ca, ['api.example.com', 'cases.example.com'])
/** What Secrets and ConfigMaps hold. */
const BROUGHT = {
  'certs/server.crt': server.cert,
  'certs/server.key': server.key,
  'certs/gateway.crt': server.cert,
  'certs/gateway.key': server.key,
  'certs/assertion.key': makeAssertionKey(),
  'certs/client-ca.crt': ca.cert,
  'certs/as-ca.crt': ca.cert,
  'certs/redis-ca.crt': ca.cert,
  'certs/legacy-ca.crt': ca.cert,
  'secrets/redis': 'password-of-redis\n',
  'secrets/nonce': 'a-secret-that-nonces-are-made-with\n',
}

/** The configuration that a gateway in the pod would have. */
function configOf(t: Test, manifests: readonly Manifest[]) {
  const folder = t.testdir({})
  mountConfig(manifests, folder, BROUGHT)
  return checkConfig(join(folder, 'routes.yaml'), {})
}

t.test('the judge finds what is wrong', async (t) => {
  const [manifest] = readManifests(
    'apiVersion: v1\nkind: Service\nmetadata: { name: x }\nspec: { ports: [{ port: many }], selectors: {}, clusterIP: null }\n',
  )
  const found = manifest === undefined ? [] : (judgeManifest(manifest) ?? [])
  t.match(found.join('\n'), /spec\/ports\/0\/port must be integer/)
  t.match(found.join('\n'), /must NOT have additional properties .*selectors/)
  t.match(found.join('\n'), /spec\/clusterIP must be string/)
})

for (const [name, manifests] of Object.entries(MANIFESTS)) {
  const pod = templateOf(manifests).spec
  const gateway = gatewayOf(pod)

  t.test(`${name}: Kubernetes takes it`, async (t) => {
    const foreign = manifests.filter((manifest) => judgeManifest(manifest) === null).map(({ kind }) => kind)
    t.strictSame(foreign, name.endsWith('ingress') ? ['ServiceMonitor'] : [], 'those that are not its own')
    for (const manifest of manifests)
      t.strictSame(judgeManifest(manifest) ?? [], [], `${manifest.kind} ${manifest.metadata.name}`)
    t.equal(new Set(manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).size, manifests.length)
  })

  t.test(`${name}: no more rights than are needed (Pod Security Standards, restricted)`, async (t) => {
    t.match(pod, {
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    })
    t.match(pod, { hostNetwork: undefined, hostPID: undefined, hostIPC: undefined })
    for (const { securityContext, env, envFrom, restartPolicy } of [...pod.containers, ...(pod.initContainers ?? [])]) {
      t.ok(securityContext.runAsUser > 0)
      t.equal(securityContext.allowPrivilegeEscalation, false)
      t.strictSame(securityContext.capabilities, { drop: ['ALL'] })
      t.notOk(securityContext.privileged)
      t.notOk(env ?? envFrom, 'secrets are files, never environment')
      t.ok(restartPolicy === undefined || restartPolicy === 'Always')
    }
    t.equal(gateway.securityContext.readOnlyRootFilesystem, true)
    t.match(read(join(ROOT, 'Dockerfile')), `USER ${gateway.securityContext.runAsUser}:`)
    t.match(gateway.image, /@sha256:/, 'by its digest')
    for (const volume of pod.volumes) t.ok(volume.projected ?? volume.emptyDir, volume.name)
    for (const { subPath } of gateway.volumeMounts ?? []) t.equal(subPath, undefined, 'would never show a renewed file')
    const keys = pod.volumes.find(({ projected }) => projected !== undefined)?.name
    for (const other of pod.initContainers ?? [])
      t.notOk(
        (other.volumeMounts ?? []).some((mount) => mount.name === keys),
        "keys are the gateway's alone",
      )
  })

  t.test(`${name}: its routes.yaml is without problems, and fits the pod`, async (t) => {
    const { config, problems, warnings } = configOf(t, manifests)
    t.strictSame(problems, [])
    t.strictSame(
      // Who may use a high tier is for the registry of its operator to say; an example has none.
      warnings.filter(({ message }) => !message.includes('register those')).map(({ path }) => path),
      ['admin.host'],
      'the one warning is what the NetworkPolicy is for',
    )
    if (config === null) return
    const ports = new Map(gateway.ports?.map(({ name, containerPort }) => [name, containerPort]))
    t.strictSame([...ports.values()], [...config.listeners.map(({ port }) => port), config.admin.port])
    t.equal(ports.get('admin'), config.admin.port)
    t.ok(config.listeners.every(({ host }) => host === '0.0.0.0'))
    t.equal(pod.terminationGracePeriodSeconds, config.drain + config.drain_delay + 15)
    t.ok(config.drain_delay >= 5)
    t.equal(config.replay.store, 'redis', 'replicas share what they remember')
    if (config.audit.file !== null)
      t.ok(gateway.volumeMounts?.some(({ mountPath }) => mountPath === join(config.audit.file ?? '', '..')))
    for (const [probe, path] of [
      [gateway.startupProbe, '/livez'],
      [gateway.livenessProbe, '/livez'],
      [gateway.readinessProbe, '/readyz'],
    ] as const)
      t.match(probe.httpGet, { path, port: 'admin' })
    const loopback = (pod.initContainers ?? []).length > 0
    for (const { url } of config.upstreams) t.equal(url.protocol, loopback ? 'http:' : 'https:')
  })

  t.test(`${name}: its parts find each other`, async (t) => {
    const { labels } = templateOf(manifests).metadata
    const selects = (wanted: Readonly<Record<string, string>> = {}): boolean =>
      Object.keys(wanted).length > 0 && Object.entries(wanted).every(([key, value]) => labels[key] === value)
    const workload = only(manifests, /^(Deployment|StatefulSet)$/)
    const policy = only(manifests, /^NetworkPolicy$/)
    t.ok(selects(workload.spec.selector.matchLabels))
    t.ok(selects(only(manifests, /^PodDisruptionBudget$/).spec.selector.matchLabels))
    t.ok(selects(policy.spec.podSelector.matchLabels))
    const names = gateway.ports?.map(({ name }) => name)
    for (const service of manifests.filter(({ kind }) => kind === 'Service')) {
      t.ok(selects(service.spec.selector), service.metadata.name)
      for (const { targetPort } of service.spec.ports) t.ok(names?.includes(targetPort), targetPort)
      const isAdmin = service.metadata.name.endsWith('-admin')
      t.strictSame(
        service.spec.ports.map(({ targetPort }) => targetPort === 'admin'),
        [isAdmin],
        'admin is on no Service of clients',
      )
    }
    t.strictSame(policy.spec.policyTypes, ['Ingress', 'Egress'])
    t.strictSame(
      policy.spec.ingress.flatMap(({ ports }) => ports.map(({ port }) => port)),
      gateway.ports?.map(({ containerPort }) => containerPort),
    )
    t.equal(policy.spec.ingress.at(-1)?.from?.length, 1, 'the admin listener is for the namespace of monitoring')
    t.ok(
      policy.spec.egress.every(({ to }) => to.length > 0),
      'nowhere at will',
    )
    const declared = [...pod.volumes, ...(workload.spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata)]
    for (const { name } of gateway.volumeMounts ?? [])
      t.ok(
        declared.some((volume) => volume.name === name),
        name,
      )
  })
}

t.test('the ServiceMonitor finds the admin Service, and no other', async (t) => {
  const manifests = MANIFESTS['the chart as an ingress'] ?? []
  const { spec } = only(manifests, /^ServiceMonitor$/)
  const found = manifests.filter(
    ({ kind, metadata }) =>
      kind === 'Service' &&
      Object.entries(spec.selector.matchLabels ?? {}).every(([key, value]) => metadata.labels?.[key] === value),
  )
  t.strictSame(
    found.map(({ spec }) => spec.ports.map(({ name }) => name)),
    [spec.endpoints.map(({ port }) => port)],
  )
  t.match(spec.endpoints, [{ path: '/metrics', scheme: 'http' }])
})

t.test('values.schema.json has what values.yaml has', async (t) => {
  const schema = JSON.parse(read(join(ROOT, 'deploy', 'helm', 'values.schema.json')))
  const values = parse(read(join(ROOT, 'deploy', 'helm', 'values.yaml')))
  const isValid = new Ajv({ strict: true, strictRequired: false, allowUnionTypes: true }).compile(schema)
  for (const one of [values, ...EXAMPLES.map((example) => parse(read(valuesOf(example))))])
    t.ok(isValid(one), JSON.stringify(isValid.errors))
  const { global: _, ...known } = schema.properties
  t.strictSame(Object.keys(values).sort(), Object.keys(known).sort())
  for (const [name, { properties = {} }] of Object.entries<{ properties?: object }>(known))
    if (name !== 'resources') t.strictSame(Object.keys(properties).sort(), keysOf(values[name]), name)
})

t.test('what is kept of the chart is of the chart as it is', async (t) => {
  for (const example of EXAMPLES) t.ok(read(renderedFile(example)).startsWith(stamp()), `${example}: run npm run chart`)
})

const skip = hasHelm()
  ? false
  : 'helm is not on this machine: HELM names one; go install helm.sh/helm/v3/cmd/helm@latest makes one'

t.test('helm', { skip }, async (t) => {
  t.test('prints what is kept, and lints without a word', async (t) => {
    for (const example of EXAMPLES) {
      t.equal(stamp() + render(example), read(renderedFile(example)), `${example}: run npm run chart`)
      t.notMatch(helm('lint', '--strict', '.', '--values', valuesOf(example)), /WARNING|ERROR/)
    }
  })

  /** What it says when it refuses. */
  const refusal = (...more: readonly string[]): string => {
    try {
      render('sidecar', ...more)
    } catch (error) {
      return String((error as { stderr?: string }).stderr)
    }
    return ''
  }
  const routes = only(MANIFESTS['the chart as a sidecar'] ?? [], /^ConfigMap$/).data?.['routes.yaml'] ?? ''
  /** The arguments for another routes.yaml. */
  const changed = (t: Test, from: string, to: string): readonly string[] => {
    if (!routes.includes(from)) throw new Error(`routes.yaml has no ${from}`)
    return ['--set-file', `routes=${join(t.testdir({ 'routes.yaml': routes.replace(from, to) }), 'routes.yaml')}`]
  }

  t.test('refuses a routes.yaml that a cluster can do nothing with', async (t) => {
    t.match(refusal(...changed(t, 'host: 0.0.0.0', 'host: 127.0.0.1')), /can't reach the admin listener on loopback/)
    t.match(refusal(...changed(t, 'admin: { host: 0.0.0.0 }\n', '')), /can't reach the admin listener on loopback/)
    t.match(refusal(...changed(t, 'drain_delay: 5s\n', '')), /say `drain_delay: 10s`/)
    t.match(refusal(...changed(t, 'store: redis', 'store: memory')), /accept a proof once each/)
    t.match(refusal(...changed(t, 'drain: 20s', 'audit: { file: audit.jsonl }')), /`audit.file` needs a folder of its own/)
    t.match(refusal(...changed(t, 'version: 1', 'version: [1')), /is not YAML/)
    t.match(refusal('--set', 'routes='), /routes\.yaml is missing/)
    t.match(refusal('--set', 'audit.claim.size=1Gi'), /no `audit\.file` to put on it/)
  })

  t.test('refuses values that it does not have', async (t) => {
    const wrong = 'nonsense=1 image.tags=x replicas=0 networkPolicy.peers=x audit.claim.bytes=1 image.digest=sha256:1'
    for (const one of wrong.split(' '))
      t.match(refusal('--set', wrong), /values don't meet the specifications of the schema/, one)
  })

  t.test('Kubernetes takes it with every value said', async (t) => {
    const values = {
      'service.annotations': { note: 'text' },
      podLabels: { team: 'edge' },
      podAnnotations: { note: 'text' },
      'image.pullSecrets': ['registry'],
      nodeSelector: { disk: 'ssd' },
      tolerations: [{ operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      priorityClassName: 'high',
      'networkPolicy.clients': [{ ipBlock: { cidr: '10.0.0.0/8' } }],
      'serviceMonitor.labels': { release: 'prometheus' },
      'serviceMonitor.tlsConfig': { serverName: 'holdfast' },
      files: { 'more.yaml': 'routes: []\n' },
      volumes: [{ name: 'scratch', emptyDir: {} }],
      fullnameOverride: 'edge-gateway',
    }
    const more = Object.entries(values).flatMap(([name, value]) => ['--set-json', `${name}=${JSON.stringify(value)}`])
    const manifests = readManifests(render('ingress', ...more))
    for (const manifest of manifests) {
      t.strictSame(judgeManifest(manifest) ?? [], [], manifest.kind)
      t.match(manifest.metadata.name, /^edge-gateway(-admin)?$/)
    }
    t.match(templateOf(manifests), {
      metadata: { labels: values.podLabels, annotations: values.podAnnotations },
      spec: {
        ...{ nodeSelector: values.nodeSelector, tolerations: values.tolerations, affinity: values.affinity },
        ...{ priorityClassName: 'high', imagePullSecrets: [{ name: 'registry' }] },
      },
    })
    t.ok(templateOf(manifests).spec.volumes.some(({ name }) => name === 'scratch'))
    t.match(only(manifests, /^ConfigMap$/).data, values.files)
    t.match(only(manifests, /^Service$/, /gateway$/).metadata, { annotations: values['service.annotations'] })
    t.match(only(manifests, /^NetworkPolicy$/).spec.ingress[0]?.from, values['networkPolicy.clients'])
    t.match(only(manifests, /^ServiceMonitor$/), {
      metadata: { labels: values['serviceMonitor.labels'] },
      spec: { endpoints: [{ tlsConfig: values['serviceMonitor.tlsConfig'] }] },
    })
  })

  t.test('one replica may do without Redis, and is never two', async (t) => {
    const manifests = readManifests(
      render('sidecar', ...changed(t, 'store: redis', 'store: memory'), '--set', 'autoscaling.enabled=false,replicas=1'),
    )
    t.match(only(manifests, /^Deployment$/).spec, { replicas: 1, strategy: { type: 'Recreate' } })
    t.strictSame(
      manifests.filter(({ kind }) => kind === 'PodDisruptionBudget'),
      [],
    )
  })

  t.test('reads durations, listeners and TLS from routes.yaml', async (t) => {
    const more = changed(
      t,
      'listen: { tls: { key: certs/server.key, cert: certs/server.crt } }\n',
      `listen:
  - { port: 9443, tls: { key: a, cert: b } }
  - { port: 9444, tls: { key: a, cert: b } }
`,
    )
    const manifests = readManifests(render('sidecar', ...more))
    t.strictSame(gatewayOf(templateOf(manifests).spec).ports, [
      { name: 'https', containerPort: 9443 },
      { name: 'https-9444', containerPort: 9444 },
      { name: 'admin', containerPort: 9090 },
    ])
    t.match(only(manifests, /^Service$/, /[^n]$/).spec.ports, [
      { port: 443, targetPort: 'https' },
      { port: 9444, targetPort: 'https-9444' },
    ])
    const grace = (to: string) =>
      templateOf(readManifests(render('sidecar', ...changed(t, 'drain: 20s\ndrain_delay: 5s', to)))).spec
        .terminationGracePeriodSeconds
    t.equal(grace('drain: 2m\ndrain_delay: 1500ms'), 120 + 2 + 15)
    t.equal(grace('drain_delay: 0s'), 30 + 0 + 15)
    const withTls = readManifests(
      render('sidecar', ...changed(t, 'host: 0.0.0.0', 'host: 0.0.0.0, port: 9099, tls: { key: a, cert: b }')),
    )
    t.match(gatewayOf(templateOf(withTls).spec).readinessProbe.httpGet, { scheme: 'HTTPS' })
    t.equal(only(withTls, /^NetworkPolicy$/).spec.ingress.at(-1)?.ports[0]?.port, 9099)
  })

  t.test('pods are replaced for what a reload does not take, and for nothing else', async (t) => {
    const annotations = (...more: readonly string[]) => templateOf(readManifests(render('sidecar', ...more))).metadata.annotations
    const before = annotations()
    const unchanged = [
      ['scopes: [case.read]', 'scopes: [case.read, more]'],
      ['key: certs/server.key', 'key: certs/other.key'],
      ['drain: 20s', 'drain: 20s\nlimits: { connections: 5 }'],
    ] as const
    for (const [from, to] of unchanged) t.strictSame(annotations(...changed(t, from, to)), before, to)
    const replaced = [
      ['listen: { ', 'listen: { port: 9443, '],
      ['host: 0.0.0.0', 'host: 0.0.0.0, port: 9091'],
      ['drain: 20s', 'drain: 20s\nworkers: 2'],
      ['6379', '6380'],
      ['drain: 20s', 'drain: 20s\nwatch: off'],
    ] as const
    for (const [from, to] of replaced)
      t.not(annotations(...changed(t, from, to))?.['checksum/restart'], before?.['checksum/restart'], to)
  })
})
