/** What a tool could do to who uses it (runtime contract §6.4). Pure: the same tool and the same surroundings give the same answer. */
import { digestOfText, documentJson, documentOf } from '../normalise.ts'
import type { ToolDocument } from '../tool-document.ts'
import type { Analysis, Finding, Severity } from './finding.ts'
import { findingsOf } from './findings.ts'
import type { Rule, Surroundings } from './rule.ts'
import { RULES } from './rules/index.ts'
import { riskScore } from './score.ts'
import { subjectOf } from './subject.ts'

/** Changes when a rule changes what it finds. */
export const ANALYZER_VERSION = '1.0'

export const NOTHING_KNOWN: Surroundings = {
  knownTools: [],
  earlier: [],
  knownProviders: [],
  providerKey: { state: 'not_asked' },
}

export function analyse(
  tool: ToolDocument,
  around: Surroundings = NOTHING_KNOWN,
  rules: readonly Rule[] = RULES,
): Analysis {
  // In canonical order of members, so that a tool that was stored and read again has the same findings.
  const text = documentJson(tool)
  const findings = findingsOf(subjectOf(documentOf(text)), around, rules)
  return {
    risk_score: riskScore(findings),
    findings,
    recommendations: recommendations(findings),
    analyzer_version: ANALYZER_VERSION,
    schema_hash: digestOfText(text),
    rules_run: rules.length,
  }
}

const SUMMARIES: Readonly<Record<Severity, string>> = {
  critical:
    'Do not approve this tool as it is: it shows signs of an attack, or gives away full control.',
  high: 'Approve this tool only after its author has dealt with the serious findings.',
  medium: 'Look at the findings below; tighten the schema where a parameter can be anything.',
  low: 'Nothing serious was found; the remarks below would make the tool clearer and safer.',
}

/** Summary by the worst finding, then what the author can do, most urgent first. */
function recommendations(findings: readonly Finding[]): string[] {
  const [worst] = findings
  if (worst === undefined) return []
  const advice = findings.flatMap(({ recommendation }) => recommendation ?? [])
  return [SUMMARIES[worst.severity], ...new Set(advice)]
}
