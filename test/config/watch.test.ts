// Which changes of files are noticed, and when: real files, changed in every way that editors, `cp`, configuration management and
// Kubernetes change them.

import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { areSameTexts, type Recording, recordingDisk } from '../../src/config/disk.js'
import { watchFiles } from '../../src/config/watch.js'
import { waitFor } from '../support/fleet.js'

/** A folder whose files are read, and read again when they have changed. */
function watched(t: Test, read: (recording: Recording, folder: string) => void, every: () => number | null = () => 0.1) {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-watch-'))
  let recording = recordingDisk()
  let times = 0
  const look = (): void => {
    recording = recordingDisk()
    try {
      read(recording, folder)
    } catch {
      // It is not there, which shows in what was read.
    }
  }
  const start = (): void => {
    look()
    const stop = watchFiles({
      every,
      stamps: () => recording.stamps,
      changed: async () => {
        times += 1
        look()
      },
    })
    t.teardown(() => {
      stop()
      rmSync(folder, { recursive: true })
    })
  }
  return { folder, start, times: () => times, files: () => recording.texts.files, recording: () => recording }
}

const one = (name: string) => (recording: Recording, folder: string) => void recording.disk.read(join(folder, name))

t.test('a file is read again, however it was replaced', async (t) => {
  const place = watched(t, one('file'))
  const file = join(place.folder, 'file')
  const other = join(place.folder, 'other')
  writeFileSync(file, 'first')
  place.start()
  const holds = (text: string) => waitFor(`it holds ${text}`, () => place.files()[file] === text)
  const ways: readonly (readonly [way: string, text: string, change: (text: string) => void])[] = [
    ['written over, as cp does', 'other', (text) => writeFileSync(file, text)],
    [
      'with dates of long ago, as rsync does',
      'third',
      (text) => {
        writeFileSync(file, text)
        utimesSync(file, 1, 1)
      },
    ],
    [
      'renamed over it, as editors do',
      'fourt',
      (text) => {
        writeFileSync(other, text)
        renameSync(other, file)
      },
    ],
    [
      'gone and made anew',
      'fifth',
      (text) => {
        rmSync(file)
        writeFileSync(file, text)
      },
    ],
    ['longer', 'fifth+', () => appendFileSync(file, '+')],
    ['cut off', 'fi', () => truncateSync(file, 2)],
  ]
  for (const [way, text, change] of ways) {
    change(text)
    await holds(text)
    t.pass(way)
  }
})

t.test('a file that is not there yet is read when it is, and one that went away', async (t) => {
  const place = watched(t, one('file'))
  const file = join(place.folder, 'file')
  place.start()
  t.same(place.files(), {})
  writeFileSync(file, 'here')
  await waitFor('it is read', () => place.files()[file] === 'here')
  rmSync(file)
  await waitFor('it is missed', () => place.files()[file] === undefined)
  mkdirSync(file)
  await sleep(300)
  rmSync(file, { recursive: true })
  writeFileSync(file, 'again')
  await waitFor('it is read', () => place.files()[file] === 'again')
})

t.test('a Kubernetes volume: the files are links into `..data`, which is a link that is swapped', async (t) => {
  const names = ['tls.key', 'tls.crt']
  const place = watched(t, ({ disk }, folder) => {
    for (const name of names) disk.read(join(folder, name))
  })
  // As the kubelet's AtomicWriter does it: a folder with all files, a link to it, and that renamed over the one before.
  const publish = (version: string): void => {
    const folder = join(place.folder, `..${version}`)
    mkdirSync(folder)
    for (const name of names) writeFileSync(join(folder, name), `${name} ${version}`)
    symlinkSync(`..${version}`, join(place.folder, '..data_tmp'))
    renameSync(join(place.folder, '..data_tmp'), join(place.folder, '..data'))
  }
  publish('1')
  for (const name of names) symlinkSync(join('..data', name), join(place.folder, name))
  place.start()
  for (const version of ['2', '3']) {
    publish(version)
    rmSync(join(place.folder, `..${Number(version) - 1}`), { recursive: true })
    await waitFor(`version ${version}`, () => place.files()[join(place.folder, 'tls.key')] === `tls.key ${version}`)
    t.equal(place.files()[join(place.folder, 'tls.crt')], `tls.crt ${version}`, 'both at once')
  }
})

