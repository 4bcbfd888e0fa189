// What RFC 9449 §11 demands against replay, and contract §9 of the store (JTI).
import { of } from './cite.js'
import type { Row } from './row.js'

const table = of('test/verify/denials.test.ts')
const grants = of('test/journeys/grants.test.ts')
const proofs = of('test/conformance/proofs.test.ts')
const resource = of('test/conformance/resource.test.ts')
const outages = of('test/journeys/outages.test.ts')
const parsing = of('test/verify/parsing.test.ts')
const redis = of('test/replay/redis.test.ts')

export const REPLAY_ROWS: readonly Row[] = [
  {
    id: 'JTI-01',
    requirement: 'A proof is accepted once: the second use is refused with `invalid_dpop_proof`.',
    spec: 'RFC 9449 §11.1; decision: contract §4 (C4, C18)',
    read: 'RFC 9449 §11.1',
    tests: table('denies proof_replayed: the same proof again'),
  },
  {
    id: 'JTI-02',
    requirement: 'The same `jti` in a proof that was signed anew is refused too.',
    spec: 'RFC 9449 §11.1',
    read: 'RFC 9449 §11.1',
    tests: table('denies proof_replayed: the same jti signed anew'),
  },
  {
    id: 'JTI-03',
    requirement:
      'A `jti` is used by one key: another client’s is another. It is remembered whatever the target, which is stricter.',
    spec: 'RFC 9449 §11.1; decision: docs/decisions.md',
    read: 'RFC 9449 §11.1',
    tests: [
      ...grants('grants the same jti by another key', 'grants and by ours'),
      ...parsing('one key for one proof, whatever stands in jti'),
    ],
  },
  {
    id: 'JTI-04',
    requirement: 'Another spelling of the same `htu` does not make a used `jti` new.',
    spec: 'RFC 9449 §11.1; decision: docs/decisions.md',
    read: 'RFC 9449 §11.1',
    tests: resource('denies proof_replayed: the same jti with another spelling of htu'),
  },
  {
    id: 'JTI-05',
    requirement: 'A record lives as long as its proof would be accepted, one that is dated ahead included.',
    spec: 'RFC 9449 §11.1',
    read: 'RFC 9449 §11.1',
    tests: [
      ...resource('a proof dated ahead is remembered for as long as it would be taken'),
      ...of('test/journeys/reload.test.ts')('a window that a reload lengthens makes no used proof young again'),
      ...redis('the Redis store is a replay store'),
    ],
  },
  {
    id: 'JTI-06',
    requirement: 'A record is small whatever the `jti`: a hash is stored, and long proofs are refused.',
    spec: 'RFC 9449 §11.1',
    read: 'RFC 9449 §11.1',
    tests: [
      ...redis('records end by themselves, and are small'),
      ...parsing('one key for one proof, whatever stands in jti'),
      ...table('denies proof_malformed: over the size limit'),
    ],
  },
  {
    id: 'JTI-07',
    requirement: 'A `jti` may be any text, and none names another record.',
    spec: 'RFC 7519 §4.1.7; decision: contract §4',
    read: 'RFC 7519 §4.1.7',
    tests: [
      ...resource('a jti may be any text, and no text reaches the names of records'),
      ...grants('grants a jti of any form'),
      ...parsing('one key for one proof, whatever stands in jti'),
    ],
  },
  {
    id: 'JTI-08',
    requirement: 'Of many copies at once, at several gateways, exactly one is granted.',
    spec: 'RFC 9449 §11.1 (strictly enforced)',
    read: 'RFC 9449 §11.1',
    tests: [
      ...of('test/journeys/processes.test.ts')('two processes, 200 parallel copies of one proof: exactly one is granted'),
      ...redis('two processes, 200 parallel copies of one proof: exactly one is the first'),
    ],
  },
  {
    id: 'JTI-09',
    requirement: 'Without its store a `closed` tier refuses with 503 within 200 ms, and takes up again by itself.',
    spec: 'decision: contract §9',
    tests: outages('denies replay_unavailable: Redis is frozen, then gone; public requests go on; it recovers by itself'),
  },
  {
    id: 'JTI-10',
    requirement: 'After a failover, restart or loss of the store no proof that was accepted before is accepted again.',
    spec: 'decision: contract §9',
    tests: [
      ...outages('denies replay_unavailable: Redis is back, but empty: what was accepted before never is again'),
      ...redis('promoted: what the replica did not get is not accepted again, by any process'),
      ...of('test/replay/redis-topologies.test.ts')('Sentinel: the primary it names, and the next one after a failover'),
      ...of('test/replay/redis-failover.test.ts')(
        'Sentinel: the primary is killed under load, and no accepted proof is accepted again',
        'Sentinel: the replica that takes over lacks the last records, and only a process that is new asks it',
      ),
      ...of('test/replay/redis-cluster.test.ts')(
        'Cluster: a primary is killed under load, and no accepted proof is accepted again',
        'Cluster: a replica takes over by force, without the last records',
        'Cluster: any one of its nodes restarts empty, and a process that is new is the first to ask',
      ),
    ],
  },
  {
    id: 'JTI-11',
    requirement: 'A store that evicts or is full counts as away.',
    spec: 'decision: contract §9',
    tests: [
      ...redis(
        'a policy that evicts counts as away',
        'full: refuses, says why, and goes on when there is room',
        'evictions that nobody saw happen',
      ),
      ...of('test/journeys/redis.test.ts')(
        'a Redis that may evict: a warning at the start and in /readyz, closed until it is mended, and again when it comes back',
      ),
    ],
  },
  {
    id: 'JTI-12',
    requirement: 'A proof is accepted for seconds or a minute after it was made, as the tier says.',
    spec: 'RFC 9449 §11.1',
    read: 'RFC 9449 §11.1',
    tests: [
      ...grants('grants a proof of 58 s ago'),
      ...table('denies proof_too_old: a minute and a second old'),
      ...proofs('denies proof_too_old: iat of an hour ago'),
    ],
  },
  {
    id: 'JTI-13',
    requirement: 'A proof may be dated up to `clock_skew` (10 s) ahead, and no more.',
    spec: 'RFC 9449 §11.1; FAPI 2.0 §5.3.2.1 (13); decision: contract §4 (C7)',
    tests: [...grants('grants a proof of 9 s ahead'), ...table('denies proof_in_future: a quarter of a minute ahead')],
  },
  {
    id: 'JTI-14',
    requirement: '`iat` is in seconds: milliseconds are far ahead; fractions are allowed.',
    spec: 'RFC 7519 §2 (NumericDate)',
    read: 'RFC 7519 §2',
    tests: [...table('denies proof_in_future: iat in milliseconds'), ...grants('grants a proof with a fraction of a second')],
  },
  {
    id: 'JTI-15',
    requirement: 'A proof that was made for later is of no use now; where a nonce is demanded, it is of no use later either.',
    spec: 'RFC 9449 §11.2',
    read: 'RFC 9449 §11.2',
    tests: [
      ...proofs('denies proof_in_future: iat of tomorrow'),
      ...table('denies nonce_missing: no nonce where one is demanded'),
      ...resource('denies nonce_stale: a nonce of ours that is over a minute old, with a fresh one'),
    ],
  },
  {
    id: 'JTI-16',
    requirement: 'A proof for one target and method is of no use at another.',
    spec: 'RFC 9449 §11',
    read: 'RFC 9449 §11',
    tests: table('denies proof_target: another path', 'denies proof_method: another method'),
  },
  {
    id: 'JTI-17',
    requirement: 'A caught request with a changed body is refused: its proof was used.',
    spec: 'RFC 9449 §11.7',
    read: 'RFC 9449 §11.7',
    tests: resource('denies proof_replayed: with another body'),
  },
  {
    id: 'JTI-18',
    requirement: 'A clock that steps back makes no used proof new.',
    spec: 'decision: contract §9',
    tests: [
      ...of('test/regressions/001-clock-step-back.test.ts')('a used proof stays used when the clock has caught up with itself'),
      ...redis('the Redis store is a replay store'),
      ...of('test/replay/memory.test.ts')('a clock that jumps ahead and back cannot make a record forgotten'),
    ],
  },
  {
    id: 'JTI-19',
    requirement: 'Where no nonce is demanded, tokens that live long are refused: every tier with a token has `token_max_ttl`.',
    spec: 'RFC 9449 §11.2, §11.4',
    read: 'RFC 9449 §11.2, §11.4',
    tests: [...table('denies token_lifetime: lives an hour'), ...grants('grants a token of the longest life')],
  },
  {
    id: 'JTI-20',
    requirement: 'The hash is SHA-256: a member for another one, such as `jkt#S384`, does not bind, and is refused.',
    spec: 'RFC 9449 §11.10',
    read: 'RFC 9449 §11.10',
    tests: table('denies binding_unsupported: jkt#S384'),
  },
]
