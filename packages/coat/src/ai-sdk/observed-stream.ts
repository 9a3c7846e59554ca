/** A stream that passes another one on, part by part and only when asked, and tells how it went. */

export interface StreamWatch<Part> {
  part(part: Part): void
  done(): void
  failed(error: unknown): void
  cancelled(reason: unknown): void
  /** Reads in the context of the span, where what the provider does belongs. */
  run<T>(fn: () => T): T
}

export function observedStream<Part>(
  source: ReadableStream<Part>,
  watch: StreamWatch<Part>,
): ReadableStream<Part> {
  const reader = source.getReader()
  return new ReadableStream<Part>(
    {
      async pull(controller) {
        try {
          const { done, value } = await watch.run(() => reader.read())
          if (done) {
            watch.done()
            controller.close()
            return
          }
          watch.part(value)
          controller.enqueue(value)
        } catch (error) {
          watch.failed(error)
          throw error
        }
      },
      cancel(reason: unknown) {
        watch.cancelled(reason)
        return reader.cancel(reason)
      },
    },
    // As lazy as the source: nothing is read ahead on behalf of the observer.
    { highWaterMark: 0 },
  )
}
