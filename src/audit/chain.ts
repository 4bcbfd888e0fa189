// What makes the log evidence: every line begins with the hash of the line before it (`prev`), and checkpoints sign that hash, so that
// no line can be taken out, put in, changed or moved unseen, by whoever has the file and not the key (docs/evidence.md).
// Pure: how lines get to the file, and whether they did, is line-file.ts's.

import { hash } from 'node:crypto'

/** What checkpoints are signed with; the gateway's own key, as assertions are. ES256. */
export type Signer = { readonly kid: string; readonly sign: (data: string) => string }

/**
 * `begin`: this process, or this file, begins here; `interval`: lines were written since the last one; `end`: this process, or this
 * file, ends here, in good order.
 */
export type CheckpointAt = 'begin' | 'interval' | 'end'

/** The claims of a checkpoint's JWS. */
export type Checkpoint = {
  readonly iss: string
  readonly instance: string
  readonly worker: number
  readonly at: CheckpointAt
  /** RFC 3339. */
  readonly time: string
  /** Hash of the line before it; null: it is the first there is. */
  readonly prev: string | null
  /** The line before it is a part of one: the process, or the disk, failed while it was written. */
  readonly torn?: true
}

export const CHECKPOINT_TYPE = 'holdfast-checkpoint+jwt'

/** base64url SHA-256 of a line, its newline included: `sed -n 5p FILE | sha256sum` is the same in hex. */
export const hashOfLine = (line: string | Uint8Array): string => hash('sha256', line, 'base64url')

export type ChainOptions = {
  readonly issuer: string
  readonly instance: string
  readonly worker: number
  readonly signer: () => Signer
  readonly time: () => Date
}

/** A line as JSON with its newline, or where a checkpoint is to be. */
export type Line = string | { readonly at: CheckpointAt }

/** Lines as they go to the file. */
export type Sealed = {
  readonly lines: readonly string[]
  /** So many of them, from the first, are in the file. */
  written(count: number): void
}

export class Chain {
  #prev: string | null
  #hasBegun = false
  readonly #options: ChainOptions

  /** `last`: hash of the last whole line of the file; null: there is none. */
  constructor(last: string | null, options: ChainOptions) {
    this.#prev = last
    this.#options = options
  }

  /** Is there anything that could end? */
  hasBegun(): boolean {
    return this.#hasBegun
  }

  /** Seals lines behind those that are written. What begins, or goes on behind a torn line, does so with a checkpoint. */
  seal(batch: readonly Line[], isTorn: boolean): Sealed {
    const lines: string[] = []
    const hashes: string[] = []
    let prev = this.#prev
    const add = (line: string): void => {
      prev = hashOfLine(line)
      lines.push(line)
      hashes.push(prev)
    }
    if (!this.#hasBegun || isTorn) add(this.#checkpoint('begin', prev, isTorn))
    for (const line of batch) {
      add(typeof line === 'string' ? withPrev(line, prev) : this.#checkpoint(line.at, prev))
    }
    const ends = batch.some((line) => typeof line !== 'string' && line.at === 'end')
    return {
      lines,
      written: (count) => {
        if (count === 0) return
        this.#prev = hashes[count - 1] ?? null
        this.#hasBegun = !(ends && count === lines.length)
      },
    }
  }

  #checkpoint(at: CheckpointAt, prev: string | null, isTorn = false): string {
    const { issuer, instance, worker, signer, time } = this.#options
    const now = time().toISOString()
    const claims: Checkpoint = {
      iss: issuer,
      instance,
      worker,
      at,
      time: now,
      prev,
      ...(isTorn ? { torn: true } : {}),
    }
    const { kid, sign } = signer()
    const signed = `${encode({ alg: 'ES256', typ: CHECKPOINT_TYPE, kid })}.${encode(claims)}`
    const event = { worker, instance, event_type: 'checkpoint', time: now, at, checkpoint: `${signed}.${sign(signed)}` }
    return withPrev(`${JSON.stringify(event)}\n`, prev)
  }
}

const withPrev = (line: string, prev: string | null): string => `{"prev":${prev === null ? null : `"${prev}"`},${line.slice(1)}`

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
