// TEMPORARY
import { Redis } from 'ioredis'
import type { RedisSettings } from '../config/config.js'
import type { ReplayStore } from './store.js'
export function createRedisStore(settings: RedisSettings, _options: object): ReplayStore {
  const redis = new Redis(settings.url ?? '', { enableAutoPipelining: true })
  return {
    firstUse: async ({ key, until, now }) => ((await redis.set(settings.key_prefix + key, '1', 'PX', Math.ceil((until - now) * 1000) + 1000, 'NX')) === 'OK' ? 'first' : 'used'),
    degraded: () => null,
    close: async () => void redis.disconnect(),
  }
}
