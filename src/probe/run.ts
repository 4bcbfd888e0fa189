// Runs the catalogue: first the right request must pass, then one attack after the other, with the right request in between, so
// that a server that has begun to refuse everything is not taken for one that refuses what it must.

import { decodeJwt } from 'jose'
import type { Attack, Finding, Need, Outcome, Report } from './attack.js'
import { type Bench, type BenchSettings, openBench } from './bench.js'
import { openTls, type Route } from './http1.js'
import { noting, withoutTokens } from './secrets.js'
import { showAnswer } from './show.js'

/** The probe cannot go on. The message is a sentence that says what to do next. */
export class ProbeError extends Error {
  override readonly name = 'ProbeError'
}

export type Progress = { readonly done: number; readonly of: number; readonly title: string }

export type RunOptions = {
  readonly settings: BenchSettings
  readonly attacks: readonly Attack[]
  readonly report: (progress: Progress) => void
  /** Asked before each attack; rejects when the host no longer has the confirmed address. */
  readonly stillThere: () => Promise<void>
}

/** After how many attacks the right request is sent again. */
const CONTROL_EVERY = 20
const ATTEMPTS = 3
const WAIT_MS = 2000

export async function runProbe({ settings, attacks, report, stillThere }: RunOptions): Promise<Report> {
  const startedAt = new Date()
  const secrets = new Set(settings.wrongTokens.values())
  const bench = openBench({
    ...settings,
    credentials: noting(settings.credentials, secrets),
    second: settings.second && { ...settings.second, credentials: noting(settings.second.credentials, secrets) },
  })
  const transport = await transportOf(settings.route)
  const wanted = settings.protocol === 'h2' ? 'h2' : 'http/1.1'
  if (!transport.protocols.includes(wanted))
    throw new ProbeError(
      `the server does not speak ${wanted} (it offers ${transport.protocols.join(' and ')}): say --http ${wanted === 'h2' ? '1.1' : '2'}`,
    )
  for (const protocol of transport.protocols) bench.note(protocol === 'h2' ? 'http/2' : 'http/1.1')
  await firstControl(bench)
  // RFC 9449 §11.3: a nonce that was given and not asked for counts as well; the age of a proof without one can be tried then, too.
  if (!bench.has.has('nonce')) bench.note('no nonce')
  if ((await bench.draft()).proof?.claims.nonce !== undefined) bench.note('nonce')
  await firstStranger(bench)
  const confirmation = confirmationOf((await bench.draft()).token)
  if (settings.route.own !== null && (settings.credentials.key === null || confirmation?.['x5t#S256'] !== undefined))
    bench.note('certificate')

  const findings: Finding[] = []
  let sinceControl: Finding[] = []
  for (const [index, attack] of attacks.entries()) {
    report({ done: index, of: attacks.length, title: attack.title })
    await stillThere()
    const finding = await tryAttack(bench, attack)
    findings.push(finding)
    sinceControl.push(finding)
    if (sinceControl.length < CONTROL_EVERY && index < attacks.length - 1) continue
    const control = await controlled(bench)
    if (control.verdict !== 'held') unsettle(findings, sinceControl, control)
    sinceControl = []
  }
  const whole: Report = {
    url: settings.origin + settings.path,
    method: settings.method,
    address: settings.route.address,
    transport: `${transport.version}, ${transport.protocols.join(' and ')}`,
    binding: bindingOf(settings),
    startedAt: startedAt.toISOString(),
    seconds: (Date.now() - startedAt.getTime()) / 1000,
    requests: bench.sent(),
    findings,
  }
  return withoutTokens(whole, secrets)
}

