// `npm run docs`: prints the pages of docs/ that code is the truth of. With --check, exits 1 when one is stale.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { generatedPages } from './pages.js'

const stale = Object.entries(generatedPages()).filter(([path, text]) => !existsSync(path) || readFileSync(path, 'utf8') !== text)
if (process.argv.includes('--check')) {
  for (const [path] of stale) process.stderr.write(`${path} is stale: run npm run docs\n`)
  process.exitCode = stale.length === 0 ? 0 : 1
} else {
  for (const [path, text] of stale) {
    writeFileSync(path, text)
    process.stdout.write(`${path} written\n`)
  }
}
