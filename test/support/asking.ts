// Asks the decision API as the proxies do that have one: the draft is the client's request, the question what a proxy makes of it.
import { type Draft, type DraftOptions, makeDraft, printDraft } from './draft.js'
import { exchangeOn, type Reply } from './http.js'
import { HOST, type Lab, type LabYaml, startLab } from './lab.js'
import { openPlain } from './raw.js'

type Lines = readonly (readonly [name: string, value: string])[]

/** The client's request, signed, once for all questions about it. */
export type Client = { readonly draft: Draft; readonly lines: Lines; readonly body: Buffer }

export function sign(draft: Draft): Client {
  const [head = '', ...rest] = printDraft(draft).toString('latin1').split('\r\n\r\n')
  const lines = head
    .split('\r\n')
    .slice(1)
    .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)] as const)
    .filter(([name]) => name !== 'Host' && name !== 'Content-Length')
  return { draft, lines, body: Buffer.from(rest.join('\r\n\r\n'), 'latin1') }
}

const DECIDES = { decision_api: '{ hop: loopback, address: forwarded_for }' }
/** A lab whose second listener decides for whoever is on this machine. */
export const startDeciding = (yaml: LabYaml = {}, store: 'memory' | 'redis' = 'memory'): Promise<Lab> =>
  startLab({ store, yaml: (defaults) => ({ ...defaults, ...DECIDES, ...yaml }) })

export const clientOf = (options: Omit<DraftOptions, 'host'>, change: (draft: Draft) => void = () => undefined): Client => {
  const draft = makeDraft({ host: HOST, ...options })
  change(draft)
  return sign(draft)
}
/** A question as bytes are made of it; a test changes what it likes. */
export type Question = { method: string; target: string; lines: (readonly [name: string, value: string])[]; body: Buffer }

const ADDRESS = ['X-Forwarded-For', '192.0.2.1'] as const

/** nginx with the configuration of docs/decision-api.md. */
export const authRequest = ({ draft, lines }: Client, id?: string): Question => ({
  method: 'GET',
  target: '/auth-request',
  lines: [
    ['Host', 'holdfast'],
    ...lines,
    ADDRESS,
    ['X-Original-Method', draft.method],
    ['X-Original-URL', `https://${draft.host}${draft.target}`],
    ...(id === undefined ? [] : [['X-Original-Request-Id', id] as const]),
  ],
  body: Buffer.alloc(0),
})

/** Traefik and Caddy. */
export const forwardAuth = ({ draft, lines }: Client): Question => ({
  method: 'GET',
  target: '/forward-auth',
  lines: [
    ['Host', 'holdfast'],
    ...lines,
    ADDRESS,
    ['X-Forwarded-Method', draft.method],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-Host', draft.host],
    ['X-Forwarded-Uri', draft.target],
  ],
  body: Buffer.alloc(0),
})

/** Envoy by HTTP; with its body where the check includes it. */
export const extAuthz = ({ draft, lines, body }: Client, partial?: 'true' | 'false'): Question => ({
  method: draft.method,
  target: `/ext-authz${draft.target}`,
  lines: [
    ['Host', draft.host],
    ...lines,
    ADDRESS,
    ['X-Forwarded-Proto', 'https'],
    ...(partial === undefined ? [] : [['X-Envoy-Auth-Partial-Body', partial] as const]),
    ['Content-Length', String(partial === undefined ? 0 : body.length)],
  ],
  body: partial === undefined ? Buffer.alloc(0) : body,
})

export const printQuestion = ({ method, target, lines, body }: Question): Buffer =>
  Buffer.concat([
    Buffer.from(
      [`${method} ${target} HTTP/1.1`, ...lines.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n'),
      'latin1',
    ),
    body,
  ])

/** Where the decision API of a lab is asked: its second listener. */
export const portOf = (lab: Lab): number => Number(lab.gateway.addresses[1]?.split(':').at(-1))

export const ask = async (lab: Lab, question: Question): Promise<Reply> =>
  exchangeOn(await openPlain({ port: portOf(lab), host: '127.0.0.1' }), printQuestion(question))