/** Which protocols the server speaks, asked by ALPN (RFC 7301). */
async function transportOf(route: Route): Promise<{ version: string; protocols: readonly ('http/1.1' | 'h2')[] }> {
  // RFC 7301 §3.2 wants an alert where there is no common protocol; some servers answer with another one instead.
  const offers = async (protocol: 'http/1.1' | 'h2'): Promise<string | Error | null> => {
    try {
      const socket = await openTls(route, 'own', [protocol])
      const isOffered = socket.alpnProtocol === protocol || (protocol === 'http/1.1' && !socket.alpnProtocol)
      const version = isOffered ? socket.getProtocol() : null
      socket.destroy()
      return version
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }
  const [one, two] = [await offers('http/1.1'), await offers('h2')]
  const version = [one, two].find((offer) => typeof offer === 'string')
  if (version !== undefined) {
    return {
      version,
      protocols: [...(typeof one === 'string' ? ['http/1.1' as const] : []), ...(typeof two === 'string' ? ['h2' as const] : [])],
    }
  }
  const why =
    one instanceof Error
      ? `${one.message}${'code' in one ? ` (${String(one.code)})` : ''}`
      : 'it speaks neither HTTP/1.1 nor HTTP/2'
  throw new ProbeError(
    `no connection to ${route.hostname} at ${route.address}: ${why}. Is it up, and is its CA in tls.ca of the client file?`,
  )
}

async function firstControl(bench: Bench): Promise<void> {
  for (let i = 0; i < 2; i++) {
    const control = await controlled(bench)
    if (control.verdict === 'held') continue
    throw new ProbeError(
      `the right request is not granted, so no refusal would prove anything. It was answered: ${control.came}\nCheck token, scope and URL; --method and --data where it is not a GET; --granted STATUS where its answer is not 2xx.`,
    )
  }
}

/** Where everyone is let in, each attack would be let in, and none of it would say anything. */
async function firstStranger(bench: Bench): Promise<void> {
  const draft = await bench.draft()
  const answer = await bench.send({ ...draft, proof: null, credentials: () => [] })
  if (!bench.isGranted(answer)) return
  throw new ProbeError(
    `${bench.settings.method} ${bench.settings.path} is granted without any credentials (${showAnswer(answer)}): it is open to everyone, and no attack would say more than that.\nIf it should be, give a URL that is not; if it should not, this is the finding, and it is critical.`,
  )
}

async function controlled(bench: Bench): Promise<Outcome> {
  let control = await bench.mustGrant(await bench.draft())
  for (let attempt = 1; attempt < ATTEMPTS && control.verdict !== 'held'; attempt++) {
    await wait()
    control = await bench.mustGrant(await bench.draft())
  }
  return control
}

async function tryAttack(bench: Bench, attack: Attack): Promise<Finding> {
  const { run, ...what } = attack
  const started = Date.now()
  const finding = (outcome: Outcome): Finding => ({ attack: what, outcome, milliseconds: Date.now() - started })
  const lacking = attack.needs.filter((need) => !bench.has.has(need))
  if (lacking.length > 0) return finding({ verdict: 'skipped', sent: '', came: lacking.map((need) => LACKING[need]).join('; ') })
  for (let attempt = 1; ; attempt++) {
    const outcome = await run(bench).catch(failed)
    if (outcome.verdict !== 'unclear' || attempt === ATTEMPTS) return finding(outcome)
    await wait()
  }
}

const failed = (error: unknown): Outcome => ({
  verdict: 'unclear',
  sent: '',
  came: `the probe itself failed: ${error instanceof Error ? error.message : String(error)}`,
})

export const LACKING: Readonly<Record<Need, string>> = {
  dpop: 'the token is not bound to a DPoP key',
  certificate: 'the token is not bound to a client certificate',
  nonce: 'the server gives no nonce',
  'no nonce': 'the server asks for a nonce, which dates the proof',
  'second client': 'there is no second client (--second)',
  body: 'the right request has no body (--data)',
  echo: 'the answer does not show what the upstream got (--echo)',
  'http/1.1': 'not over HTTP/1.1',
  'http/2': 'the server does not speak HTTP/2',
  'issuer keys': "the issuer's public keys could not be had",
  'assertion key': 'only what the gateway signed can be wrong in nothing but this (--assertion-key)',
  'single use': 'this backend need not remember which assertions it has seen (--single-use)',
  query: 'the URL has no query',
}

/** What was refused while the right request is refused too proves nothing. */
function unsettle(findings: Finding[], recent: readonly Finding[], control: Outcome): void {
  for (const finding of recent) {
    if (finding.outcome.verdict !== 'held') continue
    const came = `${finding.outcome.came} (but then the right request was not granted either: ${control.came})`
    findings[findings.indexOf(finding)] = { ...finding, outcome: { ...finding.outcome, verdict: 'unclear', came } }
  }
}

const bindingOf = ({ credentials, route }: BenchSettings): string =>
  [...(credentials.key === null ? [] : ['DPoP']), ...(route.own === null ? [] : ['certificate'])].join(' and ')

/** The `cnf` of a token that can be read: how it is bound (RFC 7800 §3). */
function confirmationOf(token: string): Record<string, unknown> | null {
  try {
    const { cnf } = decodeJwt(token)
    return typeof cnf === 'object' && cnf !== null ? { ...cnf } : null
  } catch {
    return null
  }
}

const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, WAIT_MS))
