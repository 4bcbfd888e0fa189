// Replay store, nonces, audit log, traces and assertion keys, resolved; and how many processes there are.

import { reservedBlock } from '../verify/reserved-headers.js'
import type { Config, RedisSettings } from './config.js'
import { absolute, readAssertionKey } from './files.js'
import type { Loading, Rule } from './loading.js'
import type { Single } from './schema.js'
import { type Place, under } from './source.js'
import { isOurs, readTls } from './upstreams.js'
import { availableCores } from './workers.js'

export function resolveReplay({ store, redis }: Single['replay'], place: Place, loading: Loading): Config['replay'] {
  if (store === 'memory') {
    if (redis !== undefined)
      loading.findings.problem(under(place, 'redis'), 'is read with `store: redis` only: say that, or leave it out')
    return { store }
  }
  if (redis === undefined) {
    loading.findings.problem(under(place, 'redis'), 'is required with `store: redis`, such as { url: redis://redis:6379 }')
    return { store: 'memory' }
  }
  return { store, redis: resolveRedis(redis, under(place, 'redis'), loading) }
}

type RedisInput = NonNullable<Single['replay']['redis']>

function resolveRedis(redis: RedisInput, place: Place, loading: Loading): RedisSettings {
  const { url, sentinels, cluster, primary, username, password } = redis
  const urls = [...(url === undefined ? [] : [url]), ...(sentinels ?? []), ...(cluster ?? [])]
  const secure = urls.filter((one) => one.startsWith('rediss:'))
  const given = [url, sentinels, cluster].filter((one) => one !== undefined)
  const rules: readonly Rule[] = [
    [given.length !== 1, 'url', 'expected one of `url`, `sentinels` and `cluster`'],
    [sentinels !== undefined && primary === undefined, 'primary', 'is required with `sentinels`: the name of the primary'],
    [sentinels === undefined && primary !== undefined, 'primary', 'is read with `sentinels` only: leave it out'],
    [
      secure.length > 0 && secure.length < urls.length,
      sentinels === undefined ? 'cluster' : 'sentinels',
      'all must be rediss://, or none',
    ],
    [redis.tls !== undefined && secure.length === 0, 'tls', 'is read with rediss:// only: say rediss://, or leave it out'],
    [username !== undefined && password === undefined, 'password', 'is required with `username`'],
  ]
  for (const [isBroken, setting, sentence] of rules) if (isBroken) loading.findings.problem(under(place, setting), sentence)
  const { ca = null, cert = null, key = null } = readTls(redis.tls ?? {}, under(place, 'tls'), loading)
  return {
    url: url ?? null,
    sentinels: sentinels ?? [],
    primary: primary ?? null,
    cluster: cluster ?? [],
    timeout: redis.timeout,
    username: username ?? null,
    password: password ?? null,
    key_prefix: redis.key_prefix,
    tls: secure.length === 0 ? null : { ca, cert, key },
    wait: redis.wait ?? (url === undefined ? 1 : 0),
  }
}

export function resolveAudit(
  { file, stream, rotate, ...settings }: Single['audit'],
  place: Place,
  loading: Loading,
): Config['audit'] {
  const { findings } = loading
  if (file !== undefined && stream !== undefined) findings.problem(under(place, 'stream'), 'expected one of `file` and `stream`')
  if (file === undefined && rotate !== undefined)
    findings.problem(under(place, 'rotate'), 'is for a file, and there is none: name it with `file`, or leave this out')
  return {
    ...settings,
    file: file === undefined ? null : absolute({ value: file, place: under(place, 'file') }),
    stream:
      stream === undefined ? null : { ...stream, redis: resolveRedis(stream.redis, under(place, 'stream', 'redis'), loading) },
    rotate: rotate ?? null,
  }
}

export function resolveTracing(tracing: NonNullable<Single['tracing']>, place: Place, loading: Loading): Config['tracing'] {
  const { otlp, sample, tls } = tracing
  if (tls !== undefined && otlp.startsWith('http:'))
    loading.findings.problem(under(place, 'tls'), 'is read with an https address only: say https, or leave it out')
  return { otlp, sample, tls: readTls(tls ?? {}, under(place, 'tls'), loading) }
}

type AssertionAt = Loading & { readonly place: Place; readonly publicOrigins: readonly string[] }

export function resolveAssertion(
  assertion: Single['assertion'],
  { place, publicOrigins, ...loading }: AssertionAt,
): Config['assertion'] {
  const { issuer, key, keys, ttl, header } = assertion
  const rules: readonly Rule[] = [
    [key === undefined && keys === undefined, 'key', 'is required: an EC P-256 private key; `holdfast certs DIR` makes one'],
    [key !== undefined && keys !== undefined, 'keys', '`key` is given too: leave one out'],
    [
      isOurs(header) || reservedBlock(header) === 'credentials',
      'header',
      'this header means something else to every hop: choose another name, such as Holdfast-Assertion',
    ],
  ]
  for (const [isBroken, setting, sentence] of rules) if (isBroken) loading.findings.problem(under(place, setting), sentence)
  const files = [
    ...(key === undefined ? [] : [{ value: key, place: under(place, 'key') }]),
    ...(keys ?? []).map((value, i) => ({ value, place: under(place, 'keys', i) })),
  ]
  const pems = files.map((file) => readAssertionKey(file, loading)).filter((pem) => pem !== null)
  return { issuer: issuer ?? publicOrigins[0] ?? '', keys: pems, ttl, header }
}

/** Processes that share one memory would each take a proof once. */
export function resolveWorkers(workers: Single['workers'], store: 'memory' | 'redis', at: Loading & { place: Place }): number {
  // A container may be given more cores while it runs; a file that says `auto` is not changed by that.
  if (workers === 'auto') return store === 'memory' ? 1 : (at.running?.workers ?? availableCores())
  if (workers > 1 && store === 'memory')
    at.findings.problem(at.place, 'with `replay: { store: memory }` there is one process only: say 1 or auto, or use redis')
  return workers
}
