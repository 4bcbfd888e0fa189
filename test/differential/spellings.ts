// One text of base64url in other spellings: some are the same bytes to a lenient decoder, some are other bytes.

export const SPELLINGS = [
  'padding',
  'much padding',
  'spare bits',
  'standard alphabet',
  'space inside',
  'space behind',
  'tab inside',
  'another character',
  'a flipped bit',
  'cut',
  'longer',
  'leading zero',
  'other case',
  'a percent sign',
  'a dot',
  'a stray character',
] as const
export type Spelling = (typeof SPELLINGS)[number]

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

export function spell(text: string, how: Spelling, at: number): string {
  const place = at % Math.max(text.length, 1)
  const insert = (more: string): string => text.slice(0, place) + more + text.slice(place)
  const put = (one: string): string => text.slice(0, place) + one + text.slice(place + 1)
  switch (how) {
    case 'padding':
      return text + '='.repeat((4 - (text.length % 4)) % 4)
    case 'much padding':
      return `${text}=====`
    case 'spare bits':
      return text.length % 4 === 0 ? text : text.slice(0, -1) + (ALPHABET[ALPHABET.indexOf(text.slice(-1)) | 1] ?? '')
    case 'standard alphabet':
      return text.replaceAll('-', '+').replaceAll('_', '/')
    case 'space inside':
      return insert(' ')
    case 'space behind':
      return `${text} `
    case 'tab inside':
      return insert('\t')
    case 'another character':
      return put(ALPHABET[(ALPHABET.indexOf(text.charAt(place)) + 1 + (at % 61)) % 64] ?? 'A')
    case 'a flipped bit': {
      const bytes = Buffer.from(text, 'base64url')
      const index = at % Math.max(bytes.length, 1)
      bytes[index] = (bytes[index] ?? 0) ^ (1 << (at % 8))
      return bytes.toString('base64url')
    }
    case 'cut':
      return text.slice(0, place)
    case 'longer':
      return `${text}AAAA`
    case 'leading zero':
      return Buffer.concat([Buffer.alloc(1), Buffer.from(text, 'base64url')]).toString('base64url')
    case 'other case':
      return put(
        text.charAt(place) === text.charAt(place).toLowerCase()
          ? text.charAt(place).toUpperCase()
          : text.charAt(place).toLowerCase(),
      )
    case 'a percent sign':
      return insert('%41')
    case 'a dot':
      return insert('.')
    case 'a stray character':
      return insert('*')
  }
}
