// Small calls at a steady rate, whatever else goes on: how long each takes from the moment it was due, so that a server that
// stalls is not asked less. And other clients beside them, in threads of their own, which keep asking for as long as a test wants.

import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { RawClient } from './raw.js'

/** Of all calls of one series, in milliseconds. */
export type Latencies = { readonly p50: number; readonly p99: number; readonly most: number }

export type Series = {
  /** Connections that take turns; enough of them that a late answer does not hold up the next call. */
  readonly clients: readonly RawClient[]
  /** Sent once each, and all of them. */
  readonly requests: readonly (string | Buffer)[]
  /** Calls a second. */
  readonly rate: number
  /** The status that every answer must have. */
  readonly expect: number
}

/** Sends all requests, each when it is due, and waits for all answers. Rejects where one has another status. */
export async function callSteadily({ clients, requests, rate, expect }: Series): Promise<Latencies> {
  const idle = [...clients]
  const waiting: number[] = []
  const latencies: number[] = []
  const start = performance.now()
  let sent = 0
  let due = 0
  let failed: unknown = null

  const ask = async (client: RawClient, at: number, request: string | Buffer): Promise<void> => {
    client.send(request)
    const { status, body } = await client.response()
    latencies.push(performance.now() - at)
    if (status !== expect) throw new Error(`${status} instead of ${expect}: ${body.toString()}`)
    idle.push(client)
    serve()
  }
  const serve = (): void => {
    while (idle.length > 0 && waiting.length > 0) {
      const client = idle.pop()
      const at = waiting.shift()
      const request = requests[sent++]
      if (client === undefined || at === undefined || request === undefined) return
      ask(client, at, request).catch((error: unknown) => {
        failed ??= error
      })
    }
  }
  while (latencies.length < requests.length) {
    if (failed !== null) throw failed
    for (; due < requests.length && start + (due * 1000) / rate <= performance.now(); due++) {
      waiting.push(start + (due * 1000) / rate)
    }
    serve()
    await sleep(1)
  }
  latencies.sort((a, b) => a - b)
  const at = (share: number): number => latencies[Math.ceil(latencies.length * share) - 1] ?? 0
  return { p50: at(0.5), p99: at(0.99), most: at(1) }
}

export type Others = {
  /** Throws what went wrong in their thread. */
  check(): void
  stop(): Promise<void>
}

/** Starts a thread that does what `data` says; resolves when it has done some of it. Rejects with what went wrong there. */
export async function startOthers(file: string, data: object): Promise<Others> {
  const worker = new Worker(file, { workerData: data })
  let done = 0
  let problem: Error | null = null
  worker.on('message', (count: number) => {
    done += count
  })
  worker.on('error', (error: Error) => {
    problem = error
  })
  for (let i = 0; i < 2000 && done === 0; i++) {
    if (problem !== null) throw problem
    await sleep(5)
  }
  if (done === 0) throw new Error(`nothing was done in ten seconds: ${JSON.stringify(data).slice(0, 200)}`)
  return {
    check: () => {
      if (problem !== null) throw problem
    },
    async stop() {
      const exit = once(worker, 'exit')
      await worker.terminate()
      await exit
    },
  }
}
