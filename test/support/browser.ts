// A real browser: Chromium without a window, driven over its DevTools protocol through a pipe, so that no port is open for it.
import { spawn } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Readable as Source, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

/** Sent by the browser, as it was on the wire: preflights as well. */
export type Sent = { readonly method: string; readonly url: string; readonly headers: Readonly<Record<string, string>> }

/** What a script can read of an answer. */
export type Readable = {
  readonly type: string
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

export type Page = {
  goTo(url: string): Promise<void>
  /** What the expression is, awaited. */
  evaluate(expression: string): Promise<unknown>
  /** Waits until the expression is true; rejects with what the page says otherwise. */
  until(expression: string): Promise<void>
  /** Presses the first button with this text, as a person would who may press it. */
  press(text: string): Promise<void>
  /** A key of the keyboard: `Tab`, `Enter`. */
  type(key: 'Tab' | 'Enter'): Promise<void>
  /** Asks as a script of this page would; the name of the error where it can read nothing. */
  fetch(url: string, init?: object): Promise<Readable | string>
  /** Gives the browser a cookie of that site, which goes with requests of other sites too. */
  setCookie(url: string, name: string, value: string): Promise<void>
  /** Everything that it has sent since it was opened. */
  readonly sent: readonly Sent[]
}

export type Browser = {
  /** A new tab. */
  open(url: string): Promise<Page>
  stop(): Promise<void>
}

const PROGRAM = ['chromium', 'chromium-browser', 'google-chrome']
  .flatMap((name) => (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, name)))
  .find((file) => existsSync(file))

/** Why tests that need a browser are skipped. */
export const skip =
  PROGRAM === undefined && 'no browser: install chromium (apt-get install chromium), or have google-chrome on PATH'

/** Milliseconds; other tests may have the processor. */
const PATIENCE = 60_000

type Message = {
  readonly id?: number
  readonly sessionId?: string
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}

export type BrowserOptions = {
  /** PEM: the one server certificate that it accepts beside those of the system's CAs. */
  readonly certificate: string
  /** Where names lead, as Chromium's `--host-resolver-rules` has it; all others lead nowhere, but this machine's own. */
  readonly rules?: readonly string[]
}

