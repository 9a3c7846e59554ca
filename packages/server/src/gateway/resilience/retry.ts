/**
 * Which failures are worth another attempt, and how long to wait for it (gateway contract §12.2). Decides on types
 * and codes, never on the words of a message. Pure: whoever repeats asks here before each attempt.
 */
import { randomInt } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { isTransient } from '../../egress/failure.ts'
import { ToolFailure } from '../tools/tool.ts'

export type RetryReason = 'timeout' | '5xx' | 'network' | 'rate_limit' | 'unknown'

export interface RetryOptions {
  readonly maxRetries: number
  /** Before the first retry; doubled for each further one. */
  readonly baseMs: number
  readonly maxMs: number
  /** Share of the delay by which it is lengthened or shortened at random. */
  readonly jitter: number
}

export interface FailedAttempt {
  /** 1 for the first. */
  readonly attempt: number
  readonly error: unknown
  readonly nowMs: number
  /** No attempt begins at or after this moment. */
  readonly deadlineMs: number
}

/** 500 and 501 would come again; these say "not now". */
const PASSING_STATUS: ReadonlySet<number> = new Set([502, 503, 504])

/** Undefined where another attempt is no use: refusals, trust, content, and mistakes of ours. */
export function retryReason(error: unknown): RetryReason | undefined {
  const failure = toolFailure(error)
  if (failure?.kind === 'rate_limited') return 'rate_limit'
  if (failure !== undefined) return PASSING_STATUS.has(failure.upstreamStatus) ? '5xx' : undefined
  if (isTransient(error)) return 'network'
  return error instanceof VestryError && error.code === 'UPSTREAM_TIMEOUT' ? 'timeout' : undefined
}

/**
 * Milliseconds to wait before the next attempt; undefined when there is to be none.
 *
 * @param random 0 to 1.
 */
export function retryDelay(
  { attempt, error, nowMs, deadlineMs }: FailedAttempt,
  { maxRetries, baseMs, maxMs, jitter }: RetryOptions,
  random: () => number = randomFraction,
): number | undefined {
  if (attempt > maxRetries || retryReason(error) === undefined) return undefined
  const planned = Math.min(maxMs, baseMs * 2 ** (attempt - 1))
  const shaken = Math.round(planned * (1 + jitter * (2 * random() - 1)))
  // Sooner than the provider asked for would only fail again; later than the deadline helps nobody.
  const wanted = Math.max(shaken, 1_000 * (toolFailure(error)?.retryAfter ?? 0))
  return nowMs + wanted < deadlineMs ? wanted : undefined
}

function randomFraction(): number {
  return randomInt(2 ** 32) / 2 ** 32
}

/** The provider's own error, also when it has been put into the gateway's words. */
function toolFailure(error: unknown): ToolFailure | undefined {
  const source = error instanceof VestryError ? error.cause : error
  return source instanceof ToolFailure ? source : undefined
}
