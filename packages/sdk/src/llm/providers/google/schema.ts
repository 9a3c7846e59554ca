/**
 * JSON Schema reduced to what Gemini takes: references inlined, unions with null told as `nullable`, the
 * rest of the vocabulary left out. What cannot be expressed without changing its meaning is refused.
 */
import type { JsonObject } from '../chat-types.ts'
import { invalid } from '../check.ts'
import { isObject, listOf } from '../json.ts'

/** Members that mean the same on both sides. */
const KEPT = [
  ...['title', 'description', 'minItems', 'maxItems', 'minLength', 'maxLength', 'pattern'],
  ...['minimum', 'maximum', 'minProperties', 'maxProperties'],
]
const FORMATS: Readonly<Record<string, readonly string[]>> = {
  string: ['date-time', 'enum'],
  number: ['float', 'double'],
  integer: ['int32', 'int64'],
}
const SCALARS = ['string', 'number', 'boolean']
const MOST_NODES = 10_000
const MOST_DEPTH = 100

/**
 * @param place Of the schema in the request, for the fault.
 * @throws ProviderFault `invalid_request` for a recursive schema, a dangling reference, or one too large.
 */
export function reducedSchema(schema: JsonObject, place: string): JsonObject {
  return new Reduction(schema, place).reduce(schema, [])
}

class Reduction {
  readonly #root: JsonObject
  readonly #place: string
  #nodes = 0

  constructor(root: JsonObject, place: string) {
    this.#root = root
    this.#place = place
  }

  /** @param path References that are being inlined; meeting one again is recursion. */
  reduce(given: unknown, path: readonly string[], depth = 0): JsonObject {
    this.#nodes += 1
    if (this.#nodes > MOST_NODES || depth > MOST_DEPTH) {
      throw invalid(this.#place, 'is too large once its references are inlined')
    }
    if (!isObject(given)) return anything()
    const ref = given['$ref']
    if (typeof ref === 'string') return this.#inlined(given, ref, path, depth)
    const schema = this.#merged(given, path, depth)
    const union = [...listOf(schema['anyOf']), ...listOf(schema['oneOf'])]
    if (union.length > 0) return this.#union(schema, union, path, depth)
    return this.#plain(schema, path, depth)
  }

  #inlined(schema: JsonObject, ref: string, path: readonly string[], depth: number): JsonObject {
    if (path.includes(ref)) {
      throw invalid(
        this.#place,
        `refers to itself at ${ref}; Google models take no recursive schema`,
      )
    }
    const { $ref: _ref, ...beside } = schema
    const target = this.#target(ref)
    return this.reduce({ ...target, ...beside }, [...path, ref], depth + 1)
  }

  #target(ref: string): JsonObject {
    const steps = ref.startsWith('#') ? ref.slice(1).split('/').slice(1) : undefined
    const found = steps?.reduce<unknown>(
      (at, step) =>
        typeof at === 'object' && at !== null ? memberOf(at, unescaped(step)) : undefined,
      this.#root,
    )
    if (isObject(found)) return found
    throw invalid(this.#place, `has a reference to nowhere: ${ref}`)
  }

  /** `allOf` as one schema: properties and required united, the rest in order. */
  #merged(schema: JsonObject, path: readonly string[], depth: number): JsonObject {
    const { allOf, ...rest } = schema
    if (!Array.isArray(allOf)) return schema
    let whole: JsonObject = rest
    for (const part of allOf) whole = united(whole, this.#resolved(part, path, depth))
    return whole
  }

