// A page that holds a DPoP key which no script can read, and proves it in every request. All of OAuth and DPoP is oauth4webapi's;
// what is here is where the key is kept, what is asked, and showing it.

import * as oauth from './oauth4webapi.js'

/** What the page may be asked for; the gateway's routes.yaml says what each tier demands. */
const REQUESTS = [
  { method: 'GET', path: '/public/reference-data', about: 'public: no token', token: false },
  { method: 'GET', path: '/profile', about: 'low_user: your profile' },
  {
    method: 'PATCH',
    path: '/profile',
    about: 'page_write: a change of it, proven with a nonce',
    body: '{"phone":"+47 2 22 22"}',
  },
  { method: 'GET', path: '/cases/42', about: 'sensitive_read: a case' },
  { method: 'POST', path: '/cases/42/notes', about: 'moderate_write: a note to it', body: '{"note":"called back"}' },
  {
    method: 'POST',
    path: '/tenants/north/cases/42/enforcement-decision',
    about: 'refused, sensitive_write: above the highest tier of this client',
    body: '{"decision":"uphold"}',
  },
  {
    method: 'POST',
    path: '/payments/initiate',
    about: 'refused, high_value: further above it',
    body: '{"amount":"10.00"}',
  },
]

const THEFTS = [
  { about: 'with a key of his own', ask: withAnotherKey },
  { about: 'as a bearer token, without any proof', ask: asBearer },
  { about: 'with a proof that he has caught, sent again', ask: withCaughtProof },
]

const $ = (id) => document.getElementById(id)
const settings = await (await fetch('settings.json')).json()
const client = { client_id: settings.clientId }
const issuer = new URL(settings.issuer)
// Plain http is for an issuer on this machine.
const insecure = { [oauth.allowInsecureRequests]: issuer.protocol === 'http:' }

let keys = await keptKeys()
let dpop = oauth.DPoP(client, keys)
/** In memory alone. */
let token = null

// The key.

