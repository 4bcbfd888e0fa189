// The demo's child processes: `holdfast` itself, as an operator would run it. Started, waited for, ended without a trace.

import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url))

export type RunningChild = {
  /** Lines of standard output so far: audit events, where routes.yaml names no file. */
  readonly lines: readonly string[]
  readonly end: () => Promise<void>
}

/** Runs `holdfast ARGS` until `isReady` says so; rejects with what it printed when it ends before. */
export async function startHoldfast(args: readonly string[], isReady: () => Promise<boolean>): Promise<RunningChild> {
  const env = { ...process.env, NO_COLOR: '1' }
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env })
  // Whatever ends the demo ends its children.
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))

  const lines: string[] = []
  const errors: string[] = []
  collect(child.stdout, lines)
  collect(child.stderr, errors)

  const deadline = Date.now() + 15_000
  while (!(await isReady())) {
    if (child.exitCode !== null || Date.now() > deadline) {
      kill()
      throw new Error(`holdfast ${args[0]} did not start:\n  ${errors.slice(-10).join('\n  ')}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return {
    lines,
    end: async () => {
      child.kill('SIGTERM')
      const late = setTimeout(kill, 5000)
      await ended
      clearTimeout(late)
      process.off('exit', kill)
    },
  }
}

/** Runs `holdfast ARGS` to its end; rejects with what it printed when it fails. */
export async function runHoldfast(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  const errors: string[] = []
  collect(child.stderr, errors)
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  if (code !== 0) throw new Error(`holdfast ${args.join(' ')} ended with ${code}:\n  ${errors.slice(-10).join('\n  ')}`)
}

function collect(stream: ChildProcess['stdout'], lines: string[]): void {
  let rest = ''
  stream?.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
  })
}