  #resolved(part: unknown, path: readonly string[], depth: number): JsonObject {
    if (!isObject(part)) return {}
    const ref = part['$ref']
    if (typeof ref !== 'string') return this.#merged(part, path, depth + 1)
    if (path.includes(ref) || depth > MOST_DEPTH) {
      throw invalid(
        this.#place,
        `refers to itself at ${ref}; Google models take no recursive schema`,
      )
    }
    return this.#resolved({ ...this.#target(ref), ...withoutRef(part) }, [...path, ref], depth + 1)
  }

  #union(
    schema: JsonObject,
    union: readonly unknown[],
    path: readonly string[],
    depth: number,
  ): JsonObject {
    const nullable = union.some(isNull) ? { nullable: true } : {}
    const kinds = union.filter((kind) => !isNull(kind))
    const { anyOf: _any, oneOf: _one, ...beside } = schema
    if (kinds.length === 0) return { ...this.#plain(beside, path, depth), ...nullable }
    if (kinds.length === 1) {
      const only = isObject(kinds[0]) ? kinds[0] : {}
      return { ...this.reduce({ ...only, ...beside }, path, depth + 1), ...nullable }
    }
    const anyOf = kinds.map((kind) => this.reduce(kind, path, depth + 1))
    return { ...kept(beside), anyOf, ...nullable }
  }

  #plain(schema: JsonObject, path: readonly string[], depth: number): JsonObject {
    const types = typesOf(schema)
    const kinds = types.filter((type) => type !== 'null')
    const nullable =
      types.length > kinds.length || schema['nullable'] === true ? { nullable: true } : {}
    if (kinds.length > 1) {
      const { description, title, ...each } = schema
      const anyOf = kinds.map((type) =>
        this.reduce({ ...each, type, nullable: false }, path, depth + 1),
      )
      return { ...kept({ description, title }), anyOf, ...nullable }
    }
    const type = kinds[0]
    if (type === undefined) return { ...anything(), ...kept(schema), ...nullable }
    return {
      type: type.toUpperCase(),
      ...kept(schema),
      ...formatOf(schema, type),
      ...this.#choices(schema, type),
      ...(type === 'object' && this.#object(schema, path, depth)),
      ...(type === 'array' && { items: this.#items(schema, path, depth) }),
      ...nullable,
      ...(listOf(schema['enum']).includes(null) && { nullable: true }),
    }
  }

  /** Gemini takes only texts to choose from; other values are told in words. */
  #choices(schema: JsonObject, type: string): JsonObject {
    const given = 'const' in schema ? [schema['const']] : listOf(schema['enum'])
    const values = given.filter((value) => value !== null)
    if (values.length === 0) return {}
    if (type === 'string') return { enum: values.map(String) }
    const words = `One of: ${values.map((value) => JSON.stringify(value)).join(', ')}.`
    const said = typeof schema['description'] === 'string' ? `${schema['description']} ` : ''
    return { description: said + words }
  }

  #object(schema: JsonObject, path: readonly string[], depth: number): JsonObject {
    const given = Object.entries(props(schema))
    if (given.length === 0) return {}
    const properties = Object.fromEntries(
      given.map(([name, property]) => [name, this.reduce(property, path, depth + 1)]),
    )
    const required = listOf(schema['required']).filter(
      (name) => typeof name === 'string' && Object.hasOwn(properties, name),
    )
    return { properties, ...(required.length > 0 && { required }) }
  }

  #items(schema: JsonObject, path: readonly string[], depth: number): JsonObject {
    const places = [...listOf(schema['prefixItems']), ...listOf(schema['items'])]
    if (places.length > 0) return this.reduce({ anyOf: places }, path, depth + 1)
    return this.reduce(schema['items'], path, depth + 1)
  }
}

function kept(schema: JsonObject): JsonObject {
  const members = KEPT.filter((name) => schema[name] !== undefined)
  return Object.fromEntries(members.map((name) => [name, schema[name]]))
}

function typesOf(schema: JsonObject): readonly string[] {
  const given = schema['type']
  if (typeof given === 'string') return [given.toLowerCase()]
  if (Array.isArray(given)) return given.map(String)
  if (isObject(schema['properties'])) return ['object']
  if (schema['items'] !== undefined || schema['prefixItems'] !== undefined) return ['array']
  const values = 'const' in schema ? [schema['const']] : listOf(schema['enum'])
  return [...new Set(values.map(typeOf))]
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return typeof value
}

function formatOf(schema: JsonObject, type: string): JsonObject {
  const format = schema['format']
  return typeof format === 'string' && FORMATS[type]?.includes(format) ? { format } : {}
}

/** Gemini wants a type for everything; of what may be anything it is told the scalars. */
function anything(): JsonObject {
  return { anyOf: SCALARS.map((type) => ({ type: type.toUpperCase() })) }
}

function isNull(schema: unknown): boolean {
  if (!isObject(schema)) return false
  return schema['type'] === 'null' || ('const' in schema && schema['const'] === null)
}

function props(schema: JsonObject): JsonObject {
  return isObject(schema['properties']) ? schema['properties'] : {}
}

/** What the first says wins; properties and required of both hold. */
function united(first: JsonObject, second: JsonObject): JsonObject {
  const properties = { ...props(second), ...props(first) }
  const required = [...new Set([...listOf(first['required']), ...listOf(second['required'])])]
  return {
    ...second,
    ...first,
    ...(Object.keys(properties).length > 0 && { properties }),
    ...(required.length > 0 && { required }),
  }
}

function withoutRef({ $ref: _ref, ...rest }: JsonObject): JsonObject {
  return rest
}

function memberOf(value: object, name: string): unknown {
  return Object.hasOwn(value, name) ? (value as JsonObject)[name] : undefined
}

/** RFC 6901, in a URI fragment. */
function unescaped(step: string): string {
  const plain = step.replaceAll('~1', '/').replaceAll('~0', '~')
  try {
    return decodeURIComponent(plain)
  } catch {
    return plain
  }
}
