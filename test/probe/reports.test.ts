// Do the reports of a probe say what came of it, worst first, in lines that fit, and can nothing that a server answers get out of its
// place in them?
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { type Finding, type Report, SEVERITIES, TOPICS, VERDICTS } from '../../src/probe/attack.js'
import { CATALOGUE } from '../../src/probe/catalogue.js'
import { consequenceOf } from '../../src/probe/consequences.js'
import { htmlOf } from '../../src/probe/report-html.js'
import { jsonOf, summaryOf } from '../../src/probe/report-json.js'
import { junitOf } from '../../src/probe/report-junit.js'
import { brief, listOf, tableOf } from '../../src/probe/report-table.js'
import { BAD, EVERYWHERE, finding, GOOD, NO_SECOND, reportOf, TOOL, UNSEEN } from './findings.js'

const table = (report: Report, columns = 100, isVerbose = false): readonly string[] => tableOf(report, { columns, isVerbose })
const indexOf = (lines: readonly string[], text: string): number => lines.findIndex((line) => line.includes(text))

t.test('the last line says the result plainly', async (t) => {
  const last = (...findings: readonly Finding[]) => table(reportOf(...findings)).at(-1)
  const held = [finding('proof-no-typ', 'held'), finding('proof-no-jwk', 'held')]
  t.equal(last(...held), 'Nothing got through: 2 attacks held.')
  t.equal(table(GOOD).at(-1), 'Nothing got through: 2 attacks held, 1 skipped.')
  t.equal(last(...held, finding('time-old-600', 'unclear')), 'Nothing got through: 2 attacks held, 1 unclear.')
  t.equal(last(finding('proof-no-typ', 'through'), ...held), '1 of 3 got through: 1 high.')
  t.equal(
    last(finding('proof-no-typ', 'skipped'), finding('time-old-600', 'unclear')),
    'Nothing is proven: 1 unclear, 1 skipped.',
  )
  t.equal(last(finding('proof-no-typ', 'skipped')), 'Nothing is proven: 1 skipped.')
  t.equal(
    last(...held, finding('proof-no-alg', 'broke'), finding('time-fast-clock', 'wrong', { severity: 'low' })),
    'Nothing got through, but 1 was answered wrongly: 1 low; 1 broke the server: 1 high.',
  )
  t.same(table(BAD).slice(-4), [
    '2 were answered wrongly: 1 medium, 1 low.',
    '1 broke the server: 1 high.',
    '1 came out unclear.',
    '2 of 7 got through: 1 critical, 1 high.',
  ])
})

t.test('the table says what was attacked, what is wrong, and how much there was of everything', async (t) => {
  t.same(
    table(
      reportOf(finding('binding-stolen-token', 'through', { severity: 'critical', title: 'a stolen token' }), ...GOOD.findings),
    ),
    [
      'attacked  GET https://api.example.com/v1/payments?a=1&b=2',
      'at        203.0.113.7, TLSv1.3, http/1.1 and h2',
      'binding   DPoP',
      'sent      1484 requests in 12 s, from 2026-03-01 10:20:30 UTC',
      '',
      '1.  CRITICAL  binding-stolen-token  got through',
      '    attack    a stolen token',
      '    expected  refused  (RFC 9449 §4.3 (9))',
      '    came      200 {"ok":true}',
      '    sent      GET /v1/payments',
      '              Host: api.example.com',
      '    why       Whoever has a copy of the token can use it, from any machine: what it is bound to',
      '              protects nothing.',
      '',
      '                                      attacks  held  through  skipped',
      'The proof as a JWT                          2     2        -        -',
      'Proof, token and key belong together        2     -        1        1',
      'all                                         4     2        1        1',
      '',
      'skipped:',
      '   1  there is no second client (--second)',
      '',
      '1 of 3 got through: 1 critical.',
    ],
  )
})

t.test('problems stand worst first, and of one severity what got through first', async (t) => {
  const ids = ['binding-stolen-token', 'target-htu-case', 'proof-no-htu', 'challenge-echo-htu', 'replay-honest-parallel']
  t.same(summaryOf(BAD).problems, ids)
  const lines = table(BAD)
  const at = ids.map((id) => indexOf(lines, id))
  t.same(
    at,
    at.toSorted((a, b) => a - b),
  )
  t.ok(at.every((line) => line > 0))
  const page = htmlOf(BAD, TOOL)
  const articles = [...page.matchAll(/<article id="([\w-]+)"/g)].map(([, id]) => id)
  t.same(articles, ids)
})

t.test('reasons for skipping stand once, with how many', async (t) => {
  const lines = table(BAD)
  t.same(lines.slice(indexOf(lines, 'skipped:'), indexOf(lines, 'skipped:') + 3), [
    'skipped:',
    '   2  there is no second client (--second)',
    '   1  the right request has no body (--data)',
  ])
})

