import fc from 'fast-check'
import t from 'tap'
import { closeFrame, frameReader } from '../../src/upstream/frames.js'

/** A frame with this much payload, in the shortest form of its length, masked or not (RFC 6455 §5.2). */
function frame(size: number, mask: 'masked' | 'plain'): Buffer {
  const bit = mask === 'masked' ? 0x80 : 0
  const length = Buffer.alloc(size < 126 ? 0 : size < 65_536 ? 2 : 8)
  if (length.length === 2) length.writeUInt16BE(size)
  if (length.length === 8) length.writeBigUInt64BE(BigInt(size))
  const short = size < 126 ? size : size < 65_536 ? 126 : 127
  return Buffer.concat([Buffer.from([0x82, bit | short]), length, Buffer.alloc((bit === 0 ? 0 : 4) + size, 0x81)])
}

t.test('is between frames exactly where one has ended', async (t) => {
  const frames = fc.array(fc.tuple(fc.constantFrom(0, 1, 125, 126, 300, 65_535, 65_536), fc.constantFrom('masked', 'plain')), {
    minLength: 1,
    maxLength: 4,
  })
  const steps = fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 50 })
  fc.assert(
    fc.property(frames, steps, (list, sizes) => {
      const parts = list.map(([size, mask]) => frame(size, mask))
      const ends = new Set([0])
      let total = 0
      for (const part of parts) {
        total += part.length
        ends.add(total)
      }
      const all = Buffer.concat(parts)
      const reader = frameReader()
      let at = 0
      for (const size of sizes) {
        const chunk = all.subarray(at, at + size)
        reader.read(chunk)
        at += chunk.length
        if (reader.isBetweenFrames() !== ends.has(at)) return false
      }
      return true
    }),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('is a close frame of a server', async (t) => {
  t.same([...closeFrame(1008)], [0x88, 2, 0x03, 0xf0])
  t.same([...closeFrame(1001)], [0x88, 2, 0x03, 0xe9])
  const reader = frameReader()
  reader.read(closeFrame(1008))
  t.equal(reader.isBetweenFrames(), true)
})
