import { expect, test } from 'vitest'
import { assertNoSecrets } from './no-secrets.ts'

test.each([
  'OPENAI_API_KEY',
  'ANTHROPIC_API_KEY',
  'ACME_API_TOKEN',
  'SAGE_GW_PROVIDER_KEYS_FILE',
  'SAGE_GW_SPIFFE_BUNDLE_URL',
  'SPIFFE_JWT_PATH',
])('a forwarder with %s does not start, and does not say what it holds', (name) => {
  const start = (): void => assertNoSecrets({ PATH: '/bin', [name]: 'sk-marker' })
  expect(start).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  expect(start).toThrow(name)
  expect(start).not.toThrow('sk-marker')
})

test('an empty variable is an unset one, and other variables are nobody’s business', () => {
  assertNoSecrets({ OPENAI_API_KEY: '', HOME: '/', MONKEY: 'x', SAGE_GW_LISTEN_UNIX: '/run/x' })
})
