import fc from 'fast-check'
import { expect, test } from 'vitest'
import { eachStore } from '../store/test-store.ts'
import type { BucketLimit } from './bucket.ts'
import { type BudgetLimit, budgetUse } from './budget.ts'
import { Limits } from './limits.ts'
import type { WindowLimit } from './window.ts'

const bucket = (over: Partial<BucketLimit> = {}): BucketLimit => ({
  kind: 'bucket',
  key: 'b',
  scope: 'requests',
  perSecond: 10,
  burst: 3,
  ...over,
})
const window = (over: Partial<WindowLimit> = {}): WindowLimit => ({
  kind: 'window',
  key: 'w',
  scope: 'daily',
  limit: 3,
  lengthMs: 1_000,
  mode: 'fixed',
  ...over,
})
const budget = (over: Partial<BudgetLimit> = {}): BudgetLimit => ({
  kind: 'budget',
  key: 'tokens',
  scope: 'llm tokens',
  limit: 1_000,
  amount: 400,
  ...over,
})

const refused = (context: object = {}) =>
  expect.objectContaining({
    code: 'RATE_LIMITED',
    context: expect.objectContaining(context),
  })

eachStore('limits', (at) => {
  const clock = { ms: 1_000_000 }
  let run = 0
  const limits = (store = at.store) =>
    new Limits({ store, now: () => clock.ms, monotonic: () => clock.ms })

  test('a fixed window admits its limit, then says when the next one opens', async () => {
    clock.ms = 1_000_300
    const l = limits()
    for (let n = 0; n < 3; n += 1) await (await l.reserve([window()])).commit()
    await expect(l.reserve([window()])).rejects.toEqual(
      refused({ retry_after_ms: 700, scope: 'daily', limit: '3/1s fixed' }),
    )
    clock.ms += 700
    await (await l.reserve([window()])).commit()
  })

  test('fixed weeks begin on Sunday, fixed days at midnight, both in UTC', async () => {
    const day = 86_400_000
    for (const [lengthMs, at, opens] of [
      [7 * day, '2026-03-04T10:00:00Z', '2026-03-08T00:00:00Z'],
      [14 * day, '2026-03-07T23:59:59Z', '2026-03-08T00:00:00Z'],
      [day, '2026-03-04T10:00:00Z', '2026-03-05T00:00:00Z'],
    ] as const) {
      clock.ms = Date.parse(at)
      const l = limits()
      const week = window({ key: `fixed-${lengthMs}`, lengthMs, limit: 1 })
      await (await l.reserve([week])).commit()
      const refusal = await l.reserve([week]).catch((error: unknown) => error)
      const { retry_after_ms: wait } = (refusal as { context: { retry_after_ms: number } }).context
      expect((clock.ms + wait - Date.parse(opens)) % lengthMs).toBe(0)
      expect(wait).toBeLessThanOrEqual(lengthMs)
    }
  })

  test('a sliding window admits one more at the very millisecond the oldest leaves', async () => {
    clock.ms = 2_000_000
    const l = limits()
    const sliding = window({ mode: 'sliding' })
    for (let n = 0; n < 3; n += 1) {
      await l.reserve([sliding])
      clock.ms += 100
    }
    await expect(l.reserve([sliding])).rejects.toEqual(refused({ retry_after_ms: 700 }))
    clock.ms += 699
    await expect(l.reserve([sliding])).rejects.toEqual(refused({ retry_after_ms: 1 }))
    clock.ms += 1
    await l.reserve([sliding])
    await expect(l.reserve([sliding])).rejects.toEqual(refused({ retry_after_ms: 100 }))
  })

  test('a sliding window beyond the exact size never admits early', async () => {
    clock.ms = 3_000_000
    const l = limits()
    const big = window({ mode: 'sliding', limit: 20_000, lengthMs: 3_600_000, cost: 20_000 })
    await l.reserve([big])
    const one = { ...big, cost: 1 }
    clock.ms += 3_600_000 - 1
    await expect(l.reserve([one])).rejects.toEqual(refused())
    clock.ms += 3_600 + 1 // one slot
    await l.reserve([one])
  })

  test('a cost that can never fit is refused without a waiting time', async () => {
    await expect(limits().reserve([window({ cost: 4 })])).rejects.toEqual(
      refused({ retry_after_ms: null }),
    )
  })

  test('a budget holds the estimate, then counts what was really taken', async () => {
    const l = limits()
    const first = await l.reserve([budget()])
    const second = await l.reserve([budget()])
    await expect(l.reserve([budget()])).rejects.toEqual(refused({ scope: 'llm tokens' }))
    await first.commit({ tokens: 10 })
    expect(await budgetUse(at.store.db, 'tokens')).toEqual({ reserved: 400, spent: 10 })
    await second.release()
    expect(await budgetUse(at.store.db, 'tokens')).toEqual({ reserved: 0, spent: 10 })
    const third = await l.reserve([budget({ amount: 990 })])
    await third.commit({ tokens: 2_000 }) // more than was held is counted in full
    await expect(l.reserve([budget({ amount: 1, resetsAtMs: clock.ms + 5_000 })])).rejects.toEqual(
      refused({ retry_after_ms: 5_000 }),
    )
  })

  test('a budget that is only held by others is told from one that is spent', async () => {
    const l = limits()
    const first = await l.reserve([budget({ amount: 900 })])
    await expect(l.reserve([budget()])).rejects.toEqual(
      refused({ held: true, retry_after_ms: 1_000 }),
    )
    await first.commit({ tokens: 700 })
    const spent = await l.reserve([budget()]).catch((error) => error)
    expect(spent).toEqual(refused({ retry_after_ms: null }))
    expect(spent.context).not.toHaveProperty('held')
    await expect(l.reserve([budget({ amount: 1_001 })])).rejects.toMatchObject({
      context: expect.not.objectContaining({ held: true }),
    })
  })

  test('a hold that nobody settled counts as spent, and settling late corrects it', async () => {
    const l = limits()
    const lost = await l.reserve([budget({ holdMs: 100 })])
    clock.ms += 101
    await l.prune()
    expect(await budgetUse(at.store.db, 'tokens')).toEqual({ reserved: 0, spent: 400 })
    await lost.commit({ tokens: 150 })
    expect(await budgetUse(at.store.db, 'tokens')).toEqual({ reserved: 0, spent: 150 })
  })

  test('a budget is forgotten a hundred days after its last use, and looked for once an hour', async () => {
    const days = 86_400_000
    const before = clock.ms
    const l = limits()
    const keys = async () =>
      (await at.store.db.selectFrom('budget').select('key').orderBy('key').execute()).map(
        ({ key }) => key,
      )
    await (await l.reserve([budget({ key: 'old' })])).commit()
    const held = await l.reserve([budget({ key: 'held', holdMs: 300 * days })])
    clock.ms += 100 * days
    await l.prune()
    expect(await keys()).toEqual(['held', 'old'])
    await (await l.reserve([budget({ key: 'new' })])).commit()
    clock.ms += 1
    await l.prune()
    expect(await keys()).toEqual(['held', 'new', 'old'])
    clock.ms += 3_600_000
    await l.prune()
    expect(await keys()).toEqual(['held', 'new'])
    await held.release()
    clock.ms = before
  })

  test('a refusal of one kind charges none of the others', async () => {
    clock.ms = 4_000_000
    const l = limits()
    await l.reserve([budget({ amount: 1_000 })])
    for (let n = 0; n < 20; n += 1) {
      await expect(l.reserve([bucket(), window(), budget()])).rejects.toEqual(
        refused({ scope: 'llm tokens' }),
      )
    }
    for (let n = 0; n < 3; n += 1) await l.reserve([bucket(), window()])
    await expect(l.reserve([bucket(), window()])).rejects.toEqual(refused({ scope: 'requests' }))
    await expect(l.reserve([window()])).rejects.toEqual(refused({ scope: 'daily' }))
  })

  test('releasing gives every kind back, once', async () => {
    clock.ms = 5_000_000
    const l = limits()
    for (let n = 0; n < 10; n += 1) {
      const reservation = await l.reserve([bucket(), window(), budget({ amount: 1_000 })])
      await reservation.release()
      await reservation.release()
    }
    {
      await using _unused = await l.reserve([bucket(), window(), budget({ amount: 1_000 })])
    }
    const kept = await l.reserve([bucket(), window(), budget({ amount: 1_000 })])
    await kept.commit()
    await kept.release()
    expect(await budgetUse(at.store.db, 'tokens')).toEqual({ reserved: 0, spent: 1_000 })
  })

  test('what cannot be given back stays charged, and does not hide why', async () => {
    clock.ms = 5_500_000
    const store = await at.open()
    const l = limits(store)
    const work = async () => {
      await using _unused = await l.reserve([window({ key: 'lost', limit: 1 })])
      await store.close()
      throw new Error('the reason')
    }
    await expect(work()).rejects.toThrow('the reason')
    await expect(limits().reserve([window({ key: 'lost', limit: 1 })])).rejects.toEqual(refused())
  })

  test('charges outlive the process', async () => {
    clock.ms = 6_000_000
    for (let n = 0; n < 3; n += 1) await limits().reserve([window()])
    await expect(limits(await at.open()).reserve([window()])).rejects.toEqual(refused())
  })

  test('amounts that are no whole numbers are refused and charge nothing', async () => {
    const l = limits()
    for (const amount of [0.5, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expect(l.reserve([bucket(), budget({ amount })])).rejects.toMatchObject({
        code: 'INVALID_PARAMS',
      })
      await expect(l.reserve([bucket(), window({ cost: amount })])).rejects.toMatchObject({
        code: 'INVALID_PARAMS',
      })
    }
    for (let n = 0; n < 3; n += 1) l.take(bucket())
  })

  test('windows that no longer count are pruned', async () => {
    const l = limits()
    await l.reserve([window(), window({ mode: 'sliding' })])
    clock.ms += 2_001
    await l.prune()
    expect(await at.store.db.selectFrom('limit_window').selectAll().execute()).toEqual([])
  })

  test('callers at once are never over-admitted, and no room is left unused', async () => {
    const other = await at.open()
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 25 }),
        fc.constantFrom('fixed' as const, 'sliding' as const),
        fc.integer({ min: 1, max: 3 }),
        async (limit, callers, mode, cost) => {
          run += 1
          clock.ms += 10_000
          const nodes = [limits(), limits(other)]
          const asked = [
            window({ key: `w${run}`, limit, mode, cost, lengthMs: 3_600_000 }),
            budget({ key: `b${run}`, limit: 100, amount: 5 }),
          ]
          const outcomes = await Promise.allSettled(
            Array.from({ length: callers }, (_, n) => nodes[n % 2]!.reserve(asked)),
          )
          const admitted = outcomes.filter(({ status }) => status === 'fulfilled').length
          expect(admitted).toBe(Math.min(callers, Math.floor(limit / cost), 20))
          for (const outcome of outcomes) {
            if (outcome.status === 'rejected') expect(outcome.reason).toEqual(refused())
          }
          const { reserved } = await budgetUse(at.store.db, `b${run}`)
          expect(reserved).toBe(admitted * 5)
        },
      ),
      { numRuns: 12 },
    )
  }, 30_000)
})

test('buckets alone need no store and no promise', () => {
  const nowhere = new Proxy({} as never, {
    get() {
      throw new Error('the store was touched')
    },
  })
  const l = new Limits({ store: nowhere, now: () => 0, monotonic: () => 0 })
  l.takeAll([bucket(), bucket({ key: 'c' })])
  l.take(bucket())
  l.take(bucket())
  expect(() => l.takeAll([bucket({ key: 'c' }), bucket()])).toThrow(
    refused({ scope: 'requests', limit: '10/s burst 3', retry_after_ms: 100 }),
  )
  l.takeAll([bucket({ key: 'c' }), bucket({ key: 'c' })]) // the refusal above took none of c
})
