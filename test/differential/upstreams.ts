// Three upstreams that read a path each in its own way, as real servers: Node (`new URL`), nginx (locations) and Python's http.server
// (`translate_path`). Each answers with the path as it came, the path as it understood it, and the assertion that came with it.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../support/redis.js'

export type PathReader = { readonly port: number; stop(): Promise<void> }

/** What an upstream says of a request that reached it. */
export type Reading = {
  /** The target as it arrived. */
  readonly target: string
  /** The path as the server understood it. */
  readonly path: string
  readonly assertion: string
}

/** One line each, because no path that got here holds a newline; a fourth is nginx's own name for the place. */
export const readAnswer = (body: string): Reading & { readonly location: string } => {
  const [assertion = '', target = '', location = '', ...path] = body.split('\n')
  return { assertion, target, location, path: path.join('\n') }
}

/** `new URL` and one decoding, as most small Node servers route. `fold`: without regard to case, as Express does unless told. */
export async function startNode({ fold = false } = {}): Promise<PathReader> {
  const server = createServer((request, response) => {
    const target = request.url ?? ''
    const path = readPath(target)
    if (path === null) response.statusCode = 400
    response.end([request.headers['holdfast-assertion'], target, '', fold ? path?.toLowerCase() : path].join('\n'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** Null: not UTF-8, which is 400 to Express and its like. */
function readPath(target: string): string | null {
  try {
    return decodeURIComponent(new URL(target, 'http://upstream.internal').pathname)
  } catch {
    return null
  }
}

export const NGINX = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx'].find(existsSync) ?? null

/** `locations`: name and what stands between `location` and its block. */
export async function startNginx(nginx: string, locations: readonly (readonly [string, string])[]): Promise<PathReader> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-nginx-'))
  const port = await freePort()
  const blocks = locations.map(
    ([name, selector]) => `location ${selector} { return 200 "$http_holdfast_assertion\\n$request_uri\\n${name}\\n$uri"; }`,
  )
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`)
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
events { worker_connections 64; }
http { access_log off; keepalive_requests 1000000; large_client_header_buffers 4 32k; default_type text/plain;
${temporary.join('\n')}
server { listen 127.0.0.1:${port};
${blocks.join('\n')}
} }`,
  )
  const child = spawn(nginx, ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'ignore' })
  return whenUp(child, port, folder)
}

export const PYTHON = findPython()

function findPython(): string | null {
  try {
    execFileSync('python3', ['-c', 'import http.server'], { stdio: 'ignore' })
    return 'python3'
  } catch {
    return null
  }
}

const PYTHON_SERVER = `
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = -1
    def do_GET(self):
        path = self.translate_path(self.path)[len(self.directory):] or '/'
        text = '\\n'.join([self.headers.get('Holdfast-Assertion', ''), self.path, '', path]).encode('utf-8', 'surrogateescape')
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *arguments):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
`

/** SimpleHTTPRequestHandler, which answers with the file it would have opened. */
export async function startPython(python: string): Promise<PathReader> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-python-'))
  mkdirSync(join(folder, 'root'))
  const port = await freePort()
  const child = spawn(python, ['-c', PYTHON_SERVER, String(port)], { cwd: join(folder, 'root'), stdio: 'ignore' })
  return whenUp(child, port, folder)
}

/** Waits until it accepts connections. */
async function whenUp(child: ChildProcess, port: number, folder: string): Promise<PathReader> {
  const atExit = () => void child.kill('SIGKILL')
  process.once('exit', atExit)
  for (let i = 0; i < 100 && !(await accepts(port)); i++) await sleep(50)
  return {
    port,
    stop: async () => {
      process.off('exit', atExit)
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
