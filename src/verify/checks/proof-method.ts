// Was the proof made for this method? A proof for GET must not open a POST; methods are case-sensitive (RFC 9110 §9.1).
import { defineCheck } from './check.js'

export const proofMethod = defineCheck({
  name: 'proof-method',
  spec: 'RFC 9449 §4.3 (8)',
  needs: ['proof'],
  reasons: ['proof_method'],
  settings: {},
  rules: {},
  run: ({ proof, inbound }, _settings, deny) => (proof.claims.htm === inbound.method ? null : deny('proof_method')),
})
