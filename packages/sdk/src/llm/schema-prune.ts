/** Undoes what strict structured output adds to a value, so that it fits the schema as it was written. */

import type { JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'
import { schemaProblems } from './schema-check.ts'
import { definition } from './schema-refs.ts'

const MOST_LEVELS = 200

/** Takes out the nulls that stand where the author allowed a property to be absent, and allowed no null. */
export function withoutAddedNulls(schema: JsonObject, value: unknown, root = schema): unknown {
  return pruned(schema, value, root, 0)
}

function pruned(schema: unknown, value: unknown, root: JsonObject, level: number): unknown {
  if (!isObject(schema) || level > MOST_LEVELS || typeof value !== 'object' || value === null) {
    return value
  }
  let result: unknown = value
  const ref = schema['$ref']
  if (typeof ref === 'string') result = pruned(definition(root, ref), result, root, level + 1)
  for (const member of Array.isArray(schema['allOf']) ? schema['allOf'] : []) {
    result = pruned(member, result, root, level + 1)
  }
  for (const key of ['anyOf', 'oneOf']) {
    const members = schema[key]
    if (!Array.isArray(members)) continue
    const fitting = members
      .map((member) => ({ member, value: pruned(member, result, root, level + 1) }))
      .find(({ member, value }) => schemaProblems(member, value, root).length === 0)
    if (fitting !== undefined) result = fitting.value
  }
  if (Array.isArray(result)) {
    return result.map((item) => pruned(schema['items'], item, root, level + 1))
  }
  return prunedObject(schema, result as JsonObject, root, level)
}

function prunedObject(
  schema: JsonObject,
  value: JsonObject,
  root: JsonObject,
  level: number,
): JsonObject {
  const { properties } = schema
  if (!isObject(properties)) return value
  const required = Array.isArray(schema['required']) ? schema['required'] : []
  const entries = Object.entries(value)
    .filter(([name, member]) => {
      const added = member === null && !required.includes(name) && Object.hasOwn(properties, name)
      return !added || schemaProblems(properties[name] as JsonObject, null, root).length === 0
    })
    .map(([name, member]) => {
      const rule = Object.hasOwn(properties, name) ? properties[name] : undefined
      return [name, pruned(rule, member, root, level + 1)]
    })
  return Object.fromEntries(entries)
}
