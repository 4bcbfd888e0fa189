// What do the attacks on framing find, and where do they find nothing? On the real gateway; and on servers over bare TLS that take
// whatever comes, as no library would.

import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import t from 'tap'
import type { Attack } from '../../src/probe/attack.js'
import { FRAMING_ATTACKS } from '../../src/probe/attacks/framing.js'
import { makeCertificates, type TestCertificates } from '../support/certificates.js'
import { HOST, startLab } from '../support/lab.js'
import { idsWith, makeBench, type Ran, runAll } from './bench.js'

const attack = (id: string): Attack => {
  const found = FRAMING_ATTACKS.find((one) => one.id === `framing-${id}`)
  if (found === undefined) throw new Error(`no attack framing-${id}`)
  return found
}
const idsOf = (pick: (attack: Attack) => boolean): readonly string[] => FRAMING_ATTACKS.filter(pick).map(({ id }) => id)
const isClosing = ({ expected }: Attack): boolean => expected.includes('closed after it')
const isOfBody = ({ id }: Attack): boolean => /^framing-chunk-(?!extension-long)/.test(id)
const isUnbroken = ({ expected }: Attack): boolean => expected.includes('no fault')
const MUST_GRANT = ['framing-pipelined-right', 'framing-absolute-own']

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
const NO = 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'

type Careless = {
  readonly answer: (head: string, index: number) => string
  readonly closes?: boolean
  /** Before the body is there. */
  readonly isEarly?: boolean
}

/** Takes any bytes for requests, a body that begins like one too. */
function serveCarelessly(socket: TLSSocket, { answer, closes, isEarly }: Careless): void {
  let waiting = ''
  let served = 0
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => {
    waiting += chunk.toString('latin1')
    for (;;) {
      const [head] = /^[\s\S]*?\n\r?\n/.exec(waiting) ?? []
      if (head === undefined) return
      const rest = waiting.slice(head.length)
      const isWhole = !/chunked/i.test(head) || /\n\r?\n$/.test(rest)
      if (!isWhole && isEarly !== true) return
      // What a request is, is one; anything else was the body.
      waiting = /^[A-Z]+ \//.test(rest) ? rest : ''
      socket.write(answer(head, served))
      served++
      if (closes) socket.end()
    }
  })
}

