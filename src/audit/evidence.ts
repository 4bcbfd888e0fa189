// Is a log whole? Reads the files that the gateway wrote, line by line, and says where something was taken out, put in, changed, moved
// or cut off (docs/evidence.md). A line vouches for all before it by its `prev`, a checkpoint by its signature; what it can't vouch for
// is said too. Knows files by name only: reading them is the caller's.

import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { CHECKPOINT_TYPE, type Checkpoint, hashOfLine } from './chain.js'

/** A public key of the gateway, as its JWK set has it. */
export type PublishedKey = { readonly kid?: string; readonly [member: string]: unknown }

/** What was found at a line (from 1); a note is no reason to doubt the log. */
export type Finding = { readonly file: string; readonly line: number; readonly kind: 'problem' | 'note'; readonly text: string }

/** What is in one file. */
export type FileSummary = {
  readonly file: string
  readonly events: number
  readonly checkpoints: number
  /** RFC 3339, of the first and last line with one. */
  readonly from: string | null
  readonly to: string | null
}

export type EvidenceOptions = {
  readonly keys: readonly PublishedKey[]
  /** The gateway runs, or was killed: the end of the newest file need not be signed. */
  readonly isRunning: boolean
}

type Event = { readonly [member: string]: unknown }

/** What a line is, as far as its bytes tell. */
type Read = {
  readonly hash: string
  readonly event: Event | null
  readonly prev: string | null | undefined
  readonly checkpoint: Checkpoint | null
}

/** A file as it is read. */
type Open = {
  readonly file: string
  /** A Redis stream: the whole chain of one worker of one gateway, but for what was trimmed at its old end. */
  readonly isStream: boolean
  line: number
  events: number
  checkpoints: number
  from: string | null
  to: string | null
  worker: number | null
  /** `prev` of the first line; undefined: it has none. */
  first: string | null | undefined
  hasBegin: boolean
  /** Hash of the last whole line that could be read; null: there is none. */
  last: string | null
  /** Of the last event: to tell what is missing. */
  seq: { readonly instance: unknown; readonly number: number } | null
  /** A line that is none: what follows tells whether it was torn. */
  unread: { readonly line: number; readonly isBehind: string | null } | null
  /** The last line was the checkpoint of an end. */
  hasEnded: boolean
  /** Events behind the last checkpoint. */
  unsigned: number
}

export class Evidence {
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #isRunning: boolean
  readonly #findings: Finding[] = []
  readonly #files: Open[] = []

  constructor({ keys, isRunning }: EvidenceOptions) {
    this.#keys = new Map(keys.flatMap((key) => (key.kid === undefined ? [] : [[key.kid, publicKey(key)] as const])))
    this.#isRunning = isRunning
  }

  /** Begins a file, or a stream; the lines that follow are its. */
  begin(file: string, { isStream = false } = {}): void {
    this.#endFile()
    const nothing = { line: 0, events: 0, checkpoints: 0, from: null, to: null, worker: null, first: undefined, hasBegin: false }
    this.#files.push({ file, isStream, ...nothing, last: null, seq: null, unread: null, hasEnded: false, unsigned: 0 })
  }

