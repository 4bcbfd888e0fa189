// Did the connection prove the certificate the token is bound to? Judged on every request: a connection outlives dates.
// A tier that demands `mtls` has refused a token without `x5t#S256` before this (binding.ts).
import { defineCheck } from './check.js'

export const certificate = defineCheck({
  name: 'certificate',
  spec: 'RFC 8705 §3',
  needs: ['confirmation'],
  reasons: ['certificate_missing', 'certificate_invalid', 'certificate_mismatch'],
  settings: {},
  rules: {},
  run: ({ confirmation, inbound, now }, _settings, deny) => {
    if (confirmation.x5tS256 === null) return null
    const { certificate } = inbound.peer
    if (certificate === null) return deny('certificate_missing')
    if (certificate.judged) {
      if (certificate.invalid !== null) return deny('certificate_invalid', certificate.invalid)
      if (now < certificate.notBefore || now > certificate.notAfter) return deny('certificate_invalid', 'dates')
    }
    return certificate.x5tS256 === confirmation.x5tS256 ? null : deny('certificate_mismatch')
  },
})
