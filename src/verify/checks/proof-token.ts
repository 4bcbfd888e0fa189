// Was the proof made for this very token, as presented?
import { defineCheck } from './check.js'

export const proofToken = defineCheck({
  name: 'proof-token',
  spec: 'RFC 9449 §4.3 (12a)',
  needs: ['proof'],
  reasons: ['proof_token'],
  settings: {},
  rules: {},
  run: ({ proof, token }, _settings, deny) => (proof.claims.ath === token.ath ? null : deny('proof_token')),
})
