// JSON objects as their text, member by member, so that one can say a thing twice, in another spelling, or not in JSON at all.

/** Name and value, both as JSON text. */
export type Member = readonly [name: string, value: string]
export type Members = readonly Member[]

export const members = (object: Readonly<Record<string, unknown>>): Members =>
  Object.entries(object)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [JSON.stringify(name), JSON.stringify(value)])

const quoted = (name: string): string => JSON.stringify(name)

/** The value of a member as JSON text; undefined: there is none. */
export const textIn = (list: Members, name: string): string | undefined => list.find(([key]) => key === quoted(name))?.[1]

/** In place of what is there, else at the end. */
export const withMember = (list: Members, name: string, value: string): Members =>
  textIn(list, name) === undefined
    ? [...list, [quoted(name), value]]
    : list.map((member) => (member[0] === quoted(name) ? [member[0], value] : member))

export const withoutMember = (list: Members, name: string): Members => list.filter(([key]) => key !== quoted(name))

/** Once more, before or after what is there. */
export const repeated = (list: Members, name: string, { value, first }: { value: string; first: boolean }): Members =>
  first ? [[quoted(name), value], ...list] : [...list, [quoted(name), value]]

/** The name in `\u` escapes, which JSON reads the same. */
export const escaped = (list: Members, name: string): Members =>
  list.map(([key, value]) => (key === quoted(name) ? [`"${inEscapes(name)}"`, value] : [key, value]))

const inEscapes = (text: string): string =>
  [...text].map((character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')

export const renamed = (list: Members, name: string, to: string): Members =>
  list.map(([key, value]) => (key === quoted(name) ? [quoted(to), value] : [key, value]))

export const print = (list: Members): string => `{${list.map(([name, value]) => `${name}:${value}`).join(',')}}`

/** Ways to write the text of an object that are no JSON, or not only JSON. */
export const TEXTS: Readonly<Record<string, (text: string) => Buffer>> = {
  spaces: (text) => Buffer.from(text.replaceAll(',', ' ,\n\t').replace('{', ' { ')),
  'byte order mark': (text) => Buffer.from(`\ufeff${text}`),
  'trailing data': (text) => Buffer.from(`${text}{}`),
  'trailing NUL': (text) => Buffer.from(`${text}\0`),
  'trailing comma': (text) => Buffer.from(text.replace(/\}$/, ',}')),
  comment: (text) => Buffer.from(`/**/${text}`),
  'single quotes': (text) => Buffer.from(text.replaceAll('"', "'")),
  'UTF-16': (text) => Buffer.from(text, 'utf16le'),
  'not UTF-8': (text) => Buffer.concat([Buffer.from(`${text.slice(0, -1)},"x":"`), Buffer.from([0xe9]), Buffer.from('"}')]),
  'overlong UTF-8': (text) =>
    Buffer.concat([Buffer.from(`${text.slice(0, -1)},"x":"`), Buffer.from([0xc1, 0xa1]), Buffer.from('"}')]),
  'lone surrogate': (text) => Buffer.from(`${text.slice(0, -1)},"x":"\\ud800"}`),
  'in a list': (text) => Buffer.from(`[${text}]`),
  'a string': (text) => Buffer.from(JSON.stringify(text)),
  null: () => Buffer.from('null'),
  nothing: () => Buffer.alloc(0),
  deep: (text) => Buffer.from(`${text.slice(0, -1)},"x":${'['.repeat(300)}${']'.repeat(300)}}`),
  'a NaN': (text) => Buffer.from(`${text.slice(0, -1)},"x":NaN}`),
}
