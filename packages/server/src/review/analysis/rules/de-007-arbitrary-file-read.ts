/** DE-007: reading files wherever the caller likes. */
import type { Rule } from '../rule.ts'
import { isFreeText, isPath, named, purposeOf, purposeOfParam } from './purpose.ts'

const READS =
  /(?<!\b(?:not|never|cannot|without|n't)\s(?:[a-z]{1,12}\s)?)\b(?:read(?:s|ing)?|open(?:s|ing)?|load(?:s|ing)?|cat|view(?:s|ing)?|show(?:s|ing)?|print(?:s|ing)?|dump(?:s|ing)?|download(?:s|ing)?|upload(?:s|ing)?|attach(?:es|ments?)?|import(?:s|ing)?|pars(?:e|es|ing)|contents?(?! type))\b/

export const arbitraryFileRead: Rule = {
  id: 'DE-007',
  category: 'data_exposure',
  title: 'Reads any path',
  reason: 'Who may read any file may read keys, cookies and the files of everybody else.',
  recommendation:
    'Take paths below a fixed root only: an anchored pattern without a leading slash and without "..", and a maxLength.',
  *find(subject) {
    const purpose = purposeOf(subject)
    for (const param of subject.params) {
      if (!isFreeText(param) || !isPath(param, purpose)) continue
      if (!READS.test(`${purpose} ${purposeOfParam(param)}`)) continue
      yield {
        location: param.location,
        severity: 'high',
        confidence: 0.8,
        description: `"${param.name}" takes any path, and the tool reads what is there.`,
        evidence: named(param),
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'read_file',
        description: 'Reads a file.',
        schema: { properties: { path: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'read_file',
        description: 'Reads a file.',
        schema: {
          properties: {
            path: {
              type: 'string',
              pattern: '^[a-z0-9_]{1,40}(?:/[a-z0-9_]{1,40}){0,5}\\.md$',
              maxLength: 250,
            },
          },
        },
      },
    },
  },
}
