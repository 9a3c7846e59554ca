import fc from 'fast-check'
import { expect, test } from 'vitest'
import { deriveUseKey, parseUseCiphertext, useDecrypt, useEncrypt } from './use-key.ts'

const place = {
  vaultId: '018f3c5e-0000-7000-8000-0000000000aa',
  path: 'encryption/key',
  version: 1,
}
const credential = Buffer.from('correct-horse')
const VECTOR = 'sanctum:v1:0NHS09TV1tfY2drb3WlCSnENfTPsDsQENt/ro9srv4kHg8Iswbr8/5aF'
const failed = expect.objectContaining({ code: 'DECRYPT_FAILED' })

const decrypt = (where: typeof place & { context?: string }, text: string) => {
  const { version, sealed } = parseUseCiphertext(text)
  return useDecrypt({ ...where, version }, credential, sealed)
}

test('vault §28.38: the encrypt vector of 26.4, key and ciphertext', () => {
  expect(deriveUseKey(credential, place.path).export().toString('hex')).toBe(
    'a36604b64e38a2e5ed9b37860947e6f468d5cb1586912da1c0af8a96aa07bfc8',
  )
  const nonce = Uint8Array.from({ length: 12 }, (_, at) => 0xd0 + at)
  expect(useEncrypt(place, credential, Buffer.from('sensitive data'), () => nonce)).toBe(VECTOR)
  using opened = decrypt(place, VECTOR)
  expect(Buffer.from(opened.bytes).toString()).toBe('sensitive data')
})

test('wrong path, vault, version, context, key or byte: one error for all', () => {
  expect(() => decrypt({ ...place, path: 'encryption/key2' }, VECTOR)).toThrow(failed)
  expect(() => decrypt({ ...place, vaultId: place.vaultId.replace('aa', 'ab') }, VECTOR)).toThrow(
    failed,
  )
  expect(() => decrypt({ ...place, context: 'x' }, VECTOR)).toThrow(failed)
  expect(() => decrypt(place, VECTOR.replace(':v1:', ':v2:'))).toThrow(failed)
  const { sealed } = parseUseCiphertext(VECTOR)
  expect(() => useDecrypt(place, Buffer.from('correct-horsf'), sealed)).toThrow(failed)
  for (let at = 0; at < sealed.length; at += 1) {
    const flipped = Uint8Array.from(sealed)
    flipped[at] = (flipped[at] ?? 0) ^ 0x40
    expect(() => useDecrypt(place, credential, flipped)).toThrow(failed)
    expect(() => useDecrypt(place, credential, sealed.subarray(0, at))).toThrow(failed)
  }
})

test.each([
  '',
  'sanctum',
  'sanctum:v1:',
  'sanctum:v0:AAAA',
  'sanctum:v01:AAAA',
  'sanctum:v4294967296:AAAA',
  'sanctum:v1:AB==',
  'sanctum:v1:AAA',
  'sanctum:v1:AAAA\n',
  ' sanctum:v1:AAAA',
  'vault:v1:AAAA',
])('text %j is not a ciphertext', (text) => {
  expect(() => parseUseCiphertext(text)).toThrow(failed)
})

test('any plaintext, key and context comes back', () => {
  const bytes = fc.uint8Array({ maxLength: 200 })
  fc.assert(
    fc.property(bytes, bytes, fc.string(), (key, plaintext, context) => {
      const bound = { ...place, context }
      const { version, sealed } = parseUseCiphertext(useEncrypt(bound, key, plaintext))
      using opened = useDecrypt({ ...bound, version }, key, sealed)
      expect(Buffer.compare(opened.bytes, plaintext)).toBe(0)
    }),
  )
})
