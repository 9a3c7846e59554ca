/** Runs rules over a tool and brings what they hit into the form that is kept, shown and compared. */
import { hash } from 'node:crypto'
import { type Finding, SEVERITIES, type Severity } from './finding.ts'
import type { Hit, Rule, Subject, Surroundings } from './rule.ts'
import { visibleExcerpt } from './visible.ts'

export const MAX_EVIDENCE = 200
const MAX_DESCRIPTION = 1_000
/** Names of properties may be as long as a schema, and each finding below one begins with it. */
const MAX_LOCATION = 300
/** A rule may hit thousands of places of a hostile tool; these are enough to decide on. */
const MAX_PER_RULE = 50
/** Hits that are looked at to find the worst ones. */
const MAX_HITS = 2_000

/** @returns By severity, then confidence, then location; the same finding once. */
export function findingsOf(
  subject: Subject,
  around: Surroundings,
  rules: readonly Rule[],
): Finding[] {
  return rules.flatMap((rule) => ofRule(rule, subject, around)).sort(byWeight)
}

function ofRule(rule: Rule, subject: Subject, around: Surroundings): Finding[] {
  const found = new Map<string, Finding>()
  let seen = 0
  for (const hit of rule.find(subject, around)) {
    const finding = findingOf(rule, hit)
    const known = found.get(finding.finding_id)
    if (known === undefined || byWeight(finding, known) < 0) found.set(finding.finding_id, finding)
    seen += 1
    if (seen >= MAX_HITS) break
  }
  return [...found.values()].sort(byWeight).slice(0, MAX_PER_RULE)
}

function findingOf(rule: Rule, hit: Hit): Finding {
  const evidence = visibleExcerpt(hit.evidence, MAX_EVIDENCE)
  const name = hash('sha256', JSON.stringify([rule.id, hit.location, evidence])).slice(0, 8)
  return {
    finding_id: `${rule.id}-${name}`,
    rule_id: rule.id,
    severity: hit.severity,
    category: rule.category,
    title: rule.title,
    description: visibleExcerpt(hit.description, MAX_DESCRIPTION),
    confidence: Math.min(1, Math.max(0, hit.confidence)),
    recommendation: rule.recommendation,
    location: visibleExcerpt(hit.location, MAX_LOCATION),
    evidence,
  }
}

/** Worst first. */
export function byWeight(one: Finding, other: Finding): number {
  return (
    severityRank(other.severity) - severityRank(one.severity) ||
    other.confidence - one.confidence ||
    order(one.location, other.location) ||
    order(one.finding_id, other.finding_id)
  )
}

export function severityRank(severity: Severity): number {
  return SEVERITIES.indexOf(severity)
}

function order(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
