// Every advisory, issue and report of gateways like this one that has a test in this folder: advisories.test.ts looks for its title.

/** What Fastify, its proxy plugins and undici have had, and faults of others in the same places. */
export const OWN_STACK = [
  'CVE-2026-107318',
  'CVE-2026-33805',
  'CVE-2026-16117',
  'CVE-2026-85124',
  'CVE-2026-120213',
  'CVE-2026-15631',
  'CVE-2026-16158',
  'CVE-2026-3635',
  'CVE-2026-92395',
  'CVE-2026-107832',
  'CVE-2026-33806',
  'CVE-2025-32442',
  'CVE-2026-3419',
  'CVE-2021-21321',
  'CVE-2021-21322',
  'CVE-2026-1525',
  'CVE-2026-1527',
  'CVE-2026-71849',
  'CVE-2026-22817',
  'CVE-2026-35039',
] as const

/** Proofs of possession: DPoP, and client certificates. */
export const PROOFS = [
  'CVE-2024-49755',
  'giantswarm/mcp-oauth #383',
  'giantswarm/mcp-oauth #384',
  'liboauth2',
  'Spring jti map',
  'keycloak #43505',
  'CVE-2026-4282',
  'CVE-2026-4325',
  'Duende PR 1291',
  'Duende htu',
  'Kong opaque token',
  'Kong session auth',
  'WSO2',
  'Kong, Gravitee, PingGateway',
  'CVE-2026-46579',
  'CVE-2025-23419',
  'CVE-2025-66220',
  'GHSA-w5w5-487h-qv8q',
] as const

/** Spoofed headers, paths that are read in two ways, caches, issuers. */
export const GATEWAYS = [
  'CVE-2025-64484',
  'CVE-2026-29054',
  'CVE-2026-33433',
  'Kong 3.14',
  'CVE-2023-27487',
  'CVE-2024-45806',
  'CVE-2026-40575',
  'GHSA-p224-6x5r-fjpm',
  'CVE-2026-42274',
  'CVE-2026-15573',
  'CVE-2026-0976',
  'CVE-2026-33496',
  'Heimdall #3452',
  'CVE-2021-32701',
  'CVE-2026-35030',
  'CVE-2026-29000',
  'CVE-2018-0114',
  'OWASP cheat sheet PR 2317',
  'CVE-2025-64527',
  'CVE-2024-45809',
  'pyjwt PR 1169',
  'floci PR 3743',
  'NodeDB #61',
  'CVE-2025-64763',
  'CVE-2026-2833',
  'CVE-2026-8922',
] as const

/** What two widely used resource servers granted, or refused without reason, when one thing of a good request was changed. */
export const PEERS = ['Apache mod_oauth2 3.3.1', 'Spring Security 7.1.2'] as const
