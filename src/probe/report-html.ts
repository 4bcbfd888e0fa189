// The report for an auditor: one page that needs nothing but itself, to be sent on, printed and kept. Whatever a server answered is
// text in it: `html` escapes every value that is not markup already.

import { type Finding, type Report, SEVERITIES, TOPICS, VERDICTS, type Verdict } from './attack.js'
import { consequenceOf, STAKES } from './consequences.js'
import { type Counts, plural, problemsOf, type Summary, sentencesOf, summaryOf, type Tool, topicsOf } from './report-json.js'
import { brief, legible, secondsOf, unfolded, VERDICT_WORDS, whenOf } from './report-table.js'

type Html = { readonly markup: string }
type Value = string | number | Html | readonly Html[]

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

const markupOf = (value: Value): string => {
  if (typeof value === 'number') return String(value)
  if (typeof value === 'string') return legible(value).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
  return 'markup' in value ? value.markup : value.map(({ markup }) => markup).join('')
}

const html = (texts: TemplateStringsArray, ...values: readonly Value[]): Html => ({
  markup: texts.map((text, i) => (i === 0 ? text : markupOf(values[i - 1] ?? '') + text)).join(''),
})
const NOTHING = html``

export function htmlOf(report: Report, tool: Tool): string {
  const summary = summaryOf(report)
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>holdfast probe: ${report.url}, ${report.startedAt.slice(0, 10)}</title>
<style>${{ markup: STYLE }}</style>
</head>
<body>
${headOf(report, summary, tool)}
<main>
${countsTable(summary)}
${findingsOf(report)}
${unclearOf(report)}
${heldOf(report)}
${skippedOf(summary)}
${KEY}
</main>
<footer>Made by holdfast probe ${tool.version}. Whole requests and answers are in its JSON report (<code>--json</code>).</footer>
</body>
</html>
`.markup
}

function headOf(report: Report, { counts }: Summary, { version }: Tool): Html {
  const [result, ...others] = sentencesOf(report)
  const problems = counts.through + counts.wrong + counts.broke
  const mood = problems > 0 ? 'bad' : counts.held === 0 || counts.unclear > 0 ? 'unsure' : 'good'
  return html`<header>
<p class="tool">holdfast probe ${version}: report of an attack on a resource server</p>
<h1><span class="method">${report.method}</span> ${report.url}</h1>
<p class="result ${mood}"><strong>${result}</strong>${others.map((sentence) => html`<br>${sentence}`)}</p>
<dl class="facts">
<div><dt>Where</dt><dd>${report.address}, ${report.transport}</dd></div>
<div><dt>Token bound to</dt><dd>${report.binding === '' ? 'nothing' : report.binding}</dd></div>
<div><dt>When</dt><dd><time datetime="${report.startedAt}">${whenOf(report)}</time>, for ${secondsOf(report)}&nbsp;s</dd></div>
<div><dt>Requests sent</dt><dd>${report.requests.toLocaleString('en')}</dd></div>
</dl>
<p class="how">The right request was granted first. Then one thing was changed at a time, and the right request was sent again in
between: where it was refused too, a refusal proves nothing and is reported as unclear. Proofs are shown decoded; access tokens and
signatures are cut short, so that nothing in this report can be used to call the server.</p>
</header>`
}

const number = (count: number, name = ''): Html =>
  html`<td class="number${count > 0 && name !== '' ? ` ${name}` : ''}">${count === 0 ? html`<span class="zero">0</span>` : count}</td>`

function countsTable({ topics, counts }: Summary): Html {
  const cells = (of: Counts): readonly Html[] => [number(of.attacks), ...VERDICTS.map((verdict) => number(of[verdict], verdict))]
  const rows = topics.map(({ topic, title, counts: ours }) => {
    const name = ours.held > 0 ? html`<a href="#held-${topic}">${title}</a>` : html`${title}`
    return html`<tr><th scope="row">${name}</th>${cells(ours)}</tr>\n`
  })
  return html`<section aria-labelledby="summary">
<h2 id="summary">Summary</h2>
<div class="wide"><table class="counts">
<caption>Attacks by topic, and what became of them</caption>
<thead><tr><th scope="col">Topic</th><th scope="col" class="number">attacks</th>${VERDICTS.map((verdict) => html`<th scope="col" class="number">${verdict}</th>`)}</tr></thead>
<tbody>
${rows}</tbody>
<tfoot><tr><th scope="row">All</th>${cells(counts)}</tr></tfoot>
</table></div>
</section>`
}

function findingsOf({ findings }: Report): Html {
  const problems = problemsOf(findings)
  if (problems.length === 0) return NOTHING
  const index = problems.map(
    ({ attack }) =>
      html`<li>${badge(attack.severity)} <a href="#${attack.id}">${attack.title}</a> <span class="count">${TOPICS[attack.topic]}</span></li>\n`,
  )
  return html`<section aria-labelledby="findings">
<h2 id="findings">What needs mending</h2>
${problems.length > 3 ? html`<ol class="index">\n${index}</ol>` : NOTHING}
${problems.map(articleOf)}
</section>`
}

const badge = (severity: string): Html => html`<span class="badge ${severity}">${severity}</span>`

const articleOf = ({ attack, outcome }: Finding): Html => html`<article id="${attack.id}">
<h3>${badge(attack.severity)} ${attack.title}</h3>
<p class="id"><code>${attack.id}</code>, ${TOPICS[attack.topic]}</p>
<p class="why">${consequenceOf(attack, outcome.verdict)}</p>
<dl>
<dt>Expected</dt><dd>${attack.expected}, by ${specOf(attack.spec)}</dd>
<dt>What came</dt><dd><strong>${VERDICT_WORDS[outcome.verdict]}:</strong> <code>${outcome.came}</code></dd>
<dt>What was sent</dt><dd><pre>${unfolded(outcome.sent)}</pre></dd>
</dl>
</article>
`

function unclearOf({ findings }: Report): Html {
  const unclear = findings.filter(({ outcome }) => outcome.verdict === 'unclear')
  if (unclear.length === 0) return NOTHING
  return html`<section aria-labelledby="unclear">
<h2 id="unclear">What came out unclear</h2>
<p>${unclear.length === 1 ? 'This one proves' : `These ${unclear.length} prove`} nothing, neither way. The reason is usually a rate limit or an overloaded server: try again with a lower <code>--rate</code>.</p>
${attacksTable(unclear, 'Attacks without a clear outcome')}
</section>`
}

function heldOf({ findings }: Report): Html {
  const held = findings.filter(({ outcome }) => outcome.verdict === 'held')
  if (held.length === 0) return NOTHING
  return html`<section aria-labelledby="held">
<h2 id="held">What held</h2>
${topicsOf(held).map((topic) => {
  const ours = held.filter(({ attack }) => attack.topic === topic)
  return html`<details id="held-${topic}">
<summary><h3>${TOPICS[topic]}</h3> <span class="count">${ours.length}</span></summary>
<p>${STAKES[topic]}</p>
${attacksTable(ours, `${TOPICS[topic]}: ${plural(ours.length, 'attack')} that held`)}
</details>
`
})}</section>`
}

const attacksTable = (findings: readonly Finding[], caption: string): Html => html`<div class="wide"><table class="attacks">
<caption class="unseen">${caption}</caption>
<thead><tr><th scope="col">Attack</th><th scope="col">Expected</th><th scope="col">What came</th><th scope="col">Specification</th></tr></thead>
<tbody>
${findings.map(
  ({ attack, outcome }) =>
    html`<tr><th scope="row">${attack.title}<br><code>${attack.id}</code></th><td>${attack.expected}</td><td><code>${shorten(outcome.verdict === 'held' ? brief(outcome.came) : outcome.came, 300)}</code></td><td class="spec">${specOf(attack.spec)}</td></tr>\n`,
)}</tbody>
</table></div>`

function skippedOf({ skipped, counts }: Summary): Html {
  if (skipped.length === 0) return NOTHING
  const rows = skipped.map(
    ({ why, ids }) =>
      html`<tr><th scope="row">${why}</th>${number(ids.length)}<td class="ids">${ids.map((id) => html`<code>${id}</code> `)}</td></tr>\n`,
  )
  return html`<section aria-labelledby="skipped">
<h2 id="skipped">What was not tried</h2>
<p>${plural(counts.skipped, 'attack')} could not be made or did not apply. Nothing is known of ${counts.skipped === 1 ? 'it' : 'them'}.</p>
<div class="wide"><table class="reasons">
<caption class="unseen">Attacks that were skipped, by reason</caption>
<thead><tr><th scope="col">Reason</th><th scope="col" class="number">attacks</th><th scope="col">Which</th></tr></thead>
<tbody>
${rows}</tbody>
</table></div>
</section>`
}

const MEANING: Readonly<Record<Verdict, string>> = {
  held: 'The server did what it must: it refused the attack, or granted what is odd and right.',
  through: 'It granted what it must refuse.',
  wrong: 'It refused what it must grant, or its answer says what it must not.',
  broke: 'It answered 500, 502 or 504, or dropped the connection.',
  unclear: 'It was overloaded or rate limited, or it also refused the right request: nothing is proven.',
  skipped: 'The attack was not made; the reason stands in this report.',
}
const WEIGHT = {
  critical: 'A stolen token works.',
  high: 'One check of several is missing.',
  medium: 'Needs more luck, or breaks something.',
  low: 'Untidy.',
} as const

const KEY = html`<section aria-labelledby="key" class="key">
<h2 id="key">How to read this</h2>
<dl>
${VERDICTS.map((verdict) => html`<dt>${verdict}</dt><dd>${MEANING[verdict]}</dd>\n`)}</dl>
<dl>
${SEVERITIES.map((severity) => html`<dt>${badge(severity)}</dt><dd>${WEIGHT[severity]}</dd>\n`)}</dl>
</section>`

/** Where each of the texts can be read: `RFC 9449 §4.3 (9), CWE-436`. */
function specOf(spec: string): readonly Html[] {
  return spec.split(', ').map((text, i) => {
    const url = urlOf(text)
    return html`${i === 0 ? '' : ', '}${url === null ? html`${text}` : html`<a href="${url}">${text}</a>`}`
  })
}

function urlOf(text: string): string | null {
  const [, rfc, section] = /^RFC (\d+)(?: §([\d.]*\d))?/.exec(text) ?? []
  if (rfc !== undefined) return `https://www.rfc-editor.org/rfc/rfc${rfc}${section === undefined ? '' : `#section-${section}`}`
  const [, fapi] = /^FAPI 2\.0 §([\d.]*\d)/.exec(text) ?? []
  if (fapi !== undefined) return `https://openid.net/specs/fapi-security-profile-2_0-final.html#section-${fapi}`
  const [, weakness] = /^CWE-(\d+)$/.exec(text) ?? []
  if (weakness !== undefined) return `https://cwe.mitre.org/data/definitions/${weakness}.html`
  return /^CVE-\d+-\d+$/.test(text) ? `https://www.cve.org/CVERecord?id=${text}` : null
}

