/** The object that a query returns, observed: its messages pass through, its methods stay its own. */
import { failure } from '../adapters/outcome.ts'
import { quietly } from '../adapters/quietly.ts'
import { type Replacement, wrapped } from '../adapters/wrapped.ts'
import type { Tracker } from './tracker.ts'

type Step = IteratorResult<unknown, unknown>

export function observedQuery<Query extends object>(
  query: Query,
  tracker: Tracker,
  asked: { prompt?: unknown; options?: unknown },
): Query {
  const call = (name: PropertyKey, args: unknown[]): unknown => {
    const method: unknown = Reflect.get(query, name, query)
    return typeof method === 'function' ? method.apply(query, args) : undefined
  }

  const step = async (name: PropertyKey, args: unknown[], leaves: boolean): Promise<Step> => {
    quietly(() => tracker.begin(asked))
    let result: Step
    try {
      result = (await tracker.inRun(() => call(name, args))) as Step
    } catch (error) {
      quietly(() => tracker.finish(leaves ? 'cancelled' : failure(error), error))
      throw error
    }
    quietly(() => {
      if (result.done !== true) tracker.message(result.value)
      else tracker.finish(leaves ? 'cancelled' : 'ok')
    })
    return result
  }

  const left =
    (name: PropertyKey) =>
    (...args: unknown[]) => {
      quietly(() => tracker.finish('cancelled'))
      return call(name, args)
    }

  const observed: Query = wrapped(
    query,
    new Map<PropertyKey, Replacement>([
      ['next', (...args) => step('next', args, false)],
      ['return', (...args) => step('return', args, true)],
      ['throw', (...args) => step('throw', args, true)],
      ['close', left('close')],
      [Symbol.asyncDispose, left(Symbol.asyncDispose)],
      // A query is its own iterator; it stays the observed one.
      [Symbol.asyncIterator, () => observed],
    ]),
  )
  return observed
}
