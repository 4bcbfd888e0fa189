// How soon a worker that ended is replaced.
import t from 'tap'
import { PACE, waitAfter } from '../../src/cluster/member.js'

t.same(
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 1000].map((ends) => waitAfter(ends, PACE)),
  [0, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000],
  'at once, then twice as late each time, up to half a minute',
)
