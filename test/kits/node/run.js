// Puts requests to the Node kit, as test/kits/harness.ts describes. The clock is Date.now, which the kit and jose both read.

import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { holdfast } from '../../../kits/node/holdfast.js'

const kits = new Map()
let settings

function kitFor(options) {
  const key = JSON.stringify(options)
  if (!kits.has(key) || options.single_use) kits.set(key, holdfast({ ...settings, ...options }))
  return kits.get(key)
}

async function send(kit, { method, target, headers, body }) {
  const headersDistinct = {}
  for (const [name, value] of headers)
    headersDistinct[name.toLowerCase()] = [...(headersDistinct[name.toLowerCase()] ?? []), value]
  const stream = Readable.from(Buffer.from(body, 'base64'), { objectMode: false })
  const request = Object.assign(stream, { method, url: target, headersDistinct })
  let status = 200
  const response = {
    writeHead: (code) => {
      status = code
      return response
    },
    end: () => response,
  }
  await kit.express(request, response, () => undefined)
  return status
}

for await (const line of createInterface({ input: process.stdin })) {
  const said = JSON.parse(line)
  if (said.jwks_url !== undefined) settings = said
  else if (said.now !== undefined) Date.now = () => said.now * 1000
  else {
    const kit = kitFor(said.options)
    const answers = [await send(kit, said.request)]
    if (said.repeat) answers.push(await send(kit, said.request))
    process.stdout.write(`${JSON.stringify(answers)}\n`)
  }
}
