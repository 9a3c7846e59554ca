import { VestryError } from '@vestry/contract/errors'
import { describe, expect, test } from 'vitest'
import { send } from '../../egress/send.ts'
import { createWorld, requestFor } from '../../egress/testing/world.ts'
import { ToolFailure } from '../tools/tool.ts'
import { type RetryOptions, retryDelay, retryReason } from './retry.ts'

const OPTIONS: RetryOptions = { maxRetries: 2, baseMs: 250, maxMs: 1_000, jitter: 0.1 }
const timeout = new VestryError('UPSTREAM_TIMEOUT')
const wrapped = (cause: ToolFailure) => new VestryError('UPSTREAM_FAILED', 'words', { cause })

describe('what is tried again', () => {
  test('time-outs, "not now" statuses and throttling, also in the words of the gateway', () => {
    expect(retryReason(timeout)).toBe('timeout')
    for (const status of [502, 503, 504]) {
      expect(retryReason(new ToolFailure('failed', status))).toBe('5xx')
      expect(retryReason(wrapped(new ToolFailure('failed', status)))).toBe('5xx')
    }
    expect(retryReason(new ToolFailure('rate_limited', 429))).toBe('rate_limit')
    expect(retryReason(wrapped(new ToolFailure('rate_limited', 429, 3)))).toBe('rate_limit')
  })

  test('a network that fails: no address, no connection', async () => {
    await using world = createWorld({ names: { 'gone.example': [] } })
    for (const url of ['http://gone.example/', 'http://api.example.com:1/']) {
      const failure = await send(requestFor(url), world.deps).catch((error: unknown) => error)
      expect(failure).toMatchObject({ code: 'UPSTREAM_ERROR' })
      expect(retryReason(failure)).toBe('network')
    }
  })

  test('nothing that would only fail again, whatever its words are', () => {
    for (const error of [
      new ToolFailure('failed', 500),
      new ToolFailure('failed', 501),
      new ToolFailure('auth', 401),
      new ToolFailure('rejected', 422),
      new VestryError('SSRF_BLOCKED'),
      new VestryError('REDIRECT_BLOCKED'),
      new VestryError('RESPONSE_TOO_LARGE'),
      new VestryError('ACCESS_DENIED'),
      new VestryError('CIRCUIT_OPEN'),
      new VestryError('UPSTREAM_ERROR', 'was not trusted'),
      new Error('timeout 503 429 ECONNRESET'),
      new TypeError('bug'),
      'text',
      undefined,
    ]) {
      expect(retryReason(error), String(error)).toBeUndefined()
      expect(retryDelay({ attempt: 1, error, nowMs: 0, deadlineMs: 1e9 }, OPTIONS)).toBeUndefined()
    }
  })
})

describe('when', () => {
  const delayOf = (attempt: number, random: number, options = OPTIONS, error: unknown = timeout) =>
    retryDelay({ attempt, error, nowMs: 0, deadlineMs: 60_000 }, options, () => random)

  test('after a delay that doubles up to its cap, and no more often than allowed', () => {
    expect([1, 2, 3].map((attempt) => delayOf(attempt, 0.5))).toEqual([250, 500, undefined])
    const many = { ...OPTIONS, maxRetries: 6 }
    expect([1, 2, 3, 4, 5, 6].map((attempt) => delayOf(attempt, 0.5, many))).toEqual([
      250, 500, 1_000, 1_000, 1_000, 1_000,
    ])
    expect(delayOf(1, 0.5, { ...OPTIONS, maxRetries: 0 })).toBeUndefined()
  })

  test('a tenth sooner or later, by chance', () => {
    expect([0, 0.25, 0.75, 1].map((random) => delayOf(2, random))).toEqual([450, 475, 525, 550])
    expect([0, 1].map((random) => delayOf(2, random, { ...OPTIONS, jitter: 0 }))).toEqual([
      500, 500,
    ])
  })

  test('not before the provider said, if it said so', () => {
    const throttled = (seconds?: number) => new ToolFailure('rate_limited', 429, seconds)
    expect(delayOf(1, 0.5, OPTIONS, throttled(3))).toBe(3_000)
    expect(delayOf(1, 0.5, OPTIONS, wrapped(throttled(3)))).toBe(3_000)
    expect(delayOf(1, 0.5, OPTIONS, throttled(0))).toBe(250)
    expect(delayOf(1, 0.5, OPTIONS, throttled())).toBe(250)
    expect(delayOf(1, 0.5, OPTIONS, throttled(60))).toBeUndefined()
  })

  test('never at or after the deadline', () => {
    const until = (deadlineMs: number) =>
      retryDelay({ attempt: 1, error: timeout, nowMs: 1_000, deadlineMs }, OPTIONS, () => 0.5)
    expect(until(1_251)).toBe(250)
    expect(until(1_250)).toBeUndefined()
    expect(until(900)).toBeUndefined()
  })
})
