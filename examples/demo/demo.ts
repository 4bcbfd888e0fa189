// `npm run demo`: sets the stage, walks every tier and every refusal, shows the table, one assertion and one audit event. With
// --once it exits then (0: every line came out as expected, else 1); without, it stays up with commands to paste.

import { parseArgs } from 'node:util'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { placesAt, takenPorts } from './places.js'
import { type Stage, setStage } from './stage.js'
import { progressOn, type Result, tableOf } from './table.js'
import { type Row, WALK } from './walk.js'

const HELP = `npm run demo [-- --once] [-- --port-offset N]

  --once            exit after the walk: 0 when every line came out as expected, else 1
  --port-offset N   move every port up by N, where one of them is in use
`

/** Above it, the highest of the ports would be none. */
const MAX_OFFSET = 56_000

const print = (line = '') => void process.stdout.write(`${line}\n`)
const complain = (line: string) => void process.stderr.write(`${line}\n`)

async function walk(stage: Stage, say: (step: string) => void): Promise<readonly Result[]> {
  const results: Result[] = []
  for (const row of WALK) {
    say(`${results.length + 1}/${WALK.length} ${row.what}`)
    const { what, method, path, tier, expected } = row
    const got = await tryRow(stage, row).catch((error: unknown) => `failed: ${String(error)}`)
    results.push({ what, request: `${method} ${shorten(path)}`, tier, expected, got, ok: got === expected })
  }
  return results
}

/** What came of it; and it says so where a refused request reached the backend all the same, or a granted one did not. */
async function tryRow(stage: Stage, { path, expected, reaches, run }: Row): Promise<string> {
  const before = stage.backendSaw.length
  const got = await run(stage, stage.places.gateway + path)
  const reached = stage.backendSaw.length - before
  const due = reaches ?? (expected.startsWith('granted') ? 1 : 0)
  return reached === due ? got : `${got}, and ${reached} reached the backend instead of ${due}`
}

/** The table need not show which case it was. */
const shorten = (path: string): string => path.replace('/cases/42/enforcement-', '/../')

function showTable(results: readonly Result[]): void {
  print()
  for (const line of tableOf(results)) print(line)
  const wrong = results.filter(({ ok }) => !ok).length
  print()
  print(
    wrong === 0 ? `All ${results.length} came out as expected.` : `${wrong} of ${results.length} did NOT come out as expected.`,
  )
}

/** What the backend got in place of the token for the first payment, and what the operator can read about it. */
function showEvidence(stage: Stage): void {
  const payment = stage.backendSaw.find(({ url }) => url === '/payments/initiate')
  const assertion = payment?.headers['holdfast-assertion']
  if (typeof assertion !== 'string') return
  const claims = decodeJwt(assertion)
  print()
  print('What the backend got in place of the token, decoded (the first payment):')
  print(JSON.stringify({ header: decodeProtectedHeader(assertion), claims }, null, 2))
  const event = stage.auditLines().find((line) => line.includes(`"${String(claims.txn)}"`))
  print()
  print('What the audit log says about the same request:')
  print(event ?? '(no event found)')
}

function showCommands({ places, directory }: Stage): void {
  print()
  print(`In a browser: ${places.page} (accept the throwaway certificate first, at ${places.gateway}/public/reference-data).`)
  print()
  print('Everything stays up. To paste:')
  print()
  const json = "-d '{}' -H 'content-type: application/json'"
  const commands = [
    [`curl -k ${places.gateway}/public/reference-data`, 'public: no token'],
    [`curl -k -i ${places.gateway}/cases/42`, 'refused: 401 with its challenges'],
    [`curl -i ${places.client}/cases/42`, 'through holdfast client: it adds token and proof'],
    [`curl -i -X POST ${places.client}/payments/initiate ${json}`, 'and the nonce'],
    [`curl -i -X POST ${places.client}/tenants/north/cases/42/enforcement-decision ${json}`, 'refused: scope'],
    [`npx holdfast probe ${places.gateway}/cases/42 --token-from ${directory}/client.yaml`, 'attack it in every known way'],
    [`curl ${places.admin}/readyz`, 'for operators'],
  ] as const
  for (const [command, why] of commands) print(`  # ${why}\n  ${command}`)
  print()
  print(`Its files are in ${directory} until it ends: routes.yaml, client.yaml, certs/. Ctrl-C ends everything.`)
}

/** Resolves at the first SIGINT or SIGTERM; at the second, children are killed at once (children.ts) and the process ends. */
const untilSignal = (): Promise<void> =>
  new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(130))
        resolve()
      })
    }
  })

/** A string: what is wrong. */
function readArguments(): { readonly once: boolean; readonly help: boolean; readonly offset: number } | string {
  try {
    const { values } = parseArgs({
      options: { once: { type: 'boolean' }, 'port-offset': { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    })
    const offset = Number(values['port-offset'] ?? 0)
    if (!Number.isInteger(offset) || offset < 0 || offset > MAX_OFFSET) return `--port-offset is a number from 0 to ${MAX_OFFSET}`
    return { once: values.once ?? false, help: values.help ?? false, offset }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function main(): Promise<number> {
  const wanted = readArguments()
  if (typeof wanted === 'string') {
    complain(wanted)
    complain(HELP)
    return 2
  }
  if (wanted.help) {
    print(HELP)
    return 0
  }
  const places = placesAt(wanted.offset)
  const taken = await takenPorts(places)
  if (taken.length > 0) {
    for (const sentence of taken) complain(sentence)
    complain('End what uses it, or move every port: npm run demo -- --port-offset 1000')
    return 1
  }

  const progress = progressOn(process.stderr)
  const interrupted = untilSignal()
  const stage = await setStage(places, progress.say)
  try {
    const results = await Promise.race([walk(stage, progress.say), interrupted])
    progress.done()
    if (!results) return 130
    showTable(results)
    showEvidence(stage)
    if (!wanted.once) {
      showCommands(stage)
      await interrupted
      complain('ending')
    }
    return results.every(({ ok }) => ok) ? 0 : 1
  } finally {
    await stage.close()
  }
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    complain(`The demo could not run: ${error instanceof Error ? error.message : String(error)}`)
    process.exit(1)
  },
)
