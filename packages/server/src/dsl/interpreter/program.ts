/** Which parts of an agent run, and which can be called. */
import { VestryError } from '@vestry/contract/errors'
import type { ActionPart, BehaviorItem, Block, FunctionItem } from '../ast.ts'
import type { CheckedAgent } from '../definition.ts'
import type { Callable } from './machine.ts'

/** One thing that a run goes through. A `with` body has no parameters, and so is no callable. */
export interface Body {
  readonly name: string
  readonly line: number
  readonly callable: Callable | undefined
  readonly block: Block
}

/** Actions, functions and behaviours by name. */
export function callablesOf({ code }: CheckedAgent): ReadonlyMap<string, Callable> {
  const all = [...code.functions, ...code.actions].map(callableOf)
  return new Map(all.map((callable) => [callable.name, callable]))
}

/**
 * The actions that are asked for, all of them if none is; of an agent without any its `with` bodies, else `main`.
 *
 * @throws VestryError DSL_RUNTIME_ERROR: there is no such action, or nothing to run.
 */
export function bodiesOf({ code }: CheckedAgent, wanted?: readonly string[]): readonly Body[] {
  if (wanted !== undefined) {
    return wanted.map((name) => {
      const action = code.actions.find((one) => one.name.text === name)
      if (action !== undefined) return bodyOf(action)
      throw new VestryError('DSL_RUNTIME_ERROR', `There is no action "${name}"`)
    })
  }
  if (code.actions.length > 0) return code.actions.map(bodyOf)
  const bodies = code.bodies.filter(({ block }) => !isEmpty(block))
  if (bodies.length > 0) {
    return bodies.map(({ block, span }) => {
      return { name: 'with', line: span.start.line, callable: undefined, block }
    })
  }
  const start = code.functions.find(({ name }) => name.text === 'main')
  if (start !== undefined) return [bodyOf(start)]
  throw new VestryError('DSL_RUNTIME_ERROR', 'The program has nothing to run', {
    hint: 'Add an action, a body to "with", or a function main.',
  })
}

function isEmpty({ statements, value }: Block): boolean {
  return statements.length === 0 && value === undefined
}

function bodyOf(item: ActionPart | BehaviorItem | FunctionItem): Body {
  const callable = callableOf(item)
  return { name: callable.name, line: item.span.start.line, callable, block: callable.block }
}

export function callableOf(item: ActionPart | BehaviorItem | FunctionItem): Callable {
  if (item.kind === 'behavior')
    return { name: item.name.text, params: item.input, block: item.steps }
  return { name: item.name.text, params: item.params, block: item.block }
}
