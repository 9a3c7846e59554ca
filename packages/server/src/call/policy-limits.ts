/** The rates and quotas that the deciding policies ask for, as limits of one agent. */
import type { Limit, Limits, Reservation } from '../limits/limits.ts'
import type { Obligations } from '../policy/engine.ts'

const DAY_MS = 86_400_000

/**
 * Charges every rate and quota of a decision, or none.
 *
 * @param who The principal the limits count for.
 * @param resource What a use limit counts on.
 * @returns undefined when the decision asks for nothing, which is the common and the fast case.
 * @throws VestryError RATE_LIMITED; LEASE_EXHAUSTED is the vault's own.
 */
export function chargePolicy(
  limits: Limits,
  who: string,
  { rates, quotas }: Obligations,
): Promise<Reservation> | undefined {
  if (rates.length === 0 && quotas.length === 0) return undefined
  return limits.reserve(policyLimits(who, { rates, quotas }))
}

export function policyLimits(
  who: string,
  { rates, quotas }: Pick<Obligations, 'rates' | 'quotas'>,
): Limit[] {
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
  for (const { policy, limit, windowSeconds, sliding } of quotas) {
    wanted.push({
      kind: 'window',
      key: `quota:${policy}:${limit}/${windowSeconds}:${who}`,
      scope: policy,
      limit,
      lengthMs: windowSeconds * 1000,
      mode: sliding ? 'sliding' : 'fixed',
    })
  }
  return wanted
}