t.test('no line is longer than the terminal is wide', async (t) => {
  const long = finding('proof-no-ath', 'through', {
    title: 'a title of many words '.repeat(20),
    sent: `GET /${'x'.repeat(400)}\nDPoP: {"a":1}.{"jti":"${'y'.repeat(700)}"}.(signature of 86 characters)\n${'X-Name: value\n'.repeat(60)}`,
    came: `401 ${'z'.repeat(2000)}`,
    spec: 'RFC 9440 §2.4, CWE-290',
  })
  const report = reportOf(long, ...BAD.findings)
  for (const columns of [40, 79, 80, 120, 200]) {
    for (const isVerbose of [false, true]) {
      const lines = table(report, columns, isVerbose)
      t.same(
        lines.filter((line) => line.length > columns),
        [],
        `${columns} columns`,
      )
      t.same(
        lines.filter((line) => line !== line.trimEnd()),
        [],
        'and none ends in spaces',
      )
    }
    t.same(
      listOf(CATALOGUE, columns).filter((line) => line.length > columns),
      [],
      `the list, ${columns} columns`,
    )
  }
  t.ok(table(report, 80).length < 140, 'long requests are cut')
  t.match(table(report, 80).join('\n'), /\.\.\. \(\d+ more lines; --json has them\)/)
  t.ok(table(report, 3).length > 0, 'a terminal that says it is narrower than any is not believed')
})

t.test('--verbose shows every attack in one line', async (t) => {
  const lines = table(BAD, 120, true)
  for (const { attack, outcome } of BAD.findings) {
    const its = lines.filter((line) => line.startsWith(`${outcome.verdict.padEnd(8)} ${attack.id} `))
    t.equal(its.length, 1, attack.id)
    t.ok(its[0]?.includes(attack.title))
  }
  t.equal(lines.length, table(BAD, 120).length + BAD.findings.length + 1)
  t.equal(
    brief('401 DPoP error="invalid_token", algs="ES256 PS256", resource_metadata="https://api.example.com/x... (90 characters)'),
    '401 DPoP error="invalid_token"',
  )
})

t.test('the list has every attack once, by topic, and their number at the end', async (t) => {
  for (const columns of [80, 120]) {
    const lines = listOf(CATALOGUE, columns)
    const ids = lines.flatMap((line) => /^ {2}([a-z][\w-]*?) +(?:critical|high|medium|low)\b/.exec(line)?.[1] ?? [])
    t.same(ids.toSorted(), CATALOGUE.map(({ id }) => id).toSorted(), `${columns} columns`)
    t.equal(new Set(ids).size, CATALOGUE.length)
    const topics = new Set(CATALOGUE.map(({ topic }) => topic))
    t.equal(lines.at(-1), `${CATALOGUE.length} attacks in ${topics.size} topics`)
    for (const topic of topics) t.ok(lines.some((line) => line.startsWith(`${topic}: ${TOPICS[topic].slice(0, 20)}`)))
  }
})

t.test('why it matters is said of every attack that there is, in one sentence', async (t) => {
  for (const attack of CATALOGUE) {
    for (const verdict of VERDICTS) {
      const sentence = consequenceOf(attack, verdict)
      if (['held', 'unclear', 'skipped'].includes(verdict)) t.equal(sentence, '')
      else t.match(sentence, /^[A-Z].{20,190}[.]$/, `${attack.id} ${verdict}`)
    }
    t.not(
      consequenceOf(attack, 'through'),
      'What must be refused is granted.',
      `${attack.id} has a sentence of its own or of its topic`,
    )
  }
  t.match(
    consequenceOf({ id: 'binding-stolen-token', severity: 'critical' }, 'through'),
    /^Whoever has a copy of the token can use it/,
  )
  t.match(consequenceOf({ id: 'downgrade-none', severity: 'critical' }, 'through'), /^Nobody needs a valid token/)
  t.match(consequenceOf({ id: 'token-alg-none', severity: 'critical' }, 'through'), /^Anyone can make tokens/)
  t.match(consequenceOf({ id: 'algorithm-jwk-d-empty', severity: 'medium' }, 'through'), /private key/)
  t.match(consequenceOf({ id: 'replay-same', severity: 'critical' }, 'through'), /^A captured request can be sent again/)
})

