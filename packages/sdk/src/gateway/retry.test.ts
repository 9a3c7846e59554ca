import { expect, test, vi } from 'vitest'
import { GatewayError, GatewayNetworkError, GatewayRateLimitError } from './errors.ts'
import { mayRepeat } from './repeatable.ts'
import { calculateDelay, isRetryableError, withRetry } from './retry.ts'

const status = (statusCode: number) => new GatewayError('no', { statusCode })
const quick = { baseDelayMs: 1, maxDelayMs: 2 }

test('delays are 1, 2 and 4 seconds and never above 10, give or take an eighth', () => {
  expect([0, 1, 2, 3, 4, 40].map((n) => calculateDelay(n, {}, 0.5))).toEqual([
    1_000, 2_000, 4_000, 8_000, 10_000, 10_000,
  ])
  expect(calculateDelay(0, {}, 0)).toBe(875)
  expect(calculateDelay(0, {}, 1)).toBe(1_125)
  for (let n = 0; n < 100; n += 1) {
    expect(calculateDelay(1)).toBeGreaterThanOrEqual(1_750)
    expect(calculateDelay(1)).toBeLessThan(2_250)
  }
})

test('no answer and statuses from 500 on are worth another try, 4xx never', () => {
  expect([500, 501, 502, 503, 504, 599].map(status).every(isRetryableError)).toBe(true)
  expect([301, 400, 401, 403, 404, 409, 424].map(status).some(isRetryableError)).toBe(false)
  expect(isRetryableError(new GatewayRateLimitError('slow', { statusCode: 429 }))).toBe(false)
  expect(isRetryableError(new GatewayNetworkError('gone'))).toBe(true)
  expect(isRetryableError(new Error('a bug'))).toBe(false)
  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
  expect(isRetryableError(new TypeError('fetch failed', { cause: refused }))).toBe(true)
  expect(isRetryableError(new TypeError('a bug'))).toBe(false)
})

test('a call with effects is repeated only when nothing was sent', () => {
  expect(mayRepeat(status(503), false)).toBe(false)
  expect(mayRepeat(new GatewayNetworkError('lost'), false)).toBe(false)
  expect(mayRepeat(new GatewayNetworkError('refused', { maybeSent: false }), false)).toBe(true)
  expect(mayRepeat(status(503), true)).toBe(true)
  expect(mayRepeat(status(429), true)).toBe(false)
})

test('withRetry makes four attempts and then throws the last error', async () => {
  const operation = vi.fn(async (attempt: number) => {
    throw new GatewayError(`attempt ${attempt}`, { statusCode: 502 })
  })
  const onRetry = vi.fn()
  await expect(withRetry(operation, { ...quick, onRetry })).rejects.toThrow('attempt 3')
  expect(operation).toHaveBeenCalledTimes(4)
  expect(onRetry.mock.calls.map(([{ attempt }]) => attempt)).toEqual([1, 2, 3])
})

test('withRetry returns what a later attempt returns, and stops at an error that will not pass', async () => {
  const heals = async (attempt: number) => {
    if (attempt < 2) throw status(500)
    return attempt
  }
  expect(await withRetry(heals, quick)).toBe(2)
  const fails = vi.fn(async () => {
    throw status(400)
  })
  await expect(withRetry(fails, quick)).rejects.toMatchObject({ statusCode: 400 })
  expect(fails).toHaveBeenCalledTimes(1)
})

test('withRetry does not wait past its total time, and a signal ends the wait with its own reason', async () => {
  const fails = vi.fn(async () => {
    throw status(500)
  })
  await expect(withRetry(fails, { totalTimeoutMs: 100 })).rejects.toMatchObject({ statusCode: 500 })
  expect(fails).toHaveBeenCalledTimes(1)
  const reason = new Error('enough')
  const signal = AbortSignal.timeout(20)
  const waiting = withRetry(fails, { signal })
  await expect(waiting).rejects.toMatchObject({ name: 'TimeoutError' })
  await expect(withRetry(fails, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})
