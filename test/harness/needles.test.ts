import { expect, test } from 'vitest'
import { assertNoTokens } from './needles.ts'

test('sage §21.39: what every test of a daemon ends with finds tokens and keys, and repeats neither', () => {
  assertNoTokens('the log', '{"token_sha256":"0a1b","masked":"eyJhbGci..."}', ['sk-marker'])
  for (const text of ['x eyJhbGciOiJFUzI1NiJ9.e30.c2ln', '"eyJhbGciOiJF"', 'key sk-marker'])
    expect(() => assertNoTokens('the log', text, ['sk-marker'])).toThrow(/^the log tells a \w+$/)
})

test('letters of a signature that only look like the beginning of a token are none', () => {
  expect(() => assertNoTokens('a log', 'sig":"Qx9eyJZ7kQ-pW3rT"')).not.toThrow()
  for (const head of [
    '{"alg":"ES256"}',
    '{"typ":"JWT"}',
    '{"kid":"x"}',
    '{"sub":"y"}',
    '{"txn":"z"}',
  ]) {
    const text = Buffer.from(head).toString('base64url')
    expect(() => assertNoTokens('a log', `x ${text.slice(0, 12)} y`)).toThrow('a log tells a token')
  }
})
