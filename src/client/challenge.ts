// What does a 401 ask of this client? Reads the `error` of WWW-Authenticate challenges (RFC 9110 §11.6.1), no more.

const ERROR = /(?:^|[\s,])error\s*=\s*(?:"([^"]*)"|([^\s",]+))/gi

/** Does any challenge of an answer carry this error (`use_dpop_nonce`, `invalid_token`)? */
export function asksFor(error: string, header: string | readonly string[] | undefined): boolean {
  const lines = typeof header === 'string' ? [header] : (header ?? [])
  return lines.some((line) => [...line.matchAll(ERROR)].some(([, quoted, bare]) => (quoted ?? bare) === error))
}
