// Headers that a client could spoof: names that backends and proxies trust, because somebody in front of them is thought to have
// set them. With an echo endpoint each is looked for in what the backend got; without, by its effect.

import { randomBytes } from 'node:crypto'
import { type Block, RESERVED_HEADERS } from '../../verify/reserved-headers.js'
import type { Attack, Outcome, Severity } from '../attack.js'
import type { Bench } from '../bench.js'
import { type Draft, type Line, printDraft } from '../draft.js'
import { bytesOf } from '../http1.js'
import { refusing, skipped } from '../rules.js'
import { show, showAnswer } from '../show.js'

const SPOOFED = 'RFC 9700 §4.13'
/** A server may refuse more than 100 lines, and 8 KiB of them. */
const NAMES_AT_ONCE = 30

/** Names that say who the caller is, and what comes of believing them. The other blocks steer routing, or only confuse. */
const BLOCKS: readonly (readonly [block: Block, severity: Severity])[] = [
  ['certificate', 'critical'],
  ['identity', 'critical'],
  ['addressing', 'medium'],
  ['tracing', 'low'],
]

/** Of a family, one name; what is framing or ours is left out. */
const namesOf = (block: Block): readonly string[] =>
  RESERVED_HEADERS[block]
    .flatMap((line) => line.split(' '))
    .map((name) => name.replace(/\*$/, 'Probe'))
    .filter((name) => !/^(?:via|x-fapi-interaction-id)$/i.test(name))

const chunks = <T>(list: readonly T[], size: number): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size))

type Form = {
  readonly id: string
  readonly title: string
  readonly lines: (name: string, canary: string) => readonly Line[]
  readonly isTrailer?: true
}
const FORMS: readonly Form[] = [
  { id: 'plain', title: 'as they are', lines: (name, canary) => [[name, canary]] },
  { id: 'underscore', title: 'with _ for -', lines: (name, canary) => [[name.replaceAll('-', '_'), canary]] },
  { id: 'upper', title: 'in upper case', lines: (name, canary) => [[name.toUpperCase(), canary]] },
  {
    id: 'twice',
    title: 'twice, the first empty',
    lines: (name, canary) => [
      [name, ''],
      [name, canary],
    ],
  },
  {
    id: 'connection',
    title: 'and named in Connection',
    lines: (name, canary) => [
      ['Connection', name],
      [name, canary],
    ],
  },
  { id: 'trailer', title: 'as trailers', lines: (name, canary) => [[name, canary]], isTrailer: true },
]

/** The right request with spoofed names beside it; what of them the backend got is in the answer. */
const looked = (block: Block, severity: Severity, form: Form): Attack => ({
  id: `header-${block}-${form.id}`,
  topic: 'header',
  title: `${block} headers ${form.title}`,
  spec: SPOOFED,
  severity,
  expected: 'none of them reaches the backend',
  needs: form.isTrailer ? ['echo', 'http/1.1'] : ['echo'],
  run: async (bench) => {
    if (!(await showsHeaders(bench))) return skipped(NO_ECHO)
    const arrived: string[] = []
    let last = { sent: '', came: '' }
    for (const names of chunks(
      namesOf(block),
      form.id === 'twice' || form.id === 'connection' ? NAMES_AT_ONCE / 2 : NAMES_AT_ONCE,
    )) {
      const canaries = new Map(names.map((name) => [name, `probe${randomBytes(6).toString('hex')}`]))
      const lines = names.flatMap((name) => form.lines(name, canaries.get(name) ?? ''))
      const draft = await bench.draft()
      if (!form.isTrailer) draft.headers.push(...lines)
      const answer = form.isTrailer ? await sendWithTrailers(bench, draft, lines) : await bench.send(draft)
      arrived.push(...names.filter((name) => answer.body.includes(canaries.get(name) ?? '')))
      last = { sent: show(printDraft(draft)), came: showAnswer(answer) }
    }
    if (arrived.length === 0) return { verdict: 'held', ...last }
    return { verdict: 'through', sent: last.sent, came: `the backend got ${arrived.join(', ')}` }
  },
})

const NO_ECHO = 'the answer shows neither an unknown header nor Accept-Language nor the query: is this an echo endpoint?'
const showing = new WeakMap<Bench, Promise<boolean>>()

/** Is what a request says seen in the answer at all? Else nothing that is not seen there proves anything. */
function showsHeaders(bench: Bench): Promise<boolean> {
  const known = showing.get(bench) ?? askForEcho(bench)
  showing.set(bench, known)
  return known
}

async function askForEcho(bench: Bench): Promise<boolean> {
  const canary = `probe${randomBytes(6).toString('hex')}`
  const draft = await bench.draft()
  draft.headers.push(['X-Probe', canary], ['Accept-Language', canary])
  draft.path += `${draft.path.includes('?') ? '&' : '?'}probe=${canary}`
  return (await bench.send(draft)).body.includes(canary)
}

