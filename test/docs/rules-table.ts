/** The table of docs/review-rules.md, made of the rules and of what they say of the corpora. */
import { NOTHING_KNOWN } from '../../packages/server/src/review/analysis/analyse.ts'
import {
  BENIGN,
  MALICIOUS,
  PUBLISHED,
} from '../../packages/server/src/review/analysis/corpus/corpus.ts'
import { CATEGORIES, SEVERITIES } from '../../packages/server/src/review/analysis/finding.ts'
import { findingsOf } from '../../packages/server/src/review/analysis/findings.ts'
import type { Rule } from '../../packages/server/src/review/analysis/rule.ts'
import { RULES } from '../../packages/server/src/review/analysis/rules/index.ts'
import { subjectOf } from '../../packages/server/src/review/analysis/subject.ts'
import { toolOf } from '../../packages/server/src/review/analysis/test-tool.ts'

const HEADINGS: Readonly<Record<(typeof CATEGORIES)[number], string>> = {
  schema_injection: 'Texts that speak to the model, and names that mislead',
  privilege_escalation: 'More rights than the task needs',
  data_exposure: 'Data that leaves',
  malicious_code: 'Code, and tools that are not who they seem',
  resource_abuse: 'Time, memory and money',
}

/** One section for each category, one row for each rule. */
export function rulesTable(): string {
  const reviewed = [...BENIGN, ...MALICIOUS, ...PUBLISHED].map(({ tool, around }) => ({
    subject: subjectOf(toolOf(tool)),
    around: { ...NOTHING_KNOWN, ...around },
  }))
  const severities = (rule: Rule): string => {
    const { tool, around } = rule.examples.hit
    const own = { subject: subjectOf(toolOf(tool)), around: { ...NOTHING_KNOWN, ...around } }
    const found = new Set(
      [own, ...reviewed].flatMap((one) =>
        findingsOf(one.subject, one.around, [rule]).map(({ severity }) => severity),
      ),
    )
    return SEVERITIES.filter((severity) => found.has(severity))
      .toReversed()
      .join(', ')
  }
  const sorted = RULES.toSorted((one, other) => (one.id < other.id ? -1 : 1))
  return CATEGORIES.map((category) => {
    const rows = sorted
      .filter((rule) => rule.category === category)
      .map(
        (rule) =>
          `| ${rule.id} | ${cell(rule.title)} | ${severities(rule)} | ${cell(rule.reason)} ${cell(rule.recommendation)} |`,
      )
    return [
      `### ${HEADINGS[category]}\n\nCategory \`${category}\`.\n`,
      '| Rule | Finds | Severity | Why, and what to do |',
      '|---|---|---|---|',
      ...rows,
    ].join('\n')
  }).join('\n\n')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}
