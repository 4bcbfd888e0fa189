// How is a request sent that is wrong in its very bytes (HTTP/1.1)? As text that an attack changes, on a connection of its own, and
// judged by what came back and by whether the connection ended then.

import { randomUUID } from 'node:crypto'
import type { Attack, Need, Outcome, Severity } from './attack.js'
import { asksForNonce, type Bench, headerOf, headersOf } from './bench.js'
import { type Draft, type Printed, printDraft } from './draft.js'
import type { Answer, Connection } from './http1.js'
import { skipped } from './rules.js'
import { printable } from './show.js'

/** A request as text; it is written as it is. */
export type Message = {
  start: string
  /** The first is Host. */
  lines: string[]
  /** Lines that say how long the body is. */
  framing: string[]
  body: string
  eol: string
}
export type Change = (message: Message, draft: Draft) => void
export type Row = readonly [id: string, title: string, spec: string, change: Change, ...needs: readonly Need[]]

export type Rules = {
  readonly severity: Severity
  /** closing: it may be granted if the connection ends then. unbroken: anything but a fault will do. Left out: refused. */
  readonly ends?: 'closing' | 'unbroken'
  /** It says that there is no body, which not every resource grants. */
  readonly isEmpty?: true
  /** What is wrong is wrong with the body: an answer that does not wait for it proves nothing. */
  readonly isOfBody?: true
  /** Before proof and request are made. */
  readonly prepare?: (draft: Draft) => void
}

const EXPECTED = {
  closing: 'refused, or the connection is closed after it',
  unbroken: 'an answer or the end of the connection, and no fault',
} as const
const NO_ANSWER: Answer = { status: 0, headers: [], body: '', lost: 'refused' }
const SHOWN_CHARACTERS = 1500
/** For the end of a connection that was announced by nothing. */
const END_MS = 500
/** For an answer that need not come. */
const SOON_MS = 2000

export const messageOf = ({ method, path, host, lines, body }: Printed): Message => ({
  start: `${method} ${path} HTTP/1.1`,
  lines: [`Host: ${host}`, ...lines.map(([name, value]) => `${name}: ${value}`)],
  framing: body === null ? [] : [`Content-Length: ${body.length}`],
  body: body?.toString('latin1') ?? '',
  eol: '\r\n',
})

export const textOf = ({ start, lines, framing, body, eol }: Message): string =>
  `${[start, ...lines, ...framing].join(eol)}${eol}${eol}${body}`

/** As it is sent, token and proof cut short. */
export const shownText = (text: string, printed: Printed): string =>
  withoutSecrets(text, printed).slice(0, SHOWN_CHARACTERS).split('\r\n').map(printable).join('\n').trimEnd()

export function withoutSecrets(text: string, { lines }: Printed): string {
  const secrets = lines
    .filter(([name]) => /^(?:authorization|dpop)$/i.test(name))
    .map(([, value]) => value.split(' ').at(-1) ?? '')
    .filter((secret) => secret.length > 24)
  return secrets.reduce((rest, all) => rest.replaceAll(all, `${all.slice(0, 8)}... (${all.length} characters)`), text)
}

export const anonymous = (draft: Draft): void => {
  draft.credentials = () => []
}

/** What `over` makes of the draft; a `use_dpop_nonce` is met once with the nonce, as `bench.send` does. */
export async function exchanged(
  bench: Bench,
  draft: Draft,
  over: (printed: Printed) => Promise<Answer>,
): Promise<{ readonly printed: Printed; readonly answer: Answer }> {
  await bench.pace()
  const printed = printDraft(draft)
  const answer = await over(printed)
  const nonce = headerOf(answer, 'dpop-nonce')
  if (draft.proof === null || nonce === undefined || !asksForNonce(answer)) return { printed, answer }
  draft.proof.claims.nonce = nonce
  if (draft.proof.claims.jti === draft.proof.firstJti) draft.proof.claims.jti = randomUUID()
  await bench.pace()
  const again = printDraft(draft)
  return { printed: again, answer: await over(again) }
}

type Talk = { readonly sent: string; readonly answer: Answer; readonly isClosed: boolean }
type TalkOptions = {
  /** The method that says whether the answer has a body; left out: the draft's. */
  readonly readAs?: string
  /** Is `isClosed` asked for? */
  readonly waits?: boolean
}

