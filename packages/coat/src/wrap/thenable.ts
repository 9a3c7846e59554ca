/**
 * Thenables that are no plain promises: lazy queries, clients' promises with methods of their own. The
 * object stays itself; its `then` is covered, so the outcome is seen when the caller asks for it and
 * nothing happens before.
 */
import { types } from 'node:util'
import { type Active, active, applyIn, runIn } from '../active.ts'
import type { Call } from './call.ts'
import { type Method, methodOf, shadow } from './own-data.ts'
import type { Follow } from './promise.ts'
import { forget, whenCollected } from './unfinished.ts'

/** What is covered already: a query or a promise that is kept may be returned by many calls. */
const known = new WeakMap<object, Seen>()

/** So many calls may wait for the outcome of one object. */
const MOST_WAITING = 4096

/** @returns Whether it is one; it is then observed. */
export function observeThenable(call: Call, value: object, follow: Follow): boolean {
  const before = known.get(value)
  if (before !== undefined) {
    before.add(value, call, follow)
    return true
  }
  const then = methodOf(value, 'then')
  if (then === undefined) return false
  if (!Object.isExtensible(value)) {
    observeAside(call, value, then)
    return true
  }
  const seen = new Seen()
  if (cover(value, then, seen)) {
    known.set(value, seen)
    seen.add(value, call, follow)
  } else observeAside(call, value, then)
  return true
}

interface Waiting {
  readonly call: Call
  readonly follow: Follow
}

/** What the first to ask gets is how the calls ended that wait for it. */
class Seen {
  #waiting: Waiting[] = []
  /** Calls of `then` so far: `catch` and `finally` usually go through it. */
  asked = 0

  add(value: object, call: Call, follow: Follow): void {
    if (this.#waiting.length >= MOST_WAITING) {
      call.finish('unobserved', {})
      return
    }
    this.#waiting.push({ call, follow })
    whenCollected(value, call, 'unobserved')
  }

  /** Where the work belongs that begins when somebody asks: to the call that made it. */
  get active(): Active | undefined {
    return this.#waiting[0]?.call.span.active ?? active()
  }

  fulfilled(value: unknown): void {
    for (const { call, follow } of this.#taken()) if (!call.span.ended) follow(call, value)
  }

  rejected(error: unknown): void {
    for (const { call } of this.#taken()) call.fail(error)
  }

  #taken(): Waiting[] {
    const taken = this.#waiting
    this.#waiting = []
    for (const { call } of taken) forget(call)
    return taken
  }
}

/** @returns Whether it could be covered. */
function cover(value: object, then: Method, seen: Seen): boolean {
  const isCovered = shadow(value, 'then', function (this: unknown, onFulfilled, onRejected) {
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
    return applyIn(seen.active, then, this, [fulfilled, rejected])
  })
  if (!isCovered) return false
  coverShortcut(value, 'catch', seen)
  coverShortcut(value, 'finally', seen)
  return true
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
    const result = applyIn(seen.active, original, this, [observed])
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
