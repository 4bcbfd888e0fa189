// The nginx kit, in a real nginx with njs.
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type Kit, testKit } from './harness.js'
import { file, named, publish, start } from './programs.js'

const isHere = ['/usr/sbin/nginx', '/usr/lib/nginx/modules/ngx_http_js_module.so'].every((path) => existsSync(path))

const kit: Kit = {
  name: 'the nginx kit',
  missing: isHere ? null : 'nginx with ngx_http_js_module',
  runner: [process.execPath, 'test/kits/nginx/run.js'],
  backends: { nginx: [process.execPath, 'test/kits/nginx/backend.js'] },
  without: ['single use', 'a clock for its keys'],
}

testKit(kit)

t.test('the nginx kit: fetches the keys again', isHere ? {} : { skip: `${kit.missing} is not here` }, async (t) => {
  const keys = await publish({ keys: file.jwks.keys.slice(0, 1) })
  t.teardown(keys.stop)
  const runner = start(kit.runner, keys.url)
  t.teardown(runner.stop)
  const [byCurrent, byNext] = [named('a bearer token'), named('the other published key')]
  await runner.tell({ now: file.now })
  t.same(await runner.ask(byCurrent), [200])
  t.same(await runner.ask(byNext), [401], 'not published yet')
  keys.set(file.jwks)
  let answer: unknown
  for (let i = 0; i < 200 && JSON.stringify(answer) !== '[200]'; i++) {
    await sleep(100)
    answer = await runner.ask(byNext)
  }
  t.same(answer, [200], 'published, and fetched when the last ones were old')
})
