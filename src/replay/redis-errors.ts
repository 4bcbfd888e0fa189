// What went wrong with Redis, in words for logs and `/readyz`. Does not pass on what Redis or the network said.

const SAID: Readonly<Record<string, string>> = {
  READONLY: 'it is a replica and cannot be written',
  OOM: 'it is full',
  MISCONF: 'it cannot write to its disk and refuses to record',
  NOREPLICAS: 'it has too few replicas and refuses to record',
  LOADING: 'it is loading',
  NOAUTH: 'it does not accept our credentials',
  WRONGPASS: 'it does not accept our credentials',
  NOPERM:
    'its ACL does not allow what is needed: SET, GET, INFO, WAIT and EVALSHA on our keys, and for revocations what docs/operations.md says',
}

/** What an error says in words of ours. Never its own text, which may hold arguments, addresses or a password. */
export function phrase(error: unknown): string {
  if (!(error instanceof Error)) return 'it does not answer'
  const said = error.message.split(' ', 1)[0] ?? ''
  if (Object.hasOwn(SAID, said)) return SAID[said] ?? ''
  if ('code' in error && typeof error.code === 'string') return `the connection fails (${error.code})`
  return /^[A-Z]{3,20}$/.test(said) ? `it refuses (${said})` : 'it does not answer'
}
