/** Ends the spans of what nobody finished: a generator left lying, a query that nobody awaited. */
import type { Status } from '../aot.ts'
import type { Call, Outcome } from './call.ts'

type Seen = Pick<Outcome, 'payload' | 'yields'>

interface Held {
  readonly call: Call
  readonly status: Status
  readonly seen: (() => Seen) | undefined
}

const registry = new FinalizationRegistry<Held>(({ call, status, seen }) => {
  call.finish(status, seen?.() ?? {})
})

/**
 * @param target What must be collected; `seen` may not refer to it.
 * @param seen What was seen so far.
 */
export function whenCollected(
  target: object,
  call: Call,
  status: 'abandoned' | 'unobserved',
  seen?: () => Seen,
): void {
  registry.register(target, { call: call.withoutArguments(), status, seen }, call.span)
}

/** The call has ended, while its target may live on and be returned by others. */
export function forget(call: Call): void {
  registry.unregister(call.span)
}
