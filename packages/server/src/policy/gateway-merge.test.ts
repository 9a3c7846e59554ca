import { expect, test } from 'vitest'
import { type GatewaySource, mergeGateway } from './gateway-merge.ts'
import { acceptGateway, GatewaySpec } from './gateway-spec.ts'

const source = (id: string, spec: Record<string, unknown>): GatewaySource => ({
  id,
  spec: acceptGateway(GatewaySpec, { scopes: ['a:b'], ...spec }),
  timezone: 'Europe/Berlin',
})

test('no policy grants nothing', () => {
  expect(mergeGateway([])).toMatchObject({ spec: { scopes: [] }, sources: [], quotas: [] })
})

test('gateway §19.16: the later policy wins where one value stands, lists are united, quotas add up', () => {
  const merged = mergeGateway([
    source('role', {
      scopes: ['a:b', 'a:c'],
      intent: 'x',
      intentRequired: true,
      guards: {
        maxRequestSize: 1,
        maxResponseSize: 1,
        allowedDomains: ['a.test', 'b.test'],
        timeWindow: { start: '01:00' },
        http_fetch: { allowedDomains: ['f.test'], timeoutMs: 1, maxResponseBytes: 7 },
      },
      quotas: [{ action: 'a:b', limit: 1, window: '1h' }],
      schedule: { allowedDays: [1], allowedHours: { start: 3 } },
      responseFilters: { redactFields: ['r'], truncateFields: [{ field: 't', maxLength: 1 }] },
    }),
    source('own', {
      scopes: ['a:c', 'a:d'],
      intent: ['y', 'z'],
      guards: {
        maxRequestSize: 2,
        allowedDomains: ['b.test', 'c.test'],
        blockedDomains: ['a.test'],
        timeWindow: { end: '02:00' },
        http_fetch: { allowedDomains: ['g.test'], timeoutMs: 2 },
      },
      quotas: [{ action: 'a:b', limit: 2, window: '1h' }],
      schedule: { enabled: false },
      responseFilters: {
        redactFields: ['r', 's'],
        truncateFields: [{ field: 't', maxLength: 2 }],
        blockPatterns: ['p'],
      },
    }),
  ])
  expect(merged.spec).toEqual({
    scopes: ['a:b', 'a:c', 'a:d'],
    intent: ['y', 'z'],
    intentRequired: true,
    guards: {
      maxRequestSize: 2,
      maxResponseSize: 1,
      allowedDomains: ['a.test', 'b.test', 'c.test'],
      blockedDomains: ['a.test'],
      timeWindow: { end: '02:00', timezone: 'Europe/Berlin' },
      http_fetch: { allowedDomains: ['f.test', 'g.test'], timeoutMs: 2, maxResponseBytes: 7 },
    },
    quotas: [
      { action: 'a:b', limit: 1, window: '1h' },
      { action: 'a:b', limit: 2, window: '1h' },
    ],
    schedule: { enabled: false },
    responseFilters: {
      redactFields: ['r', 's'],
      truncateFields: [
        { field: 't', maxLength: 1 },
        { field: 't', maxLength: 2 },
      ],
      blockPatterns: ['p'],
    },
  })
  expect(merged.quotas.map(({ from }) => from)).toEqual(['role', 'own'])
  expect(Object.fromEntries(merged.from)).toMatchObject({
    'scopes.a:c': 'role',
    'scopes.a:d': 'own',
    intent: 'own',
    intentRequired: 'role',
    'guards.maxRequestSize': 'own',
    'guards.maxResponseSize': 'role',
    'guards.http_fetch.maxResponseBytes': 'role',
    'guards.http_fetch.timeoutMs': 'own',
    schedule: 'own',
    'responseFilters.blockPatterns': 'own',
  })
})

test('a value that only the earlier policy has stays', () => {
  const merged = mergeGateway([
    source('role', {
      intent: 'x',
      guards: {
        piiFilters: ['email'],
        openai: { maxTokens: 3 },
        gmail_send: { allowedDomains: ['a.test'], bodyMaxLen: 4 },
      },
      schedule: { allowedDays: [1] },
      responseFilters: { blockPatterns: ['b'] },
    }),
    source('own', { guards: { maxRequestSize: 5 }, responseFilters: { redactFields: ['r'] } }),
  ])
  expect(merged.spec).toEqual({
    scopes: ['a:b'],
    intent: 'x',
    guards: {
      piiFilters: ['email'],
      maxRequestSize: 5,
      openai: { maxTokens: 3 },
      gmail_send: { allowedDomains: ['a.test'], bodyMaxLen: 4 },
    },
    schedule: { allowedDays: [1] },
    responseFilters: { blockPatterns: ['b'], redactFields: ['r'] },
  })
})
