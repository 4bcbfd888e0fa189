// A reload that fails must leave the old configuration in force, whole (contract §9 "bad new routes.yaml or certificate at reload").
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { HOST, startLab } from '../support/lab.js'

t.test('a certificate that OpenSSL refuses (RSA 1024) changes nothing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-weak-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [key, cert] = [join(folder, 'weak.key'), join(folder, 'weak.crt')]
  const request = `req -x509 -newkey rsa:1024 -nodes -keyout ${key} -out ${cert} -days 2 -subj /CN=weak -sha256`
  execFileSync('openssl', request.split(' '), { stdio: 'ignore' })
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  await t.rejects(
    lab.reload((parts) => ({
      ...parts,
      listen: parts.listen?.replace('server.key', key).replace('server.crt', cert) ?? '',
      routes: '\n  - { path: /other, methods: [GET], tier: public, upstream: cases }\n',
    })),
  )
  const get = async (path: string) => (await lab.sendRaw(`GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)).status
  t.equal(await get('/public'), 200, 'the old route is there')
  t.equal(await get('/other'), 404, 'the new one is not')
})
