#!/usr/bin/env node
// The process: its arguments, environment, streams and exit code.

import { runCli } from './cli/main.js'
import { serve } from './serve.js'

const io = {
  out: (line: string) => void process.stdout.write(`${line}\n`),
  err: (line: string) => void process.stderr.write(`${line}\n`),
  env: process.env,
  cwd: process.cwd(),
}

process.exitCode = await runCli(process.argv.slice(2), io, serve)
