// What goes on after it was granted: WebSockets and event streams, with an upstream that answers when a test lets it.
import { createHash } from 'node:crypto'
import { type Draft, makeDraft, printDraft } from './draft.js'
import { HOST, type Lab, type LabYaml, startLab } from './lab.js'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const acceptOf = (key: string): string =>
  createHash('sha1')
    .update(key + GUID)
    .digest('base64')

/** Lets the upstream of a stream answer; what was asked before waits. */
type Upstream = { lab: Lab; answer: () => void; asked: () => number }

/** A lab with a WebSocket at /socket, whose upstream streams events everywhere else. */
export async function startStreams(t: Tap, yaml: (yaml: LabYaml) => LabYaml = (same) => same): Promise<Upstream> {
  let isHeld = false
  const waiting: (() => void)[] = []
  const when = (answer: () => void): void => {
    waiting.push(answer)
    if (!isHeld) for (const one of waiting.splice(0)) one()
  }
  let asked = 0
  const lab = await startLab({
    yaml: (defaults) => ({
      ...yaml(defaults),
      routes: `${defaults.routes}  - { path: /socket, methods: [GET], tier: bound_read, upstream: cases, websocket: true, issuers: [https://as.example.com] }\n`,
    }),
    upstream: (request, response) => {
      asked += 1
      if (request.headers['x-hold'] !== undefined) isHeld = true
      when(() => {
        response.writeHead(200, { 'Content-Type': 'text/event-stream' })
        response.write('data: one\n\n')
      })
    },
    upgrade: (request, socket) => {
      asked += 1
      if (request.headers['x-hold'] !== undefined) isHeld = true
      const accept = acceptOf(String(request.headers['sec-websocket-key']))
      when(() =>
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
        ),
      )
    },
  })
  t.teardown(() => lab.stop())
  return {
    lab,
    asked: () => asked,
    answer: () => {
      isHeld = false
      for (const one of waiting.splice(0)) one()
    },
  }
}

type Tap = { teardown(end: () => unknown): void }

export const of = (path: string, subject: string, isHeld = false): Draft => {
  const draft = makeDraft({ host: HOST, path })
  draft.token.claims.sub = subject
  if (isHeld) draft.headers = [['X-Hold', '1']]
  return draft
}

/** A client that reads what comes. */
export async function openStream(lab: Lab, draft: Draft) {
  const client = await lab.open()
  const state = { seen: Buffer.alloc(0), isEnded: false }
  client.socket.on('data', (chunk: Buffer) => {
    state.seen = Buffer.concat([state.seen, chunk])
  })
  client.socket.on('close', () => {
    state.isEnded = true
  })
  client.send(printDraft(draft))
  return { ...client, state, text: () => state.seen.toString('latin1') }
}

export const webSocket = (subject: string, isHeld = false): Draft => {
  const draft = of('/socket', subject, isHeld)
  draft.headers = [
    ...draft.headers,
    ['Connection', 'Upgrade'],
    ['Upgrade', 'websocket'],
    ['Sec-WebSocket-Version', '13'],
    ['Sec-WebSocket-Key', Buffer.alloc(16, 7).toString('base64')],
  ]
  return draft
}

/** Close, with 1008: the policy ends it. */
export const GOODBYE = Buffer.from([0x88, 0x02, 0x03, 0xf0])
