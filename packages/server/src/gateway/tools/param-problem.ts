/**
 * What a schema found wrong, in words for the caller: never a value, never a name the caller made up, and never the
 * two words by which clients tell a denial from a mistake (gateway contract R-11).
 */
import type { ErrorObject } from 'ajv'

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  array: 'a list',
  null: 'null',
}
const LOADED = /policy|scope/i
const SHOWABLE = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/

export interface Naming {
  /** Names of the schema; all others are the caller's. */
  readonly known: ReadonlySet<string>
  /** Name of the tool → the name the caller used. */
  readonly spelling: ReadonlyMap<string, string>
}

/** `path: message` */
export function paramProblem(error: ErrorObject, naming: Naming): string {
  const path = segments(error.instancePath)
  const missing: unknown = error.params['missingProperty']
  if (typeof missing === 'string') path.push(missing)
  return `${paramPath(path, naming)}: ${message(error)}`
}

/** `messages[0].role` */
export function paramPath(path: readonly string[], { known, spelling }: Naming): string {
  let out = ''
  path.forEach((segment, at) => {
    if (/^\d+$/.test(segment) && !known.has(segment)) {
      out += `[${segment}]`
      return
    }
    const name = at === 0 ? (spelling.get(segment) ?? segment) : segment
    const shown = known.has(segment) && SHOWABLE.test(name) && !LOADED.test(name) ? name : '*'
    out += out === '' ? shown : `.${shown}`
  })
  return out === '' ? 'params' : out
}

function message({ keyword, params }: ErrorObject): string {
  const limit = String(params['limit'])
  const items = params['limit'] === 1 ? 'item' : 'items'
  switch (keyword) {
    case 'required':
    case 'dependentRequired':
    case 'dependencies':
      return 'is required'
    case 'type':
      return `must be ${types(params['type'])}`
    case 'minLength':
      return limit === '1' ? 'must not be empty' : `must have at least ${limit} characters`
    case 'maxLength':
      return `must have at most ${limit} characters`
    case 'minItems':
      return `must have at least ${limit} ${items}`
    case 'maxItems':
      return `must have at most ${limit} ${items}`
    case 'uniqueItems':
      return 'must not repeat an item'
    case 'minimum':
      return `must be at least ${limit}`
    case 'maximum':
      return `must be at most ${limit}`
    case 'exclusiveMinimum':
      return `must be more than ${limit}`
    case 'exclusiveMaximum':
      return `must be less than ${limit}`
    case 'multipleOf':
      return `must be a multiple of ${String(params['multipleOf'])}`
    case 'pattern':
      return 'does not have the required form'
    case 'enum':
      return oneOf(params['allowedValues'])
    case 'const':
      return oneOf([params['allowedValue']])
    case 'maxProperties':
      return `must have at most ${limit} members`
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return 'has a member that is not known'
    case 'propertyNames':
      return 'has a member whose name is not allowed'
    default:
      return 'is not of an accepted form'
  }
}

function types(wanted: unknown): string {
  const names: unknown[] = Array.isArray(wanted) ? wanted : String(wanted).split(',')
  return names.map((name) => TYPES[String(name)] ?? 'of another type').join(' or ')
}

function oneOf(allowed: unknown): string {
  const plain = Array.isArray(allowed) && allowed.length <= 10 && allowed.every(isShowableValue)
  if (!plain) return 'is not one of the accepted values'
  return allowed.length === 1 ? `must be ${allowed[0]}` : `must be one of ${allowed.join(', ')}`
}

/** Of the schema, so not of the caller; but an operator may have used one of the two words. */
function isShowableValue(value: unknown): boolean {
  return typeof value === 'string' ? SHOWABLE.test(value) && !LOADED.test(value) : true
}

function segments(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
}
