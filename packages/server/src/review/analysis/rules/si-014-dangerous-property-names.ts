/** SI-014: property names that code stumbles over, or that differ by nothing one can see. */
import type { Hit, Param, Rule, Subject } from '../rule.ts'
import { folded } from '../views.ts'

const OF_PROTOTYPES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

export const dangerousPropertyNames: Rule = {
  id: 'SI-014',
  category: 'schema_injection',
  title: 'Has property names that confuse code or people',
  reason:
    'Names such as __proto__ reach into the prototypes of programs; of two names that look the same, one is checked and the other used.',
  recommendation: 'Rename the property; let no two properties differ only by case or by look.',
  find: dangerous,
  examples: {
    hit: {
      tool: {
        name: 'save',
        description: 'Saves a value.',
        schema: { properties: { path: { type: 'string' }, Path: { type: 'string' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'save',
        description: 'Saves a value.',
        schema: {
          properties: {
            path: { type: 'string' },
            target: { type: 'object', properties: { Path: { type: 'string' } } },
          },
        },
      },
    },
  },
}

function* dangerous({ params }: Subject): Iterable<Hit> {
  const hit = (param: Param, description: string): Hit => ({
    location: param.location,
    severity: 'high',
    confidence: 0.95,
    description,
    evidence: param.name,
  })
  const seen = new Map<string, string>()
  for (const param of params) {
    if (OF_PROTOTYPES.has(param.name)) yield hit(param, `The property is called ${param.name}.`)
    const owner = param.location.slice(0, param.location.lastIndexOf('/'))
    const key = `${owner}\n${folded(param.name)}`
    const before = seen.get(key)
    if (before === undefined) seen.set(key, param.name)
    else yield hit(param, `The name can be taken for its neighbour ${before}.`)
  }
}
