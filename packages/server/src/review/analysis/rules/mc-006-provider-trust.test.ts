import { expect, test } from 'vitest'
import { analyse, NOTHING_KNOWN } from '../analyse.ts'
import type { ProviderKey } from '../rule.ts'
import { toolOf } from '../test-tool.ts'

function trust(
  public_key_url: string | null,
  providerKey: ProviderKey = { state: 'not_asked' },
  name = 'example-provider',
): string[] {
  const tool = toolOf({ name: 'ping', description: 'Pings.', provider: { name, public_key_url } })
  return analyse(tool, { ...NOTHING_KNOWN, providerKey })
    .findings.filter(({ rule_id }) => rule_id === 'MC-006')
    .map(({ severity, confidence }) => `${severity} ${confidence}`)
}

test.each([
  'http://keys.example.com/key.pem',
  'ftp://keys.example.com/key.pem',
  'https://93.184.216.34/key.pem',
  'https://2130706433/key.pem',
  'https://0x7f.1/key.pem',
  'https://[::1]/key.pem',
  'https://[2606:2800:220:1:248:1893:25c8:1946]/key.pem',
  'https://localhost/key.pem',
  'https://keys.localhost/key.pem',
  'https://metadata.google.internal/key.pem',
  'https://intranet/key.pem',
  'https://169.254.169.254/latest',
  'https://ada@keys.example.com/key.pem',
  'https://keys.example.com:8443/key.pem',
  'https://xn--80ak6aa92e.com/key.pem',
  'https://еxample.com/key.pem',
  'keys.example.com/key.pem',
  'javascript:alert(1)',
])('the key at %s deserves no trust', (url) => {
  expect(trust(url)).toContain('high 0.85')
})

test.each<[ProviderKey['state'], string[]]>([
  ['not_asked', []],
  ['known', []],
  ['absent', ['low 0.4']],
  ['unreachable', ['low 0.4']],
  ['not_a_key', ['medium 0.6']],
  ['refused', ['high 0.85']],
  ['revoked', []],
])('a key that is %s', (state, expected) => {
  const key = { state, reason: 'private address', fingerprint: 'sha256:00' } as ProviderKey
  expect(trust('https://keys.example.com/key.pem', key)).toEqual(expected)
})

test('a missing address is a low finding', () => {
  expect(trust(null)).toEqual(['low 0.4'])
})

test.each([
  ['tools.example.com', 'https://keys.example.com/k.pem', []],
  ['example.co.uk', 'https://keys.example.co.uk/k.pem', []],
  ['ada.github.io', 'https://ada.github.io/k.pem', []],
  ['Example.COM', 'https://example.com/k.pem', []],
  ['not a domain', 'https://example.com/k.pem', []],
  ['example.com', 'https://example.org/k.pem', ['medium 0.6']],
  ['one.co.uk', 'https://two.co.uk/k.pem', ['medium 0.6']],
  ['ada.github.io', 'https://eve.github.io/k.pem', ['medium 0.6']],
])('%s with a key at %s: %j', (name, url, expected) => {
  expect(trust(url, { state: 'not_asked' }, name)).toEqual(expected)
})
