/** Conditions of rules: expressions that only compute, within small limits, at once. */
import type { Expression } from '../ast.ts'
import type { Value } from '../host.ts'
import { evaluate } from '../interpreter/evaluate.ts'
import { isFatal } from '../interpreter/fault.ts'
import { type Callable, Machine, type Run, type RunLimits } from '../interpreter/machine.ts'
import { adopt } from '../interpreter/values.ts'

/** They are worked out before each operation, and nobody else runs meanwhile. */
export const CONDITION_LIMITS: RunLimits = {
  steps: 20_000,
  callDepth: 20,
  whileIterations: 1_000,
  memory: 4 * 1024 * 1024,
  wallClockMs: 1_000,
}

export interface ConditionScope {
  /** Undefined: what was handed in is no value, or too large; no condition can be evaluated then. */
  readonly values: ReadonlyMap<string, Value> | undefined
  readonly functions: ReadonlyMap<string, Callable>
}

/** Copies once what all conditions of an operation see. */
export function conditionScope(
  given: Readonly<Record<string, Value>>,
  functions: ReadonlyMap<string, Callable> = new Map(),
): ConditionScope {
  const machine = new Machine({ limits: { ...CONDITION_LIMITS, steps: 1_000_000 } })
  try {
    const values = Object.entries(given).map(
      ([name, value]) => [name, adopt(machine, value, 0)] as const,
    )
    return { values: new Map(values), functions }
  } catch {
    return { values: undefined, functions }
  }
}

/** The value, or undefined: it cannot be evaluated, or takes too much. */
export function valueIn(
  expression: Expression,
  scope: ConditionScope,
  bound: Readonly<Record<string, Value>> = {},
): Value | undefined {
  if (scope.values === undefined) return undefined
  const machine = new Machine({ limits: CONDITION_LIMITS, callables: scope.functions, pure: true })
  for (const [name, value] of scope.values) machine.globals.define(name, value, true)
  try {
    for (const [name, value] of Object.entries(bound))
      machine.globals.define(name, adopt(machine, value, 0), true)
    return atOnce(evaluate(machine, machine.globals, expression))
  } catch (error) {
    // The limits are those of a condition; what is wrong with it is not the end of the run.
    if (isFatal(error) && !isLimit(error)) throw error
    return undefined
  }
}

/** True, false, or undefined: it is neither. */
export function holdsIn(
  expression: Expression,
  scope: ConditionScope,
  bound: Readonly<Record<string, Value>> = {},
): boolean | undefined {
  const value = valueIn(expression, scope, bound)
  return typeof value === 'boolean' ? value : undefined
}

function atOnce(run: Run<Value>): Value | undefined {
  let step = run.next()
  // Effects are refused before they are asked for.
  while (step.done !== true && step.value.kind === 'pause') step = run.next()
  return step.done === true ? step.value : undefined
}

function isLimit(error: unknown): boolean {
  return error instanceof RangeError || (error as { code?: unknown }).code === 'DSL_LIMIT'
}