t.test('JSON has the report as it is, and its sum', async (t) => {
  const parsed = JSON.parse(jsonOf(BAD, TOOL)) as Record<string, unknown>
  const { format, tool, summary, ...report } = parsed
  t.equal(format, 1)
  t.same(tool, { name: 'holdfast probe', version: '1.2.3' })
  t.same(report, BAD)
  t.match(summary, {
    result: /^2 of 7 got through: 1 critical, 1 high\. 2 were/,
    counts: { attacks: 10, held: 1, through: 2, wrong: 2, broke: 1, unclear: 1, skipped: 3 },
    severities: { critical: 1, high: 2, medium: 1, low: 1 },
    topics: [
      { topic: 'downgrade' },
      { topic: 'proof' },
      { topic: 'target' },
      { topic: 'binding' },
      { topic: 'replay' },
      { topic: 'challenge' },
    ],
    skipped: [{ why: NO_SECOND.came, ids: ['binding-second-token', 'binding-second-proof'] }, { ids: ['replay-body'] }],
  })
})

const hasPython = ((): boolean => {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()
const PARSE = `
import sys, json, xml.etree.ElementTree as tree
def plain(e): return {"tag": e.tag, "of": e.attrib, "text": e.text or "", "in": [plain(c) for c in e]}
print(json.dumps(plain(tree.fromstring(sys.stdin.buffer.read()))))`
type Element = {
  readonly tag: string
  readonly of: Record<string, string>
  readonly text: string
  readonly in: readonly Element[]
}
const parseXml = (xml: string): Element =>
  JSON.parse(execFileSync('python3', ['-c', PARSE], { input: xml }).toString()) as Element

t.test('JUnit is XML that a parser reads', { skip: hasPython ? false : 'python3 is not here' }, async (t) => {
  const root = parseXml(junitOf(BAD, TOOL))
  t.match(root, { tag: 'testsuites', of: { tests: '10', failures: '4', errors: '1', skipped: '4', time: '12.340' } })
  t.equal(root.in.length, 6, 'a suite for each topic')
  const sum = (name: string): number => root.in.reduce((all, suite) => all + Number(suite.of[name]), 0)
  t.same(['tests', 'failures', 'errors', 'skipped'].map(sum), [10, 4, 1, 4])
  for (const suite of root.in) {
    const [properties, ...cases] = suite.in
    const value = (name: string) => properties?.in.find(({ of }) => of.name === name)?.of.value
    t.same([value('url'), value('address'), value('tool')], [BAD.url, BAD.address, 'holdfast probe 1.2.3'])
    t.equal(cases.length, Number(suite.of.tests))
    for (const one of cases) t.match(one, { tag: 'testcase', of: { classname: /^holdfast\.probe\.\w+$/, time: '0.012' } })
  }
  const cases = root.in.flatMap((suite) => suite.in.slice(1))
  const result = (id: string) => cases.find(({ of }) => of.name?.startsWith(`${id}: `))?.in[0]
  t.equal(result('downgrade-bearer'), undefined)
  t.match(result('binding-stolen-token'), {
    tag: 'failure',
    of: { type: 'through.critical', message: 'critical: got through; expected: refused (RFC 9449 §4.3 (12b))' },
    text: /came: 200 .*\nwhy: Whoever has[^\n]*\nsent:\nGET \/v1\/payments\nHost: api\.example\.com$/,
  })
  t.match(result('replay-honest-parallel'), { tag: 'failure', of: { type: 'wrong.low' } })
  t.match(result('proof-no-htu'), { tag: 'error' })
  t.match(result('replay-body'), { tag: 'skipped', of: { message: 'the right request has no body (--data)' } })
  t.match(result('challenge-versions'), { tag: 'skipped', of: { message: 'unclear: 429' } })

  const hostile = parseXml(junitOf(EVERYWHERE, TOOL))
  const [suite] = hostile.in
  t.equal(suite?.in.length, 6, 'nothing gets out of its element')
  t.ok(suite?.in[1]?.in[0]?.text.includes('<script>alert(1)</script>'), 'markup is text')
  t.ok(suite?.in[1]?.of.name?.includes('"><img src=x onerror=alert(1)>'), 'and an attribute holds it')
  t.notMatch(junitOf(EVERYWHERE, TOOL), UNSEEN)
})

t.test('a terminal is not steered by what a server answers', async (t) => {
  for (const lines of [table(EVERYWHERE, 80, true), table(EVERYWHERE, 120)]) t.notMatch(lines.join('\n'), UNSEEN)
  t.ok(table(EVERYWHERE, 120).join('\n').includes('\\x1b[2J'), 'it is shown')
})

t.test('severities are counted in their order', async (t) => {
  const findings = SEVERITIES.toReversed().map((severity) => finding(`proof-${severity}`, 'through', { severity }))
  t.equal(table(reportOf(...findings)).at(-1), '4 of 4 got through: 1 critical, 1 high, 1 medium, 1 low.')
})
