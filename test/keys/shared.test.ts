// Does one fetch serve everyone? The sharing alone, with a clock; what workers make of it is in test/journeys/processes.test.ts.
import t from 'tap'
import { shareFetches } from '../../src/keys/shared.js'
import { source } from './key-server.js'

const issuer = source('https://as.example.com', { from: 'discovery' })

function counted() {
  const time = { now: 1000 }
  const asked: string[] = []
  const answers = { problem: null as string | null }
  const fetch = shareFetches(
    () => time.now,
    async (one) => {
      asked.push(one.issuer)
      if (answers.problem !== null) throw new Error(answers.problem)
      return { set: { keys: [] }, age: 0 }
    },
  )
  return { time, asked, answers, fetch }
}

t.test('asks an issuer once in the cool-down, and says how old the answer is', async (t) => {
  const { time, asked, fetch } = counted()
  const together = await Promise.all([fetch(issuer), fetch(issuer), fetch(issuer)])
  t.same(together, Array(3).fill({ set: { keys: [] }, age: 0 }))
  time.now += 29
  t.equal((await fetch(issuer)).age, 29)
  t.equal(asked.length, 1)
  time.now += 1
  t.equal((await fetch(issuer)).age, 0)
  t.equal(asked.length, 2)
  time.now -= 3600
  t.equal((await fetch(issuer)).age, 0, 'a clock that was set back stops nothing')
  t.equal(asked.length, 3)
})

t.test('tells a failure to all who asked, and tries again soon', async (t) => {
  const { time, asked, answers, fetch } = counted()
  answers.problem = 'it answered 500'
  const both = await Promise.allSettled([fetch(issuer), fetch(issuer)])
  t.same(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  t.equal(asked.length, 1)
  answers.problem = null
  time.now += 1
  t.equal((await fetch(issuer)).age, 0)
})

t.test('keeps issuers apart, and one issuer at two places too', async (t) => {
  const { asked, fetch } = counted()
  await fetch(issuer)
  await fetch(source('https://as2.example.com', { from: 'discovery' }))
  await fetch(source('https://as.example.com', { from: 'uri', uri: 'https://as.example.com/jwks' }))
  t.equal(asked.length, 3)
})
