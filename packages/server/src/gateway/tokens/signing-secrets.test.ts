import { createSecretKey } from 'node:crypto'
import { expect, test } from 'vitest'
import { tokenSecrets } from './signing-secrets.ts'

const sealed = createSecretKey(Buffer.alloc(32, 1))
const LONG = 'a secret of at least thirty-two characters'
const OLDER = 'an older one of at least thirty-two chars'
const refused = expect.objectContaining({ code: 'CONFIG_INVALID' })

test('without a secret given, the sealed one signs and previous ones verify', () => {
  expect(tokenSecrets({}, { sealed, production: true })).toEqual([sealed])
  const both = tokenSecrets({ previous: [OLDER] }, { sealed, production: true })
  expect(both).toEqual([sealed, Buffer.from(OLDER)])
})

test('a given secret signs as UTF-8 text, and the sealed one still verifies', () => {
  const given = { current: LONG, previous: [OLDER] }
  expect(tokenSecrets(given, { sealed, production: true })).toEqual([
    Buffer.from(LONG),
    Buffer.from(OLDER),
    sealed,
  ])
})

test('gateway §19.14: the published default is refused, in development too', () => {
  const current = 'default-secret-change-in-production'
  for (const production of [true, false]) {
    expect(() => tokenSecrets({ current }, { sealed, production })).toThrow(refused)
    expect(() => tokenSecrets({ previous: [current] }, { sealed, production })).toThrow(refused)
  }
})

test('gateway §19.14: production takes no short secret, and says so without showing it', () => {
  expect(tokenSecrets({ current: 'short' }, { sealed, production: false })).toHaveLength(2)
  expect(() => tokenSecrets({ current: '' }, { sealed, production: false })).toThrow(refused)
  try {
    tokenSecrets({ current: 'x'.repeat(31) }, { sealed, production: true })
    expect.unreachable()
  } catch (error) {
    expect(error).toEqual(refused)
    expect(String(error)).not.toContain('xx')
  }
})
