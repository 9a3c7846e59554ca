/** How bad and how sure: the words findings use, and what they become in a report. */

export const SEVERITIES = ['critical', 'high', 'medium', 'low', 'note'] as const
export type Severity = (typeof SEVERITIES)[number]

export const CONFIDENCES = ['high', 'medium', 'low'] as const
export type Confidence = (typeof CONFIDENCES)[number]

interface Grade {
  readonly level: 'error' | 'warning' | 'note'
  /** Out of 10, as text: what code scanning sorts by. */
  readonly score: string
  /** The higher, the worse. */
  readonly rank: number
}

const MEDIUM: Grade = { level: 'warning', score: '4.0', rank: 2 }

const GRADES: Readonly<Record<Severity, Grade>> = {
  critical: { level: 'error', score: '9.0', rank: 4 },
  high: { level: 'error', score: '7.0', rank: 3 },
  medium: MEDIUM,
  low: { level: 'note', score: '1.0', rank: 1 },
  note: { level: 'note', score: '0.0', rank: 0 },
}

/** A word that is no severity counts as `medium`: a model's odd spelling must not hide a finding. */
export function gradeOf(severity: string): Grade {
  return Object.hasOwn(GRADES, severity) ? GRADES[severity as Severity] : MEDIUM
}

/** @returns What code scanning calls precision; undefined for a word that is none. */
export function precisionOf(confidence: string): string | undefined {
  const word = confidence.toLowerCase().replace('_', '-')
  return /^(?:very-high|high|medium|low)$/.test(word) ? word : undefined
}

const PRECISIONS = ['low', 'medium', 'high', 'very-high']

/** A rule is as precise as the least certain of its findings. */
export function lowestPrecision(confidences: readonly string[]): string | undefined {
  const ranks = confidences
    .map((confidence) => PRECISIONS.indexOf(precisionOf(confidence) ?? ''))
    .filter((rank) => rank >= 0)
  return ranks.length === 0 ? undefined : PRECISIONS[Math.min(...ranks)]
}
