// The forms of the settings about what is remembered, written and signed: replay, dpop, audit, assertion (contract §2).

import { z } from 'zod'
import { bytes, clientTls, count, headerName, path, share, text, time, timeout, webUrl } from './fields.js'

const redisUrl = z
  .string()
  .refine((url) => /^rediss?:\/\/[^/\s]+/.test(url) && URL.canParse(url), 'expected a URL such as redis://redis:6379')
  .meta({ title: 'URL' })

const redis = z.strictObject({
  url: redisUrl.describe('One Redis; `rediss://` speaks TLS. Or `sentinels`, or `cluster`.').optional(),
  sentinels: z.array(redisUrl).min(1, 'expected at least one').describe('Sentinels that know the primary.').optional(),
  primary: text.describe('With `sentinels`: the name of the primary.').optional(),
  cluster: z.array(redisUrl).min(1, 'expected at least one').describe('Nodes of a Redis Cluster.').optional(),
  timeout: timeout.prefault('100ms').describe('How long an answer may take; then the store counts as away.'),
  username: text.describe('User of the Redis ACL; left out: none.').optional(),
  password: text.describe('Its password, from a mounted secret or the environment; left out: none.').optional(),
  key_prefix: z.string().prefault('holdfast:').describe('What the name of every record begins with.').meta({ title: 'text' }),
  tls: clientTls.describe('With `rediss://`; its certificate is always verified.').optional(),
  wait: count(0, 10)
    .describe('Replicas that must have each record; left out: 1 with `sentinels` or `cluster`, else 0.')
    .optional(),
})

export const replay = z.strictObject({
  store: z
    .enum(['memory', 'redis'])
    .prefault('memory')
    .describe('Where used proofs are remembered; `memory`: one process only, and no replicas.'),
  redis: redis.describe('With `store: redis`.').optional(),
})

export const revocations = z.strictObject({
  max_stale: timeout
    .prefault('60s')
    .describe('How old the list may get while Redis is away, before tiers with `replay_outage: closed` refuse.'),
})

const secret = z
  .string()
  .min(32, 'must have 32 characters or more: make one with `openssl rand -base64 32`')
  .meta({ title: 'text' })

export const dpop = z.strictObject({
  nonce_secret: z
    .union([secret.transform((value) => [value]), z.array(secret).min(1, 'expected at least one').max(2)])
    .describe('What nonces are made with, shared by replicas; `[current, previous]` while it changes. Left out: made at start.')
    .optional(),
})

export const audit = z.strictObject({
  file: path.describe('Where events go, one JSON line each; left out: standard output, or `stream`.').optional(),
  stream: z
    .strictObject({
      redis: redis.describe('A Redis, as `replay.redis`; better another one, with `appendfsync always` and `noeviction`.'),
      events: count(1000, 1_000_000_000)
        .prefault(1_000_000)
        .describe('Entries kept, about, in the stream of each worker; older ones are trimmed.'),
    })
    .describe('In place of `file`: a Redis stream for each worker, `durable` when Redis and `wait` replicas have the entry.')
    .optional(),
  refusals_per_second: count(1, 1_000_000)
    .prefault(100)
    .describe('Refusals of callers who have proven nothing that are written; the rest are counted.'),
  checkpoints: time.prefault('1s').describe('While lines are written, how often what was written is signed: docs/evidence.md.'),
  rotate: z
    .strictObject({
      size: bytes.describe('The file is put aside, under a name with the time, when it has this size.'),
      keep: count(1, 10_000).prefault(10).describe('Files that are kept so, of each worker; older ones are deleted.'),
    })
    .describe('Left out: the file is rotated by somebody else (rename it; the gateway follows), or not at all.')
    .optional(),
})

export const tracing = z.strictObject({
  otlp: webUrl.describe('Where a collector takes OTLP over HTTP, such as https://collector:4318/v1/traces.'),
  sample: share.prefault(0.1).describe('The share of requests that have a trace, chosen by chance, from 0 to 1.'),
  tls: clientTls.describe('With an https address; the certificate of the collector is always verified.').optional(),
})

/** Longer, and a stolen assertion would be worth something. */
const LONGEST_TTL = 300

export const assertion = z.strictObject({
  issuer: text.describe('`iss` of the assertion; left out: the first of `public_origins`.').optional(),
  key: path.describe('EC P-256 private key, PEM. Or `keys`.').optional(),
  keys: z
    .array(path)
    .min(1, 'expected at least one')
    .describe('The first signs, all are published: current, then next or previous.')
    .optional(),
  ttl: time
    .refine((seconds) => seconds <= LONGEST_TTL, 'must be 5m or less')
    .prefault('30s')
    .describe('How long an assertion is good for.'),
  header: headerName.prefault('Holdfast-Assertion').describe('The header it travels in.'),
})
