import { expect, test } from 'vitest'
import { parseSpiffeId } from './spiffe-id.ts'

test('a SPIFFE ID is its trust domain and a path', () => {
  expect(parseSpiffeId('spiffe://a.b-c_d.local/scanner/run_7f3c')).toEqual({
    trustDomain: 'a.b-c_d.local',
    path: '/scanner/run_7f3c',
  })
})

test.each([
  undefined,
  42,
  '',
  'spiffe://',
  'spiffe://domain',
  'spiffe://domain/',
  'spiffe:///path',
  'SPIFFE://domain/path',
  'http://domain/path',
  'spiffe://Domain/path',
  'spiffe://domain:8443/path',
  'spiffe://user@domain/path',
  'spiffe://domain/path/',
  'spiffe://domain//path',
  'spiffe://domain/./path',
  'spiffe://domain/../path',
  'spiffe://domain/path?q',
  'spiffe://domain/path#f',
  'spiffe://domain/p%61th',
  'spiffe://domain/pfäd',
  `spiffe://${'d'.repeat(256)}/path`,
  `spiffe://domain/${'p'.repeat(2_048)}`,
  'spiffe://domain/path\n',
])('%s is none', (text) => {
  expect(parseSpiffeId(text)).toBeUndefined()
})
