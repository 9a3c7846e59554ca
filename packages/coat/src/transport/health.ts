/** The event in which a producer accounts for itself: what it lost, and why. */
import type { Draft } from './sink.ts'
import { timestamp } from './timestamp.ts'

export interface Health {
  /** Events before this one. */
  readonly emitted: number
  readonly dropped: { readonly lifecycle: number; readonly detail: number }
  /** Told on stderr instead, and not kept for the collector. */
  readonly spilled: number
  readonly fallbackSinceMs: number | undefined
  readonly reconnects: number
  readonly queueHighWater: number
}

export function healthDraft(sessionId: string, health: Health): Draft {
  const { emitted, dropped, spilled, fallbackSinceMs, reconnects, queueHighWater } = health
  return {
    kind: 'x.coat.health',
    ids: {
      session_id: sessionId,
      run_id: '',
      step_id: '',
      trace_id: '',
      span_id: '',
      parent_span_id: '',
    },
    capture: { mode: 'none' },
    payload: {
      emitted,
      dropped: { ...dropped },
      ...(spilled > 0 && { spilled }),
      ...(fallbackSinceMs !== undefined && { fallback_since: timestamp(fallbackSinceMs) }),
      reconnects,
      queue_high_water: queueHighWater,
    },
  }
}
