import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { framingProblem } from '../../src/edge/framing.js'
import { openTestEdge } from '../support/edge.js'
import { openRaw } from '../support/raw.js'

const HOST = 'Host: localhost\r\n'
const CHUNKED = 'Transfer-Encoding: chunked\r\n'
const ZERO = '\r\n0\r\n\r\n'

/** What an edge that asks `framingProblem` makes of each. A refusal is 400 and the end of the connection; nothing behind it counts. */
const REFUSED: Readonly<Record<string, string>> = {
  // RFC 9112 §6.1, §6.3: where does it end?
  'Content-Length and Transfer-Encoding': `POST / HTTP/1.1\r\n${HOST}Content-Length: 4\r\n${CHUNKED}${ZERO}`,
  'Transfer-Encoding and Content-Length': `POST / HTTP/1.1\r\n${HOST}${CHUNKED}Content-Length: 4\r\n${ZERO}`,
  'a coding that is not chunked': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip\r\n${ZERO}`,
  'chunked that is not last': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, identity\r\n${ZERO}`,
  'a coding that ends in chunked': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: xchunked\r\n${ZERO}`,
  'chunked with a control behind it': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\x0b\r\n${ZERO}`,
  'a coding before chunked': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n${ZERO}`,
  'chunked twice in a line': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, chunked\r\n${ZERO}`,
  'an empty element before chunked': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: , chunked\r\n${ZERO}`,
  'an empty Transfer-Encoding': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding:\r\n${ZERO}`,
  'an empty Transfer-Encoding with a request behind it': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding:\r\n\r\nGET /behind HTTP/1.1\r\n${HOST}\r\n`,
  'two lines of chunked': `POST / HTTP/1.1\r\n${HOST}${CHUNKED}${CHUNKED}${ZERO}`,
  'two lines of codings': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip\r\n${CHUNKED}${ZERO}`,
  'a space before the colon of Transfer-Encoding': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding : chunked\r\n${ZERO}`,
  'a folded Transfer-Encoding': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding:\r\n chunked\r\n${ZERO}`,
  'a GET with a coding that is not chunked': `GET / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip\r\n\r\nGET /behind HTTP/1.1\r\n${HOST}\r\n`,
  'HTTP/1.0 with Transfer-Encoding': `POST / HTTP/1.0\r\n${HOST}${CHUNKED}${ZERO}`,
  'two equal lengths': `POST / HTTP/1.1\r\n${HOST}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd`,
  'two lengths': `POST / HTTP/1.1\r\n${HOST}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd`,
  'no length and a length': `POST / HTTP/1.1\r\n${HOST}Content-Length: 0\r\nContent-Length: 4\r\n\r\nabcd`,
  'a length with a sign': `POST / HTTP/1.1\r\n${HOST}Content-Length: +4\r\n\r\nabcd`,
  'a length below zero': `POST / HTTP/1.1\r\n${HOST}Content-Length: -1\r\n\r\nabcd`,
  'a list of lengths': `POST / HTTP/1.1\r\n${HOST}Content-Length: 4,4\r\n\r\nabcd`,
  'a length with a space': `POST / HTTP/1.1\r\n${HOST}Content-Length: 4 4\r\n\r\nabcd`,
  'a length in hexadecimal': `POST / HTTP/1.1\r\n${HOST}Content-Length: 0x4\r\n\r\nabcd`,
  'an empty length': `POST / HTTP/1.1\r\n${HOST}Content-Length:\r\n\r\n`,
  'a length of 20 digits': `POST / HTTP/1.1\r\n${HOST}Content-Length: 18446744073709551617\r\n\r\nabcd`,
  'a length that JavaScript cannot count to': `POST / HTTP/1.1\r\n${HOST}Content-Length: 9223372036854775808\r\n\r\nabcd`,

  // RFC 9112 §2.2, §5: what are its lines?
  'a line feed alone': `GET / HTTP/1.1\nHost: localhost\n\n`,
  'a line feed alone after a header': `GET / HTTP/1.1\r\nHost: localhost\nX: b\r\n\r\n`,
  'a line feed alone at the end': `GET / HTTP/1.1\r\n${HOST}\n`,
  'a carriage return in a value': `GET / HTTP/1.1\r\n${HOST}X: a\rb\r\n\r\n`,
  'a second carriage return': `GET / HTTP/1.1\r\n${HOST}X: a\r\r\n\r\n`,
  'a folded line': `GET / HTTP/1.1\r\n${HOST}X-Remote-User: a\r\n b\r\n\r\n`,
  'a space before the first header': `GET / HTTP/1.1\r\n Host: localhost\r\n\r\n`,
  'a space before the colon': `GET / HTTP/1.1\r\n${HOST}Authorization : x\r\n\r\n`,
  'a tab before the colon': `GET / HTTP/1.1\r\n${HOST}Authorization\t: x\r\n\r\n`,
  'a space in a name': `GET / HTTP/1.1\r\n${HOST}X Y: x\r\n\r\n`,
  'an empty name': `GET / HTTP/1.1\r\n${HOST}: x\r\n\r\n`,
  'a line without colon': `GET / HTTP/1.1\r\n${HOST}XY\r\n\r\n`,
  'a NUL in a value': `GET / HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n`,
  'a byte over 127 in a name': `GET / HTTP/1.1\r\n${HOST}X\xff: b\r\n\r\n`,
  'a byte over 127 in the target': `GET /a\xff HTTP/1.1\r\n${HOST}\r\n`,
  'a tab in the request line': `GET /a\tb HTTP/1.1\r\n${HOST}\r\n`,
  'a space before the method': ` GET / HTTP/1.1\r\n${HOST}\r\n`,

  // RFC 9112 §3: whom is it for, and is it HTTP/1?
  'no Host': `GET / HTTP/1.1\r\n\r\n`,
  'no Host in HTTP/1.0': `GET / HTTP/1.0\r\n\r\n`,
  'two Hosts': `GET / HTTP/1.1\r\n${HOST}Host: other\r\n\r\n`,
  'two equal Hosts': `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`,
  'HTTP/0.9': `GET /\r\n\r\n`,
  'HTTP/0.9 by name': `GET / HTTP/0.9\r\n${HOST}\r\n`,
  'HTTP/1.2': `GET / HTTP/1.2\r\n${HOST}\r\n`,
  'HTTP/2.0': `GET / HTTP/2.0\r\n${HOST}\r\n`,
  'the preface of HTTP/2': `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`,
  'a version in lower case': `GET / http/1.1\r\n${HOST}\r\n`,
  'a method in lower case': `get / HTTP/1.1\r\n${HOST}\r\n`,
  'a method that does not exist': `GETX / HTTP/1.1\r\n${HOST}\r\n`,
  'a target without path': `GET x HTTP/1.1\r\n${HOST}\r\n`,

  // Contract §6: what would go to another protocol
  'an Upgrade with a body': `POST / HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nabcd`,
  'an Upgrade with a chunked body': `POST / HTTP/1.1\r\n${HOST}Connection: a, Upgrade\r\nUpgrade: h2c\r\n${CHUNKED}${ZERO}`,
  'a CONNECT with a body': `CONNECT localhost:443 HTTP/1.1\r\n${HOST}Content-Length: 4\r\n\r\nabcd`,
}

