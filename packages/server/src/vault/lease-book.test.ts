import fc from 'fast-check'
import { expect, test } from 'vitest'
import { grantTtl, type Lease, renewedExpiry } from './lease.ts'
import { LeaseBook, type LeaseLimits } from './lease-book.ts'

const HOUR = 3_600_000

function book(limits: LeaseLimits = { perAgent: 1_000_000, total: 1_000_000 }) {
  const ended: Lease[] = []
  const leases = new LeaseBook(limits, {
    issued: () => undefined,
    renewed: () => undefined,
    ended: (lease) => ended.push(lease),
  })
  return { leases, ended }
}

let last = 0
function lease(more: Partial<Lease> = {}): Lease {
  last += 1
  return {
    id: `lease_${last}`,
    agentId: 'scout',
    path: 'a/b',
    version: 1,
    kind: 'retrieve',
    issuedAt: 0,
    latestExpiry: 24 * HOUR,
    renewable: true,
    policy: 'vault:r',
    requestId: 'r-1',
    sessionId: 's-1',
    txn: 'txn_1',
    context: {},
    expiresAt: 1_000,
    renewals: 0,
    state: 'live',
    endedAt: undefined,
    reason: undefined,
    ...more,
  }
}

test('vault §28.48: 100 000 live leases end within a second of their deadlines', {
  retry: 2,
}, async () => {
  const { leases, ended } = book()
  const startedAt = Date.now()
  const lateness: number[] = []
  for (let n = 0; n < 100_000; n += 1) {
    const expiresAt = startedAt + 200 + ((n * 7_919) % 800)
    leases.issue(lease({ agentId: `agent-${n % 20}`, expiresAt }))
  }
  expect(leases.live).toBe(100_000)
  while (leases.live > 0) {
    await new Promise((resolve) => setTimeout(resolve, 250)) // as the daemon sweeps
    for (const { expiresAt } of leases.expire(Date.now())) lateness.push(Date.now() - expiresAt)
  }
  expect(lateness).toHaveLength(100_000)
  expect(ended).toHaveLength(100_000)
  expect(lateness.every((ms) => ms >= 0 && ms < 1_000)).toBe(true)
})

test('a renewed lease lives on, a shortened one ends sooner, each once', () => {
  const { leases, ended } = book()
  const longer = lease({ expiresAt: 1_000 })
  const shorter = lease({ expiresAt: 5_000 })
  leases.issue(longer)
  leases.issue(shorter)
  leases.renew(longer, 8_000, 500)
  leases.renew(shorter, 2_000, 500)
  expect(leases.expire(1_500)).toEqual([])
  expect(leases.expire(2_000)).toEqual([shorter])
  expect(leases.expire(7_999)).toEqual([])
  expect(leases.expire(9_000)).toEqual([longer])
  expect(ended).toEqual([shorter, longer])
  expect(leases.live).toBe(0)
})

test('places held count towards the limits, and are given back', () => {
  const { leases } = book({ perAgent: 2, total: 3 })
  const full = expect.objectContaining({ code: 'RATE_LIMITED' })
  const first = leases.reserve('scout')
  {
    using _second = leases.reserve('scout')
    expect(() => leases.reserve('scout')).toThrow(full)
    using _other = leases.reserve('ada')
    expect(() => leases.reserve('ada'), 'three in all').toThrow(full)
  }
  const one = lease()
  first.issue(one)
  first[Symbol.dispose]()
  expect(leases.liveOf('scout')).toBe(1)
  using _second = leases.reserve('scout')
  expect(() => leases.reserve('scout')).toThrow(full)
  leases.release('scout', one.id, 10)
  using _third = leases.reserve('scout')
})

test('ended leases are remembered for a day, live ones never forgotten', () => {
  const { leases } = book()
  const short = lease({ expiresAt: 1_000 })
  const long = lease({ expiresAt: 48 * HOUR })
  leases.issue(short)
  leases.issue(long)
  leases.expire(1_000)
  const late = () => leases.release('scout', short.id, 2_000)
  expect(late).toThrow(expect.objectContaining({ code: 'LEASE_EXPIRED' }))
  leases.expire(24 * HOUR + 999)
  expect(late).toThrow(expect.objectContaining({ code: 'LEASE_EXPIRED' }))
  leases.expire(24 * HOUR + 1_000)
  expect(late).toThrow(expect.objectContaining({ code: 'LEASE_NOT_FOUND' }))
  expect(leases.release('scout', long.id, 30 * HOUR)).toBe('released')
})

