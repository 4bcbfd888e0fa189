// Security events (RFC 8417) as a transmitter signs them: of the issuer of drafts, for the audience of the labs.
import { randomUUID } from 'node:crypto'
import { issuerKey } from './draft.js'
import { signJwt } from './jwt.js'

export const ISSUER = 'https://as.example.com'
export const AUDIENCE = 'https://gateway.example.com/events'
const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
export const seconds = (): number => Math.floor(Date.now() / 1000)

export type Json = Record<string, unknown>
export type EventToken = { header: Json; claims: Json; key: typeof issuerKey }

export const user = (sub: string, iss = ISSUER): Json => ({ format: 'iss_sub', iss, sub })

/** An event that is taken as it is; a test changes one thing of it. */
export const makeSet = (type: string, sub_id: Json | null, event: Json = {}): EventToken => ({
  header: { typ: 'secevent+jwt', alg: 'ES256', kid: 'issuer-1' },
  claims: {
    iss: ISSUER,
    aud: AUDIENCE,
    iat: seconds(),
    jti: randomUUID(),
    ...(sub_id === null ? {} : { sub_id }),
    events: { [type.includes(':') ? type : CAEP + type]: event },
  },
  key: issuerKey,
})

export const printSet = ({ header, claims, key }: EventToken): string => signJwt(header, claims, key.privateKey)
