/** What a property accepts: its types, and whether its text can be anything at all. */
import {
  isRawNumber,
  isTokenObject,
  numberOf,
  type TokenJson,
  type TokenObject,
} from '../../json/raw-number.ts'
import { dereferenced } from './local-ref.ts'
import { patternWidth } from './pattern-width.ts'
import { isList } from './schema-walk.ts'

export interface Shape {
  readonly types: readonly string[]
  readonly constrained: boolean
  readonly hasEnum: boolean
}

const MAX_LENGTH = 4_096
/** Alternatives of alternatives are looked into this deep. */
const MAX_NESTING = 6
/** Formats that are checked before a call and whose texts are short by nature. */
const SHORT_FORMATS: ReadonlySet<string> = new Set([
  'date',
  'time',
  'date-time',
  'duration',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'uuid',
])
/** Formats that are checked and set no bound of their own. */
const LONG_FORMATS: ReadonlySet<string> = new Set(['uri', 'iri', 'idn-email', 'idn-hostname'])

/** @returns The shape of each schema of this document, each looked at once. */
export function shapesOf(root: TokenObject): (schema: TokenObject) => Shape {
  const known = new Map<TokenObject, Shape>()
  return (schema) => shapeOf(schema, 0)

  function shapeOf(given: TokenObject, nesting: number): Shape {
    const schema = dereferenced(root, given)
    const before = known.get(schema)
    if (before !== undefined) return before
    // Also what a schema that contains itself is taken for while it is looked at.
    known.set(schema, { types: [], constrained: false, hasEnum: false })
    const shape = nesting < MAX_NESTING ? look(schema, nesting) : known.get(schema)
    known.set(schema, shape as Shape)
    return shape as Shape
  }

  function look(schema: TokenObject, nesting: number): Shape {
    const choices = [...schemasOf(schema['anyOf']), ...schemasOf(schema['oneOf'])].map((choice) =>
      shapeOf(choice, nesting + 1),
    )
    const all = schemasOf(schema['allOf']).map((part) => shapeOf(part, nesting + 1))
    const own = typesOf(schema['type'])
    const types =
      own.length > 0 ? own : [...new Set([...choices, ...all].flatMap(({ types }) => types))]
    const hasEnum =
      isList(schema['enum']) ||
      Object.hasOwn(schema, 'const') ||
      (choices.length > 0 && choices.every(({ hasEnum }) => hasEnum)) ||
      all.some(({ hasEnum }) => hasEnum)
    const constrained =
      hasEnum ||
      textIsBound(schema) ||
      holdsNoText(schema, types, nesting) ||
      (choices.length > 0 && choices.every((choice) => choice.constrained)) ||
      all.some((part) => part.constrained)
    return { types, constrained, hasEnum }
  }

  /** Numbers and switches hold no text; lists hold what their items hold, objects what their properties hold. */
  function holdsNoText(schema: TokenObject, types: readonly string[], nesting: number): boolean {
    if (types.length === 0) return false
    return types.every((type) => {
      if (type === 'array') {
        const items = schema['items']
        return isTokenObject(items) && shapeOf(items, nesting + 1).constrained
      }
      if (type === 'object') {
        const properties = schema['properties']
        return isTokenObject(properties) && Object.keys(properties).length > 0
      }
      return type !== 'string'
    })
  }
}

function textIsBound(schema: TokenObject): boolean {
  const { format, pattern } = schema
  if (typeof format === 'string' && SHORT_FORMATS.has(format)) return true
  const short = lengthOf(schema['maxLength']) <= MAX_LENGTH
  if (typeof format === 'string' && LONG_FORMATS.has(format) && short) return true
  if (typeof pattern !== 'string') return false
  const width = patternWidth(pattern)
  return width.anchored && !width.arbitrary && (short || width.bounded)
}

function lengthOf(value: TokenJson | undefined): number {
  if (typeof value === 'number' || isRawNumber(value)) return numberOf(value)
  return Number.POSITIVE_INFINITY
}

function typesOf(type: TokenJson | undefined): string[] {
  if (typeof type === 'string') return [type]
  return isList(type) ? type.filter((name) => typeof name === 'string') : []
}

function schemasOf(list: TokenJson | undefined): TokenObject[] {
  return isList(list) ? list.filter((item) => isTokenObject(item)) : []
}
