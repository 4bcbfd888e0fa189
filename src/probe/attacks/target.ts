// Method and target of the proof: made for another request, or for another place, it must not pass here; written in another of
// the ways that RFC 3986 calls equal, it must.

import type { Attack } from '../attack.js'
import { granting, onProof, refusing, skipped } from '../rules.js'

const refused = refusing('target', 'high', ['dpop'])
const granted = granting('target', 'low', ['dpop'])
const METHOD = 'RFC 9449 §4.3 (8)'
const TARGET = 'RFC 9449 §4.3 (9)'
const EQUAL = 'RFC 3986 §6.2.2'

const htu = (change: (url: string) => string) =>
  onProof((proof) => {
    proof.claims.htu = change(String(proof.claims.htu))
  })
const htm = (change: (method: string) => string) =>
  onProof((proof, draft) => {
    proof.claims.htm = change(draft.method)
  })

const afterOrigin = (url: string, change: (path: string) => string): string => {
  const { origin } = new URL(url)
  return origin + change(url.slice(origin.length))
}
const withHost = (url: string, host: string): string => url.replace(/^https:\/\/[^/]+/, `https://${host}`)
const otherCase = (text: string): string =>
  text.replace(/[a-z]/i, (letter) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()))
const lastSegment = (path: string, change: (segment: string) => string): string => path.replace(/[^/]*$/, change)
/** The first letter or digit of the path, percent-encoded: an escape of an unreserved character. */
const encodeOne = (path: string): string =>
  path.replace(/[A-Za-z0-9]/, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)

/** Names another host, in a header that says so and in the proof: only the server's own name may decide. */
const elsewhere = (name: string, value: (host: string) => string) =>
  onProof((proof, draft) => {
    proof.claims.htu = withHost(String(proof.claims.htu), 'attacker.example')
    draft.headers.push([name, value('attacker.example')])
  })

/** Skipped where the path has nothing that could be changed so. */
const htuPath = (words: readonly [string, string, string], change: (path: string) => string): Attack => {
  const attack = refused(
    words,
    htu((url) => afterOrigin(url, change)),
  )
  return {
    ...attack,
    run: (bench) => {
      const path = bench.settings.path.split('?')[0] ?? ''
      return change(path) === path ? Promise.resolve(skipped(`the path ${path} cannot be written so`)) : attack.run(bench)
    },
  }
}

