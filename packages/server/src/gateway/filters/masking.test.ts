import { expect, test } from 'vitest'
import { isSecretKey, LOG_MASK, maskSecrets } from './masking.ts'

test('the five key names are masked in any case, also as the last part of a name', () => {
  for (const key of [
    'password',
    'Token',
    'KEY',
    'secret',
    'api_key',
    'db_password',
    'x-api-key',
    'ACCESS_TOKEN',
    'idempotency-key',
    'client_secret',
    'apiKey',
    'accessToken',
  ]) {
    expect(isSecretKey(key), key).toBe(true)
  }
  for (const key of ['monkey', 'tokens', 'keyboard', 'secretary', 'passwords', 'key_id', 'q', '']) {
    expect(isSecretKey(key), key).toBe(false)
  }
})

test('at any depth, whatever the value is, in a copy', () => {
  const value = {
    user: 'ada',
    list: [{ password: 'p1' }, { inner: { token: ['a', 'b'], n: 1 } }, null],
    secret: { all: 'of it' },
    key: null,
  }
  const before = structuredClone(value)
  expect(maskSecrets(value)).toEqual({
    user: 'ada',
    list: [{ password: LOG_MASK }, { inner: { token: LOG_MASK, n: 1 } }, null],
    secret: LOG_MASK,
    key: LOG_MASK,
  })
  expect(value).toEqual(before)
  expect(maskSecrets('text')).toBe('text')
})

test('hostile values: prototypes, cycles and depth', () => {
  const masked = maskSecrets(JSON.parse('{"__proto__":{"token":"a"}}'))
  expect(JSON.stringify(masked)).toBe(`{"__proto__":{"token":"${LOG_MASK}"}}`)
  const cycle: Record<string, unknown> = { token: 'abc' }
  cycle['self'] = cycle
  expect(JSON.stringify(maskSecrets(cycle))).not.toContain('abc')
})