t.test('framing attacks', async (t) => {
  const certificates: TestCertificates = await makeCertificates(HOST)
  const { 'ca.crt': ca, 'server.crt': cert, 'server.key': key } = certificates.files
  const careless = async (how: Careless) => {
    const server = createServer({ cert, key, ALPNProtocols: ['http/1.1'] }, (socket) => serveCarelessly(socket, how))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    return { bench: makeBench({ port, ca }), close: () => server.close() }
  }
  const ranOn = async (how: Careless, attacks: readonly Attack[] = FRAMING_ATTACKS): Promise<readonly Ran[]> => {
    const { bench, close } = await careless(how)
    const ran = await Promise.all(attacks.map((one) => runAll(bench, [one])))
    close()
    return ran.flat()
  }

  t.test('nothing gets through the gateway, nor breaks it', async (t) => {
    const lab = await startLab({ store: 'memory' })
    t.teardown(() => lab.stop())
    const target = { port: lab.port, ca: lab.certificates.files['ca.crt'] }
    const benches = { 'without body': makeBench(target), 'with a body': makeBench({ ...target, body: '{"amount":1}' }) }
    await Promise.all(
      Object.entries(benches).map(async ([name, bench]) => {
        const ran = await runAll(bench, FRAMING_ATTACKS)
        const isSecretive = ran.every(({ outcome }) => !/eyJ[\w-]{30}/.test(outcome.sent))
        const rest = ran.filter(({ outcome }) => outcome.verdict !== 'held')
        t.same(
          rest.map(({ attack, outcome }) => [attack.id, outcome.came]),
          [],
          name,
        )
        t.equal(ran.length, FRAMING_ATTACKS.length)
        t.ok(isSecretive, 'no token is shown')
      }),
    )
    t.ok(FRAMING_ATTACKS.length >= 60)
  })

  t.test('reports each of them where everything is taken', async (t) => {
    const ran = await ranOn({
      answer: (head) => {
        if (head.startsWith('TRACE')) return `HTTP/1.1 200 OK\r\nContent-Length: ${head.length}\r\n\r\n${head}`
        return /^Upgrade: h2c/im.test(head) ? 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n' : OK
      },
    })
    const all = idsOf((one) => !isUnbroken(one) && one.id !== 'framing-absolute-own')
    t.same(idsWith(ran, 'through'), all)
    t.same(idsWith(ran, 'wrong', 'broke', 'unclear', 'skipped'), [])
    t.ok(ran.every(({ outcome }) => outcome.sent !== '' && outcome.came !== ''))
  })

  t.test('reports none that may be taken where the connection ends then', async (t) => {
    const ran = await ranOn(
      { answer: () => OK, closes: true },
      FRAMING_ATTACKS.filter((one) => isClosing(one) || isOfBody(one)),
    )
    t.ok(ran.length >= 14)
    t.equal(idsWith(ran, 'held').length, ran.length)
  })

  t.test('skips what is wrong with a body where nobody waits for it', async (t) => {
    const ran = await ranOn({ answer: () => OK, isEarly: true }, FRAMING_ATTACKS.filter(isOfBody))
    t.equal(idsWith(ran, 'skipped').length, ran.length)
    t.ok(ran.length >= 10)
  })

  t.test('reports requests that end in a fault', async (t) => {
    const ran = await ranOn({ answer: () => 'HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n', closes: true })
    t.same(
      idsWith(ran, 'broke'),
      FRAMING_ATTACKS.map(({ id }) => id),
    )
  })

  t.test('reports right requests that are refused', async (t) => {
    const ran = await ranOn({ answer: () => NO })
    t.same(idsWith(ran, 'wrong'), MUST_GRANT)
    t.same(idsWith(ran, 'through'), ['framing-unread-body'], 'which has two answers here')
  })

  t.test('takes the end of a connection for a refusal', async (t) => {
    const ran = await ranOn({ answer: () => '', closes: true })
    t.same(idsWith(ran, 'through', 'wrong'), [])
    t.same(idsWith(ran, 'broke'), ['framing-absolute-own'], 'but of what must be granted')
  })

  t.test('judges the second of two requests by itself', async (t) => {
    const behind = await ranOn({ answer: (_, index) => (index === 0 ? OK : NO) }, [
      attack('pipelined-behind'),
      attack('upgrade-websocket'),
    ])
    t.equal(idsWith(behind, 'held').length, 2)
    const right = await ranOn({ answer: (_, index) => (index === 0 ? NO : OK) }, [attack('pipelined-right')])
    t.equal(idsWith(right, 'held').length, 1)
    t.match(right[0]?.outcome.came, /^401, then 200/)
  })

  t.test('answers a demand for a nonce before it judges', async (t) => {
    const nonceOf = (head: string): unknown => {
      const [, claims = ''] = /^DPoP: [\w-]+\.([\w-]+)/m.exec(head) ?? []
      return JSON.parse(Buffer.from(claims, 'base64url').toString()).nonce
    }
    const challenge =
      'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: DPoP error="use_dpop_nonce"\r\nDPoP-Nonce: n-1\r\nContent-Length: 0\r\n\r\n'
    const ran = await ranOn({ answer: (head) => (nonceOf(head) === 'n-1' ? OK : challenge) }, [
      attack('cl-te'),
      attack('cl-twice'),
    ])
    t.equal(idsWith(ran, 'through').length, 2)
  })

  t.test('refuses to judge where an empty body is refused in any case', async (t) => {
    const { bench, close } = await careless({ answer: (head) => (/length: 7\b/i.test(head) ? OK : NO) })
    t.teardown(close)
    const outcome = await attack('cl-plus').run({
      ...bench,
      draft: async () => ({ ...(await bench.draft()), body: Buffer.from('{"a":1}') }),
    })
    t.match(outcome, { verdict: 'skipped', came: /empty body/ })
  })
})
