// The Node kit, as a plugin of Fastify and as middleware.
import { testKit } from './harness.js'

testKit({
  name: 'the Node kit',
  missing: null,
  runner: [process.execPath, 'test/kits/node/run.js'],
  backends: {
    Fastify: [process.execPath, 'test/kits/node/backend.js', 'fastify'],
    'middleware (req, res, next)': [process.execPath, 'test/kits/node/backend.js', 'express'],
  },
})
