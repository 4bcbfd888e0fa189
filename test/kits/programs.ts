// What a kit's tests run: its two programs (harness.ts says what they do), and a server that publishes the gateway's keys.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Vector } from '../../scripts/vectors/vector.js'
import { VECTORS, type VectorFile } from '../../scripts/vectors/vectors.js'

export const ROOT = join(import.meta.dirname, '..', '..', '..')

export const file: VectorFile = JSON.parse(readFileSync(join(ROOT, VECTORS), 'utf8'))

/** The vector of that name. */
export function named(name: string): Vector {
  const found = file.vectors.find((vector) => vector.name === name)
  if (found === undefined) throw new Error(`no vector is called ${name}`)
  return found
}

export type Published = { readonly url: string; set(jwks: object): void; fetches(): number; stop(): void }

/** The gateway's keys at an address of their own. */
export async function publish(jwks: object): Promise<Published> {
  let published = jwks
  let fetches = 0
  const server = createServer((_, response) => {
    fetches++
    response.writeHead(200, { 'Content-Type': 'application/jwk-set+json' }).end(JSON.stringify(published))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    set: (other) => {
      published = other
    },
    fetches: () => fetches,
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

function launch(command: readonly string[], extra: readonly string[] = []): ChildProcess {
  const [program = '', ...args] = command
  // tap's own instruments would run in a kit's process too.
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(program, [...args, ...extra], { cwd: ROOT, env, stdio: ['pipe', 'pipe', 'inherit'] })
  const atExit = (): void => void child.kill('SIGTERM')
  process.once('exit', atExit)
  child.once('exit', () => process.off('exit', atExit))
  return child
}

export type Runner = { tell(line: object): Promise<void>; ask(line: object): Promise<unknown>; stop(): void }

/** A runner that is spoken to line by line. */
export function start(command: readonly string[], jwksUrl: string): Runner {
  const child = launch(command)
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
  const tell = async (line: object): Promise<void> => {
    if (child.stdin?.write(`${JSON.stringify(line)}\n`) === false) await once(child.stdin, 'drain')
  }
  void tell({ issuer: file.issuer, jwks_url: jwksUrl })
  return {
    tell,
    ask: async (line) => {
      await tell(line)
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`${command.join(' ')} ended`)
      return JSON.parse(value)
    },
    stop: () => void child.kill('SIGTERM'),
  }
}

/** All lines at once: what was answered. */
export async function run(command: readonly string[], jwksUrl: string, lines: readonly object[]): Promise<unknown[]> {
  const child = launch(command)
  const answers: unknown[] = []
  const read = (async () => {
    for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) answers.push(JSON.parse(line))
  })()
  const ended = once(child, 'close')
  // A runner that gives up early says so by its exit, not by our broken pipe.
  child.stdin?.on('error', () => undefined)
  for (const line of [{ issuer: file.issuer, jwks_url: jwksUrl }, ...lines]) {
    if (child.stdin?.write(`${JSON.stringify(line)}\n`) === false) await Promise.race([once(child.stdin, 'drain'), ended])
  }
  child.stdin?.end()
  await read
  const [code] = await ended
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}`)
  return answers
}

export async function startBackend(
  command: readonly string[],
  settings: object,
): Promise<{ readonly port: number; stop(): void }> {
  const child = launch(command, [JSON.stringify(settings)])
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const [, port] = /^listening (\d+)$/.exec(line) ?? []
    if (port !== undefined) return { port: Number(port), stop: () => void child.kill('SIGTERM') }
  }
  throw new Error(`${command.join(' ')} ended before it listened`)
}
