// All that is fuzzed. A new target is a file in targets/ and a line here.

import type { Target } from './target.js'
import { CONFIGURATION, MATERIAL } from './targets/config.js'
import { FRAMES } from './targets/frames.js'
import { ODD, SPOILT } from './targets/handshake.js'
import { HOPS } from './targets/hop.js'
import { HTTP } from './targets/http.js'
import { INTROSPECTION } from './targets/introspection.js'
import { JWKS } from './targets/jwks.js'
import { PROOF, TOKEN } from './targets/jwt.js'
import { QUESTIONS } from './targets/questions.js'
import { REFUSALS } from './targets/refusals.js'
import { TEXTS } from './targets/texts.js'

export const TARGETS: readonly Target[] = [
  HTTP,
  PROOF,
  TOKEN,
  ...TEXTS,
  FRAMES,
  JWKS,
  ...INTROSPECTION,
  ...HOPS,
  QUESTIONS,
  REFUSALS,
  CONFIGURATION,
  MATERIAL,
  SPOILT,
  ODD,
]
