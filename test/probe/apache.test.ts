// Does the probe find what is known to be wrong with another implementation? Apache with mod_oauth2, as its manual sets it up for
// DPoP, on a machine that has it. Nothing here says more of it than what this version answers.
import t from 'tap'
import { hasApache, startApache, startUpstream } from '../../bench/peers.js'
import { makeCertificates } from '../support/certificates.js'
import { makeKey } from '../support/jwt.js'
import { dpopClient, found, makePlace, makeToken, probeReport } from './place.js'

const skip = hasApache() ? false : 'Apache with mod_oauth2 is not here: apt-get install apache2 libapache2-mod-oauth2'

t.test('finds what Apache with mod_oauth2 lets through', { skip }, async (t) => {
  const place = makePlace()
  const certificates = await makeCertificates('localhost')
  for (const [name, text] of Object.entries(certificates.files)) place.write(name, text)
  const issuer = makeKey('ES256')
  const key = makeKey('ES256')
  const upstream = await startUpstream(place.folder)
  const apache = await startApache(place.folder, upstream.port, { ...issuer.jwk, kid: 'issuer-1' })
  t.teardown(async () => {
    await apache.stop()
    await upstream.stop()
    place.remove()
  })
  const origin = `https://localhost:${apache.port}`
  const client = dpopClient(place, origin, { key, token: makeToken({ issuer, origin, cnf: { jkt: key.jkt } }) })
  const options = ['--token-from', client, '--rate', '1000', '--skip', 'path,framing,header']
  const wanted = ['proof-no-ath', 'replay-behind-many', 'target-htu-case', 'replay-mirrored']
  const ids = new Set<string>()
  // Some are a matter of time: on a busy machine a proof may be too old when its turn has come.
  for (let round = 0; round < 3 && !wanted.every((id) => ids.has(id)); round++) {
    const { code, report } = await probeReport(place, `${origin}/index.html`, ...options)
    t.equal(code, 1)
    for (const id of found(report)) ids.add(id)
  }
  t.comment([...ids].join(' '))
  for (const id of wanted) t.ok(ids.has(id), id)
})
