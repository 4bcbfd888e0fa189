// Spoils DER so that much of it stays readable: lengths are kept right around what is changed, or are spelt as BER alone allows.
import type { Random } from './random.js'

type Node = { readonly tag: number; readonly content: Buffer | readonly Node[] }

/** One element at an offset, and where it ends; null when there is none. */
function read(der: Buffer, at: number): { readonly node: Node; readonly end: number } | null {
  if (at + 2 > der.length) return null
  const tag = der.readUInt8(at)
  const short = der.readUInt8(at + 1)
  const more = short > 0x80 ? short - 0x80 : 0
  if (short === 0x80 || more > 4 || at + 2 + more > der.length) return null
  const length = more === 0 ? short : der.readUIntBE(at + 2, more)
  const start = at + 2 + more
  if (start + length > der.length) return null
  const inner = der.subarray(start, start + length)
  const content = (tag & 0x20) !== 0 ? readAll(inner) : null
  return { node: { tag, content: content ?? inner }, end: start + length }
}

function readAll(der: Buffer): readonly Node[] | null {
  const nodes: Node[] = []
  for (let at = 0; at < der.length; ) {
    const found = read(der, at)
    if (found === null) return null
    nodes.push(found.node)
    at = found.end
  }
  return nodes
}

const lengthOf = (length: number): Buffer => {
  if (length < 0x80) return Buffer.from([length])
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(length)
  const short = bytes.subarray(bytes.findIndex((byte) => byte !== 0))
  return Buffer.concat([Buffer.from([0x80 + short.length]), short])
}

/** X.690 §8.1.3: lengths that BER has and DER has not. */
function oddLength(random: Random, inner: Buffer): readonly [Buffer, Buffer] {
  if (random.chance(0.4)) return [Buffer.from([0x80]), Buffer.concat([inner, Buffer.from([0, 0])])]
  const size = 2 + random.below(9)
  const bytes = Buffer.alloc(size)
  bytes.writeUInt16BE(inner.length & 0xffff, size - 2)
  return [Buffer.concat([Buffer.from([0x80 + size]), bytes]), inner]
}

type Spoiling = { readonly random: Random; left: number }

function print(node: Node, spoiling: Spoiling): Buffer {
  const { random } = spoiling
  const isChosen = spoiling.left-- === 0
  let inner: Buffer = Buffer.isBuffer(node.content)
    ? Buffer.from(node.content)
    : Buffer.concat(
        (isChosen ? reorder(node.content as readonly Node[], random) : (node.content as readonly Node[])).map((one) =>
          print(one, spoiling),
        ),
      )
  if (isChosen && Buffer.isBuffer(node.content)) inner = spoilContent(inner, random)
  const tag =
    isChosen && random.chance(0.2)
      ? random.pick([node.tag ^ 0x20, 0x02, 0x04, 0x05, 0x0c, 0x13, 0x17, 0x18, 0x1e, 0x30, 0xa0, 0xa3])
      : node.tag
  const [length, content] = isChosen && random.chance(0.4) ? oddLength(random, inner) : [lengthOf(inner.length), inner]
  return Buffer.concat([Buffer.from([tag]), length, content])
}

function reorder(nodes: readonly Node[], random: Random): readonly Node[] {
  if (nodes.length === 0) return nodes
  const at = random.below(nodes.length)
  const one = random.pick(nodes)
  return random.pick([
    () => nodes,
    () => nodes.filter((_, i) => i !== at),
    () => [...nodes.slice(0, at), one, ...nodes.slice(at)],
    () => [...nodes].reverse(),
    () => [...nodes, ...Array.from({ length: 200 }, () => one)],
  ])()
}

function spoilContent(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length + 1)
  return random.pick([
    () => Buffer.alloc(0),
    () => Buffer.concat([bytes, bytes]),
    () => Buffer.concat([bytes.subarray(0, at), Buffer.from([random.pick([0, 0xff, 0x80, 0x2a])]), bytes.subarray(at)]),
    () => bytes.map((byte, i) => (i === at ? byte ^ (1 << random.below(8)) : byte)) as Buffer,
    () => Buffer.alloc(random.below(4000), 0x61),
    () =>
      Buffer.from(
        random.pick([
          '500101000000Z',
          '491231235959Z',
          '99991231235959Z',
          '20500101000000Z',
          '0',
          '00000000000000Z',
          '260230250000Z',
        ]),
      ),
  ])()
}

const countOf = ({ content }: Node): number =>
  1 + (Buffer.isBuffer(content) ? 0 : (content as readonly Node[]).reduce((sum, one) => sum + countOf(one), 0))

/** One element of it is changed; bytes that are no DER are given back. */
export function spoilDer(random: Random, der: Buffer): Buffer {
  const found = read(der, 0)
  return found === null ? der : print(found.node, { random, left: random.below(countOf(found.node)) })
}
