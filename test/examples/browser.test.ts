// examples/browser in a real browser: a page with a key that it cannot read gets a token and uses it through the gateway, and may read
// what it is answered, refusals and nonces too; other pages may not.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { placesAt } from '../../examples/demo/places.js'
import { setStage } from '../../examples/demo/stage.js'
import { type Page, skip, startBrowser } from '../support/browser.js'
import { waitFor } from '../support/fleet.js'
import { startPages } from '../support/pages.js'

t.test('a page whose key no script can read calls through the gateway, in a browser', { skip, timeout: 110_000 }, async (t) => {
  // Above the range that systems give to outgoing connections by default, and beside that of demo.test.ts.
  const places = placesAt(54_000)
  const stage = await setStage(places, () => {})
  t.teardown(stage.close)
  const browser = await startBrowser({ certificate: readFileSync(join(stage.directory, 'certs/server.crt'), 'utf8') })
  t.teardown(browser.stop)

  /** What the page shows of an exchange, newest last. */
  type Shown = { readonly line: string; readonly status: string; readonly body: string; readonly [name: string]: string }
  const shown = async (page: Page): Promise<readonly Shown[]> =>
    (await page.evaluate(`[...document.querySelectorAll('#log li')].reverse().map((item) => ({
    status: item.querySelector('.status').textContent,
    line: item.querySelector('.line').textContent,
    ...Object.fromEntries([...item.querySelectorAll('dt')].map((term) => [term.textContent.toLowerCase(), term.nextSibling.textContent])),
  }))`)) as readonly Shown[]
  /** What pressing this shows, once it is done. */
  const ask = async (page: Page, text: string): Promise<readonly Shown[]> => {
    const before = (await shown(page)).length
    await page.press(text)
    await page.until(`document.querySelectorAll('#log li').length > ${before} && !document.querySelector('[aria-busy]')`)
    return (await shown(page)).slice(before)
  }
  const events = (): readonly Record<string, unknown>[] => stage.auditLines().map((line) => JSON.parse(line))

  const stranger = await startPages(places.gateway)
  t.teardown(stranger.close)
  const STRANGER = `http://127.0.0.1:${stranger.port}`

  const [page, tab] = await Promise.all([browser.open(places.page), browser.open(places.page)])
  const evil = await browser.open(STRANGER)
  const untilSignedIn = () =>
    page.until(`document.getElementById('token').textContent.startsWith('Bound to this key, for profile case.read')`)
  const thumbprint = () => page.evaluate(`document.getElementById('thumbprint').textContent`)

  await t.test('the key is one for all tabs, and cannot be read by the page that uses it', async (t) => {
    const ready = `document.documentElement.dataset.ready === 'true'`
    await Promise.all([page.until(ready), tab.until(ready)])
    t.equal(await tab.evaluate(`document.getElementById('thumbprint').textContent`), await thumbprint())
    await page.press('Try to export it')
    await page.until(`document.getElementById('said').textContent !== ''`)
    t.equal(
      await page.evaluate(`document.getElementById('said').textContent`),
      'not extractable: the browser has refused to give it to this page',
    )
  })

  await t.test('a person who signs in and does not agree gives the page no token', async (t) => {
    await page.press('Sign in')
    await page.press('I am ada')
    await page.press('No')
    await page.until(`document.getElementById('notice')?.innerText === 'Not signed in: access_denied.'`)
    t.equal(await page.evaluate(`document.getElementById('token').textContent`), 'None yet.')
    t.ok(await page.evaluate(`[...document.querySelectorAll('button[data-token]')].every((button) => button.disabled)`))
  })

  await t.test('a person agrees, and the authorization server asks for a nonce before it gives a token', async (t) => {
    await page.press('Sign in')
    await page.until(`document.title.includes('act for you')`)
    t.match(await page.evaluate('document.body.innerText'), /case\.read/)
    await page.press('Yes')
    await untilSignedIn()
    const tokens = (await shown(page)).filter(({ line }) => line.endsWith('/token'))
    t.match(tokens, [
      { status: '400', proof: 'without a nonce', body: /use_dpop_nonce/, 'dpop-nonce': /.+/ },
      { status: '200', proof: 'with a nonce', body: /"token_type":"DPoP"/ },
    ])
    t.equal(await page.evaluate('location.href'), `${places.page}/`, 'the code does not stay in the address')
  })

  await t.test('a route of each kind is granted, or refused with a reason that the page may read', async (t) => {
    t.match(await ask(page, 'GET /public/reference-data'), [{ status: '200', proof: 'none', body: /EUR/ }])
    t.match(await ask(page, 'GET /profile'), [{ status: '200', body: /"profile":"ada"/ }])
    t.match(await ask(page, 'GET /cases/42'), [{ status: '200', body: /"case":"42"/ }])
    t.match(await ask(page, 'POST /cases/42/notes'), [{ status: '201', body: /added/ }])
    t.match(await ask(page, 'POST /tenants/north'), [{ status: '403', body: /"reason":"client_unqualified"/ }])
    t.match(await ask(page, 'POST /payments/initiate'), [
      { status: '401', body: /"reason":"nonce_missing"/ },
      { status: '403', proof: 'with a nonce', body: /"reason":"client_unqualified"/ },
    ])
  })

  await t.test('a nonce that the gateway asks for is read by the page, and is in its next proof', async (t) => {
    const old = await thumbprint()
    await page.press('Forget key and token')
    await page.until(`document.getElementById('thumbprint').textContent !== ${JSON.stringify(old)}`)
    await page.press('Sign in')
    await untilSignedIn()
    t.match(await ask(page, 'PATCH /profile'), [
      {
        status: '401',
        proof: 'without a nonce',
        'www-authenticate': /error="use_dpop_nonce"/,
        'dpop-nonce': /.+/,
        body: /nonce_missing/,
      },
      { status: '200', proof: 'with a nonce', 'dpop-nonce': /.+/ },
    ])
    const decisions = () =>
      events().filter(({ event_type, method }) => event_type === 'authorization_decision' && method === 'PATCH')
    await waitFor('two decisions in the audit log', () => decisions().length === 2)
    t.match(decisions(), [
      { decision: 'deny', reason: 'nonce_missing', route: '/profile', method: 'PATCH' },
      { decision: 'permit', sender_constraint: 'dpop', sender_constraint_verified: true, client_id: 'page', subject: 'ada' },
    ])
  })

  await t.test('a stolen token is worth nothing, and the page may read why', async (t) => {
    const backendSaw = stage.backendSaw.length
    t.match(await ask(page, 'with a key of his own'), [
      { status: '401', body: /"reason":"proof_key"/, 'www-authenticate': /invalid_token/ },
    ])
    t.match(await ask(page, 'as a bearer token'), [{ status: '401', body: /"reason":"scheme_downgraded"/ }])
    t.equal(stage.backendSaw.length, backendSaw)
    t.match(await ask(page, 'caught, sent again'), [{ status: '200' }, { status: '401', body: /"reason":"proof_replayed"/ }])
    t.equal(stage.backendSaw.length, backendSaw + 1)
  })

  await t.test('a keyboard is enough, and the outcome is said to whoever cannot see it', async (t) => {
    await page.evaluate('document.activeElement.blur()')
    const order: unknown[] = []
    for (let i = 0; i < 5; i++) {
      await page.type('Tab')
      order.push(await page.evaluate('document.activeElement.innerText'))
    }
    t.match(order, [
      'Skip to what went over the wire',
      ...['Try to export it', 'Forget key and token', 'Sign in'],
      /^GET .public.reference-data/,
    ])
    await page.type('Enter')
    await page.until(`document.querySelector('[role=status]').innerText === '200: public: no token'`)
  })

  await t.test('text does not become markup in the page, and what would run there calls nobody else', async (t) => {
    const markup = `(() => { try { document.body.innerHTML += '<img src=x>' } catch (error) { return error.name } })()`
    t.equal(await page.evaluate(markup), 'TypeError')
    t.equal(await page.fetch(STRANGER, { mode: 'no-cors' }), 'TypeError', 'the stranger is not in connect-src')
    t.match(await evil.fetch(STRANGER), { status: 200 }, 'and is there')
  })

  /** Adds a frame; what `done` is given. */
  const frame = (from: Page, src: string, done: string) =>
    from.evaluate(`new Promise((resolve) => {
      const frame = Object.assign(document.createElement('iframe'), { src: '${src}' })
      ${done}
      document.body.append(frame)
    })`)

  await t.test('what would run in the page has no window in which to sign in for a key of its own', async (t) => {
    const signIn = `${places.issuer}/auth?client_id=page&response_type=code&redirect_uri=${encodeURIComponent(`${places.page}/`)}`
    const violated = `document.addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective))`
    t.equal(await frame(page, signIn, violated), 'frame-src')
    await page.evaluate(`void (globalThis.opened = open('${signIn}'))`)
    // How a window looks that the browser has cut off.
    await page.until('opened.closed')
  })

  await t.test('nobody frames the page', async (t) => {
    // Of the same site, so that what its frames ask for is seen here too.
    const framing = await browser.open(`http://localhost:${stranger.port}`)
    await frame(framing, places.page, 'frame.onload = () => resolve(true)')
    const asked = framing.sent.map(({ url }) => url).filter((url) => url.startsWith(places.page))
    t.strictSame(asked, [`${places.page}/`], 'it does not get as far as its script')
  })

  await t.test('a page of another origin reads nothing, and sends nothing that counts', async (t) => {
    const url = (path: string) => places.gateway + path
    const backendSaw = stage.backendSaw.length
    const credentials = { authorization: 'DPoP stolen', dpop: 'proof' }
    for (const [what, path, init] of [
      ['a token and a proof', '/cases/42', { headers: credentials }],
      ['the same with what the browser has', '/cases/42', { headers: credentials, credentials: 'include' }],
      ['a change', '/profile', { method: 'PATCH', body: '{}' }],
      ['what a form could send', '/payments/initiate', { method: 'POST', body: 'amount=10' }],
      ['a refusal', '/cases/42', { credentials: 'include' }],
    ] as const) {
      t.equal(await evil.fetch(url(path), init), 'TypeError', what)
    }
    const opaque = await evil.fetch(url('/payments/initiate'), {
      method: 'POST',
      mode: 'no-cors',
      body: '{"amount":"10.00"}',
    })
    t.strictSame(opaque, { type: 'opaque', status: 0, body: '', headers: {} }, 'it may send like a form, and learns nothing')
    t.equal(stage.backendSaw.length, backendSaw, 'and the backend never hears of it')
    t.equal(await evil.fetch(url('/public/reference-data'), {}), 'TypeError', 'not even what is public, through a browser')
    t.equal(await evil.fetch(`${STRANGER}/to/public/reference-data`, {}), 'TypeError', 'nor by a redirect')
    const code = {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'grant_type=authorization_code&code=stolen&client_id=page',
    }
    t.equal(await evil.fetch(`${places.issuer}/token`, code), 'TypeError', 'no token either')
  })
})
