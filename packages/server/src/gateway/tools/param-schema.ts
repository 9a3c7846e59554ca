/**
 * Checks params against a JSON Schema and fills in its defaults. Schemas are the operator's and trusted not to be
 * malicious; params are the caller's, so what they can make the check cost is bounded.
 */
import type { AnySchema, Options, ValidateFunction } from 'ajv'
import { schemaCompilers } from '../../json/schema-compilers.ts'
import { type Naming, paramProblem } from './param-problem.ts'
import { isJsonObject } from './plain-json.ts'
import type { Json, JsonObject } from './tool.ts'

export interface CheckedParams {
  readonly params: JsonObject
  /** `path: message`; empty: all is well. */
  readonly problems: readonly string[]
}

/**
 * @param params   Of {@link plainParams}; changed in place where defaults are missing.
 * @param spelling Name of the tool → the name the caller used, for messages.
 */
export type ParamCheck = (
  params: JsonObject,
  spelling?: ReadonlyMap<string, string>,
) => CheckedParams

/** Longer texts match no pattern: what a regular expression costs may grow fast with the length. */
const PATTERN_TEXT = 4_096
const MAX_PROBLEMS = 20
const NO_ALIASES: ReadonlyMap<string, string> = new Map()

const DRAFT_7 = /^https?:\/\/json-schema\.org\/draft-07\/schema#?$/
const DRAFT_2020 = 'https://json-schema.org/draft/2020-12/schema'

const OPTIONS: Options = {
  allErrors: true,
  useDefaults: true,
  // Unknown keywords are refused: a misspelt bound is no bound.
  strict: true,
  strictTypes: false,
  strictTuples: false,
  strictRequired: false,
  allowMatchingProperties: true,
  ownProperties: true,
  // In both drafts `format` is a note for readers.
  validateFormats: false,
  logger: false,
  code: { regExp: boundedRegExp },
}

/**
 * @param schema Draft 2020-12, or 7 where `$schema` says so. References stay within it.
 * @throws Error saying what is wrong with the schema.
 */
export function paramCheck(schema: JsonObject): ParamCheck {
  const validate = compiled(schema)
  const known = schemaNames(schema)
  return (params, spelling = NO_ALIASES) => {
    if (validate(params)) return { params, problems: [] }
    return { params, problems: problemsOf(validate, { known, spelling }) }
  }
}

/** As {@link paramCheck}, at first use: for schemas of ours, which are known to be good. */
export function lazyParamCheck(schema: JsonObject): ParamCheck {
  let check: ParamCheck | undefined
  return (params, spelling) => {
    check ??= paramCheck(schema)
    return check(params, spelling)
  }
}

function compiled(schema: JsonObject): ValidateFunction {
  if (schema['type'] !== 'object') throw new Error('type must be "object"')
  const dialect = schema['$schema']
  const is7 = typeof dialect === 'string' && DRAFT_7.test(dialect)
  if (!is7 && dialect !== undefined && dialect !== DRAFT_2020) {
    throw new Error('$schema must be draft 2020-12 or draft-07')
  }
  if (mentions(schema, '$async')) throw new Error('$async is not supported')
  // One instance for each schema: the ids of two tools do not meet.
  const { Draft7, Draft2020 } = schemaCompilers()
  const ajv = is7 ? new Draft7(OPTIONS) : new Draft2020(OPTIONS)
  return ajv.compile(schema as AnySchema)
}

function problemsOf(validate: ValidateFunction, naming: Naming): string[] {
  const found = new Set((validate.errors ?? []).map((error) => paramProblem(error, naming)))
  return [...found].slice(0, MAX_PROBLEMS)
}

function boundedRegExp(pattern: string, flags: string) {
  const expression = new RegExp(pattern, flags)
  return {
    test: (text: string) => text.length <= PATTERN_TEXT && expression.test(text),
    // By this text ajv tells one pattern of a schema from the others.
    toString: () => String(expression),
  }
}
// Asked for by ajv, for code that is generated ahead of time.
boundedRegExp.code = 'boundedRegExp'

/** Every property name the schema speaks of. */
function schemaNames(schema: Json, names = new Set<string>()): Set<string> {
  if (Array.isArray(schema)) for (const item of schema) schemaNames(item, names)
  if (!isJsonObject(schema)) return names
  const properties = schema['properties']
  if (isJsonObject(properties)) for (const name of Object.keys(properties)) names.add(name)
  const required = schema['required']
  if (Array.isArray(required)) for (const name of required) names.add(String(name))
  for (const member of Object.values(schema)) schemaNames(member, names)
  return names
}

function mentions(schema: Json, keyword: string): boolean {
  if (Array.isArray(schema)) return schema.some((item) => mentions(item, keyword))
  if (!isJsonObject(schema)) return false
  return (
    Object.hasOwn(schema, keyword) || Object.values(schema).some((part) => mentions(part, keyword))
  )
}
