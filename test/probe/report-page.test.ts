// Is the HTML report a page of its own that can be sent on: whole, well-formed, reachable without a mouse or colours, and deaf to
// whatever markup a server answers?
import t from 'tap'
import { CATALOGUE } from '../../src/probe/catalogue.js'
import { htmlOf } from '../../src/probe/report-html.js'
import { ATTACKED, BAD, EVERYWHERE, finding, GOOD, reportOf, TOOL, UNSEEN } from './findings.js'

const VOID = new Set(['meta', 'br'])

/** Elements that are open where another ends: none, when the page is well-formed. */
function misnested(page: string): readonly string[] {
  const open: string[] = []
  const wrong: string[] = []
  for (const [, end = '', name = ''] of page.replace(/<style>[^<]*<\/style>/, '').matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*>/g)) {
    if (VOID.has(name)) continue
    if (end === '') open.push(name)
    else if (open.pop() !== name) wrong.push(name)
  }
  return [...wrong, ...open]
}

for (const [name, report] of Object.entries({ BAD, GOOD, ATTACKED, EVERYWHERE })) {
  t.test(`the page stands alone and is well-formed: ${name}`, async (t) => {
    const page = htmlOf(report, TOOL)
    t.same(misnested(page), [])
    const tags = new Set([...page.matchAll(/<([a-z][a-z0-9]*)\b/g)].map(([, tag]) => tag))
    for (const tag of ['script', 'link', 'img', 'iframe', 'object', 'embed', 'form', 'base', 'svg'])
      t.notOk(tags.has(tag), `no <${tag}>`)
    t.match(page, /<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline';/)
    const style = /<style>([^<]*)<\/style>/.exec(page)?.[1] ?? ''
    t.ok(style.includes('prefers-color-scheme: dark') && style.includes('@media print') && style.includes('A4'))
    t.notMatch(style, /url\(|@import|expression|https?:/)
    const attributes = [...page.matchAll(/<[a-z][a-z0-9]*((?: [\w-]+="[^"]*")*)>/g)].flatMap(([, text = '']) => [
      ...text.matchAll(/ ([\w-]+)="/g),
    ])
    const known = [
      'lang',
      'charset',
      'http-equiv',
      'content',
      'name',
      'class',
      'id',
      'href',
      'scope',
      'datetime',
      'aria-labelledby',
    ]
    t.same(
      [...new Set(attributes.map(([, one]) => one))].filter((one) => !known.includes(one ?? '')),
      [],
    )
    const ids = [...page.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id)
    t.equal(new Set(ids).size, ids.length, 'ids are unique')
    for (const [, href = ''] of page.matchAll(/ href="([^"]*)"/g)) {
      if (href.startsWith('#')) t.ok(ids.includes(href.slice(1)), `${href} leads somewhere`)
      else t.match(href, /^https:\/\/(?:www\.rfc-editor\.org|openid\.net|cwe\.mitre\.org|www\.cve\.org)\/[\w./?=#-]+$/)
    }
    t.match(page, /^<!doctype html>\n<html lang="en">/)
    t.equal(page.split('<h1>').length, 2, 'one h1')
    t.equal((page.match(/<table/g) ?? []).length, (page.match(/<caption/g) ?? []).length, 'every table has a caption')
    const levels = [...page.matchAll(/<h([1-6])\b/g)].map(([, level]) => Number(level))
    t.ok(
      levels.every((level, i) => i === 0 || level <= (levels[i - 1] ?? 0) + 1),
      'no level of headings is left out',
    )
    for (const { attack } of report.findings) t.ok(page.includes(attack.id), attack.id)
    t.notMatch(page.replaceAll('\n', ' '), UNSEEN)
  })
}

t.test('everything hostile is text in the page', async (t) => {
  const page = htmlOf(EVERYWHERE, TOOL)
  t.ok(page.includes('&lt;script&gt;alert(1)&lt;/script&gt;'))
  t.notMatch(page, /<script|<img|onerror=[^&]*>|<style>\*/)
  t.notMatch(page, /<[a-z][^>]* on\w+=/, 'no handler in a tag')
  t.ok(page.includes('\\x1b[2J') && page.includes('\\x202e'), 'what cannot be seen is shown')
})

t.test('the page says what, where, when, how, and how bad', async (t) => {
  const bad = htmlOf(BAD, TOOL)
  for (const text of [
    'https://api.example.com/v1/payments?a=1&amp;b=2',
    '203.0.113.7, TLSv1.3, http/1.1 and h2',
    '2026-03-01 10:20:30 UTC',
    'holdfast probe 1.2.3',
    '1,484',
    '<strong>2 of 7 got through: 1 critical, 1 high.</strong>',
    'access tokens and\nsignatures are cut short',
    '<a href="https://www.rfc-editor.org/rfc/rfc9449#section-4.3">RFC 9449 §4.3 (12b)</a>',
    '<a href="https://cwe.mitre.org/data/definitions/113.html">CWE-113</a>, <a href="https://cwe.mitre.org/data/definitions/79.html">CWE-79</a>',
    'Whoever has a copy of the token can use it',
  ])
    t.ok(bad.includes(text), text)
  t.match(bad, /class="result bad"/)
  t.match(htmlOf(GOOD, TOOL), /class="result good"/)
  t.match(htmlOf(reportOf(finding('proof-no-typ', 'unclear')), TOOL), /class="result unsure"/)
  t.notMatch(htmlOf(GOOD, TOOL), /id="findings"|id="unclear"/, 'nothing to mend: no such section')
  t.equal((htmlOf(GOOD, TOOL).match(/<details/g) ?? []).length, 1, 'what held is folded, by topic')
  const specs = htmlOf(
    reportOf(
      finding('time-slow-clock', 'held', { spec: 'FAPI 2.0 §5.3.2.1' }),
      finding('token-wrong', 'held', { spec: 'CVE-2026-29000' }),
    ),
    TOOL,
  )
  t.ok(specs.includes('href="https://openid.net/specs/fapi-security-profile-2_0-final.html#section-5.3.2.1"'))
  t.ok(specs.includes('href="https://www.cve.org/CVERecord?id=CVE-2026-29000"'))
  const whole = reportOf(...CATALOGUE.map(({ run: _, ...attack }) => ({ ...finding(attack.id, 'held'), attack })))
  const rows = htmlOf(whole, TOOL)
  t.equal(
    (rows.match(/<td class="spec"><a /g) ?? []).length,
    CATALOGUE.length,
    'every text that the catalogue names can be opened',
  )
})
