// Takes security events, pushed to us (RFC 8935) or asked for (poll.ts), and makes revocations of them. Who delivers is known by a token of its own before a
// signature is looked at; an event that was heard before changes nothing again, even where its revocation was taken back since.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { IssuerSource } from '../config/config.js'
import { nameOf } from '../revocations/entry.js'
import type { RevocationStore } from '../revocations/store.js'
import type { Seconds } from '../verify/scalars.js'
import type { KeysFor } from '../verify/types.js'
import { consequenceOf, shortName } from './caep.js'
import { readSet, type SetError, type Transmitter } from './set.js'

/** A request as it came: its Authorization header and its body. */
export type Delivery = { readonly authorization: string | undefined; readonly body: string }

/** An HTTP status, and the body that explains it. */
export type Receipt = { readonly status: 202 | 400 | 401 | 404 | 503; readonly error: SetError | null }

export type ReceiverOptions = {
  /** What serves now: its issuers may be transmitters. */
  readonly current: () => {
    readonly config: { readonly issuers: readonly IssuerSource[] }
    readonly issuerKeys: { readonly keysFor: KeysFor }
  }
  readonly store: RevocationStore
  readonly clock: () => Seconds
  readonly log: (message: string) => void
}

/** Longer than tokens live: what an event revokes is over by itself. */
const KEPT: Seconds = 30 * 86_400

/** Characters of an event that stand in the log and in the list. */
const LONGEST = 200

export type Receiver = {
  /** What somebody delivered. */
  deliver(delivery: Delivery): Promise<Receipt>
  /** One event of a transmitter that is known. */
  take(set: string, transmitter: Transmitter): Promise<Receipt>
}

export function createReceiver({ current, store, clock, log }: ReceiverOptions): Receiver {
  const deliver = async ({ authorization, body }: Delivery): Promise<Receipt> => {
    const all = transmittersOf(current().config.issuers).filter(({ settings }) => settings.token !== null)
    if (all.length === 0) return { status: 404, error: null }
    const transmitter = all.find(({ settings }) => isBearer(authorization, settings.token ?? ''))
    if (transmitter === undefined)
      return { status: 401, error: { err: 'authentication_failed', description: 'this receiver does not know the token' } }
    return take(body, transmitter)
  }

  const take = async (set: string, transmitter: Transmitter): Promise<Receipt> => {
    const now = clock()
    const event = await readSet(set, transmitter, { keysFor: current().issuerKeys.keysFor, now })
    if ('err' in event) return refuse(event, log)
    const consequence = consequenceOf(event, now)
    const name = shortName(event.type)
    if (consequence === null) {
      log(`events of ${event.issuer}: ${name ?? 'an event of a kind that means nothing here'}`)
      return ACCEPTED
    }
    if (consequence === 'unmatched') {
      log(`events of ${event.issuer}: ${name}, of a subject that no token names: nothing is revoked`)
      return ACCEPTED
    }
    if ('err' in consequence) return refuse(consequence, log)
    const { target, issued_before } = consequence
    const reason = `${name} (${event.jti.slice(0, LONGEST)})`
    const terms = { effect: 'refuse', issued_before, until: now + KEPT, by: event.issuer, reason } as const
    try {
      const id = createHash('sha256')
        .update(JSON.stringify([event.issuer, event.jti]))
        .digest('base64url')
      await store.revokeOnce(id, nameOf(target), terms)
    } catch {
      return refuse({ err: 'unavailable', description: 'the list of revocations is unavailable' }, log)
    }
    return ACCEPTED
  }
  return { deliver, take }
}

/** Issuers that are heard. */
export const transmittersOf = (issuers: readonly IssuerSource[]): readonly (Transmitter & { readonly issuer: IssuerSource })[] =>
  issuers.flatMap((issuer) => (issuer.events === undefined ? [] : [{ issuer, settings: issuer.events }]))

const ACCEPTED: Receipt = { status: 202, error: null }

function refuse(error: SetError, log: (message: string) => void): Receipt {
  log(`events: one was refused: ${error.err}: ${error.description}`)
  return { status: error.err === 'unavailable' ? 503 : 400, error }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Hashed first: then the time that it takes says nothing of how much of it was right. */
function isBearer(authorization: string | undefined, token: string): boolean {
  const [, given = ''] = /^Bearer ([\x21-\x7e]+)$/i.exec(authorization ?? '') ?? []
  return timingSafeEqual(digest(given), digest(token))
}
