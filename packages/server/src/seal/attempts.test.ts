import { expect, test } from 'vitest'
import { AttemptLimit } from './attempts.ts'

const limited = (retry_after_ms: number) =>
  expect.objectContaining({
    code: 'RATE_LIMITED',
    context: { retry_after_ms, scope: 'unseal', limit: 5 },
  })

function clocked() {
  const clock = { now: 1_700_000_000_000 }
  return { clock, attempts: new AttemptLimit(() => clock.now) }
}

test('five failures, then a minute, then two, four, eight and never more than fifteen', () => {
  const { clock, attempts } = clocked()
  for (let failed = 0; failed < 5; failed += 1) attempts.begin()
  for (const minutes of [1, 2, 4, 8, 15, 15]) {
    const delay = minutes * 60_000
    expect(() => attempts.begin()).toThrow(limited(delay))
    clock.now += delay - 1
    expect(() => attempts.begin()).toThrow(limited(1))
    clock.now += 1
    attempts.begin()
  }
})

test('attempts that run at the same time count from their start', () => {
  const { attempts } = clocked()
  const running = Array.from({ length: 5 }, () => attempts.begin())
  expect(() => attempts.begin()).toThrow(limited(60_000))
  running[0]?.succeeded()
  expect(attempts.failed).toBe(0)
  attempts.begin()
})

test('a withdrawn attempt counts for nothing, and only its first report counts', () => {
  const { attempts } = clocked()
  for (let withdrawn = 0; withdrawn < 50; withdrawn += 1) attempts.begin().withdraw()
  for (let failed = 0; failed < 4; failed += 1) attempts.begin()
  const fifth = attempts.begin()
  fifth.withdraw()
  fifth.succeeded()
  expect(attempts.failed).toBe(4)
  attempts.begin()
  expect(() => attempts.begin()).toThrow(limited(60_000))
})

test('fifteen quiet minutes forget old failures', () => {
  const { clock, attempts } = clocked()
  for (let failed = 0; failed < 4; failed += 1) attempts.begin()
  clock.now += 15 * 60_000 + 1
  attempts.begin()
  expect(attempts.failed).toBe(1)
})
