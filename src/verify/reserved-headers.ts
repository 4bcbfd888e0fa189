// Which header names may only we set? A client that sends one would speak in our name, or in the name of a proxy that legacy
// backends trust. Data, block by block, and the matching; what is done with it is the business of upstream/headers.ts.
// Printed to docs/removed-headers.md. Does not list: framing (Content-Length, Host), which every hop writes anew.

/** Names as their users spell them; a final `*` makes it a prefix, because such families grow. */
export const RESERVED_HEADERS = {
  certificate: [
    'Client-Cert Client-Cert-Chain X-Forwarded-Client-Cert X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info',
    'SSL-Client-* SSLClientCertb64 X-SSL X-SSL-* X-Client-Cert* X-TLS-Client-* Tls-Client-Certificate-*',
    'X-Amzn-Mtls-* X-Amzn-TLS-Version X-Amzn-TLS-Cipher-Suite',
    'CloudFront-Viewer-Cert-Present CloudFront-Viewer-Cert-Subject CloudFront-Viewer-Cert-Issuer',
    'CloudFront-Viewer-Cert-Serial-Number CloudFront-Viewer-Cert-Sha256 CloudFront-Viewer-Cert-Validity CloudFront-Viewer-Cert-Pem',
    'X-ARR-ClientCert X-ARR-SSL X-ARR-LOG-ID X-AppGw-Client-Cert',
    'Cf-Client-Cert-* Cf-Cert-Verified Cf-Cert-Presented Cf-Cert-Revoked Fastly-Client-Cert*',
    'WL-Proxy-Client-Cert WL-Proxy-SSL $WS*',
  ],
  identity: [
    'Remote-* X-Remote-User X-Remote-Group X-Remote-Extra-*',
    'X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username X-Forwarded-Access-Token',
    'X-Auth-Request-* X-Auth-User X-Auth-Username X-Auth-Token',
    'X-Authenticated-User X-Authenticated-Userid X-Authenticated-Scope X-Authenticated-Groups',
    'X-Consumer-* X-Credential-Identifier X-Anonymous-Consumer X-Userinfo X-ID-Token X-Access-Token X-Refresh-Token',
    'X-User X-User-Id X-User-Name X-User-Email X-User-Roles X-Role X-Roles X-Groups X-Tenant-Id X-Org-Id X-Client-Id',
    'X-Scope X-Scopes X-Admin X-Internal*',
    'Cf-Access-Jwt-Assertion Cf-Access-Authenticated-User-Email Cf-Access-Client-Id Cf-Access-Client-Secret',
    'X-Goog-* X-Serverless-Authorization X-Endpoint-API-UserInfo X-Apigateway-Api-Userinfo X-Amzn-* X-MS-*',
    'X-Pomerium-Jwt-Assertion X-Pomerium-Claim-* X-authentik-* Tailscale-User-Login Tailscale-User-Name',
    'Tailscale-User-Profile-Pic Teleport-Jwt-Assertion X-Vouch-User X-Vouch-IdP-* X-WEBAUTH-USER X-WEBAUTH-EMAIL',
    'X-Token-Payload X-JWT-* JWT-Claim-* SM_USER SM_USERDN SM_SERVERSESSIONID OAM_* iv-user iv-groups iv-creds OIDC_*',
    'eppn AJP_* Shib-* persistent-id X-NTLM-* PF-* MELLON_*',
    'Txn-Token Workload-Identity-Token Workload-Proof-Token Holdfast-* X-Holdfast-*',
  ],
  addressing: [
    'Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port X-Forwarded-Scheme X-Forwarded-Protocol',
    'X-Forwarded-Ssl X-Forwarded-Server X-Forwarded-Prefix X-Forwarded-Path X-Forwarded-Uri X-Forwarded-Method X-Forwarded-By',
    'X-Forwarded-Context X-Forwarded-Port-Override X-Forwarded-Request-Uri X-Scheme X-Url-Scheme Front-End-Https',
    'X-Real-IP X-Client-IP X-Cluster-Client-IP X-Originating-IP X-Remote-IP X-Remote-Addr X-ProxyUser-Ip True-Client-IP Cf-*',
    'Fastly-Client-IP Akamai-Origin-Hop X-Azure-ClientIP X-Azure-SocketIP X-Original-Forwarded-For Proxy-Client-IP',
    'WL-Proxy-Client-IP Client-IP Via',
    'X-Original-URL X-Rewrite-URL X-Original-URI X-Original-Host X-Original-Method X-Original-Proto X-Original-To',
    'X-Original-Path X-Host X-HTTP-Host-Override X-Request-URI X-Proxy-URL Base-Url Destination Request-Uri Uri',
    'X-HTTP-Method-Override X-HTTP-Method X-Method-Override X-Middleware-* X-Nextjs-*',
    'X-Accel-Redirect X-Accel-Internal X-Sendfile X-Lighttpd-Send-File X-Envoy-* X-Istio-Attributes l5d-*',
  ],
  hop: [
    'Connection Keep-Alive Proxy-Connection TE Trailer Transfer-Encoding Upgrade HTTP2-Settings Proxy-Authenticate',
    'Proxy-Authorization Proxy Expect Max-Forwards Early-Data Alt-Used Surrogate-Capability Surrogate-Control CDN-Loop X-Http2-*',
  ],
  credentials: ['Authorization DPoP Cookie X-Api-Key'],
  tracing: [
    'X-Request-ID X-Correlation-ID traceparent tracestate baggage X-B3-* X-Cloud-Trace-Context X-Client-Trace-Id',
    'x-fapi-interaction-id',
  ],
} as const satisfies Record<string, readonly string[]>