t.test('a file that is added to a folder, or leaves it', async (t) => {
  const place = watched(t, ({ disk }, folder) => {
    for (const name of disk.list(folder)) disk.read(join(folder, name))
  })
  place.start()
  const added = join(place.folder, 'a.yaml')
  writeFileSync(added, 'a')
  await waitFor('it is read', () => place.files()[added] === 'a')
  rmSync(added)
  await waitFor('it is gone', () => place.files()[added] === undefined)
})

t.test('a file that is still being written is not read before it is whole', async (t) => {
  const place = watched(t, one('file'), () => 0.5)
  const file = join(place.folder, 'file')
  writeFileSync(file, 'old')
  place.start()
  const seen = new Set<string>()
  const whole = 'x'.repeat(20)
  writeFileSync(file, '')
  // Three pieces between two looks, so that each look finds another file.
  const started = performance.now()
  let longest = 0
  let last = started
  for (const piece of whole.match(/.{4}/g) ?? []) {
    appendFileSync(file, piece)
    await sleep(150)
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
    seen.add(place.files()[file] ?? '')
  }
  await waitFor('it is whole', () => place.files()[file] === whole)
  // A machine that stood still for as long as it takes to look twice proves nothing.
  if (longest < 400)
    t.same(
      [...seen].filter((text) => text !== 'old' && text !== whole),
      [],
    )
  t.equal(readFileSync(file, 'utf8'), whole)
})

t.test('a file that never comes to rest holds up the others for a few looks only', async (t) => {
  const place = watched(t, ({ disk }, folder) => {
    for (const name of ['restless', 'list.crl']) disk.read(join(folder, name))
  })
  const [restless, list] = ['restless', 'list.crl'].map((name) => join(place.folder, name)) as [string, string]
  for (const file of [restless, list]) writeFileSync(file, 'old')
  place.start()
  const timer = setInterval(() => appendFileSync(restless, '+'), 20)
  t.teardown(() => clearInterval(timer))
  writeFileSync(list, 'new')
  await waitFor('the list is read', () => place.files()[list] === 'new')
  clearInterval(timer)
})

t.test('what was not touched is not read, and switched off nothing is', async (t) => {
  let every: number | null = 0.1
  const place = watched(t, one('file'), () => every)
  const file = join(place.folder, 'file')
  writeFileSync(file, 'old')
  place.start()
  await sleep(600)
  t.equal(place.times(), 0)
  every = null
  await sleep(300)
  writeFileSync(file, 'new')
  await sleep(1500)
  t.equal(place.times(), 0, 'off')
  every = 0.1
  await waitFor('it is on again', () => place.files()[file] === 'new')
})

t.test('touched files make the same configuration, other names in a folder too', async (t) => {
  const place = watched(t, ({ disk }, folder) => {
    for (const name of disk.list(folder)) if (name.endsWith('.yaml')) disk.read(join(folder, name))
  })
  const file = join(place.folder, 'a.yaml')
  writeFileSync(file, 'a')
  place.start()
  const before = place.recording()
  utimesSync(file, 5, 5)
  writeFileSync(join(place.folder, '.a.yaml.swp'), 'an editor')
  await waitFor('it was looked at', () => place.times() > 0)
  t.ok(areSameTexts(before.texts, place.recording().texts))
  writeFileSync(file, 'b')
  await waitFor('it is read', () => place.files()[file] === 'b')
  t.notOk(areSameTexts(before.texts, place.recording().texts))
})
