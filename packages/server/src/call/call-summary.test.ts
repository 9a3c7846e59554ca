import { expect, test } from 'vitest'
import type { PolicyContext } from '../policy/policy-request.ts'
import { callSummary } from './call-summary.ts'

const summary = (action: string, context: Omit<PolicyContext, 'nowMs'> = {}, event = '') =>
  callSummary({ action, event, context: { nowMs: 0, ...context } })

const target = { scheme: 'https', host: 'api.example.com', port: 443, path: '/v1/items' } as const

test('a request reads as method, address and size; of the query only the names', () => {
  const action = 'vault:use:http_request'
  expect(summary(action, { target, method: 'GET' })).toBe('GET https://api.example.com/v1/items')
  expect(
    summary(action, {
      target: { ...target, scheme: 'http', port: 8080, queryNames: ['q', 'a b'] },
      method: 'POST',
      requestBytes: 120,
      contentType: 'application/json; charset=utf-8',
    }),
  ).toBe('POST http://api.example.com:8080/v1/items?q=…&a%20b=…, 120 bytes of application/json')
})

test('what gives a value away says so', () => {
  expect(summary('vault:retrieve')).toBe('give the value away')
  expect(summary('vault:use:http_header', { headerName: 'X-API-Key' })).toBe(
    'give the value away as header X-API-Key',
  )
  expect(summary('vault:retrieve', {}, 'lease.renew')).toBe('renew a lease')
})

test('other operations are told by name, size and algorithm', () => {
  expect(summary('vault:use:sign', { algorithm: 'hmac-sha256', dataBytes: 11 })).toBe(
    'sign 11 bytes with hmac-sha256',
  )
  expect(summary('vault:store')).toBe('store')
})

test('a long address is cut, so that it still fits a line', () => {
  const long = { ...target, path: `/${'x'.repeat(9_000)}` }
  const text = summary('vault:use:http_request', { target: long, method: 'GET' })
  expect(text).toHaveLength(400)
  expect(text.endsWith('…')).toBe(true)
})
