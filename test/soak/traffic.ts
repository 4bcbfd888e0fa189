// The clients of a soak: honest ones, replayers, forgers, some who hang up in the middle and some who never get on. Each says what must
// come of its request, and whatever else comes is a problem.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Draft, makeDraft, printDraft } from '../support/draft.js'
import { type Fleet, HOST } from '../support/fleet.js'
import { makeKey } from '../support/jwt.js'
import { anonymous, bearer } from '../support/kinds.js'
import type { RawClient, RawResponse } from '../support/raw.js'

/** What may come instead of what should, while something is broken on purpose. */
export type Excuse = (reason: string) => boolean

export type Ledger = {
  /** Requests of each kind, and of each how many came to which end. */
  readonly kinds: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly problems: readonly string[]
  /** The longest that anyone waited for an answer (milliseconds). */
  readonly slowest: number
}

export type Traffic = {
  readonly ledger: Ledger
  /** No more requests; resolves when all have their answers. */
  stop(): Promise<void>
}

type Outcome = { readonly status: number; readonly reason: string }

type Kind = {
  readonly name: string
  /** How often, of all requests. */
  readonly weight: number
  /** The request; null: there is nothing to do it with yet. */
  readonly make: () => Draft | null
  /** A problem, or null. */
  readonly judge: (outcome: Outcome) => boolean
  readonly behave?: 'hang up'
  readonly after?: (draft: Draft) => void
}

/** Where answers later than this (milliseconds) are hangs, whatever the machine does beside them. */
const HANG_MS = 10_000
/** How long (milliseconds) a proof may still be worth a try. */
const REPLAY_MS = 90_000

const READ = { path: '/read', method: 'GET' }
const WRITE = { path: '/write', method: 'POST' }
const stranger = makeKey('ES256')

function draftOf({ path, method }: { readonly path: string; readonly method: string }, ask = 'done'): Draft {
  const draft = makeDraft({ host: HOST, path, method })
  draft.headers = [
    ['X-Soak-Name', String(draft.proof?.claims.jti)],
    ['X-Soak-Ask', ask],
    // None of these may reach the backend.
    ['X-Remote-User', 'admin'],
    ['Holdfast-Assertion', 'e30.e30.e30'],
  ]
  if (method === 'POST') draft.body = Buffer.from(JSON.stringify({ decision: 'x'.repeat(1000) }))
  return draft
}

/** A request that must be refused. */
function wrong(change: (draft: Draft) => void): Draft {
  const draft = draftOf(READ)
  change(draft)
  draft.headers[0] = ['X-Soak-Name', `wrong-${randomUUID()}`]
  return draft
}

const WRONGS: readonly ((draft: Draft) => void)[] = [
  (draft) => void bearer(draft),
  (draft) => void anonymous(draft),
  (draft) => {
    draft.scheme = 'Bearer'
  },
  (draft) => {
    if (draft.proof !== null) draft.proof.key = stranger
  },
  (draft) => {
    draft.token.key = stranger
  },
  (draft) => {
    draft.token.claims.exp = draft.now - 1
  },
  (draft) => {
    if (draft.proof !== null) draft.proof.claims.htu = `https://${HOST}/other`
  },
  (draft) => {
    if (draft.proof !== null) draft.proof.claims.iat = draft.now - 120
  },
]

const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(Math.random() * list.length)]

function kindsOf(): readonly Kind[] {
  const spent: { readonly draft: Draft; readonly at: number }[] = []
  const remember = (draft: Draft): void => {
    spent.push({ draft, at: Date.now() })
    while (spent.length > 20_000 || Date.now() - (spent[0]?.at ?? Infinity) > REPLAY_MS) spent.shift()
  }
  const granted = ({ status }: Outcome): boolean => status === 200
  const refused = ({ status }: Outcome): boolean => status >= 400
  const failed = ({ status }: Outcome): boolean => status === 502 || status === 0
  return [
    { name: 'read', weight: 35, make: () => draftOf(READ), judge: granted, after: remember },
    { name: 'write, evidence on disk first', weight: 25, make: () => draftOf(WRITE), judge: granted, after: remember },
    { name: 'public', weight: 8, make: () => anonymous(draftOf({ path: '/open', method: 'GET' })), judge: granted },
    { name: 'replay', weight: 12, make: () => pick(spent)?.draft ?? null, judge: refused },
    { name: 'forged', weight: 8, make: () => wrong(pick(WRONGS) ?? (() => undefined)), judge: refused },
    { name: 'hangs up', weight: 5, make: () => draftOf(pick([READ, WRITE]) ?? READ), judge: () => true, behave: 'hang up' },
    { name: 'slow backend', weight: 3, make: () => draftOf(READ, 'slow'), judge: granted },
    { name: 'large answer', weight: 1, make: () => draftOf(READ, 'large'), judge: granted },
    { name: 'backend resets', weight: 2, make: () => draftOf(READ, 'reset'), judge: failed },
    { name: 'backend stops short', weight: 1, make: () => draftOf(READ, 'short'), judge: failed },
  ]
}

