// `npm run example envoy`: starts an example, and says what to type.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { find, PORTS, PROXIES, type ProxyName, startExample, thumbprintOf } from './stage.js'

const name = process.argv[2] ?? ''
const names = Object.keys(PROXIES)
if (!names.includes(name)) {
  console.error(`npm run example NAME, where NAME is one of ${names.join(', ')}`)
  process.exit(2)
}
const proxy = name as ProxyName
if (find(proxy) === undefined) {
  console.error(`${proxy} is not on this machine: install it, or run node scripts/prepare.mjs --peers`)
  process.exit(1)
}
const example = await startExample(proxy)
const { folder, origin, clients } = example
const token = await example.token({ 'x5t#S256': thumbprintOf(clients.client) })
writeFileSync(join(folder, 'token.jwt'), token)
/** HAProxy has nothing to ask with. */
const asks = proxy !== 'haproxy'
const curl = (...more: readonly string[]): string =>
  ['curl --cacert certs/ca.crt', '-H "Authorization: Bearer $(cat token.jwt)"', ...more, `${origin}/cases/42`].join(' ')
console.log(`${proxy} listens on ${origin}, and Holdfast behind it on 127.0.0.1:${PORTS.holdfast}. In another terminal, within five minutes:

cd ${folder}

# granted: the certificate that the token is bound to
${curl('--cert certs/client.crt --key certs/client.key')}

# refused: another certificate of the same CA, and none
${curl('-i', '--cert certs/other.crt --key certs/other.key')}
${curl('-i')}

${
  asks
    ? `# the same, where ${proxy} asks Holdfast and forwards by itself
${curl('--cert certs/client.crt --key certs/client.key').replace(origin, `https://localhost:${PORTS.asking}`)}

`
    : ''
}# refused: past ${proxy}, straight to Holdfast
curl -k https://127.0.0.1:${PORTS.holdfast}/cases/42

tail -f audit.jsonl

Ctrl-C ends all of it.`)
const end = (): void => void example.stop().then(() => process.exit(0))
process.once('SIGINT', end)
process.once('SIGTERM', end)
