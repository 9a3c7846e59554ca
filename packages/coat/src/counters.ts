/** What went wrong without the program noticing, and what was counted on ways out that are used no more. */
import type { Sink, TransportStats } from './transport/sink.ts'

const counters = { hookErrors: 0, faults: 0 }
const retired = { emitted: 0, written: 0, acked: 0, lifecycle: 0, detail: 0, reconnects: 0 }

export type Counters = Readonly<typeof counters>

/** A callback of the program's threw. */
export function countHookError(): void {
  counters.hookErrors += 1
}

/** Something of ours went wrong. */
export function fault(): false {
  counters.faults += 1
  return false
}

export function counts(): Counters {
  return { ...counters }
}

export function resetCounts(): void {
  Object.assign(counters, { hookErrors: 0, faults: 0 })
}

/** What it still holds is on its way out; its counts stay in the sums. */
export function retire(sink: Sink): void {
  const count = () => {
    const { emitted, written, acked, dropped, reconnects } = sink.stats()
    retired.emitted += emitted
    retired.written += written
    retired.acked += acked
    retired.lifecycle += dropped.lifecycle
    retired.detail += dropped.detail
    retired.reconnects += reconnects
  }
  sink.shutdown().then(count, fault)
}

/** @returns The counts of the sink in use, with those of the ones before it. */
export function withRetired(now: TransportStats): TransportStats {
  return {
    ...now,
    emitted: now.emitted + retired.emitted,
    written: now.written + retired.written,
    acked: now.acked + retired.acked,
    dropped: {
      lifecycle: now.dropped.lifecycle + retired.lifecycle,
      detail: now.dropped.detail + retired.detail,
    },
    reconnects: now.reconnects + retired.reconnects,
  }
}
