import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { certs } from '../../src/cli/certs.js'
import type { Io } from '../../src/cli/command.js'
import { openTestEdge } from '../support/edge.js'
import { ask } from '../support/raw.js'

const FILES = [
  'assertion.key',
  'ca.crt',
  'client-ca.crt',
  'client.crt',
  'client.key',
  'other-client.crt',
  'other-client.key',
  'server.crt',
  'server.key',
]

async function run(cwd: string, ...args: readonly string[]) {
  const out: string[] = []
  const err: string[] = []
  const io: Io = { out: (line) => void out.push(line), err: (line) => void err.push(line), env: {}, cwd }
  const code = await certs.run(args, io)
  return { code, out: out.join('\n'), err: err.join('\n') }
}

t.test('makes what a gateway needs to start', async (t) => {
  const cwd = t.testdir({})
  const { code, out, err } = await run(cwd, 'certs', '--name', 'api.example.com', '--name', '192.0.2.7')
  t.same([code, err], [0, ''])
  t.match(out, /client_ca: certs\/client-ca\.crt/)
  t.same(readdirSync(join(cwd, 'certs')).sort(), FILES)
  for (const name of FILES) {
    t.equal(statSync(join(cwd, 'certs', name)).mode & 0o777, name.endsWith('.key') ? 0o600 : 0o644, name)
  }

  const read = (name: string) => readFileSync(join(cwd, 'certs', name), 'utf8')
  const [ca, clientCa, server, client, other] = ['ca.crt', 'client-ca.crt', 'server.crt', 'client.crt', 'other-client.crt'].map(
    (name) => new X509Certificate(read(name)),
  )
  if (!ca || !clientCa || !server || !client || !other) throw new Error('unreachable')
  for (const name of ['localhost', 'api.example.com']) t.equal(server.checkHost(name), name)
  for (const address of ['127.0.0.1', '::1', '192.0.2.7']) t.ok(server.checkIP(address), address)
  t.ok(server.verify(ca.publicKey) && client.verify(clientCa.publicKey) && other.verify(clientCa.publicKey))
  t.same([ca.ca, clientCa.ca, server.ca, client.ca], [true, true, false, false])
  t.same([server.subject, client.subject, other.subject], ['CN=localhost', 'CN=client', 'CN=other-client'])
  const days = (Date.parse(server.validTo) - Date.now()) / 86_400_000
  t.ok(days > 29.9 && days < 30.1, `${days} days`)
  for (const [name, certificate] of [
    ['server', server],
    ['client', client],
    ['other-client', other],
  ] as const) {
    t.ok(certificate.checkPrivateKey(createPrivateKey(read(`${name}.key`))), name)
  }
  t.match(read('assertion.key'), /^-----BEGIN PRIVATE KEY-----/)
  t.equal(createPrivateKey(read('assertion.key')).asymmetricKeyDetails?.namedCurve, 'prime256v1')
})

t.test('what it makes is taken by a gateway that judges and a client that verifies', async (t) => {
  const cwd = t.testdir({})
  await run(cwd, '.')
  const read = (name: string) => readFileSync(join(cwd, name), 'utf8')
  const { port, seen, close } = await openTestEdge({
    listener: {
      tls: { cert: read('server.crt'), key: read('server.key') },
      client_certificates: 'pki',
      client_ca: read('client-ca.crt'),
    },
  })
  t.teardown(close)
  for (const name of ['client', 'other-client']) {
    const tls = {
      ca: read('ca.crt'),
      servername: 'localhost',
      rejectUnauthorized: true,
      cert: read(`${name}.crt`),
      key: read(`${name}.key`),
    }
    t.equal((await ask(port, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n', tls)).status, 200)
    t.match(seen.at(-1)?.connection.peer.certificate, { invalid: null, judged: true, subject: `CN=${name}` })
  }
})

t.test('overwrites nothing unless told to', async (t) => {
  const cwd = t.testdir({ 'server.key': 'mine', elsewhere: 'theirs' })
  symlinkSync(join(cwd, 'elsewhere'), join(cwd, 'client.key'))
  const { code, err } = await run(cwd, '.')
  t.equal(code, 1)
  t.match(err, /^holdfast certs: \. has server\.key, client\.key already\n.*--force/)
  t.equal(readFileSync(join(cwd, 'server.key'), 'utf8'), 'mine')
  t.notOk(existsSync(join(cwd, 'ca.crt')))

  writeFileSync(join(cwd, 'assertion.key'), 'open to all', { mode: 0o644 })
  t.equal((await run(cwd, '.', '--force')).code, 0)
  t.match(readFileSync(join(cwd, 'server.key'), 'utf8'), /PRIVATE KEY/)
  t.equal(statSync(join(cwd, 'assertion.key')).mode & 0o777, 0o600)
  t.equal(readFileSync(join(cwd, 'elsewhere'), 'utf8'), 'theirs', 'a link is replaced, not followed')
  t.notOk(lstatSync(join(cwd, 'client.key')).isSymbolicLink())
})

t.test('wrong usage', async (t) => {
  const cwd = t.testdir({})
  for (const args of [[], ['a', 'b'], ['a', '--nmae', 'x'], ['a', '--name', 'x y'], ['a', '--name']]) {
    const { code, out, err } = await run(cwd, ...args)
    t.same([code, out], [2, ''], args.join(' '))
    t.match(err, /^holdfast certs: .+\ntry: holdfast certs --help$/s)
  }
  t.same(readdirSync(cwd), [])
  t.match(certs.help, /--force/)
})
