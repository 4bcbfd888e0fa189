// Does the registry know this client, and does the token keep within what it says? A token that goes beyond its client's registration is
// refused even if its issuer signed it. Registered clients are held to theirs in every tier; `client` says whether others pass.
import { z } from 'zod'
import { isTrusted } from '../certificate-trust.js'
import { QUALITIES, type Registration, standingOf, whyInactive } from '../registration.js'
import { orOff } from '../scalars.js'
import { defineCheck, type Gathered, setting } from './check.js'

export const registration = defineCheck({
  name: 'registration',
  spec: 'RFC 7591 §2',
  needs: [],
  reasons: ['client_unknown', 'client_inactive', 'client_unqualified', 'client_exceeded'],
  settings: {
    client: setting(
      z.enum(['any', 'registered']),
      'Which clients: `registered`, those of `clients` alone; `any`, others too. Without `clients` every tier has `any`.',
    ),
    client_profile: setting(
      orOff(z.array(z.enum(QUALITIES)).min(1)),
      'What the client must do to get its tokens: authenticate with a key (`client_auth`), push its authorization requests (`par`), sign them (`request_object`). Without `clients` it is off.',
    ),
    client_evidence: setting(
      z.enum(['declared', 'proven']),
      'How `client_profile` must be known: from the registry (`declared`), or asserted by the issuer in the token (`proven`, see `evidence` of an issuer).',
    ),
  },
  rules: {},
  run: (gathered, { client, client_profile, client_evidence }, deny) => {
    const { token, now, tier } = gathered
    const registration = token.issuer.registry?.get(token.clientId)
    if (registration === undefined) return client === 'registered' ? deny('client_unknown') : null

    const inactive = whyInactive(registration, now)
    if (inactive !== null) return deny('client_inactive', inactive)

    if (!registration.tiers.has(tier)) return deny('client_unqualified', 'tier')
    for (const quality of client_profile ?? []) {
      const standing = standingOf(quality, registration, token)
      if (standing !== 'proven' && (standing !== 'declared' || client_evidence === 'proven'))
        return deny('client_unqualified', `${quality}: ${standing}`)
    }

    const excess = whatExceeds(registration, gathered)
    return excess === null ? null : deny('client_exceeded', excess)
  },
})

function whatExceeds(registration: Registration, { token, path, confirmation, certificate }: Gathered): string | null {
  const { scopes, audiences, routes } = registration
  if (routes !== null && !routes.has(path)) return 'route'
  if (audiences !== null) for (const audience of token.audience) if (!audiences.has(audience)) return `audience: ${audience}`
  if (scopes !== null) for (const scope of token.scope) if (!scopes.has(scope)) return `scope: ${scope}`
  // A certificate that the token is not bound to says nothing of the client: it may be that of a proxy.
  if (registration.certificate === null || confirmation === null || confirmation.x5tS256 === null) return null
  return certificate !== null && isTrusted(certificate, registration.certificate) ? null : 'certificate'
}
