// Runs the catalogue of upstream attacks: the right request must be granted before and after each, where there is a key to make one; without
// it, whoever refuses everything looks the same as whoever refuses what he must.

import type { Finding, Need, Outcome, Report } from '../attack.js'
import type { Line } from '../draft.js'
import { type Answer, bytesOf, openConnection, type Route } from '../http1.js'
import { LACKING, ProbeError, type Progress } from '../run.js'
import { withoutTokens } from '../secrets.js'
import { decoded, showAnswer } from '../show.js'
import { type AssertionDraft, draftFor, type Model, textOf } from './assertion.js'
import type { UpstreamAttack } from './catalogue.js'

export type UpstreamSettings = {
  readonly route: Route
  readonly url: string
  readonly host: string
  readonly method: string
  readonly path: string
  readonly body: Buffer | null
  readonly headers: readonly Line[]
  /** Where backends look for the assertion. */
  readonly headerName: string
  readonly grantedStatuses: ReadonlySet<number>
  /** Must an assertion be refused the second time? */
  readonly isSingleUse: boolean
  readonly model: Model
  /** Requests a second. */
  readonly rate: number
}

export type UpstreamOptions = {
  readonly settings: UpstreamSettings
  readonly attacks: readonly UpstreamAttack[]
  readonly report: (progress: Progress) => void
  /** Rejects when the host no longer has the confirmed address. */
  readonly stillThere: () => Promise<void>
}

export async function runUpstream({ settings, attacks, report, stillThere }: UpstreamOptions): Promise<Report> {
  const startedAt = new Date()
  const secrets = new Set<string>()
  const { model, route, body, path } = settings
  const has = new Set<Need>()
  if (model.key !== null) has.add('assertion key')
  if (settings.isSingleUse) has.add('single use')
  if (body !== null && body.length > 0) has.add('body')
  if (path.includes('?')) has.add('query')
  let requests = 0
  let free = Date.now()

  async function send(draft: AssertionDraft): Promise<{ readonly answer: Answer; readonly sent: string }> {
    requests++
    free = Math.max(free, Date.now() - 1000 / settings.rate) + 1000 / settings.rate
    if (free > Date.now()) await new Promise((resolve) => setTimeout(resolve, free - Date.now()))
    const assertion = textOf(draft)
    secrets.add(assertion)
    const lines = [...settings.headers, ...draft.lines(assertion, settings.headerName)]
    const { method, host } = settings
    const sent = [`${method} ${path}`, ...lines.map(([name, value]) => `${name}: ${decoded(value) ?? value}`)].join('\n')
    const connection = await openConnection(route, 'own').catch((error: Error) => {
      throw new ProbeError(`${settings.url} can't be reached (${error.message})`)
    })
    try {
      connection.send(bytesOf({ method, path, host, lines, body, identity: 'own' }))
      return { answer: await connection.answer(method), sent }
    } finally {
      connection.close()
    }
  }
  const isGranted = ({ status }: Answer): boolean => (status >= 200 && status < 300) || settings.grantedStatuses.has(status)
  const right = async (): Promise<Answer> => (await send(draftFor(model, settings))).answer

  async function tryAttack(attack: UpstreamAttack): Promise<Outcome> {
    const lacks = attack.needs.filter((need) => !has.has(need)).map((need) => LACKING[need])
    if (lacks.length > 0) return { verdict: 'skipped', sent: '', came: lacks.join('; ') }
    const draft = draftFor(model, settings)
    attack.change(draft, model)
    if (attack.isReplay) await send(draft)
    const { answer, sent } = await send(draft)
    const outcome = (verdict: Outcome['verdict'], more = ''): Outcome => ({ verdict, sent, came: showAnswer(answer) + more })
    if (isGranted(answer)) return outcome('through')
    if (model.key === null) return outcome('unclear', '; nothing shows that it would grant anything: --assertion-key does')
    const control = await right()
    if (!isGranted(control))
      return outcome('unclear', `; but the right request was not granted then, either: ${showAnswer(control)}`)
    return outcome(answer.status === 0 || (answer.status >= 500 && answer.status !== 501) ? 'broke' : 'held')
  }

  const first = model.key === null ? null : await right()
  if (first !== null && !isGranted(first))
    throw new ProbeError(
      `the right request was not granted (${showAnswer(first)}): do --claims say what this backend demands (iss, aud, tier, binding), and is the key the one that it knows?`,
    )
  const findings: Finding[] = []
  for (const [index, { change: _, isReplay: __, ...attack }] of attacks.entries()) {
    report({ done: index, of: attacks.length, title: attack.title })
    await stillThere()
    const since = Date.now()
    const outcome = await tryAttack(attacks[index] as UpstreamAttack)
    findings.push({ attack, outcome, milliseconds: Date.now() - since })
  }
  const whole: Report = {
    url: settings.url,
    method: settings.method,
    address: route.address,
    transport: route.isPlain ? 'HTTP/1.1 without TLS' : 'HTTP/1.1 over TLS',
    binding: model.key === null ? 'an assertion of the gateway, whose key was not given' : 'an assertion of the gateway',
    startedAt: startedAt.toISOString(),
    seconds: (Date.now() - startedAt.getTime()) / 1000,
    requests,
    findings,
  }
  return withoutTokens(whole, secrets)
}