function choose(kinds: readonly Kind[]): Kind {
  let left = Math.random() * kinds.reduce((sum, { weight }) => sum + weight, 0)
  const found = kinds.find(({ weight }) => {
    left -= weight
    return left < 0
  })
  if (found === undefined) throw new Error('there are no kinds of requests')
  return found
}

function reasonOf({ status, body }: RawResponse): string {
  if (status < 400) return 'granted'
  try {
    return String(JSON.parse(body.toString()).reason)
  } catch {
    return `${status} without a reason`
  }
}

/** Starts `connections` clients, and `slow` ones that hold a connection each and send a byte now and then. */
export function startTraffic(
  gateway: Fleet,
  { connections, slow, excuse }: { readonly connections: number; readonly slow: number; readonly excuse: Excuse },
): Traffic {
  const kinds = kindsOf()
  const ledger = { kinds: new Map<string, Map<string, number>>(), problems: [] as string[], slowest: 0 }
  let over = false

  const enter = ({ name }: Kind, end: string): void => {
    const ends = ledger.kinds.get(name) ?? new Map<string, number>()
    ends.set(end, (ends.get(end) ?? 0) + 1)
    ledger.kinds.set(name, ends)
  }

  const serveOne = async (kind: Kind, draft: Draft, client: RawClient): Promise<boolean> => {
    if (kind.behave === 'hang up') {
      const bytes = printDraft(draft)
      client.send(bytes.subarray(0, Math.ceil(Math.random() * bytes.length)))
      await sleep(Math.random() * 20)
      client.close()
      enter(kind, 'hung up')
      return false
    }
    const start = performance.now()
    client.send(printDraft(draft))
    const timer = setTimeout(() => client.close(), HANG_MS)
    const answer = await client.response().catch(() => null)
    clearTimeout(timer)
    const ms = performance.now() - start
    ledger.slowest = Math.max(ledger.slowest, ms)
    const outcome = { status: answer?.status ?? 0, reason: answer === null ? 'no answer' : reasonOf(answer) }
    const isExcused = !kind.judge(outcome) && excuse(outcome.reason)
    enter(kind, isExcused ? `${outcome.reason} (excused)` : outcome.reason)
    if (!kind.judge(outcome) && !isExcused) {
      const proof = String(draft.proof?.claims.jti)
      ledger.problems.push(
        `${kind.name}: ${outcome.reason} after ${ms.toFixed(0)} ms (proof ${proof}, ${new Date().toISOString()})`,
      )
    }
    if (outcome.status === 200) kind.after?.(draft)
    return answer !== null && answer.header('connection')?.toLowerCase() !== 'close'
  }

  /** Null: it could not be had, and that was said. */
  const connect = async (kind: Kind): Promise<RawClient | null> => {
    // A handshake with a worker that is killed fails.
    const wasExcused = excuse('no connection')
    const late = sleep(HANG_MS).then(() => null)
    const opening = gateway.open()
    let why = 'no answer'
    const client = await Promise.race([opening, late]).catch((error) => {
      why = String(error)
      return null
    })
    if (client !== null) return client
    void opening.then((late) => late.close()).catch(() => undefined)
    enter(kind, 'no connection')
    if (!wasExcused && !excuse('no connection')) ledger.problems.push(`no connection: ${why} (${new Date().toISOString()})`)
    await sleep(100)
    return null
  }

  const ask = async (): Promise<void> => {
    let client: RawClient | null = null
    while (!over) {
      const kind = choose(kinds)
      const draft = kind.make()
      if (draft === null) continue
      client ??= await connect(kind)
      if (client === null) continue
      if (await serveOne(kind, draft, client)) continue
      client.close()
      client = null
    }
    client?.close()
  }

  const dawdle = async (): Promise<void> => {
    while (!over) {
      const client = await gateway.open().catch(() => null)
      if (client === null) continue
      for (const letter of `GET /read HTTP/1.1\r\nHost: ${HOST}\r\nX-Slow: ${'x'.repeat(100)}`) {
        if (over || client.socket.destroyed) break
        client.send(letter)
        await sleep(200)
      }
      client.close()
    }
  }

  const problem = (error: unknown): void => void ledger.problems.push(`a client failed: ${String(error)}`)
  const all = [...Array.from({ length: connections }, ask), ...Array.from({ length: slow }, dawdle)].map((one) =>
    one.catch(problem),
  )
  return {
    ledger,
    stop: async () => {
      over = true
      await Promise.all(all)
    },
  }
}
