import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Cut, DISCARD_LIMIT, FrameSource } from './frame-source.ts'

const LIMIT = 65_536

function frame(body: string | Uint8Array): Buffer {
  const bytes = Buffer.from(body as Uint8Array)
  const out = Buffer.alloc(4 + bytes.length)
  out.writeUInt32BE(bytes.length)
  out.set(bytes, 4)
  return out
}

function header(size: number): Buffer {
  const out = Buffer.alloc(4)
  out.writeUInt32BE(size)
  return out
}

/** Pushes each chunk and takes every frame that is whole by then. */
function cutAll(chunks: readonly Uint8Array[], limit = LIMIT, trusted = true): Cut[] {
  const source = new FrameSource()
  const cuts: Cut[] = []
  for (const chunk of chunks) {
    source.push(Buffer.from(chunk))
    for (;;) {
      const cut = source.next(limit, trusted)
      if (cut.kind === 'wait') break
      cuts.push(cut)
      if (cut.kind === 'lost' || cut.kind === 'alien') return cuts
    }
  }
  return cuts
}

const text = (cuts: readonly Cut[]) =>
  cuts.map((cut) => (cut.kind === 'frame' ? cut.body.toString() : cut.kind))

test('vault §28.16: both vectors are read in every split', () => {
  const first = Buffer.from(
    '000000407b226964223a312c226d6574686f64223a2261757468656e746963617465222c22706172616d73223a7b226167656e745f6e616d65223a2273636f7574227d7d',
    'hex',
  )
  const second = Buffer.from(
    '000000447b226964223a372c226572726f72223a7b22636f6465223a225641554c545f4c4f434b4544222c226d657373616765223a225661756c74206973206c6f636b6564227d7d',
    'hex',
  )
  const bodies = [
    '{"id":1,"method":"authenticate","params":{"agent_name":"scout"}}',
    '{"id":7,"error":{"code":"VAULT_LOCKED","message":"Vault is locked"}}',
  ]
  const both = Buffer.concat([first, second])
  expect(text(cutAll([both]))).toEqual(bodies)
  expect(text(cutAll([...both].map((byte) => Uint8Array.of(byte))))).toEqual(bodies)
  for (let at = 1; at < both.length; at += 1) {
    expect(text(cutAll([both.subarray(0, at), both.subarray(at)]))).toEqual(bodies)
  }
})

test('any number of frames comes out whole and in order, however the stream is split', () => {
  void fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }),
      fc.array(fc.nat(400), { maxLength: 40 }),
      (bodies, cuts) => {
        const stream = Buffer.concat(bodies.map(frame))
        const chunks: Buffer[] = []
        let at = 0
        for (const size of cuts) {
          chunks.push(stream.subarray(at, at + size))
          at += size
        }
        chunks.push(stream.subarray(at))
        const expected = bodies.map((body) =>
          body.length === 0 ? 'empty' : Buffer.from(body).toString('hex'),
        )
        const seen = cutAll(chunks.filter((chunk) => chunk.length > 0)).map((cut) =>
          cut.kind === 'frame' ? cut.body.toString('hex') : cut.kind,
        )
        expect(seen).toEqual(expected)
      },
    ),
  )
})

test('vault §28.17: the limit is inclusive; one byte more is lost for a stranger', () => {
  const body = Buffer.alloc(LIMIT, 0x61)
  expect(cutAll([frame(body)], LIMIT, false)).toMatchObject([{ kind: 'frame' }])
  expect(cutAll([header(LIMIT + 1)], LIMIT, false)).toEqual([{ kind: 'lost', size: LIMIT + 1 }])
  expect(cutAll([header(2 ** 32 - 1)], LIMIT, true)).toEqual([{ kind: 'lost', size: 2 ** 32 - 1 }])
  expect(cutAll([header(DISCARD_LIMIT + 1)], LIMIT, true)).toMatchObject([{ kind: 'lost' }])
})

test('an oversized frame of a trusted peer is skipped to the byte, keeping its first 256', () => {
  const body = Buffer.from(`{"id":9,${' '.repeat(LIMIT)}`)
  const next = frame('{"id":10}')
  const stream = Buffer.concat([frame(body), next])
  for (const step of [1000, 100_000]) {
    const chunks: Buffer[] = []
    for (let at = 0; at < stream.length; at += step) chunks.push(stream.subarray(at, at + step))
    const cuts = cutAll(chunks)
    expect(cuts[0]).toMatchObject({ kind: 'oversize', size: body.length })
    expect((cuts[0] as { head: Buffer }).head).toEqual(body.subarray(0, 256))
    expect(text(cuts.slice(1))).toEqual(['{"id":10}'])
  }
})

test('nothing is buffered while an oversized frame is skipped', () => {
  const source = new FrameSource()
  source.push(header(DISCARD_LIMIT))
  expect(source.next(LIMIT, true)).toEqual({ kind: 'wait' })
  for (let n = 0; n < 64; n += 1) {
    source.push(Buffer.alloc(65_536))
    expect(source.next(LIMIT, true)).toEqual({ kind: 'wait' })
    expect(source.buffered).toBe(0)
    expect(source.position).toBe('body')
  }
})

test('vault §28.21: an announced size allocates nothing until bytes arrive', () => {
  const before = process.memoryUsage().arrayBuffers
  const sources = Array.from({ length: 1000 }, () => {
    const source = new FrameSource()
    source.push(header(4_194_304))
    expect(source.next(4_194_304, true)).toEqual({ kind: 'wait' })
    return source
  })
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4_194_304)
  for (const source of sources) {
    source.push(Buffer.alloc(1))
    source.next(4_194_304, true)
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1000 * 40_000)
  expect(sources.every(({ buffered }) => buffered === 1)).toBe(true)
})

test('HTTP and TLS are told by their first bytes, whoever the peer is', () => {
  for (const start of [
    'GET / HTTP/1.1',
    'POST /',
    'PUT /',
    'HEAD /',
    'OPTIONS *',
    'PRI * HTTP/2',
  ]) {
    expect(cutAll([Buffer.from(start)], LIMIT, true)).toEqual([{ kind: 'alien' }])
    expect(cutAll([Buffer.from(start)], LIMIT, false)).toEqual([{ kind: 'alien' }])
  }
  expect(cutAll([Buffer.from('160301020001', 'hex')])).toEqual([{ kind: 'alien' }])
})

test('the position tells silence between frames from silence inside one', () => {
  const source = new FrameSource()
  expect(source.position).toBe('between')
  source.push(Buffer.from([0, 0]))
  source.next(LIMIT, true)
  expect(source.position).toBe('header')
  source.push(Buffer.from([0, 2, 0x7b]))
  source.next(LIMIT, true)
  expect(source.position).toBe('body')
  source.push(Buffer.from([0x7d]))
  expect(source.next(LIMIT, true)).toMatchObject({ kind: 'frame' })
  expect(source.position).toBe('between')
})
