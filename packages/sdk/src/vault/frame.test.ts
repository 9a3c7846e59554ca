import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { VaultError } from './errors.ts'
import {
  decodeBody,
  decodeFrame,
  encodeFrame,
  FrameReader,
  MAX_FRAME_BYTES,
  type Message,
} from './frame.ts'
import { bytesOfHexText } from './hex.ts'

const REQUEST = { id: 1, method: 'authenticate', params: { agent_name: 'scout' } }
const REQUEST_HEX =
  '000000407b226964223a312c226d6574686f64223a2261757468656e746963617465222c22706172616d73223a7b22' +
  '6167656e745f6e616d65223a2273636f7574227d7d'
const ERROR = { id: 7, error: { code: 'VAULT_LOCKED', message: 'Vault is locked' } }
const ERROR_HEX =
  '000000447b226964223a372c226572726f72223a7b22636f6465223a225641554c545f4c4f434b4544222c226d6573' +
  '73616765223a225661756c74206973206c6f636b6564227d7d'
const RESULT_HEX =
  '000000287b226964223a332c22726573756c74223a7b2276616c7565223a2236333631363663336139227d7d'

const first = Buffer.from(REQUEST_HEX, 'hex')
const second = Buffer.from(ERROR_HEX, 'hex')
const stream = Buffer.concat([first, second])

function read(chunks: Uint8Array[], maxBytes?: number): Message[] {
  const reader = new FrameReader(maxBytes === undefined ? {} : { maxBytes })
  const messages: Message[] = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let body = reader.next(); body; body = reader.next()) messages.push(decodeBody(body))
  }
  expect(reader.midFrame).toBe(false)
  return messages
}

const cut = (bytes: Uint8Array, ...at: number[]): Uint8Array[] =>
  [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length))

test('vault §28.16: frames are written byte for byte as the published vectors', () => {
  expect(encodeFrame(REQUEST).toString('hex')).toBe(REQUEST_HEX)
  expect(encodeFrame(ERROR).toString('hex')).toBe(ERROR_HEX)
  const [message, rest] = decodeFrame(Buffer.from(RESULT_HEX, 'hex'))
  expect(message).toEqual({ id: 3, result: { value: '636166c3a9' } })
  expect(rest).toHaveLength(0)
  expect(bytesOfHexText('636166c3a9')?.toString('utf8')).toBe('café')
})

test.each([
  ['all bytes in one read', [stream]],
  ['one byte per read', [...stream].map((byte) => Uint8Array.of(byte))],
  ['a split inside the header', cut(stream, 2)],
  ['a split between header and body', cut(stream, 4)],
  ['one frame per read', [first, second]],
  ['a frame with three header bytes of the next, then the rest', cut(stream, first.length + 3)],
])('vault §28.16: the reader accepts %s', (_, chunks) => {
  expect(read(chunks)).toEqual([REQUEST, ERROR])
})

test('vault §28.16: the reader takes 1 000 frames from one write, in order', () => {
  const frames = Array.from({ length: 1_000 }, (_, id) => encodeFrame({ id, result: {} }))
  expect(read([Buffer.concat(frames)]).map(({ id }) => id)).toEqual(frames.map((_, id) => id))
})

test('vault §28.16: whatever the messages and the splits, what went in comes out', () => {
  const message = fc.dictionary(fc.string(), fc.jsonValue()).map(
    (value) => JSON.parse(JSON.stringify({ id: 1, ...value })) as Message, // JSON has no -0
  )
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 20 }),
      (messages, places) => {
        const bytes = Buffer.concat(messages.map((each) => encodeFrame(each)))
        const at = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b)
        expect(read(cut(bytes, ...at))).toEqual(messages)
      },
    ),
    { numRuns: 300 },
  )
})

test('the request of the second handshake step is the published frame', () => {
  const signature =
    '01055eed19b94a3a8d1f9d45a13f2b690204cb2062dbfe84ccb2f8378a0dad26' +
    '9e814ae454fb5b30d36a2442e8a32f6ba2fcbb41ba2e529368d2267315c13e02'
  const params = { session_id: 's-1', signature }
  const frame = encodeFrame({ id: 2, method: 'challenge_response', params })
  expect(frame.subarray(0, 4).toString('hex')).toBe('000000d3')
  expect(createHash('sha256').update(frame).digest('hex')).toBe(
    '241ddacaca849fecee2e2e3b0ebbe49e571be5ad722ba2f756c706d47c9d27db',
  )
})

