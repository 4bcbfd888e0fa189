// TEMPORARY
export type RateLimiter = { charge(charge: object): Promise<number | null>; close(): Promise<void> }
export function createRateLimiter(_options: object): RateLimiter {
  return { charge: async () => null, close: async () => undefined }
}
