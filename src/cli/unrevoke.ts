// `holdfast unrevoke`: takes an entry's effect away again.

import { nameOf } from '../revocations/entry.js'
import { withStore } from '../revocations/open.js'
import type { Command } from './command.js'
import {
  describe,
  orMisuse,
  parseOptions,
  readStore,
  readTarget,
  readWhy,
  TARGET_HELP,
  TARGET_OPTIONS,
} from './revocation-arguments.js'

const HELP = `holdfast unrevoke --jkt THUMBPRINT | --certificate FILE|THUMBPRINT | --client ID | --subject SUB | --session SID | --token JTI|- | --issuer ISS | --authentication SUB
                  --reason TEXT [--issuer ISS] [--by NAME] [--config routes.yaml]

Takes back what \`holdfast revoke\` did with the same words, on all replicas within a second. That it was revoked, and that it is no
longer, stays in the list for a week (\`holdfast revocations --all\`), so that no replica that was away brings it back.

${TARGET_HELP}
  --help         this text

Exit code: 0 done, 1 it is not revoked or Redis is away, 2 wrong usage.
`

/** Longer than a replica stays away and comes back with its old list (seconds). */
const KEPT = 7 * 86_400

export const unrevoke: Command = {
  name: 'unrevoke',
  summary: 'take a revocation back',
  help: HELP,
  run: (args, io) =>
    orMisuse('unrevoke', io, async () => {
      const values = parseOptions(args, TARGET_OPTIONS)
      const why = readWhy(values, io)
      const { config, redis } = readStore(values.config, io)
      const target = readTarget(values, config, io)
      const terms = { effect: 'none', issued_before: null, until: Date.now() / 1000 + KEPT, ...why } as const
      if (!(await withStore(redis, (store) => store.unrevoke(nameOf(target), terms)))) {
        io.err(`holdfast unrevoke: ${describe(target)} is not revoked`)
        return 1
      }
      io.out(`no longer revoked: ${describe(target)}`)
      return 0
    }),
}
