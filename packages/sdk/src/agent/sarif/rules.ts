/** The rules of a report, made from the findings that name them. Pure. */
import type { Finding } from './finding.ts'
import { gradeOf, lowestPrecision } from './severity.ts'

const MAX_NAME = 255
/** Longest description that code scanning accepts; the whole text is in `help`. */
const MAX_DESCRIPTION = 1024
/** Two tags each; with `security` they stay below the 20 that code scanning accepts for a rule. */
const MAX_CWES = 9

/** One rule per id, in the order of the findings; text is that of the worst finding, the first of those. */
export function rulesOf(findings: readonly Finding[]): object[] {
  const groups = new Map<string, Finding[]>()
  for (const finding of findings) {
    const group = groups.get(finding.id)
    if (group === undefined) groups.set(finding.id, [finding])
    else group.push(finding)
  }
  return [...groups.values()].map(ruleOf)
}

function ruleOf(group: readonly Finding[]): object {
  const [first, ...others] = group
  if (first === undefined) throw new TypeError('a rule has at least one finding')
  const worst = others.reduce(
    (one, other) => (gradeOf(other.severity).rank > gradeOf(one.severity).rank ? other : one),
    first,
  )
  const title = titleOf(worst)
  const description = descriptionOf(worst)
  const remedies = [...new Set(group.map(({ remediation }) => remediation.trim()))].filter(Boolean)
  const score = gradeOf(worst.severity)
  const precision = lowestPrecision(group.map(({ confidence }) => confidence))
  return {
    id: worst.id,
    name: cut(title, MAX_NAME),
    shortDescription: { text: cut(title, MAX_DESCRIPTION) },
    fullDescription: { text: cut(description, MAX_DESCRIPTION) },
    help: {
      text: [description, ...remedies].join('\n\n'),
      markdown: [`# ${title}`, description, ...remedyMarkdown(remedies)].join('\n\n'),
    },
    properties: {
      ...(score.rank > 0 && { 'security-severity': score.score }),
      tags: ['security', ...cweTags(group)],
      ...(precision !== undefined && { precision }),
    },
  }
}

/** Code scanning refuses empty text; something that names the finding is better than no finding. */
export function titleOf({ title, id }: Finding): string {
  return title.trim() === '' ? id : title
}

export function descriptionOf(finding: Finding): string {
  return finding.description.trim() === '' ? titleOf(finding) : finding.description
}

/** @returns The number of `CWE-79`, `cwe-79: …` or `79`; undefined for other text. */
export function cweNumber(cwe: string): number | undefined {
  const [, digits] = /^\s*(?:CWE[-_ ]?)?0*(\d{1,6})\b/i.exec(cwe) ?? []
  return digits === undefined ? undefined : Number(digits)
}

function cweTags(group: readonly Finding[]): string[] {
  const numbers = new Set(group.flatMap(({ cwe }) => cweNumber(cwe) ?? []))
  return [...numbers]
    .sort((one, other) => one - other)
    .slice(0, MAX_CWES)
    .flatMap((number) => [`external/cwe/cwe-${String(number).padStart(3, '0')}`, `CWE-${number}`])
}

function remedyMarkdown(remedies: readonly string[]): string[] {
  return remedies.length === 0 ? [] : ['## Remediation', ...remedies]
}

/** By code points, so that no character is cut in half. */
function cut(text: string, limit: number): string {
  if (text.length <= limit) return text
  let kept = ''
  for (const character of text) {
    if (kept.length + character.length >= limit) break
    kept += character
  }
  return `${kept}…`
}