  /** The next line of the file, with its newline, if it has one. Returns the event, where it is one. */
  take(bytes: Uint8Array): Event | null {
    const file = this.#files.at(-1)
    if (file === undefined) throw new Error('no file was begun')
    file.line += 1
    if (bytes.at(-1) !== NEWLINE) {
      this.#say(
        file,
        this.#isRunning ? 'note' : 'problem',
        'is cut off: the gateway was killed while it wrote, or bytes are missing',
      )
      file.hasEnded = false
      return null
    }
    const read = this.#read(file, bytes)
    if (read.event === null || read.prev === undefined) {
      this.#endUnread(file, null)
      file.unread = { line: file.line, isBehind: file.last }
      return null
    }
    this.#link(file, read)
    this.#note(file, read, read.event)
    return read.checkpoint === null && read.event.event_type !== 'checkpoint' ? read.event : null
  }

  /** After the last file: what was found, in order of files and lines, and what was read. */
  end(): { readonly findings: readonly Finding[]; readonly files: readonly FileSummary[] } {
    this.#endFile()
    this.#joinFiles()
    const position = new Map(this.#files.map(({ file }, index) => [file, index]))
    const findings = [...this.#findings].sort(
      (a, b) => (position.get(a.file) ?? 0) - (position.get(b.file) ?? 0) || a.line - b.line,
    )
    return {
      findings,
      files: this.#files.map(({ file, events, checkpoints, from, to }) => ({ file, events, checkpoints, from, to })),
    }
  }

  #read(file: Open, bytes: Uint8Array): Read {
    const hash = hashOfLine(bytes)
    const event = parse(bytes)
    const prev = event?.prev === null || typeof event?.prev === 'string' ? event.prev : undefined
    if (event?.event_type !== 'checkpoint') return { hash, event, prev, checkpoint: null }
    const checkpoint = readCheckpoint(event.checkpoint, this.#keys)
    if (typeof checkpoint === 'string') {
      this.#say(file, 'problem', checkpoint)
      return { hash, event, prev, checkpoint: null }
    }
    const { at, time, instance, worker } = checkpoint
    const isItsOwn =
      checkpoint.prev === prev && [at, time, instance, worker].every((value, i) => value === event[SAID_TWICE[i] ?? ''])
    if (!isItsOwn) this.#say(file, 'problem', 'is a checkpoint whose signature is for another place')
    return { hash, event, prev, checkpoint: isItsOwn ? checkpoint : null }
  }

  /** Is the line behind the one that it names? */
  #link(file: Open, { hash, event, prev, checkpoint }: Read): void {
    const wasTorn = file.unread !== null && checkpoint?.torn === true && checkpoint.prev === file.unread.isBehind
    const isAfterUnread = file.unread !== null
    this.#endUnread(
      file,
      wasTorn ? 'was torn: the gateway was killed, or the disk failed, while it was written; nobody was told it was there' : null,
    )
    if (file.line === 1) file.first = prev
    else if (!isAfterUnread && prev !== file.last) this.#say(file, 'problem', whatIsWrong(file, event))
    else if (file.hasEnded && checkpoint?.at !== 'begin') this.#say(file, 'problem', 'stands behind an end without a beginning')
    file.last = hash
  }

  #note(file: Open, { checkpoint }: Read, event: Event): void {
    const wasEnded = file.hasEnded
    file.hasEnded = checkpoint?.at === 'end'
    if (file.worker === null && typeof event.worker === 'number') file.worker = event.worker
    if (typeof event.time === 'string') {
      file.from ??= event.time
      file.to = event.time
    }
    if (event.event_type === 'checkpoint') {
      file.checkpoints += 1
      file.unsigned = 0
      if (file.line === 1) file.hasBegin = checkpoint?.at === 'begin'
      if (checkpoint?.at === 'begin' && file.line > 1 && !wasEnded)
        this.#say(file, 'note', 'begins anew: the gateway before it had no time to end (it was killed)')
      return
    }
    file.events += 1
    file.unsigned += 1
    if (typeof event.seq !== 'number') return
    const gap = file.seq !== null && file.seq.instance === event.instance ? event.seq - file.seq.number - 1 : 0
    // The chain holds, so the gateway itself did not write them.
    if (gap > 0 && this.#findings.at(-1)?.line !== file.line)
      this.#say(file, 'note', `comes after ${gap} events that the gateway could not write, or refused to forward without (seq)`)
    file.seq = { instance: event.instance, number: event.seq }
  }

  #endUnread(file: Open, excuse: string | null): void {
    if (file.unread === null) return
    const { line } = file.unread
    file.unread = null
    const text = excuse ?? 'is no line of the gateway: it was changed or put in'
    this.#findings.push({ file: file.file, line, kind: excuse === null ? 'problem' : 'note', text })
  }

  #endFile(): void {
    const file = this.#files.at(-1)
    if (file !== undefined) this.#endUnread(file, null)
  }

  /** Files of one worker, by time: each must go on where the one before it ended. */
  #joinFiles(): void {
    for (const files of groupByWorker(this.#files).values()) {
      const inOrder = files.filter(({ line }) => line > 0).sort((a, b) => ((a.from ?? '') < (b.from ?? '') ? -1 : 1))
      for (const [i, file] of inOrder.entries()) this.#join(file, inOrder[i - 1])
      const newest = inOrder.at(-1)
      if (newest !== undefined) this.#judgeEnd(newest)
    }
  }

  #join(file: Open, before: Open | undefined): void {
    if (file.first === null || file.first === undefined) {
      if (before !== undefined || !file.hasBegin) this.#sayAt(file, 1, 'problem', BEGINS_NOWHERE)
    } else if (file.isStream) {
      this.#sayAt(file, 1, 'note', 'is the oldest there is: nothing is said of what was before (audit.stream.events)')
    } else if (before === undefined) {
      const isWhole = file.hasBegin
      const text = isWhole ? 'goes on from a file that was not given: nothing is said of what was before' : BEGINS_NOWHERE
      this.#sayAt(file, 1, isWhole ? 'note' : 'problem', text)
    } else if (file.first !== before.last) {
      this.#sayAt(file, 1, 'problem', `does not go on where ${before.file} ends: lines between them, or a file, are missing`)
    }
  }

  #judgeEnd(file: Open): void {
    if (file.hasEnded) return
    const behind = file.unsigned === 0 ? 'ends at a checkpoint' : `ends with ${file.unsigned} events behind the last checkpoint`
    const text = this.#isRunning
      ? `${behind}; what came after it, if anything, is not vouched for yet`
      : `${behind}, not at an end: lines were cut off, or the gateway runs or was killed (then say --running)`
    this.#say(file, this.#isRunning ? 'note' : 'problem', text)
  }

  #say(file: Open, kind: Finding['kind'], text: string): void {
    this.#sayAt(file, file.line, kind, text)
  }

  #sayAt({ file }: Open, line: number, kind: Finding['kind'], text: string): void {
    this.#findings.push({ file, line, kind, text })
  }
}