test('whatever happens in whatever order, the counts agree with a plain model', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('issue'), agent: fc.nat(2), ttl: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant('release'), at: fc.nat(30), agent: fc.nat(2) }),
    fc.record({ do: fc.constant('renew'), at: fc.nat(30), ttl: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant('revoke'), agent: fc.nat(2) }),
    fc.record({ do: fc.constant('pass'), ms: fc.integer({ min: 1, max: 5 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { leases, ended } = book()
      const all: Lease[] = []
      let now = 0
      for (const one of steps as {
        do: string
        agent: number
        at: number
        ttl: number
        ms: number
      }[]) {
        const target = all[one.at % Math.max(1, all.length)]
        if (one.do === 'pass') {
          now += one.ms
          leases.expire(now)
        } else if (one.do === 'issue') {
          const made = lease({ agentId: `a${one.agent}`, issuedAt: now, expiresAt: now + one.ttl })
          all.push(made)
          leases.issue(made)
        } else if (one.do === 'revoke') {
          leases.revoke({ agentId: `a${one.agent}` }, 'operator', now)
        } else if (target !== undefined && target.state === 'live') {
          if (one.do === 'renew') leases.renew(target, now + one.ttl, now)
          else if (target.agentId === `a${one.agent}`)
            leases.release(target.agentId, target.id, now)
        }
      }
      const live = all.filter(({ state }) => state === 'live')
      expect(live.every(({ expiresAt }) => expiresAt > now)).toBe(true)
      expect(leases.live).toBe(live.length)
      for (const agentId of ['a0', 'a1', 'a2'])
        expect(leases.list({ agentId })).toEqual(live.filter((one) => one.agentId === agentId))
      expect(new Set(ended).size).toBe(ended.length)
      expect(ended.length + live.length).toBe(all.length)
    }),
    { numRuns: 300 },
  )
})

test('vault §28.48: what is granted is what was asked, within every ceiling', () => {
  const defaults = { defaultTtl: 3_600, maxTtl: 86_400, maxLifetime: 86_400 }
  const none = { renewable: true } as Parameters<typeof grantTtl>[1]
  const grant = (asked: number | undefined, more: object = {}) =>
    grantTtl(asked, { ...none, ...more }, defaults)
  expect(grant(undefined)).toMatchObject({ ttl: 3_600, clamped: false })
  expect(grant(undefined, { maxTtl: 900 })).toMatchObject({ ttl: 900, clamped: false })
  expect(grant(undefined, { maxTtl: 900, defaultTtl: 300 })).toMatchObject({ ttl: 300 })
  expect(grant(undefined, { maxTtl: 100, defaultTtl: 300 })).toMatchObject({ ttl: 100 })
  expect(grant(600, { maxTtl: 900 })).toMatchObject({ ttl: 600, clamped: false })
  expect(grant(901, { maxTtl: 900 })).toMatchObject({ ttl: 900, clamped: true })
  expect(grant(100_000)).toMatchObject({ ttl: 86_400, clamped: true })
  expect(grant(600, { maxLifetime: 60 })).toMatchObject({ ttl: 60, clamped: true, maxLifetime: 60 })
})

test('vault §28.48: a renewal counts from now, up to the life allowed then and now', () => {
  const held = lease({ issuedAt: 1_000_000, latestExpiry: 1_000_000 + HOUR })
  const renewed = (ttl: number, maxLifetime: number, nowMs: number) =>
    renewedExpiry(held, { ttl, maxLifetime, clamped: false, renewable: true }, nowMs)
  expect(renewed(60, 86_400, 1_010_000)).toBe(1_070_000)
  expect(renewed(86_400, 86_400, 1_010_000)).toBe(1_000_000 + HOUR)
  expect(renewed(600, 300, 1_010_000), 'policy shortened its life').toBe(1_300_000)
})
