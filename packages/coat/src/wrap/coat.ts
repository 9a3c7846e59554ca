/** `coat`: the forms it can be called in. */
import type { Op } from '../op.ts'
import { decorate, isMemberContext, refuseOldProtocol } from './decorate.ts'
import type { CoatOptions } from './options.ts'
import { type AnyFunction, unwrap, wrap } from './wrapper.ts'

/** One of the known tags, or a word of your own for a step. */
export type OpTag = Op | (string & {})

/** Wraps a function, or decorates a member of a class. What it gives back has the type of what it got. */
export interface Wrapper {
  <F extends AnyFunction>(fn: F): F
  <F extends AnyFunction>(method: F, context: ClassMethodDecoratorContext): F
  <This, V>(
    getter: (this: This) => V,
    context: ClassGetterDecoratorContext<This, V>,
  ): (this: This) => V
  <This, V>(
    accessor: ClassAccessorDecoratorTarget<This, V>,
    context: ClassAccessorDecoratorContext<This, V>,
  ): ClassAccessorDecoratorResult<This, V>
  <This, V>(
    field: undefined,
    context: ClassFieldDecoratorContext<This, V>,
  ): (this: This, initial: V) => V
}

export interface Coat {
  /** Wraps a step. */
  <F extends AnyFunction>(fn: F): F
  /** @returns What wraps functions, and decorates members of classes. */
  (op: OpTag, options?: CoatOptions): Wrapper
  <F extends AnyFunction>(op: OpTag, fn: F): F
  <F extends AnyFunction>(op: OpTag, options: CoatOptions, fn: F): F
  /** @returns The function that was wrapped, or the one given when it was not. */
  unwrap<F extends AnyFunction>(fn: F): F
}

/**
 * Wraps a function: each call is told as a start and an end, and whatever is called inside is below it.
 * Values, errors, `this`, name and length stay what they were.
 *
 * @throws TypeError when what is to be wrapped is no function, is a class, or is decorated with the older
 * protocol. The wrapped function throws nothing of ours.
 */
export const coat: Coat = Object.assign(wrapAny, { unwrap })

function wrapAny(...args: unknown[]): never {
  const [first, second, third] = args
  // The overloads say what each form gives back.
  if (typeof first === 'function') return wrap('step', {}, first as AnyFunction) as never
  if (args.length >= 3) return wrap(first, optionsOf(second), third as AnyFunction) as never
  if (typeof second === 'function') return wrap(first, {}, second as AnyFunction) as never
  return wrapperOf(first, optionsOf(second)) as never
}

function wrapperOf(op: unknown, options: CoatOptions) {
  return (...args: unknown[]): unknown => {
    const [value, context] = args
    if (isMemberContext(context)) return decorate(op, options, value, context)
    refuseOldProtocol(args)
    return wrap(op, options, value as AnyFunction)
  }
}

function optionsOf(given: unknown): CoatOptions {
  if (given === undefined || given === null) return {}
  if (typeof given === 'object') return given
  throw new TypeError(`coat: options must be an object, not a value of type ${typeof given}`)
}
