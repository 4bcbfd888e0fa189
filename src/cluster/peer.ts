// How do a primary and a worker ask each other something? Calls with one answer each over the channel between two processes. What
// is sent must survive structured JSON: no functions, no bytes. A connection may go with a call.

import type { Socket } from 'node:net'

/** One end of what connects a worker with its primary. */
export type Channel = {
  readonly send: (message: object, socket?: Socket) => void
  readonly onMessage: (listener: (message: unknown, socket?: Socket) => void) => void
}

/** What this end answers, by name. A rejection is told to the other end by its message. */
export type Handlers = Readonly<Record<string, (value: unknown, socket?: Socket) => unknown>>

/** The other end. */
export type Peer = {
  /** Rejects with what went wrong there, and when there is no answer in time. */
  call(name: string, value?: unknown, socket?: Socket): Promise<unknown>
  /** There is no other end any more: whoever waits for an answer, or asks from now on, is told the problem. */
  close(problem: string): void
}

type Call = { readonly call: string; readonly id: number; readonly value?: unknown }
type Answer = { readonly answer: number; readonly value?: unknown; readonly problem?: string }

/** Longer than anything that is asked may take: only a process that hangs is waited for so long (milliseconds). */
const LONGEST_MS = 30_000

/** Answers calls from now on, and makes them. */
export function openPeer({ send, onMessage }: Channel, handlers: Handlers): Peer {
  const waiting = new Map<number, (answer: Answer) => void>()
  let last = 0
  let closed: string | null = null
  onMessage((message, socket) => {
    if (isAnswer(message)) waiting.get(message.answer)?.(message)
    else if (isCall(message)) void answer(message, socket)
  })

  async function answer({ call, id, value }: Call, socket?: Socket): Promise<void> {
    try {
      const handler = handlers[call]
      if (handler === undefined) throw new Error(`nobody answers ${call}`)
      send({ answer: id, value: await handler(value, socket) } satisfies Answer)
    } catch (error) {
      send({ answer: id, problem: error instanceof Error ? error.message : 'unknown error' } satisfies Answer)
    }
  }

  return {
    call: (name, value, socket) =>
      new Promise((resolve, reject) => {
        const id = ++last
        const settle = ({ problem, value: answered }: Answer): void => {
          waiting.delete(id)
          clearTimeout(timer)
          if (problem === undefined) resolve(answered)
          else reject(new Error(problem))
        }
        const timer = setTimeout(() => settle({ answer: id, problem: 'the other process does not answer' }), LONGEST_MS)
        timer.unref()
        waiting.set(id, settle)
        if (closed !== null) return settle({ answer: id, problem: closed })
        send({ call: name, id, value } satisfies Call, socket)
      }),
    close: (problem) => {
      closed = problem
      for (const [id, settle] of [...waiting]) settle({ answer: id, problem })
    },
  }
}

const isCall = (message: unknown): message is Call => typeof message === 'object' && message !== null && 'call' in message
const isAnswer = (message: unknown): message is Answer => typeof message === 'object' && message !== null && 'answer' in message
