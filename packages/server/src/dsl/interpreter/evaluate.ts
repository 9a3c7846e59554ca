/** What an expression is worth. Walks the tree; asks for effects and pauses instead of waiting for them. */
import type { Argument, Expression } from '../ast.ts'
import { Duration, SecretRef, Size, type Value } from '../host.ts'
import { call } from './call.ts'
import { Closure, type Environment, FunctionValue } from './environment.ts'
import { runBlock } from './execute.ts'
import { fault } from './fault.ts'
import { listSize, type Machine, PAUSE, type Run, textSize } from './machine.ts'
import { binary, negated, truth } from './operators.ts'
import { isList, isRecord, kindOf, newRecord, SEARCH_STEP } from './values.ts'

/** @throws VestryError DSL_RUNTIME_ERROR, DSL_LIMIT, and what an effect throws. */
export function* evaluate(
  machine: Machine,
  environment: Environment,
  expression: Expression,
): Run<Value> {
  const { line } = expression.span.start
  machine.enter(line)
  if (machine.pauseDue()) yield PAUSE
  const value =
    leaf(machine, environment, expression) ?? (yield* compound(machine, environment, expression))
  machine.depth -= 1
  return value
}

/** Undefined: it has parts; or it is null, which costs nothing to work out again. */
function leaf(
  machine: Machine,
  environment: Environment,
  expression: Expression,
): Value | undefined {
  switch (expression.kind) {
    case 'string':
    case 'number':
    case 'boolean':
      return expression.value
    case 'duration':
      return new Duration(expression.ms)
    case 'size':
      return new Size(expression.bytes)
    case 'secret':
      return new SecretRef(`vault://${expression.path}`)
    case 'name':
      return named(machine, environment, expression.text, expression.span.start.line)
    default:
      return undefined
  }
}

function named(machine: Machine, environment: Environment, name: string, line: number): Value {
  // Before all else: whoever could name a value so would change what conditions mean.
  if (name === 'null' || name === 'None') return null
  const found = environment.find(name)
  if (found !== undefined) return found
  if (machine.callables.has(name)) return new FunctionValue(name)
  throw fault(line, `"${name}" is not defined`)
}

function* compound(machine: Machine, environment: Environment, e: Expression): Run<Value> {
  const { line } = e.span.start
  switch (e.kind) {
    case 'array':
      return yield* list(machine, environment, e.items, line)
    case 'record':
      return yield* record(machine, environment, e.entries, line)
    case 'lambda':
      machine.reserve(48, line)
      return new Closure(e.param.text, e.body, environment)
    case 'unary': {
      const value = yield* evaluate(machine, environment, e.operand)
      return e.operator === '-' ? negated(value, line) : !truth(value, line, 'what "!" takes')
    }
    case 'binary':
      return yield* binaryOf(machine, environment, e)
    case 'member':
      return member(
        yield* evaluate(machine, environment, e.object),
        e.name.text,
        e.name.span.start.line,
      )
    case 'index': {
      const object = yield* evaluate(machine, environment, e.object)
      machine.roots.push(object)
      const index = yield* evaluate(machine, environment, e.index)
      machine.roots.pop()
      return at(machine, object, index, line)
    }
    case 'call':
      return yield* call(machine, environment, e)
    case 'conditional': {
      const holds = truth(yield* evaluate(machine, environment, e.condition), line)
      const outcome = yield* runBlock(machine, environment, holds ? e.then : e.otherwise)
      if (outcome.flow !== 'next')
        throw fault(line, `"${outcome.flow}" cannot stand in an if that is a value`)
      return outcome.value
    }
    default:
      // Of the leaves only null comes here.
      return null
  }
}

function* list(
  machine: Machine,
  environment: Environment,
  items: readonly Expression[],
  line: number,
): Run<Value> {
  machine.reserve(listSize(items.length), line)
  const made: Value[] = []
  machine.roots.push(made)
  for (const item of items) made.push(yield* evaluate(machine, environment, item))
  machine.roots.pop()
  return made
}

function* record(
  machine: Machine,
  environment: Environment,
  entries: readonly { readonly name: { readonly text: string }; readonly value: Expression }[],
  line: number,
): Run<Value> {
  const made = newRecord()
  machine.roots.push(made)
  for (const { name, value } of entries) {
    machine.reserve(textSize(name.text.length), line)
    made[name.text] = yield* evaluate(machine, environment, value)
  }
  machine.roots.pop()
  return made
}

function* binaryOf(
  machine: Machine,
  environment: Environment,
  e: Extract<Expression, { kind: 'binary' }>,
): Run<Value> {
  const { line } = e.span.start
  const { operator } = e
  const left = yield* evaluate(machine, environment, e.left)
  if (operator === '&&' || operator === '||') {
    const what = `what "${operator}" takes`
    if (truth(left, line, what) === (operator === '||')) return left
    return truth(yield* evaluate(machine, environment, e.right), line, what)
  }
  machine.roots.push(left)
  const right = yield* evaluate(machine, environment, e.right)
  machine.roots.pop()
  return binary(machine, operator, left, right, line)
}

/** @throws VestryError DSL_RUNTIME_ERROR where there is no such member. */
export function member(object: Value, name: string, line: number): Value {
  if (!isRecord(object)) throw fault(line, `a ${kindOf(object)} has no member "${name}"`)
  // Only what was put there: nothing is inherited.
  const value = Object.hasOwn(object, name) ? object[name] : undefined
  if (value === undefined) throw fault(line, `there is no member "${name}"`)
  return value
}

/** Positions count from 0, in characters of a text. */
export function at(machine: Machine, object: Value, index: Value, line: number): Value {
  if (isRecord(object)) {
    if (typeof index !== 'string')
      throw fault(line, `a record is read by a text, not by a ${kindOf(index)}`)
    return member(object, index, line)
  }
  if (!isList(object) && typeof object !== 'string')
    throw fault(line, `a ${kindOf(object)} has no members`)
  if (typeof index !== 'number' || !Number.isInteger(index))
    throw fault(line, `a ${kindOf(object)} is read by a whole number`)
  const found = isList(object) ? object[index] : character(machine, object, index, line)
  if (found === undefined) throw fault(line, `there is nothing at position ${index}`)
  return found
}

function character(
  machine: Machine,
  text: string,
  index: number,
  line: number,
): string | undefined {
  let position = 0
  machine.work(Math.min(text.length, Math.max(index, 0)) / SEARCH_STEP, line)
  for (const one of text) {
    if (position === index) return one
    position += 1
    if (index < 0) return undefined
  }
  return undefined
}

/** Arguments in the order of the source. What they are is held until they are taken off the roots. */
export function* argumentsOf(
  machine: Machine,
  environment: Environment,
  args: readonly Argument[],
  line: number,
): Run<{ readonly positional: Value[]; readonly named: Record<string, Value> }> {
  const positional: Value[] = []
  const given = newRecord()
  machine.roots.push(positional, given)
  machine.reserve(listSize(args.length), line)
  for (const { name, value } of args) {
    const worth = yield* evaluate(machine, environment, value)
    if (name === undefined) positional.push(worth)
    else if (Object.hasOwn(given, name.text))
      throw fault(line, `the argument "${name.text}" is given twice`)
    else given[name.text] = worth
  }
  machine.roots.length -= 2
  return { positional, named: given }
}
