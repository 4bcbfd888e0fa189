// What is the whole body? Held in memory for tiers with `body_digest`, within one budget for all (contract §4 `overloaded`).
// Bytes that have arrived are counted, not promised ones: a declared length costs its sender nothing and must cost us nothing.
// Does not serve tiers that stream: upstream/ reads those bodies.

import type { IncomingMessage } from 'node:http'
import type { Limits } from '../config/config.js'
import { sha256OfParts } from '../verify/hashes.js'
import type { Bytes } from '../verify/scalars.js'
import type { HeldBody } from '../verify/types.js'
import { Denial, deny } from '../verify/verdict.js'
import type { EdgeExchange } from './server.js'

export type BodyHolder = {
  /**
   * The whole body, of `maxBody` bytes at most; empty, without waiting, where there is none. Its share of the budget is given
   * back when the exchange's answer is done or its connection gone. Refuses `body_too_large`, `overloaded`,
   * `request_timeout`, and `request_malformed` for a body that breaks off. Never rejects.
   */
  hold(exchange: EdgeExchange, maxBody: Bytes): Promise<HeldBody | Denial>
  /** How much of the budget is taken. */
  heldBytes(): Bytes
}

type BodyLimits = Pick<Limits, 'body_idle' | 'body_total' | 'digest_buffer'>

/** What all holders of a process hold together. */
export type BodyBudget = { held: Bytes }

/** Holds bodies by these limits, within a budget that it shares with the holders of other configurations. */
export function createBodyHolder(limits: BodyLimits, budget: BodyBudget = { held: 0 }): BodyHolder {
  const take = (exchange: EdgeExchange, maxBody: Bytes): Promise<HeldBody | Denial> =>
    new Promise((resolve) => {
      const { request, response } = exchange
      const body = growingBuffer()
      const idle = setTimeout(() => settle(deny('request_timeout', 'body_idle')), limits.body_idle * 1000)
      const total = setTimeout(() => settle(deny('request_timeout', 'body_total')), limits.body_total * 1000)
      let mine = 0
      let share = 0
      let turn: NodeJS.Immediate | undefined
      const release = (): void => {
        budget.held -= mine
        mine = 0
      }
      const settle = (result: HeldBody | Denial): void => {
        clearTimeout(idle)
        clearTimeout(total)
        clearImmediate(turn)
        request.off('data', add).off('end', finish).off('error', breakOff).off('close', breakOff)
        if (result instanceof Denial) release()
        resolve(result)
      }
      const add = (chunk: Buffer): void => {
        idle.refresh()
        if (body.length() + chunk.length > maxBody) return void settle(deny('body_too_large'))
        if (budget.held + chunk.length > limits.digest_buffer) return void settle(deny('overloaded', 'digest_buffer'))
        budget.held += chunk.length
        mine += chunk.length
        body.add(chunk)
        share += chunk.length + CHUNK
        turn ??= setImmediate(endTurn)
        if (share >= SHARE) request.pause()
      }
      const endTurn = (): void => {
        turn = undefined
        share = 0
        request.resume()
      }
      const finish = (): void => settle(body.whole())
      const breakOff = (): void => settle(deny('request_malformed', 'the body breaks off'))
      response.once('close', release)
      request.on('data', add).on('end', finish).on('error', breakOff).on('close', breakOff)
      exchange.sendContinue()
    })

  return {
    async hold(exchange, maxBody) {
      const { request, response } = exchange
      const length = declaredLength(request)
      if (length === 0) return NOTHING
      if (length !== null && length > maxBody) return deny('body_too_large')
      if (request.destroyed || response.destroyed) return deny('request_malformed', 'the client has gone')
      // Before 100 Continue: what can't be taken must not be asked for.
      if (budget.held >= limits.digest_buffer) return deny('overloaded', 'digest_buffer')
      return take(exchange, maxBody)
    },
    heldBytes: () => budget.held,
  }
}

const NOTHING: HeldBody = { bytes: Buffer.alloc(0), digest: null }

/** What one body may bring in one turn of the event loop, and what a chunk counts beside its bytes: as in upstream/request-body.ts. */
const SHARE: Bytes = 64 * 1024
const CHUNK: Bytes = 128

/** null: chunked, so unknown. Framing was judged before (framing.ts). */
const declaredLength = ({ headers }: IncomingMessage): Bytes | null =>
  headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : null

/**
 * One buffer that doubles, into which chunks are copied: a list of them would let a client that sends a megabyte byte by byte
 * take some hundred times that of our memory.
 */
function growingBuffer() {
  const hash = sha256OfParts()
  let buffer = Buffer.alloc(0)
  let length = 0
  return {
    add(chunk: Buffer): void {
      const needed = length + chunk.length
      if (needed > buffer.length) {
        const larger = Buffer.allocUnsafeSlow(Math.max(needed, buffer.length * 2))
        buffer.copy(larger, 0, 0, length)
        buffer = larger
      }
      chunk.copy(buffer, length)
      hash.add(chunk)
      length = needed
    },
    length: (): Bytes => length,
    whole: (): HeldBody => (length === 0 ? NOTHING : { bytes: buffer.subarray(0, length), digest: hash.digest() }),
  }
}