test('a frame of exactly the limit passes in both directions, one byte more does not', () => {
  const filler = (bytes: number): Message => ({ a: 'x'.repeat(bytes - '{"a":""}'.length) })
  const largest = encodeFrame(filler(MAX_FRAME_BYTES))
  expect(largest).toHaveLength(4 + MAX_FRAME_BYTES)
  expect(read([largest])).toHaveLength(1)
  expect(() => encodeFrame(filler(MAX_FRAME_BYTES + 1))).toThrow(
    expect.objectContaining({ code: 'REQUEST_TOO_LARGE' }),
  )
  const tooLarge = Buffer.alloc(4)
  tooLarge.writeUInt32BE(MAX_FRAME_BYTES + 1)
  expect(() => read([tooLarge])).toThrow(expect.objectContaining({ code: 'RESPONSE_TOO_LARGE' }))
  expect(() => decodeFrame(tooLarge)).toThrow(
    expect.objectContaining({ code: 'RESPONSE_TOO_LARGE' }),
  )
})

test('frames before an oversized one are still delivered', () => {
  const reader = new FrameReader({ maxBytes: 100 })
  reader.push(Buffer.concat([first, Uint8Array.of(0xff, 0xff, 0xff, 0xff)]))
  expect(decodeBody(reader.next() ?? Buffer.alloc(0))).toEqual(REQUEST)
  expect(() => reader.next()).toThrow(/too large/)
})

test('a large frame in small chunks is copied a constant number of times', () => {
  const frame = encodeFrame({ id: 1, result: { body: 'y'.repeat(4_000_000) } })
  const chunks: Uint8Array[] = []
  for (let at = 0; at < frame.length; at += 1_000) chunks.push(frame.subarray(at, at + 1_000))
  const allocate = vi.spyOn(Buffer, 'allocUnsafeSlow')
  expect(read(chunks)).toHaveLength(1)
  const allocated = allocate.mock.calls.reduce((sum, [bytes]) => sum + bytes, 0)
  allocate.mockRestore()
  expect(allocated).toBeLessThan(3 * frame.length)
})

test('a header that announces 4 MiB costs no memory until bytes arrive', () => {
  const allocate = vi.spyOn(Buffer, 'allocUnsafeSlow')
  const reader = new FrameReader()
  reader.push(Uint8Array.of(0x00, 0x40, 0x00, 0x00))
  expect(reader.next()).toBeUndefined()
  expect(allocate).not.toHaveBeenCalled()
  reader.push(Uint8Array.of(0x7b))
  expect(reader.next()).toBeUndefined()
  expect(allocate).toHaveBeenCalledExactlyOnceWith(16_384)
  allocate.mockRestore()
  expect(reader.midFrame).toBe(true)
})

test.each([
  ['an empty body', ''],
  ['what is not JSON', 'sk-live-secret'],
  ['a bare number', '1'],
  ['null', 'null'],
  ['an array', '[{"id":1}]'],
  ['NaN', '{"id":NaN}'],
  ['a byte-order mark', '\uFEFF{"id":1}'],
])('a body that is %s is refused without being quoted', (_, text) => {
  const refusal = (): unknown => {
    try {
      return decodeBody(Buffer.from(text))
    } catch (error) {
      return error
    }
  }
  expect(refusal()).toSatisfy(
    (error: Error) =>
      error instanceof VaultError && error.code === 'INTERNAL_ERROR' && !error.cause,
  )
  expect(JSON.stringify(refusal())).not.toContain('sk-live')
})

test('a body that is not UTF-8 is refused', () => {
  expect(() => decodeBody(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d))).toThrow('Internal error')
})

test('incomplete frames and unwritable messages are named', () => {
  expect(() => decodeFrame(first.subarray(0, 3))).toThrow(
    expect.objectContaining({ detail: expect.stringContaining('header') }),
  )
  expect(() => decodeFrame(first.subarray(0, 30))).toThrow(
    expect.objectContaining({ detail: expect.stringContaining('body') }),
  )
  expect(() => encodeFrame({ value: 1n })).toThrow(
    expect.objectContaining({ code: 'INVALID_PARAMS' }),
  )
  const loop: Message = {}
  loop['self'] = loop
  expect(() => encodeFrame(loop)).toThrow(expect.objectContaining({ code: 'INVALID_PARAMS' }))
})
