import { expect, test } from 'vitest'
import { RecentMap } from './recent-map.ts'

test('what is asked for stays, what is not goes, and the bound holds', () => {
  const map = new RecentMap<number, number>(100)
  for (let n = 0; n < 10_000; n += 1) {
    map.set(n, n)
    expect(map.get(0)).toBe(0)
    expect(map.size).toBeLessThanOrEqual(101)
  }
  expect(map.get(9_999)).toBe(9_999)
  expect(map.get(9_980)).toBe(9_980)
  expect(map.has(5_000)).toBe(false)
})

test('undefined can be remembered, and is told from not known', () => {
  const map = new RecentMap<string, string | undefined>(4)
  map.set('absent', undefined)
  for (const key of ['a', 'b']) map.set(key, key)
  expect(map.has('absent')).toBe(true)
  expect(map.get('absent')).toBeUndefined()
  map.clear()
  expect(map.has('absent')).toBe(false)
  expect(map.size).toBe(0)
})
