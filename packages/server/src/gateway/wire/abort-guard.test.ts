import { describe, expect, test } from 'vitest'
import { AbortGuard } from './abort-guard.ts'

const JS = '@4runr/gateway/1.0.0'
const guard = () => new AbortGuard(true)

/** What the client does: three pauses that double, each up to an eighth longer; six seconds in all. */
const nextAttemptMs = (attempt: number) => 1_125 * 2 ** (attempt - 1)

describe('gateway §19.9: a 5xx is only told while a retry of it can end before the client’s deadline', () => {
  test.each([
    [1, 0, 502],
    [1, 4_375, 502],
    [1, 4_376, 424],
    [2, 3_250, 502],
    [2, 3_251, 424],
    [3, 1_000, 502],
    [3, 1_001, 424],
    [4, 0, 424],
  ])('attempt %i at %i ms: %i', (attempt, atMs, expected) => {
    const calls = guard()
    let last = calls.begin(JS, 'a', 0)
    for (let n = 1; n < attempt; n += 1) last = calls.begin(JS, 'a', atMs)
    expect(last.guarded(502, atMs)).toBe(expected)
    // In the client's terms: what it was told to retry begins before its deadline, with time to spare.
    const begins = atMs + nextAttemptMs(attempt)
    expect(expected === 502).toBe(begins + 500 <= 6_000)
  })

  test.each([500, 501, 502, 503, 504, 599])('%i becomes 424', (status) => {
    expect(guard().begin(JS, 'a', 0).guarded(status, 5_999)).toBe(424)
  })

  test.each([200, 202, 301, 400, 401, 404, 409, 424, 429, 499])('%i stays', (status) => {
    expect(guard().begin(JS, 'a', 0).guarded(status, 60_000)).toBe(status)
  })

  test('a call is one by its correlation id', () => {
    const calls = guard()
    for (let n = 0; n < 3; n += 1) calls.begin(JS, 'a', 0)
    expect(calls.begin(JS, 'a', 0).guarded(503, 0)).toBe(424)
    expect(calls.begin(JS, 'b', 0).guarded(503, 0)).toBe(503)
  })

  test('an answer is due 5.5 s after the first attempt', () => {
    const calls = guard()
    expect(calls.begin(JS, 'a', 1_000).answerWithinMs).toBe(5_500)
    expect(calls.begin(JS, 'a', 3_000).answerWithinMs).toBe(3_500)
    expect(calls.begin(JS, 'a', 9_000).answerWithinMs).toBe(0)
  })

  test('an id that comes back after a minute is another call', () => {
    const calls = guard()
    for (let n = 0; n < 4; n += 1) calls.begin(JS, 'a', 0)
    const anew = calls.begin(JS, 'a', 60_001)
    expect(anew.answerWithinMs).toBe(5_500)
    expect(anew.guarded(502, 60_001)).toBe(502)
  })

  test('nobody else is guarded, and nobody at all when it is off', () => {
    const off = new AbortGuard(false)
    const others = ['runrgateway/1.0.0', '@4runr/gateway', 'a @4runr/gateway/1', undefined]
    const attempts = [...others.map((agent) => guard().begin(agent, 'a', 0)), off.begin(JS, 'a', 0)]
    for (const attempt of attempts) {
      expect(attempt.answerWithinMs).toBeUndefined()
      expect(attempt.guarded(503, 60_000)).toBe(503)
    }
  })

  test('its memory has a bound', () => {
    const calls = guard()
    for (let n = 0; n < 3; n += 1) calls.begin(JS, 'first', 0)
    for (let n = 0; n < 10_000; n += 1) calls.begin(JS, `id ${n}`, 0)
    // Forgotten, so counted as its first attempt: the price of a flood of ids.
    expect(calls.begin(JS, 'first', 0).guarded(502, 0)).toBe(502)
  })
})
