// One table of places: the routes that lead there, and by which names upstreams know them. Public places stand beside and around protected
// ones, so that a path with two readings would show.

export type Place = {
  /** The route's path in routes.yaml, by which the assertion names the route that judged. */
  readonly route: string
  readonly tier: 'public' | 'low_user'
  /** What else the route says. */
  readonly more?: string
  /** Paths at the upstream, decoded once, that belong here and nowhere else. */
  readonly is: RegExp
  /** The same for nginx, as a location. */
  readonly location: string
}

/** The first whose `is` takes a path has it, so the special stand before the general. */
export const PLACES: readonly Place[] = [
  { route: '/public', tier: 'public', is: /^\/public\/?$/, location: '= /public' },
  { route: '/public/admin', tier: 'low_user', is: /^\/public\/admin\/?$/, location: '= /public/admin' },
  { route: '/public/admin/*', tier: 'low_user', is: /^\/public\/admin\/./s, location: '^~ /public/admin/' },
  { route: '/public/*', tier: 'public', is: /^\/public\/./s, location: '/public/' },
  { route: '/open/:name/secret', tier: 'low_user', is: /^\/open\/[^/]+\/secret\/?$/s, location: '~ ^/open/[^/]+/secret$' },
  { route: '/open/:name', tier: 'public', is: /^\/open\/[^/]+\/?$/s, location: '~ ^/open/[^/]+$' },
  { route: '/private', tier: 'low_user', is: /^\/private\/?$/, location: '= /private' },
  { route: '/private/*', tier: 'low_user', is: /^\/private\/./s, location: '^~ /private/' },
  {
    route: '/assets/*',
    tier: 'public',
    more: 'strip_prefix: /assets, add_prefix: /static/v1',
    is: /^\/static\/v1\/./s,
    location: '^~ /static/v1/',
  },
  {
    route: '/files/*',
    tier: 'low_user',
    more: 'strip_prefix: /files, add_prefix: /static/v10',
    is: /^\/static\/v10\/./s,
    location: '^~ /static/v10/',
  },
  { route: '/store/*', tier: 'low_user', more: 'add_prefix: /static', is: /^\/static\/store\/./s, location: '^~ /static/store/' },
  { route: '/matrix/*', tier: 'public', more: 'matrix_params: true', is: /^\/matrix\/./s, location: '^~ /matrix/' },
]
