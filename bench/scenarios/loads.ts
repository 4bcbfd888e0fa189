// Steady load on one route: the proven request, and what it is made of.
import { createPublicKey } from 'node:crypto'
import { join } from 'node:path'
import type { KeyPair } from '../../test/support/jwt.js'
import { type Load, measure, outputOf, type RequestHeaders } from '../load.js'
import { BUILD, hasApache, hasHaproxy, hasNginx, type Server, startApache, startHaproxy, startNginx } from '../peers.js'
import type { Place } from '../place.js'
import { replay } from '../replay.js'
import { type Client, KID, makeClient, signRequests, signToken } from '../requests.js'
import { type Contender, LOAD_COLUMNS, NODE_WARM_UP, type Row, type Scenario } from '../scenario.js'
import { thumbprintOf } from './certificate.js'

export const CONNECTIONS = 32

/** More than ours answers in a second. */
const SIGNED_PER_SECOND = 9_000

/** What is compiled before it runs. */
const PEERS = /^(?:nginx|haproxy|Apache)/

type Ask = Pick<Load, 'requests'> & Partial<Pick<Load, 'method' | 'body' | 'headers' | 'expect' | 'connections' | 'repeats'>>

/** A contender that is asked by wrk; requests are made just before each load. */
export const asked = (
  place: Place,
  name: string,
  server: Pick<Load, 'pid'> & Pick<Server, 'port'>,
  path: string,
  ask: (origin: string) => Ask,
): Contender => ({
  name,
  warmUp: PEERS.test(name) ? 1 : NODE_WARM_UP,
  measure: () => {
    const origin = `https://localhost:${server.port}`
    const load = { connections: CONNECTIONS, expect: 200, ...ask(origin) }
    return measure({ url: origin + path, folder: place.folder(), seconds: place.seconds, pid: server.pid, ...load })
  },
})

export const provenRequests = (place: Place, client: Client, htu: string, htm = 'GET'): RequestHeaders[] =>
  signRequests(place.issuer, client, { htm, htu }, SIGNED_PER_SECOND * place.seconds)

const NOTHING: Ask = { requests: [] }

/** nginx, asked the same as the others. */
export async function nginx(
  place: Place,
  skip: (what: string) => void,
  path: string,
  ask: (origin: string) => Ask,
): Promise<Contender[]> {
  if (!hasNginx()) {
    skip('nginx is left out: the package nginx is not installed')
    return []
  }
  const server = place.keep(await startNginx(place.root, place.upstreamPort))
  // It answers more requests than can be signed, and does not mind to see one again.
  return [asked(place, NGINX, server, path, (origin) => ({ ...ask(origin), repeats: true }))]
}

const NGINX = 'nginx TLS proxy'
const PRIMITIVES = 'verify + sign'

/**
 * What one verification and one signature cost, of each variant's node; while `beside` is asked, because every server here shares the
 * machine with a load generator, and a processor of which one core rests is a faster one.
 */
const primitives = (place: Place, beside: readonly Contender[]): Contender[] =>
  place.variants
    .filter(({ node }, i, all) => all.findIndex((other) => other.node === node) === i)
    .map(({ label, node }) => ({
      name: PRIMITIVES + label,
      warmUp: 0,
      measure: async () => {
        const [output] = await Promise.all([
          outputOf(node, [join(BUILD, 'bench', 'primitives.js')]),
          ...beside.map((contender) => contender.measure()),
        ])
        const { verifying, signing } = JSON.parse(output)
        return { cpu: verifying + signing, verifying, signing }
      },
    }))

/** With the floor of each node: the primitives and nginx, round by round. */
function withFloor(rows: readonly Row[]): readonly Row[] {
  const proxy = rows.find(({ name }) => name === NGINX)
  if (proxy === undefined) return rows
  const floors = rows
    .filter(({ name }) => name.startsWith(PRIMITIVES))
    .map(({ name, samples }) => ({
      name: name.replace(PRIMITIVES, 'floor'),
      samples: samples.map(({ cpu = 0 }, i) => ({ cpu: cpu + (proxy.samples[i]?.cpu ?? 0) })),
    }))
  return [...rows, ...floors]
}

