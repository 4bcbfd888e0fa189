// What comes behind a request on the same connection (HTTP/1.1): the next one, a body that nobody reads, another protocol. Nothing
// that is sent behind carries credentials, except where it must be granted.

import type { Attack, Outcome, Severity } from '../attack.js'
import type { Bench } from '../bench.js'
import { type Draft, type Printed, printDraft } from '../draft.js'
import type { Answer } from '../http1.js'
import {
  anonymous,
  answerSoon,
  type Change,
  exchanged,
  type Message,
  messageOf,
  onConnection,
  shownText,
  talk,
  textOf,
} from '../message.js'
import { showAnswer } from '../show.js'

const walk = (
  [id, title, spec]: readonly [id: string, title: string, spec: string],
  [severity, expected]: readonly [severity: Severity, expected: string],
  run: Attack['run'],
): Attack => ({ id: `framing-${id}`, topic: 'framing', title, spec, severity, expected, needs: ['http/1.1'], run })

const plain = (printed: Printed): string => textOf(messageOf(printed))

/** The same request without credentials. */
async function stripped(bench: Bench): Promise<Printed> {
  const draft = await bench.draft()
  anonymous(draft)
  return printDraft(draft)
}

type Pair = { readonly sent: string; readonly first: Answer; readonly second: Answer | null }
type Writing = {
  readonly atOnce: (printed: Printed) => string
  /** Sent when the first answer is there. */
  readonly behind?: string
  /** Whose answer may ask for a nonce: that of the right request. */
  readonly right?: 'second'
}

async function pair(bench: Bench, draft: Draft, { atOnce, behind = '', right }: Writing): Promise<Pair> {
  const answers: { first: Answer | null; second: Answer | null } = { first: null, second: null }
  let sent = ''
  const { answer } = await exchanged(bench, draft, async (printed) => {
    const text = atOnce(printed)
    sent = shownText(text + behind, printed)
    return onConnection(bench, draft, async (connection) => {
      connection.send(Buffer.from(text, 'latin1'))
      const first = await connection.answer(draft.method)
      answers.first = first
      if (first.status === 0) return first
      if (behind !== '') connection.send(Buffer.from(behind, 'latin1'))
      answers.second = await answerSoon(connection, draft.method)
      return right === 'second' && answers.second !== null ? answers.second : first
    })
  })
  return { sent, first: answers.first ?? answer, second: answers.second }
}

/** `fault`: what is wrong with it, when the first answer is one. */
function outcomeOf(bench: Bench, { sent, first, second }: Pair, fault: Outcome['verdict'] | null): Outcome {
  const came = `${showAnswer(first)}, then ${second === null ? 'no further answer' : showAnswer(second)}`
  const { verdict } = bench.refusal(sent, first, { mayClose: true })
  return { verdict: fault ?? (verdict === 'through' ? 'held' : verdict), sent, came }
}

const upgrade =
  (...lines: readonly string[]) =>
  (message: Message): void => {
    message.lines.push(...lines)
  }
const toHttp2 = upgrade('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__')
/** A version that no backend takes: a gateway that looks at the request alone takes this for a WebSocket all the same. */
const toWebSocket = upgrade(
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 777',
  'Sec-WebSocket-Key: cHJvYmVwcm9iZXByb2JlIQ==',
)

/** Not taken to another protocol; ignored, where `mayBeGranted`. */
async function unswitched(bench: Bench, draft: Draft, mayBeGranted: boolean): Promise<Outcome> {
  const { sent, answer } = await talk(bench, draft, toHttp2)
  if (answer.status === 101) return { verdict: 'through', sent, came: showAnswer(answer) }
  if (mayBeGranted && bench.isGranted(answer)) return { verdict: 'held', sent, came: showAnswer(answer) }
  return bench.refusal(sent, answer, { mayClose: true })
}

/** Without body, which TRACE and CONNECT have none of. */
function asMethod(draft: Draft, method: string): Draft {
  if (draft.proof !== null) draft.proof.claims.htm = method
  return { ...draft, method, body: null }
}

const toTarget =
  (target: (path: string) => string): Change =>
  (message) => {
    message.start = message.start.replace(/ (\S*) /, (_, path: string) => ` ${target(path)} `)
  }

const PIPELINE = 'RFC 9112 §9.3.2'
const UPGRADE = 'RFC 9113 §3.1'

