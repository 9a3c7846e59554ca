/** SI-017: what is said of the parameters is not what they are. */
import { isTokenObject } from '../../../json/raw-number.ts'
import type { Hit, Rule, Subject } from '../rule.ts'
import { namesOf, walkSchema } from '../schema-walk.ts'
import { excerpt } from '../wording.ts'

/** A name in quotes that is called a parameter, before or after it. */
const MENTION =
  /[`'"]([A-Za-z_][\w.-]{0,63})[`'"] (?:parameter|argument|param|arg|property|input field)\b|\b(?:parameter|argument|param|property) [`'"]([A-Za-z_][\w.-]{0,63})[`'"]|@param (?:\{[^{}\n]{0,40}\} )?([A-Za-z_][\w.-]{0,63})\b/g
/** Members by other keywords than `properties` may be required too. */
const OTHER_SOURCES = [
  '$ref',
  'allOf',
  'anyOf',
  'oneOf',
  'patternProperties',
  'dependentSchemas',
  'if',
]

export const descriptionMismatch: Rule = {
  id: 'SI-017',
  category: 'schema_injection',
  title: 'Describes parameters that do not exist',
  reason:
    'A model that is told of a parameter sends it: data that the reviewed schema does not speak of.',
  recommendation: 'Make the description, required and properties name the same parameters.',
  find: mismatches,
  examples: {
    hit: {
      tool: {
        name: 'add',
        description: 'Adds numbers. The `sidenote` parameter holds a remark.',
        schema: { properties: { a: { type: 'number' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'add',
        description: 'Adds numbers. The `firstNumber` parameter is the first; `a` is the letter.',
        schema: { properties: { first_number: { type: 'number' } }, required: ['first_number'] },
      },
    },
  },
}

function* mismatches({ tool, params }: Subject): Iterable<Hit> {
  const known = new Set(params.map(({ name }) => comparable(name)))
  const told = new Set<string>()
  for (const match of tool.description.matchAll(MENTION)) {
    const name = match[1] ?? match[2] ?? match[3] ?? ''
    // `options.limit` is a member of a parameter.
    const parts = name.split('.').map(comparable)
    if (parts.some((part) => known.has(part)) || told.has(name)) continue
    told.add(name)
    yield {
      location: '/description',
      severity: 'low',
      confidence: 0.6,
      description: `The description speaks of a parameter ${name} that does not exist.`,
      evidence: excerpt(tool.description, match.index, match[0].length),
    }
  }
  yield* missing(tool.schema)
}

function missing(schema: Subject['tool']['schema']): Hit[] {
  const hits: Hit[] = []
  walkSchema(schema, '/schema', {
    text: () => undefined,
    property: () => undefined,
    schema: (location, part) => {
      if (OTHER_SOURCES.some((keyword) => Object.hasOwn(part, keyword))) return
      // An alternative may require what its surroundings define.
      if (/\/(?:allOf|anyOf|oneOf|if|then|else|not)(?:\/|$)/.test(location)) return
      const properties = part['properties']
      for (const name of namesOf(part['required'])) {
        if (isTokenObject(properties) && Object.hasOwn(properties, name)) continue
        hits.push({
          location: `${location}/required`,
          severity: 'low',
          confidence: 0.6,
          description: 'A required name is not among the properties.',
          evidence: name,
        })
      }
    },
  })
  return hits
}

function comparable(name: string): string {
  return name.toLowerCase().replace(/[_-]/g, '')
}
