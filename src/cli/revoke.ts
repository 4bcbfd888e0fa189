// `holdfast revoke`: the kill switch. Writes one entry into the list that every replica follows.

import { nameOf } from '../revocations/entry.js'
import { withStore } from '../revocations/open.js'
import type { Seconds } from '../verify/scalars.js'
import { duration } from '../verify/scalars.js'
import type { Command } from './command.js'
import {
  describe,
  Misuse,
  orMisuse,
  parseOptions,
  readStore,
  readTarget,
  readWhy,
  TARGET_HELP,
  TARGET_OPTIONS,
} from './revocation-arguments.js'

const HELP = `holdfast revoke --jkt THUMBPRINT | --certificate FILE|THUMBPRINT | --client ID | --subject SUB | --session SID | --token JTI|- | --issuer ISS | --authentication SUB
                --reason TEXT [--issuer ISS] [--issued-before TIME] [--for DURATION] [--by NAME] [--config routes.yaml]

Refuses every token of what is named, on all replicas within a second, on every tier, and closes its open WebSockets and event
streams; until \`holdfast unrevoke\`, or for as long as said. Of what is revoked already nothing is taken back: the wider of both holds.

${TARGET_HELP}
  --issued-before  only tokens with an \`iat\` before this: now, or a time such as 2027-03-31T12:00:00Z. What its issuer issues from
                   then on passes, so a stolen token is worth nothing and its owner signs in anew
  --for          a duration such as 24h; left out: for ever
  --help         this text

Exit code: 0 done, 1 not done, for what is said, 2 wrong usage.
`

const OPTIONS = { ...TARGET_OPTIONS, 'issued-before': { type: 'string' }, for: { type: 'string' } } as const

export const revoke: Command = {
  name: 'revoke',
  summary: 'refuse a key, certificate, client, user, token or issuer on all replicas within a second',
  help: HELP,
  run: (args, io) =>
    orMisuse('revoke', io, async () => {
      const values = parseOptions(args, OPTIONS)
      const now = Date.now() / 1000
      const why = readWhy(values, io)
      const issued_before = values['issued-before'] === undefined ? null : readTime(values['issued-before'], now)
      const until = values.for === undefined ? null : now + readDuration(values.for)
      const { config, redis } = readStore(values.config, io)
      const target = readTarget(values, config, io)
      // Without a time no authentication would ever be new enough.
      const before = issued_before ?? (target.kind === 'authentication' ? now : null)
      const terms = await withStore(redis, (store) =>
        store.revoke(nameOf(target), { effect: 'refuse', issued_before: before, until, ...why }),
      )
      const issued = terms.issued_before === null ? 'all tokens' : `tokens issued before ${printTime(terms.issued_before)}`
      io.out(`revoked: ${describe(target)}, ${issued}, ${terms.until === null ? 'for ever' : `until ${printTime(terms.until)}`}`)
      return 0
    }),
}

function readTime(text: string, now: Seconds): Seconds {
  if (text === 'now') return now
  const time = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) / 1000 : Number.NaN
  if (Number.isNaN(time)) throw new Misuse('--issued-before expects now, or a time with its zone such as 2027-03-31T12:00:00Z')
  return time
}

function readDuration(text: string): Seconds {
  const { data = 0 } = duration.safeParse(text)
  if (data <= 0) throw new Misuse('--for expects a duration such as 30m, 24h or 7d')
  return data
}

export const printTime = (time: Seconds): string => new Date(time * 1000).toISOString()
