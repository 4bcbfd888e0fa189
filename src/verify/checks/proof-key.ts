// Is the proof made with the key the token is bound to? A thief has the token, not the key.
import { defineCheck } from './check.js'

export const proofKey = defineCheck({
  name: 'proof-key',
  spec: 'RFC 9449 §4.3 (12b), §6.1',
  needs: ['proof', 'confirmation'],
  reasons: ['proof_key'],
  settings: {},
  rules: {},
  run: ({ proof, confirmation }, _settings, deny) =>
    confirmation.jkt === null || proof.header.jkt === confirmation.jkt ? null : deny('proof_key'),
})
