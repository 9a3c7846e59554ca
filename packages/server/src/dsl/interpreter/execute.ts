/** What statements do. Values are never changed: an assignment into one makes another. */
import type { Block, Condition, Expression, IfStatement, Statement } from '../ast.ts'
import type { Value } from '../host.ts'
import { assign } from './assign.ts'
import { caught } from './catch.ts'
import { Environment } from './environment.ts'
import { evaluate } from './evaluate.ts'
import { exceeded, fault, isFatal } from './fault.ts'
import type { Machine, Run } from './machine.ts'
import { truth } from './operators.ts'
import { matched } from './patterns.ts'
import { requireCapabilities } from './require.ts'
import { equal, isList, kindOf } from './values.ts'

/** How a block was left. `value`: of its last expression, or what is returned. */
export interface Outcome {
  readonly flow: 'next' | 'return' | 'break' | 'continue'
  readonly value: Value
  readonly line: number
}

const NEXT: Outcome = { flow: 'next', value: null, line: 0 }

export function* runBlock(
  machine: Machine,
  outer: Environment,
  block: Block,
  names: readonly (readonly [string, Value])[] = [],
): Run<Outcome> {
  const { line } = block.span.start
  const environment = new Environment(outer)
  for (const [name, value] of names) environment.define(name, value)
  machine.reserve(48 + 32 * names.length, line)
  machine.roots.push(environment)
  machine.enter(line)
  const outcome = yield* inside(machine, environment, block)
  machine.depth -= 1
  machine.roots.pop()
  return outcome
}

function* inside(machine: Machine, environment: Environment, block: Block): Run<Outcome> {
  let last = NEXT
  for (const statement of block.statements) {
    last = yield* run(machine, environment, statement)
    if (last.flow !== 'next') return last
  }
  // An `if` at the end is read as a statement, and meant as the value.
  if (block.value === undefined) return last
  const value = yield* evaluate(machine, environment, block.value)
  return { flow: 'next', value, line: 0 }
}

function* run(machine: Machine, environment: Environment, s: Statement): Run<Outcome> {
  const { line } = s.span.start
  machine.work(1, line)
  switch (s.kind) {
    case 'let':
      environment.define(s.name.text, yield* evaluate(machine, environment, s.value))
      machine.reserve(32, line)
      return NEXT
    case 'assign':
      yield* assign(machine, environment, s)
      return NEXT
    case 'return': {
      const value = s.value === undefined ? null : yield* evaluate(machine, environment, s.value)
      return { flow: 'return', value, line }
    }
    case 'if':
      return yield* choose(machine, environment, s)
    case 'for':
      return yield* forEach(machine, environment, s)
    case 'while':
      return yield* loop(machine, environment, s)
    case 'match':
      return yield* match(machine, environment, s)
    case 'try':
      return yield* attempt(machine, environment, s)
    case 'require':
      yield* requireCapabilities(machine, environment, s.capabilities)
      return NEXT
    case 'break':
    case 'continue':
      return { flow: s.kind, value: null, line }
    case 'expression':
      yield* evaluate(machine, environment, s.expression)
      return NEXT
    default:
      s satisfies never
      return NEXT
  }
}

function* choose(machine: Machine, environment: Environment, first: IfStatement): Run<Outcome> {
  let at: IfStatement = first
  for (;;) {
    const names = yield* holds(machine, environment, at.condition)
    if (names !== undefined) return yield* runBlock(machine, environment, at.then, names)
    const { otherwise } = at
    if (otherwise === undefined) return NEXT
    if (!('kind' in otherwise)) return yield* runBlock(machine, environment, otherwise)
    at = otherwise
  }
}

/** The names it binds, or undefined where it does not hold. */
function* holds(
  machine: Machine,
  environment: Environment,
  condition: Condition,
): Run<readonly (readonly [string, Value])[] | undefined> {
  if (condition.kind === 'pattern')
    return matched(condition.pattern, yield* evaluate(machine, environment, condition.value))
  const { expression } = condition
  const value = yield* evaluate(machine, environment, expression)
  return truth(value, expression.span.start.line) ? [] : undefined
}

function* forEach(
  machine: Machine,
  environment: Environment,
  s: Extract<Statement, { kind: 'for' }>,
): Run<Outcome> {
  const list = yield* evaluate(machine, environment, s.list)
  if (!isList(list)) {
    const hint = 'Go through the names of a record with keys(…).'
    throw fault(s.span.start.line, `"for" goes through a list, not a ${kindOf(list)}`, hint)
  }
  machine.roots.push(list)
  let left = NEXT
  for (const one of list) {
    const outcome = yield* runBlock(machine, environment, s.block, [[s.name.text, one]])
    if (outcome.flow === 'return') left = outcome
    if (outcome.flow === 'return' || outcome.flow === 'break') break
  }
  machine.roots.pop()
  return left
}

function* loop(
  machine: Machine,
  environment: Environment,
  s: Extract<Statement, { kind: 'while' }>,
): Run<Outcome> {
  const { line } = s.span.start
  const { whileIterations } = machine.limits
  for (let turn = 0; ; turn += 1) {
    if (!truth(yield* evaluate(machine, environment, s.condition), line)) return NEXT
    if (turn >= whileIterations)
      throw exceeded(line, `"while" went round more than ${whileIterations} times`)
    const outcome = yield* runBlock(machine, environment, s.block)
    if (outcome.flow === 'return') return outcome
    if (outcome.flow === 'break') return NEXT
  }
}

function* match(
  machine: Machine,
  environment: Environment,
  s: Extract<Statement, { kind: 'match' }>,
): Run<Outcome> {
  const subject = yield* evaluate(machine, environment, s.subject)
  for (const { pattern, body, span } of s.arms) {
    const { line } = span.start
    if (pattern.kind === 'literal' && !equal(machine, subject, pattern.value, line)) continue
    const isNull = pattern.kind === 'name' && ['None', 'null'].includes(pattern.name.text)
    if (isNull && subject !== null) continue
    const names =
      pattern.kind === 'name' && !isNull ? ([[pattern.name.text, subject]] as const) : []
    const block = isBlock(body) ? body : { statements: [], value: body, span: body.span }
    return statementOutcome(yield* runBlock(machine, environment, block, names))
  }
  return NEXT
}

function* attempt(
  machine: Machine,
  environment: Environment,
  s: Extract<Statement, { kind: 'try' }>,
): Run<Outcome> {
  const mark = machine.mark()
  try {
    return statementOutcome(yield* runBlock(machine, environment, s.block))
  } catch (error) {
    const found = isFatal(error) ? undefined : caught(s.catches, error)
    if (found === undefined) throw error
    machine.back(mark)
    return statementOutcome(
      yield* runBlock(machine, environment, found.block, [[found.name, found.value]]),
    )
  }
}

/** The value of a block that is a statement is nobody's. */
function statementOutcome(outcome: Outcome): Outcome {
  return outcome.flow === 'next' ? NEXT : outcome
}

function isBlock(body: Expression | Block): body is Block {
  return 'statements' in body
}
