// `holdfast revocations`: the list, one JSON object a line, as Redis has it.

import { readName, readTerms } from '../revocations/entry.js'
import { withStore } from '../revocations/open.js'
import { isOver } from '../verify/revocations.js'
import type { Command } from './command.js'
import { orMisuse, parseOptions, readStore } from './revocation-arguments.js'
import { printTime } from './revoke.js'

const HELP = `holdfast revocations [--all] [--config routes.yaml]

Prints what is revoked, in no order, one JSON object a line: kind, value, issuer (where it is an issuer's), issued_before, until, at, by,
reason.

  --all     also what was taken back in the last week (\`"effect":"none"\`)
  --config  the configuration (default: routes.yaml), which says where Redis is
  --help    this text

Exit code: 0 done, 1 Redis is away, 2 wrong usage.
`

const OPTIONS = { all: { type: 'boolean', default: false }, config: { type: 'string', default: 'routes.yaml' } } as const

export const revocations: Command = {
  name: 'revocations',
  summary: 'print what is revoked',
  help: HELP,
  run: (args, io) =>
    orMisuse('revocations', io, async () => {
      const { all, config } = parseOptions(args, OPTIONS)
      const { redis } = readStore(config, io)
      const now = Date.now() / 1000
      await withStore(redis, async (store) => {
        const seen = new Set<string>()
        for await (const slice of store.slices()) {
          for (let i = 0; i < slice.length; i += 2) {
            const name = slice[i] ?? ''
            const target = readName(name)
            const terms = readTerms(slice[i + 1] ?? '')
            if (target === null || seen.has(name) || isOver(terms, now) || (terms.effect === 'none' && !all)) continue
            seen.add(name)
            const { kind, value, scope } = target
            const { effect, issued_before, until, at, by, reason } = terms
            io.out(
              JSON.stringify({
                kind,
                value,
                ...(scope === '' ? {} : { issuer: scope }),
                ...(effect === 'none' ? { effect } : {}),
                ...(issued_before === null ? {} : { issued_before: printTime(issued_before) }),
                ...(until === null ? {} : { until: printTime(until) }),
                at: printTime(at),
                by,
                reason,
              }),
            )
          }
        }
      })
      return 0
    }),
}
