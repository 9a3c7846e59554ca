/** The rates, quotas and use counts that the deciding policies ask for, as limits of one principal. */
import { VestryError } from '@vestry/contract/errors'
import type { Limit, Limits, Reservation } from '../limits/limits.ts'
import { describeWindow, type WindowLimit } from '../limits/window.ts'
import type { Obligations } from '../policy/engine.ts'

const DAY_MS = 86_400_000

/** What one use counts towards. */
export interface CountedUse {
  /** Uses are counted for each of these apart: the credential's path. */
  readonly of: string
  /** Seconds over which uses are counted when the policy names no `max_lifetime`. */
  readonly lifetime: number
}

/**
 * Charges every rate, quota and use of a decision, or none.
 *
 * @param who The principal the limits count for.
 * @param use Absent: the call is not a use.
 * @returns undefined when the decision asks for nothing, which is the common and the fast case.
 * @throws VestryError RATE_LIMITED; LEASE_EXHAUSTED when `max_uses` is used up.
 */
export function chargePolicy(
  limits: Limits,
  who: string,
  obligations: Obligations,
  use: CountedUse | undefined,
  more: readonly Limit[] = [],
): Promise<Reservation> | undefined {
  const uses = use === undefined ? [] : useLimits(who, obligations, use)
  const quotas = quotaLimits(who, obligations)
  const wanted = [...more, ...rateLimits(who, obligations), ...quotas, ...uses]
  if (wanted.length === 0) return undefined
  return limits.reserve(wanted).catch((error: unknown) => {
    throw exhausted(error, uses, quotas)
  })
}

function rateLimits(who: string, { rates }: Pick<Obligations, 'rates'>): Limit[] {
  const wanted: Limit[] = []
  for (const { policy, perSecond, burst, perDay } of rates) {
    if (perSecond !== undefined) {
      const size = burst ?? Math.max(1, perSecond)
      wanted.push({
        kind: 'bucket',
        key: `rate:${policy}:${perSecond}/${size}:${who}`,
        scope: policy,
        perSecond,
        burst: size,
      })
    }
    if (perDay !== undefined) {
      wanted.push({
        kind: 'window',
        key: `day:${policy}:${who}`,
        scope: policy,
        limit: perDay,
        lengthMs: DAY_MS,
        mode: 'sliding',
      })
    }
  }
  return wanted
}

function quotaLimits(who: string, { quotas }: Pick<Obligations, 'quotas'>): WindowLimit[] {
  return quotas.map(({ policy, limit, windowSeconds, sliding }) => ({
    kind: 'window',
    key: `quota:${policy}:${limit}/${windowSeconds}:${who}`,
    scope: policy,
    limit,
    lengthMs: windowSeconds * 1000,
    mode: sliding ? 'sliding' : 'fixed',
  }))
}

/** At most `max_uses` in any stretch of `max_lifetime`, per principal, credential and policy. */
function useLimits(
  who: string,
  { uses }: Obligations,
  { of, lifetime }: CountedUse,
): WindowLimit[] {
  return (uses ?? []).map(({ policy, limit, lifetime: own = lifetime }) => ({
    kind: 'window',
    key: `uses:${policy}:${who}:${of}`,
    scope: `max_uses of ${policy}`,
    limit,
    lengthMs: own * 1000,
    mode: 'sliding',
  }))
}

function exhausted(
  error: unknown,
  uses: readonly WindowLimit[],
  quotas: readonly WindowLimit[],
): unknown {
  if (!(error instanceof VestryError) || error.code !== 'RATE_LIMITED') return error
  const { scope, limit } = error.context
  if (uses.some((use) => use.scope === scope)) {
    return new VestryError(
      'LEASE_EXHAUSTED',
      'this credential was used as often as policy allows',
      {
        hint: 'Wait for "retry_after_ms", or ask an operator to raise max_uses',
        context: error.context,
        cause: error,
      },
    )
  }
  const quota = quotas.find((one) => one.scope === scope && describeWindow(one) === limit)
  if (quota === undefined) return error
  const { retry_after_ms } = error.context
  const seconds = typeof retry_after_ms === 'number' ? Math.ceil(retry_after_ms / 1000) : undefined
  const { limit: count, lengthMs } = quota
  return new VestryError(
    'RATE_LIMITED',
    `the quota of ${count} in ${duration(lengthMs)} is used up`,
    {
      hint: seconds === undefined ? 'Ask an operator' : `Try again in ${duration(seconds * 1000)}`,
      context: { ...error.context, quota: true },
      cause: error,
    },
  )
}

/** In the largest unit that divides it: `24 h`, `90 s`. */
function duration(ms: number): string {
  for (const [unit, length] of UNITS) if (ms % length === 0) return `${ms / length} ${unit}`
  return `${Math.ceil(ms / 1000)} s`
}

const UNITS: readonly (readonly [string, number])[] = [
  ['h', 3_600_000],
  ['min', 60_000],
]
