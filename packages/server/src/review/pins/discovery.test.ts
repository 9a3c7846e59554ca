import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { readPublicKey } from '../signing/public-key.ts'
import { readDiscovery, readRevocations, readTxt } from './discovery.ts'

const pem = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  .publicKey.export({ type: 'spki', format: 'pem' })
  .toString()
const fingerprint = readPublicKey(pem)?.fingerprint ?? ''
const read = (document: unknown) =>
  readDiscovery(Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)))
const document = { schema_version: '1.1', public_key_pem: pem }
const invalid = expect.objectContaining({ code: 'DISCOVERY_INVALID' })

describe('a discovery document', () => {
  test('is read with what it says, and what it does not know is passed over', () => {
    const found = read({
      ...document,
      developer_name: 'Dana',
      contact: 'dana@example.com',
      revoked_keys: [fingerprint.toUpperCase().replace('SHA256', 'sha256')],
      revocation_endpoint: 'https://example.com/r',
      later: { x: 1.5 },
    })
    expect(found).toMatchObject({
      developerName: 'Dana',
      revocationEndpoint: 'https://example.com/r',
    })
    expect(found.key.fingerprint).toBe(fingerprint)
    expect([...found.revokedKeys]).toEqual([fingerprint])
  })

  test('may be nothing but the key', () => {
    expect(read(`\n${pem}`)).toMatchObject({ revocationEndpoint: undefined })
    expect(read(pem).key.fingerprint).toBe(fingerprint)
  })

  test.each([
    ['no JSON', '<html></html>'],
    ['a list', []],
    ['another version', { ...document, schema_version: '2.0' }],
    ['no version', { public_key_pem: pem }],
    ['no key', { schema_version: '1.0' }],
    ['an empty key', { ...document, public_key_pem: '' }],
    ['a key that is none', { ...document, public_key_pem: 'key' }],
    ['a PEM that is no key', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'],
    ['revocations that cannot be read', { ...document, revoked_keys: 'none' }],
    ['a revocation that cannot be read', { ...document, revoked_keys: ['abc'] }],
    ['an endpoint that cannot be read', { ...document, revocation_endpoint: 7 }],
    [
      'a key that comes twice',
      `{"schema_version":"1.0","public_key_pem":"a","public_key_pem":"b"}`,
    ],
  ])('is refused with %s', (_what, given) => {
    expect(() => read(given)).toThrow(invalid)
  })
})

test('a list of revocations is that of the domain, and says which keys', () => {
  const list = (more: object) => Buffer.from(JSON.stringify({ domain: 'a.example', ...more }))
  const entry = { fingerprint, revoked_at: '2030-01-01T00:00:00Z', reason: 'superseded' }
  expect([...readRevocations(list({ revoked_keys: [entry] }), 'A.example')]).toEqual([fingerprint])
  expect([...readRevocations(list({ revoked_keys: [fingerprint] }), 'a.example:8443')]).toEqual([
    fingerprint,
  ])
  expect(() => readRevocations(list({ revoked_keys: [] }), 'b.example')).toThrow(invalid)
  expect(() => readRevocations(list({}), 'a.example')).toThrow(invalid)
  expect(() => readRevocations(list({ revoked_keys: [{}] }), 'a.example')).toThrow(invalid)
  expect(() => readRevocations(Buffer.from('no'), 'a.example')).toThrow(invalid)
})

test('a TXT record vouches for a key; others are not ours, and broken ones are told', () => {
  expect(readTxt([])).toBeUndefined()
  expect(readTxt(['v=spf1 -all'])).toBeUndefined()
  expect([...(readTxt([`v=schemapin1; fp=${fingerprint}; kid=default`]) ?? [])]).toEqual([
    fingerprint,
  ])
  for (const record of [
    'v=schemapin1',
    'v=schemapin1; fp=sha256:12',
    `v=schemapin2; fp=${fingerprint}`,
  ])
    expect(() => readTxt([record]), record).toThrow(invalid)
})
