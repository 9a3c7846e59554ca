/**
 * Makes a JSON Schema fit for strict structured output: every object closed, every property named as
 * required, references resolved. Works on a copy; doing it twice changes nothing.
 */

import { ConfigurationError } from '../sage/errors.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'
import { isAnnotation, mergeMembers, mergeObjects } from './schema-merge.ts'
import { definition, recursiveNames } from './schema-refs.ts'

/** Nesting of schemas beyond which nothing sensible is meant. */
const MOST_LEVELS = 100
/** Definitions used in many places multiply when they are written out. */
const MOST_SCHEMAS = 20_000
/** Of no use to a model in strict mode, and refused there by providers. */
const DROPPED = ['title', 'default']
const LISTS = ['anyOf', 'oneOf', 'allOf', 'prefixItems'] as const

interface Walk {
  readonly root: JsonObject
  readonly recursive: ReadonlyMap<string, string>
  count: number
}

/**
 * - `title` and `default` are removed from schemas (never a property of that name).
 * - Every object schema lists all its properties as required and allows no others; a property that
 *   was optional may be null instead.
 * - References are written out, and those inside what was written out as well; only definitions that
 *   refer to themselves stay, under `$defs`.
 *
 * @throws ConfigurationError for what strict mode cannot say: maps with free keys, references that
 *         lead nowhere or outside the schema.
 */
export function strictSchema(schema: JsonObject): JsonObject {
  const root = copied(schema)
  const walk: Walk = { root, recursive: recursiveNames(root), count: 0 }
  const { $defs: _defs, definitions: _definitions, $schema: _dialect, ...rest } = root
  const result = atRoot(rest, walk)
  if (walk.recursive.size === 0) return result
  const kept = [...walk.recursive].map(([pointer, name]) => [
    name,
    strict(definition(root, pointer), walk, pointer, 1),
  ])
  return { ...result, $defs: Object.fromEntries(kept) }
}

/** @throws ConfigurationError for a schema with functions or the like in it. */
export function copied(schema: JsonObject): JsonObject {
  try {
    return structuredClone(schema)
  } catch (error) {
    throw new ConfigurationError('A schema must be plain JSON', { cause: error })
  }
}

/** A root must be an object of its own: a reference there is written out even when it is recursive. */
function atRoot(root: JsonObject, walk: Walk): JsonObject {
  const { $ref, ...beside } = root
  if (typeof $ref !== 'string' || $ref === '#') return strict(root, walk, '#', 0)
  const target = definition(walk.root, $ref)
  return strict(mergeMembers(target, beside), walk, '#', 0)
}

function strict(schema: unknown, walk: Walk, at: string, level: number): JsonObject {
  if (schema === true) return {}
  if (!isObject(schema)) throw unfit(at, 'is no schema')
  walk.count += 1
  if (level > MOST_LEVELS || walk.count > MOST_SCHEMAS) {
    throw unfit(at, 'is nested too deeply, or uses its definitions too often')
  }
  const own = Object.fromEntries(Object.entries(schema).filter(([key]) => !DROPPED.includes(key)))
  delete own['$defs']
  delete own['definitions']
  if (typeof own['$ref'] === 'string') return resolved(own, own['$ref'], walk, at, level)
  const folded = foldedAllOf(own, walk)
  if (folded !== undefined) return strict(folded, walk, at, level + 1)

  const result: JsonObject = { ...own }
  for (const key of LISTS) {
    const members = own[key]
    if (!Array.isArray(members)) continue
    result[key] = members.map((member, index) =>
      strict(member, walk, `${at}/${key}/${index}`, level + 1),
    )
  }
  if (own['items'] !== undefined)
    result['items'] = strict(own['items'], walk, `${at}/items`, level + 1)
  return isObjectSchema(own) ? closed(result, own, walk, at, level) : result
}

