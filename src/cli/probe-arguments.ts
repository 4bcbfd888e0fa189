// What does the command line of `holdfast probe` ask for?

import { isIP } from 'node:net'
import { parseArgs } from 'node:util'
import { SEVERITIES, type Severity, type Topic } from '../probe/attack.js'

export const PROBE_HELP = `holdfast probe URL --token-from CONFIG [options]
holdfast probe --upstream URL [--assertion-key FILE --claims FILE] [options]
holdfast probe [--upstream URL] --list

Attacks a running resource server that you own, this gateway or any other: proves that the right request passes, then changes
one thing at a time and reports what got through. It sends real requests to URL, most of them wrong ones; choose a URL whose
right request does no harm when it is granted many times. Framing attacks are variants that leave nothing behind in shared
connections.

  URL                 what to attack; its right request must be granted
  --token-from FILE   a client file (see holdfast client --help): token or issuer, key, certificate. Its \`gateway\` must be
                      the origin of URL: a token is sent nowhere else
  --second FILE       another client's, for attacks with another's token, key or certificate
  --wrong-token FILE  a token that must not be taken: an ID token, an expired one, one for another audience (repeatable)
  --method METHOD     GET unless --data is given, then POST
  --data TEXT         the body; @FILE reads it from a file
  --header 'N: V'     a header of every request (repeatable)
  --granted STATUS    a status besides 2xx that means granted (repeatable)
  --echo              the answer's body shows the headers that the backend got: spoofed ones are looked for in it
  --http 1.1|2        what the catalogue goes over, 1.1 unless given; the attacks on HTTP/2 itself are made wherever the
                      server speaks it
  --only WORDS        ids or topics, with commas; --skip WORDS leaves some out
  --rate N            requests a second, 100 unless given; none is sent faster
  --flood N           newer proofs between a proof and its replay, 1100 unless given; 0: not tried
  --patient           also what takes minutes: replays until the end of a proof's life
  --address IP        where the host must be; anything else is refused
  --yes               do not ask whether this is meant
  --json FILE, --junit FILE, --html FILE   reports; - is standard output
  --verbose           show every attack, not only what needs mending
  --fail-on SEVERITY  critical, high, medium (unless given) or low: exit 1 from here up
  --list              print the catalogue

With --upstream a backend is attacked past the gateway, from where the gateway is: whom does it believe? Of the options
above, --method, --data, --header, --granted, --only, --skip, --rate, --address, --yes, the reports and --list are for it too.

  --upstream URL      the backend, https or http, and a path that it grants
  --assertion-key FILE   the gateway's key, PEM: the right request is granted first, and what is signed is wrong in one thing
                      alone. Without it only what nobody signed is sent, and a refusal proves nothing
  --claims FILE       what the right assertion says besides time, method, path and body: JSON, or an assertion that the
                      gateway made for this backend, however old
  --assertion-header NAME   Holdfast-Assertion unless given
  --single-use        the same assertion must be refused the second time
  --ca FILE           the CA of the backend, PEM; --cert FILE and --key FILE: the gateway's certificate, where it wants one

Exit code: 0 nothing got through, 1 something did (or nothing could be tried, or the probe could not run), 2 wrong usage or not
confirmed.
`

export type ProbeArguments = {
  readonly url: string
  readonly tokenFrom: string
  readonly second: string | null
  readonly wrongTokens: readonly string[]
  readonly method: string
  readonly data: string | null
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly granted: readonly number[]
  readonly echoes: boolean
  readonly protocol: 'http/1.1' | 'h2'
  readonly takes: (id: string, topic: Topic) => boolean
  /** What --only and --skip name. */
  readonly words: readonly string[]
  /** Requests a second. */
  readonly rate: number
  readonly flood: number
  readonly isPatient: boolean
  readonly address: string | null
  readonly isSure: boolean
  readonly json: string | null
  readonly junit: string | null
  readonly html: string | null
  readonly isVerbose: boolean
  readonly failOn: Severity
  readonly isList: boolean
  /** null: the gateway is attacked. */
  readonly upstream: UpstreamArguments | null
}

/** Files by name. */
export type UpstreamArguments = {
  readonly assertionKey: string | null
  readonly claims: string | null
  readonly headerName: string
  readonly isSingleUse: boolean
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
}

const text = { type: 'string' } as const
const texts = { type: 'string', multiple: true } as const
const flag = { type: 'boolean' } as const

const OPTIONS = {
  'token-from': text,
  second: text,
  'wrong-token': texts,
  method: text,
  data: text,
  header: texts,
  granted: texts,
  echo: flag,
  http: text,
  only: text,
  skip: text,
  rate: text,
  flood: text,
  patient: flag,
  address: text,
  yes: flag,
  json: text,
  junit: text,
  html: text,
  verbose: flag,
  'fail-on': text,
  list: flag,
  upstream: text,
  'assertion-key': text,
  claims: text,
  'assertion-header': text,
  'single-use': flag,
  ca: text,
  cert: text,
  key: text,
} as const

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values']

