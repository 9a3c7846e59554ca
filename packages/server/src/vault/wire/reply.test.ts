import { VestryError } from '@vestry/contract/errors'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Secret } from '../../seal/secret.ts'
import { encodeError, encodeReply, type Frame, MAX_REPLY_BYTES } from './reply.ts'

function read(frame: Frame | undefined): unknown {
  if (frame === undefined) throw new Error('no frame')
  const { bytes } = frame
  expect(bytes.readUInt32BE(0)).toBe(bytes.length - 4)
  expect(bytes.length - 4).toBeLessThanOrEqual(MAX_REPLY_BYTES)
  return JSON.parse(bytes.toString('utf8', 4))
}

test('a reply carries the id in value and type, and jsonrpc only when asked', () => {
  expect(read(encodeReply(3, { result: { a: 1 } }))).toEqual({ id: 3, result: { a: 1 } })
  expect(read(encodeReply('3', { result: {} }))).toEqual({ id: '3', result: {} })
  expect(read(encodeReply(1, { result: {} }, true))).toEqual({ jsonrpc: '2.0', id: 1, result: {} })
  expect(read(encodeReply(1, { result: [1] }))).toEqual({ id: 1, result: [1] })
  expect(read(encodeReply(1, { result: { a: 1 }, wrapped: true }))).toEqual({
    id: 1,
    result: { success: true, output: { a: 1 } },
  })
})

test('spliced secrets read exactly as JSON.stringify would have written them', () => {
  void fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.oneof(fc.integer(), fc.string({ unit: 'binary', minLength: 1, maxLength: 64 })),
      fc.boolean(),
      (one, two, rest, id, wrapped) => {
        // Names that JavaScript itself would move to the front, or not take for a name.
        fc.pre(!Object.keys(rest).some((name) => /^(?:\d+|value|header|__proto__)$/.test(name)))
        using value = Secret.copy(one)
        using header = Secret.copy(two)
        const frame = encodeReply(id, {
          result: rest,
          wrapped,
          secrets: [
            { name: 'value', value, as: 'hex' },
            { name: 'header', value: header, as: 'latin1' },
          ],
        })
        const result = {
          value: Buffer.from(one).toString('hex'),
          header: Buffer.from(two).toString('latin1'),
          ...rest,
        }
        expect(frame?.secret).toBe(true)
        expect(frame?.bytes.toString('utf8', 4)).toBe(
          JSON.stringify({ id, result: wrapped ? { success: true, output: result } : result }),
        )
        read(frame)
      },
    ),
  )
})

test('vault §28.20: no frame is ever over the limit, however much escaping inflates it', () => {
  const unit = fc.constantFrom('\u0000', '"', '\\', '\n', 'é', '\ud800', '😀', 'a')
  void fc.assert(
    fc.property(unit, fc.integer({ min: -40, max: 40 }), fc.boolean(), (char, delta, secret) => {
      const size = Buffer.byteLength(JSON.stringify(char)) - 2
      const count = Math.floor(MAX_REPLY_BYTES / size) - 20 + delta
      const body = char.repeat(count)
      using value = Secret.copy(Buffer.from('x'))
      const reply = {
        result: { body },
        ...(secret && { secrets: [{ name: 'value', value, as: 'hex' as const }] }),
      }
      const expected = { id: 1, result: { ...(secret && { value: '78' }), body } }
      const encoded = Buffer.byteLength(JSON.stringify(expected))
      const frame = encodeReply(1, reply)
      if (encoded > MAX_REPLY_BYTES) expect(frame).toBeUndefined()
      else expect(read(frame)).toEqual(expected)
    }),
    { numRuns: 25 },
  )
  expect(encodeReply(1, { result: { body: '\u0000'.repeat(MAX_REPLY_BYTES / 6) } })).toBeUndefined()
})

test('the limit itself is still sent, one byte more is not', () => {
  const overhead = Buffer.byteLength('{"id":1,"result":{"b":""}}')
  const fits = encodeReply(1, { result: { b: 'x'.repeat(MAX_REPLY_BYTES - overhead) } })
  expect(fits?.bytes.readUInt32BE(0)).toBe(MAX_REPLY_BYTES)
  expect(
    encodeReply(1, { result: { b: 'x'.repeat(MAX_REPLY_BYTES - overhead + 1) } }),
  ).toBeUndefined()
})

test('a secret too large for a frame is refused before anything is copied', () => {
  using value = Secret.copy(new Uint8Array(MAX_REPLY_BYTES / 2))
  const secrets = [{ name: 'value', value, as: 'hex' as const }]
  expect(encodeReply(1, { result: {}, secrets })).toBeUndefined()
})

test('errors have every member the clients read, and always a context with the request id', () => {
  const error = new VestryError('ACCESS_DENIED', 'no rule', {
    hint: 'ask',
    context: { path: 'a', request_id: 'forged' },
  })
  expect(read(encodeError(5, error, 'req_1'))).toEqual({
    id: 5,
    error: {
      code: 'ACCESS_DENIED',
      message: 'Access denied by policy',
      detail: 'no rule',
      suggestion: 'ask',
      docs_url: null,
      context: { path: 'a', request_id: 'req_1' },
    },
  })
  const documented = read(encodeError(null, error, 'req_1', 'https://docs.example'))
  expect(documented).toMatchObject({ error: { docs_url: 'https://docs.example/ACCESS_DENIED' } })
})

test('an internal error keeps its detail to itself', () => {
  const error = new VestryError('INTERNAL_ERROR', 'at /home/x: secret')
  expect(JSON.stringify(read(encodeError(1, error, 'r')))).not.toContain('secret')
})

test('an error that cannot be encoded still answers with its code', () => {
  const huge = new VestryError('CONFLICT', 'x'.repeat(MAX_REPLY_BYTES))
  const odd = new VestryError('CONFLICT', 'x', { context: { n: 1n } })
  for (const error of [huge, odd]) {
    expect(read(encodeError(2, error, 'r'))).toEqual({
      id: 2,
      error: {
        code: 'CONFLICT',
        message: 'Resource already exists or has changed',
        detail: null,
        suggestion: null,
        docs_url: null,
        context: { request_id: 'r' },
      },
    })
  }
})