/** What stands beside a reference stays: merged when it is written out, through a wrapper when not. */
function resolved(own: JsonObject, ref: string, walk: Walk, at: string, level: number): JsonObject {
  const { $ref: _ref, ...beside } = own
  const name = walk.recursive.get(ref)
  if (ref !== '#' && name === undefined) {
    return strict(mergeMembers(definition(walk.root, ref), beside), walk, at, level + 1)
  }
  const kept = { $ref: name === undefined ? '#' : `#/$defs/${name}` }
  if (Object.keys(beside).length === 0) return kept
  if (isAnnotation(beside)) return { ...beside, anyOf: [kept] }
  return { allOf: [kept, strict(beside, walk, at, level + 1)] }
}

function closed(
  result: JsonObject,
  own: JsonObject,
  walk: Walk,
  at: string,
  level: number,
): JsonObject {
  refuseMap(own, at)
  const properties = isObject(own['properties']) ? own['properties'] : {}
  const required = Array.isArray(own['required']) ? own['required'] : []
  const entries = Object.entries(properties).map(([name, property]) => {
    const fit = strict(property, walk, `${at}/properties/${name}`, level + 1)
    return [name, required.includes(name) ? fit : nullable(fit)] as const
  })
  return {
    ...result,
    properties: Object.fromEntries(entries),
    required: entries.map(([name]) => name),
    additionalProperties: false,
  }
}

function refuseMap(own: JsonObject, at: string): void {
  const free = own['additionalProperties']
  const open = free !== undefined && free !== false
  const bare = own['properties'] === undefined && free !== false
  if (!open && !bare && own['patternProperties'] === undefined) return
  throw unfit(at, 'allows keys that the schema does not name, which strict mode cannot fill')
}

/** Whether the schema describes an object, as far as it can be seen from the schema alone. */
function isObjectSchema(schema: JsonObject): boolean {
  const { type } = schema
  if (isObject(schema['properties']) || type === 'object') return true
  return Array.isArray(type) && type.includes('object')
}

/** `allOf` that adds up to one schema is that schema: closed objects have no useful intersections. */
function foldedAllOf(own: JsonObject, walk: Walk): JsonObject | undefined {
  const members = own['allOf']
  if (!Array.isArray(members) || members.length === 0) return undefined
  const { allOf: _all, ...beside } = own
  const parts = members.map((member) => writtenOut(member, walk))
  const [only] = parts
  if (parts.length === 1 && only !== undefined) return mergeMembers(only, beside)
  let sum: JsonObject | undefined = {}
  for (const part of [...parts, beside]) {
    const fits = part !== undefined && (part === beside || isObjectSchema(part))
    sum = sum && fits ? mergeObjects(sum, part) : undefined
  }
  return sum
}

function writtenOut(member: unknown, walk: Walk): JsonObject | undefined {
  if (!isObject(member)) return undefined
  const ref = member['$ref']
  if (typeof ref !== 'string' || ref === '#' || walk.recursive.has(ref)) return member
  const { $ref: _ref, ...beside } = member
  return writtenOut(mergeMembers(definition(walk.root, ref), beside), walk)
}

/** The same schema, null allowed as well. */
function nullable(schema: JsonObject): JsonObject {
  const { type, enum: values, anyOf } = schema
  if (Object.keys(schema).length === 0 || type === 'null') return schema
  if (Array.isArray(anyOf) && !Object.hasOwn(schema, 'type')) {
    if (anyOf.some((member) => isObject(member) && allowsNull(member))) return schema
    return { ...schema, anyOf: [...anyOf, { type: 'null' }] }
  }
  const simple = typeof type === 'string' || Array.isArray(type)
  if (!simple || Object.hasOwn(schema, 'const') || Object.hasOwn(schema, '$ref')) {
    const { description, ...rest } = schema
    return {
      ...(description !== undefined && { description }),
      anyOf: [rest, { type: 'null' }],
    }
  }
  const types = Array.isArray(type) ? type : [type]
  return {
    ...schema,
    type: types.includes('null') ? types : [...types, 'null'],
    ...(Array.isArray(values) && { enum: values.includes(null) ? values : [...values, null] }),
  }
}

function allowsNull({ type }: JsonObject): boolean {
  return type === 'null' || (Array.isArray(type) && type.includes('null'))
}

function unfit(at: string, what: string): ConfigurationError {
  return new ConfigurationError(
    `The schema at ${at} ${what}. Change the schema, or ask for non-strict output (strict: false).`,
  )
}
