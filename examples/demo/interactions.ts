// What the demo's authorization server asks people: who they are, and whether a client may act for them. Without passwords: in a demo
// whoever sits there is whom they say. Clients that name the person (`login_hint`) are not asked: nobody sits there.

import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import type { InteractionResults, Provider } from 'oidc-provider'

/** Someone who can log in, and how they did it: what `acr` and `auth_time` will say. */
export type Person = {
  readonly sub: string
  readonly tenant: string
  readonly acr: string
  /** Seconds since the login. */
  readonly loggedInAgo: number
}

type Details = Awaited<ReturnType<Provider['interactionDetails']>>
type Asked = { readonly people: ReadonlyMap<string, Person>; readonly resource: string }

/** Answers a request for an interaction's address: a page with the question, or, where it is answered, the way back. */
export async function interact(
  provider: Provider,
  { people, resource }: Asked,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const details = await provider.interactionDetails(request, response)
  const hint = details.params.login_hint
  const finish = (result: InteractionResults) => provider.interactionFinished(request, response, result)
  if (hint !== undefined) return finish(loginOf(people.get(String(hint))))
  if (request.method !== 'POST') return ask(response, details, people)
  const form = new URLSearchParams(await text(request))
  if (details.prompt.name === 'login') return finish(loginOf(people.get(form.get('person') ?? '')))
  return finish(form.get('agree') === 'yes' ? await consentTo(provider, details, resource) : REFUSED)
}

const REFUSED: InteractionResults = { error: 'access_denied' }

function loginOf(person: Person | undefined): InteractionResults {
  if (!person) return REFUSED
  const ts = Math.floor(Date.now() / 1000) - person.loggedInAgo
  return { login: { accountId: person.sub, acr: person.acr, ts } }
}

async function consentTo(provider: Provider, { params, session }: Details, resource: string): Promise<InteractionResults> {
  const scope = String(params.scope)
  const grant = new provider.Grant({ clientId: String(params.client_id), accountId: session?.accountId ?? '' })
  grant.addOIDCScope(scope)
  grant.addResourceScope(resource, scope)
  return { consent: { grantId: await grant.save() } }
}

function ask(response: ServerResponse, { prompt, params }: Details, people: Asked['people']): void {
  const client = escaped(String(params.client_id))
  const scopes = String(params.scope).split(' ')
  // The same person may be there twice, with an old login and a new one.
  const known = [...people].filter(([name, { sub }]) => name === sub)
  const [title, body] =
    prompt.name === 'login'
      ? [
          'Who are you?',
          `<p>This is a demo: there are no passwords.</p>
${known.map(([name]) => `<button name="person" value="${escaped(name)}">I am ${escaped(name)}</button>`).join('\n')}`,
        ]
      : [
          `May “${client}” act for you?`,
          `<p>It asks for:</p>
<ul>${scopes.map((scope) => `<li>${escaped(scope)}</li>`).join('')}</ul>
<button name="agree" value="yes">Yes</button>
<button name="agree" value="no">No</button>`,
        ]
  response.writeHead(200, {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Referrer-Policy': 'no-referrer',
    // A form's way back leads to the client, and browsers hold it to `form-action` all the way.
    'Content-Security-Policy': `default-src 'none'; style-src '${STYLE_HASH}'; form-action 'self' ${new URL(String(params.redirect_uri)).origin}; base-uri 'none'; frame-ancestors 'none'`,
  })
  response.end(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${title}</h1>
<form method="post">
${body}
</form>
</main>
</body>
</html>
`)
}

const escaped = (value: string): string => value.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)

const STYLE = `:root { color-scheme: light dark }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 1rem/1.55 system-ui, sans-serif }
main { max-width: 28rem; padding: 2rem }
h1 { font-size: 1.5rem; line-height: 1.2 }
button { font: inherit; padding: 0.55rem 1.2rem; margin-inline-end: 0.5rem }
`
const STYLE_HASH = `sha256-${createHash('sha256').update(STYLE).digest('base64')}`
