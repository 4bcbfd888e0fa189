// Takes routes.yaml apart: each part is judged by its own schema, and lists and maps item by item, so that every problem is found
// at once and what is right can still be judged together.

import type { z } from 'zod'
import { NAME } from './fields.js'
import type { Loading } from './loading.js'
import { parse } from './parse.js'
import {
  type ClientInput,
  ELEMENTS,
  type IssuerInput,
  type Listen,
  type PdpInput,
  type RouteInput,
  routesFile,
  SINGLE,
  type Single,
  type TierInput,
  type UpstreamInput,
} from './schema.js'
import { keyOf, type Located, type Place, type Source, under } from './source.js'

/** null: it is wrong, and that was reported. */
export type Sections = {
  readonly main: Place
  readonly single: { readonly [K in keyof Single]: Single[K] | null }
  readonly listeners: readonly (Located<Listen> | null)[]
  readonly issuers: readonly (Located<IssuerInput> | null)[]
  readonly tiers: ReadonlyMap<string, Located<TierInput> | null>
  readonly upstreams: ReadonlyMap<string, Located<UpstreamInput> | null>
  readonly pdps: ReadonlyMap<string, Located<PdpInput> | null>
  readonly routes: readonly Located<RouteInput>[]
  /** A list, or the name of the file that holds one; null: there is no registry. */
  readonly clients: readonly Located<ClientInput>[] | Located<string> | null
}

type Raw = { readonly [key: string]: unknown }

/** Plain values of a source; null when it has syntax errors or is no map, and that was reported. */
export function readRaw(source: Source, { findings }: Loading): Raw | null {
  const { errors, warnings } = source.document
  for (const { pos, code, message } of [...errors, ...warnings])
    findings.problemIn(source, pos[0], `${code} ${withoutQuote(message)}`)
  if (errors.length + warnings.length > 0) return null
  const raw = toPlain(source)
  if (raw === null) {
    findings.problemIn(source, 0, 'its aliases unfold into too much: write out what they stand for')
    return null
  }
  if (typeof raw === 'object' && !Array.isArray(raw)) return raw as Raw
  findings.problemIn(source, 0, 'expected a map of settings; README.md shows the ten lines that are enough')
  return null
}

/** Behind a colon yaml repeats what it found: a tag, an alias, a token, and so perhaps a secret that lacks its quotes. */
const withoutQuote = (text: string): string => text.split(/[:\n]/, 1)[0] ?? text

/** Aliases that would unfold into too much make it throw. */
function toPlain({ document }: Source): NonNullable<unknown> | null {
  try {
    return document.toJS() ?? {}
  } catch {
    return null
  }
}

export function readSections(source: Source, raw: Raw, loading: Loading): Sections {
  const main: Place = { source, path: [] }
  for (const key of Object.keys(raw)) {
    if (!Object.hasOwn(routesFile.shape, key))
      loading.findings.problem(keyOf(main, key), 'unknown setting; docs/settings.md lists all there are')
  }
  const single = Object.fromEntries(
    Object.entries(SINGLE).map(([key, schema]) => {
      const place = under(main, key)
      return [key, parse<unknown>(schema, raw[key] ?? undefined, { place, findings: loading.findings })]
    }),
  )
  if (raw.upstreams === undefined || raw.upstreams === null || Object.keys(raw.upstreams).length === 0)
    loading.findings.problem(under(main, 'upstreams'), 'is required: name at least one upstream')
  return {
    main,
    // Built from SINGLE just now, key by key.
    single: single as Sections['single'],
    listeners: readListeners(raw.listen, under(main, 'listen'), loading),
    issuers: readList(ELEMENTS.issuers, raw.issuers, { place: under(main, 'issuers'), ...loading }),
    tiers: readMap(ELEMENTS.tiers, raw.tiers, { place: under(main, 'tiers'), ...loading }),
    upstreams: readMap(ELEMENTS.upstreams, raw.upstreams, { place: under(main, 'upstreams'), ...loading }),
    pdps: readMap(ELEMENTS.pdps, raw.pdps, { place: under(main, 'pdps'), ...loading }),
    routes: readList(ELEMENTS.routes, raw.routes, { place: under(main, 'routes'), ...loading }).filter((one) => one !== null),
    clients: readClients(raw, main, loading),
  }
}

function readClients(raw: Raw, main: Place, loading: Loading): Sections['clients'] {
  const place = under(main, 'clients')
  if (!Object.hasOwn(raw, 'clients')) return null
  if (typeof raw.clients === 'string' && raw.clients !== '') return { value: raw.clients, place }
  // Empty is a registry without clients: nobody is let in because somebody has emptied a list.
  return readList(ELEMENTS.clients, raw.clients, { place, ...loading }).filter((one) => one !== null)
}

/** The clients of a file of their own. */
export function readClientsFile(source: Source, loading: Loading): readonly Located<ClientInput>[] {
  const raw = readRaw(source, loading)
  if (raw === null) return []
  const place: Place = { source, path: [] }
  for (const key of Object.keys(raw)) {
    if (key !== 'clients') loading.findings.problem(keyOf(place, key), 'a file of clients has `clients` only')
  }
  if (!Array.isArray(raw.clients)) loading.findings.problem(under(place, 'clients'), 'expected a list of clients; `[]` is none')
  return readList(ELEMENTS.clients, raw.clients, { place: under(place, 'clients'), ...loading }).filter((one) => one !== null)
}

/** The routes of an included file. */
export function readIncluded(source: Source, loading: Loading): readonly Located<RouteInput>[] {
  const raw = readRaw(source, loading)
  if (raw === null) return []
  const place: Place = { source, path: [] }
  for (const key of Object.keys(raw)) {
    if (key !== 'routes') loading.findings.problem(keyOf(place, key), 'an included file has `routes` only')
  }
  return readList(ELEMENTS.routes, raw.routes, { place: under(place, 'routes'), ...loading }).filter((one) => one !== null)
}

type At = Loading & { readonly place: Place }

function readListeners(raw: unknown, place: Place, loading: Loading): Sections['listeners'] {
  if (Array.isArray(raw)) {
    if (raw.length === 0) loading.findings.problem(place, 'expected at least one')
    return readList(ELEMENTS.listen, raw, { place, ...loading })
  }
  const value = parse(ELEMENTS.listen, raw ?? undefined, { place, findings: loading.findings })
  return [value === null ? null : { value, place }]
}

function readList<T>(schema: z.ZodType<T>, raw: unknown, { place, findings }: At): readonly (Located<T> | null)[] {
  if (raw === undefined || raw === null) return []
  if (!Array.isArray(raw)) {
    findings.problem(place, 'expected a list')
    return [null]
  }
  return raw.map((item, i) => locate(schema, item, under(place, i), findings))
}

function readMap<T>(schema: z.ZodType<T>, raw: unknown, { place, findings }: At): ReadonlyMap<string, Located<T> | null> {
  if (raw === undefined || raw === null) return new Map()
  if (typeof raw !== 'object' || Array.isArray(raw)) {
    findings.problem(place, 'expected a map of names')
    return new Map()
  }
  return new Map(
    Object.entries(raw).map(([key, item]) => {
      if (!NAME.test(key))
        findings.problem(keyOf(place, key), 'expected a name: letters, digits, `_`, `.` and `-`, beginning with a letter')
      return [key, locate(schema, item ?? {}, under(place, key), findings)]
    }),
  )
}

function locate<T>(schema: z.ZodType<T>, raw: unknown, place: Place, findings: Loading['findings']): Located<T> | null {
  const value = parse(schema, raw, { place, findings })
  return value === null ? null : { value, place }
}
