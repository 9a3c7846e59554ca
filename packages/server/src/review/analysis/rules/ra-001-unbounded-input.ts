/** RA-001: texts and lists of any length, as one remark for the tool. */
import type { Param, Rule } from '../rule.ts'

/** Names that are listed. */
const SHOWN = 8

export const unboundedInput: Rule = {
  id: 'RA-001',
  category: 'resource_abuse',
  title: 'Takes texts or lists without a bound',
  reason:
    'Without a bound one call can be as large as the caller likes; with one, mistakes are noticed early.',
  recommendation: 'Give every text a maxLength and every list a maxItems.',
  *find({ params }) {
    const open = params.filter(isUnbounded)
    if (open.length === 0) return
    const names = open.slice(0, SHOWN).map(({ name }) => name)
    yield {
      location: '/schema/properties',
      severity: 'low',
      confidence: 0.5,
      description: `${open.length === 1 ? 'One parameter has' : `${open.length} parameters have`} no upper bound.`,
      evidence: names.join(', ') + (open.length > SHOWN ? ', …' : ''),
    }
  },
  examples: {
    hit: {
      tool: {
        name: 'comment',
        description: 'Adds a comment.',
        schema: { properties: { text: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'comment',
        description: 'Adds a comment.',
        schema: {
          properties: {
            text: { type: 'string', maxLength: 4_000 },
            labels: {
              type: 'array',
              maxItems: 9,
              items: { type: 'string', enum: ['bug', 'idea'] },
            },
          },
        },
      },
    },
  },
}

/** What is a sink has rules of its own. */
function isUnbounded({ types, sinks, schema, constrained }: Param): boolean {
  if (sinks.size > 0) return false
  const endlessText = types.includes('string') && !constrained && schema['maxLength'] === undefined
  const endlessList = types.includes('array') && schema['maxItems'] === undefined
  return endlessText || endlessList
}
