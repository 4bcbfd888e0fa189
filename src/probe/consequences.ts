// Why does a finding matter? One sentence for whoever decides whether to mend it, as data: of the rows of a verdict the first counts
// whose pattern fits the attack's id and whose severity, where it names one, is the attack's.

import type { Attack, Severity, Topic, Verdict } from './attack.js'

type Row = readonly [id: RegExp, severity: Severity | null, sentence: string]

const BEARER = 'Whoever has a copy of the token can use it, from any machine: what it is bound to protects nothing.'
const OPEN = 'Nobody needs a valid token here: the resource is open to everyone who can reach it.'
const FORGED = 'Anyone can make tokens of their own: any user, any scope, any client, without asking the authorization server.'
const SECOND_READING = 'Two components can each see another one of the two: one checks the first, the other acts on the second.'
const LEAKS = 'Tokens in this place end up in logs, histories and caches, and pass by what looks at Authorization alone.'

/** Granted, and it should not have been. */
const THROUGH: readonly Row[] = [
  [/^bypass-identity-/, null, 'Whoever reaches the backend is who a header says, without any gateway: any user, any client.'],
  [/^bypass-/, null, 'Whoever reaches the backend is served, without any gateway: token, proof and policy can be left out.'],
  [/^assertion-/, null, 'Anyone can make assertions of their own: any user, any scope, any tier, without any gateway.'],
  [/^purpose-again$/, null, 'Who sees one request can send it again until its assertion ends.'],
  [
    /^purpose-(?:audience|issuer|type)/,
    null,
    'What was made for another backend, or for another purpose, works here: who can read there can act here.',
  ],
  [/^purpose-(?:expired|no-end|ahead)/, null, 'An assertion that was seen once, in a log or a dump, works for ever.'],
  [
    /^purpose-/,
    null,
    'Who sees one request can make others of it: another method, another resource, another body, as the same user.',
  ],
  [/^downgrade-(?:none|none-head|proof-only|empty-authorization|scheme-only)$/, null, OPEN],
  [/^downgrade-(?:query|form|cookie|in-|proxy-)/, null, LEAKS],
  [/^downgrade-(?:twice|two-words)/, null, SECOND_READING],
  [
    /^downgrade-bearer-with-proof$/,
    null,
    'A bound token passes as a bearer token: the scheme is not looked at, so the next client without a proof may pass too.',
  ],
  [
    /^downgrade-(?:quoted|token-only)$/,
    null,
    'Credentials are read more loosely than HTTP defines them, so that what stands in front or behind may read something else.',
  ],
  [/^downgrade-/, null, BEARER],

  [/^proof-(?:twice|list)/, null, SECOND_READING],
  [
    /^proof-(?:no-ath|ath-)/,
    null,
    'A captured proof is not tied to one token: with the key, or a leaked proof, it works for any token of that client.',
  ],
  [
    /^proof-(?:no-jti|jti-)/,
    null,
    'A proof that cannot be recognised can be used again: replay protection has nothing to remember it by.',
  ],
  [
    /^proof-(?:no-iat|iat-)/,
    null,
    'A proof whose age is not known never grows old: made or captured once, it works until the key is changed.',
  ],
  [
    /^proof-(?:no-ht[mu]|ht[mu]-)/,
    null,
    'A proof made for one request works for others: reading what a captured proof allows turns into writing.',
  ],
  [
    /^proof-(?:no-typ|typ-)/,
    null,
    'Any JWT that this key ever signed can be passed off as a proof, such as a client assertion or a signed request.',
  ],
  [
    /^proof-(?:padding|spare-bits|standard-base64|inner-space|not-utf8|json-form)$/,
    null,
    'The same proof has several spellings that pass: what remembers or compares proofs by their text is passed by.',
  ],
  [/^proof-long$/, null, 'Work and memory for one request are for the caller to choose.'],
  [
    /^proof-(?:claims|header)-twice/,
    null,
    'Two parsers can read two different values of one member: one is checked, the other is acted on.',
  ],
  [/^proof-/, 'high', 'Something that is no complete proof passes as one: possession of the key is not shown.'],
  [/^proof-/, null, 'The proof is read more loosely than it is defined, and loose reading is what the next bypass is made of.'],

  [
    /^algorithm-key-/,
    null,
    'Keys and algorithms are taken that are weaker than the deployment promises; the weakest one decides how hard a forgery is.',
  ],
  [
    /^algorithm-jwk-(?:d|p|q|dp|dq|qi|oth|k)\b/,
    null,
    'Proofs that carry their private key pass: whoever sees one such proof, in a log for instance, has the key.',
  ],
  [/^algorithm-/, 'critical', 'A proof can be made without the private key: whoever has a copy of the token can use it.'],
  [
    /^algorithm-/,
    null,
    'Key and algorithm are not checked against each other as strictly as RFC 8725 asks, which is where key confusion begins.',
  ],

  [/^target-htm/, null, 'A proof made for one method works for another: a captured read becomes a write.'],
  [
    /^target-htu-(?:forwarded|original|x-)/,
    null,
    'Whoever sends the request says what its proof was made for: a proof captured at any other place works here.',
  ],
  [
    /^target-htu-(?:host|subdomain|suffix-host|port|other-origin|userinfo|http|relative|no-scheme)/,
    null,
    'A proof made for another server works here: a hostile or broken-into API can use what its clients send it.',
  ],
  [/^target-/, 'high', 'A proof made for one resource works for another: one captured proof opens more than it was made for.'],
  [
    /^target-/,
    null,
    'The target is compared more loosely than RFC 9449 allows: some proofs work for resources they were not made for.',
  ],

  [
    /^time-(?:no-)?nonce/,
    null,
    'Nonces are asked for and not insisted on: proofs can be made in advance and used later, which nonces are there to stop.',
  ],
  [
    /^time-(?:ahead|iat-milliseconds|nbf)/,
    null,
    'Proofs can be made in advance: an attacker with the key for a minute has working proofs for as long as they like.',
  ],
  [/^time-/, null, 'Old proofs work: whoever finds one, in a log or a capture, can use it long after it was made.'],

  [
    /^binding-ath/,
    null,
    'A proof is not tied to its token: a captured proof also works with other tokens, stolen ones among them.',
  ],
  [
    /^binding-second-token$/,
    null,
    "Any client's key opens any client's token: one honest client can use what it stole from another.",
  ],
  [/^binding-/, null, BEARER],

  [
    /^certificate-(?:in-|second-in-)/,
    null,
    'Certificates are public: whoever has the token and sends a copy of the certificate in a header passes, without its key.',
  ],
  [/^certificate-/, null, 'The token works without the certificate it is bound to: whoever has a copy of the token can use it.'],

  [
    /^token-(?:wrong|proof-as-token|random)$/,
    null,
    'Tokens are taken that were not issued for this: a token of another service, user or purpose works here.',
  ],
  [
    /^token-(?:json-form|four-parts|padding|upper)$/,
    null,
    'One token has several spellings that pass: revocation lists, caches and logs that go by its text miss it.',
  ],
  [/^token-long$/, null, 'Work and memory for one request are for the caller to choose.'],
  [/^token-/, null, FORGED],

  [
    /^replay-(?:mirrored|spare-bits|padded|comma|spaces)$/,
    null,
    'A captured request can be sent again with other bytes of the same proof: what is remembered is its text, not its jti.',
  ],
  [
    /^replay-resigned/,
    null,
    'The same jti passes twice: what is remembered is more than key and jti, so that a slight change makes a used proof new.',
  ],
  [
    /^replay-(?:behind-many|near-its-end)$/,
    null,
    'Used proofs are forgotten while they are still valid: an attacker waits, or sends enough others, and uses one again.',
  ],
  [/^replay-parallel$/, null, 'Copies that arrive at the same moment all pass: a captured payment is made twenty times.'],
  [/^replay-/, null, 'A captured request can be sent again: whoever sees one, in a log, a proxy or a capture, can repeat it.'],

  [
    /^path-/,
    null,
    'What guards the path and what serves it read it differently: rules for one path can be passed by spelling it otherwise.',
  ],

  [/^header-token-passed-on$/, null, 'Every backend, and everything it logs, has tokens that work elsewhere too.'],
  [
    /^header-method-/,
    null,
    'A proof made for one method can be turned into another behind the check: a captured read becomes a write.',
  ],
  [
    /^header-(?:identity|local|internal|subrequest|reroute)/,
    'critical',
    'Whoever sends this header is believed: callers choose who they are, or where they are let in, without any token.',
  ],
  [
    /^header-certificate-/,
    null,
    'Callers can tell the backend which client certificate they have: whoever knows a certificate can pass for its owner.',
  ],
  [
    /^header-connection-/,
    null,
    'Callers can have headers taken away behind the check, so that the backend judges another request than was checked.',
  ],
  [
    /^header-addressing-/,
    null,
    'Callers choose what the backend takes for host, scheme and address: links, redirects and rules by address follow them.',
  ],
  [/^header-/, 'critical', 'Whoever sends this header is believed: callers choose who they are.'],
  [/^header-/, null, 'Callers write into what the backend logs and traces as if the gateway had said it.'],

  [
    /^http2-(?:none|authorization|dpop|method-unknown|host-other-proof|authority-(?:other|twice)-proof|scheme-http-proof)|^framing-(?:.*-credentials|first-space|trailers|pipelined-behind|upgrade-|.*-proof|method-unknown|connect)/,
    null,
    'The server granted what HTTP calls malformed or meant for somebody else: what stands in front of it may have judged another request.',
  ],
  [
    /^(?:framing|http2)-/,
    null,
    'Two servers in a row can see two different ends of this request: a second one can be hidden in it, unchecked, or in front of the next user of the connection.',
  ],
  [/^challenge-/, null, 'What should have been refused was granted: the check behind this answer does not work.'],
]

