/** Which span is active: one asynchronous store, entered with `run` alone. What it holds never changes. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Ids } from './aot.ts'

export interface Active {
  readonly ids: Ids
  /** The span, when it is one of this process. */
  readonly span: ScopeHolder | undefined
}

export interface ScopeHolder {
  addScope(thunk: () => unknown): void
}

/** As it was when this was loaded: what is done to it later is no reason for a call to fail. */
export const invoke = Reflect.apply

const storage = new AsyncLocalStorage<Active>()

export function active(): Active | undefined {
  return storage.getStore()
}

/** @param active `undefined`: outside every span. */
export function runIn<A extends unknown[], R>(
  active: Active | undefined,
  fn: (...args: A) => R,
  ...args: A
): R {
  // Leaving all spans is entering "none", which the type of `run` leaves out.
  return storage.run(active as Active, fn, ...args)
}

/** Calls a function with a receiver; without a closure, since wrappers do so at every call. */
export function applyIn(
  active: Active | undefined,
  fn: (this: unknown, ...args: unknown[]) => unknown,
  self: unknown,
  args: readonly unknown[],
): unknown {
  return storage.run(active as Active, apply, fn, self, args)
}

function apply(
  fn: (this: unknown, ...args: unknown[]) => unknown,
  self: unknown,
  args: readonly unknown[],
): unknown {
  return invoke(fn, self, args)
}

/** @returns The ids of the active span, which cannot be changed; `undefined` outside every span. */
export function current(): Ids | undefined {
  return storage.getStore()?.ids
}
