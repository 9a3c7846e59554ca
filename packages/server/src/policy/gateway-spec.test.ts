import { describe, expect, test } from 'vitest'
import {
  acceptGateway,
  GatewayDocument,
  GatewayPatch,
  GatewaySpec,
  specHash,
} from './gateway-spec.ts'
import { DEFAULT_ROLE_POLICIES, GATEWAY_TEMPLATES } from './gateway-templates.ts'

const SCOPES = ['serpapi:search']
const spec = (more: Record<string, unknown>) =>
  acceptGateway(GatewaySpec, { scopes: SCOPES, ...more })

function problems(run: () => unknown): string[] {
  try {
    run()
  } catch (error) {
    expect(error).toMatchObject({ code: 'VALIDATION_ERROR', message: 'Validation error' })
    return (error as { context: { details: string[] } }).context.details
  }
  throw new Error('was accepted')
}

describe('what a gateway policy may say', () => {
  test('every field of the contract is accepted', () => {
    const full = {
      scopes: ['serpapi:search', 'http_fetch:*', '*'],
      intent: ['a', 'b'],
      intentRequired: true,
      guards: {
        maxRequestSize: 1,
        maxResponseSize: 0,
        allowedDomains: ['Example.com.', 'bücher.de:8443', '93.184.216.34', '[2001:db8::1]:8080'],
        blockedDomains: [],
        piiFilters: ['email', 'phone', 'ssn', 'credit_card'],
        timeWindow: { start: '22:00', end: '06:00', timezone: 'Europe/Berlin' },
        http_fetch: { allowedDomains: ['a.test'], maxResponseBytes: 5, timeoutMs: 5_000 },
        openai: { maxTokens: 500 },
        gmail_send: { allowedDomains: ['Example.com'], subjectMaxLen: 9, bodyMaxLen: 99 },
      },
      quotas: [{ action: 'serpapi:search', limit: 5, window: '7d', resetStrategy: 'fixed' }],
      schedule: {
        enabled: true,
        timezone: 'UTC',
        allowedDays: [0, 6],
        allowedHours: { start: 0, end: 23 },
      },
      responseFilters: {
        redactFields: ['a, b'],
        truncateFields: [{ field: 'c', maxLength: 3 }],
        blockPatterns: ['x', 're:^a+$'],
      },
    }
    expect(acceptGateway(GatewaySpec, full)).toEqual(full)
  })

  test.each([
    [{ guards: { maxRequestsize: 1 } }, 'guards.maxRequestsize: is not a known field'],
    [{ guards: { http_fetch: { timeout: 1 } } }, 'guards.http_fetch.timeout: is not a known field'],
    [{ guards: { serpapi: {} } }, 'guards.serpapi: is not a known field'],
    [{ limits: [] }, 'limits: is not a known field'],
    [
      { responseFilters: { redactfields: [] } },
      'responseFilters.redactfields: is not a known field',
    ],
    [
      { schedule: { allowedHours: { start: 1, stop: 2 } } },
      'schedule.allowedHours.stop: is not a known field',
    ],
  ])('gateway §19.21: an unknown key is refused, never ignored: %j', (more, problem) => {
    expect(problems(() => spec(more))).toEqual([problem])
  })

  test.each([
    { scopes: [] },
    { scopes: ['serpapi'] },
    { scopes: ['*:search'] },
    { scopes: ['serpapi:search:x'] },
    { scopes: ['Serpapi:search'] },
    { intent: '' },
    { intent: [] },
    { guards: { maxRequestSize: -1 } },
    { guards: { maxRequestSize: 1.5 } },
    { guards: { allowedDomains: ['*.example.com'] } },
    { guards: { allowedDomains: ['*'] } },
    { guards: { allowedDomains: [''] } },
    { guards: { allowedDomains: ['.example.com'] } },
    { guards: { allowedDomains: ['https://example.com'] } },
    { guards: { allowedDomains: ['example.com/path'] } },
    { guards: { allowedDomains: ['a.test,b.test'] } },
    { guards: { allowedDomains: ['example.com:0'] } },
    { guards: { allowedDomains: ['example.com:*'] } },
    { guards: { allowedDomains: ['a..test'] } },
    { guards: { allowedDomains: ['0x7f.1'] } },
    { guards: { piiFilters: ['iban'] } },
    { guards: { timeWindow: { start: '6:00' } } },
    { guards: { timeWindow: { end: '24:00' } } },
    { guards: { timeWindow: { timezone: 'Mars/Olympus' } } },
    { guards: { timeWindow: { timezone: '+02:00' } } },
    { guards: { openai: { maxTokens: 0 } } },
    { guards: { gmail_send: { allowedDomains: ['a@example.com'] } } },
    { guards: { gmail_send: { allowedDomains: ['example.com:25'] } } },
    { quotas: [{ action: 'serpapi:*', limit: 1, window: '1h' }] },
    { quotas: [{ action: 'serpapi:search', limit: 1, window: '0h' }] },
    { quotas: [{ action: 'serpapi:search', limit: 1, window: '1w' }] },
    { quotas: [{ action: 'serpapi:search', limit: 1, window: '1h', resetStrategy: 'never' }] },
    { schedule: { allowedDays: [] } },
    { schedule: { allowedDays: [7] } },
    { schedule: { allowedHours: { end: 24 } } },
    { responseFilters: { redactFields: [''] } },
    { responseFilters: { redactFields: ['a\nb'] } },
    { responseFilters: { blockPatterns: ['re:('] } },
  ])('this is refused: %j', (more) => {
    expect(problems(() => spec(more)).length).toBeGreaterThan(0)
  })

  test('what is wrong is told by path, in words that older clients do not take for another error', () => {
    const details = problems(() =>
      acceptGateway(GatewayDocument, { name: 'p', role: 'r', spec: { scopes: ['bad'], nope: 1 } }),
    )
    expect(details).toEqual([
      'spec.scopes.0: must be tool:action, tool:* or *',
      'spec.nope: is not a known field',
    ])
    for (const one of details) expect(one.slice(one.indexOf(': '))).not.toMatch(/policy|scope/i)
  })

  test.each([
    [{}],
    [{ role: 'a', agentId: '00000000-0000-4000-8000-000000000001' }],
    [{ role: 'a', agent: 'scout' }],
  ])('whom it binds is said exactly once: %j', (owner) => {
    const document = { name: 'p', spec: { scopes: SCOPES }, ...owner }
    expect(problems(() => acceptGateway(GatewayDocument, document))).toEqual([
      'exactly one of agentId and role must be given',
    ])
  })

  test('a change cannot name another owner', () => {
    expect(problems(() => acceptGateway(GatewayPatch, { role: 'x' }))).toEqual([
      'role: is not a known field',
    ])
  })

  test('every template is a document', () => {
    for (const template of [...Object.values(GATEWAY_TEMPLATES), ...DEFAULT_ROLE_POLICIES]) {
      expect(acceptGateway(GatewayDocument, template)).toEqual(template)
    }
    expect(DEFAULT_ROLE_POLICIES.map(({ role }) => role)).toEqual([
      'scraper',
      'enricher',
      'engager',
      'email',
    ])
  })
})

describe('gateway §19.21: the hash of a spec', () => {
  test('is the same whatever the order of the keys', () => {
    const a = spec({ guards: { maxRequestSize: 1, maxResponseSize: 2 }, intent: 'x' })
    const b = acceptGateway(GatewaySpec, {
      intent: 'x',
      guards: { maxResponseSize: 2, maxRequestSize: 1 },
      scopes: SCOPES,
    })
    expect(specHash(a)).toBe(specHash(b))
    expect(specHash(a)).toMatch(/^[0-9a-f]{64}$/)
  })

  test('differs for guards that differ deep inside', () => {
    const a = spec({ guards: { http_fetch: { timeoutMs: 1 } } })
    const b = spec({ guards: { http_fetch: { timeoutMs: 2 } } })
    expect(specHash(a)).not.toBe(specHash(b))
  })
})