const issuerJwk = ({ jwk }: KeyPair) => ({ ...jwk, kid: KID, alg: 'ES256' })

export const proven: Scenario = {
  name: 'proven',
  title: 'The proven request',
  about: `HTTPS keep-alive, ${CONNECTIONS} connections, \`GET\`, an ES256 access token with \`cnf.jkt\` (the same again and again), a fresh ES256 DPoP proof each time, its \`jti\` recorded
in Redis, an assertion signed with ES256, an audit event written (\`audit: all\`), 100 bytes from a plain-HTTP upstream on loopback. One worker.`,
  reading: `**verify + sign** is what one ES256 verification and one ES256 signature cost in the same node, measured in each round while nginx is asked on the other core; with **nginx**, which checks nothing, it is the **floor**: what the
cryptography and a proxy written in C would cost together. **Apache + mod_oauth2** verifies token and proof and keeps 1,000 \`jti\` in shared memory; it does not look at \`ath\`, signs no
assertion and writes no event. **naive** is \`bench/naive.ts\`: jose, ioredis and @fastify/http-proxy put together as their documentation has it; it writes no event and removes no headers.`,
  columns: LOAD_COLUMNS,
  isDefault: true,
  async open(place, skip) {
    const client = makeClient('client-1')
    const ask = (path: string) => (origin: string) => ({ requests: provenRequests(place, client, origin + path) })
    const contenders: Contender[] = []
    for (const variant of place.variants)
      contenders.push(asked(place, `holdfast${variant.label}`, await place.holdfast(variant), '/proven', ask('/proven')))
    const proxies = await nginx(place, skip, '/proven', ask('/proven'))
    contenders.push(...proxies, ...primitives(place, proxies))
    if (hasApache()) {
      const settings = '&dpop.iat.slack.before=86400'
      const server = place.keep(await startApache(place.root, place.upstreamPort, issuerJwk(place.issuer), settings))
      contenders.push(asked(place, 'Apache + mod_oauth2', server, '/proven', ask('/proven')))
    } else skip('Apache is left out: the package libapache2-mod-oauth2 is not installed')
    for (const variant of place.variants.filter(({ dist }) => dist === BUILD))
      contenders.push(asked(place, `naive${variant.label}`, await place.own('naive', variant), '/proven', ask('/proven')))
    return contenders
  },
  rows: withFloor,
}

export const bearer: Scenario = {
  name: 'bearer',
  title: 'A bearer token on `low_user`',
  about: `The same without a proof: an unbound ES256 token, known from the request before; every claim is judged anew, and an assertion is signed. \`audit: denials\`, the tier's default.`,
  reading: `**haproxy** verifies the token's ES256 signature each time and looks at nothing else in it: not \`exp\`, not \`aud\`; it signs nothing.`,
  columns: LOAD_COLUMNS,
  isDefault: true,
  async open(place, skip) {
    const ask = () => ({ requests: [], headers: { Authorization: `Bearer ${signToken(place.issuer, 'client-1', null)}` } })
    const contenders: Contender[] = []
    for (const variant of place.variants)
      contenders.push(asked(place, `holdfast${variant.label}`, await place.holdfast(variant), '/low', ask))
    if (hasHaproxy()) {
      const pem = createPublicKey(place.issuer.privateKey).export({ type: 'spki', format: 'pem' }).toString()
      const server = place.keep(await startHaproxy(place.root, place.upstreamPort, pem))
      contenders.push(asked(place, 'haproxy jwt_verify', server, '/low', ask))
    } else skip('haproxy is left out: the package haproxy is not installed')
    return [...contenders, ...(await nginx(place, skip, '/low', ask))]
  },
}

export const open: Scenario = {
  name: 'public',
  title: 'A public route',
  about: `No credentials, \`tier: public\` without its rate limit: headers removed and set, an assertion signed.`,
  reading: `**Fastify + @fastify/http-proxy** proxies and does nothing else: no signature (an ES256 one is about a third of the proven request's **verify + sign**), no header removed, no event.`,
  columns: LOAD_COLUMNS,
  isDefault: true,
  async open(place, skip) {
    const contenders: Contender[] = []
    for (const variant of place.variants)
      contenders.push(asked(place, `holdfast${variant.label}`, await place.holdfast(variant), '/public', () => NOTHING))
    for (const variant of place.variants.filter(({ dist }) => dist === BUILD)) {
      const server = await place.own('fastify-proxy', variant)
      contenders.push(asked(place, `Fastify + http-proxy${variant.label}`, server, '/public', () => NOTHING))
    }
    return [...contenders, ...(await nginx(place, skip, '/public', () => NOTHING))]
  },
}

