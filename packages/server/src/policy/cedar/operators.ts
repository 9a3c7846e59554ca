/**
 * Cedar's operators as closures over closures. Each checks the type of what it gets, and the same
 * check carries an error through: success pays nothing for the possibility of failure.
 */
import { Datetime } from './datetime.ts'
import { Duration } from './duration.ts'
import type { EvalContext } from './entity.ts'
import { addLongs, isLong, multiplyLongs, negateLong, subtractLongs } from './long.ts'
import {
  CedarError,
  type CedarRecord,
  CedarSet,
  EntityUid,
  equals,
  isRecord,
  type Long,
  mistyped,
  type Value,
} from './value.ts'

export type Result = Value | CedarError
export type Run = (context: EvalContext) => Result

export function not(arg: Run): Run {
  return (context) => {
    const value = arg(context)
    return typeof value === 'boolean' ? !value : mistyped(value, 'bool')
  }
}

/** `&&` over two or more terms: stops at the first that is not true. */
export function all(terms: readonly Run[]): Run {
  const [first, second] = terms
  if (terms.length === 2 && first !== undefined && second !== undefined) {
    return (context) => {
      const left = first(context)
      if (left !== true) return left === false ? false : mistyped(left, 'bool')
      const right = second(context)
      return typeof right === 'boolean' ? right : mistyped(right, 'bool')
    }
  }
  return (context) => {
    for (const term of terms) {
      const value = term(context)
      if (value !== true) return value === false ? false : mistyped(value, 'bool')
    }
    return true
  }
}

/** `||` over two or more terms: stops at the first that is not false. */
export function any(terms: readonly Run[]): Run {
  return (context) => {
    for (const term of terms) {
      const value = term(context)
      if (value !== false) return value === true ? true : mistyped(value, 'bool')
    }
    return false
  }
}

export function conditional(test: Run, then: Run, otherwise: Run): Run {
  return (context) => {
    const value = test(context)
    if (value === true) return then(context)
    return value === false ? otherwise(context) : mistyped(value, 'bool')
  }
}

export function equal(left: Run, right: Run, wanted: boolean): Run {
  return (context) => {
    const a = left(context)
    if (a instanceof CedarError) return a
    const b = right(context)
    return b instanceof CedarError ? b : equals(a, b) === wanted
  }
}

export function equalsConstant(arg: Run, constant: Value, wanted: boolean): Run {
  if (typeof constant !== 'object') {
    return (context) => {
      const value = arg(context)
      return value instanceof CedarError ? value : (value === constant) === wanted
    }
  }
  return (context) => {
    const value = arg(context)
    return value instanceof CedarError ? value : equals(value, constant) === wanted
  }
}

type Ordered = (a: Long, b: Long) => boolean

function ordering(left: Run, right: Run, holds: Ordered): Run {
  return (context) => {
    const a = left(context)
    if (a instanceof CedarError) return a
    const b = right(context)
    if (isLong(a) && isLong(b)) return holds(a, b)
    if (a instanceof Datetime && b instanceof Datetime) return holds(a.epochMs, b.epochMs)
    if (a instanceof Duration && b instanceof Duration) return holds(a.ms, b.ms)
    if (b instanceof CedarError) return b
    return new CedarError('type error: expected two longs, two datetimes or two durations')
  }
}

export function less(left: Run, right: Run): Run {
  return ordering(left, right, (a, b) => a < b)
}

export function lessOrEqual(left: Run, right: Run): Run {
  return ordering(left, right, (a, b) => a <= b)
}

function arithmetic(left: Run, right: Run, compute: (a: Long, b: Long) => Long | CedarError): Run {
  return (context) => {
    const a = left(context)
    if (!isLong(a)) return mistyped(a, 'long')
    const b = right(context)
    return isLong(b) ? compute(a, b) : mistyped(b, 'long')
  }
}

export function add(left: Run, right: Run): Run {
  return arithmetic(left, right, addLongs)
}

export function subtract(left: Run, right: Run): Run {
  return arithmetic(left, right, subtractLongs)
}

export function multiply(left: Run, right: Run): Run {
  return arithmetic(left, right, multiplyLongs)
}

export function negate(arg: Run): Run {
  return (context) => {
    const value = arg(context)
    return isLong(value) ? negateLong(value) : mistyped(value, 'long')
  }
}

