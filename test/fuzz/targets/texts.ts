// The readers of small texts: JSON, request targets, `htu`, origins, heads with Host and credentials, nonces. None throws; each agrees
// with a naive reader of the same, or with one that others wrote, on what it accepts; what is normal stays as it is.
import { judgeHead, readInbound, readLines, readOrigin } from '../../../src/edge/inbound.js'
import { readCredentials, schemeOf } from '../../../src/verify/credentials.js'
import { readDistinguishedName, readSubject } from '../../../src/verify/distinguished-name.js'
import { readJsonObject } from '../../../src/verify/json.js'
import { makeNonce, readNonceTime } from '../../../src/verify/nonces.js'
import { hasTokenInQuery, isSameTarget, normalOrigin, readTarget } from '../../../src/verify/target.js'
import { Denial } from '../../../src/verify/verdict.js'
import { readEntries, readWords } from '../corpus.js'
import { saysAllOnce } from '../naive-json.js'
import { fine, judge, type Target, type Verdict } from '../target.js'

const H = 'https://h'

/** A pure reader of bytes. */
const reader = (
  name: string,
  check: (input: Buffer) => Verdict,
  more: Partial<Target> & { seeds?: readonly Buffer[] } = {},
): Target => ({
  name,
  most: 16 * 1024,
  slowest: 50,
  together: 1,
  open: async () => ({ seeds: more.seeds ?? readEntries(name), words: readWords(name), check }),
  ...more,
})

function checkJson(input: Buffer): Verdict {
  const read = readJsonObject(input)
  const naive = readNaively(input)
  const isRight = read === null ? naive === null : JSON.stringify(read) === JSON.stringify(naive)
  return judge(read === null ? 'none' : `object of ${Math.min(9, Object.keys(read).length)}`, [
    [isRight, 'accepts other JSON than JSON.parse without members that are named twice'],
  ])
}

/** The same by other means. */
function readNaively(input: Buffer): object | null {
  const text = input.toString('utf8')
  if (!Buffer.from(text).equals(input)) return null
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
    return saysAllOnce(text) ? value : null
  } catch {
    return null
  }
}

function checkTarget(input: Buffer): Verdict {
  const text = input.toString('latin1')
  const target = readTarget(text, H)
  if (target === null) return fine('refused')
  const { path, rawPath, query, matrix } = target
  const again = readTarget(path, H)
  const decoded = path.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  // To some servers `;` ends the name of a segment.
  const segments = path
    .slice(1)
    .split('/')
    .map((one) => one.split(/;|%3B/, 1)[0])
  return judge(`accepted${matrix ? ' matrix' : ''}${query === null ? '' : ' query'}${path === rawPath ? '' : ' normalised'}`, [
    [rawPath + (query === null ? '' : `?${query}`) === text, 'does not keep the bytes as they came'],
    [again?.path === path && again.matrix === matrix, 'the normal form is not normal'],
    [new URL(H + path).pathname === path, 'a browser reads the path in another way'],
    [!segments.some((one) => one === '.' || one === '..'), 'a dot segment is left'],
    [
      !path.includes('//') && [...decoded].every((one) => one >= ' ' && one !== '\x7f' && one !== '\\') && !path.includes('%2F'),
      'structure is left in an escape',
    ],
    [matrix === decoded.includes(';'), 'a matrix parameter is missed'],
    [isSameTarget(H + rawPath, target) && isSameTarget(H + path, target), 'is not its own htu'],
    [isSameTarget(`HTTPS://H:443${path}?x=/../#y`, target), 'is not its own htu in another spelling'],
  ])
}

/** `htu`, a line feed, and the target that it is compared with. */
function checkHtu(input: Buffer): Verdict {
  const [htu = '', text = '/'] = input.toString('latin1').split('\n')
  const target = readTarget(text, H)
  if (target === null) return fine('no target')
  if (!isSameTarget(htu, target)) return fine('another')
  const url = new URL(htu)
  const path = url.pathname.replace(/%([0-9A-Fa-f]{2})/g, (triplet, hex: string) => {
    const letter = String.fromCharCode(Number.parseInt(hex, 16))
    return /[A-Za-z0-9\-._~]/.test(letter) ? letter : triplet.toUpperCase()
  })
  return judge('same', [
    [url.origin === H && url.username === '' && url.password === '', 'is said to be the same, of another origin'],
    [path === target.path, 'is said to be the same, and a browser would go elsewhere'],
  ])
}

