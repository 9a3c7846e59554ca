import { expect, test } from 'vitest'
import { mergeDuties } from './merge-duties.ts'
import { listMember, parseDuties } from './obligations.ts'

const permit = (id: string, annotations: Record<string, string | null>) => ({
  id,
  duties: parseDuties(id, 'permit', annotations),
})

test('the narrowest value of all permits binds', () => {
  const merged = mergeDuties([
    permit('a', {
      max_ttl: '900',
      max_uses: '5',
      renewable: 'true',
      response_headers: 'a,b',
      pin_sha256: '0'.repeat(64),
    }),
    permit('b', {
      max_ttl: '300',
      default_ttl: '60',
      renewable: 'false',
      response_headers: 'b,c',
      allow_agent_auth: 'true',
    }),
  ])
  expect(merged).toMatchObject({
    maxTtl: 300,
    defaultTtl: 60,
    maxUses: 5,
    renewable: false,
    responseHeaders: ['b'],
  })
  expect(merged.pinSha256).toEqual(['0'.repeat(64)])
  expect(merged.allowAgentAuth).toBeUndefined()
  expect(merged.maxLifetime).toBeUndefined()
})

test('a permit that lists no response header lets none through', () => {
  const merged = mergeDuties([permit('a', { response_headers: 'set-cookie' }), permit('b', {})])
  expect(merged.responseHeaders).toEqual([])
})

test('duties of all permits add up', () => {
  const merged = mergeDuties([
    permit('a', { rate: '5/s burst 20, 5000/d', redact: 'email', approve: 'operator' }),
    permit('b', {
      rate: '60/m',
      quota: '100/24h sliding, 10/1h fixed',
      redact: 'phone, email',
      require_reason: 'true',
    }),
  ])
  expect(merged.rates).toEqual([
    { policy: 'a', perSecond: 5, burst: 20 },
    { policy: 'a', perDay: 5000 },
    { policy: 'b', perSecond: 1, burst: 60 },
  ])
  expect(merged.quotas).toEqual([
    { policy: 'b', limit: 100, windowSeconds: 86_400, sliding: true },
    { policy: 'b', limit: 10, windowSeconds: 3_600, sliding: false },
  ])
  expect(merged.redact).toEqual(['email', 'phone'])
  expect(merged.approve).toEqual([{ policy: 'a', by: 'operator' }])
  expect(merged.requireReason).toBe(true)
})

test.each([
  ['max_tll', '5', 'is not a known annotation'],
  ['constructor', '5', 'is not a known annotation'],
  ['max_ttl', '0', 'whole number'],
  ['max_ttl', '1.5', 'whole number'],
  ['max_ttl', null, 'whole number'],
  ['renewable', 'yes', '"true" or "false"'],
  ['rate', '5', 'cannot hold'],
  ['rate', '0/s', 'cannot hold'],
  ['rate', '5/s burst 0', 'cannot hold'],
  ['quota', '5/0h', 'cannot hold'],
  ['redact', 'a,,b', 'cannot hold'],
  ['on_reflection', 'log', 'cannot hold'],
  ['truncate', 'content', 'cannot hold'],
  ['cap', 'max_tokens', 'cannot hold'],
  ['cap', 'max_tokens 1.5', 'cannot hold'],
  ['pin_sha256', 'abc', 'cannot hold'],
  ['rank', 'first', 'whole number'],
])('@%s(%j) is refused at load', (name, value, message) => {
  expect(() => parseDuties('p', 'permit', { [name]: value })).toThrow(message)
})

test('an obligation on a forbid is refused, because nothing would carry it out', () => {
  expect(() => parseDuties('p', 'forbid', { max_ttl: '5' })).toThrow('no effect on a forbid')
  expect(parseDuties('p', 'forbid', { reason: 'x', rank: '3', id: 'p' }).numbers).toEqual({})
})

test('parameters are capped by the smallest value of all permits', () => {
  const merged = mergeDuties([
    permit('a', { cap: 'timeout 5000, max_tokens 100' }),
    permit('b', { cap: 'timeout 900' }),
  ])
  expect(merged.caps).toEqual({ timeout: 900, max_tokens: 100 })
})

test('a member of a list may hold a comma, a percent sign or an outer space when it is escaped', () => {
  for (const text of ['a,b', '100%', ' x ', '%2C', '\u00a0y', '%']) {
    expect(mergeDuties([permit('a', { redact: `${listMember(text)}, z` })]).redact).toEqual([
      text,
      'z',
    ])
  }
  expect(mergeDuties([permit('a', { block: '50%' })]).block).toEqual(['50%'])
})
