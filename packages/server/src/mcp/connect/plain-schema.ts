/**
 * Whether checking against a schema takes time in proportion to what is checked, whoever wrote it: then no clock need
 * stand by, which costs more than the check. Pure.
 */

/** What is read once for each value, or not at all. Patterns, references, alternatives and comparisons are not. */
const VALUES: ReadonlySet<string> = new Set([
  'type',
  'required',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'format',
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$schema',
  '$comment',
])
const MAX_DEPTH = 12
const MAX_PARTS = 500
const MAX_CHOICES = 200

export function isPlainSchema(schema: unknown): boolean {
  return takesOf(schema, 0) <= MAX_PARTS
}

/** How many schemas there are within it; infinite for what is not plain. */
function takesOf(schema: unknown, depth: number): number {
  if (typeof schema === 'boolean') return 1
  if (!isObject(schema) || depth > MAX_DEPTH) return Number.POSITIVE_INFINITY
  let parts = 1
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === 'properties') {
      if (!isObject(value)) return Number.POSITIVE_INFINITY
      for (const one of Object.values(value)) parts += takesOf(one, depth + 1)
    } else if (keyword === 'items' || keyword === 'additionalProperties') {
      parts += takesOf(value, depth + 1)
    } else if (keyword === 'enum' || keyword === 'const') {
      if (!areSimple(keyword === 'const' ? [value] : value)) return Number.POSITIVE_INFINITY
    } else if (!VALUES.has(keyword)) return Number.POSITIVE_INFINITY
    if (parts > MAX_PARTS) return parts
  }
  return parts
}

/** Compared at once. */
function areSimple(choices: unknown): boolean {
  return (
    Array.isArray(choices) &&
    choices.length <= MAX_CHOICES &&
    choices.every((choice) => typeof choice !== 'object' || choice === null)
  )
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
