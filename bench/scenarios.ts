// Every scenario, in the order in which they run and stand on the page.
import type { Scenario } from './scenario.js'
import { attack } from './scenarios/attack.js'
import { decisions } from './scenarios/decisions.js'
import { governed } from './scenarios/governed.js'
import { handshakes } from './scenarios/handshakes.js'
import { bearer, certified, digest, durable, open, proven } from './scenarios/loads.js'
import { profile } from './scenarios/profile.js'
import { clients, routes, workers } from './scenarios/scale.js'
import { memory, startUp } from './scenarios/still.js'
import { latency, soakOf } from './scenarios/time.js'

export const scenariosOf = (soakMinutes: number): readonly Scenario[] => [
  proven,
  bearer,
  certified,
  open,
  profile,
  digest,
  durable,
  handshakes,
  attack,
  workers,
  latency,
  clients,
  routes,
  governed,
  decisions,
  memory,
  startUp,
  soakOf(soakMinutes),
]
