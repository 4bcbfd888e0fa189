// The PHP kit, under PHP's own server, and under FPM behind nginx where both are here.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { testKit } from './harness.js'

const SBIN = '/usr/sbin'
/** Debian's has the version in its name. */
const fpm = existsSync(SBIN) ? readdirSync(SBIN).find((name) => /^php-fpm[\d.]*$/.test(name)) : undefined
const backend = [process.execPath, 'test/kits/php/backend.js']
const hasPhp = spawnSync('php', ['-r', "exit(PHP_MAJOR_VERSION >= 8 && extension_loaded('openssl') ? 0 : 1);"]).status === 0

testKit({
  name: 'the PHP kit',
  missing: hasPhp ? null : 'php 8 (the package php-cli)',
  runner: ['php', 'test/kits/php/run.php'],
  backends: {
    "PHP's own server": [...backend, 'server'],
    ...(fpm !== undefined && existsSync(join(SBIN, 'nginx')) ? { FPM: [...backend, join(SBIN, fpm)] } : {}),
  },
})
