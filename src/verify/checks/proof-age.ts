// Was the proof made just now? By its own `iat`, or, where a nonce is demanded and good, by the nonce: then `iat` may be an
// hour off either way, because the clocks of clients are (RFC 9449 §11.1). `exp` and `nbf` of a proof keep their JWT meaning.
import { duration } from '../scalars.js'
import { defineCheck, setting } from './check.js'

/** How far `iat` may be off where a nonce tells the time (seconds); the skew comes on top, for a request takes its time. */
const NONCE_IAT_TOLERANCE = 3600

export const proofAge = defineCheck({
  name: 'proof-age',
  spec: 'RFC 9449 §4.3 (11), §11.1',
  needs: ['proof'],
  reasons: ['proof_too_old', 'proof_in_future'],
  settings: {
    proof_max_age: setting(duration, 'How old a DPoP proof may be: by its `iat`, or by its nonce where one is required.'),
  },
  rules: {},
  run: ({ proof: { claims }, nonceTime, now, clockSkew }, { proof_max_age }, deny) => {
    const past = nonceTime === null ? proof_max_age : NONCE_IAT_TOLERANCE + clockSkew
    const future = nonceTime === null ? clockSkew : NONCE_IAT_TOLERANCE + clockSkew
    if (claims.iat < now - past) return deny('proof_too_old', `${now - claims.iat} s old`)
    if (claims.exp !== null && claims.exp <= now) return deny('proof_too_old', 'exp is past')
    if (claims.iat > now + future) return deny('proof_in_future', `${claims.iat - now} s ahead`)
    if (claims.nbf !== null && claims.nbf > now + clockSkew) return deny('proof_in_future', 'nbf is ahead')
    return null
  },
})
