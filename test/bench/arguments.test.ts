import t from 'tap'
import { type BenchArguments, readArguments, usage } from '../../bench/arguments.js'
import { scenariosOf } from '../../bench/scenarios.js'

const NAMES = ['proven', 'soak']
const DEFAULTS: BenchArguments = { scenarios: [], rounds: 5, seconds: 2, minutes: 5, nodes: [], against: [], isPageOnly: false }

t.test('nothing said: the defaults', async (t) => {
  t.same(readArguments([], NAMES), DEFAULTS)
})

t.test('names, numbers and lists are read', async (t) => {
  const argv = [
    'soak',
    'proven',
    '--rounds',
    '3',
    '--seconds=1',
    '--minutes',
    '9',
    '--node',
    'a',
    '--node',
    'b',
    '--against',
    'c',
  ]
  t.same(readArguments(argv, NAMES), {
    ...DEFAULTS,
    scenarios: ['soak', 'proven'],
    rounds: 3,
    seconds: 1,
    minutes: 9,
    nodes: ['a', 'b'],
    against: ['c'],
  })
  t.match(readArguments(['--page'], NAMES), { isPageOnly: true })
})

t.test('what is wrong is said', async (t) => {
  t.match(readArguments(['proof'], NAMES), { problem: 'there is no scenario proof: choose of proven, soak' })
  for (const wrong of ['0', '-1', '1.5', 'x', ''])
    t.match(readArguments([`--rounds=${wrong}`], NAMES), { problem: /^--rounds is a/ })
  t.match(readArguments(['--round', '3'], NAMES), { problem: /--round/ })
})

t.test('--help wins over what is wrong, and names every scenario', async (t) => {
  t.equal(readArguments(['--help', 'proof'], NAMES), 'help')
  const names = scenariosOf(5).map(({ name }) => name)
  t.equal(new Set(names).size, names.length, 'each name is used once')
  for (const name of names) t.match(usage(names), name)
})
