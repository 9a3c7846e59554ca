/** PE-007: paths that lead out of where they should stay. */
import type { Rule } from '../rule.ts'
import { isFreeText, isPath, named, purposeOf, purposeOfParam } from './purpose.ts'

/** Such a default leads out of every root. */
const LEADS_OUT = /^(?:\/|~|[A-Za-z]:[\\/]|\\\\)|(?:^|[\\/])\.\.(?:[\\/]|$)/
const WHOLE_SYSTEM = /^(?:\/|~\/?|[A-Za-z]:[\\/]?)$|(?:^|[\\/])\.\.(?:[\\/]|$)/
/** Said to be allowed; `must not contain ..` says the opposite. */
const ALLOWS =
  /(?<!\b(?:not|never|no|without|cannot|n't|reject(?:s|ed)?|refuse[sd]?|instead of|rather than|outside)\b[^.!?]{0,40})(?:\babsolute (?:file )?paths?\b|\bany path\b|\banywhere (?:on|in) the (?:disk|system|file ?system)\b|\bparent director(?:y|ies)\b|(?:^|[\s"'`(,])(?:\.\.[\\/]?|~[\\/]?)(?=[\s"'`),.]|$))/

export const upwardPath: Rule = {
  id: 'PE-007',
  category: 'privilege_escalation',
  title: 'Takes paths that lead out of their root',
  reason: 'With "..", "~" or an absolute path a file tool reaches what lies beside its directory.',
  recommendation:
    'Describe and accept paths relative to a fixed root, and refuse "..", "~" and leading slashes with a pattern.',
  *find(subject) {
    const purpose = purposeOf(subject)
    for (const param of subject.params) {
      if (!isPath(param, purpose)) continue
      const { defaultValue } = param
      const isOpen = isFreeText(param)
      const leads =
        typeof defaultValue === 'string' && (isOpen ? LEADS_OUT : WHOLE_SYSTEM).test(defaultValue)
      if (!leads && !(isOpen && ALLOWS.test(purposeOfParam(param)))) continue
      yield {
        location: param.location,
        severity: 'medium',
        confidence: 0.7,
        description: leads
          ? `"${param.name}" begins at "${defaultValue}" if nothing else is said.`
          : `"${param.name}" is said to take paths that lead anywhere.`,
        evidence: leads ? String(defaultValue) : named(param),
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'scan',
        description: 'Counts files.',
        schema: { properties: { directory: { type: 'string', default: '/' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'scan',
        description: 'Counts files.',
        schema: {
          properties: {
            directory: {
              type: 'string',
              description: 'Directory; must not contain "..".',
              default: 'src',
            },
          },
        },
      },
    },
  },
}