/** Refused, and it should have been granted; or the answer says what it must not. */
const WRONG: readonly Row[] = [
  [/^challenge-algs$/, null, 'Clients are told to use algorithms that prove nothing.'],
  [
    /^challenge-echo-/,
    null,
    'What an attacker sends comes back in the answer: material for injected headers, scripts in error pages and forged log lines.',
  ],
  [/^challenge-inside-/, null, 'Errors tell of the inside: which library, which path, which address. Attackers read that first.'],
  [/^challenge-versions$/, null, 'The answer tells which version to look up known faults for.'],
  [/^challenge-no-store$/, null, "A shared cache may keep this answer and give its nonce or error to someone else's client."],
  [/^challenge-/, null, 'Honest clients cannot tell from this answer what to do better: they give up, or try again and again.'],
  [/^time-nonce-answer$/, null, 'Clients cannot learn from this answer which nonce to use, and stay locked out.'],
  [
    /^time-(?:slow|fast)-clock$/,
    null,
    'Clients whose clock is a few seconds off are refused, at random and only sometimes: the kind of fault nobody finds.',
  ],
  [
    /^replay-honest-after-(?:broken|stranger)$/,
    null,
    'Whoever sees a request can spoil it: a broken copy that arrives first makes the right one fail.',
  ],
  [/^replay-honest-same-jti$/, null, 'One client can make requests of another fail, by using up its jti.'],
  [/^replay-(?:honest-parallel|behind-many)$/, null, 'Clients that send many requests are refused some of the right ones.'],
  [
    /^target-foreign-forwarded-host$/,
    null,
    'A header that proves nothing decides over the request: honest clients behind a proxy that sends it are turned away.',
  ],
  [/./, null, 'Honest clients are turned away: this request is right, and there are clients that send it so.'],
]