export const CONNECTION_ATTACKS: readonly Attack[] = [
  walk(
    ['pipelined-behind', 'a right request, and at once behind it one without credentials', PIPELINE],
    ['critical', 'granted, then refused'],
    async (bench) => {
      const behind = plain(await stripped(bench))
      const two = await pair(bench, await bench.draft(), { atOnce: (printed) => plain(printed) + behind })
      return outcomeOf(bench, two, two.second !== null && bench.isGranted(two.second) ? 'through' : null)
    },
  ),
  walk(
    ['pipelined-right', 'a request without credentials, and at once behind it a right one', PIPELINE],
    ['low', 'refused, then granted or closed'],
    async (bench) => {
      const front = plain(await stripped(bench))
      const atOnce = (printed: Printed): string => front + plain(printed)
      const two = await pair(bench, await bench.draft(), { atOnce, right: 'second' })
      if (bench.isGranted(two.first)) return outcomeOf(bench, two, 'through')
      return outcomeOf(bench, two, two.second === null || bench.isGranted(two.second) ? null : 'wrong')
    },
  ),
  walk(
    ['unread-body', 'no credentials, and a whole request as the body', 'CWE-444'],
    ['high', 'one answer, a refusal'],
    async (bench) => {
      const inner = await stripped(bench)
      const draft = await bench.draft()
      anonymous(draft)
      draft.method = 'POST'
      draft.body = Buffer.from(plain({ ...inner, method: 'GET', body: null }), 'latin1')
      const two = await pair(bench, draft, { atOnce: plain })
      return outcomeOf(bench, two, bench.isGranted(two.first) || two.second !== null ? 'through' : null)
    },
  ),
  walk(['upgrade-h2c', 'Upgrade: h2c beside a right request', UPGRADE], ['high', 'not 101'], async (bench) =>
    unswitched(bench, await bench.draft(), true),
  ),
  walk(['upgrade-h2c-none', 'Upgrade: h2c without credentials', UPGRADE], ['critical', 'refused'], async (bench) => {
    const draft = await bench.draft()
    anonymous(draft)
    return unswitched(bench, draft, false)
  }),
  walk(
    ['upgrade-websocket', 'a right request for a WebSocket of version 777, then one without credentials', 'RFC 6455 §4.4'],
    ['critical', 'the second is not granted'],
    async (bench) => {
      const behind = plain(await stripped(bench))
      const atOnce = (printed: Printed): string => {
        const message = messageOf(printed)
        toWebSocket(message)
        return textOf(message)
      }
      const two = await pair(bench, await bench.draft(), { atOnce, behind })
      return outcomeOf(bench, two, two.second !== null && bench.isGranted(two.second) ? 'through' : null)
    },
  ),
  walk(
    ['trace', 'TRACE, with a right proof for it', 'RFC 9110 §9.3.8'],
    ['medium', 'the token does not come back'],
    async (bench) => {
      const draft = asMethod(await bench.draft(), 'TRACE')
      const { sent, answer } = await talk(bench, draft, () => undefined)
      if (answer.body.includes(draft.token))
        return { verdict: 'through', sent, came: `${answer.status} with the token in its body` }
      if (bench.isGranted(answer)) return { verdict: 'held', sent, came: showAnswer(answer) }
      return bench.refusal(sent, answer, { mayClose: true })
    },
  ),
  walk(['connect', 'CONNECT to this host, with a right proof for it', 'RFC 9110 §9.3.6'], ['high', 'refused'], async (bench) => {
    const draft = asMethod(await bench.draft(), 'CONNECT')
    const { port, hostname } = bench.settings.route
    const target = toTarget(() => `${hostname}:${port}`)
    // A grant has no body then, as one of HEAD has none.
    const { sent, answer } = await talk(bench, draft, target, { readAs: 'HEAD' })
    return bench.refusal(sent, answer, { mayClose: true })
  }),
  walk(
    ['absolute-own', 'an absolute target of this origin, which servers must take', 'RFC 9112 §3.2.2'],
    ['low', 'granted'],
    async (bench) => {
      const target = toTarget((path) => bench.settings.origin + path)
      const { sent, answer } = await talk(bench, await bench.draft(), target)
      if (bench.isGranted(answer)) return { verdict: 'held', sent, came: showAnswer(answer) }
      const { verdict, came } = bench.refusal(sent, answer)
      return { verdict: verdict === 'held' ? 'wrong' : verdict, sent, came }
    },
  ),
]
