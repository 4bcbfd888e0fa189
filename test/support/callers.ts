// Clients that ask on and on while something else happens: some on connections that they keep, some on a new one for each request.
// What a reload or a rotation costs anyone shows here: every answer is counted, and everything that is none.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Fleet } from './fleet.js'
import type { RawClient } from './raw.js'

export type Asking = {
  /** How many do so. */
  readonly kept: number
  readonly fresh: number
  /** The next request, given the last answer's nonce. */
  readonly request: (nonce: string | undefined) => string | Buffer
}

export type Callers = {
  /** How often there was which status. */
  readonly answers: ReadonlyMap<number, number>
  /** What came in place of an answer, and the first lines of those that are no 200. */
  readonly failures: readonly string[]
  /** Answers so far. */
  count(): number
  /** Lets each finish its last request. At the end of the test at the latest. */
  stop(): Promise<void>
}

/** Between two requests of one client (milliseconds): the machine has others to serve. */
const PAUSE = 5

/** Starts them. `gateways` are asked in turn. */
export function startCallers(t: Test, gateways: readonly Fleet[], { kept, fresh, request }: Asking): Callers {
  const answers = new Map<number, number>()
  const failures: string[] = []
  let isOver = false
  let asked = 0
  const next = (): Fleet => gateways[asked++ % gateways.length] as Fleet

  const call = async (keeps: boolean): Promise<void> => {
    const clients = new Map<Fleet, RawClient>()
    let nonce: string | undefined
    while (!isOver) {
      const gateway = next()
      try {
        const client = clients.get(gateway) ?? (await gateway.open())
        clients.set(gateway, client)
        client.send(request(nonce))
        const { status, header, body } = await client.response()
        answers.set(status, (answers.get(status) ?? 0) + 1)
        if (status !== 200) failures.push(`${status} ${body}`)
        nonce = header('dpop-nonce') ?? nonce
        if (!keeps || header('connection') === 'close') {
          client.close()
          clients.delete(gateway)
        }
      } catch (error) {
        failures.push(String(error))
        clients.get(gateway)?.close()
        clients.delete(gateway)
      }
      await sleep(PAUSE)
    }
    for (const client of clients.values()) client.close()
  }
  const calls = [...Array(kept).fill(true), ...Array(fresh).fill(false)].map(call)
  const stop = async (): Promise<void> => {
    isOver = true
    await Promise.all(calls)
  }
  t.teardown(stop)
  return {
    answers,
    failures,
    count: () => [...answers.values()].reduce((sum, count) => sum + count, 0),
    stop,
  }
}