const BROKE: readonly Row[] = [
  [
    /-honest-|^binding-(?:second-client|jwk-order)$|^honest-/,
    null,
    'A right request ends in an error: the clients that send it so are cut off, and something broke that nobody planned for.',
  ],
  [
    /./,
    null,
    'Nothing decided over this request: a fault did. Whoever sends it often may take the server down, and another request may come out as granted.',
  ],
]

const ROWS: Readonly<Partial<Record<Verdict, readonly Row[]>>> = { through: THROUGH, wrong: WRONG, broke: BROKE }

/** Empty for what is no problem. */
export function consequenceOf({ id, severity }: Pick<Attack, 'id' | 'severity'>, verdict: Verdict): string {
  const row = ROWS[verdict]?.find(([pattern, only]) => pattern.test(id) && (only === null || only === severity))
  return row?.[2] ?? (verdict === 'through' ? 'What must be refused is granted.' : '')
}

/** What is at stake in a topic: a line under its heading, whatever came of it. */
export const STAKES: Readonly<Record<Topic, string>> = {
  honest: 'A check that turns honest clients away is switched off sooner or later.',
  downgrade: 'A stolen token must be worth nothing without the key it is bound to.',
  proof: 'What is no proof must not pass as one.',
  algorithm: 'Nobody without the private key may be able to make a proof.',
  target: 'A proof is for one method and one URL.',
  time: 'A proof is for now.',
  binding: 'Token, key and proof are one thing; parts of two are none.',
  certificate: 'The token is for whoever holds the private key of its certificate.',
  token: 'Only the authorization server makes tokens.',
  replay: 'A captured request must not work a second time.',
  path: 'What is checked and what is served must be the same resource.',
  header: 'What a client says of itself must not be taken for what the gateway says of it.',
  framing: 'Two servers in a row must see the same end of a request.',
  http2: 'Two servers in a row must see the same end of a request.',
  challenge: 'A refusal must help honest clients and tell attackers nothing.',
  bypass: 'Whoever reaches the backend past the gateway must get nothing from it.',
  assertion: 'Only the gateway says who asks.',
  purpose: 'An assertion is for one request to one backend, now.',
}
