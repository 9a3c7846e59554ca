/** Putting two JSON Schemas that both hold into one. */

import type { JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'

/** Members that describe and do not restrict. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  'title',
  'default',
  'description',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$comment',
])

export function isAnnotation(members: JsonObject): boolean {
  return Object.keys(members).every((key) => ANNOTATIONS.has(key))
}

/**
 * A schema with what stood beside the reference to it. What is said twice and differs is either a
 * description, where the nearer one counts, or a restriction, where both do.
 */
export function mergeMembers(schema: JsonObject, beside: JsonObject): JsonObject {
  const clash = Object.keys(beside).some(
    (key) => !ANNOTATIONS.has(key) && differs(schema, beside, key),
  )
  return clash ? { allOf: [schema, beside] } : { ...schema, ...beside }
}

/** Two object schemas as one that has the properties of both; undefined when they contradict each other. */
export function mergeObjects(a: JsonObject, b: JsonObject): JsonObject | undefined {
  const left = isObject(a['properties']) ? a['properties'] : {}
  const right = isObject(b['properties']) ? b['properties'] : {}
  const clash = Object.keys(b).some(
    (key) =>
      key !== 'properties' && key !== 'required' && !ANNOTATIONS.has(key) && differs(a, b, key),
  )
  if (clash || Object.keys(right).some((name) => differs(left, right, name))) return undefined
  const properties = { ...left, ...right }
  const required = [a, b].flatMap((one) => (Array.isArray(one['required']) ? one['required'] : []))
  return {
    ...a,
    ...b,
    ...(Object.keys(properties).length > 0 && { properties }),
    ...(required.length > 0 && { required: [...new Set(required)] }),
  }
}

function differs(a: JsonObject, b: JsonObject, key: string): boolean {
  if (!Object.hasOwn(a, key) || !Object.hasOwn(b, key)) return false
  return JSON.stringify(a[key]) !== JSON.stringify(b[key])
}
