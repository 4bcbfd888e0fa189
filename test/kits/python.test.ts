// The Python kit, under ASGI and WSGI, in the servers that scripts/prepare.mjs --peers brings.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ROOT, testKit } from './harness.js'

const PYTHON = ['env', `PYTHONPATH=${join(ROOT, 'node_modules', '.cache', 'holdfast', 'python')}`, 'python3']
const [program = '', ...args] = PYTHON

const missing = (modules: string): string | null =>
  spawnSync(program, [...args, '-c', `import ${modules}`]).status === 0 ? null : `python3 with ${modules}`

const backend = (name: string): string[] => [...PYTHON, 'test/kits/python/backend.py', name]

testKit({
  name: 'the Python kit under WSGI',
  missing: missing('joserfc, flask, gunicorn'),
  runner: [...PYTHON, 'test/kits/python/run.py', 'wsgi'],
  backends: { Flask: backend('flask'), 'Flask in gunicorn': backend('gunicorn') },
})

testKit({
  name: 'the Python kit under ASGI',
  missing: missing('joserfc, starlette, uvicorn'),
  runner: [...PYTHON, 'test/kits/python/run.py', 'asgi'],
  backends: { 'Starlette in uvicorn': backend('starlette') },
})
