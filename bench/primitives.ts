// What the cryptography alone costs on this node: CPU microseconds of one ES256 verification (of the proof) and one ES256 signature
// (of the assertion), each over 700 bytes, printed as JSON. Run anew in each round, so that the floor is measured beside the rest.
import { generateKeyPairSync, sign, verify } from 'node:crypto'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const dsaEncoding = 'ieee-p1363'
const data = Buffer.alloc(700, 'x')
const signature = sign('sha256', data, { key: privateKey, dsaEncoding })

/** CPU microseconds of one call, over about a second. */
function costOf(work: () => unknown): number {
  for (let i = 0; i < 500; i++) work()
  const until = performance.now() + 1000
  const before = process.cpuUsage()
  let calls = 0
  while (performance.now() < until) for (let i = 0; i < 100; i++, calls++) work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / calls
}

const verifying = costOf(() => verify('sha256', data, { key: publicKey, dsaEncoding }, signature))
const signing = costOf(() => sign('sha256', data, { key: privateKey, dsaEncoding }))
process.stdout.write(JSON.stringify({ verifying, signing }))