const NEWLINE = 0x0a
/** Members of a checkpoint's line that its signature holds too. */
const SAID_TWICE = ['at', 'time', 'instance', 'worker']
const BEGINS_NOWHERE = 'is not where a gateway begins a file: lines before it are missing'

/** Files by their worker, for those of a gateway are given together; each stream is by itself. */
function groupByWorker(files: readonly Open[]): Map<number | string | null, Open[]> {
  const groups = new Map<number | string | null, Open[]>()
  for (const open of files) {
    const key = open.isStream ? open.file : open.worker
    groups.set(key, [...(groups.get(key) ?? []), open])
  }
  return groups
}

/** Told from `seq`, which counts the events of one start of one process. */
function whatIsWrong({ seq }: Open, event: Event | null): string {
  const number = typeof event?.seq === 'number' && seq !== null && event.instance === seq.instance ? event.seq : null
  if (number === null || seq === null) return 'does not go on from the line before it: one was removed, put in or changed there'
  if (number > seq.number + 1)
    return `does not go on from the line before it: events ${seq.number + 1} to ${number - 1} (seq) are missing`
  if (number <= seq.number) return `is out of order: it is event ${number} (seq), and stands behind ${seq.number}`
  return 'does not go on from the line before it, which was changed after it was written'
}

function parse(bytes: Uint8Array): Event | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Event) : null
  } catch {
    return null
  }
}

/** The claims of a checkpoint, its signature verified; or what is wrong with it. */
function readCheckpoint(jws: unknown, keys: ReadonlyMap<string, KeyObject>): Checkpoint | string {
  const [header = '', claims = '', signature = '', ...more] = typeof jws === 'string' ? jws.split('.') : []
  const head = parse(Buffer.from(header, 'base64url'))
  if (more.length > 0 || head?.alg !== 'ES256' || head.typ !== CHECKPOINT_TYPE) return 'is a checkpoint without a signature'
  const key = keys.get(String(head.kid))
  if (key === undefined) return `is a checkpoint signed by a key that was not given (kid ${JSON.stringify(head.kid)})`
  const signed = Buffer.from(`${header}.${claims}`)
  const isGood = verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))
  return isGood ? (parse(Buffer.from(claims, 'base64url')) as Checkpoint) : 'is a checkpoint with a wrong signature'
}

function publicKey(jwk: PublishedKey): KeyObject {
  const key = createPublicKey({ key: { ...jwk }, format: 'jwk' })
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error(`key ${jwk.kid} is not an EC P-256 key`)
  return key
}
