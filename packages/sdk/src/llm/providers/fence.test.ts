import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FenceStripper, withoutFence } from './fence.ts'

test.each([
  ['{"a":1}', '{"a":1}'],
  ['  {"a":1}\n', '  {"a":1}\n'],
  ['```json\n{"a":1}\n```', '{"a":1}'],
  ['\n```\n{"a":1}\n\n```  \n', '{"a":1}'],
  ['```json\n{"a":"```"}', '{"a":"```"}'],
  ['```json\n{"a":1}\n```\nThat is all.', '{"a":1}\n```\nThat is all.'],
  ['`a`', '`a`'],
  ['```', '```'],
  ['', ''],
])('%j is %j without its fence', (given, expected) => {
  expect(withoutFence(given)).toBe(expected)
})

test('pieces come out as the whole does', () => {
  const letters = fc.constantFrom('`', '```', '\n', ' ', '{"a":1}', 'json', 'ü')
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 20 }), (parts) => {
      const stripper = new FenceStripper()
      const said = parts.map((part) => stripper.push(part)).join('')
      expect(said + stripper.end()).toBe(withoutFence(parts.join('')))
    }),
    { numRuns: 500 },
  )
})

test('an answer of blanks and backticks costs no more than its length, and no memory', () => {
  const stripper = new FenceStripper()
  stripper.push('```json\n')
  const started = performance.now()
  let length = 0
  for (let at = 0; at < 20_000; at += 1)
    length += stripper.push(at % 2 === 0 ? '\n'.repeat(50) : '`').length
  expect(length).toBeGreaterThan(500_000)
  expect(withoutFence(`\`\`\`\n${' '.repeat(1e6)}x`)).toHaveLength(1e6 + 1)
  expect(performance.now() - started).toBeLessThan(2000)
})
