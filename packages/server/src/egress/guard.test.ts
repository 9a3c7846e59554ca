import { expect, test } from 'vitest'
import { assertTlsEnvironment } from './guard.ts'

test('vault §28.37: an environment that switches verification off is refused', () => {
  expect(() => assertTlsEnvironment({ NODE_TLS_REJECT_UNAUTHORIZED: '0' })).toThrow(
    expect.objectContaining({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('NODE_TLS_REJECT_UNAUTHORIZED'),
    }),
  )
  assertTlsEnvironment({})
  assertTlsEnvironment({ NODE_TLS_REJECT_UNAUTHORIZED: '1' })
})