async function sendWithTrailers(bench: Bench, draft: Draft, trailers: readonly Line[]) {
  await bench.pace()
  draft.headers.push(['Transfer-Encoding', 'chunked'], ['Trailer', trailers.map(([name]) => name).join(', ')])
  const head = bytesOf({ ...printDraft(draft), body: null })
  const tail = `0\r\n${trailers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
  const connection = await bench.open(draft.identity)
  connection.send(Buffer.concat([head, Buffer.from(tail)]))
  const answer = await connection.answer(draft.method)
  connection.close()
  return answer
}

const refused = refusing('header', 'critical', [])
const anonymous = (draft: Draft): void => {
  draft.credentials = () => []
}

/** No credentials, and headers that say there is no need of any. */
const claiming = (id: string, title: string, lines: readonly Line[]): Attack =>
  refused([id, title, SPOOFED], (draft) => {
    anonymous(draft)
    draft.headers.push(...lines)
  })

const IDENTITIES = chunks(namesOf('identity'), NAMES_AT_ONCE)
const LOCAL: readonly Line[] = [
  'X-Forwarded-For',
  'X-Real-IP',
  'X-Client-IP',
  'True-Client-IP',
  'X-Originating-IP',
  'X-Remote-Addr',
  'Client-IP',
  'X-Cluster-Client-IP',
].map((name) => [name, '127.0.0.1'] as const)

/** Asks for a path that is not there, and lets a header name the protected one. */
const rerouted = (name: string): Attack => ({
  ...refused(
    [`reroute-${name.toLowerCase()}`, `no credentials, another path, ${name} names the protected one`, 'CWE-639, CVE-2018-14773'],
    () => undefined,
  ),
  run: async (bench): Promise<Outcome> => {
    const draft = await bench.draft()
    anonymous(draft)
    const protectedPath = draft.path
    draft.path = `/probe-${randomBytes(6).toString('hex')}`
    if (bench.isGranted(await bench.send(printDraft(draft)))) return skipped('any path is granted without credentials')
    draft.headers.push([name, protectedPath])
    return bench.mustRefuse(draft)
  },
})

/** A proof for one method, a header that asks the backend for another: seen only where the backend tells its method. */
const overridden = (name: string): Attack => ({
  id: `header-method-${name.toLowerCase()}`,
  topic: 'header',
  title: `${name}: DELETE beside a right request`,
  spec: 'RFC 9449 §4.3 (8), CWE-436',
  severity: 'high',
  expected: 'not seen by the backend',
  needs: ['echo'],
  run: async (bench) => {
    if (!(await showsHeaders(bench))) return skipped(NO_ECHO)
    const canary = `DELETE-${randomBytes(6).toString('hex')}`
    const draft = await bench.draft()
    draft.headers.push([name, canary])
    const answer = await bench.send(draft)
    const came = answer.body.includes(canary) ? `the backend got ${name}` : showAnswer(answer)
    return { verdict: answer.body.includes(canary) ? 'through' : 'held', sent: show(printDraft(draft)), came }
  },
})

export const HEADER_ATTACKS: readonly Attack[] = [
  ...BLOCKS.flatMap(([block, severity]) => FORMS.map((form) => looked(block, severity, form))),
  ...['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'X_HTTP_Method_Override'].map(overridden),
  {
    ...looked('credentials', 'low', FORMS[0] as Form),
    id: 'header-token-passed-on',
    title: 'the token itself, in what the backend gets',
    spec: 'RFC 9700 §4.9.3',
    expected: 'the backend does not get the token',
    run: async (bench) => {
      if (!(await showsHeaders(bench))) return skipped(NO_ECHO)
      const draft = await bench.draft()
      const answer = await bench.send(draft)
      const seen = answer.body.includes(draft.token)
      return {
        verdict: seen ? 'through' : 'held',
        sent: show(printDraft(draft)),
        came: seen ? 'the backend got the token' : showAnswer(answer),
      }
    },
  },
  ...IDENTITIES.map((names, i) =>
    claiming(
      `identity-${i + 1}`,
      `no credentials, ${names[0]} and ${names.length - 1} more say who we are`,
      names.map((name) => [name, 'admin'] as const),
    ),
  ),
  claiming('local', 'no credentials, and headers that say we are 127.0.0.1', LOCAL),
  claiming('internal', 'no credentials, and headers of an inner proxy', [
    ['X-Envoy-Internal', 'true'],
    ['X-Envoy-Original-Path', '/'],
    ['X-Middleware-Subrequest', 'middleware:middleware:middleware:middleware:middleware'],
    ['X-Original-Method', 'OPTIONS'],
    ['X-Forwarded-Method', 'OPTIONS'],
  ]),
  claiming('subrequest', 'no credentials, and X-Forwarded-Uri of a public page', [
    ['X-Forwarded-Uri', '/'],
    ['X-Original-URI', '/'],
    ['X-Auth-Request-Redirect', '/'],
  ]),
  ...[
    'X-Original-URL',
    'X-Rewrite-URL',
    'X-Original-URI',
    'X-Forwarded-Uri',
    'X-Envoy-Original-Path',
    'X-Forwarded-Path',
    'X-Request-URI',
  ].map(rerouted),
  refused(
    ['connection-authorization', 'a wrong token, and Connection names Authorization and DPoP', 'RFC 9110 §7.6.1'],
    (draft) => {
      draft.token = `${draft.token.slice(0, -8)}AAAAAAAA`
      draft.headers.push(['Connection', 'close, authorization, dpop'])
    },
    // RFC 9113 §8.2.2: over HTTP/2 there is no such field, and the stream may just end.
    { mayClose: true },
  ),
]
