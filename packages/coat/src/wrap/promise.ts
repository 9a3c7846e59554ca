/** Promises: the caller gets one derived from the original, so a rejection nobody handles stays unhandled. */
import { types } from 'node:util'
import type { Call } from './call.ts'
import { methodOf } from './own-data.ts'

/** Follows what a promise was fulfilled with, when that is itself something that goes on. */
export type Follow = (call: Call, value: unknown) => void

/** @returns Whether it is a promise of the language and nothing more. */
export function isNativePromise(value: object): value is Promise<unknown> {
  return (
    types.isPromise(value) &&
    Object.getPrototypeOf(value) === Promise.prototype &&
    !Object.hasOwn(value, 'then') &&
    !Object.hasOwn(value, 'constructor')
  )
}

export function observePromise(
  call: Call,
  promise: Promise<unknown>,
  follow: Follow,
): Promise<unknown> {
  const derived = promise.then(
    (value) => {
      follow(call, value)
      return value
    },
    (error: unknown) => {
      call.fail(error)
      throw error
    },
  )
  // Some functions hang more on the promise, as `promisify(exec)` does with its child process.
  // Under symbols the runtime keeps what belongs to this one promise alone: ids, and contexts.
  for (const key of Object.getOwnPropertyNames(promise)) {
    const descriptor = Object.getOwnPropertyDescriptor(promise, key)
    if (descriptor !== undefined) Reflect.defineProperty(derived, key, descriptor)
  }
  return derived
}

/**
 * Follows one step of an iteration, whatever kind of promise it made.
 *
 * @returns What the caller gets in its place; `undefined` when the step made no promise.
 */
export function afterStep(
  step: unknown,
  fulfilled: (value: unknown) => void,
  rejected: (error: unknown) => void,
): Promise<unknown> | undefined {
  if (!types.isPromise(step) && methodOf(step, 'then') === undefined) return undefined
  return Promise.resolve(step).then(
    (value) => {
      fulfilled(value)
      return value
    },
    (error: unknown) => {
      rejected(error)
      throw error
    },
  )
}
