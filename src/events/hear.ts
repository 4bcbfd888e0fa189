// Security events, however they come: pushed to this process, and asked for by one process of each gateway.

import { type PollOptions, startPolling } from './poll.js'
import { createReceiver, type Receiver, type ReceiverOptions } from './receive.js'

export type Hearing = {
  readonly deliver: Receiver['deliver']
  /** One sentence for each transmitter that was asked in vain the last time. */
  problems(): readonly string[]
  close(): void
}

/** `asks`: is this the process that asks? */
export function hearEvents(options: ReceiverOptions & Omit<PollOptions, 'take'> & { readonly asks: boolean }): Hearing {
  const { deliver, take } = createReceiver(options)
  const polling = options.asks ? startPolling({ ...options, take }) : null
  return { deliver, problems: () => polling?.problems() ?? [], close: () => polling?.close() }
}
