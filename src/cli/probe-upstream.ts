// `holdfast probe --upstream URL`: attacks a backend past its gateway, and reports whom it believes (contract §1).

import { createPrivateKey, type KeyObject } from 'node:crypto'
import { placeOf, watchAddress } from '../probe/place.js'
import { type Model, readClaims, thumbprintOf } from '../probe/upstream/assertion.js'
import type { UpstreamAttack } from '../probe/upstream/catalogue.js'
import { runUpstream } from '../probe/upstream/run.js'
import type { Io } from './command.js'
import type { ProbeArguments, UpstreamArguments } from './probe-arguments.js'
import { bodyOf, confirmAddress, type Files, finish, judgeReportPlaces, openFiles, wrongUsage } from './probe-steps.js'

/** Each is followed by the right request. */
const REQUESTS_EACH = 2

export async function probeUpstream(
  wanted: ProbeArguments,
  upstream: UpstreamArguments,
  attacks: readonly UpstreamAttack[],
  io: Io,
): Promise<number> {
  const place = placeOf(wanted.url, true)
  if (typeof place === 'string') return wrongUsage(io, [place])
  const files = openFiles(io)
  const body = bodyOf(wanted, files)
  const model = readModel(upstream, files)
  const own =
    upstream.cert === null || upstream.key === null
      ? null
      : { cert: files.textOf('--cert', upstream.cert), key: files.textOf('--key', upstream.key) }
  const ca = upstream.ca === null ? null : files.textOf('--ca', upstream.ca)
  judgeReportPlaces(wanted, files, io)
  const isPlain = place.origin.startsWith('http:')
  if (isPlain && (own !== null || ca !== null)) files.problems.push('--ca, --cert and --key are for a backend with https')
  if (files.problems.length > 0) return wrongUsage(io, files.problems)

  const confirmed = await confirmAddress(wanted, place, attacks.length * REQUESTS_EACH, io)
  if ('problem' in confirmed) return wrongUsage(io, [`holdfast probe: ${confirmed.problem}: nothing was sent`])
  const { address } = confirmed
  const { hostname, port, host, origin, path } = place
  const report = await runUpstream({
    settings: {
      route: { address, port, hostname, ca, own, isPlain },
      url: origin + path,
      host,
      method: wanted.method,
      path,
      body,
      headers: wanted.headers,
      headerName: upstream.headerName,
      grantedStatuses: new Set(wanted.granted),
      isSingleUse: upstream.isSingleUse,
      model,
      rate: wanted.rate,
    },
    attacks,
    report: ({ done, of, title }) => io.terminal?.progress(`${done + 1}/${of} ${title}`),
    stillThere: watchAddress(hostname, address),
  })
  io.terminal?.progress(null)
  return finish(wanted, report, io)
}

/** What the right assertion is made of; what is wrong with the files is added to their problems. */
function readModel({ assertionKey, claims: claimsFile }: UpstreamArguments, files: Files): Model {
  const key = assertionKey === null ? null : keyOf(files.textOf('--assertion-key', assertionKey))
  if (assertionKey !== null && key === null && files.problems.length === 0)
    files.problems.push(`--assertion-key ${assertionKey}: is no EC P-256 private key in PEM`)
  const said = claimsFile === null ? { claims: {}, kid: undefined } : readClaims(files.textOf('--claims', claimsFile))
  if (said === null && files.problems.length === 0)
    files.problems.push(`--claims ${claimsFile}: is neither a JSON object nor an assertion`)
  return { key, kid: key === null ? said?.kid : thumbprintOf(key), claims: said?.claims ?? {} }
}

function keyOf(pem: string): KeyObject | null {
  try {
    const key = createPrivateKey(pem)
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : null
  } catch {
    // What node says of a broken key may quote from it.
    return null
  }
}
