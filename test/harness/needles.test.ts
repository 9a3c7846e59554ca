import { expect, test } from 'vitest'
import { assertNoTokens } from './needles.ts'

test('sage §21.39: what every test of a daemon ends with finds tokens and keys, and repeats neither', () => {
  assertNoTokens('the log', '{"token_sha256":"0a1b","masked":"eyJhbGci..."}', ['sk-marker'])
  for (const text of ['x eyJhbGciOiJFUzI1NiJ9.e30.c2ln', '"eyJhbGciOiJF"', 'key sk-marker'])
    expect(() => assertNoTokens('the log', text, ['sk-marker'])).toThrow(/^the log tells a \w+$/)
})
