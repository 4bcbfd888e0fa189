// Where nonces are demanded, has the proof a fresh one of ours? Elsewhere a nonce is ignored: clients keep one per origin.
// Whether it is ours and fresh was found before (nonces.ts); this check only says what follows from it.
import { z } from 'zod'
import { defineCheck, setting } from './check.js'

export const proofNonce = defineCheck({
  name: 'proof-nonce',
  spec: 'RFC 9449 §4.3 (10), §9',
  needs: ['proof'],
  reasons: ['nonce_missing', 'nonce_stale'],
  settings: {
    nonce: setting(
      z.union([z.literal(false).transform(() => 'off' as const), z.enum(['off', 'required'])]),
      'Whether a DPoP proof must hold a nonce made here; it must then be at most `proof_max_age` old.',
    ),
  },
  rules: {},
  run: ({ proof, nonceTime }, { nonce }, deny) => {
    if (nonce === 'off' || nonceTime !== null) return null
    return proof.claims.nonce === undefined ? deny('nonce_missing') : deny('nonce_stale')
  },
})
