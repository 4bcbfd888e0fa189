// What it costs to be attacked: refusals beside grants of the same server, in the same run.
import { makeKey } from '../../test/support/jwt.js'
import type { RequestHeaders } from '../load.js'
import { dpopHeaders, dpopToken, makeClient, signProof, spoilSignature } from '../requests.js'
import { type Contender, LOAD_COLUMNS, type Scenario } from '../scenario.js'
import { asked, provenRequests } from './loads.js'

export const attack: Scenario = {
  name: 'attack',
  title: 'Under attack',
  about: `Requests that are refused, of the same server as grants of the proven request: a proof whose signature is wrong, a proof by another key than the token's, a proof that was used
before, a token that is none, and no credentials at all.`,
  reading: `A refusal must cost less than a grant, or attackers choose what we pay. A proof with a wrong signature costs its verification; a wrong key is seen before that; a replay is seen in this
process' own memory before Redis is asked. 100 refusals a second are written to the audit log, the others are counted.`,
  columns: LOAD_COLUMNS,
  isDefault: true,
  async open(place) {
    const client = makeClient('client-1')
    const thief = makeKey('ES256')
    const contenders: Contender[] = []
    for (const variant of place.variants) {
      const server = await place.holdfast(variant)
      const htu = `https://localhost:${server.port}/proven`
      const add = (name: string, expect: number, ask: () => { requests: RequestHeaders[]; headers?: RequestHeaders }) =>
        contenders.push(asked(place, `${name}${variant.label}`, server, '/proven', () => ({ ...ask(), expect })))
      const grants = () => provenRequests(place, client, htu)
      const always = (headers: RequestHeaders) => ({ requests: [], headers })
      let granted: RequestHeaders | undefined
      add('grant', 200, () => {
        const requests = grants()
        // Not the first: wrk asks its script for one that it does not send.
        granted = requests[10]
        return { requests }
      })
      add('wrong signature', 401, () => ({
        requests: grants().map((one) => ({ ...one, DPoP: spoilSignature(one.DPoP ?? '') })),
      }))
      add('replay', 401, () => always(granted ?? {}))
      add('wrong key', 401, () => {
        const token = dpopToken(place.issuer, client)
        return always(dpopHeaders(token, signProof(thief, token, { htm: 'GET', htu })))
      })
      add('garbage token', 401, () => always(dpopHeaders(`eyJ${'x'.repeat(600)}`, 'garbage')))
      add('no credentials', 401, () => always({}))
    }
    return contenders
  },
}
