/** Turns a function into one that tells when it is called, and is otherwise the same. */
import { types } from 'node:util'
import { applyIn, invoke } from '../active.ts'
import { fault } from '../counters.ts'
import { runtime } from '../runtime.ts'
import { Call } from './call.ts'
import { type CoatOptions, type Plan, planOf } from './options.ts'
import { dataMember, type Method } from './own-data.ts'
import { settle } from './settle.ts'

/** Any function, its types kept where it is passed on. */
export type AnyFunction = (...args: never[]) => unknown

const originals = new WeakMap<object, AnyFunction>()

/** @returns What was wrapped, or the function itself when it was not. */
export function unwrap<F extends AnyFunction>(fn: F): F {
  return (originals.get(fn) as F | undefined) ?? fn
}

/** A name that is known only at the call, as a method's is. */
export type NameAt = (self: unknown) => string

/** @throws TypeError for a class, whose instances cannot be told from calls. */
export function wrap<F extends AnyFunction>(
  op: unknown,
  options: CoatOptions,
  fn: F,
  member?: { readonly name: string; readonly at: NameAt },
): F {
  const method = fn as unknown as Method
  if (typeof method !== 'function') throw new TypeError(`coat: ${kindOf(fn)} is not a function`)
  if (isClass(method))
    throw new TypeError(
      'coat: a class cannot be wrapped; wrap its methods, or a function that makes it',
    )
  const plan = planOf(op, options, member?.name ?? nameOf(method))
  const at = member === undefined || plan.name !== member.name ? undefined : member.at
  const wrapper = isConstructible(method)
    ? constructible(method, plan, at)
    : callable(method, plan, at)
  dress(wrapper, method)
  originals.set(wrapper, fn)
  // Same parameters and results as the original: it passes both through.
  return wrapper as unknown as F
}

/** As a method: neither constructible nor with a prototype, as arrow functions and methods are. */
function callable(fn: Method, plan: Plan, at: NameAt | undefined): Method {
  return {
    wrapper(this: unknown, ...args: unknown[]): unknown {
      return call(fn, plan, at, this, args)
    },
  }.wrapper
}

function constructible(fn: Method, plan: Plan, at: NameAt | undefined): Method {
  return function wrapper(this: unknown, ...args: unknown[]): unknown {
    if (new.target !== undefined)
      return Reflect.construct(fn, args, new.target === wrapper ? fn : new.target)
    return call(fn, plan, at, this, args)
  }
}

function call(
  fn: Method,
  plan: Plan,
  at: NameAt | undefined,
  self: unknown,
  args: unknown[],
): unknown {
  const begun = begin(plan, at, self, args)
  if (begun === undefined) return invoke(fn, self, args)
  let result: unknown
  try {
    result = applyIn(begun.span.active, fn, self, args)
  } catch (error) {
    begun.fail(error)
    throw error
  }
  return settle(begun, result)
}

/** @returns `undefined` while disabled, or when something of ours failed: the function runs on its own. */
function begin(
  plan: Plan,
  at: NameAt | undefined,
  self: unknown,
  args: readonly unknown[],
): Call | undefined {
  try {
    const instance = runtime()
    if (instance.disabled) return undefined
    return Call.begin(instance, plan, at === undefined ? plan.name : at(self), self, args)
  } catch {
    fault()
    return undefined
  }
}

/** Gives the wrapper the looks of the original: name, length, prototype and everything hung on it. */
function dress(wrapper: Method, original: Method): void {
  try {
    copyLooks(wrapper, original)
  } catch {
    // A proxy that does not let itself be looked at is wrapped all the same.
    fault()
  }
}

function copyLooks(wrapper: Method, original: Method): void {
  for (const key of Reflect.ownKeys(original)) {
    const descriptor = Object.getOwnPropertyDescriptor(original, key)
    // Old-style functions have `caller` and `arguments`, which belong to that function alone.
    if (descriptor === undefined || key === 'caller' || key === 'arguments') continue
    Reflect.defineProperty(wrapper, key, descriptor)
  }
  if (!Object.hasOwn(original, 'toString')) {
    Reflect.defineProperty(wrapper, 'toString', {
      value: { toString: () => Function.prototype.toString.call(original) }.toString,
      writable: true,
      configurable: true,
      enumerable: false,
    })
  }
  const prototype: unknown = Object.getPrototypeOf(original)
  if (prototype !== Function.prototype) Object.setPrototypeOf(wrapper, prototype as object | null)
}

function nameOf(fn: Method): string {
  const name = dataMember(fn, 'name')
  return typeof name === 'string' ? name : ''
}

function isClass(fn: Method): boolean {
  if (types.isProxy(fn) || !/^class\b/.test(Function.prototype.toString.call(fn))) return false
  // A method may be called `class`; only a class has a prototype that cannot be replaced.
  return Object.getOwnPropertyDescriptor(fn, 'prototype')?.writable === false
}

/** Only `function` functions can be used with `new`; of them, generators cannot either. */
function isConstructible(fn: Method): boolean {
  if (types.isProxy(fn) || types.isGeneratorFunction(fn)) return false
  return Object.hasOwn(fn, 'prototype')
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : `a value of type ${typeof value}`
}
