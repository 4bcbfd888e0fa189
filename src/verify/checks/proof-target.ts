// Was the proof made for this target, seen from outside, whatever is rewritten behind us?
import { isSameTarget } from '../target.js'
import { defineCheck } from './check.js'

export const proofTarget = defineCheck({
  name: 'proof-target',
  spec: 'RFC 9449 §4.3 (9)',
  needs: ['proof'],
  reasons: ['proof_target'],
  settings: {},
  rules: {},
  run: ({ proof, inbound }, _settings, deny) => (isSameTarget(proof.claims.htu, inbound.target) ? null : deny('proof_target')),
})
