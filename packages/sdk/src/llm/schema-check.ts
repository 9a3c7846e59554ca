/**
 * Checks a value against a JSON Schema: the part of the language that structured output uses. Members
 * it does not know restrict nothing, as the standard has it.
 */

import type { JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'
import { definition } from './schema-refs.ts'

const MOST_LEVELS = 200
const MOST_PROBLEMS = 10

type Check = (schema: JsonObject, value: unknown, at: string, walk: Walk, level: number) => string[]

interface Walk {
  readonly root: JsonObject
}

/** @returns What is wrong, `path: message`, at most ten; empty when the value fits. */
export function schemaProblems(schema: JsonObject, value: unknown, root = schema): string[] {
  return problems(schema, value, '', { root }, 0).slice(0, MOST_PROBLEMS)
}

function problems(
  schema: unknown,
  value: unknown,
  at: string,
  walk: Walk,
  level: number,
): string[] {
  if (schema === false) return [said(at, 'must not be there')]
  if (!isObject(schema)) return []
  if (level > MOST_LEVELS) return [said(at, 'is nested too deeply')]
  const ref = schema['$ref']
  if (typeof ref === 'string') {
    const { $ref: _ref, ...beside } = schema
    return [definition(walk.root, ref), beside].flatMap((part) =>
      problems(part, value, at, walk, level + 1),
    )
  }
  const wrong = wrongType(schema, value)
  if (wrong !== undefined) return [said(at, wrong)]
  return CHECKS.flatMap((check) => check(schema, value, at, walk, level))
}

function wrongType({ type }: JsonObject, value: unknown): string | undefined {
  const types = typeof type === 'string' ? [type] : Array.isArray(type) ? type : []
  if (types.length === 0 || types.some((name) => isOfType(name, value))) return undefined
  return `must be ${types.join(' or ')}`
}

function isOfType(name: unknown, value: unknown): boolean {
  switch (name) {
    case 'null':
      return value === null
    case 'array':
      return Array.isArray(value)
    case 'object':
      return isObject(value)
    case 'integer':
      return typeof value === 'number' && Number.isInteger(value)
    default:
      return typeof value === name
  }
}

const values: Check = (schema, value, at) => {
  const { enum: allowed } = schema
  if (Array.isArray(allowed) && !allowed.some((one) => same(one, value))) {
    return [said(at, `must be one of ${JSON.stringify(allowed)}`)]
  }
  if (Object.hasOwn(schema, 'const') && !same(schema['const'], value)) {
    return [said(at, `must be ${JSON.stringify(schema['const'])}`)]
  }
  return []
}

const numbers: Check = (schema, value, at) => {
  if (typeof value !== 'number') return []
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema
  const found: string[] = []
  if (typeof minimum === 'number' && value < minimum) found.push(`must be at least ${minimum}`)
  if (typeof maximum === 'number' && value > maximum) found.push(`must be at most ${maximum}`)
  if (typeof exclusiveMinimum === 'number' && value <= exclusiveMinimum) {
    found.push(`must be more than ${exclusiveMinimum}`)
  }
  if (typeof exclusiveMaximum === 'number' && value >= exclusiveMaximum) {
    found.push(`must be less than ${exclusiveMaximum}`)
  }
  if (typeof multipleOf === 'number' && !isWhole(value / multipleOf)) {
    found.push(`must be a multiple of ${multipleOf}`)
  }
  return found.map((text) => said(at, text))
}

/** Up to the rounding of a division: 19.99 is a multiple of 0.01. */
function isWhole(quotient: number): boolean {
  return Math.abs(quotient - Math.round(quotient)) <= Math.abs(quotient) * 1e-12
}

const texts: Check = (schema, value, at) => {
  if (typeof value !== 'string') return []
  const { minLength, maxLength, pattern } = schema
  const length = [...value].length
  const found: string[] = []
  if (typeof minLength === 'number' && length < minLength) {
    found.push(`must have at least ${minLength} characters`)
  }
  if (typeof maxLength === 'number' && length > maxLength) {
    found.push(`must have at most ${maxLength} characters`)
  }
  if (typeof pattern === 'string' && expression(pattern)?.test(value) === false) {
    found.push(`must match ${pattern}`)
  }
  return found.map((text) => said(at, text))
}

const arrays: Check = (schema, value, at, walk, level) => {
  if (!Array.isArray(value)) return []
  const { items, prefixItems, minItems, maxItems, uniqueItems } = schema
  const found: string[] = []
  if (typeof minItems === 'number' && value.length < minItems) {
    found.push(said(at, `must have at least ${minItems} items`))
  }
  if (typeof maxItems === 'number' && value.length > maxItems) {
    found.push(said(at, `must have at most ${maxItems} items`))
  }
  const distinct = new Set(value.map((item) => JSON.stringify(item)))
  if (uniqueItems === true && distinct.size < value.length) {
    found.push(said(at, 'must not hold the same item twice'))
  }
  const first: unknown[] = Array.isArray(prefixItems) ? prefixItems : []
  value.forEach((item, index) => {
    const rule = index < first.length ? first[index] : items
    found.push(...problems(rule, item, `${at}/${index}`, walk, level + 1))
  })
  return found
}

const objects: Check = (schema, value, at, walk, level) => {
  if (!isObject(value)) return []
  const { required, additionalProperties } = schema
  const properties = isObject(schema['properties']) ? schema['properties'] : {}
  const found: string[] = []
  for (const name of Array.isArray(required) ? required : []) {
    if (!Object.hasOwn(value, String(name))) found.push(said(`${at}/${name}`, 'is missing'))
  }
  for (const [name, member] of Object.entries(value)) {
    const rule = Object.hasOwn(properties, name) ? properties[name] : additionalProperties
    found.push(...problems(rule, member, `${at}/${name}`, walk, level + 1))
  }
  return found
}

const combinations: Check = (schema, value, at, walk, level) => {
  const { allOf, anyOf, oneOf, not } = schema
  const tries = (members: unknown): string[][] =>
    Array.isArray(members)
      ? members.map((member) => problems(member, value, at, walk, level + 1))
      : []
  const found = tries(allOf).flat()
  const any = tries(anyOf)
  if (any.length > 0 && any.every((one) => one.length > 0)) found.push(...closest(any))
  const one = tries(oneOf)
  if (one.length > 0) {
    const fits = one.filter((list) => list.length === 0).length
    if (fits === 0) found.push(...closest(one))
    if (fits > 1) found.push(said(at, 'fits more than one of the schemas it must fit one of'))
  }
  if (not !== undefined && problems(not, value, at, walk, level + 1).length === 0) {
    found.push(said(at, 'is what it must not be'))
  }
  return found
}

const CHECKS: readonly Check[] = [values, numbers, texts, arrays, objects, combinations]

/** Undefined for a pattern in another dialect: it restricts nothing here, the author's validator decides. */
function expression(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern, 'u')
  } catch {
    return undefined
  }
}

/** Of several failed ways to fit, the one that came furthest says the most. */
function closest(lists: readonly string[][]): string[] {
  return lists.reduce((best, list) => (list.length < best.length ? list : best))
}

function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b) || a === b) return true
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => same(item, b[index]))
  }
  if (!isObject(a) || !isObject(b)) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => same(a[key], b[key]))
}

function said(at: string, what: string): string {
  return `${at === '' ? 'the answer' : at}: ${what}`
}
