/** PE-004: rights of the caller's choice. */
import type { Rule } from '../rule.ts'
import { isFreeText, named, purposeOfParam } from './purpose.ts'

const HEADS: ReadonlySet<string> = new Set(
  'role roles scope scopes permission permissions grant grants privilege privileges policy policies entitlement entitlements acl'.split(
    ' ',
  ),
)
/** Roles of messages and of elements on a page, scopes of searches. */
const OTHER = /\b(?:aria|message|speaker|chat|element|search scope|css|job title|variable)\b/

export const chosenPermission: Rule = {
  id: 'PE-004',
  category: 'privilege_escalation',
  title: 'Lets the caller choose rights',
  reason:
    'A free role or scope lets a model give itself, or somebody else, more than the task needs.',
  recommendation:
    'List the roles or scopes that may be given as an enum, without the powerful ones.',
  *find({ params }) {
    for (const param of params) {
      const { words, location, name } = param
      if (!HEADS.has(words.at(-1) ?? '') || !isFreeText(param)) continue
      if (OTHER.test(purposeOfParam(param))) continue
      yield {
        location,
        severity: 'high',
        confidence: 0.75,
        description: `"${name}" takes any value.`,
        evidence: named(param),
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'invite_member',
        description: 'Adds a member.',
        schema: { properties: { role: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'invite_member',
        description: 'Adds a member.',
        schema: { properties: { role: { type: 'string', enum: ['guest', 'member'] } } },
      },
    },
  },
}