/** One answer of IndexedDB's store of keys: it keeps a key as the object it is, without its bytes ever being this page's. */
async function inKeyStore(mode, operation) {
  const opened = await new Promise((resolve, reject) => {
    const request = indexedDB.open('holdfast', 1)
    request.onupgradeneeded = () => request.result.createObjectStore('keys')
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
  try {
    return await new Promise((resolve, reject) => {
      const transaction = opened.transaction('keys', mode)
      const request = operation(transaction.objectStore('keys'))
      transaction.oncomplete = () => resolve(request.result)
      transaction.onabort = () => reject(transaction.error)
    })
  } finally {
    opened.close()
  }
}

async function keptKeys() {
  const kept = await inKeyStore('readonly', (store) => store.get('dpop'))
  if (kept) return kept
  const made = await oauth.generateKeyPair('ES256', { extractable: false })
  // Where another tab was quicker, its key stays.
  await inKeyStore('readwrite', (store) => store.add(made, 'dpop')).catch(() => undefined)
  return inKeyStore('readonly', (store) => store.get('dpop'))
}

async function forget() {
  await inKeyStore('readwrite', (store) => store.delete('dpop'))
  keys = await keptKeys()
  dpop = oauth.DPoP(client, keys)
  token = null
  await showState()
}

/** Asks the browser for the private key, as a script of an attacker in this page would. */
async function tryToExport() {
  const tries = ['jwk', 'pkcs8'].map((format) => crypto.subtle.exportKey(format, keys.privateKey))
  const given = (await Promise.allSettled(tries)).filter(({ status }) => status === 'fulfilled')
  $('private').textContent =
    given.length === 0
      ? 'not extractable: the browser has refused to give it to this page'
      : 'EXTRACTABLE: this browser has given it away'
  say($('private').textContent)
}

// The token: authorization code with PKCE, the code bound to the key as well (RFC 9449 §10).

const discover = async () =>
  oauth.processDiscoveryResponse(
    issuer,
    await oauth.discoveryRequest(issuer, {
      ...insecure,
      algorithm: 'oidc',
      [oauth.customFetch]: watched('What does the issuer offer?'),
    }),
  )

async function signIn() {
  const as = await discover()
  const state = oauth.generateRandomState()
  const verifier = oauth.generateRandomCodeVerifier()
  sessionStorage.setItem('pending', JSON.stringify({ state, verifier }))
  const url = new URL(as.authorization_endpoint)
  url.search = new URLSearchParams({
    client_id: settings.clientId,
    redirect_uri: settings.redirectUri,
    response_type: 'code',
    scope: settings.scopes.join(' '),
    resource: settings.resource,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    dpop_jkt: await dpop.calculateThumbprint(),
  })
  location.assign(url)
}

/** Where this page was opened by the authorization server's answer: trades the code for a token. */
async function finishSignIn() {
  const answer = new URL(location.href)
  if (!answer.searchParams.has('state')) return
  const pending = JSON.parse(sessionStorage.getItem('pending') ?? 'null')
  sessionStorage.removeItem('pending')
  // Neither the code nor the answer stays in the address or its history.
  history.replaceState(null, '', '/')
  if (pending === null) throw new Error('This answer belongs to no sign-in of this tab.')
  const as = await discover()
  const parameters = oauth.validateAuthResponse(as, client, answer, pending.state)
  const response = await withNonce(async () => {
    const options = { ...insecure, DPoP: dpop, [oauth.customFetch]: watched('A token for the code') }
    return oauth.processAuthorizationCodeResponse(
      as,
      client,
      await oauth.authorizationCodeGrantRequest(as, client, oauth.None(), parameters, settings.redirectUri, pending.verifier, {
        ...options,
        additionalParameters: { resource: settings.resource },
      }),
    )
  })
  token = { text: response.access_token, scope: response.scope, until: new Date(Date.now() + response.expires_in * 1000) }
}

// Requests to the gateway.

/** The handle has kept the nonce that came with the refusal, so the same again is all it takes (RFC 9449 §8, §9). */
async function withNonce(ask) {
  try {
    return await ask()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return ask()
  }
}

const inFull = ({ path }) => new URL(path, settings.gateway)
const headersFor = ({ body }) => new Headers(body === undefined ? {} : { 'content-type': 'application/json' })

async function call(request) {
  const what = request.about
  if (request.token === false) return watched(what)(inFull(request), { method: request.method })
  return withNonce(() => prove(request, dpop, watched(what)))
}

/** One request with the token and a proof of this handle's key. */
function prove(request, handle, fetch) {
  const { method, body = null } = request
  return oauth.protectedResourceRequest(token.text, method, inFull(request), headersFor(request), body, {
    DPoP: handle,
    [oauth.customFetch]: fetch,
  })
}

const CASE = { method: 'GET', path: '/cases/42' }

async function withAnotherKey() {
  const own = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
  return prove(CASE, own, watched("The token, with the thief's own key"))
}

async function asBearer() {
  return watched('The token as a bearer token')(inFull(CASE), { headers: { authorization: `Bearer ${token.text}` } })
}

async function withCaughtProof() {
  let caught = null
  await prove(CASE, dpop, (url, init) => {
    caught = init
    return watched('The first use, by its owner')(url, init)
  })
  return watched('The same, sent again by the thief')(inFull(CASE), caught)
}

// What is shown. Text only: whatever a server answers never becomes markup.

/** A fetch that shows what was asked and what this page could read of the answer. Cookies and certificates never go with it. */
const watched = (what) => async (url, init) => {
  const shown = { what, line: `${init.method ?? 'GET'} ${url}`, nonce: nonceOf(init) }
  try {
    const response = await fetch(url, { ...init, credentials: 'omit', cache: 'no-store' })
    await showExchange({ ...shown, response })
    return response
  } catch (error) {
    showEntry({ ...shown, status: 'unreadable', details: [] })
    throw new Error(
      `This page could read nothing of ${new URL(url).origin}. It is not there, its certificate is not accepted (open ` +
        `${new URL('/public/reference-data', settings.gateway)} in a tab and accept it), or it does not list this page's origin.`,
      { cause: error },
    )
  }
}

/** null: no proof was sent; else whether it had a nonce. */
function nonceOf({ headers }) {
  const [, payload] = (new Headers(headers).get('dpop') ?? '').split('.')
  if (payload === undefined) return null
  return 'nonce' in JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
}

async function showExchange({ response, ...shown }) {
  const text = await response.clone().text()
  const header = (name) => [name, response.headers.get(name)]
  showEntry({
    ...shown,
    status: String(response.status),
    isGood: response.ok,
    details: [['Body', presentable(text)], header('WWW-Authenticate'), header('DPoP-Nonce')],
  })
}

/** Without the token, and not for ever. */
const presentable = (text) => text.replace(/("(?:access|refresh|id)_token":")[^"]+/g, '$1…').replace(/^(.{500}).+$/s, '$1…')

function showEntry({ what, line, nonce, status, isGood = false, details }) {
  const entry = $('exchange').content.cloneNode(true)
  entry.querySelector('li').classList.add(isGood ? 'good' : 'bad')
  entry.querySelector('.status').textContent = status
  entry.querySelector('.what').textContent = what
  entry.querySelector('.line').textContent = line
  const proof = nonce === null ? 'none' : nonce ? 'with a nonce' : 'without a nonce'
  for (const [name, value] of [['Proof', proof], ...details]) {
    if (!value) continue
    const term = document.createElement('dt')
    const description = document.createElement('dd')
    term.textContent = name
    description.textContent = value
    entry.querySelector('dl').append(term, description)
  }
  $('log').prepend(entry)
  say(`${status}: ${what}`)
}

const say = (text) => {
  $('said').textContent = text
}

async function showState() {
  $('thumbprint').textContent = await dpop.calculateThumbprint()
  $('private').textContent = keys.privateKey.extractable ? 'EXTRACTABLE' : 'kept by the browser, not extractable'
  $('token').textContent = token
    ? `Bound to this key, for ${token.scope}, until ${token.until.toLocaleTimeString()}. It is in this page's memory alone.`
    : 'None yet.'
  for (const button of document.querySelectorAll('button[data-token]')) button.disabled = token === null
}

// The buttons.

/** Does it, and says what went wrong where something did. A refusal is no failure: it was shown. */
function onPress(button, work) {
  button.addEventListener('click', async () => {
    $('notice').hidden = true
    button.setAttribute('aria-busy', 'true')
    await work().catch(complain)
    button.removeAttribute('aria-busy')
  })
}

function complain(error) {
  if (error instanceof oauth.WWWAuthenticateChallengeError) return
  $('notice').textContent = error instanceof oauth.AuthorizationResponseError ? `Not signed in: ${error.error}.` : error.message
  $('notice').hidden = false
}

function addButton(list, { title, about, needsToken }, work) {
  const item = document.createElement('li')
  const button = document.createElement('button')
  const small = document.createElement('small')
  button.type = 'button'
  button.toggleAttribute('data-token', needsToken)
  small.textContent = about
  button.append(title, small)
  item.append(button)
  list.append(item)
  onPress(button, work)
}

for (const request of REQUESTS) {
  const { method, path, about } = request
  addButton($('requests'), { title: `${method} ${path}`, about, needsToken: request.token !== false }, () => call(request))
}
for (const { about, ask } of THEFTS) {
  addButton($('thefts'), { title: `${CASE.method} ${CASE.path}`, about, needsToken: true }, ask)
}
onPress($('export'), tryToExport)
onPress($('forget'), forget)
onPress($('sign-in'), signIn)

await finishSignIn().catch(complain)
await showState()
document.documentElement.dataset.ready = 'true'
