// What goes wrong during a soak, one thing after another: each says what honest clients may be told while it lasts.
import { createPublicKey } from 'node:crypto'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeAssertionKey } from '../support/certificates.js'
import { type Fleet, type Place, waitFor } from '../support/fleet.js'

export type Trouble = {
  /** Is this refusal of an honest request to be expected now? */
  excuses(reason: string): boolean
  /** How often each thing was done. */
  readonly done: ReadonlyMap<string, number>
  /** Was everything done once, or is there no more to come? */
  isThrough(): boolean
  /** Rejects with what went wrong in making trouble. */
  stop(): Promise<void>
}

export type TroubleOptions = {
  readonly place: Place
  readonly gateway: Fleet
  /** Public halves of `key-0.pem`, `key-1.pem` and so on, as PEM; the last two are configured. */
  readonly keys: readonly string[]
  /** Tells the backend which keys to expect. */
  readonly publish: (keys: readonly string[]) => Promise<void>
  /** Seconds between one thing and the next. */
  readonly pause: number
}

/** Seconds after trouble with Redis in which it may still be felt: the store's time-out, finding out, `clock_skew` after an empty start. */
const AFTERMATH = 6

const REDIS_REASONS = new Set(['replay_unavailable'])

/** PEM of a new key in a file beside routes.yaml; its public half. */
export function newKey({ folder }: Place, name: string): string {
  const pem = makeAssertionKey()
  writeFileSync(join(folder, name), pem)
  return createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString()
}

/** Does one thing after another, over and over, until it is stopped. */
export function startTrouble({ place, gateway, publish, pause, ...options }: TroubleOptions): Trouble {
  const done = new Map<string, number>()
  const keys = [...options.keys]
  let excusedUntil = 0
  let over = false

  const change = (edit: (text: string) => string): void => writeFileSync(gateway.file, edit(readFileSync(gateway.file, 'utf8')))
  const reload = async (message: RegExp): Promise<void> => {
    const before = [...gateway.said().matchAll(new RegExp(message, 'g'))].length
    gateway.child.kill('SIGHUP')
    await gateway.until(message, before + 1)
  }
  const redisTrouble = async (act: () => Promise<void>): Promise<void> => {
    excusedUntil = Infinity
    await act()
    excusedUntil = Date.now() + AFTERMATH * 1000
  }

  const things: readonly (readonly [name: string, act: () => Promise<void>])[] = [
    [
      'reload',
      async () => {
        appendFileSync(gateway.file, `# ${new Date().toISOString()}\n`)
        await reload(/"reloaded"/)
      },
    ],
    [
      'next assertion key published, then in use',
      async () => {
        const last = keys.length - 1
        keys.push(newKey(place, `key-${last + 1}.pem`))
        await publish(keys)
        const use = (first: number, second: number) =>
          change((text) => text.replace(/keys: \[.*?\]/, `keys: [key-${first}.pem, key-${second}.pem]`))
        use(last, last + 1)
        await reload(/"reloaded"/)
        use(last + 1, last)
        await reload(/"reloaded"/)
      },
    ],
    [
      'reload of a broken file',
      async () => {
        const good = readFileSync(gateway.file)
        writeFileSync(gateway.file, good.subarray(0, good.length / 2))
        await reload(/the old one serves on/)
        writeFileSync(gateway.file, good)
        await reload(/"reloaded"/)
      },
    ],
    [
      'Redis freezes',
      () =>
        redisTrouble(async () => {
          place.redis.pause()
          await sleep(2_000)
          place.redis.resume()
        }),
    ],
    [
      'Redis is killed and starts empty',
      () =>
        redisTrouble(async () => {
          await place.redis.kill()
          await sleep(500)
          await place.redis.start()
        }),
    ],
  ]

  const run = async (): Promise<void> => {
    for (let turn = 0; !over; turn++) {
      const [name, act] = things[turn % things.length] ?? ['', async () => undefined]
      await act()
      done.set(name, (done.get(name) ?? 0) + 1)
      for (let waited = 0; waited < pause * 1000 && !over; waited += 100) await sleep(100)
    }
    await waitFor('all to be well', () => Date.now() > excusedUntil)
  }
  let failed = false
  const running = run()
  running.catch(() => {
    failed = true
  })
  return {
    excuses: (reason) => REDIS_REASONS.has(reason) && Date.now() < excusedUntil,
    done,
    isThrough: () => failed || done.size === things.length,
    stop: () => {
      over = true
      return running
    },
  }
}
