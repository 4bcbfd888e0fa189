// Prints test/deploy/kubernetes.json: of Kubernetes' own JSON schemas, those of the kinds that deploy/ makes. For a newer Kubernetes:
//
//   pip install kubernetes-validate      # brings the schemas of every version, Apache-2.0
//   node dist/scripts/kubernetes-schemas.js SITE-PACKAGES/kubernetes_validate/kubernetes-json-schema/v1.34.0-local-strict
//
// Descriptions are left out. So is `null`, which Kubernetes takes for "not given": in what we write it is a mistake.
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

const KINDS = [
  'apps.v1.Deployment',
  'apps.v1.StatefulSet',
  'autoscaling.v2.HorizontalPodAutoscaler',
  'core.v1.ConfigMap',
  'core.v1.Service',
  'core.v1.ServiceAccount',
  'networking.v1.NetworkPolicy',
  'policy.v1.PodDisruptionBudget',
].map((kind) => `io.k8s.api.${kind}`)

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }
type Definitions = Readonly<Record<string, Json>>

const [folder = ''] = process.argv.slice(2)
const { $defs: all } = JSON.parse(readFileSync(join(folder, '_definitions.json'), 'utf8')) as { $defs: Definitions }

/** A schema without what nothing is judged by. */
function bare(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(bare)
  if (typeof schema !== 'object' || schema === null) return schema
  const kept = Object.entries(schema).filter(([name]) => !/^(description|default|x-.*)$/.test(name))
  return Object.fromEntries(
    kept.map(([name, value]) => {
      if (name === 'properties')
        return [name, Object.fromEntries(Object.entries(value ?? {}).map(([key, one]) => [key, bare(one)]))]
      return [name, name === 'type' && Array.isArray(value) ? value[0] : bare(value)]
    }),
  )
}

const needed: Record<string, Json> = {}
const need = (name: string): void => {
  if (name in needed) return
  needed[name] = bare(all[name] ?? null)
  for (const [, other = ''] of JSON.stringify(needed[name]).matchAll(/"#\/\$defs\/([^"]+)"/g)) need(other)
}
for (const kind of KINDS) need(kind)

const lines = Object.keys(needed)
  .sort()
  .map((name) => `${JSON.stringify(name)}:${JSON.stringify(needed[name])}`)
const text = `{"$comment":${JSON.stringify(`${basename(folder).replace('-local-strict', '')} of Kubernetes, Apache-2.0`)},"$defs":{\n${lines.join(',\n')}\n}}\n`
writeFileSync(join('test', 'deploy', 'kubernetes.json'), text)
