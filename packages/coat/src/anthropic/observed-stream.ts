/** Watches a stream of events while somebody reads it. The stream stays the same object, with all its methods. */
import { cover } from '../adapters/cover.ts'
import { dataMember } from '../capture/intrinsics.ts'
import type { ModelCall } from './model-call.ts'

export function isStream(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

/** Ends the call when the stream ends, however that comes about. */
export function observeStream(stream: AsyncIterable<unknown>, call: ModelCall): void {
  // The client's streams make their iterators by a member, which splitting and piping use as well.
  const name =
    typeof dataMember(stream, 'iterator') === 'function' ? 'iterator' : Symbol.asyncIterator
  const controller: unknown = dataMember(stream, 'controller')
  let isRead = false
  cover(
    stream,
    name,
    (iterate) =>
      function (this: unknown, ...args) {
        const iterator: unknown = Reflect.apply(iterate, this, args)
        // A stream is read once; of a second attempt the reader is told by the stream.
        if (!isRead && typeof iterator === 'object' && iterator !== null) {
          isRead = true
          observeIterator(iterator, controller, call)
        }
        return iterator
      },
  )
  abandonedStreams.register(stream, call)
}

/** Of a stream that is read the iterator goes last, and it may be held where the stream is not. */
const abandonedStreams = new FinalizationRegistry<ModelCall>((call) => {
  if (!call.span.ended && !iterating.has(call)) call.abandon()
})
const abandonedIterators = new FinalizationRegistry<ModelCall>((call) => {
  if (!call.span.ended) call.abandon()
})
const iterating = new WeakSet<ModelCall>()

function observeIterator(iterator: object, controller: unknown, call: ModelCall): void {
  iterating.add(call)
  abandonedIterators.register(iterator, call)
  cover(
    iterator,
    'next',
    (next) =>
      async function (this: unknown, ...args) {
        try {
          const taken = (await Reflect.apply(next, this, args)) as IteratorResult<unknown>
          if (taken.done === true) call.done(isAborted(controller))
          else call.chunk(taken.value)
          return taken
        } catch (error) {
          call.fail(error)
          throw error
        }
      },
  )
  for (const name of ['return', 'throw'])
    cover(
      iterator,
      name,
      (stop) =>
        function (this: unknown, ...args) {
          call.cancel()
          return Reflect.apply(stop, this, args)
        },
    )
}

/** A stream that its reader aborts ends as if it were complete. */
function isAborted(controller: unknown): boolean {
  return controller instanceof AbortController && controller.signal.aborted
}
