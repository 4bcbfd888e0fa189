// Every name of the list, in every spelling that a backend folds into it.
import fc from 'fast-check'
import t from 'tap'
import {
  type Block,
  isPassable,
  normalName,
  removedHeadersMarkdown,
  removedNames,
  reservedBlock,
} from '../../src/verify/reserved-headers.js'

/** Written apart from the gateway's own list: an entry lost there is found here. */
const NAMES: Readonly<Record<Block, string>> = {
  certificate: `Client-Cert Client-Cert-Chain X-Forwarded-Client-Cert X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info
    ssl-client-verify ssl-client-subject-dn ssl-client-issuer-dn ssl-client-cert ssl-client-serial X-SSL-Cert X-SSL-Client-Cert
    X-SSL-Client-Verify X-SSL-Client-DN X-SSL-Client-S-DN X-SSL-Client-I-DN X-SSL-Client-CN X-SSL-Client-Serial X-SSL-Client-SHA1
    X-SSL-Client-Fingerprint X-SSL-Client-NotBefore X-SSL-Client-NotAfter X-SSL-Issuer X-SSL X-SSL-Protocol X-SSL-Cipher
    X-SSL-Session-Id SSL_CLIENT_CERT SSL_CLIENT_S_DN SSL_CLIENT_VERIFY SSL_CLIENT_I_DN SSLClientCertb64 SSL-Client-Cert
    X-Amzn-Mtls-Clientcert X-Amzn-Mtls-Clientcert-Leaf X-Amzn-Mtls-Clientcert-Subject X-Amzn-Mtls-Clientcert-Issuer
    X-Amzn-Mtls-Clientcert-Serial-Number X-Amzn-Mtls-Clientcert-Validity X-Amzn-TLS-Version X-Amzn-TLS-Cipher-Suite
    CloudFront-Viewer-Cert-Present CloudFront-Viewer-Cert-Subject CloudFront-Viewer-Cert-Issuer CloudFront-Viewer-Cert-Serial-Number
    CloudFront-Viewer-Cert-Sha256 CloudFront-Viewer-Cert-Validity CloudFront-Viewer-Cert-Pem X-ARR-ClientCert X-ARR-SSL X-ARR-LOG-ID
    X-AppGw-Client-Cert X-Client-Cert X-Client-Cert-Present X-Client-Cert-Chain-Verified X-Client-Cert-Error X-Client-Cert-Hash
    X-Client-Cert-SHA256-Fingerprint X-Client-Cert-Serial-Number X-Client-Cert-SPIFFE X-Client-Cert-URI-SANs
    X-Client-Cert-DNSName-SANs X-Client-Cert-Leaf X-Client-Cert-Chain Cf-Client-Cert-Der-Base64 Cf-Client-Cert-Sha256
    Cf-Cert-Verified Cf-Cert-Presented Cf-Cert-Revoked WL-Proxy-Client-Cert WL-Proxy-SSL $WSCC $WSSC $WSIS X-Tls-Client-Cert
    Ssl-Client-S-Dn`,
  identity: `REMOTE_USER Remote-User Remote-Groups Remote-Email Remote-Name X-Remote-User X-Remote-Group X-Forwarded-User
    X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username X-Forwarded-Access-Token X-Auth-Request-User
    X-Auth-Request-Email X-Auth-Request-Groups X-Auth-Request-Preferred-Username X-Auth-Request-Access-Token X-Auth-Request-Redirect
    X-Auth-User X-Auth-Username X-Auth-Token X-Authenticated-User X-Authenticated-Userid X-Authenticated-Scope
    X-Authenticated-Groups X-Consumer-ID X-Consumer-Username X-Consumer-Custom-ID X-Consumer-Groups X-Credential-Identifier
    X-Anonymous-Consumer X-Userinfo X-ID-Token X-Access-Token X-Refresh-Token X-User X-User-Id X-User-Name X-User-Email X-User-Roles
    X-Roles X-Groups X-Tenant-Id X-Org-Id X-Client-Id X-Scope X-Scopes X-Role X-Admin X-Internal Cf-Access-Jwt-Assertion
    Cf-Access-Authenticated-User-Email Cf-Access-Client-Id Cf-Access-Client-Secret X-Goog-Iap-Jwt-Assertion
    X-Goog-Authenticated-User-Email X-Goog-Authenticated-User-Id X-Serverless-Authorization X-Endpoint-API-UserInfo
    X-Apigateway-Api-Userinfo X-Amzn-Oidc-Data X-Amzn-Oidc-Identity X-Amzn-Oidc-Accesstoken X-Amzn-Trace-Id X-MS-CLIENT-PRINCIPAL
    X-MS-CLIENT-PRINCIPAL-ID X-MS-CLIENT-PRINCIPAL-NAME X-MS-CLIENT-PRINCIPAL-IDP X-MS-Proxy X-Pomerium-Jwt-Assertion
    X-authentik-username X-authentik-groups X-authentik-email X-authentik-name X-authentik-uid X-authentik-jwt Tailscale-User-Login
    Tailscale-User-Name Tailscale-User-Profile-Pic Teleport-Jwt-Assertion X-Vouch-User X-WEBAUTH-USER X-WEBAUTH-EMAIL
    X-Token-Payload X-Jwt-Payload X-Jwt-Assertion SM_USER SM-User SM_USERDN SM_SERVERSESSIONID OAM_REMOTE_USER iv-user iv-groups
    iv-creds eppn persistent-id Txn-Token Workload-Identity-Token Workload-Proof-Token Holdfast-Assertion Holdfast-Decision`,
  addressing: `Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port X-Forwarded-Scheme X-Forwarded-Protocol
    X-Forwarded-Ssl X-Forwarded-Server X-Forwarded-Prefix X-Forwarded-Path X-Forwarded-Uri X-Forwarded-Method X-Forwarded-By
    X-Forwarded-Context X-Forwarded-Port-Override X-Scheme X-Url-Scheme Front-End-Https X-Real-IP X-Client-IP X-Cluster-Client-IP
    X-Originating-IP X-Remote-IP X-Remote-Addr X-ProxyUser-Ip True-Client-IP CF-Connecting-IP CF-Connecting-IPv6 CF-IPCountry
    CF-Visitor Fastly-Client-IP Akamai-Origin-Hop X-Azure-ClientIP X-Azure-SocketIP X-Original-Forwarded-For Proxy-Client-IP
    WL-Proxy-Client-IP Client-IP Via X-Original-URL X-Rewrite-URL X-Original-URI X-Original-Host X-Original-Method X-Original-Proto
    X-Original-To X-Original-Path X-Host X-HTTP-Host-Override X-Forwarded-Request-Uri X-Request-URI X-Proxy-URL Base-Url Destination
    Request-Uri Uri X-HTTP-Method-Override X-HTTP-Method X-Method-Override X-Middleware-Subrequest X-Accel-Redirect X-Accel-Internal
    X-Sendfile X-Lighttpd-Send-File x-envoy-decorator-operation x-envoy-downstream-service-cluster x-envoy-downstream-service-node
    x-envoy-expected-rq-timeout-ms x-envoy-external-address x-envoy-force-trace x-envoy-internal x-envoy-ip-tags
    x-envoy-max-retries x-envoy-retry-grpc-on x-envoy-retry-on x-envoy-upstream-alt-stat-name x-envoy-upstream-rq-per-try-timeout-ms
    x-envoy-upstream-rq-timeout-alt-response x-envoy-upstream-rq-timeout-ms x-envoy-upstream-stream-duration-ms
    x-envoy-original-path x-envoy-original-dst-host x-envoy-peer-metadata x-envoy-peer-metadata-id x-envoy-attempt-count
    x-istio-attributes l5d-client-id CF_Authorization`,
  hop: `Connection Keep-Alive Proxy-Connection TE Trailer Transfer-Encoding Upgrade HTTP2-Settings Proxy-Authenticate
    Proxy-Authorization Proxy Expect Max-Forwards Early-Data Alt-Used Surrogate-Capability Surrogate-Control CDN-Loop`,
  credentials: 'Authorization DPoP Cookie X-Api-Key',
  tracing: `X-Request-ID X-Correlation-ID traceparent tracestate baggage X-Cloud-Trace-Context X-Client-Trace-Id x-fapi-interaction-id`,
}

