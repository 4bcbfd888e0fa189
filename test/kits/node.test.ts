// The Node kit, as a plugin of Fastify, as middleware of Express, and of node:http.
import { testKit } from './harness.js'

testKit({
  name: 'the Node kit',
  missing: null,
  runner: [process.execPath, 'test/kits/node/run.js'],
  backends: {
    Fastify: [process.execPath, 'test/kits/node/backend.js', 'fastify'],
    Express: [process.execPath, 'test/kits/node/backend.js', 'express'],
    'middleware (req, res, next)': [process.execPath, 'test/kits/node/backend.js', 'middleware'],
  },
})
