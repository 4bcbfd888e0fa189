// The whole gateway on TLS, told bytes that are nearly HTTP: it answers or closes in time, never with a 500 or what it was told; nothing
// gets through to a protected route, for no input holds credentials that are right for one; it goes on serving whoever is honest.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeDraft, printDraft } from '../../support/draft.js'
import { bearer } from '../../support/kinds.js'
import { HOST, type Lab, startLab } from '../../support/lab.js'
import { usedMemory } from '../../support/memory.js'
import { readEntries, readWords } from '../corpus.js'
import { answerProblem, readAnswers, talk } from '../talk.js'
import { bad, fine, type Session, type Target, type Verdict } from '../target.js'

const CANARY = 'zqcanary'
const ROUTES = `
  - { path: /public, methods: [GET, POST], tier: public, upstream: cases }
  - { path: '/public/*', methods: [GET, POST, PUT, DELETE], tier: public, upstream: cases, websocket: true }
  - { path: '/read/:id', methods: [GET, POST], tier: bound_read, upstream: cases, issuers: [https://as.example.com], scopes: [case.read] }
  - { path: /held, methods: [POST], tier: held, upstream: cases, issuers: [https://as.example.com], scopes: [case.read] }
  - { path: /nonce, methods: [GET], tier: high_value, upstream: cases, issuers: [https://as.example.com], matrix_params: true }
  - { path: /ws, methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as.example.com], websocket: true }
`
const LIMITS = '{ headers: 1s, idle: 1s, body_idle: 1s, body_total: 2s, handshake: 5s, header_bytes: 16KiB, target_bytes: 4KiB }'

/** What reached the upstream. */
type Counts = { honest: number; wrong: string | null }

/** Judges what the upstream is sent: the assertion tells for which route the gateway let it pass. */
function upstreamOf(counts: Counts) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    const { url = '', headers } = request
    const assertion = String(headers['holdfast-assertion'] ?? '').split('.')[1] ?? ''
    const { route = 'none' } =
      assertion === '' ? {} : (JSON.parse(Buffer.from(assertion, 'base64url').toString()) as { route?: string })
    if (url === '/read/honest' && route === '/read/:id') counts.honest += 1
    else if (!route.startsWith('/public')) counts.wrong ??= `the upstream was sent a request of the route ${route}`
    else if (!/^\/public(?:[/?]|$)/.test(url)) counts.wrong ??= 'the upstream was sent another path than the route has'
    if (headers.authorization !== undefined || headers.dpop !== undefined) counts.wrong ??= 'the upstream was sent credentials'
    request.resume()
    request.on('error', () => undefined)
    const answer = (): void => void response.writeHead(200, { 'Content-Length': 2 }).end('ok')
    if (url.includes('early')) answer()
    else request.on('end', answer)
  }
}

/** What stands for credentials in an input; each is well made, and right for none of the routes. */
function credentialsOf(): Readonly<Record<string, () => string>> {
  const lines = (
    path: string,
    change: (draft: ReturnType<typeof makeDraft>) => void = () => undefined,
  ): readonly [string, string] => {
    const draft = makeDraft({ host: HOST, path })
    change(draft)
    const text = printDraft(draft).toString('latin1')
    return [/^Authorization: \w+ (.*)\r$/m.exec(text)?.[1] ?? '', /^DPoP: (.*)\r$/m.exec(text)?.[1] ?? '']
  }
  const [token, proof] = lines('/elsewhere')
  const [unbound] = lines('/read/1', (draft) => {
    bearer(draft).token.claims.scope = 'other'
  })
  const [expired, late] = lines('/read/1', (draft) => {
    draft.token.claims.exp = draft.now - 1
    draft.token.claims.iat = draft.now - 100
  })
  return { TOKEN: () => token, PROOF: () => proof, UNBOUND: () => unbound, EXPIRED: () => expired, LATE: () => late }
}

