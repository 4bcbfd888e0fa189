// Every attack there is, in the order in which they are run. A new one: one row in its topic's file.

import type { Attack } from './attack.js'
import { ALGORITHM_ATTACKS } from './attacks/algorithm.js'
import { BINDING_ATTACKS } from './attacks/binding.js'
import { CERTIFICATE_ATTACKS } from './attacks/certificate.js'
import { CHALLENGE_ATTACKS } from './attacks/challenge.js'
import { DOWNGRADE_ATTACKS } from './attacks/downgrade.js'
import { FRAMING_ATTACKS } from './attacks/framing.js'
import { HEADER_ATTACKS } from './attacks/header.js'
import { HTTP2_ATTACKS } from './attacks/http2.js'
import { PATH_ATTACKS } from './attacks/path.js'
import { PROOF_ATTACKS } from './attacks/proof.js'
import { REPLAY_ATTACKS } from './attacks/replay.js'
import { TARGET_ATTACKS } from './attacks/target.js'
import { TIME_ATTACKS } from './attacks/time.js'
import { TOKEN_ATTACKS } from './attacks/token.js'

export const CATALOGUE: readonly Attack[] = [
  ...DOWNGRADE_ATTACKS,
  ...PROOF_ATTACKS,
  ...ALGORITHM_ATTACKS,
  ...TARGET_ATTACKS,
  ...TIME_ATTACKS,
  ...BINDING_ATTACKS,
  ...CERTIFICATE_ATTACKS,
  ...TOKEN_ATTACKS,
  ...REPLAY_ATTACKS,
  ...PATH_ATTACKS,
  ...HEADER_ATTACKS,
  ...FRAMING_ATTACKS,
  ...HTTP2_ATTACKS,
  ...CHALLENGE_ATTACKS,
]
