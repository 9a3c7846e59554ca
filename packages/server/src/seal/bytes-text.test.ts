import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as text from './bytes-text.ts'

const ascii = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const refused = expect.objectContaining({ code: 'INVALID_PARAMS' })

test('every byte string reads as the platform writes it, and comes back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const own = Buffer.from(bytes)
      expect(ascii(text.encodeHexBytes(bytes))).toBe(own.toString('hex'))
      expect(ascii(text.encodeBase64Bytes(bytes))).toBe(own.toString('base64'))
      expect(ascii(text.encodeBase64UrlBytes(bytes))).toBe(own.toString('base64url'))
      expect(text.decodeHexBytes(text.encodeHexBytes(bytes))).toEqual(bytes)
      expect(text.decodeHexBytes(Buffer.from(own.toString('hex').toUpperCase()))).toEqual(bytes)
      expect(text.decodeBase64Bytes(text.encodeBase64Bytes(bytes))).toEqual(bytes)
      expect(text.decodeBase64UrlBytes(text.encodeBase64UrlBytes(bytes))).toEqual(bytes)
    }),
  )
})

test('what the decoder accepts has exactly one spelling', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (noise) => {
      try {
        expect(text.encodeBase64Bytes(text.decodeBase64Bytes(noise))).toEqual(noise)
      } catch (error) {
        expect(error).toEqual(refused)
      }
    }),
    { numRuns: 2000 },
  )
})

test.each(['0', 'zz', '0g', ' 00', '00 '])('hex %j is refused', (bad) => {
  expect(() => text.decodeHexBytes(Buffer.from(bad))).toThrow(refused)
})

test.each(['A', 'AA', 'AAA', 'AB==', 'AAB=', '====', 'A===', 'AA==AAAA', 'AA-_', 'AA A', '=AAA'])(
  'base64 %j is refused',
  (bad) => {
    expect(() => text.decodeBase64Bytes(Buffer.from(bad))).toThrow(refused)
  },
)

test.each(['A', 'AB', 'AAB', 'AA==', 'AA+/'])('url-safe base64 %j is refused', (bad) => {
  expect(() => text.decodeBase64UrlBytes(Buffer.from(bad))).toThrow(refused)
})

test('results own their whole memory, so that wiping them wipes nothing else', () => {
  for (const bytes of [
    text.encodeHexBytes(new Uint8Array(3)),
    text.encodeBase64Bytes(new Uint8Array(3)),
  ])
    expect(bytes.buffer.byteLength).toBe(bytes.length)
})

test('a refusal does not show the text', () => {
  try {
    text.decodeHexBytes(Buffer.from('hunter2!'))
  } catch (error) {
    expect(String(error)).not.toContain('hunter2')
  }
})