export const TARGET_ATTACKS: readonly Attack[] = [
  refused(
    ['htm-other', 'htm is another method', METHOD],
    htm((method) => (method === 'PUT' ? 'DELETE' : 'PUT')),
  ),
  refused(
    ['htm-lower', 'htm in lower case', METHOD],
    htm((method) => method.toLowerCase()),
    { severity: 'medium' },
  ),
  // HEAD, because a server that obeys will do it: nothing is changed by that.
  refused(['htm-override', 'htm is HEAD, and X-HTTP-Method-Override says so', METHOD], (draft) => {
    if (draft.proof !== null) draft.proof.claims.htm = 'HEAD'
    draft.headers.push(['X-HTTP-Method-Override', 'HEAD'])
  }),
  {
    ...refused(['htm-get-for-head', 'a HEAD request with a proof for GET', METHOD], () => undefined, { severity: 'medium' }),
    run: async (bench) => {
      const [right, wrong] = [await bench.draft(), await bench.draft()]
      if (right.method !== 'GET') return skipped('the right request is not a GET')
      right.method = 'HEAD'
      if (right.proof !== null) right.proof.claims.htm = 'HEAD'
      if (!bench.isGranted(await bench.send(right))) return skipped('HEAD is refused in any case')
      wrong.method = 'HEAD'
      return bench.mustRefuse(wrong)
    },
  },
  refused(
    ['htm-list', 'htm is a list with the method in it', METHOD],
    onProof((proof, draft) => {
      proof.claims.htm = [draft.method]
    }),
  ),

  refused(
    ['htu-path', 'htu has a longer path', TARGET],
    htu((url) => `${url}X`),
  ),
  refused(
    ['htu-shorter', 'htu is the root', TARGET],
    htu((url) => afterOrigin(url, (path) => (path === '/' ? '/other' : '/'))),
  ),
  // The path `/` has no prefix: an empty path is the same (RFC 3986 §6.2.3).
  htuPath(['htu-prefix', 'htu is a prefix of the path', TARGET], (path) => (path.length < 2 ? path : path.slice(0, -1))),
  htuPath(['htu-case', 'htu has the path in other case', TARGET], otherCase),
  refused(
    ['htu-slash', 'htu has a slash at the end', TARGET],
    htu((url) => (url.endsWith('/') ? `${url}/` : `${url}/`)),
    { severity: 'medium' },
  ),
  refused(
    ['htu-double-slash', 'htu has a double slash', TARGET],
    htu((url) => afterOrigin(url, (path) => `/${path}`)),
    { severity: 'medium' },
  ),
  refused(
    ['htu-host', 'htu is of another host', TARGET],
    htu((url) => withHost(url, 'attacker.example')),
  ),
  refused(
    ['htu-subdomain', 'htu is of a subdomain', TARGET],
    htu((url) => url.replace('https://', 'https://x.')),
  ),
  refused(
    ['htu-suffix-host', 'htu is of a host that ends like ours', TARGET],
    htu((url) => url.replace('https://', 'https://not-')),
  ),
  refused(
    ['htu-port', 'htu is of another port', TARGET],
    htu((url) => withHost(url, `${new URL(url).hostname}:1`)),
  ),
  refused(
    ['htu-http', 'htu is http instead of https', TARGET],
    htu((url) => url.replace(/^https/, 'http')),
    { severity: 'medium' },
  ),
  refused(
    ['htu-userinfo', 'htu has userinfo', TARGET],
    htu((url) => url.replace('https://', 'https://user@')),
    { severity: 'medium' },
  ),
  refused(
    ['htu-userinfo-host', 'htu has our host as userinfo of another', TARGET],
    htu((url) => withHost(url, `${new URL(url).host}@attacker.example`)),
    {
      severity: 'medium',
    },
  ),
  refused(
    ['htu-relative', 'htu is a path alone', TARGET],
    htu((url) => url.slice(new URL(url).origin.length)),
    {
      severity: 'medium',
    },
  ),
  refused(
    ['htu-no-scheme', 'htu has no scheme', TARGET],
    htu((url) => url.slice('https:'.length)),
    { severity: 'medium' },
  ),
  refused(
    ['htu-backslash', 'htu with backslashes', TARGET],
    htu((url) => url.replaceAll('/', '\\')),
    { severity: 'low' },
  ),
  refused(
    ['htu-one-slash', 'htu is https:/host', TARGET],
    htu((url) => url.replace('://', ':/')),
    { severity: 'low' },
  ),
  refused(
    ['htu-space', 'htu with a space before it', TARGET],
    htu((url) => ` ${url}`),
    { severity: 'low' },
  ),
  refused(
    ['htu-tab', 'htu with a tab inside', TARGET],
    htu((url) => `${url.slice(0, -1)}\t${url.slice(-1)}`),
    { severity: 'low' },
  ),
  refused(
    ['htu-control', 'htu with CR LF and a header behind it', TARGET],
    htu((url) => `${url}\r\nX-Injected: yes`),
    { severity: 'medium' },
  ),
  htuPath(['htu-encoded-slash', 'htu has %2F for a slash', TARGET], (path) => path.replace(/^(\/[^/]*)\//, '$1%2F')),
  refused(
    ['htu-list', 'htu is a list with the target in it', TARGET],
    onProof((proof) => {
      proof.claims.htu = [proof.claims.htu]
    }),
    {
      severity: 'medium',
    },
  ),
  refused(
    ['htu-other-origin', 'a proof for another origin, with that origin in Host', TARGET],
    onProof((proof, draft) => {
      proof.claims.htu = withHost(String(proof.claims.htu), 'attacker.example')
      draft.host = 'attacker.example'
    }),
  ),
  refused(
    ['htu-forwarded-host', 'X-Forwarded-Host decides htu', 'CWE-348'],
    elsewhere('X-Forwarded-Host', (host) => host),
  ),
  refused(
    ['htu-forwarded', 'Forwarded decides htu', 'CWE-348'],
    elsewhere('Forwarded', (host) => `host=${host};proto=https`),
  ),
  refused(
    ['htu-original-host', 'X-Original-Host decides htu', 'CWE-348'],
    elsewhere('X-Original-Host', (host) => host),
  ),
  refused(['htu-forwarded-proto', 'X-Forwarded-Proto decides htu', 'CWE-348'], (draft) => {
    if (draft.proof !== null) draft.proof.claims.htu = String(draft.proof.claims.htu).replace(/^https/, 'http')
    draft.headers.push(['X-Forwarded-Proto', 'http'])
  }),
  refused(['htu-forwarded-port', 'X-Forwarded-Port decides htu', 'CWE-348'], (draft) => {
    if (draft.proof !== null)
      draft.proof.claims.htu = withHost(String(draft.proof.claims.htu), `${new URL(String(draft.proof.claims.htu)).hostname}:1`)
    draft.headers.push(['X-Forwarded-Port', '1'])
  }),
  ...(['X-Original-URL', 'X-Rewrite-URL', 'X-Forwarded-Prefix'] as const).map((name) =>
    refused([`htu-${name.toLowerCase()}`, `${name} decides htu`, 'CWE-348'], (draft) => {
      if (draft.proof !== null)
        draft.proof.claims.htu = afterOrigin(String(draft.proof.claims.htu), (path) => `/elsewhere${path}`)
      draft.headers.push([name, name === 'X-Forwarded-Prefix' ? '/elsewhere' : `/elsewhere${draft.path}`])
    }),
  ),

  granted(
    ['htu-query', 'htu has a query and a fragment, which do not count', TARGET],
    htu((url) => `${url}?x=1#y`),
  ),
  granted(
    ['htu-upper', 'htu has scheme and host in upper case', EQUAL],
    htu((url) => afterOrigin(url, (path) => path).replace(/^https:\/\/[^/]+/, (origin) => origin.toUpperCase())),
  ),
  granted(
    ['htu-default-port', 'htu names port 443, which is the default', 'RFC 3986 §6.2.3'],
    onProof((proof) => {
      const url = new URL(String(proof.claims.htu))
      if (url.port === '') proof.claims.htu = withHost(String(proof.claims.htu), `${url.hostname}:443`)
    }),
  ),
  granted(
    ['htu-unreserved', 'htu has a letter percent-encoded', EQUAL],
    htu((url) => afterOrigin(url, encodeOne)),
  ),
  granted(
    ['htu-dots', 'htu has dot segments that come to the target', EQUAL],
    htu((url) => afterOrigin(url, (path) => lastSegment(path, (last) => `x/../${last}`))),
  ),
  granted(
    ['extra-members', 'header and claims have members that nobody knows', 'RFC 9449 §4.2'],
    onProof((proof) => {
      proof.header.tx_id = '1'
      proof.claims.tx_id = { any: ['thing'] }
    }),
  ),
  granted(['foreign-forwarded-host', 'an honest proof beside a foreign X-Forwarded-Host', TARGET], (draft) => {
    draft.headers.push(['X-Forwarded-Host', 'attacker.example'], ['X-Forwarded-Proto', 'http'])
  }),
  granted(['query', 'the request has a query, htu has none', TARGET], (draft) => {
    draft.path += draft.path.includes('?') ? '&probe=1' : '?probe=1'
  }),
  granted(
    ['jti-odd', 'jti has spaces, braces and a colon', 'RFC 9449 §4.2'],
    onProof(({ claims }) => {
      claims.jti = `{probe}: ${String(claims.jti)} \u00e9`
    }),
  ),
]