export type Block = keyof typeof RESERVED_HEADERS

const BLOCKS = Object.keys(RESERVED_HEADERS) as readonly Block[]
const namesOf = (block: Block): readonly string[] => RESERVED_HEADERS[block].flatMap((line) => line.split(' '))

/**
 * A name as a backend may come to see it: lower case, and whatever is neither letter nor digit as `-`. CGI and what descends
 * from it (WSGI, Rack, PHP) make one variable of `X-Remote-User`, `X_Remote_User` and, in some servers, `X.Remote.User`.
 */
export function normalName(name: string): string {
  const lower = name.toLowerCase()
  return /[^a-z0-9-]/.test(lower) ? lower.replace(/[^a-z0-9]/g, '-') : lower
}

/** Names that nearly every message has and no rule matches; they need not be matched against each prefix. */
const ORDINARY = [
  'accept accept-charset accept-encoding accept-language accept-ranges access-control-request-headers',
  'access-control-request-method age allow cache-control content-disposition content-encoding content-language content-length',
  'content-location content-range content-security-policy content-type date dnt etag expires host idempotency-key if-match',
  'if-modified-since if-none-match if-range if-unmodified-since last-modified link location origin pragma prefer priority range',
  'referer retry-after sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user',
  'server set-cookie strict-transport-security upgrade-insecure-requests user-agent vary www-authenticate x-content-type-options',
  'x-frame-options x-powered-by',
].flatMap((line) => line.split(' '))

/** Filled once, here: what a client sends never makes it grow. */
const KNOWN: ReadonlyMap<string, Block | null> = new Map<string, Block | null>([
  ...ORDINARY.map((name) => [name, null] as const),
  ...BLOCKS.flatMap((block) =>
    namesOf(block)
      .filter((name) => !name.endsWith('*'))
      .map((name) => [normalName(name), block] as const),
  ),
])

const prefixPattern = (blocks: readonly Block[]): RegExp => {
  const prefixes = blocks.flatMap(namesOf).filter((name) => name.endsWith('*'))
  return prefixes.length === 0 ? /^(?!)/ : new RegExp(`^(?:${prefixes.map((name) => normalName(name.slice(0, -1))).join('|')})`)
}
const ANY_PREFIX = prefixPattern(BLOCKS)
const PREFIX_OF = BLOCKS.map((block) => [block, prefixPattern([block])] as const)

/** The block that reserves a name, in whatever case and with `_` or `-`; null: it passes. */
export function reservedBlock(name: string): Block | null {
  const normal = normalName(name)
  const known = KNOWN.get(normal)
  if (known !== undefined) return known
  return ANY_PREFIX.test(normal) ? (PREFIX_OF.find(([, prefix]) => prefix.test(normal))?.[0] ?? null) : null
}

/**
 * The reserved names among the headers of a request, in lower case, each once, without those that `passed` (lower case) lets
 * through; for the audit event. `Authorization` and `DPoP` are ours to read, so they are not told of.
 */
export function removedNames(rawHeaders: readonly string[], passed: readonly string[]): readonly string[] {
  const removed: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const lower = (rawHeaders[i] ?? '').toLowerCase()
    if (lower === 'authorization' || lower === 'dpop' || reservedBlock(lower) === null) continue
    if (!passed.includes(lower) && !removed.includes(lower)) removed.push(lower)
  }
  return removed
}

/** Credentials of ours, and what we set ourselves. */
const NEVER_PASSED: ReadonlySet<string> = new Set([
  'authorization',
  'dpop',
  'traceparent',
  'x-request-id',
  'x-fapi-interaction-id',
])

/**
 * May an upstream's `pass_headers` name it (contract §6)? Only cookies, API keys and tracing; false for what is never removed
 * as well, because listing it would promise something that nothing does.
 */
export function isPassable(name: string): boolean {
  if (!/^[a-z0-9_-]+$/i.test(name) || NEVER_PASSED.has(normalName(name))) return false
  const block = reservedBlock(name)
  return block === 'credentials' || block === 'tracing'
}

const HEADINGS: Readonly<Record<Block, string>> = {
  certificate: 'Who vouches for a client certificate',
  identity: 'Who the caller is',
  addressing: 'Where a request came from and where it goes',
  hop: 'This connection only',
  credentials: 'Credentials that are not the upstream’s to see',
  tracing: 'Tracing',
}

/** The text of docs/removed-headers.md. */
export function removedHeadersMarkdown(): string {
  const sections = BLOCKS.map((block) => {
    const names = namesOf(block).map((name) => {
      const isPassed = !name.endsWith('*') ? isPassable(name) : block === 'credentials' || block === 'tracing'
      return `- \`${name}\`${isPassed ? ' (may stand in `pass_headers`)' : ''}`
    })
    return `## ${HEADINGS[block]}\n\n${names.join('\n')}\n`
  })
  return `# Removed headers

Printed from \`src/verify/reserved-headers.ts\` by \`npm run docs\`.

Holdfast removes these from every request, on every route, before it adds its own. Case does not matter, and \`_\`, \`.\` and every
other character that is neither letter nor digit counts as \`-\`: backends fold them into one name. A name that ends in \`*\` is a
prefix. \`Authorization\` and \`DPoP\` pass with \`pass_token: true\`; the assertion's own header never does, whatever it is called.
Names of the first four groups are removed from answers too.

${sections.join('\n')}`
}
