/** SI-015: objects that take any member. */
import { isTokenObject, type TokenJson, type TokenObject } from '../../../json/raw-number.ts'
import type { Hit, Param, Rule, Subject } from '../rule.ts'
import { isList, walkSchema } from '../schema-walk.ts'

/** These match every name. */
const CATCH_ALL: ReadonlySet<string> = new Set([
  '',
  '.',
  '.*',
  '.+',
  '^.*$',
  '^.+$',
  '^',
  '^.*',
  '.*$',
])

export const openObject: Rule = {
  id: 'SI-015',
  category: 'schema_injection',
  title: 'Takes objects with any content',
  reason:
    'What the schema does not name is neither reviewed nor checked, and can carry anything along.',
  recommendation: 'Name the members and set additionalProperties to false.',
  find: openObjects,
  examples: {
    hit: {
      tool: {
        name: 'save',
        description: 'Saves a record.',
        schema: { properties: { record: { type: 'object' } } },
      },
    },
    nearMiss: {
      tool: {
        name: 'save',
        description: 'Saves a record.',
        schema: {
          properties: {
            record: { type: 'object', properties: { id: { type: 'integer' } } },
            labels: { type: 'object', additionalProperties: { type: 'boolean' } },
          },
        },
      },
    },
  },
}

function* openObjects({ tool, params, extraKeywords }: Subject): Iterable<Hit> {
  const paramAt = new Map(params.map((param) => [param.location, param]))
  const hits: Hit[] = []
  walkSchema(tool.schema, '/schema', {
    text: () => undefined,
    property: () => undefined,
    schema: (location, schema) => {
      const why = location === '/schema' ? openRoot(schema, extraKeywords) : openNested(schema)
      if (why !== undefined) hits.push(hit(location, why, schema, paramAt.get(location)))
    },
  })
  yield* hits
}

function hit(location: string, why: string, schema: TokenObject, param: Param | undefined): Hit {
  return {
    location,
    severity: (param?.sinks.size ?? 0) > 0 ? 'medium' : 'low',
    confidence: 0.5,
    description: why,
    evidence: JSON.stringify(schema).slice(0, 200),
  }
}

/** A submission through a client that knows three keywords only cannot say more. */
function openRoot(schema: TokenObject, extra: readonly string[]): string | undefined {
  if (extra.length === 0) return undefined
  const more = schema['additionalProperties']
  return more === undefined || isOpen(more) ? 'Callers may add members of their own.' : undefined
}

function openNested(schema: TokenObject): string | undefined {
  const more = schema['additionalProperties']
  if (more !== undefined && isOpen(more)) return 'The object takes members of any name and value.'
  const patterns = schema['patternProperties']
  if (isTokenObject(patterns)) {
    const open = Object.entries(patterns).some(
      ([name, value]) => CATCH_ALL.has(name) && isOpen(value),
    )
    if (open) return 'A pattern lets every name pass.'
    return undefined
  }
  const { type } = schema
  const isObject = type === 'object' || (isList(type) && type.includes('object'))
  const named = [
    'properties',
    '$ref',
    'enum',
    'const',
    'allOf',
    'anyOf',
    'oneOf',
    'propertyNames',
  ].some((keyword) => Object.hasOwn(schema, keyword))
  return isObject && !named && more === undefined
    ? 'The object names none of its members.'
    : undefined
}

function isOpen(value: TokenJson): boolean {
  return value === true || (isTokenObject(value) && Object.keys(value).length === 0)
}
