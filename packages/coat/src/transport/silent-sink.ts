/** A sink that only counts. */
import type { Sink } from './sink.ts'

export function silentSink(): Sink {
  let emitted = 0
  return {
    emit: () => {
      emitted += 1
    },
    flush: async () => true,
    shutdown: async () => {},
    stats: () => ({
      emitted,
      written: 0,
      acked: 0,
      dropped: { lifecycle: 0, detail: 0 },
      transport: 'off',
      reconnects: 0,
      queueHighWater: 0,
    }),
  }
}