const PREFIXES: Readonly<Record<Block, string>> = {
  certificate:
    'ssl-client- x-ssl- X-Client-Cert Fastly-Client-Cert tls-client-certificate- X-TLS-Client- X-Amzn-Mtls- Cf-Client-Cert-',
  identity: `remote- X-Remote-Extra- x-auth-request- x-authentik- x-authentik-meta- x-consumer- x-jwt- JWT-Claim- x-amzn- x-ms-
    X-MS-TOKEN-AAD- x-goog- X-Pomerium-Claim- X-Vouch-IdP- X-Internal oidc_ OIDC_CLAIM_ OAM_ AJP_ Shib- X-NTLM- PF- MELLON_ Holdfast-`,
  addressing: 'x-envoy- cf- x-middleware- x-nextjs- l5d-',
  hop: 'X-Http2-',
  credentials: '',
  tracing: 'X-B3-',
}

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '')
const entries = Object.keys(NAMES) as Block[]

function spellings(name: string): string[] {
  const swapped = [name, name.replaceAll('-', '_'), name.replaceAll('_', '-'), name.replaceAll(/[-_]/g, '.')]
  return swapped.flatMap((text) => [text, text.toLowerCase(), text.toUpperCase()])
}

t.test('every name, in every case, with `_` and `.` for `-`', async (t) => {
  for (const block of entries) {
    for (const name of words(NAMES[block])) {
      for (const spelling of spellings(name)) t.equal(reservedBlock(spelling), block, spelling)
    }
  }
})

