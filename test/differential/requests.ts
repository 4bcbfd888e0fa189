// Requests with a token and a proof, from a description that can be printed: what is good about them (`Base`), and up to three changes of
// it (`Mutation`). Changes of JSON are signed as they stand, so that a case about `typ` is not secretly one about signatures; changes of
// the text come after the signature. The proof is always made for the token as it is sent, unless a change is about just that.
import { createHash } from 'node:crypto'
import { ALGORITHM, CLIENT_KEYS, type ClientKeyName, ISSUER_KEYS, type IssuerKeyName, type Key, signAs } from './keys.js'
import { escaped, type Members, members, print, renamed, repeated, TEXTS, textIn, withMember, withoutMember } from './members.js'
import { type Spelling, spell } from './spellings.js'

export const ISSUER = 'https://as.example.com'
export const ORIGIN = 'https://api.example.com'
/** Whole, so that readers that count whole seconds and those that do not agree on when now is. */
export const NOW = 1_800_000_000
export const CERTIFICATE = `${'B'.repeat(42)}A`

export type Base = {
  readonly binding: 'dpop' | 'none' | 'mtls' | 'both'
  readonly issuerKey: IssuerKeyName
  readonly clientKey: 'es' | 'ps' | 'ed'
  readonly hasKid: boolean
  readonly method: string
  /** Path and query. */
  readonly target: string
  /** How long ago the token was issued, how long it lives from now, how long ago the proof was made. */
  readonly age: number
  readonly life: number
  readonly proofAge: number
  readonly extra: Readonly<Record<string, unknown>>
}

export type Jwt = 'token' | 'proof'
export type Part = 'token.header' | 'token.claims' | 'token.cnf' | 'proof.header' | 'proof.claims' | 'proof.jwk'
export type Segment = 0 | 1 | 2

export type Mutation =
  | { readonly op: 'set'; readonly part: Part; readonly member: string; readonly value: string }
  | { readonly op: 'remove' | 'escape' | 'upper'; readonly part: Part; readonly member: string }
  | { readonly op: 'repeat'; readonly part: Part; readonly member: string; readonly value: string; readonly first: boolean }
  | { readonly op: 'text'; readonly jwt: Jwt; readonly segment: 0 | 1; readonly text: string }
  | { readonly op: 'alg'; readonly jwt: Jwt; readonly alg: string; readonly signsAsNamed: boolean }
  /** The proof's key is another; `rebind`: the token is bound to that one. The issuer's: signed by a client. */
  | { readonly op: 'key'; readonly jwt: Jwt; readonly key: ClientKeyName; readonly rebind: boolean }
  | { readonly op: 'spell'; readonly jwt: Jwt; readonly segment: Segment; readonly how: Spelling; readonly at: number }
  /** A member of the proof's `jwk` in another spelling, to which the token is bound. */
  | { readonly op: 'coordinate'; readonly member: 'x' | 'y' | 'n' | 'e'; readonly how: Spelling }
  | { readonly op: 'segment'; readonly jwt: Jwt; readonly segment: Segment; readonly from: 'other jwt' | 'unmutated' | 'nothing' }
  | { readonly op: 'lines'; readonly how: Lines }
  | { readonly op: 'request'; readonly what: 'method' | 'target'; readonly value: string }

export type Lines =
  | 'Bearer'
  | 'DPoP'
  | 'lower case'
  | 'two spaces'
  | 'a tab'
  | 'two tokens'
  | 'two authorizations'
  | 'no authorization'
  | 'no scheme'
  | 'Basic'
  | 'no proof'
  | 'a proof'
  | 'empty proof'
  | 'two proofs'
  | 'the same proof twice'
  | 'proofs in one line'
  | 'proof with a comma'
  | 'padded proof'

/** What is sent. */
export type Wire = {
  readonly method: string
  readonly target: string
  readonly authorization: readonly string[]
  readonly dpop: readonly string[]
}

