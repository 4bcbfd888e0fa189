// Manifests as a cluster sees them: judged by Kubernetes' own schemas, and their volumes laid out as the kubelet does it.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Ajv } from 'ajv'
import { parseAllDocuments } from 'yaml'

type Labels = Readonly<Record<string, string>>
type Selector = { readonly matchLabels?: Labels }
export type Port = { readonly name: string; readonly containerPort: number }
export type Probe = { readonly httpGet?: { readonly path: string; readonly port: string; readonly scheme?: string } }
export type Container = {
  readonly name: string
  readonly image: string
  readonly restartPolicy?: string
  readonly env?: unknown
  readonly envFrom?: unknown
  readonly ports?: readonly Port[]
  readonly securityContext: {
    readonly runAsUser: number
    readonly runAsNonRoot?: boolean
    readonly readOnlyRootFilesystem?: boolean
    readonly allowPrivilegeEscalation: boolean
    readonly privileged?: boolean
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] }
  }
  readonly resources: { readonly limits: Labels; readonly requests: Labels }
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string; readonly subPath?: string }[]
  readonly startupProbe: Probe
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
}
type Item = { readonly key: string; readonly path: string }
type Source = { readonly name: string; readonly items?: readonly Item[] }
type Projected = { readonly sources: readonly { readonly configMap?: Source; readonly secret?: Source }[] }
export type Volume = { readonly name: string; readonly projected?: Projected; readonly emptyDir?: object }
export type PodSpec = {
  readonly automountServiceAccountToken: boolean
  readonly hostNetwork?: boolean
  readonly hostPID?: boolean
  readonly hostIPC?: boolean
  readonly terminationGracePeriodSeconds: number
  readonly securityContext: {
    readonly runAsNonRoot: boolean
    readonly fsGroup: number
    readonly seccompProfile: { readonly type: string }
  }
  readonly initContainers?: readonly Container[]
  readonly containers: readonly Container[]
  readonly volumes: readonly Volume[]
}
export type Manifest = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly labels?: Labels }
  readonly data?: Labels
  readonly spec: {
    readonly replicas?: number
    readonly serviceName?: string
    readonly selector: Selector & Labels
    readonly podSelector: Selector
    readonly ports: readonly { readonly port: number; readonly targetPort: string; readonly name: string }[]
    readonly endpoints: readonly { readonly port: string; readonly path: string; readonly scheme: string }[]
    readonly policyTypes: readonly string[]
    readonly ingress: readonly { readonly ports: readonly { readonly port: number }[]; readonly from?: readonly object[] }[]
    readonly egress: readonly { readonly ports?: readonly object[]; readonly to: readonly object[] }[]
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[]
    readonly template: { readonly metadata: { readonly labels: Labels; readonly annotations?: Labels }; readonly spec: PodSpec }
  }
}

export const readManifests = (text: string): readonly Manifest[] =>
  parseAllDocuments(text, { uniqueKeys: true }).map((document) => {
    if ('errors' in document && document.errors.length > 0) throw document.errors[0]
    return document.toJS() as Manifest
  })

/** The one of a kind; `name` where there are several. */
export function only(manifests: readonly Manifest[], kind: RegExp, name = /./): Manifest {
  const found = manifests.filter((one) => kind.test(one.kind) && name.test(one.metadata.name))
  if (found.length !== 1 || found[0] === undefined) throw new Error(`there are ${found.length} ${kind}`)
  return found[0]
}

const workload = (manifests: readonly Manifest[]): Manifest => only(manifests, /^(Deployment|StatefulSet)$/)
export const templateOf = (manifests: readonly Manifest[]) => workload(manifests).spec.template

/** The container of the gateway. */
export function gatewayOf({ containers }: PodSpec): Container {
  const found = containers.find(({ name }) => name === 'holdfast')
  if (found === undefined) throw new Error('there is no gateway in the pod')
  return found
}

const SCHEMAS = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', '..', '..', 'test', 'deploy', 'kubernetes.json'), 'utf8'),
) as object

// The schemas have keywords and formats of OpenAPI.
const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true }).addSchema(SCHEMAS, 'kubernetes')

const GROUPS: Readonly<Record<string, string>> = { v1: 'core.v1' }

/** What Kubernetes' schema says against it; null: there is no schema, because it is not Kubernetes' own. */
export function judgeManifest({ apiVersion, kind, ...rest }: Manifest): readonly string[] | null {
  const group = GROUPS[apiVersion] ?? apiVersion.replace('.k8s.io', '').replace('/', '.')
  const validate = ajv.getSchema(`kubernetes#/$defs/io.k8s.api.${group}.${kind}`)
  if (validate === undefined) return null
  validate({ apiVersion, kind, ...rest })
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${kind}${instancePath} ${message} ${JSON.stringify(params)}`,
  )
}

/** Lays out the volume that is mounted at /etc/holdfast; `bring` has what Secrets and ConfigMaps from elsewhere hold, by its path. */
export function mountConfig(manifests: readonly Manifest[], folder: string, bring: Readonly<Record<string, string>>): void {
  const pod = templateOf(manifests).spec
  const name = gatewayOf(pod).volumeMounts?.find(({ mountPath }) => mountPath === '/etc/holdfast')?.name
  const sources = pod.volumes.find((volume) => volume.name === name)?.projected?.sources ?? []
  const data = '..2026_11_23_12_00_00.0'
  const write = (path: string, text: string): void => {
    const file = join(folder, data, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  for (const { configMap, secret } of sources) {
    const source = configMap ?? secret
    if (source?.items === undefined) {
      const { data: texts = {} } = only(manifests, /^ConfigMap$/, new RegExp(`^${source?.name}$`))
      for (const [path, text] of Object.entries(texts)) write(path, text)
    } else
      for (const { path } of source.items) {
        const text = bring[path]
        if (text === undefined) throw new Error(`the test does not have ${path}`)
        write(path, text)
      }
  }
  symlinkSync(data, join(folder, '..data'))
  const top = new Set(
    sources.flatMap(
      ({ configMap, secret }) => (configMap ?? secret)?.items?.map(({ path }) => path.split('/')[0] ?? '') ?? ['routes.yaml'],
    ),
  )
  for (const one of top) symlinkSync(join('..data', one), join(folder, one))
}
