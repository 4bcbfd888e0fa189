// Findings and reports to be written: one clean, one with a finding of every kind, and some in which everything is hostile.
import type { Finding, Report, Severity, Topic, Verdict } from '../../src/probe/attack.js'

export const TOOL = { version: '1.2.3' }

type Words = {
  readonly severity?: Severity
  readonly sent?: string
  readonly came?: string
  readonly title?: string
  readonly expected?: string
  readonly spec?: string
}

export const finding = (id: string, verdict: Verdict, words: Words = {}): Finding => {
  const { severity = 'high', title = `title of ${id}`, expected = 'refused', spec = 'RFC 9449 §4.3 (9)' } = words
  const { sent = 'GET /v1/payments\nHost: api.example.com', came = verdict === 'through' ? '200 {"ok":true}' : '401 DPoP' } =
    words
  const topic = id.split('-')[0] as Topic
  return {
    attack: { id, topic, title, spec, severity, expected, needs: [] },
    outcome: { verdict, sent: verdict === 'skipped' ? '' : sent, came },
    milliseconds: 12,
  }
}

export const reportOf = (...findings: readonly Finding[]): Report => ({
  url: 'https://api.example.com/v1/payments?a=1&b=2',
  method: 'GET',
  address: '203.0.113.7',
  transport: 'TLSv1.3, http/1.1 and h2',
  binding: 'DPoP',
  startedAt: '2026-03-01T10:20:30.456Z',
  seconds: 12.34,
  requests: 1484,
  findings,
})

export const NO_SECOND = { came: 'there is no second client (--second)' }
export const BAD = reportOf(
  finding('downgrade-bearer', 'held', { severity: 'critical' }),
  finding('proof-no-htu', 'broke', { came: '502 Bad Gateway' }),
  finding('target-htu-case', 'through'),
  finding('binding-stolen-token', 'through', { severity: 'critical', spec: 'RFC 9449 §4.3 (12b)' }),
  finding('binding-second-token', 'skipped', NO_SECOND),
  finding('binding-second-proof', 'skipped', NO_SECOND),
  finding('replay-body', 'skipped', { came: 'the right request has no body (--data)' }),
  finding('replay-honest-parallel', 'wrong', { severity: 'low', expected: '20 of 20 granted', came: '19 of 20 granted' }),
  finding('challenge-echo-htu', 'wrong', { severity: 'medium', spec: 'CWE-113, CWE-79' }),
  finding('challenge-versions', 'unclear', { severity: 'low', came: '429' }),
)
export const GOOD = reportOf(
  finding('proof-no-typ', 'held'),
  finding('proof-no-jwk', 'held'),
  finding('binding-second-token', 'skipped', NO_SECOND),
)

/** What a hostile server may answer, and a hostile name may hold. */
const HOSTILE = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "' onmouseover='alert(1)",
  '</pre></style><style>*{display:none}</style>',
  ']]></failure><!-- & &lt; &#0;',
  '\u001b[2J\u001b]0;owned\u0007\r\b',
  '\u202egnp.exe\u200b\u2066',
  '\u0000\ufffe\uffff\ud800',
].join(' ')
export const ATTACKED = reportOf(
  finding('proof-no-typ', 'through', {
    title: HOSTILE,
    sent: `GET /\n${HOSTILE}`,
    came: HOSTILE,
    expected: HOSTILE,
    spec: HOSTILE,
  }),
  finding('proof-no-alg', 'broke', { came: HOSTILE, sent: HOSTILE }),
  finding('proof-no-jwk', 'held', { title: HOSTILE, came: HOSTILE, spec: HOSTILE }),
  finding('proof-no-jti', 'unclear', { came: HOSTILE }),
  finding('proof-no-htm', 'skipped', { came: HOSTILE }),
)
export const EVERYWHERE: Report = {
  ...ATTACKED,
  url: HOSTILE,
  method: HOSTILE,
  address: HOSTILE,
  transport: HOSTILE,
  binding: HOSTILE,
}
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
export const UNSEEN = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff]|\p{Cs}/u
