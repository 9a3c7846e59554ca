/** What the audit log is given and what it says about itself: shapes, units, defaults. */
import type { OpenLogFile } from './segment.ts'

/** `synced`: on disk. `written`: handed to the operating system, on disk within 100 ms. */
export type Durability = 'synced' | 'written'

export interface AuditLimits {
  /** A segment ends at this size or age, whichever is first. */
  segmentBytes: number
  segmentMs: number
  /** A checkpoint follows this many records, or this long after the first unsigned one. */
  checkpointRecords: number
  checkpointMs: number
  /** Longest time that written records stay unsynced. */
  syncMs: number
  /** A sync that takes longer counts as failed. */
  syncTimeoutMs: number
  retryMs: number
  /**
   * Waiting text, in UTF-16 code units: beyond `spoolChars` only intents are taken, beyond
   * `queueChars` none.
   */
  spoolChars: number
  queueChars: number
}

export const DEFAULT_LIMITS: AuditLimits = {
  segmentBytes: 256 * 1_048_576,
  segmentMs: 86_400_000,
  checkpointRecords: 1000,
  checkpointMs: 10_000,
  syncMs: 100,
  syncTimeoutMs: 10_000,
  retryMs: 1000,
  spoolChars: 32 * 1_048_576,
  queueChars: 64 * 1_048_576,
}

export interface AuditLogOptions {
  /** The `audit/` directory; created with mode 0700. */
  dir: string
  podName: string
  podId?: string | undefined
  /** Epoch milliseconds. */
  now: () => number
  /** Go on although `audit.head` names records that are missing. Default false. */
  acceptTruncated?: boolean | undefined
  limits?: Partial<AuditLimits> | undefined
  openFile?: OpenLogFile | undefined
}

/** How far the log is behind, for status and metrics. */
export interface AuditLag {
  /** Entries not yet written, and written but not yet synced. */
  queued: number
  unsynced: number
  /** In the present outage: entries given up, intents refused, and since when (epoch ms). */
  lost: number
  refused: number
  failingSinceMs: number | undefined
}
