// The Python kit, under ASGI and WSGI.
import { spawnSync } from 'node:child_process'
import { testKit } from './harness.js'

const missing = (modules: string): string | null =>
  spawnSync('python3', ['-c', `import ${modules}`]).status === 0 ? null : `python3 with ${modules}`

testKit({
  name: 'the Python kit under WSGI',
  missing: missing('joserfc, flask'),
  runner: ['python3', 'test/kits/python/run.py', 'wsgi'],
  backends: { Flask: ['python3', 'test/kits/python/backend.py', 'wsgi'] },
})

testKit({
  name: 'the Python kit under ASGI',
  missing: missing('joserfc'),
  runner: ['python3', 'test/kits/python/run.py', 'asgi'],
  backends: { 'an ASGI application': ['python3', 'test/kits/python/backend.py', 'asgi'] },
})
