// What goes wrong during a soak, one thing after another: each says what honest clients may be told while it lasts.
import { execFileSync } from 'node:child_process'
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
  /** Is the backend there? */
  readonly backend: { close(): Promise<void>; open(): Promise<void> }
  /** Seconds between one thing and the next. */
  readonly pause: number
}

const REPLACED = 'a worker accepts requests in place of one that ended'

/** Seconds after a trouble in which it may still be felt: time-outs, finding out, `clock_skew` after Redis started empty. */
const AFTERMATH = 6

/** What honest clients may be told during a trouble, and for a while after it. */
const REDIS: readonly string[] = ['replay_unavailable']
const BACKEND: readonly string[] = ['upstream_unreachable', 'upstream_reset', 'upstream_timeout', 'no answer']
const DISK: readonly string[] = ['audit_unavailable']
const WORKER: readonly string[] = ['no answer', 'no connection']

/** More than any file of a test, and less than what a file may have: nothing more can be written to an audit file. */
const FULL_BYTES = 1

/** PEM of a new key in a file beside routes.yaml; its public half. */
export function newKey({ folder }: Place, name: string): string {
  const pem = makeAssertionKey()
  writeFileSync(join(folder, name), pem)
  return createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString()
}

/** Does one thing after another, over and over, until it is stopped. */
export function startTrouble({ place, gateway, publish, backend, pause, ...options }: TroubleOptions): Trouble {
  const done = new Map<string, number>()
  const keys = [...options.keys]
  const excusedUntil = new Map<string, number>()
  let over = false

  const change = (edit: (text: string) => string): void => writeFileSync(gateway.file, edit(readFileSync(gateway.file, 'utf8')))
  const reload = async (message: RegExp): Promise<void> => {
    const before = [...gateway.said().matchAll(new RegExp(message, 'g'))].length
    gateway.child.kill('SIGHUP')
    await gateway.until(message, before + 1)
  }
  const excusing =
    (reasons: readonly string[], act: () => Promise<void>): (() => Promise<void>) =>
    async () => {
      for (const reason of reasons) excusedUntil.set(reason, Number.POSITIVE_INFINITY)
      await act()
      for (const reason of reasons) excusedUntil.set(reason, Date.now() + AFTERMATH * 1000)
    }
  const limitFiles = (limit: string): void => {
    for (const pid of gateway.workers()) execFileSync('prlimit', ['--pid', String(pid), `--fsize=${limit}:unlimited`])
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
      excusing(REDIS, async () => {
        place.redis.pause()
        await sleep(2_000)
        place.redis.resume()
      }),
    ],
    [
      'Redis is killed and starts empty',
      excusing(REDIS, async () => {
        await place.redis.kill()
        await sleep(500)
        await place.redis.start()
      }),
    ],
    [
      'the backend is away',
      excusing(BACKEND, async () => {
        await backend.close()
        await sleep(1_000)
        await backend.open()
      }),
    ],
    [
      'the audit disk is full',
      excusing(DISK, async () => {
        limitFiles(`${FULL_BYTES}`)
        await sleep(1_000)
        limitFiles('unlimited')
      }),
    ],
    [
      'a worker is killed',
      excusing(WORKER, async () => {
        const before = gateway.lines(REPLACED).length
        gateway.killOne()
        await waitFor('another worker', () => gateway.lines(REPLACED).length > before)
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
    await waitFor('all to be well', () => [...excusedUntil.values()].every((until) => Date.now() > until))
  }
  let failed = false
  const running = run()
  running.catch(() => {
    failed = true
  })
  return {
    excuses: (reason) => Date.now() < (excusedUntil.get(reason) ?? 0),
    done,
    isThrough: () => failed || done.size === things.length,
    stop: () => {
      over = true
      return running
    },
  }
}
