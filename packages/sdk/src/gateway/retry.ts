/**
 * Repeating what failed for a passing reason, with doubling delays. Knows nothing of what it repeats:
 * whether a call may be executed twice is decided in repeatable.ts.
 */
import { randomInt } from 'node:crypto'
import { sleep } from '../vault/wait.ts'
import { GatewayError } from './errors.ts'

/** Times are milliseconds. */
export interface RetryOptions {
  /** Attempts after the first. Default 3. */
  maxRetries?: number
  /** Before the first retry; doubles from there. Default 1 000. */
  baseDelayMs?: number
  /** No delay is longer, jitter aside. Default 10 000. */
  maxDelayMs?: number
  /** Width of the jitter as a part of the delay: 0.25 is ±12.5 %. Default 0.25. */
  jitter?: number
  /** No retry starts later than this after the first attempt began. Default: no bound. */
  totalTimeoutMs?: number
  /** Gives up with the signal's own reason. */
  signal?: AbortSignal
  /** Default {@link isRetryableError}. */
  shouldRetry?: (error: unknown) => boolean
  /** Told before each wait. */
  onRetry?: (retry: Retry) => void
}

export interface Retry {
  /** 1 for the first retry. */
  attempt: number
  delayMs: number
  error: unknown
}

export const DEFAULT_RETRY = {
  maxRetries: 3,
  baseDelayMs: 1_000,
  maxDelayMs: 10_000,
  jitter: 0.25,
} as const satisfies RetryOptions

/** No answer, or an answer that says the gateway or what is behind it failed: any status from 500 on. */
export function isRetryableError(error: unknown): boolean {
  if (!(error instanceof GatewayError)) return isFetchFailure(error)
  if (error.code === 'NETWORK_ERROR') return true
  return error.statusCode !== undefined && error.statusCode >= 500
}

/**
 * Milliseconds before a retry.
 *
 * @param attempt 0 before the first retry.
 * @param random  In [0, 1).
 */
export function calculateDelay(
  attempt: number,
  options: Pick<RetryOptions, 'baseDelayMs' | 'maxDelayMs' | 'jitter'> = {},
  random: number = randomFraction(),
): number {
  const {
    baseDelayMs = DEFAULT_RETRY.baseDelayMs,
    maxDelayMs = DEFAULT_RETRY.maxDelayMs,
    jitter = DEFAULT_RETRY.jitter,
  } = options
  const delay = Math.min(baseDelayMs * 2 ** Math.min(attempt, 30), maxDelayMs)
  return delay * (1 + jitter * (random - 0.5))
}

/**
 * The operation's result, or its last error.
 *
 * @param operation Gets the number of the attempt, 0 for the first.
 */
export async function withRetry<T>(
  operation: (attempt: number) => Promise<T>,
  options: RetryOptions = {},
): Promise<T> {
  const { signal, shouldRetry = isRetryableError, onRetry } = options
  const maxRetries = options.maxRetries ?? DEFAULT_RETRY.maxRetries
  const latestMs = performance.now() + (options.totalTimeoutMs ?? Number.POSITIVE_INFINITY)
  for (let attempt = 0; ; attempt += 1) {
    signal?.throwIfAborted()
    try {
      return await operation(attempt)
    } catch (error) {
      signal?.throwIfAborted()
      if (attempt >= maxRetries || !shouldRetry(error)) throw error
      const delayMs = calculateDelay(attempt, options)
      // Waiting past the end only to give up there would hide the error for longer.
      if (performance.now() + delayMs >= latestMs) throw error
      onRetry?.({ attempt: attempt + 1, delayMs, error })
      await sleep(delayMs, signal)
    }
  }
}

/** What `fetch` rejects with when there is no answer, for operations that call it themselves. */
function isFetchFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error.name === 'TimeoutError') return true
  return error instanceof TypeError && error.cause instanceof Error && 'code' in error.cause
}

function randomFraction(): number {
  return randomInt(2 ** 32) / 2 ** 32
}
