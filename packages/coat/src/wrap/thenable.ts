/**
 * Thenables that are no plain promises: lazy queries, clients' promises with methods of their own. The
 * object stays itself; its `then` is covered, so the outcome is seen when the caller asks for it and
 * nothing happens before.
 */
import { types } from 'node:util'
import { active, applyIn, runIn } from '../active.ts'
import type { Call } from './call.ts'
import { type Method, methodOf, shadow } from './own-data.ts'
import type { Follow } from './promise.ts'
import { whenCollected } from './unfinished.ts'

/** @returns Whether it is one; it is then observed. */
export function observeThenable(call: Call, value: object, follow: Follow): boolean {
  const then = methodOf(value, 'then')
  if (then === undefined) return false
  if (!Object.isExtensible(value)) observeAside(call, value, then)
  else {
    const seen = new Seen(call, follow)
    cover(value, then, seen)
    whenCollected(value, call, 'unobserved')
  }
  return true
}

/** What the first to ask gets is how the call ended. */
class Seen {
  readonly call: Call
  readonly #follow: Follow
  /** Calls of `then` so far: `catch` and `finally` usually go through it. */
  asked = 0

  constructor(call: Call, follow: Follow) {
    this.call = call
    this.#follow = follow
  }

  fulfilled(value: unknown): void {
    if (!this.call.span.ended) this.#follow(this.call, value)
  }

  rejected(error: unknown): void {
    this.call.fail(error)
  }
}

function cover(value: object, then: Method, seen: Seen): void {
  const covered = shadow(value, 'then', function (this: unknown, onFulfilled, onRejected) {
    seen.asked += 1
    const caller = active()
    const fulfilled = (result: unknown): unknown => {
      seen.fulfilled(result)
      // The caller's own code runs where the caller is, not in the span.
      return isCallback(onFulfilled) ? runIn(caller, onFulfilled, result) : result
    }
    const rejected = (error: unknown): unknown => {
      seen.rejected(error)
      if (isCallback(onRejected)) return runIn(caller, onRejected, error)
      throw error
    }
    // What is lazy begins to work here: inside the span.
    return applyIn(seen.call.span.active, then, this, [fulfilled, rejected])
  })
  if (!covered) {
    observeAside(seen.call, value, then)
    return
  }
  coverShortcut(value, 'catch', seen)
  coverShortcut(value, 'finally', seen)
}

/** `catch` and `finally` of some promises do not go through `then`. */
function coverShortcut(value: object, name: 'catch' | 'finally', seen: Seen): void {
  const original = methodOf(value, name)
  if (original === undefined || original === Promise.prototype[name]) return
  shadow(value, name, function (this: unknown, callback) {
    const before = seen.asked
    const caller = active()
    const observed =
      name === 'catch' && isCallback(callback)
        ? (error: unknown) => {
            seen.rejected(error)
            return runIn(caller, callback, error)
          }
        : callback
    const result = applyIn(seen.call.span.active, original, this, [observed])
    if (seen.asked !== before || !types.isPromise(result)) return result
    return result.then(
      (outcome) => {
        seen.fulfilled(outcome)
        return outcome
      },
      (error: unknown) => {
        seen.rejected(error)
        throw error
      },
    )
  })
}

/** What cannot be covered is asked directly, which is said. */
function observeAside(call: Call, value: object, then: Method): void {
  const seen = { payload: { observed: 'side' } }
  Reflect.apply(then, value, [
    (result: unknown) => call.succeed(result, seen),
    (error: unknown) => call.fail(error, seen),
  ])
}

function isCallback(value: unknown): value is (argument: unknown) => unknown {
  return typeof value === 'function'
}
