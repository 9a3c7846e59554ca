/** PE-003: changing files wherever the caller likes. */
import type { Rule } from '../rule.ts'
import { isFreeText, isPath, named, purposeOf, purposeOfParam } from './purpose.ts'

/** Not where the sentence says that it does not: `never writes`. */
const WRITES =
  /(?<!\b(?:not|never|cannot|without|n't)\s(?:[a-z]{1,12}\s)?)\b(?:writ(?:e|es|ing|ten)|overwrit(?:e|es|ing)|delet(?:e|es|ing|ed)|remov(?:e|es|ing)|mov(?:e|es|ing)|renam(?:e|es|ing)|creat(?:e|es|ing)|edit(?:s|ing)?|append(?:s|ing)?|patch(?:es)?|sav(?:e|es|ing)|truncat(?:e|es)|unlink(?:s)?|eras(?:e|es)|replac(?:e|es)|modif(?:y|ies)|chmod|chown|mkdir|rmdir|rm|mv)\b/

export const arbitraryPathWrite: Rule = {
  id: 'PE-003',
  category: 'privilege_escalation',
  title: 'Writes to any path',
  reason:
    'Who may write any file may write start-up scripts, keys and the configuration of the agent.',
  recommendation:
    'Take paths below a fixed root only: an anchored pattern without a leading slash and without "..", and a maxLength.',
  *find(subject) {
    const purpose = purposeOf(subject)
    // An operation to choose from tells it too, be it in another parameter.
    const writes =
      WRITES.test(purpose) ||
      subject.params.some((param) => param.hasEnum && WRITES.test(purposeOfParam(param)))
    for (const param of subject.params) {
      if (!isFreeText(param) || !isPath(param, purpose)) continue
      if (!writes && !WRITES.test(purposeOfParam(param))) continue
      yield {
        location: param.location,
        severity: 'high',
        confidence: 0.85,
        description: `"${param.name}" takes any path, and the tool changes what is there.`,
        evidence: named(param),
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'delete_path',
        description: 'Deletes a file or directory.',
        schema: { properties: { path: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'count_lines',
        description: 'Counts the lines of a file. Never writes.',
        schema: { properties: { path: { type: 'string' } } },
      },
    },
  },
}