export const certified: Scenario = {
  name: 'certificate',
  title: 'A certificate-bound token',
  about: `Mutual TLS (\`client_certificates: pki\`), keep-alive, ${CONNECTIONS} connections, a token with \`x5t#S256\`, \`binding: mtls\`. Asked by our own generator, because wrk has no client certificates.`,
  reading: `**nginx** demands and verifies a certificate of the same CA, in the handshake alone, and looks at no token.`,
  columns: LOAD_COLUMNS,
  isDefault: true,
  async open(place, skip) {
    const confirmation = { 'x5t#S256': thumbprintOf(place) }
    const requests = () => [{ Authorization: `Bearer ${signToken(place.issuer, 'client-1', confirmation)}` }]
    const replayed = (name: string, server: Server): Contender => ({
      name,
      warmUp: PEERS.test(name) ? 1 : NODE_WARM_UP,
      measure: () =>
        replay(place, {
          mode: 'closed',
          server,
          path: '/certified',
          connections: CONNECTIONS,
          requests: requests(),
          certified: true,
          expect: 200,
        }),
    })
    const contenders: Contender[] = []
    for (const variant of place.variants)
      contenders.push(replayed(`holdfast${variant.label}`, await place.holdfast(variant, { clientCertificates: 'pki' })))
    if (!hasNginx()) skip('nginx is left out: the package nginx is not installed')
    else {
      const clientCa = join(place.root, 'client-ca.crt')
      contenders.push(
        replayed('nginx ssl_verify_client', place.keep(await startNginx(place.root, place.upstreamPort, { clientCa }))),
      )
    }
    return contenders
  },
}

/** 10 KB that look like a form. */
const BODY = 'field=value&'.repeat(853)

export const digest: Scenario = {
  name: 'digest',
  title: 'A POST of 10 KB with its digest',
  about: `The proven request as a POST of ${BODY.length} bytes to a tier with \`body_digest: on\`: the body is held, hashed into the assertion, and sent on.`,
  reading: `**naive** and **nginx** pass the body on as it comes, and neither holds it nor hashes it.`,
  columns: LOAD_COLUMNS,
  isDefault: true,
  async open(place, skip) {
    const client = makeClient('client-1')
    const ask = (origin: string) => ({
      method: 'POST',
      body: BODY,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      requests: provenRequests(place, client, `${origin}/document`, 'POST'),
    })
    const contenders: Contender[] = []
    for (const variant of place.variants)
      contenders.push(asked(place, `holdfast${variant.label}`, await place.holdfast(variant), '/document', ask))
    for (const variant of place.variants.filter(({ dist }) => dist === BUILD))
      contenders.push(asked(place, `naive${variant.label}`, await place.own('naive', variant), '/document', ask))
    return [...contenders, ...(await nginx(place, skip, '/document', ask))]
  },
}

export const durable: Scenario = {
  name: 'durable',
  title: 'Evidence on disk first',
  about: `The proven request on a tier with \`audit: durable\`: the decision is written and synced to disk before the request goes on, in groups.`,
  reading: `What \`fdatasync\` costs is waiting, not CPU: compare the latencies with those of the proven request.`,
  columns: LOAD_COLUMNS,
  isDefault: true,
  async open(place) {
    const client = makeClient('client-1')
    const contenders: Contender[] = []
    for (const variant of place.variants) {
      const server = await place.holdfast(variant)
      for (const path of ['/durable', '/proven'])
        contenders.push(
          asked(place, `holdfast${variant.label}, audit: ${path === '/durable' ? 'durable' : 'all'}`, server, path, (origin) => ({
            requests: provenRequests(place, client, origin + path),
          })),
        )
    }
    return contenders
  },
}
