import { createSecretKey } from 'node:crypto'
import { expect, test } from 'vitest'
import { hmacTag, keyedHash } from './hash.ts'

const key = createSecretKey(Uint8Array.from({ length: 32 }, (_, at) => 0x30 + at))

test('vault §28.38: the value hash vector of 26.6', () => {
  expect(hmacTag(key, Buffer.from('lease_01hzy'))).toBe('hmac:964de9fc83b84e3ee9517c55fbf6e897')
  expect(hmacTag(key, 'lease_01hzy')).toBe('hmac:964de9fc83b84e3ee9517c55fbf6e897')
})

test('the full hash starts with the bytes of the short one', () => {
  expect(Buffer.from(keyedHash(key, 'x')).toString('hex')).toHaveLength(64)
  expect(hmacTag(key, 'x')).toBe(
    `hmac:${Buffer.from(keyedHash(key, 'x')).toString('hex').slice(0, 32)}`,
  )
})
