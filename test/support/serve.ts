// `holdfast serve` with times that a test can wait for: `node serve.js TIMING-AS-JSON FILE`.
import { runCli } from '../../src/cli/main.js'
import { serveWith } from '../../src/serve.js'

const [timing = '{}', ...files] = process.argv.slice(2)
process.exitCode = await runCli(
  ['serve', ...files],
  {
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
    env: process.env,
    cwd: process.cwd(),
  },
  async () => serveWith(JSON.parse(timing)),
)
