/** Assignment to a name, or to a member somewhere in its value: copies on the way down, so that no other name sees it. */
import type { Expression, Statement } from '../ast.ts'
import type { Value } from '../host.ts'
import type { Environment } from './environment.ts'
import { at, evaluate } from './evaluate.ts'
import { fault } from './fault.ts'
import { listSize, type Machine, type Run, shallowSize, textSize } from './machine.ts'
import { binary, type PlainOperator } from './operators.ts'
import { COPY_STEP, isList, isRecord, kindOf, NAME_STEP, newRecord } from './values.ts'

type Assignment = Extract<Statement, { kind: 'assign' }>

const OPERATORS: Readonly<Record<Exclude<Assignment['operator'], '='>, PlainOperator>> = {
  '+=': '+',
  '-=': '-',
  '*=': '*',
  '/=': '/',
  '%=': '%',
}

export function* assign(
  machine: Machine,
  environment: Environment,
  { target, operator, value, span }: Assignment,
): Run<void> {
  const { line } = span.start
  const keys: Value[] = []
  machine.roots.push(keys)
  const name = yield* place(machine, environment, target, keys)
  const given = yield* evaluate(machine, environment, value)
  machine.roots.pop()
  // Read only now: working out the value may have changed it.
  const whole = environment.find(name)
  if (whole === undefined)
    throw fault(line, `"${name}" is not defined`, `Begin with: let ${name} = …`)
  let next = given
  if (operator !== '=') {
    const current = keys.reduce((value, key) => at(machine, value, key, line), whole)
    next = binary(machine, OPERATORS[operator], current, given, line)
  }
  machine.roots.push(next)
  const made = replaced(machine, whole, keys, next, line)
  machine.roots.pop()
  const done = environment.assign(name, made)
  if (done === 'constant')
    throw fault(line, `"${name}" is given by the agent and cannot be changed`)
}

/** The name at the bottom; the keys on the way to the member go into `keys`. */
function* place(
  machine: Machine,
  environment: Environment,
  target: Expression,
  keys: Value[],
): Run<string> {
  const { line } = target.span.start
  machine.work(1, line)
  if (target.kind === 'name') return target.text
  if (target.kind !== 'member' && target.kind !== 'index')
    throw fault(line, 'only a name, a member or a position can be assigned to')
  const name = yield* place(machine, environment, target.object, keys)
  const key =
    target.kind === 'member'
      ? target.name.text
      : yield* evaluate(machine, environment, target.index)
  keys.push(key)
  return name
}

function replaced(
  machine: Machine,
  whole: Value,
  [key, ...rest]: readonly Value[],
  next: Value,
  line: number,
): Value {
  if (key === undefined) return next
  const part =
    rest.length === 0 ? next : replaced(machine, at(machine, whole, key, line), rest, next, line)
  if (isList(whole)) {
    at(machine, whole, key, line) // there must be something to replace
    machine.reserve(listSize(whole.length), line)
    machine.work(whole.length / COPY_STEP, line)
    return whole.with(Number(key), part)
  }
  if (!isRecord(whole) || typeof key !== 'string')
    throw fault(line, `a ${kindOf(whole)} has no members that can be assigned to`)
  machine.reserve(shallowSize(whole) + textSize(key.length), line)
  const names = Object.keys(whole)
  machine.work(names.length / NAME_STEP, line)
  const copy = newRecord()
  for (const name of names) copy[name] = whole[name] ?? null
  copy[key] = part
  return copy
}
