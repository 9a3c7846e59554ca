import { expect, test } from 'vitest'
import { backoffMs, isRetryable, pauseMs, retryAfterMs } from './retry.ts'

test('telemetry §16.43: only what may pass is tried again', () => {
  expect([429, 502, 503, 504].every(isRetryable)).toBe(true)
  expect([200, 301, 400, 401, 404, 408, 413, 500, 501].some(isRetryable)).toBe(false)
})

test('waits grow by half, within a fifth, up to five seconds', () => {
  expect([1, 2, 3, 4, 5, 6].map((attempt) => backoffMs(attempt, 0.5))).toEqual([
    1000, 1500, 2250, 3375, 5000, 5000,
  ])
  expect([backoffMs(1, 0), backoffMs(1, 1)]).toEqual([800, 1200])
})

test('Retry-After is seconds or a date, and bounded', () => {
  const now = Date.parse('2026-05-02T09:14:07Z')
  expect(retryAfterMs('3', now)).toBe(3000)
  expect(retryAfterMs('Sat, 02 May 2026 09:14:17 GMT', now)).toBe(10_000)
  expect(retryAfterMs('Sat, 02 May 2026 09:14:00 GMT', now)).toBe(0)
  expect(retryAfterMs('86400', now)).toBe(300_000)
  for (const text of ['soon', '-5', '1.5', '', '9999999999'])
    expect(retryAfterMs(text, now)).toBeUndefined()
  expect(retryAfterMs(undefined, now)).toBeUndefined()
})

test('pauses between series grow to half a minute', () => {
  expect([1, 2, 3, 4, 5, 6, 60].map(pauseMs)).toEqual([
    1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
  ])
})
