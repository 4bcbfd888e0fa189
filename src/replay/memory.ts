// TEMPORARY
import type { ReplayStore } from './store.js'
export function createMemoryStore(): ReplayStore {
  const used = new Map<string, number>()
  return {
    firstUse: async ({ key, until, now }) => {
      if ((used.get(key) ?? 0) >= now) return 'used'
      used.set(key, until)
      return 'first'
    },
    degraded: () => null,
    close: async () => undefined,
  }
}
