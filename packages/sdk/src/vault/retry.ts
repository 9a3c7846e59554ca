/** What to do after a failed call: pure rules, so that the table of wire contract §11.3 can be read here. */

/** How a lost connection is dialled again. Delays are drawn from 0 up to a doubling ceiling. */
export interface ReconnectPolicy {
  /** Attempts per loss. */
  retries: number
  /** Ceiling of the first delay, milliseconds. */
  minMs: number
  /** Ceiling of every delay, milliseconds. */
  maxMs: number
}

export const DEFAULT_RECONNECT: ReconnectPolicy = { retries: 5, minMs: 100, maxMs: 2_000 }

/** Methods whose second execution changes nothing a caller would mind. */
const REPEATABLE: ReadonlySet<string> = new Set([
  'list',
  'whoami',
  'status',
  'ping',
  'check_access',
  'lease_status',
  'release_lease',
  'retrieve',
])

export interface Failure {
  code: string
  method: string
  /** The caller said that executing twice is fine. */
  idempotent: boolean
  /** False when the request never left: then it cannot have been executed. */
  maybeExecuted: boolean
  retryAfterMs: number | undefined
  /** What this call was already granted. */
  reauthenticated: boolean
  repeated: boolean
  rateLimited: number
}

export interface RetryRules {
  autoReauth: boolean
  reconnect: boolean
  rateLimitRetries: number
}

export type Step =
  | { do: 'fail' }
  | { do: 'reauthenticate' }
  | { do: 'reconnect' }
  | { do: 'wait'; ms: number }

const FAIL: Step = { do: 'fail' }
const DEFAULT_RATE_WAIT_MS = 1_000

/** Each remedy is tried once per call, rate limits as often as the caller allowed. */
export function nextStep(failure: Failure, rules: RetryRules): Step {
  switch (failure.code) {
    case 'SESSION_EXPIRED':
      // The daemon refuses before it executes, so every method may be repeated.
      return rules.autoReauth && !failure.reauthenticated ? { do: 'reauthenticate' } : FAIL
    case 'CONNECTION_CLOSED': {
      if (!rules.reconnect || failure.repeated) return FAIL
      const harmless =
        !failure.maybeExecuted || failure.idempotent || REPEATABLE.has(failure.method)
      return harmless ? { do: 'reconnect' } : FAIL
    }
    case 'RATE_LIMITED':
      if (failure.rateLimited >= rules.rateLimitRetries) return FAIL
      return { do: 'wait', ms: failure.retryAfterMs ?? DEFAULT_RATE_WAIT_MS }
    default:
      return FAIL
  }
}

const PASSING: ReadonlySet<string> = new Set([
  'DAEMON_UNREACHABLE',
  'CONNECTION_CLOSED',
  'SHUTTING_DOWN',
  'TIMEOUT',
])

/** Failures of dialling that may pass by themselves. A sealed vault or a refused key does not. */
export function worthRedialling(code: string): boolean {
  return PASSING.has(code)
}

/**
 * Full jitter: clients that lost the same daemon do not come back at the same instant.
 *
 * @param attempt 0 for the first.
 * @param random  A number in [0, 1).
 */
export function backoffMs(attempt: number, policy: ReconnectPolicy, random: number): number {
  return random * Math.min(policy.maxMs, policy.minMs * 2 ** Math.min(attempt, 30))
}