/** `in`. The right side may be a set, whose members must all be entities, hit or not. */
export function within(left: Run, right: Run): Run {
  return (context) => {
    const child = left(context)
    if (!(child instanceof EntityUid)) return mistyped(child, 'entity')
    const target = right(context)
    if (target instanceof EntityUid) return context.isIn(child, target)
    if (!(target instanceof CedarSet)) return mistyped(target, 'entity or set of entities')
    const ancestors = target.entities()
    if (ancestors === undefined) return new CedarError('type error: expected a set of entities')
    return ancestors.some((ancestor) => context.isIn(child, ancestor))
  }
}

export function isType(arg: Run, type: string): Run {
  return (context) => {
    const value = arg(context)
    return value instanceof EntityUid ? value.type === type : mistyped(value, 'entity')
  }
}

function fieldsOf(value: Result, context: EvalContext): CedarRecord | CedarError {
  if (isRecord(value)) return value
  if (value instanceof EntityUid) return context.find(value)?.attrs ?? NO_FIELDS
  return mistyped(value, 'record or entity')
}

const NO_FIELDS: CedarRecord = new Map()

export function attribute(arg: Run, name: string): Run {
  const missing = new CedarError(`there is no attribute "${name}"`)
  return (context) => {
    const fields = fieldsOf(arg(context), context)
    return fields instanceof CedarError ? fields : (fields.get(name) ?? missing)
  }
}

/** The commonest access of all. */
export function contextAttribute(name: string): Run {
  const missing = new CedarError(`the context has no attribute "${name}"`)
  return (context) => context.context.get(name) ?? missing
}

export function has(arg: Run, name: string): Run {
  return (context) => {
    const fields = fieldsOf(arg(context), context)
    return fields instanceof CedarError ? fields : fields.has(name)
  }
}

export function hasTag(left: Run, right: Run): Run {
  return (context) => {
    const entity = left(context)
    if (!(entity instanceof EntityUid)) return mistyped(entity, 'entity')
    const tag = right(context)
    if (typeof tag !== 'string') return mistyped(tag, 'string')
    return context.find(entity)?.tags.has(tag) ?? false
  }
}

export function getTag(left: Run, right: Run): Run {
  return (context) => {
    const entity = left(context)
    if (!(entity instanceof EntityUid)) return mistyped(entity, 'entity')
    const tag = right(context)
    if (typeof tag !== 'string') return mistyped(tag, 'string')
    return context.find(entity)?.tags.get(tag) ?? new CedarError('there is no such tag')
  }
}

export function isEmpty(arg: Run): Run {
  return (context) => {
    const set = arg(context)
    return set instanceof CedarSet ? set.size === 0 : mistyped(set, 'set')
  }
}

export function contains(left: Run, right: Run): Run {
  return (context) => {
    const set = left(context)
    if (!(set instanceof CedarSet)) return mistyped(set, 'set')
    const member = right(context)
    return member instanceof CedarError ? member : set.has(member)
  }
}

function sets(left: Run, right: Run, holds: (a: CedarSet, b: CedarSet) => boolean): Run {
  return (context) => {
    const a = left(context)
    if (!(a instanceof CedarSet)) return mistyped(a, 'set')
    const b = right(context)
    return b instanceof CedarSet ? holds(a, b) : mistyped(b, 'set')
  }
}

export function containsAll(left: Run, right: Run): Run {
  return sets(left, right, (a, b) => a.includes(b))
}

export function containsAny(left: Run, right: Run): Run {
  return sets(left, right, (a, b) => a.meets(b))
}

export function like(arg: Run, matches: (text: string) => boolean): Run {
  return (context) => {
    const text = arg(context)
    return typeof text === 'string' ? matches(text) : mistyped(text, 'string')
  }
}

export function setOf(items: readonly Run[]): Run {
  return (context) => {
    const members: Value[] = []
    for (const item of items) {
      const value = item(context)
      if (value instanceof CedarError) return value
      members.push(value)
    }
    return new CedarSet(members)
  }
}

export function recordOf(fields: readonly (readonly [string, Run])[]): Run {
  return (context) => {
    const record = new Map<string, Value>()
    for (const [name, run] of fields) {
      const value = run(context)
      if (value instanceof CedarError) return value
      record.set(name, value)
    }
    return record
  }
}
