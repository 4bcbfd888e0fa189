// Says bytes to the gateway and listens to the end: one TLS connection for each input, in pieces of any size. When nothing more comes, our
// side is closed, so that whatever is unfinished ends; or it stays open, so that time-outs end it.
import { connect, type SecureContext } from 'node:tls'
import { REASONS } from '../../src/verify/reasons.js'
import { headersProblem, refusalProblem } from './grammar.js'

export type Talk = {
  readonly port: number
  readonly servername: string
  /** A client certificate, ready to be offered. */
  readonly secureContext?: SecureContext
  /** Sizes of pieces to write; left out: all at once. */
  readonly pieces?: readonly number[]
  /**
   * When our side is closed: after a silence (left out); with the last byte, which to Node means that nobody waits for an answer
   * that is not there yet; or never.
   */
  readonly closing?: 'soon' | 'at once' | 'never'
}

export type Heard = {
  /** `latin1`. */
  readonly text: string
  /** How the connection ended: it was closed, the handshake failed, or nothing came to an end within `PATIENCE_MS`. */
  readonly end: 'closed' | 'no handshake' | 'open'
}

/** Longer than every limit that the fuzzed gateway is given, lingering included. */
export const PATIENCE_MS = 8_000
/** How long (milliseconds) a silence is: before an answer, and after one. */
const SILENCE_MS = 250
const SILENCE_AFTER_MS = 15
const MOST_HEARD = 4 * 1024 * 1024

export function talk(bytes: Buffer, { port, servername, secureContext, pieces = [], closing = 'soon' }: Talk): Promise<Heard> {
  return new Promise((resolve) => {
    const context = secureContext === undefined ? {} : { secureContext }
    const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false, ...context })
    const chunks: Buffer[] = []
    let size = 0
    let isSecure = false
    const finish = (end: Heard['end']): void => {
      clearTimeout(timer)
      clearTimeout(silence)
      socket.destroy()
      resolve({ text: Buffer.concat(chunks).toString('latin1'), end })
    }
    const timer = setTimeout(() => finish('open'), PATIENCE_MS)
    let silence: NodeJS.Timeout | undefined
    const closeAfter = (milliseconds: number): void => {
      clearTimeout(silence)
      silence = setTimeout(() => socket.end(), milliseconds)
    }
    socket.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size < MOST_HEARD) chunks.push(chunk)
      if (silence !== undefined) closeAfter(SILENCE_AFTER_MS)
    })
    socket.on('error', () => undefined)
    // Its own end is the other side's, unless we stay open to see what comes.
    socket.on('end', () => socket.end())
    socket.on('close', () => finish(isSecure ? 'closed' : 'no handshake'))
    socket.once('secureConnect', () => {
      isSecure = true
      void write(pieces, bytes)
    })
    const write = async (sizes: readonly number[], rest: Buffer): Promise<void> => {
      for (const length of sizes) {
        if (rest.length <= length || socket.destroyed) break
        socket.write(rest.subarray(0, length))
        rest = rest.subarray(length)
        await new Promise((next) => setImmediate(next))
      }
      if (closing === 'at once') return void socket.end(rest)
      socket.write(rest)
      if (closing === 'soon') closeAfter(SILENCE_MS)
    }
  })
}

export type Answer = { readonly status: number; readonly headers: readonly string[]; readonly body: string }

/** Everything that was answered, one after another. Bodies of ours hold nothing that looks like the start of an answer. */
export function readAnswers(text: string): readonly Answer[] | string {
  if (text === '') return []
  const parts = text.split(/(?=HTTP\/1\.1 \d{3} )/)
  const answers: Answer[] = []
  for (const part of parts) {
    const end = part.indexOf('\r\n\r\n')
    if (!part.startsWith('HTTP/1.1 ') || end < 0) return 'an answer is no HTTP'
    const [start = '', ...lines] = part.slice(0, end).split('\r\n')
    if (!/^HTTP\/1\.1 \d{3} [\x20-\x7e]*$/.test(start)) return 'a status line breaks its grammar'
    const headers = lines.flatMap((line) => {
      const colon = line.indexOf(': ')
      return colon < 0 ? [line, '\0'] : [line.slice(0, colon), line.slice(colon + 2)]
    })
    answers.push({ status: Number(start.slice(9, 12)), headers, body: part.slice(end + 4) })
  }
  return answers
}

/** Statuses that contract §4 knows, but for those that say that something is broken on our side. */
const EXPECTED = new Set<number>(
  Object.entries(REASONS)
    .filter(([reason]) => !/^(gateway_fault|upstream_|keys_|replay_unavailable|audit_)/.test(reason))
    .map(([, { status }]) => status),
)

/** What is wrong with an answer; `isOurs`: whether it may be the upstream's. */
export function answerProblem({ status, headers, body }: Answer): string | null {
  if (status < 300) return headersProblem(headers)
  if (!EXPECTED.has(status)) return `answers ${status}`
  return refusalProblem(status, headers, body)
}
