/** What a wrapped function gave back decides when its span ends, and whether the caller gets another object. */
import { types } from 'node:util'
import { fault } from '../counters.ts'
import type { Call } from './call.ts'
import { observeGenerator } from './generator.ts'
import { isNativePromise, observePromise } from './promise.ts'
import { observeStream } from './stream.ts'
import { observeThenable } from './thenable.ts'

/** @returns What the caller gets: the result itself, or for a plain promise one derived from it. */
export function settle(call: Call, result: unknown): unknown {
  try {
    if (typeof result !== 'object' && typeof result !== 'function') call.succeed(result)
    // A proxy cannot be looked into without running its traps.
    else if (result === null || types.isProxy(result)) call.succeed(result)
    else if (isNativePromise(result)) return observePromise(call, result, follow)
    else if ('then' in result && observeThenable(call, result, follow)) return result
    else if (!observeGenerator(call, result)) follow(call, result)
  } catch {
    fault()
    call.succeed(result)
  }
  return result
}

/** A value at hand, which may be a stream that has only begun. */
function follow(call: Call, value: unknown): void {
  try {
    if (call.plan.followsStreams && typeof value === 'object' && value !== null) {
      const goesOn = types.isProxy(value)
        ? false
        : types.isGeneratorObject(value)
          ? Symbol.asyncIterator in value && observeGenerator(call, value)
          : observeStream(call, value)
      if (goesOn) return
    }
  } catch {
    fault()
  }
  call.succeed(value)
}
