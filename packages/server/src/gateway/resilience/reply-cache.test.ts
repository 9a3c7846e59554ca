import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ReplyCache } from './reply-cache.ts'

test('the key is made of everything that shapes the result, in whatever order it is written', () => {
  const cache = new ReplyCache()
  const key = cache.key('sha256:aa', 'serpapi', 'search', { q: 'x', start: 10 })
  expect(cache.key('sha256:aa', 'serpapi', 'search', { start: 10, q: 'x' })).toBe(key)
  const others = [
    cache.key('sha256:bb', 'serpapi', 'search', { q: 'x', start: 10 }),
    cache.key('sha256:aa', 'serpapi2', 'search', { q: 'x', start: 10 }),
    cache.key('sha256:aa', 'serpapi', 'news', { q: 'x', start: 10 }),
    cache.key('sha256:aa', 'serpapi', 'search', { q: 'x', start: 20 }),
    cache.key('sha256:aa', 'serpapi', 'search', { q: 'x' }),
    cache.key('sha256:aa', 'serpapi', 'search', { q: 'x', start: '10' }),
  ]
  expect(new Set([key, ...others]).size).toBe(7)
})

test('an entry lives for the time of its action', () => {
  const cache = new ReplyCache()
  cache.set('a', { n: 1 }, 30_000, 1_000)
  expect(cache.get('a', 30_999)).toEqual({ n: 1 })
  expect(cache.get('a', 31_000)).toBeUndefined()
  expect([cache.size, cache.bytes]).toEqual([0, 0])
  cache.set('b', 1, 0, 0)
  expect(cache.get('b', 0)).toBeUndefined()
})

test('what one reader does to its copy, no other sees', () => {
  const cache = new ReplyCache()
  const value = { list: [1, 2] }
  cache.set('a', value, 1_000, 0)
  value.list.push(3)
  const taken = cache.get('a', 0) as { list: number[] }
  taken.list.length = 0
  expect(cache.get('a', 0)).toEqual({ list: [1, 2] })
})

test('the least recently used leaves first', () => {
  const cache = new ReplyCache({ maxEntries: 3 })
  for (const key of ['a', 'b', 'c']) cache.set(key, key, 1_000, 0)
  cache.get('a', 0)
  cache.set('d', 'd', 1_000, 0)
  expect(['a', 'b', 'c', 'd'].map((key) => cache.get(key, 0))).toEqual(['a', undefined, 'c', 'd'])
})

test('all entries together stay within their bytes, and none takes them all', () => {
  const cache = new ReplyCache({ maxBytes: 10_000 })
  for (let at = 0; at < 50; at += 1) cache.set(`key${at}`, 'x'.repeat(500), 1_000, 0)
  expect(cache.bytes).toBeLessThanOrEqual(10_000)
  expect(cache.get('key49', 0)).toBeDefined()
  const { size } = cache
  cache.set('huge', 'x'.repeat(2_000), 1_000, 0)
  expect([cache.get('huge', 0), cache.size]).toEqual([undefined, size])
  cache.clear()
  expect([cache.size, cache.bytes]).toEqual([0, 0])
})

test('a value that became too large takes the place of nothing, and the old one is gone', () => {
  const cache = new ReplyCache({ maxBytes: 10_000 })
  cache.set('a', 'old', 1_000, 0)
  cache.set('a', 'x'.repeat(9_000), 1_000, 0)
  expect([cache.get('a', 0), cache.bytes]).toEqual([undefined, 0])
})

test('whatever is put in and taken out, the count of bytes is right and the bounds hold', () => {
  const step = fc.tuple(fc.nat(20), fc.nat(300), fc.nat(50), fc.boolean())
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const cache = new ReplyCache({ maxEntries: 8, maxBytes: 3_000 })
      steps.forEach(([name, length, ttlMs, reads], nowMs) => {
        const key = `k${name}`
        if (reads) cache.get(key, nowMs)
        else cache.set(key, 'x'.repeat(length), ttlMs, nowMs)
      })
      expect(cache.size).toBeLessThanOrEqual(8)
      expect(cache.bytes).toBeLessThanOrEqual(3_000)
      for (let name = 0; name <= 20; name += 1) cache.set(`k${name}`, null, 0, 0)
      expect([cache.size, cache.bytes]).toEqual([0, 0])
    }),
  )
})
