#!/usr/bin/env -S node --max-semi-space-size=8
// The process: its arguments, environment, streams and exit code. Young objects get 8 MB (node's default is up to 32): a third less
// memory at full load for some per cent more CPU (docs/decisions.md).

import { createInterface } from 'node:readline/promises'
import type { Io, Terminal } from './cli/command.js'
import { runCli } from './cli/main.js'
import { catchHangups } from './cluster/hangups.js'

const { stdin, stdout, stderr } = process

const terminal: Terminal = {
  ask: async (question) => {
    const lines = createInterface({ input: stdin, output: stderr })
    try {
      return await lines.question(question)
    } finally {
      lines.close()
    }
  },
  progress: (line) => void stderr.write(`\r\x1b[2K${line === null ? '' : line.slice(0, (stderr.columns ?? 80) - 1)}`),
  columns: stdout.columns ?? 200,
}

// `holdfast probe --list | head`: who reads no further has enough.
for (const stream of [stdout, stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(0)
  })
}

const io: Io = {
  out: (line) => void stdout.write(`${line}\n`),
  err: (line) => void stderr.write(`${line}\n`),
  env: process.env,
  cwd: process.cwd(),
  ...(stdin.isTTY && stderr.isTTY ? { terminal } : {}),
}

// Loading `serve` takes long enough for an operator's SIGHUP, which is no reason to end.
if (process.argv[2] === 'serve') catchHangups()

process.exitCode = await runCli(process.argv.slice(2), io, async () => (await import('./serve.js')).serve)