const shorten = (text: string, length: number): string => (text.length <= length ? text : `${text.slice(0, length - 3)}...`)

const STYLE = `
:root { --paper: #fff; --ink: #1d2126; --soft: #575e67; --line: #dfe2e6; --faint: #f5f6f8; --link: #0b57a4;
  --good: #14643a; --good-paper: #eaf5ee; --bad: #9c1c1c; --bad-paper: #fcefee; --unsure: #75500a; --unsure-paper: #fbf4e2 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181c; --ink: #e4e7ea; --soft: #a3abb5; --line: #30363d; --faint: #1d2126; --link: #82b7f0;
    --good: #8bd3a8; --good-paper: #16291e; --bad: #f5a3a0; --bad-paper: #331a1a; --unsure: #e6c57c; --unsure-paper: #2e2612 }
}
* { box-sizing: border-box }
html { color-scheme: light dark; -webkit-text-size-adjust: 100% }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
a { color: var(--link); text-decoration: underline 1px var(--line); text-underline-offset: .2em }
a:hover { text-decoration-color: currentColor }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 2px }
code, pre, h1 { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace }
code { font-size: .85em; overflow-wrap: anywhere }
p { margin: .5rem 0; max-width: 46rem }
h1 { margin: .25rem 0 1.25rem; font-size: 1.35rem; line-height: 1.35; font-weight: 600; overflow-wrap: anywhere }
h1 .method { color: var(--soft); font-weight: 400 }
h2 { margin: 3rem 0 .75rem; font-size: 1.25rem; line-height: 1.3 }
h3 { margin: 0; font-size: 1rem; line-height: 1.4 }
.tool, .how, footer, caption, .id, .count { color: var(--soft); font-size: .875rem }
.result { max-width: none; margin: 0 0 1.5rem; padding: .9rem 1.1rem; border-left: 4px solid; border-radius: 0 4px 4px 0;
  line-height: 1.5 }
.result strong { font-size: 1.2rem; line-height: 1.4; font-weight: 600 }
.good { color: var(--good); background: var(--good-paper) }
.bad { color: var(--bad); background: var(--bad-paper) }
.unsure { color: var(--unsure); background: var(--unsure-paper) }
dl, dd { margin: 0 }
dt { color: var(--soft); font-size: .875rem }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1rem 1.5rem; margin: 0 0 1.25rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
caption { text-align: left; padding-bottom: .5rem }
th, td { padding: .4rem .6rem .4rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; font-weight: 400 }
thead th, tfoot th, tfoot td { color: var(--soft); font-size: .8rem; font-weight: 600 }
tbody th code { color: var(--soft) }
.number { text-align: right; padding-left: .6rem; font-variant-numeric: tabular-nums }
.zero { color: var(--soft) }
td.through, td.wrong, td.broke { color: var(--bad); font-weight: 700 }
td.unclear { color: var(--unsure); font-weight: 700 }
.spec { white-space: nowrap }
.attacks th:first-child { width: 32% }
.reasons th:first-child { width: 36% }
.reasons .number { padding-right: 1.25rem }
.ids { font-size: .8rem }
.ids code { white-space: nowrap }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
.badge { display: inline-block; min-width: 5.6em; padding: .1em .5em; border-radius: 3px; color: #fff; font-size: .75rem; font-weight: 600;
  line-height: 1.5; text-align: center; vertical-align: .1em }
.critical { background: #9c1c1c } .high { background: #a8480a } .medium { background: #7a5a08 } .low { background: #56606b }
.index { margin: 0 0 1.75rem; padding: 0; list-style: none }
.index li { padding: .2rem 0 }
article { margin: 0 0 1.25rem; padding: 1rem 1.2rem 1.1rem; border: 1px solid var(--line); border-radius: 6px }
article p { margin: .25rem 0 0 }
article .why { margin: .6rem 0 .9rem }
article dl { display: grid; grid-template-columns: 7.5rem minmax(0, 1fr); gap: .45rem 1rem }
article dt { padding-top: .1rem }
pre { margin: 0; padding: .7rem .85rem; background: var(--faint); border-radius: 4px; font-size: .8rem; line-height: 1.5; white-space: pre-wrap;
  word-break: break-all }
details { border-bottom: 1px solid var(--line) }
details[open] { padding-bottom: 1.5rem }
summary { padding: .6rem 0; cursor: pointer }
summary h3 { display: inline; font-weight: 500 }
.key dl { display: grid; grid-template-columns: 6.5rem minmax(0, 1fr); gap: .35rem 1rem; margin: 0 0 1.25rem; font-size: .9rem }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line) }
@media (max-width: 40rem) { body { padding: 1.5rem 1rem 3rem } article dl { grid-template-columns: minmax(0, 1fr); gap: .15rem }
  article dd { margin-bottom: .5rem } }
@page { size: A4; margin: 16mm 15mm }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --line: #ccc; --faint: #f4f4f4; --link: #000; --good: #14643a; --good-paper: #eaf5ee;
    --bad: #9c1c1c; --bad-paper: #fcefee; --unsure: #75500a; --unsure-paper: #fbf4e2 }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  html { font-size: 9pt }
  body { padding: 0; max-width: none }
  a { text-decoration: none }
  h2 { margin-top: 1.75rem } h2, h3, thead, summary { break-after: avoid }
  tr, .result, .facts { break-inside: avoid }
  article { break-inside: avoid }
  .wide { overflow: visible }
  .spec, .ids code { white-space: normal }
  details::details-content { content-visibility: visible; height: auto; opacity: 1 }
  summary { list-style: none }
}
`
