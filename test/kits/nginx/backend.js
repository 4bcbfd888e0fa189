// A backend that knows nothing of assertions, behind an nginx with the kit, as test/kits/harness.ts describes: `backend.js SETTINGS`.
import { createServer } from 'node:http'
import { startNginx } from './nginx.js'

const { options, ...settings } = JSON.parse(process.argv[2])
const app = createServer(async (request, response) => {
  let bytes = 0
  for await (const chunk of request) bytes += chunk.length
  const assertion = request.headers['holdfast-assertion']
  const { tier } = JSON.parse(Buffer.from(assertion.split('.')[1], 'base64url'))
  response.end(JSON.stringify({ sub: request.headers['x-remote-user'], tier, bytes, assertion }))
})
app.listen(0, '127.0.0.1', async () => {
  const { port } = await startNginx({
    ...settings,
    behind: `127.0.0.1:${app.address().port}`,
    changes: {
      'holdfast_audience payments;': `holdfast_audience ${options.audience};`,
      '"sensitive_read high_value";': `"${options.tiers.join(' ')}";`,
      '"dpop mtls";': `"${options.bindings.join(' ')}";`,
    },
  })
  console.log(`listening ${port}`)
})
