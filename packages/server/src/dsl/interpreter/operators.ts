/** What the operators do. Each takes kinds that belong together; all else is an error of the program. */
import type { BinaryOperator } from '../ast.ts'
import { Duration, Size, type Value } from '../host.ts'
import { fault } from './fault.ts'
import { textFinder } from './find-text.ts'
import { listSize, type Machine, textSize } from './machine.ts'
import { COPY_STEP, equal, isList, isRecord, kindOf, SEARCH_STEP, TEXT_STEP } from './values.ts'

/** Both sides are known: `&&` and `||`, which may leave one out, are not among them. */
export type PlainOperator = Exclude<BinaryOperator, '&&' | '||'>

/** @throws VestryError DSL_RUNTIME_ERROR, DSL_LIMIT */
export function binary(
  machine: Machine,
  operator: PlainOperator,
  left: Value,
  right: Value,
  line: number,
): Value {
  switch (operator) {
    case '==':
      return equal(machine, left, right, line)
    case '!=':
      return !equal(machine, left, right, line)
    case 'in':
      return isIn(machine, left, right, line)
    case '<':
    case '>':
    case '<=':
    case '>=':
      return compared(machine, operator, left, right, line)
    case '+':
      return sum(machine, left, right, line)
    default:
      return arithmetic(operator, left, right, line)
  }
}

export function negated(value: Value, line: number): Value {
  if (typeof value === 'number') return 0 - value
  if (value instanceof Duration) return new Duration(0 - value.ms)
  throw fault(line, `"-" takes a number or a duration, not a ${kindOf(value)}`)
}

/** Conditions are true or false: nothing else passes for either. */
export function truth(value: Value, line: number, what = 'a condition'): boolean {
  if (typeof value === 'boolean') return value
  throw fault(line, `${what} is true or false, not a ${kindOf(value)}`)
}

/** In a list by equality, in a record by name, in a text as a part of it. */
export function isIn(machine: Machine, item: Value, whole: Value, line: number): boolean {
  if (isList(whole)) {
    let found = false
    for (const one of whole) found = equal(machine, item, one, line) || found
    return found
  }
  if (typeof item === 'string' && typeof whole === 'string') {
    machine.work((whole.length + item.length) / SEARCH_STEP, line)
    return textFinder(item)(whole, 0) !== -1
  }
  if (typeof item === 'string' && isRecord(whole)) return Object.hasOwn(whole, item)
  throw mismatch('in', item, whole, line)
}

function compared(
  machine: Machine,
  operator: '<' | '>' | '<=' | '>=',
  left: Value,
  right: Value,
  line: number,
): boolean {
  if (typeof left === 'string' && typeof right === 'string') {
    machine.work(Math.min(left.length, right.length) / TEXT_STEP, line)
    return inOrder(operator, left < right ? -1 : left > right ? 1 : 0)
  }
  const [a, b] = [amount(left), amount(right)]
  if (a === undefined || b === undefined || kindOf(left) !== kindOf(right))
    throw mismatch(operator, left, right, line)
  return inOrder(operator, a - b)
}

function inOrder(operator: '<' | '>' | '<=' | '>=', difference: number): boolean {
  if (operator === '<') return difference < 0
  if (operator === '>') return difference > 0
  return operator === '<=' ? difference <= 0 : difference >= 0
}

function sum(machine: Machine, left: Value, right: Value, line: number): Value {
  if (isList(left) && isList(right)) {
    const length = left.length + right.length
    machine.reserve(listSize(length), line)
    machine.work(length / COPY_STEP, line)
    return left.concat(right)
  }
  if (typeof left === 'string' || typeof right === 'string') {
    const [a, b] = [joinable(left), joinable(right)]
    if (a === undefined || b === undefined) throw mismatch('+', left, right, line)
    // Before it is made: the next doubling could be the one that the process cannot hold.
    machine.reserve(textSize(a.length + b.length), line)
    return a + b
  }
  return arithmetic('+', left, right, line)
}

/** What may stand beside a text. */
function joinable(value: Value): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

function arithmetic(
  operator: '+' | '-' | '*' | '/' | '%',
  left: Value,
  right: Value,
  line: number,
): Value {
  const [a, b] = [amount(left), amount(right)]
  const unit = unitOf(operator, left, right)
  if (a === undefined || b === undefined || unit === undefined)
    throw mismatch(operator, left, right, line)
  if ((operator === '/' || operator === '%') && b === 0) throw fault(line, 'division by zero')
  const result = calculated(operator, a, b)
  if (!Number.isFinite(result)) throw fault(line, 'the number is too large')
  if (unit === 'duration') return new Duration(result + 0)
  return unit === 'size' ? new Size(result + 0) : result + 0
}

function calculated(operator: '+' | '-' | '*' | '/' | '%', a: number, b: number): number {
  if (operator === '+') return a + b
  if (operator === '-') return a - b
  if (operator === '*') return a * b
  return operator === '/' ? a / b : a % b
}

/** Amounts of one kind add up; a kind times a number stays that kind; one by the other is a number. */
function unitOf(operator: string, left: Value, right: Value): string | undefined {
  const [a, b] = [kindOf(left), kindOf(right)]
  if (a === b) {
    if (a === 'number' || operator === '+' || operator === '-' || operator === '%') return a
    return operator === '/' ? 'number' : undefined
  }
  if (b === 'number' && (operator === '*' || operator === '/')) return a
  return a === 'number' && operator === '*' ? b : undefined
}

function amount(value: Value): number | undefined {
  if (typeof value === 'number') return value
  if (value instanceof Duration) return value.ms
  return value instanceof Size ? value.bytes : undefined
}

function mismatch(operator: string, left: Value, right: Value, line: number): Error {
  return fault(line, `"${operator}" does not take a ${kindOf(left)} and a ${kindOf(right)}`)
}
