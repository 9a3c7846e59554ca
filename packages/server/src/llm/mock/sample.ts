/**
 * A value that a JSON Schema accepts, made of what was noticed in the prompt: lists of objects get one item for each
 * lead, members are filled by what their names suggest. The same prompt and schema give the same value.
 */
import type { JsonObject } from '@vestry/sdk/llm/providers'
import type { Lead } from './leads.ts'

const MAX_DEPTH = 16
/** Schemas can ask for more than there is room for. */
const MAX_VALUES = 2_000
const MAX_TEXT = 10_000

interface Making {
  readonly root: JsonObject
  readonly leads: readonly Lead[]
  readonly lead: Lead | undefined
  readonly depth: number
  /** Values made so far, of all of them together. */
  readonly made: { count: number }
}

export function sampleOf(schema: JsonObject, leads: readonly Lead[]): unknown {
  return make(schema, '', { root: schema, leads, lead: leads[0], depth: 0, made: { count: 0 } })
}

function make(given: unknown, name: string, making: Making): unknown {
  const schema = resolved(given, making.root)
  making.made.count += 1
  if (making.depth > MAX_DEPTH || making.made.count > MAX_VALUES) return null
  if ('const' in schema) return schema['const']
  const allowed = schema['enum']
  if (Array.isArray(allowed) && allowed.length > 0) return likeliest(allowed, making.lead)
  if ('default' in schema) return schema['default']
  const alternatives = schema['anyOf'] ?? schema['oneOf']
  if (Array.isArray(alternatives)) {
    const some = alternatives.find((one) => resolved(one, making.root)['type'] !== 'null')
    return make(some ?? alternatives[0], name, deeper(making))
  }
  const all = schema['allOf']
  if (Array.isArray(all))
    return make(Object.assign({}, ...all, without(schema)), name, deeper(making))
  switch (typeOf(schema)) {
    case 'object':
      return objectOf(schema, making)
    case 'array':
      return arrayOf(schema, name, making)
    case 'integer':
      return within(schema, /line/i.test(name) ? (making.lead?.line ?? 1) : 1)
    case 'number':
      return within(schema, 0.5)
    case 'boolean':
      return making.leads.length > 0
    case 'null':
      return null
    default:
      return textFor(schema, name, making)
  }
}

function objectOf(schema: JsonObject, making: Making): JsonObject {
  const properties = record(schema['properties'])
  const entries = Object.entries(properties).map(([key, value]): [string, unknown] => [
    key,
    make(value, key, deeper(making)),
  ])
  return Object.fromEntries(entries)
}

function arrayOf(schema: JsonObject, name: string, making: Making): unknown[] {
  const least = whole(schema['minItems'], 0)
  const most = whole(schema['maxItems'], Number.MAX_SAFE_INTEGER)
  const items = resolved(schema['items'] ?? {}, making.root)
  const wanted = typeOf(items) === 'object' ? making.leads.length : least
  const count = Math.min(most, Math.max(least, wanted), 100)
  return Array.from({ length: count }, (_, index) =>
    make(items, name, { ...deeper(making), lead: making.leads[index] }),
  )
}

/** What was noticed, where the list has a word for it. */
function likeliest(allowed: readonly unknown[], lead: Lead | undefined): unknown {
  const known = lead === undefined ? [] : [lead.rule, 'medium']
  return allowed.find((value) => known.some((word) => word === value)) ?? allowed[0]
}

const TEXTS: readonly (readonly [RegExp, (lead: Lead) => string])[] = [
  [/rule|kind|category|^id$|cwe/i, ({ rule }) => rule],
  [/snippet|code|evidence|excerpt/i, ({ text }) => text],
  [/severity|level/i, () => 'medium'],
]

function textFor(schema: JsonObject, name: string, { lead }: Making): string {
  const fits = TEXTS.find(([pattern]) => pattern.test(name))
  const text = lead === undefined ? 'Nothing stands out' : (fits?.[1](lead) ?? lead.message)
  const least = Math.min(MAX_TEXT, whole(schema['minLength'], 0))
  return text.padEnd(least, '.').slice(0, whole(schema['maxLength'], text.length + least))
}

/** A local reference is followed; a chain that does not end is anything. */
function resolved(given: unknown, root: JsonObject): JsonObject {
  let schema = record(given)
  for (let hops = 0; typeof schema['$ref'] === 'string' && hops < MAX_DEPTH; hops += 1) {
    const steps = schema['$ref'].replace(/^#\/?/, '').split('/').filter(Boolean)
    schema = record(
      steps.reduce<unknown>((at, step) => {
        return record(at)[step.replaceAll('~1', '/').replaceAll('~0', '~')]
      }, root),
    )
  }
  return schema
}

function typeOf(schema: JsonObject): unknown {
  const { type } = schema
  if (Array.isArray(type)) return type.find((one) => one !== 'null')
  if (type !== undefined) return type
  if (schema['properties'] !== undefined) return 'object'
  return schema['items'] === undefined ? 'string' : 'array'
}

function within(schema: JsonObject, value: number): number {
  const least = schema['minimum']
  const most = schema['maximum']
  const raised = typeof least === 'number' ? Math.max(least, value) : value
  return typeof most === 'number' ? Math.min(most, raised) : raised
}

function without({ allOf: _, ...rest }: JsonObject): JsonObject {
  return rest
}

function deeper(making: Making): Making {
  return { ...making, depth: making.depth + 1 }
}

function record(value: unknown): JsonObject {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isRecord ? (value as JsonObject) : {}
}

function whole(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : otherwise
}
