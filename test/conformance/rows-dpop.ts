// RFC 9449 on a resource server: proofs, the target they name, their use, nonces, replay.
import type { Row } from './row.js'
import { PROOF_ROWS } from './rows-proofs.js'
import { REPLAY_ROWS } from './rows-replay.js'
import { RESOURCE_ROWS } from './rows-resource.js'
import { TARGET_ROWS } from './rows-targets.js'

export const DPOP_ROWS: readonly Row[] = [...PROOF_ROWS, ...TARGET_ROWS, ...RESOURCE_ROWS, ...REPLAY_ROWS]