t.test('every prefix, with whatever comes behind it', async (t) => {
  for (const block of entries) {
    for (const prefix of words(PREFIXES[block])) {
      fc.assert(
        fc.property(fc.string({ unit: fc.constantFrom(...'abcxyz019-_'), minLength: 1, maxLength: 12 }), (rest) =>
          spellings(prefix + rest).every((name) => reservedBlock(name) !== null),
        ),
      )
      t.equal(reservedBlock(`${prefix}qqq`), block, prefix)
    }
  }
})

t.test('passes what is no one else’s to set', async (t) => {
  for (const name of words(`Accept Accept-Encoding Accept-Language Content-Type Content-Encoding Content-Language User-Agent Origin Referer
    If-Match If-None-Match If-Modified-Since If-Unmodified-Since Range Idempotency-Key Prefer X-CSRF-Token Signature Signature-Input
    Digest Content-Digest Last-Event-ID X-Requested-With Sec-Fetch-Mode x-fapi-auth-date x-fapi-customer-ip-address Host
    Content-Length ETag Location Set-Cookie Server Vary X-Powered-By X-Frame-Options X-Users Proxy-Foo Cookies Viable
    X-Forwarded-Future a x-`)) {
    t.equal(reservedBlock(name), null, name)
  }
  for (const name of ['', '__proto__', 'constructor', 'toString', 'é', '\u212a-cert']) t.equal(reservedBlock(name), null, name)
})

t.test('only cookies, API keys and tracing may be passed', async (t) => {
  for (const name of words(
    'cookie Cookie x-api-key X-API-KEY tracestate baggage x-correlation-id x-b3-traceid x-cloud-trace-context',
  )) {
    t.equal(isPassable(name), true, name)
  }
  const never = words(`authorization DPoP proxy-authorization traceparent x-request-id X_Request_Id x-fapi-interaction-id accept
    content-type x-csrf-token signature host x-b3-*`)
  const reserved = (['certificate', 'identity', 'addressing', 'hop'] as const).flatMap((block) => words(NAMES[block]))
  for (const name of [...never, ...reserved, '', 'coo kie']) t.equal(isPassable(name), false, name)
})

t.test('tells which names were removed, each once, but not our own credentials', async (t) => {
  const raw = [
    'X-User',
    'a',
    'x-user',
    'b',
    'X_User',
    'c',
    'Cookie',
    'd',
    'Accept',
    'e',
    'DPoP',
    'f',
    'AUTHORIZATION',
    'g',
    'Tracestate',
    'h',
  ]
  t.same(removedNames(raw, []), ['x-user', 'x_user', 'cookie', 'tracestate'])
  t.same(removedNames(raw, ['cookie']), ['x-user', 'x_user', 'tracestate'])
})

t.test('the printed list has every name once, and says what may pass', async (t) => {
  const text = removedHeadersMarkdown()
  const printed = [...text.matchAll(/^- `([^`]+)`/gm)].map((match) => match[1] ?? '')
  t.equal(new Set(printed.map((name) => name.toLowerCase())).size, printed.length, 'no name twice')
  for (const name of printed) t.ok(reservedBlock(name.replace('*', 'x')), name)
  t.match(text, '- `Cookie` (may stand in `pass_headers`)\n')
  t.match(text, '- `X-B3-*` (may stand in `pass_headers`)\n')
  t.match(text, '- `Authorization`\n')
  t.match(text, '- `Client-Cert`\n')
})

t.test('folds a name as CGI does', async (t) => {
  t.equal(normalName('X_Remote.User'), 'x-remote-user')
  t.equal(normalName('accept'), 'accept')
  t.equal(normalName('$WSRU'), '-wsru')
})
