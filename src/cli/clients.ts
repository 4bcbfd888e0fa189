// `holdfast clients`: who is in the registry, what is said of one, and what is overdue (docs/clients.md). Reads, and changes nothing.

import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Config, RegisteredClient } from '../config/config.js'
import { checkConfig } from '../config/load.js'
import { overdueOf } from '../config/overdue.js'
import { formatProblem, type Problem } from '../config/problems.js'
import { declaredOf, QUALITIES } from '../verify/registration.js'
import type { Seconds } from '../verify/scalars.js'
import type { Command, Io } from './command.js'
import { namedAs } from './named.js'
import { table } from './table.js'

const HELP = `holdfast clients list    [--config routes.yaml]
holdfast clients show ID [--config routes.yaml]
holdfast clients check   [--config routes.yaml]

The registry of OAuth clients that routes.yaml has in \`clients\`.

  list      each client: its issuer, status, highest tier, how it authenticates, its last day, and how much is overdue
  show ID   all that is registered of a client, and which of it the issuer can prove
  check     what is overdue, as FILE:LINE:COL path: sentence: no contact, keys never rotated or too long ago; certificates,
            certifications and registrations that end within 30 days; active clients of high tiers that are not certified;
            clients that do not declare what their highest tier demands
  --config  the configuration (default: routes.yaml)
  --help    this text

Exit code: 0 nothing is overdue (list and show: done), 1 something is, there is no such client, or routes.yaml has problems,
2 wrong usage.
`

export const clients: Command = {
  name: 'clients',
  summary: 'who is in the registry of clients, and what of it is overdue',
  help: HELP,
  run: async (args, io) => {
    const wanted = readArguments(args)
    if (typeof wanted === 'string') {
      io.err(`holdfast clients: ${wanted}`)
      io.err('try: holdfast clients --help')
      return 2
    }
    const { config, problems, warnings } = checkConfig(resolve(io.cwd, wanted.config), io.env)
    const say = (problem: Problem): string => formatProblem(namedAs(wanted.config, io.cwd, problem))
    if (config === null) {
      for (const problem of problems) io.err(say(problem))
      return 1
    }
    if (config.clients === null) {
      io.err(`holdfast clients: ${wanted.config} has no \`clients\`: without a registry every client of its issuers is served`)
      return 1
    }
    const { step, id } = wanted
    if (step === 'list') return list(config.clients, io)
    return step === 'show'
      ? show(id, config, config.clients, io)
      : check(warnings.filter(isOfClient).map(say), config.clients, io)
  },
}

type Wanted = { readonly step: 'list' | 'show' | 'check'; readonly id: string; readonly config: string }

/** A string: what is wrong. */
function readArguments(args: readonly string[]): Wanted | string {
  try {
    const options = { config: { type: 'string', default: 'routes.yaml' } } as const
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options })
    const [step, id, ...more] = positionals
    if (step !== 'list' && step !== 'show' && step !== 'check') return 'expected list, show or check'
    if (more.length > 0 || (step === 'show') !== (id !== undefined))
      return `${step} expects ${step === 'show' ? 'one `client_id`' : 'nothing else'}`
    return { step, id: id ?? '', config: values.config }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** `client_id`s and names are the file's own words: one line each, without controls. */
const visible = (text: string): string => text.replace(/\p{Cc}/gu, '?')
const day = (end: Seconds | undefined): string => (end === undefined ? '' : new Date((end - 1) * 1000).toISOString().slice(0, 10))

function list(all: readonly RegisteredClient[], io: Io): number {
  const now = Date.now() / 1000
  const rows = all.map((client) => [
    visible(client.client_id),
    client.status,
    client.highest_tier,
    client.token_endpoint_auth_method,
    day(client.expires),
    String(overdueOf(client, now).length),
    visible(client.issuer),
  ])
  const head = ['client_id', 'status', 'highest tier', 'authenticates by', 'expires', 'overdue', 'issuer']
  for (const line of table([head, ...rows])) io.out(line)
  return 0
}

/** Settings that hold a date, which is kept as the end of its day. */
const DATES = ['on', 'until', 'last', 'expires']

/** What is worked out from the rest. */
const DERIVED: readonly string[] = ['endOfKeys', 'endOfCertificates', 'tiers']

function show(id: string, { issuers }: Config, all: readonly RegisteredClient[], io: Io): number {
  const found = all.filter(({ client_id }) => client_id === id)
  if (found.length === 0) {
    io.err('holdfast clients: there is no client of this `client_id`; `holdfast clients list` names all')
    return 1
  }
  for (const client of found) {
    for (const [setting, value] of Object.entries(client)) {
      if (DERIVED.includes(setting) || value === undefined) continue
      io.out(`${setting}: ${visible(written(setting, value))}`)
    }
    const declared = declaredOf(client)
    const evidence = issuers.find(({ issuer }) => issuer === client.issuer)?.evidence
    for (const quality of QUALITIES) {
      const claim = evidence?.[quality]
      const proof = claim === undefined ? 'its issuer can prove nothing of it' : `proven where the token’s ${claim} says so`
      io.out(`${quality}: ${declared.has(quality) ? 'declared' : 'not declared'}; ${visible(proof)}`)
    }
    for (const { sentence } of overdueOf(client, Date.now() / 1000)) io.out(`overdue: ${sentence}`)
  }
  return 0
}

function written(setting: string, value: unknown): string {
  if (typeof value === 'number') return DATES.includes(setting) ? day(value) : `${value}s`
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) return `[${value.join(', ')}]`
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
  return `{ ${members.map(([key, member]) => `${key}: ${written(key, member)}`).join(', ')} }`
}

const isOfClient = ({ path }: Problem): boolean => /^clients\.\d+\./.test(path)

function check(overdue: readonly string[], all: readonly RegisteredClient[], io: Io): number {
  for (const one of overdue) io.out(one)
  io.out(`${all.length} client${all.length === 1 ? '' : 's'}, ${overdue.length === 0 ? 'nothing' : overdue.length} overdue`)
  return overdue.length === 0 ? 0 : 1
}
