import fc from 'fast-check'
import { expect, test } from 'vitest'
import { aad, u32 } from './aad.ts'

const VAULT = '018f3c5e-0000-7000-8000-0000000000aa'
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

test('vault §28.38: the associated data of the record vector 26.5', () => {
  const path = 'openai/api_key'
  expect(hex(aad('dek', VAULT, path, u32(3), u32(1)))).toBe(
    '534e4331000364656b002430313866336335652d303030302d373030302d3830' +
      '30302d303030303030303030306161000e6f70656e61692f6170695f6b657900' +
      '0400000003000400000001',
  )
  expect(hex(aad('val', VAULT, path, u32(3)))).toBe(
    '534e4331000376616c002430313866336335652d303030302d373030302d3830' +
      '30302d303030303030303030306161000e6f70656e61692f6170695f6b657900' +
      '0400000003',
  )
})

test('two different field lists never share an encoding', () => {
  const fields = fc.array(fc.string({ maxLength: 4 }), { maxLength: 4 })
  fc.assert(
    fc.property(fields, fields, (one, other) => {
      const same = JSON.stringify(one) === JSON.stringify(other)
      expect(hex(aad('k', VAULT, ...one)) === hex(aad('k', VAULT, ...other))).toBe(same)
    }),
  )
})

test('unpaired surrogates, fields over 65 535 bytes and numbers over 32 bits are refused', () => {
  const refused = expect.objectContaining({ code: 'INVALID_PARAMS' })
  expect(() => aad('val', VAULT, '\ud800')).toThrow(refused)
  expect(() => aad('val', VAULT, 'x'.repeat(65_536))).toThrow(refused)
  for (const value of [-1, 2 ** 32, 0.5, Number.NaN]) expect(() => u32(value)).toThrow(refused)
})
