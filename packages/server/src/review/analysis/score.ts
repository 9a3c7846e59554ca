/** One number for a list of findings (runtime contract §6.4). */
import type { Finding, Severity } from './finding.ts'

const WEIGHTS: Readonly<Record<Severity, number>> = { critical: 60, high: 30, medium: 12, low: 3 }
/** What one rule finds again weighs less, and from the fourth time on nothing. */
const SHARES = [1, 0.5, 0.5]
/** One finding of which we are this sure decides where the score begins. */
const SURE = 0.7
const FLOORS: readonly (readonly [Severity, number])[] = [
  ['critical', 80],
  ['high', 50],
]

/**
 * @param findings In the order in which they are shown: of one rule's, the first three count.
 * @returns 0 to 100, whole.
 */
export function riskScore(
  findings: readonly Pick<Finding, 'rule_id' | 'severity' | 'confidence'>[],
): number {
  const counted = new Map<string, number>()
  let untouched = 1
  for (const { rule_id, severity, confidence } of findings) {
    const before = counted.get(rule_id) ?? 0
    counted.set(rule_id, before + 1)
    untouched *= 1 - ((WEIGHTS[severity] * confidence) / 100) * (SHARES[before] ?? 0)
  }
  const floor = FLOORS.find(([severity]) =>
    findings.some((one) => one.severity === severity && one.confidence >= SURE),
  )
  const raw = Math.max(100 * (1 - untouched), floor?.[1] ?? 0)
  return Math.min(100, Math.max(0, Math.floor(raw + 0.5)))
}
