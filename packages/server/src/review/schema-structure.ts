/**
 * Whether a JSON value is built as a JSON Schema is: each keyword that draft 4 to 2020-12 know has a value of its
 * kind. What the schema means is left to the analysis.
 */
import { isRawNumber, isTokenObject, numberOf, type TokenJson } from '../json/raw-number.ts'

export interface Problem {
  /** Members from the root, joined by `.`; `tool.schema.properties.a`. */
  readonly path: string
  readonly problem: string
}

/** Problems told at once; a schema that has more has them told after these are gone. */
export const MAX_PROBLEMS = 20

/** @param at Path of `schema` itself. */
export function schemaProblems(schema: TokenJson, at: string): readonly Problem[] {
  const found: Problem[] = []
  checkSchema(schema, at, found)
  return found
}

type Check = (value: TokenJson, at: string, found: Problem[]) => void

const TYPES = new Set(['array', 'boolean', 'integer', 'null', 'number', 'object', 'string'])

const kind =
  (problem: string, holds: (value: TokenJson) => boolean): Check =>
  (value, at, found) => {
    if (!holds(value)) add(found, at, problem)
  }

const text = kind('must be a string', (value) => typeof value === 'string')
const flag = kind('must be true or false', (value) => typeof value === 'boolean')
const list = kind('must be an array', (value) => Array.isArray(value))
const number = kind('must be a number', isNumber)
const positive = kind('must be a number above 0', (value) => isNumber(value) && numberOf(value) > 0)
const count = kind(
  'must be a whole number from 0',
  (value) => isNumber(value) && numberOf(value) >= 0 && isWhole(numberOf(value)),
)
/** A number since draft 6, a flag before. */
const exclusive = kind('must be a number', (value) => isNumber(value) || typeof value === 'boolean')
const names = kind('must be an array of different strings', isNames)
const types = kind(
  'must be a type of JSON Schema, or an array of different ones',
  (value) =>
    (typeof value === 'string' && TYPES.has(value)) ||
    (isNames(value) && value.length > 0 && value.every((name) => TYPES.has(name))),
)

const schemas: Check = (value, at, found) => {
  if (!Array.isArray(value) || value.length === 0)
    return add(found, at, 'must be an array of schemas, and not empty')
  eachItem(value, at, found)
}
const items: Check = (value, at, found) => {
  if (Array.isArray(value)) eachItem(value, at, found)
  else checkSchema(value, at, found)
}
const mapOf =
  (member: Check): Check =>
  (value, at, found) => {
    if (!isTokenObject(value)) return add(found, at, 'must be an object')
    for (const [key, one] of Object.entries(value)) {
      if (found.length >= MAX_PROBLEMS) return
      member(one, `${at}.${key}`, found)
    }
  }
const schemaMap = mapOf(checkSchema)
const dependency: Check = (value, at, found) =>
  Array.isArray(value) ? names(value, at, found) : checkSchema(value, at, found)

const KEYWORDS: ReadonlyMap<string, Check> = new Map(
  Object.entries({
    $id: text,
    $schema: text,
    $ref: text,
    $anchor: text,
    $dynamicRef: text,
    $dynamicAnchor: text,
    $comment: text,
    $defs: schemaMap,
    definitions: schemaMap,
    title: text,
    description: text,
    deprecated: flag,
    readOnly: flag,
    writeOnly: flag,
    examples: list,
    type: types,
    enum: list,
    multipleOf: positive,
    maximum: number,
    minimum: number,
    exclusiveMaximum: exclusive,
    exclusiveMinimum: exclusive,
    maxLength: count,
    minLength: count,
    pattern: text,
    format: text,
    contentEncoding: text,
    contentMediaType: text,
    contentSchema: checkSchema,
    items,
    prefixItems: schemas,
    additionalItems: checkSchema,
    unevaluatedItems: checkSchema,
    contains: checkSchema,
    maxItems: count,
    minItems: count,
    uniqueItems: flag,
    maxContains: count,
    minContains: count,
    properties: schemaMap,
    patternProperties: schemaMap,
    additionalProperties: checkSchema,
    unevaluatedProperties: checkSchema,
    propertyNames: checkSchema,
    maxProperties: count,
    minProperties: count,
    required: names,
    dependentRequired: mapOf(names),
    dependentSchemas: schemaMap,
    dependencies: mapOf(dependency),
    allOf: schemas,
    anyOf: schemas,
    oneOf: schemas,
    not: checkSchema,
    if: checkSchema,
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema; nobody awaits this table.
    then: checkSchema,
    else: checkSchema,
  } satisfies Record<string, Check>),
)

function checkSchema(value: TokenJson, at: string, found: Problem[]): void {
  if (typeof value === 'boolean') return
  if (!isTokenObject(value)) {
    add(found, at, 'must be a schema: an object, true or false')
    return
  }
  for (const [key, member] of Object.entries(value)) {
    if (found.length >= MAX_PROBLEMS) return
    KEYWORDS.get(key)?.(member, `${at}.${key}`, found)
  }
}

function eachItem(value: readonly TokenJson[], at: string, found: Problem[]): void {
  for (const [index, one] of value.entries()) {
    if (found.length >= MAX_PROBLEMS) return
    checkSchema(one, `${at}.${index}`, found)
  }
}

function add(found: Problem[], path: string, problem: string): void {
  if (found.length < MAX_PROBLEMS) found.push({ path, problem })
}

function isNumber(value: TokenJson): value is number {
  return typeof value === 'number' || isRawNumber(value)
}

/** Whole numbers of any size become `Infinity` at worst. */
function isWhole(value: number): boolean {
  return Number.isInteger(value) || value === Number.POSITIVE_INFINITY
}

function isNames(value: TokenJson): value is readonly string[] {
  return (
    Array.isArray(value) &&
    value.every((name) => typeof name === 'string') &&
    new Set(value).size === value.length
  )
}