const ACCEPTED: Readonly<Record<string, string>> = {
  'a GET': `GET / HTTP/1.1\r\n${HOST}\r\n`,
  'a GET with a body': `GET / HTTP/1.1\r\n${HOST}Content-Length: 4\r\n\r\nabcd`,
  'a chunked POST': `POST / HTTP/1.1\r\n${HOST}${CHUNKED}\r\n4;ext=1\r\nabcd\r\n0\r\nX-Trailer: a\r\n\r\n`,
  'chunked in upper case': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: CHUNKED\r\n${ZERO}`,
  'HTTP/1.0 with a Host': `GET / HTTP/1.0\r\n${HOST}\r\n`,
  'HTTP/1.0 with a length': `POST / HTTP/1.0\r\n${HOST}Content-Length: 4\r\n\r\nabcd`,
  'an absolute target': `GET https://localhost/ HTTP/1.1\r\n${HOST}\r\n`,
  'a byte over 127 in a value': `GET / HTTP/1.1\r\n${HOST}X: a\xffb\r\n\r\n`,
  'empty lines before the request': `\r\n\r\nGET / HTTP/1.1\r\n${HOST}\r\n`,
  'an Upgrade without body': `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`,
  'an Upgrade that Connection does not name': `POST / HTTP/1.1\r\n${HOST}Upgrade: h2c\r\nContent-Length: 4\r\n\r\nabcd`,
}

t.test('what breaks framing is refused and nothing behind it is served', async (t) => {
  const served: string[] = []
  const { port, close } = await openTestEdge({
    handle: ({ request, response, rawTarget }) => {
      const problem = framingProblem(request)
      if (problem === null) served.push(rawTarget)
      response.writeHead(problem === null ? 200 : 400, problem === null ? [] : ['Connection', 'close'])
      response.end(problem ?? '')
      request.resume()
    },
  })
  t.teardown(close)
  for (const [why, bytes] of Object.entries(REFUSED)) {
    const client = await openRaw(port)
    client.send(bytes)
    const { status, body, header } = await client.response()
    t.same([status, body.toString(), header('connection')], [400, 'request_malformed', 'close'], why)
    t.equal(await client.ended(), '', `${why}: the connection ends behind the refusal`)
    client.close()
  }
  t.same(served, [], 'nothing was served')
})

t.test('what is framed well is served', async (t) => {
  const { port, close } = await openTestEdge({
    handle: ({ request, response }) => {
      request.resume().on('end', () => response.end(framingProblem(request) ?? 'served'))
    },
  })
  t.teardown(close)
  for (const [why, bytes] of Object.entries(ACCEPTED)) {
    const client = await openRaw(port)
    client.send(bytes)
    t.equal((await client.response()).body.toString(), 'served', why)
    client.close()
  }
})

t.test('says the same of an IncomingMessage of any server', async (t) => {
  const server = createServer((request, response) => response.end(String(framingProblem(request)))).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => server.close())
  const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  t.equal(await answer.text(), 'null')
})
