/** What an analysis says of a tool (runtime contract §6.1). */

export const SEVERITIES = ['low', 'medium', 'high', 'critical'] as const
export type Severity = (typeof SEVERITIES)[number]

export const CATEGORIES = [
  'schema_injection',
  'privilege_escalation',
  'data_exposure',
  'malicious_code',
  'resource_abuse',
] as const
export type Category = (typeof CATEGORIES)[number]

export interface Finding {
  /** `<rule>-<8 hex>`: the same finding of the same tool has the same id. */
  readonly finding_id: string
  readonly rule_id: string
  readonly severity: Severity
  readonly category: Category
  readonly title: string
  readonly description: string
  /** 0 to 1. */
  readonly confidence: number
  readonly recommendation: string | null
  /** JSON pointer into the tool. */
  readonly location: string
  /** Excerpt of at most 200 characters; what cannot be seen is escaped. */
  readonly evidence: string
}

export interface Analysis {
  /** 0 to 100. */
  readonly risk_score: number
  /** By severity, then confidence, then location. */
  readonly findings: readonly Finding[]
  readonly recommendations: readonly string[]
  readonly analyzer_version: string
  /** Of the whole document: `sha256:` and 64 hex digits. */
  readonly schema_hash: string
  readonly rules_run: number
}
