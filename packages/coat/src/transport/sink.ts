/** Where envelopes go: the interface between what emits them and what carries them out of the process. */
import type { Capture, Ids, Subject } from '../aot.ts'

/** An envelope before the sink numbers it. */
export interface Draft {
  readonly kind: string
  /** Epoch milliseconds; the sink writes it as `ts`. Now when absent. */
  readonly tsMs?: number | undefined
  readonly ids: Ids
  /** The sink fills in `agent_id` and `agent_role` where its transport says so. */
  readonly framework?: Pick<Subject, 'framework' | 'framework_version'> | undefined
  readonly capture: Capture
  readonly payload: Record<string, unknown>
}

/** `start` and `end` of one span belong together: an end whose start was sent is refused last. */
export type Part = 'start' | 'end' | 'point'

export interface TransportStats {
  /** Events handed over. */
  emitted: number
  /** Written to the socket, to stderr or to a file. */
  written: number
  acked: number
  /** Acknowledged, but not stored: the collector found them wrong. */
  rejected?: number
  /** Told on stderr only, and no longer kept for the collector. */
  spilled?: number
  dropped: { lifecycle: number; detail: number }
  /** Where events go at the moment. */
  transport: 'socket' | 'stderr' | 'file' | 'off'
  /** RFC 3339 since when events go to stderr although the socket was wanted. */
  fallbackSince?: string
  reconnects: number
  queueHighWater: number
}

export interface Sink {
  /** Never throws, never waits. */
  emit(draft: Draft, part: Part): void
  /** Resolves to whether everything emitted so far was written, or acknowledged where that is agreed. */
  flush(timeoutMs: number): Promise<boolean>
  shutdown(): Promise<void>
  stats(): TransportStats
}