/** With an empty profile. */
export async function startBrowser({ certificate, rules = [] }: BrowserOptions): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'holdfast-browser-'))
  const spki = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' })
  const child = spawn(
    PROGRAM ?? 'chromium',
    [
      '--headless=new',
      '--remote-debugging-pipe',
      `--user-data-dir=${profile}`,
      `--ignore-certificate-errors-spki-list=${createHash('sha256').update(spki).digest('base64')}`,
      `--host-resolver-rules=${[...rules, 'MAP * ~NOTFOUND', 'EXCLUDE localhost', 'EXCLUDE 127.0.0.1'].join(', ')}`,
      ...[
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-dev-shm-usage',
        '--disable-gpu',
      ],
      // Chromium refuses to run as root otherwise; nothing foreign is loaded.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    ],
    { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'], detached: true },
  )
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const killAll = () => {
    try {
      // The group: the browser is many processes.
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // Gone already.
    }
  }
  process.once('exit', killAll)
  let complaints = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-2000)
  })
  const { call, onEvent } = connect(child.stdio[3] as Writable, child.stdio[4] as Source, () => complaints)
  return {
    open: async (url) => {
      const { targetId } = await call('Target.createTarget', { url: 'about:blank' })
      const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true })
      const page = await pageOf(
        (method, params) => call(method, params, String(sessionId)),
        (listener) => onEvent(String(sessionId), listener),
      )
      await page.goTo(url)
      return page
    },
    stop: async () => {
      await Promise.race([call('Browser.close').then(() => ended), ended, sleep(5000, undefined, { ref: false })])
      killAll()
      process.off('exit', killAll)
      await ended
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

type Call = (method: string, params?: object, sessionId?: string) => Promise<Record<string, unknown>>
type Listener = (message: Message) => void

/** Messages are JSON, each ended by a zero byte. */
function connect(
  to: Writable,
  from: Source,
  why: () => string,
): { call: Call; onEvent: (sessionId: string, listener: Listener) => void } {
  const waiting = new Map<number, (message: Message) => void>()
  const listeners = new Map<string, Listener>()
  let rest = ''
  from.setEncoding('utf8').on('data', (chunk: string) => {
    const texts = (rest + chunk).split('\0')
    rest = texts.pop() ?? ''
    for (const text of texts) {
      const message: Message = JSON.parse(text)
      if (message.id === undefined) listeners.get(message.sessionId ?? '')?.(message)
      else waiting.get(message.id)?.(message)
    }
  })
  from.on('close', () => {
    for (const answer of waiting.values()) answer({ error: { message: `the browser has ended: ${why()}` } })
  })
  to.on('error', () => {})
  let last = 0
  return {
    onEvent: (sessionId, listener) => void listeners.set(sessionId, listener),
    call: (method, params = {}, sessionId) =>
      new Promise((resolve, reject) => {
        if (from.destroyed) return reject(new Error(`the browser has ended: ${why()}`))
        const id = ++last
        waiting.set(id, ({ result, error }) => {
          waiting.delete(id)
          if (error) reject(new Error(`${method}: ${error.message}`))
          else resolve(result ?? {})
        })
        to.write(`${JSON.stringify({ id, method, params, ...(sessionId ? { sessionId } : {}) })}\0`)
      }),
  }
}

async function pageOf(call: Call, onEvent: (listener: Listener) => void): Promise<Page> {
  const sent: Sent[] = []
  const requests = new Map<string, { method: string; url: string }>()
  onEvent(({ method = '', params = {} }) => {
    const id = String(params.requestId)
    if (method === 'Network.requestWillBeSent') requests.set(id, params.request as { method: string; url: string })
    if (method === 'Network.requestWillBeSentExtraInfo') {
      // A preflight is named after the request that it is for.
      const headers = params.headers as Record<string, string>
      sent.push({ method: requests.get(id)?.method ?? '', url: requests.get(id)?.url ?? '', headers })
    }
  })
  await call('Network.enable')
  await call('Page.enable')
  const evaluate = async (expression: string): Promise<unknown> => {
    const { result, exceptionDetails } = await call('Runtime.evaluate', {
      expression: `(async () => (${expression}))()`,
      ...{ awaitPromise: true, returnByValue: true, userGesture: true },
    })
    if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`)
    return (result as { value?: unknown }).value
  }
  const until = async (expression: string): Promise<void> => {
    const deadline = Date.now() + PATIENCE
    // A page that is just being left answers nothing.
    while ((await evaluate(expression).catch(() => false)) !== true) {
      if (Date.now() > deadline) throw new Error(`not true: ${expression}\n${await evaluate('document.body.innerText')}`)
      await sleep(25)
    }
  }
  return {
    sent,
    evaluate,
    until,
    type: async (key) => {
      const windowsVirtualKeyCode = { Tab: 9, Enter: 13 }[key]
      const text = key === 'Enter' ? { text: '\r' } : {}
      await call('Input.dispatchKeyEvent', { type: 'keyDown', key, code: key, windowsVirtualKeyCode, ...text })
      await call('Input.dispatchKeyEvent', { type: 'keyUp', key, code: key, windowsVirtualKeyCode })
    },
    fetch: async (url, init = {}) =>
      (await evaluate(`fetch(${JSON.stringify(url)}, ${JSON.stringify(init)}).then(
        async (answer) => ({
          ...{ type: answer.type, status: answer.status, body: await answer.text() },
          headers: Object.fromEntries(answer.headers),
        }),
        (error) => error.name,
      )`)) as Readable | string,
    setCookie: async (url, name, value) => {
      await call('Network.setCookie', { url, name, value, secure: true, sameSite: 'None' })
    },
    goTo: async (url) => {
      const { errorText } = await call('Page.navigate', { url })
      if (errorText) throw new Error(`${url}: ${errorText}`)
      await until(`document.readyState === 'complete' && location.href === ${JSON.stringify(new URL(url).href)}`)
    },
    press: async (text) => {
      const button = `[...document.querySelectorAll('button:enabled')].find((one) => one.innerText.includes(${JSON.stringify(text)}))`
      await until(`${button} !== undefined`)
      await evaluate(`${button}.click()`)
    },
  }
}