/** One exchange, and whether the connection was closed with it. */
export async function talk(bench: Bench, draft: Draft, change: Change, { readAs, waits }: TalkOptions = {}): Promise<Talk> {
  let sent = ''
  let isClosed = true
  const { answer } = await exchanged(bench, draft, async (printed) => {
    const message = messageOf(printed)
    change(message, draft)
    sent = shownText(textOf(message), printed)
    return onConnection(bench, draft, async (connection) => {
      connection.send(Buffer.from(textOf(message), 'latin1'))
      const answer = await connection.answer(readAs ?? draft.method)
      if (waits && bench.isGranted(answer)) isClosed = await closes(connection, answer)
      return answer
    })
  })
  return { sent, answer, isClosed }
}

/** Opens a connection, and closes it whatever happens. */
export async function onConnection(
  bench: Bench,
  draft: Draft,
  use: (connection: Connection) => Promise<Answer>,
): Promise<Answer> {
  const connection = await bench.open(draft.identity).catch(() => null)
  if (connection === null) return NO_ANSWER
  try {
    return await use(connection)
  } finally {
    connection.close()
  }
}

async function closes({ socket }: Connection, answer: Answer): Promise<boolean> {
  const isOver = (): boolean => socket.destroyed || socket.readableEnded
  if (isOver() || headersOf(answer, 'connection').some((value) => /close/i.test(value))) return true
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, END_MS)
    for (const event of ['end', 'close']) {
      socket.once(event, () => {
        clearTimeout(timer)
        resolve()
      })
    }
  })
  return isOver()
}

/** The next answer, or null: there is none soon. */
export async function answerSoon({ answer }: Connection, method: string): Promise<Answer | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), SOON_MS)
  })
  const first = await Promise.race([answer(method), late])
  clearTimeout(timer)
  return first?.status === 0 ? null : first
}

const early = new WeakMap<Bench, Promise<boolean>>()

/** Is the head of a request answered without waiting for its body? */
function answersEarly(bench: Bench): Promise<boolean> {
  const known = early.get(bench) ?? askEarly(bench)
  early.set(bench, known)
  return known
}

async function askEarly(bench: Bench): Promise<boolean> {
  const draft = await bench.draft()
  const { answer } = await exchanged(bench, draft, (printed) =>
    onConnection(bench, draft, async (connection) => {
      const head = { ...messageOf(printed), framing: ['Transfer-Encoding: chunked'], body: '' }
      connection.send(Buffer.from(textOf(head), 'latin1'))
      return (await answerSoon(connection, draft.method)) ?? NO_ANSWER
    }),
  )
  return answer.status !== 0
}

async function judge(bench: Bench, change: Change, { ends, isEmpty, isOfBody, prepare }: Rules): Promise<Outcome> {
  const draft = await bench.draft()
  if (isEmpty && draft.body !== null && draft.body.length > 0) {
    const empty = { ...draft, body: Buffer.alloc(0) }
    if (!bench.isGranted(await bench.send(empty))) return skipped('an empty body is refused in any case')
    return judge(bench, change, { severity: 'medium' })
  }
  prepare?.(draft)
  const mayEnd = ends === 'closing' || isOfBody === true
  const { sent, answer, isClosed } = await talk(bench, draft, change, { waits: mayEnd })
  const outcome = bench.refusal(sent, answer, { mayClose: true })
  if (outcome.verdict !== 'through') return outcome
  if (ends === 'unbroken' || (mayEnd && isClosed)) return { ...outcome, verdict: 'held' }
  if (isOfBody && (await answersEarly(bench))) return skipped('the server answers before it has read the body')
  return outcome
}

/** Attacks of one exchange; each row says what it changes. */
export const framing =
  (rules: Rules) =>
  ([id, title, spec, change, ...needs]: Row): Attack => ({
    id: `framing-${id}`,
    topic: 'framing',
    title,
    spec,
    severity: rules.severity,
    expected: rules.ends === undefined ? 'refused' : EXPECTED[rules.ends],
    needs: ['http/1.1', ...needs],
    run: (bench) => judge(bench, change, rules),
  })
