import t from 'tap'
import { median, shownSpread, spreadOf } from '../../bench/statistics.js'

t.test('the median is the middle value, or the mean of the middle two', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 3, 2]), 2.5)
  t.equal(median([10, 9, 100]), 10, 'sorted as numbers')
  t.equal(median([7]), 7)
  t.equal(median([]), 0)
})

t.test('a spread has the least and the most', async (t) => {
  t.same(spreadOf([5, 1, 9]), { median: 5, least: 1, most: 9 })
})

t.test('a spread is shown only where there is one', async (t) => {
  t.equal(shownSpread([10, 12, 15], 0), '12 (10-15)')
  t.equal(shownSpread([1.234, 1.2, 1.19], 1), '1.2', 'what looks the same is the same')
  t.equal(shownSpread([2], 2), '2.00')
})
