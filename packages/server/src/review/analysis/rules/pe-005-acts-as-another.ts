/** PE-005: whom the call is made for, as the caller says. */
import type { Rule } from '../rule.ts'
import { isFreeText, named } from './purpose.ts'

const NAMES =
  /^(?:(?:.* )?(?:user|tenant) (?:id|ids|uuid)|userid|userids|tenantid|tenant|(?:.* )?on behalf of(?: .*)?|(?:.* )?behalf|(?:.* )?impersonat(?:e|ed|ion)(?: .*)?|act as(?: .*)?|acting user)$/

export const actsAsAnother: Rule = {
  id: 'PE-005',
  category: 'privilege_escalation',
  title: 'Acts as somebody else',
  reason:
    'Who the caller is has to come from how it proved itself. What it merely says can be anybody.',
  recommendation:
    'Take the user or tenant from the authenticated session, or bind the parameter with an enum or a pattern.',
  *find({ params }) {
    for (const param of params) {
      // Numbers count people too: 1, 2, 3 are easily tried.
      const isNumber = param.types.includes('integer') || param.types.includes('number')
      const isOpen = isFreeText(param) || (isNumber && !param.hasEnum)
      if (!isOpen || !NAMES.test(param.words.join(' '))) continue
      yield {
        location: param.location,
        severity: 'medium',
        confidence: 0.6,
        description: `"${param.name}" says for whom, and takes any value.`,
        evidence: named(param),
      }
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'list_orders',
        description: 'Lists orders.',
        schema: { properties: { userId: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'list_orders',
        description: 'Lists orders.',
        schema: { properties: { user_agent: { type: 'string' }, user_idle: { type: 'boolean' } } },
      },
    },
  },
}
