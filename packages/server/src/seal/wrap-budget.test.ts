import { expect, test } from 'vitest'
import { nonceBudget } from './nonce-budget.ts'
import { WrapBudget } from './wrap-budget.ts'

const settled = () => new Promise((resolve) => setImmediate(resolve))

test('wraps are reserved in blocks ahead of use, so that the durable count is never low', async () => {
  let durable = 0
  const budget = new WrapBudget(async (count) => {
    durable += count
    return durable
  })
  for (let used = 1; used <= 40_000; used += 1) {
    budget.spend()
    if (used % 1_000 !== 1) continue
    await settled()
    expect(durable).toBeGreaterThanOrEqual(used)
    expect(durable).toBeLessThan(used + 3 * 16_384)
  }
})

test('a term key at its limit wraps nothing more', async () => {
  const budget = new WrapBudget(async () => 2 ** 32)
  budget.spend()
  await settled()
  expect(() => budget.spend()).toThrow(expect.objectContaining({ code: 'CONFLICT' }))
})

test('a reservation that fails is made up for by the next one', async () => {
  const asked: number[] = []
  const budget = new WrapBudget(async (count) => {
    asked.push(count)
    if (asked.length === 1) throw new Error('store away')
    return count
  })
  budget.spend()
  await settled()
  for (let used = 0; used < 9; used += 1) budget.spend()
  await settled()
  expect(asked).toEqual([16_385, 16_386])
})

test('vault §28.38: nonces are due at 2^31 and spent at 2^32', () => {
  expect(nonceBudget(2 ** 31 - 1)).toBe('fine')
  expect(nonceBudget(2 ** 31)).toBe('due')
  expect(nonceBudget(2 ** 32 - 1)).toBe('due')
  expect(nonceBudget(2 ** 32)).toBe('spent')
})
