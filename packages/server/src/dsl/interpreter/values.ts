/** Kinds of values, when two are equal, and how what comes from outside becomes a value. */
import { Duration, Lambda, SecretRef, Size, Tagged, type Value, type ValueRecord } from '../host.ts'
import { exceeded, fault } from './fault.ts'
import { listSize, type Machine, textSize } from './machine.ts'

/** Lists and records within each other, of a value that is compared, written as text or handed out. */
export const MAX_VALUE_DEPTH = 64
/** Characters that are looked at in one step. */
export const TEXT_STEP = 64
/** The same where each is looked at on its own: counted, or searched for. */
export const SEARCH_STEP = 16
/** Members that are copied in one step. */
export const COPY_STEP = 16
/** The same of a record, whose members each have a name to be found by. */
export const NAME_STEP = 4

/** For messages. */
export function kindOf(value: Value): string {
  if (value === null) return 'null'
  if (typeof value !== 'object') return typeof value
  if (Array.isArray(value)) return 'list'
  if (value instanceof SecretRef) return 'secret'
  if (value instanceof Duration) return 'duration'
  if (value instanceof Size) return 'size'
  if (value instanceof Tagged) return value.tag
  if (value instanceof Lambda) return 'function'
  return 'record'
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value)
}

export function isRecord(value: Value): value is ValueRecord {
  return kindOf(value) === 'record' && typeof value === 'object'
}

/** Without a prototype, so that every member is one that the program or its host has put there. */
export function newRecord(): Record<string, Value> {
  return Object.create(null) as Record<string, Value>
}

/** In one order, whatever order they were written or received in. */
export function sortedKeys(record: ValueRecord): string[] {
  return Object.keys(record).sort()
}

/** @throws VestryError DSL_RUNTIME_ERROR for a secret or a function, of which nothing may be learned. */
export function equal(machine: Machine, a: Value, b: Value, line: number, depth = 0): boolean {
  for (const side of [a, b]) {
    if (side instanceof SecretRef) throw fault(line, 'a secret cannot be compared')
    if (side instanceof Lambda) throw fault(line, 'a function cannot be compared')
  }
  if (depth > MAX_VALUE_DEPTH) throw fault(line, 'the values are nested too deeply to compare')
  machine.work(1, line)
  const deeper = (x: Value, y: Value): boolean => equal(machine, x, y, line, depth + 1)
  if (typeof a === 'string' && typeof b === 'string') {
    if (a.length !== b.length) return false
    machine.work(a.length / TEXT_STEP, line)
    return a === b
  }
  if (isList(a) && isList(b)) return allOf(pairs(a, b), deeper) && a.length === b.length
  if (a instanceof Tagged && b instanceof Tagged)
    return (
      allOf(pairs(a.args, b.args), deeper) && a.tag === b.tag && a.args.length === b.args.length
    )
  if (a instanceof Duration) return b instanceof Duration && a.ms === b.ms
  if (a instanceof Size) return b instanceof Size && a.bytes === b.bytes
  if (isRecord(a) && isRecord(b)) return equalRecords(machine, a, b, line, deeper)
  // What is not compared could still be a secret further in.
  for (const side of [a, b]) refuseSecrets(machine, side, line)
  return a === b
}

function equalRecords(
  machine: Machine,
  a: ValueRecord,
  b: ValueRecord,
  line: number,
  deeper: (x: Value, y: Value) => boolean,
): boolean {
  const keys = sortedKeys(a)
  machine.work(keys.length / NAME_STEP, line)
  const same = keys.filter((key) => Object.hasOwn(b, key))
  const shared = same.map((key) => [a[key] ?? null, b[key] ?? null] as const)
  return (
    allOf(shared, deeper) && same.length === keys.length && keys.length === Object.keys(b).length
  )
}

function* pairs(a: readonly Value[], b: readonly Value[]): Iterable<readonly [Value, Value]> {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) yield [a[i] ?? null, b[i] ?? null]
}

/** All are looked at, so that a secret is an error wherever it stands. */
function allOf(
  list: Iterable<readonly [Value, Value]>,
  holds: (x: Value, y: Value) => boolean,
): boolean {
  let all = true
  for (const [x, y] of list) all = holds(x, y) && all
  return all
}

function refuseSecrets(machine: Machine, value: Value, line: number): void {
  if (typeof value === 'object' && value !== null)
    expand(machine, value, { secrets: 'a secret cannot be compared', line })
}

/**
 * Looks at all of a value that leaves the program, and counts it as it will be written out: with what is referred to
 * twice taken twice.
 *
 * @throws VestryError DSL_RUNTIME_ERROR for a function, for a secret unless they are allowed, and for deep nesting;
 *   DSL_LIMIT where it would be too large.
 */
export function expand(
  machine: Machine,
  value: Value,
  { secrets, line }: { readonly secrets: string | 'allowed'; readonly line: number },
): void {
  let bytes = 0
  const look = (one: Value, depth: number): void => {
    if (depth > MAX_VALUE_DEPTH) throw fault(line, 'the value is nested too deeply')
    machine.work(1, line)
    bytes += typeof one === 'string' ? textSize(one.length) : 8
    if (bytes > machine.limits.memory) throw exceeded(line, 'the value is too large')
    if (one instanceof SecretRef && secrets !== 'allowed') throw fault(line, secrets)
    if (one instanceof Lambda) throw fault(line, 'a function cannot leave the program')
    if (isList(one)) for (const part of one) look(part, depth + 1)
    else if (one instanceof Tagged) for (const part of one.args) look(part, depth + 1)
    else if (isRecord(one)) {
      for (const key of Object.keys(one)) {
        bytes += textSize(key.length)
        look(one[key] ?? null, depth + 1)
      }
    }
  }
  look(value, 0)
}

/**
 * A copy of what came from outside: records without a prototype, no `-0`, nothing that a program could not have.
 *
 * @throws VestryError DSL_RUNTIME_ERROR for what is no value of the language, DSL_LIMIT where it is too large.
 */
export function adopt(machine: Machine, given: unknown, line: number, depth = 0): Value {
  if (depth > MAX_VALUE_DEPTH) throw fault(line, 'what was received is nested too deeply')
  machine.work(1 / 4, line)
  if (given === undefined || given === null) return null
  if (typeof given === 'boolean') return given
  if (typeof given === 'string') {
    machine.reserve(textSize(given.length), line)
    return given
  }
  if (typeof given === 'number' && Number.isFinite(given)) return given + 0
  if (typeof given !== 'object') throw fault(line, 'what was received is no value')
  if (given instanceof SecretRef || given instanceof Duration || given instanceof Size) return given
  if (given instanceof Lambda) throw fault(line, 'what was received is no value')
  const deeper = (part: unknown): Value => adopt(machine, part, line, depth + 1)
  if (given instanceof Tagged) return new Tagged(given.tag, given.args.map(deeper))
  if (Array.isArray(given)) {
    machine.reserve(listSize(given.length), line)
    return given.map(deeper)
  }
  const record = newRecord()
  for (const [key, part] of Object.entries(given)) {
    machine.reserve(textSize(key.length), line)
    record[key] = deeper(part)
  }
  return record
}