function checkOrigin(input: Buffer): Verdict {
  const text = input.toString('latin1')
  const origin = normalOrigin(text)
  if (origin === null) return fine('refused')
  // A browser reads numbers as IPv4 and writes IPv6 shorter; neither makes another origin of ours.
  const isName = !/\[|:\/\/(?:.*\.)?(?:0x[0-9a-f]*|\d+)(?::\d+)?$/.test(origin) && !origin.includes('xn--')
  return judge(isName ? 'name' : 'address', [
    [normalOrigin(origin) === origin && normalOrigin(`${origin}/`) === origin, 'the normal form is not normal'],
    [!isName || new URL(text).origin === origin, 'a browser reads another origin'],
    [origin.includes('[') || /^https?:\/\/[a-z0-9.-]+(?::\d+)?$/.test(origin), 'an origin with more than it may have'],
  ])
}

function checkQuery(input: Buffer): Verdict {
  const query = input.toString('latin1')
  const found = hasTokenInQuery(query)
  const decoded = query.split(/[&;]/).map((one) => decodeNaively(one.split('=', 1)[0] ?? ''))
  return judge(String(found), [[found === decoded.includes('access_token'), 'does not see the access_token that is there']])
}

const decodeNaively = (text: string): string => {
  let plain = ''
  for (let i = 0; i < text.length; i++) {
    const hex = /^%([0-9a-f]{2})/i.exec(text.slice(i, i + 3))?.[1]
    plain += hex === undefined ? text[i] : String.fromCharCode(Number.parseInt(hex, 16))
    if (hex !== undefined) i += 2
  }
  return plain
}

const ORIGINS = ['https://api.example.com', 'https://mtls.example.com:8443', 'https://[2001:db8::1]']
const LIMITS = { header_count: 100, target_bytes: 8192 }

/** A request line and header lines, each `name: value`; what Node refuses before is not looked for here. */
function checkHead(input: Buffer): Verdict {
  const [start = '', ...lines] = input.toString('latin1').split('\n')
  const [method = '', rawTarget = '', httpVersion = '1.1'] = start.split(' ')
  const rawHeaders = lines.flatMap((line) => {
    const colon = line.indexOf(':')
    return colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
  const peer = { address: '192.0.2.7', port: 1, certificate: null }
  const head = {
    requestId: 'r',
    receivedAt: 0,
    method,
    httpVersion,
    rawTarget,
    rawHeaders,
    peer,
    servername: null,
    removedPrefix: '',
  }
  const read = readLines(rawHeaders)
  const unfit = judgeHead(head, read, LIMITS)
  if (unfit !== null) return fine(unfit.reason)
  const origin = readOrigin(head, read, ORIGINS)
  if (origin instanceof Denial) return fine(`${origin.reason} ${origin.detail ?? ''}`)
  const inbound = readInbound(head, read, origin)
  if (inbound instanceof Denial) return fine(`${inbound.reason} ${inbound.detail ?? ''}`)
  const credentials = readCredentials(inbound, 8192)
  const known = judge('', [
    [ORIGINS.includes(origin) && inbound.target.origin === origin, 'an origin that is not ours'],
    [
      rawTarget.endsWith(inbound.target.rawPath + (inbound.target.query === null ? '' : `?${inbound.target.query}`)) ||
        !rawTarget.startsWith('/'),
      'another target than was sent',
    ],
    [inbound.interactionId === null || /^[0-9a-f-]{36}$/i.test(inbound.interactionId), 'an interaction id that is no UUID'],
  ])
  if (known.problem !== null) return known
  if (credentials instanceof Denial) return fine(`${credentials.reason} ${credentials.detail ?? ''}`)
  const [line = ''] = inbound.authorization
  return judge(`credentials ${credentials.scheme}`, [
    [inbound.authorization.length === 1, 'takes one of several credentials'],
    [/^[\w\-.~+/]{1,8192}=*$/.test(credentials.token), 'takes what is no token68'],
    [
      new RegExp(`^${credentials.scheme} +`, 'i').test(line) && line.endsWith(` ${credentials.token}`),
      'takes other credentials than were sent',
    ],
    [schemeOf(line) === credentials.scheme, 'two readers of the scheme differ'],
  ])
}

const SECRETS = ['current secret of thirty-two bytes', 'previous secret of thirty-two byte']
const NONCES = [makeNonce(SECRETS[0] ?? '', 1_800_000_000), makeNonce(SECRETS[1] ?? '', 1_800_000_000)]
function checkNonce(input: Buffer): Verdict {
  const text = input.toString('latin1')
  const time = readNonceTime(SECRETS, text)
  return judge(time === null ? 'foreign' : 'ours', [
    [time === null || NONCES.includes(text), 'takes a nonce that was never made'],
  ])
}

/** A name that is read is read the same however it is written: every octet escaped, in capitals, as the lines of a certificate. */
function checkName(input: Buffer): Verdict {
  const text = input.toString('utf8')
  const name = readDistinguishedName(text)
  if (name === null)
    return judge('none', [[readSubject(text) === null || text.includes('\n'), 'a line that is no name of its own']])
  const names: readonly (readonly [string, string][])[] = JSON.parse(name).map((one: string[]) =>
    one.map((pair) => JSON.parse(pair)),
  )
  const escaped = (value: string): string => Buffer.from(value).toString('hex').replace(/../g, '\\$&')
  const printed = names.map((one) => one.map(([type, value]) => `${type.toUpperCase()}=${escaped(value)}`).join('+'))
  return judge(`${Math.min(9, names.length)} names`, [
    [names.length > 0 && names.every((one) => one.length > 0), 'a name of nothing'],
    [names.flat().every(([type, value]) => type !== '' && value !== '' && !value.includes('\0')), 'an attribute of nothing'],
    [readDistinguishedName(printed.join(',')) === name, 'is another name when it is escaped'],
    [readSubject(printed.toReversed().join('\n')) === name, 'is another name in a certificate'],
  ])
}

export const TEXTS: readonly Target[] = [
  reader('json', checkJson, { most: 64 * 1024 }),
  reader('target', checkTarget),
  reader('htu', checkHtu),
  reader('origin', checkOrigin),
  reader('query', checkQuery),
  reader('head', checkHead, { most: 32 * 1024 }),
  reader('name', checkName, { most: 4096 }),
  reader('nonce', checkNonce, { seeds: NONCES.map((nonce) => Buffer.from(nonce)), most: 256 }),
]
