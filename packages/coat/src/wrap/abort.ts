/** Tells an operation that was called off from one that failed. */
import { types } from 'node:util'
import { dataMember, isObject } from './own-data.ts'

/** @param args Of the call: one may be a signal, or have one as its `signal`. */
export function isAbort(error: unknown, args: readonly unknown[]): boolean {
  return isAbortError(error) || args.some(isAborted)
}

function isAbortError(error: unknown): boolean {
  // Its name is an accessor, but the platform's own.
  if (isNativeException(error)) return error.name === 'AbortError'
  return dataMember(error, 'name') === 'AbortError' || dataMember(error, 'code') === 'ABORT_ERR'
}

function isNativeException(error: unknown): error is DOMException {
  return isObject(error) && !types.isProxy(error) && error instanceof DOMException
}

function isAborted(argument: unknown): boolean {
  return hasAborted(argument) || hasAborted(dataMember(argument, 'signal'))
}

function hasAborted(signal: unknown): boolean {
  if (!isObject(signal) || types.isProxy(signal)) return false
  return signal instanceof AbortSignal && signal.aborted
}
