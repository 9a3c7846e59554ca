/** Calls: of function values, of what the source declares, of effects, and of built-in functions. */
import type { Expression } from '../ast.ts'
import { EFFECTS, type EffectName, Lambda, type Value } from '../host.ts'
import { BUILTINS, callBuiltin, checkCount } from './builtins.ts'
import { Closure, Environment, FunctionValue } from './environment.ts'
import { argumentsOf, evaluate } from './evaluate.ts'
import { runBlock } from './execute.ts'
import { exceeded, fault } from './fault.ts'
import { type Callable, EFFECT_STEPS, listSize, type Machine, type Run } from './machine.ts'
import { truth } from './operators.ts'
import { plainText } from './text.ts'
import { adopt, expand, isList, kindOf, newRecord } from './values.ts'

const EFFECT_NAMES: ReadonlySet<string> = new Set(EFFECTS)

interface Arguments {
  readonly positional: readonly Value[]
  readonly named: Readonly<Record<string, Value>>
}

export function* call(
  machine: Machine,
  environment: Environment,
  { callee, args, span }: Extract<Expression, { kind: 'call' }>,
): Run<Value> {
  const { line } = span.start
  if (callee.kind !== 'name') {
    const held = yield* evaluate(machine, environment, callee)
    machine.roots.push(held)
    const given = yield* argumentsOf(machine, environment, args, line)
    machine.roots.pop()
    return yield* callValue(machine, held, onlyPositional('a function value', given, line), line)
  }
  const name = callee.text
  const local = environment.find(name)
  const given = yield* argumentsOf(machine, environment, args, line)
  if (local instanceof Lambda)
    return yield* callValue(machine, local, onlyPositional(name, given, line), line)
  const declared = machine.callables.get(name)
  if (declared !== undefined) return yield* callDeclared(machine, declared, given, line)
  if (isEffect(name)) return yield* effect(machine, name, given, line)
  const positional = onlyPositional(name, given, line)
  if (name === 'print') return yield* print(machine, positional, line)
  if (name === 'map' || name === 'filter') return yield* overList(machine, name, positional, line)
  const builtin = BUILTINS.get(name)
  if (builtin === undefined) throw fault(line, `there is no function "${name}"`)
  return callBuiltin(builtin, { machine, name, args: positional, line })
}

/** Runs a body that the source declares, with a table of names of its own. */
export function* callDeclared(
  machine: Machine,
  { name, params, block }: Callable,
  { positional, named }: Arguments,
  line: number,
): Run<Value> {
  if (positional.length > params.length)
    throw fault(line, `${name} takes ${params.length} arguments, not ${positional.length}`)
  const known = new Set(params.map((param) => param.name.text))
  const unknown = Object.keys(named).find((given) => !known.has(given))
  if (unknown !== undefined) throw fault(line, `${name} has no parameter "${unknown}"`)
  const mark = machine.mark()
  enterCall(machine, line)
  machine.where = name
  const own = new Environment(machine.globals)
  machine.roots.push(own)
  machine.reserve(48 + 32 * params.length, line)
  for (const [i, param] of params.entries()) {
    const parameter = param.name.text
    const byName = Object.hasOwn(named, parameter) ? named[parameter] : undefined
    const byPosition = positional[i]
    if (byName !== undefined && byPosition !== undefined)
      throw fault(line, `the argument "${parameter}" is given twice`)
    let value = byPosition ?? byName
    if (value === undefined && param.fallback !== undefined)
      value = yield* evaluate(machine, own, param.fallback)
    if (value === undefined) throw fault(line, `${name} needs the parameter "${parameter}"`)
    own.define(parameter, value)
  }
  const outcome = yield* runBlock(machine, own, block)
  machine.back(mark)
  if (outcome.flow === 'break' || outcome.flow === 'continue')
    throw fault(outcome.line, `"${outcome.flow}" stands outside of a loop`)
  return outcome.value
}

function* callValue(
  machine: Machine,
  held: Value,
  args: readonly Value[],
  line: number,
): Run<Value> {
  if (held instanceof FunctionValue) {
    const declared = machine.callables.get(held.name)
    if (declared !== undefined)
      return yield* callDeclared(machine, declared, { positional: args, named: {} }, line)
  }
  if (!(held instanceof Closure)) throw fault(line, `a ${kindOf(held)} cannot be called`)
  checkCount({ name: 'this function', args, line }, [1, 1])
  const mark = machine.mark()
  enterCall(machine, line)
  const own = new Environment(held.environment)
  own.define(held.param, args[0] ?? null)
  machine.roots.push(own)
  machine.reserve(80, line)
  const value = yield* evaluate(machine, own, held.body)
  machine.back(mark)
  return value
}

function enterCall(machine: Machine, line: number): void {
  machine.calls += 1
  if (machine.calls > machine.limits.callDepth)
    throw exceeded(line, `calls go deeper than ${machine.limits.callDepth}`)
}

/** `map(list, x => …)`, `filter(list, x => …)` */
function* overList(
  machine: Machine,
  name: 'map' | 'filter',
  args: readonly Value[],
  line: number,
): Run<Value> {
  checkCount({ name, args, line }, [2, 2])
  const [list = null, held = null] = args
  if (!isList(list)) throw fault(line, `${name} takes a list, not a ${kindOf(list)}`)
  const made: Value[] = []
  machine.roots.push(list, held, made)
  for (const one of list) {
    const value = yield* callValue(machine, held, [one], line)
    machine.reserve(listSize(0), line)
    if (name === 'map') made.push(value)
    else if (truth(value, line, 'what filter is given')) made.push(one)
  }
  machine.roots.length -= 3
  return made
}

/** Goes to the log of the run. */
function* print(machine: Machine, args: readonly Value[], line: number): Run<Value> {
  const text = args.map((value) => plainText(machine, value, line)).join(' ')
  return yield* effect(machine, 'log', { positional: ['info', text], named: newRecord() }, line)
}

function* effect(
  machine: Machine,
  name: EffectName,
  { positional, named }: Arguments,
  line: number,
): Run<Value> {
  if (machine.pure) throw fault(line, `${name} cannot be called in a condition`)
  machine.work(EFFECT_STEPS, line)
  // What is logged is shown to people.
  const secrets = name === 'log' ? 'a secret cannot be logged' : 'allowed'
  for (const value of [...positional, ...Object.values(named)])
    expand(machine, value, { secrets, line })
  machine.roots.push(positional, named)
  const index = machine.effects
  machine.effects += 1
  const answer = yield { kind: 'effect', call: { name, args: positional, named, index, line } }
  machine.roots.length -= 2
  const value = adopt(machine, answer, line)
  if (name === 'parse_payload') machine.globals.define('payload', value)
  return value
}

function onlyPositional(name: string, given: Arguments, line: number): readonly Value[] {
  const [first] = Object.keys(given.named)
  if (first === undefined) return given.positional
  throw fault(line, `${name} takes no named arguments, and was given "${first}"`)
}

function isEffect(name: string): name is EffectName {
  return EFFECT_NAMES.has(name)
}
