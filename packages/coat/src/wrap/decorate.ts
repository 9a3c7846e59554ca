/** Standard decorators: which members of a class can be wrapped, and what the older protocol is told. */

import { memberName } from './member-name.ts'
import type { CoatOptions } from './options.ts'
import { isObject } from './own-data.ts'
import { type AnyFunction, wrap } from './wrapper.ts'

/** What all decorator contexts have. */
export interface MemberContext {
  readonly kind: string
  readonly name: string | symbol | undefined
  readonly static?: boolean
}

export function isMemberContext(value: unknown): value is MemberContext {
  return (
    typeof value === 'object' &&
    value !== null &&
    'kind' in value &&
    typeof value.kind === 'string' &&
    'name' in value
  )
}

/** @throws TypeError when called as compilers with the older protocol do: such a decorator would do nothing. */
export function refuseOldProtocol(args: readonly unknown[]): void {
  const [, key, descriptor] = args
  const isKey = typeof key === 'string' || typeof key === 'symbol'
  if (args.length < 2 || (!isKey && !isDescriptor(descriptor))) return
  throw new TypeError(
    'coat: this is the older decorator protocol (target, key, descriptor), which coat does not support. ' +
      'Compile with standard decorators (remove "experimentalDecorators" from tsconfig.json), ' +
      'or wrap the function itself: method = coat("tool", function () { … })',
  )
}

function isDescriptor(value: unknown): boolean {
  if (!isObject(value)) return false
  return (
    ['value', 'get', 'set'].some((name) => Object.hasOwn(value, name)) &&
    Object.hasOwn(value, 'configurable')
  )
}

/** @throws TypeError for what cannot be wrapped. */
export function decorate(
  op: unknown,
  options: CoatOptions,
  value: unknown,
  context: MemberContext,
): unknown {
  const member = memberName(context)
  switch (context.kind) {
    case 'method':
    case 'getter':
      return wrap(op, options, value as AnyFunction, member)
    case 'field':
      return (initial: unknown) =>
        typeof initial === 'function' ? wrap(op, options, initial as AnyFunction, member) : initial
    case 'accessor': {
      const { get } = value as { get: AnyFunction }
      return { get: wrap(op, options, get, member) }
    }
    default:
      throw new TypeError(
        `coat: a ${context.kind} cannot be decorated; decorate a method, a getter, an accessor or a field that holds a function`,
      )
  }
}