/** A string: what is wrong. */
export function readProbeArguments(args: readonly string[]): ProbeArguments | string {
  try {
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS })
    const [url = values.upstream ?? '', ...rest] = positionals
    const isList = values.list ?? false
    if (rest.length > 0 || (values.upstream !== undefined && positionals.length > 0)) return 'expected one URL'
    if (!isList && url === '') return 'expected a URL'
    const misplaced = misplacedIn(values)
    if (misplaced !== null) return misplaced
    if ([values.json, values.junit, values.html].filter((file) => file === '-').length > 1)
      return 'only one report can be standard output'
    if (!isList && values.upstream === undefined && values['token-from'] === undefined)
      return 'expected --token-from CONFIG: the right request needs a token'
    return {
      url,
      tokenFrom: values['token-from'] ?? '',
      second: values.second ?? null,
      wrongTokens: values['wrong-token'] ?? [],
      method: methodOf(values.method ?? (values.data === undefined ? 'GET' : 'POST')),
      data: values.data ?? null,
      headers: (values.header ?? []).map(headerOf),
      granted: (values.granted ?? []).map((status) => numberOf('--granted', status, 200, 599)),
      echoes: values.echo ?? false,
      protocol: oneOf('--http', values.http ?? '1.1', ['1.1', '2']) === '2' ? 'h2' : 'http/1.1',
      takes: selection(values.only, values.skip),
      words: [...wordsOf(values.only), ...wordsOf(values.skip)],
      rate: numberOf('--rate', values.rate ?? '100', 1, 1000),
      flood: numberOf('--flood', values.flood ?? '1100', 0, 100_000),
      isPatient: values.patient ?? false,
      address: addressOf(values.address),
      isSure: values.yes ?? false,
      json: values.json ?? null,
      junit: values.junit ?? null,
      html: values.html ?? null,
      isVerbose: values.verbose ?? false,
      failOn: oneOf('--fail-on', values['fail-on'] ?? 'medium', SEVERITIES),
      isList,
      upstream: values.upstream === undefined ? null : upstreamOf(values),
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const OF_GATEWAYS = ['token-from', 'second', 'wrong-token', 'echo', 'http', 'flood', 'patient'] as const
const OF_UPSTREAMS = ['assertion-key', 'claims', 'assertion-header', 'single-use', 'ca', 'cert', 'key'] as const

/** Options that are read only with, or only without, --upstream. */
function misplacedIn(values: Values): string | null {
  const isUpstream = values.upstream !== undefined
  const found = (isUpstream ? OF_GATEWAYS : OF_UPSTREAMS).find((option) => values[option] !== undefined)
  if (found !== undefined) return `--${found} is read only ${isUpstream ? 'without' : 'with'} --upstream`
  if ((values.cert === undefined) !== (values.key === undefined)) return '--cert and --key belong together'
  return values['assertion-key'] !== undefined && values.claims === undefined
    ? '--assertion-key needs --claims: what the right assertion says (iss, aud, tier, ...)'
    : null
}

function upstreamOf(values: Values): UpstreamArguments {
  const headerName = values['assertion-header'] ?? 'Holdfast-Assertion'
  if (!TOKEN.test(headerName)) throw new Error('--assertion-header is not the name of a header')
  return {
    assertionKey: values['assertion-key'] ?? null,
    claims: values.claims ?? null,
    headerName,
    isSingleUse: values['single-use'] ?? false,
    ca: values.ca ?? null,
    cert: values.cert ?? null,
    key: values.key ?? null,
  }
}

/** RFC 9110 §5.6.2: token. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

function methodOf(method: string): string {
  if (!TOKEN.test(method)) throw new Error('--method is not a method')
  return method
}

function headerOf(line: string): readonly [string, string] {
  const [, name, value] = /^([^:]+):[ \t]*([\x20-\x7e]*)$/.exec(line) ?? []
  if (name === undefined || value === undefined || !TOKEN.test(name)) throw new Error("--header is not of the form 'Name: value'")
  return [name, value]
}

function numberOf(option: string, given: string, least: number, most: number): number {
  const number = Number(given)
  if (!/^\d+$/.test(given) || number < least || number > most) throw new Error(`${option} is a number from ${least} to ${most}`)
  return number
}

function oneOf<Word extends string>(option: string, given: string, words: readonly Word[]): Word {
  const word = words.find((one) => one === given)
  if (word === undefined) throw new Error(`${option} is one of ${words.join(', ')}`)
  return word
}

function addressOf(given: string | undefined): string | null {
  if (given !== undefined && isIP(given) === 0) throw new Error('--address is not an IP address')
  return given ?? null
}

/** Ids of attacks, or topics. */
const wordsOf = (list: string | undefined): readonly string[] =>
  list === undefined ? [] : list.split(',').map((word) => word.trim())

function selection(only: string | undefined, skip: string | undefined): ProbeArguments['takes'] {
  const [wanted, unwanted] = [only === undefined ? null : new Set(wordsOf(only)), new Set(wordsOf(skip))]
  return (id, topic) => (wanted === null || wanted.has(id) || wanted.has(topic)) && !unwanted.has(id) && !unwanted.has(topic)
}
