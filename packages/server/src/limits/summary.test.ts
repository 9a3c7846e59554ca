import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { OTHER_KEYS, RefusalSummaries, type RefusalSummary } from './summary.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function setUp(options: { maxKeys?: number } = {}) {
  const out: RefusalSummary<{ agent: string }>[] = []
  const summaries = new RefusalSummaries<{ agent: string }>({
    now: Date.now,
    emit: (summary) => out.push(summary),
    ...options,
  })
  return { out, summaries }
}

test('a flood becomes one summary per key and ten seconds, with its count', () => {
  const { out, summaries } = setUp()
  const start = Date.now()
  for (let n = 0; n < 1_000; n += 1) {
    summaries.add(n % 4 === 0 ? 'a' : 'b', { agent: 'scout' })
    vi.advanceTimersByTime(5)
  }
  vi.advanceTimersByTime(5_000)
  expect(out).toEqual([
    { key: 'a', count: 250, firstMs: start, lastMs: start + 4_980, detail: { agent: 'scout' } },
    { key: 'b', count: 750, firstMs: start + 5, lastMs: start + 4_995, detail: { agent: 'scout' } },
  ])
})

test('two summaries of a key are never closer than ten seconds', () => {
  const { out, summaries } = setUp()
  const at: number[] = []
  for (let n = 0; n < 6_000; n += 1) {
    const before = out.length
    summaries.add('a', { agent: 'scout' })
    vi.advanceTimersByTime(10)
    if (out.length > before) at.push(Date.now())
  }
  expect(out.reduce((sum, { count }) => sum + count, 0)).toBe(6_000)
  expect(at).toHaveLength(6)
  for (const [index, time] of at.slice(1).entries()) {
    expect(time - (at[index] ?? 0)).toBeGreaterThanOrEqual(10_000)
  }
})

test('without refusals nothing is emitted and no timer runs', () => {
  const { out, summaries } = setUp()
  summaries.add('a', { agent: 'scout' })
  vi.advanceTimersByTime(60_000)
  expect(out).toHaveLength(1)
  expect(vi.getTimerCount()).toBe(0)
})

test('keys beyond the bound are counted together', () => {
  const { out, summaries } = setUp({ maxKeys: 3 })
  for (let n = 0; n < 100; n += 1) summaries.add(`k${n}`, { agent: `k${n}` })
  vi.advanceTimersByTime(10_000)
  expect(out.map(({ key, count }) => [key, count])).toEqual([
    ['k0', 1],
    ['k1', 1],
    ['k2', 1],
    [OTHER_KEYS, 97],
  ])
})

test('disposing emits what still waits', () => {
  const { out, summaries } = setUp()
  summaries.add('a', { agent: 'scout' })
  summaries[Symbol.dispose]()
  expect(out).toHaveLength(1)
  expect(vi.getTimerCount()).toBe(0)
})