type Draft = {
  parts: Record<Part, Members>
  alg: Record<Jwt, string | null>
  key: Record<Jwt, Key>
  method: string
  target: string
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64url')
const PLACEHOLDER = '@ath@'

function draftOf(base: Base): Draft {
  const key = CLIENT_KEYS[base.clientKey]
  const cnf = {
    ...(base.binding === 'dpop' || base.binding === 'both' ? { jkt: key.jkt } : {}),
    ...(base.binding === 'mtls' || base.binding === 'both' ? { 'x5t#S256': CERTIFICATE } : {}),
  }
  const header = { typ: 'at+jwt', alg: ALGORITHM[base.issuerKey], ...(base.hasKid ? { kid: base.issuerKey } : {}) }
  const claims = {
    iss: ISSUER,
    aud: ORIGIN,
    sub: 'user-1',
    client_id: 'client-1',
    jti: 'token-1',
    iat: NOW - base.age,
    exp: NOW + base.life,
    ...base.extra,
  }
  return {
    parts: {
      'token.header': members(header),
      'token.claims': members(claims),
      'token.cnf': members(cnf),
      'proof.header': members({ typ: 'dpop+jwt', alg: ALGORITHM[base.clientKey] }),
      'proof.jwk': members(key.jwk),
      'proof.claims': members({
        jti: 'proof-1',
        htm: base.method,
        htu: ORIGIN + base.target.replace(/\?.*/, ''),
        iat: NOW - base.proofAge,
        ath: PLACEHOLDER,
      }),
    },
    alg: { token: null, proof: null },
    key: { token: ISSUER_KEYS[base.issuerKey], proof: key },
    method: base.method,
    target: base.target,
  }
}

/** Changes of what is signed. */
function change(draft: Draft, mutation: Mutation): void {
  const { parts } = draft
  switch (mutation.op) {
    case 'set':
      parts[mutation.part] = withMember(parts[mutation.part], mutation.member, mutation.value)
      break
    case 'remove':
      parts[mutation.part] = withoutMember(parts[mutation.part], mutation.member)
      break
    case 'escape':
      parts[mutation.part] = escaped(parts[mutation.part], mutation.member)
      break
    case 'upper':
      parts[mutation.part] = renamed(parts[mutation.part], mutation.member, mutation.member.toUpperCase())
      break
    case 'repeat':
      parts[mutation.part] = repeated(parts[mutation.part], mutation.member, mutation)
      break
    case 'alg':
      parts[`${mutation.jwt}.header`] = withMember(parts[`${mutation.jwt}.header`], 'alg', JSON.stringify(mutation.alg))
      if (mutation.signsAsNamed) draft.alg[mutation.jwt] = mutation.alg
      break
    case 'key':
      draft.key[mutation.jwt] = CLIENT_KEYS[mutation.key]
      if (mutation.jwt === 'proof') parts['proof.jwk'] = members(CLIENT_KEYS[mutation.key].jwk)
      if (mutation.rebind) rebind(draft)
      break
    case 'coordinate': {
      const value = textIn(parts['proof.jwk'], mutation.member)
      if (value === undefined || !value.startsWith('"')) break
      const text = spell(String(JSON.parse(value)), mutation.how, 0)
      parts['proof.jwk'] = withMember(parts['proof.jwk'], mutation.member, JSON.stringify(text))
      rebind(draft)
      break
    }
    case 'request':
      // The proof is made for the request that is sent; that it was made for another is said of `htm` and `htu`.
      draft[mutation.what] = mutation.value
      parts['proof.claims'] = withMember(parts['proof.claims'], 'htm', JSON.stringify(draft.method))
      parts['proof.claims'] = withMember(parts['proof.claims'], 'htu', JSON.stringify(ORIGIN + draft.target.replace(/\?.*/, '')))
  }
}

/** To the thumbprint of the proof's key as it is written (RFC 7638 §3.2). */
function rebind({ parts }: Draft): void {
  const jwk = parts['proof.jwk']
  const names =
    { '"EC"': ['crv', 'kty', 'x', 'y'], '"RSA"': ['e', 'kty', 'n'], '"OKP"': ['crv', 'kty', 'x'] }[textIn(jwk, 'kty') ?? ''] ?? []
  const jkt = sha256(`{${names.map((name) => `"${name}":${textIn(jwk, name) ?? '""'}`).join(',')}}`)
  if (textIn(parts['token.cnf'], 'jkt') !== undefined)
    parts['token.cnf'] = withMember(parts['token.cnf'], 'jkt', JSON.stringify(jkt))
}

const textOf = (jwt: Jwt, segment: 0 | 1, text: string, mutations: readonly Mutation[]): string => {
  const named = mutations.find((one) => one.op === 'text' && one.jwt === jwt && one.segment === segment)
  const bytes = named?.op === 'text' ? TEXTS[named.text]?.(text) : undefined
  return (bytes ?? Buffer.from(text)).toString('base64url')
}

function sign(draft: Draft, jwt: Jwt, texts: readonly [string, string], mutations: readonly Mutation[]): string {
  const input = texts.map((text, i) => textOf(jwt, i === 0 ? 0 : 1, text, mutations)).join('.')
  return `${input}.${signAs(draft.alg[jwt] ?? '', draft.key[jwt], input).toString('base64url')}`
}

/** Changes of the text, after the signature. */
function retold(
  text: string,
  jwt: Jwt,
  mutations: readonly Mutation[],
  others: { readonly jwt: string; readonly unmutated: string },
): string {
  return mutations.reduce((now, mutation) => {
    if ((mutation.op !== 'spell' && mutation.op !== 'segment') || mutation.jwt !== jwt) return now
    const segments = now.split('.')
    const old = segments[mutation.segment] ?? ''
    if (mutation.op === 'spell') segments[mutation.segment] = spell(old, mutation.how, mutation.at)
    else {
      const from = { 'other jwt': others.jwt, unmutated: others.unmutated, nothing: '..' }[mutation.from]
      segments[mutation.segment] = from.split('.')[mutation.segment] ?? ''
    }
    return segments.join('.')
  }, text)
}

function tokenOf(draft: Draft, mutations: readonly Mutation[]): string {
  const cnf = draft.parts['token.cnf']
  const claims = draft.parts['token.claims']
  const text = print(cnf.length === 0 || textIn(claims, 'cnf') !== undefined ? claims : [...claims, ['"cnf"', print(cnf)]])
  return sign(draft, 'token', [print(draft.parts['token.header']), text], mutations)
}

function proofOf(draft: Draft, token: string, mutations: readonly Mutation[]): string {
  const header = draft.parts['proof.header']
  const whole = textIn(header, 'jwk') !== undefined ? header : [...header, ['"jwk"', print(draft.parts['proof.jwk'])] as const]
  const claims = print(draft.parts['proof.claims']).replace(PLACEHOLDER, sha256(token))
  return sign(draft, 'proof', [print(whole), claims], mutations)
}

/** The request that a base and its changes make. */
export function wireOf(base: Base, mutations: readonly Mutation[]): Wire {
  // Signing costs, so the unchanged are made only where a change takes something of them.
  const needsHonest = mutations.some(({ op }) => op === 'segment' || op === 'lines')
  const honest = draftOf(base)
  const honestToken = needsHonest ? tokenOf(honest, []) : ''
  const honestProof = needsHonest ? proofOf(honest, honestToken, []) : ''
  const draft = draftOf(base)
  for (const mutation of mutations) change(draft, mutation)
  const token = retold(tokenOf(draft, mutations), 'token', mutations, { jwt: honestProof, unmutated: honestToken })
  const proof = retold(proofOf(draft, token, mutations), 'proof', mutations, { jwt: token, unmutated: honestProof })
  const isProven = base.binding === 'dpop' || base.binding === 'both'
  const lines = mutations.flatMap((mutation) => (mutation.op === 'lines' ? [mutation.how] : []))
  return linesOf({ draft, token, proof, honestProof, isProven }, lines)
}

type Told = {
  readonly draft: Draft
  readonly token: string
  readonly proof: string
  readonly honestProof: string
  readonly isProven: boolean
}

function linesOf({ draft, token, proof, honestProof, isProven }: Told, lines: readonly Lines[]): Wire {
  const { method, target } = draft
  let authorization = [`${isProven ? 'DPoP' : 'Bearer'} ${token}`]
  let dpop = isProven ? [proof] : []
  for (const how of lines) {
    const all: Record<Lines, () => unknown> = {
      Bearer: () => (authorization = [`Bearer ${token}`]),
      DPoP: () => (authorization = [`DPoP ${token}`]),
      'lower case': () => (authorization = authorization.map((line) => line.replace(/^\w+/, (scheme) => scheme.toLowerCase()))),
      'two spaces': () => (authorization = authorization.map((line) => line.replace(' ', '  '))),
      'a tab': () => (authorization = authorization.map((line) => line.replace(' ', '\t'))),
      'two tokens': () => (authorization = authorization.map((line) => `${line} ${token}`)),
      'two authorizations': () => (authorization = [...authorization, `Bearer ${token}`]),
      'no authorization': () => (authorization = []),
      'no scheme': () => (authorization = [token]),
      Basic: () => (authorization = [`Basic ${token}`]),
      'no proof': () => (dpop = []),
      'a proof': () => (dpop = [proof]),
      'empty proof': () => (dpop = ['']),
      'two proofs': () => (dpop = [proof, honestProof]),
      'the same proof twice': () => (dpop = [proof, proof]),
      'proofs in one line': () => (dpop = [`${proof}, ${honestProof}`]),
      'proof with a comma': () => (dpop = [`${proof},`]),
      'padded proof': () => (dpop = [proof + 'A'.repeat(9000)]),
    }
    all[how]()
  }
  // What a server takes off a line before anyone reads it (RFC 9110 §5.5).
  const trimmed = (line: string): string => line.replace(/^[ \t]+|[ \t]+$/g, '')
  return { method, target, authorization: authorization.map(trimmed), dpop: dpop.map(trimmed) }
}
