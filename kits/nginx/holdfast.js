// What nginx adds so that what stands behind it need not verify anything: a request goes to `@believed` only when its one assertion was
// signed for it, and for nothing else (docs/assertion.md). In the JavaScript that njs 0.7.9 has, which Debian 12 ships; no keys are kept
// here, because an njs context lives for one request: nginx's cache keeps them (holdfast.conf).

// Seconds that the gateway's clock and ours may differ.
const SKEW = 5

function demand(holds) {
  if (!holds) throw new Error('refused')
}

// base64url; undefined of nothing.
async function sha256(data) {
  if (data === undefined) return undefined
  const digest = await crypto.subtle.digest('SHA-256', data)
  return Buffer.from(digest).toString('base64url')
}

// The bytes; there is one way to write them, or a letter with unused bits would make two texts of one assertion.
function decode(segment) {
  const bytes = Buffer.from(segment, 'base64url')
  demand(bytes.toString('base64url') === segment)
  return bytes
}

// The claims, once the signature is found to be of the gateway.
async function verified(r, jwt) {
  const segments = jwt.split('.')
  demand(segments.length === 3)
  const head = JSON.parse(decode(segments[0]))
  demand(head.alg === 'ES256' && head.typ === 'holdfast+jwt' && typeof head.kid === 'string' && head.crit === undefined)
  const answer = await r.subrequest('/_holdfast_keys')
  const jwk = JSON.parse(answer.responseText).keys.filter((key) => key.kid === head.kid)[0]
  demand(jwk.kty === 'EC' && jwk.crv === 'P-256')
  // An uncompressed point behind what says in ASN.1 that it is one of P-256: njs imports JWKs from 0.8 on only.
  const prefix = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex')
  const spki = Buffer.concat([prefix, decode(jwk.x), decode(jwk.y)])
  const key = await crypto.subtle.importKey('spki', spki, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['verify'])
  const signature = decode(segments[2])
  demand(signature.length === 64)
  const signed = Buffer.from(`${segments[0]}.${segments[1]}`)
  const isGood = await crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, key, signature, signed)
  demand(isGood)
  return JSON.parse(decode(segments[1]))
}

function among(value, list) {
  return list === undefined || list === '' || (typeof value === 'string' && list.split(' ').indexOf(value) >= 0)
}

async function check(r) {
  const v = r.variables
  const name = (v.holdfast_header || 'Holdfast-Assertion').toLowerCase()
  const found = r.rawHeadersIn.filter((pair) => pair[0].toLowerCase() === name)
  demand(found.length === 1)
  const claims = await verified(r, found[0][1])
  const now = Date.now() / 1000
  demand(claims.iss === v.holdfast_issuer && claims.aud === v.holdfast_audience)
  demand(Number.isInteger(claims.iat) && claims.iat <= now + SKEW)
  demand(Number.isInteger(claims.exp) && now < claims.exp + SKEW)
  const target = v.request_uri
  const mark = target.indexOf('?')
  const qsh = await sha256(mark < 0 ? undefined : Buffer.from(target.slice(mark + 1)))
  demand(claims.htm === r.method && claims.target === target)
  demand(claims.qsh === qsh)
  demand(among(claims.tier, v.holdfast_tiers))
  const bound = Object(claims.binding).method
  demand(among(bound, v.holdfast_bindings) || bound === 'both')
  if (claims.bdh !== undefined || v.holdfast_body_digest === 'on') {
    // Throws where the body is in a file: client_body_buffer_size is too small then.
    const body = r.requestBuffer
    const bdh = await sha256(body === undefined || body.length === 0 ? undefined : body)
    demand(claims.bdh === bdh)
  }
  return claims
}

async function guard(r) {
  try {
    const claims = await check(r)
    r.variables.holdfast_sub = claims.sub || ''
  } catch (_) {
    r.headersOut['Content-Type'] = 'application/json'
    r.return(401, '{"error":"Unauthorized"}')
    return
  }
  r.internalRedirect('@believed')
}

// biome-ignore lint/style/noDefaultExport: js_import takes the default.
export default { guard }
