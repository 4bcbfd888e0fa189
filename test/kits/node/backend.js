// A backend that the Node kit guards, as test/kits/harness.ts describes: `backend.js fastify|express|middleware SETTINGS`.
import { createServer } from 'node:http'
import express from 'express'
import Fastify from 'fastify'
import { holdfast } from '../../../kits/node/holdfast.js'

const [how, text] = process.argv.slice(2)
const { options, ...settings } = JSON.parse(text)
const kit = holdfast({ ...settings, ...options })
const answer = (claims, headers, body) => ({
  sub: claims.sub,
  tier: claims.tier,
  bytes: body?.length ?? 0,
  assertion: headers['holdfast-assertion'],
})

if (how === 'fastify') {
  const app = Fastify()
  app.register(kit.fastify)
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (_request, body) => body)
  app.all('/*', async (request) => answer(request.assertion, request.headers, request.body))
  await app.listen({ host: '127.0.0.1', port: 0 })
  console.log(`listening ${app.server.address().port}`)
} else if (how === 'express') {
  const app = express()
  app.use(kit.express, express.raw({ type: () => true, limit: '1mb' }))
  app.use((request, response) => void response.json(answer(request.assertion, request.headers, request.body)))
  const server = app.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`))
} else {
  const server = createServer((request, response) =>
    kit.express(request, response, () => {
      response.end(JSON.stringify(answer(request.assertion, request.headers, request.body)))
    }),
  )
  server.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`))
}
