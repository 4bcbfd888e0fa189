// Whoever waits with much does not make others wait.
import t from 'tap'
import { createFairQueue } from '../../src/edge/fair-queue.js'

t.test('takes one of each in turn, and what each has in the order in which it came', async (t) => {
  const queue = createFairQueue<string>(100)
  for (const item of ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1']) t.equal(queue.push(item.charAt(0), item), null)
  const order: (string | undefined)[] = []
  for (let i = 0; i < 3; i++) order.push(queue.shift())
  queue.push('d', 'd1')
  while (queue.size() > 0) order.push(queue.shift())
  t.same(order, ['a1', 'b1', 'c1', 'a2', 'b2', 'd1', 'a3', 'a4'])
  t.equal(queue.shift(), undefined)
  t.equal(queue.size(), 0)
})

t.test('leaves out the last of whoever has most', async (t) => {
  const queue = createFairQueue<string>(3)
  for (const item of ['a1', 'a2', 'a3']) t.equal(queue.push('a', item), null)
  t.equal(queue.push('a', 'a4'), 'a4')
  t.equal(queue.push('b', 'b1'), 'a3', 'a stranger finds room')
  t.equal(queue.size(), 3)
  t.same([queue.shift(), queue.shift(), queue.shift(), queue.shift()], ['a1', 'b1', 'a2', undefined])
})

t.test('one place', async (t) => {
  const queue = createFairQueue<string>(1)
  queue.push('a', 'a1')
  t.equal(queue.push('b', 'b1'), 'a1', 'the first of those who have as much')
  t.same([queue.shift(), queue.shift()], ['b1', undefined])
})