const fill = (input: Buffer, credentials: Readonly<Record<string, () => string>>): Buffer =>
  Buffer.from(
    input.toString('latin1').replace(/@([A-Z]+)@/g, (whole, name: string) => credentials[name]?.() ?? whole),
    'latin1',
  )

/** How the bytes are written follows from them, so that an input alone tells all. */
function mannersOf(input: Buffer) {
  const sum = input.reduce((all, byte) => (all * 31 + byte) >>> 0, 7)
  const pieces = sum % 4 === 0 ? Array.from({ length: 12 }, (_, i) => 1 + ((sum >>> i) % 97)) : []
  return { pieces, closing: sum % 97 === 0 ? 'never' : sum % 3 === 0 ? 'at once' : 'soon' } as const
}

/** An overloaded gateway says so (contract §9), and whoever fuzzes it in its own process overloads it. */
async function askHonestly(lab: Lab): Promise<number> {
  for (let i = 0; ; i++) {
    const { status } = await lab.send(makeDraft({ host: HOST, path: '/read/honest' }))
    if (status !== 503 || i === 5) return status
    await sleep(200)
  }
}

/** The longest (milliseconds) that everything may stand still; the machine may be busy with other things as well. */
const STANDSTILL_MS = 2000
const MOST_LEFT_MIB = 128

async function open(): Promise<Session> {
  const counts: Counts = { honest: 0, wrong: null }
  const lab = await startLab({
    store: 'memory',
    upstream: upstreamOf(counts),
    yaml: (yaml) => ({
      ...yaml,
      routes: ROUTES,
      limits: LIMITS,
      tiers: `${yaml.tiers}  held: { extends: sensitive_read, body_digest: on, max_body: 4KiB }\n  public: { rate_limit: off }\n`,
      audit: '{ file: audit.jsonl, refusals_per_second: 1 }',
    }),
  })
  const delay = monitorEventLoopDelay({ resolution: 20 })
  delay.enable()
  let credentials = credentialsOf()
  let asked = 0
  let batches = 0
  let least = Number.POSITIVE_INFINITY
  const check = async (input: Buffer): Promise<Verdict> => {
    const { text, end } = await talk(fill(input, credentials), { port: lab.port, servername: HOST, ...mannersOf(input) })
    if (end === 'open') return bad('neither answers nor closes')
    if (end === 'no handshake') return bad('takes no connections')
    if (text.includes(CANARY)) return bad('repeats what it was told')
    const answers = readAnswers(text)
    if (typeof answers === 'string') return bad(answers)
    const problem = answers.map(answerProblem).find((one) => one !== null) ?? counts.wrong
    if (problem !== null) return bad(problem)
    return fine(
      answers
        .map(({ status, body }) => /"reason":"(\w+)"/.exec(body)?.[1] ?? status)
        .slice(0, 5)
        .join(' '),
    )
  }
  const settle = async (): Promise<string | null> => {
    batches += 1
    if (lab.logs.length > 0) return `the gateway says: ${lab.logs[0]}`
    const status = await askHonestly(lab)
    asked += 1
    if (status !== 200 || counts.honest !== asked) return `an honest request is answered ${status}`
    if (delay.max / 1e6 > STANDSTILL_MS) return `everything stood still for ${Math.round(delay.max / 1e6)} ms`
    delay.reset()
    if (batches % 100 !== 0) return null
    credentials = credentialsOf()
    const used = usedMemory()
    least = Math.min(least, used)
    return used > least + MOST_LEFT_MIB ? `holds ${Math.round(used - least)} MiB more than before` : null
  }
  return {
    // Written with line feeds, as an editor does.
    seeds: readEntries('http').map((entry) => Buffer.from(entry.toString('latin1').replace(/(?<!\r)\n/g, '\r\n'), 'latin1')),
    words: readWords('http'),
    check,
    settle,
    close: async () => {
      delay.disable()
      await lab.stop()
    },
  }
}

export const HTTP: Target = { name: 'http', most: 24 * 1024, slowest: 12_000, together: 64, open }
