import { expect, test } from 'vitest'
import type { PolicyContext, PolicyResource } from '../policy/policy-request.ts'
import { callSummary } from './call-summary.ts'

const CREDENTIAL = { kind: 'credential', path: 'a/b', type: null, tags: [] } as const

const summary = (
  action: string,
  context: Omit<PolicyContext, 'nowMs'> = {},
  event = '',
  resource: PolicyResource = CREDENTIAL,
) => callSummary({ action, event, resource, context: { nowMs: 0, ...context } })

const toolSummary = (tool: string, action: string, context: Omit<PolicyContext, 'nowMs'>) =>
  summary('tool:call', context, 'tool.call', {
    kind: 'tool',
    tool,
    action,
    digest: '',
    reviewed: false,
    permissions: [],
    costMicros: 0,
  })

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

test('a tool call reads as tool and action, where it goes and how much; of the params nothing', () => {
  const args = () => ({ '/subject': 'the-secret-subject', '/to': 'ada@example.com' })
  expect(toolSummary('serpapi', 'search', { args, requestBytes: 42 })).toBe(
    'serpapi:search, 42 bytes',
  )
  expect(
    toolSummary('gmail_send', 'send', {
      args,
      recipients: ['example.org', 'example.com', 'example.org'],
      requestBytes: 230,
    }),
  ).toBe('gmail_send:send to example.com, example.org, 230 bytes')
  const query = { ...target, queryNames: ['token'] }
  expect(toolSummary('http_fetch', 'get', { target: query, method: 'GET', requestBytes: 60 })).toBe(
    'http_fetch:get https://api.example.com/v1/items?token=…, 60 bytes',
  )
})

test('of many recipients the first domains are named and the rest counted', () => {
  const recipients = Array.from({ length: 11 }, (_, at) => `d${String(at).padStart(2, '0')}.test`)
  const text = toolSummary('gmail_send', 'send', { recipients })
  expect(text).toBe(
    'gmail_send:send to d00.test, d01.test, d02.test, d03.test, d04.test, d05.test, d06.test, d07.test, 3 more',
  )
})
