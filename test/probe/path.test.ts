// What do the attacks on paths find, and where do they find nothing? On the real gateway; and on servers that guard one spelling of
// a path and serve others, as a careless rule in front of a framework does.

import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { PATH_ATTACKS } from '../../src/probe/attacks/path.js'
import { makeCertificates } from '../support/certificates.js'
import { HOST, startLab } from '../support/lab.js'
import { idsWith, makeBench, runAll } from './bench.js'

const PATH = '/v1/payments'

/** Mistakes, each as what a backend makes of a path. */
const READINGS: Readonly<Record<string, readonly [read: (path: string) => string, ids: readonly string[]]>> = {
  'without case': [(path) => path.toLowerCase(), ['upper', 'case']],
  'without a slash at the end': [(path) => path.replace(/\/$/, ''), ['slash-end']],
  'without double slashes': [(path) => path.replace(/\/{2,}/g, '/'), ['slash-double']],
  'without parameters': [
    (path) => path.replace(/;[^/]*/g, '').replace('//', '/'),
    ['semicolon', 'semicolon-empty', 'semicolon-session', 'semicolon-front'],
  ],
  'with dot segments resolved': [
    (path) => new URL(path, 'https://x').pathname,
    ['dot', 'dot-dot', 'dot-dot-encoded', 'dot-encoded', 'dot-dot-root'],
  ],
  'with dot segments resolved behind parameters': [
    (path) => new URL(path.replace(/;[^/]*/g, ''), 'https://x').pathname,
    ['dot-dot-semicolon', 'dot-dot-parameter', 'dot-semicolon'],
  ],
  decoded: [(path) => unescapeOnce(path), ['slash-encoded', 'letter-encoded', 'letters-encoded']],
  'decoded twice': [(path) => unescapeOnce(unescapeOnce(path)), ['slash-encoded-twice', 'letter-encoded-twice']],
  'with overlong UTF-8': [(path) => path.replaceAll('%c0%af', '/'), ['slash-overlong']],
  'with backslashes as slashes': [
    (path) => path.replaceAll('\\', '/').replaceAll('%5c', '/').replace('//', '/'),
    ['backslash', 'backslash-encoded'],
  ],
  'up to NUL': [(path) => path.replace(/%00.*$/, ''), ['nul']],
  'without white space behind': [(path) => unescapeOnce(path).trim(), ['space', 'tab', 'line-end', 'white']],
  'without a suffix': [(path) => path.replace(/\.(?:json|css)$/, ''), ['suffix-json', 'suffix-css']],
  'by its beginning': [(path) => (path.startsWith(PATH) ? PATH : path), ['below', 'bad-escape', 'tilde', 'stream']],
  'up to a hash': [(path) => path.replace(/#.*$/, ''), ['hash']],
}

function unescapeOnce(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

t.test('path attacks', async (t) => {
  const certificates = await makeCertificates(HOST)
  const { 'ca.crt': ca, 'server.crt': cert, 'server.key': key } = certificates.files
  const serve = async (answer: (request: IncomingMessage) => readonly [status: number, body: string]) => {
    const server = createServer({ cert, key }, (request, response) => {
      const [status, body] = answer(request)
      response.writeHead(status, { Connection: 'close' }).end(body)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => server.close())
    return makeBench({ port: (server.address() as AddressInfo).port, ca, path: PATH })
  }

  t.test('nothing gets through the gateway, nor breaks it', async (t) => {
    const lab = await startLab({ store: 'memory' })
    t.teardown(() => lab.stop())
    const ran = await runAll(
      makeBench({ port: lab.port, ca: lab.certificates.files['ca.crt'], path: '/read/skis?x=1' }),
      PATH_ATTACKS,
    )
    t.same(
      ran.filter(({ outcome }) => outcome.verdict !== 'held').map(({ attack, outcome }) => [attack.id, outcome]),
      [],
    )
    t.equal(ran.length, PATH_ATTACKS.length)
    t.ok(ran.length >= 80)
    t.equal(lab.upstreamCalls(), 0)
  })

  for (const [reading, [read, ids]] of Object.entries(READINGS)) {
    t.test(`finds a server that reads paths ${reading} behind a rule that does not`, async (t) => {
      const wanted = PATH_ATTACKS.filter(({ id }) => ids.includes(id.replace('path-', '')))
      t.equal(wanted.length, ids.length, 'there are such attacks')
      const bench = await serve(({ url = '', headers }) => {
        const path = url.split('?')[0] ?? ''
        if (path === PATH && headers.authorization === undefined) return [401, '']
        return read(path) === PATH ? [200, 'payments'] : [404, '']
      })
      t.same(
        idsWith(await runAll(bench, wanted), 'through'),
        wanted.map(({ id }) => id),
      )
      const withProof = PATH_ATTACKS.filter(({ id }) => ids.includes(id.replace('path-proof-', '')))
      t.same(
        idsWith(await runAll(bench, withProof), 'through'),
        withProof.map(({ id }) => id),
        'with a proof for the path',
      )
    })
  }

  t.test('finds an absolute target and a query that a rule does not know', async (t) => {
    const bench = await serve(({ url = '', headers }) => {
      if (url === PATH && headers.authorization === undefined) return [401, '']
      return new URL(url, `https://${HOST}`).pathname === PATH ? [200, 'payments'] : [404, '']
    })
    const ids = ['path-query', 'path-query-empty', 'path-query-access', 'path-absolute', 'path-absolute-http']
    t.same(
      idsWith(
        await runAll(
          bench,
          PATH_ATTACKS.filter(({ id }) => ids.includes(id)),
        ),
        'through',
      ),
      ids,
    )
  })

  t.test('takes a page that is there for any path for none', async (t) => {
    const bench = await serve(({ url = '', headers }) =>
      url === PATH && headers.authorization === undefined ? [401, ''] : [200, 'app'],
    )
    const without = PATH_ATTACKS.filter(({ needs }) => needs.length === 0)
    const ran = await runAll(bench, without)
    t.same(idsWith(ran, 'through'), [])
    t.ok(idsWith(ran, 'skipped').length >= 30)
  })

  t.test('has nothing to spell otherwise in the root', async (t) => {
    const bench = await serve(() => [401, ''])
    const root = {
      ...bench,
      settings: { ...bench.settings, path: '/' },
      draft: async () => ({ ...(await bench.draft()), path: '/' }),
    }
    const ran = await runAll(root, PATH_ATTACKS)
    t.same(idsWith(ran, 'through', 'broke', 'wrong', 'unclear'), [])
    t.ok(idsWith(ran, 'skipped').includes('path-upper'))
  })
})
