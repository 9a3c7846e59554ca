import { expect, test } from 'vitest'
import { patternWidth } from './pattern-width.ts'

/** Anchored, and not any text. */
function narrows(pattern: string): boolean {
  const { anchored, arbitrary } = patternWidth(pattern)
  return anchored && !arbitrary
}

test.each([
  '^[a-z0-9_-]{1,64}$',
  '^https://api\\.example\\.com/.*$',
  '^https?://docs\\.example\\.org/[a-z/]*$',
  '^/data/.+$',
  '^(?!.*\\.\\.)[\\w./-]+$',
  '^(?:add|sub)$',
  '^\\d+$',
  '^[^/]{1,32}$',
])('%s narrows a text', (pattern) => {
  expect(narrows(pattern)).toBe(true)
})

test.each([
  '.*',
  '^.*$',
  '^.+$',
  '^[\\s\\S]*$',
  '^[^\\0]+$',
  '^\\S+$',
  '^(.*)$',
  '^https?://.+$',
  '^https://.*$',
  '^(https?)://\\S+$',
  '^/.*$',
  '[a-z]+',
  '^[a-z]+',
  '^a|b$',
  '^$',
  '^(a',
  '^a)$',
  '^[a-z$',
  `^${'a'.repeat(3_000)}$`,
])('%s leaves a text open', (pattern) => {
  expect(narrows(pattern)).toBe(false)
})

test.each([
  ['^[a-z]{1,64}$', true],
  ['^[a-z]?x{3}$', true],
  ['^[a-z]{1,5000}$', false],
  ['^(?:[a-z]{1,100}){1,100}$', false],
  ['^[a-z]+$', false],
  ['^[a-z]{3,}$', false],
  ['^a*$', false],
])('%s bounds the length: %s', (pattern, bounded) => {
  expect(patternWidth(pattern).bounded).toBe(bounded)
})
