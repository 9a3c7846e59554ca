/** A record on its way to the disk. */
import type { AuditEntry, Fragments } from './record.ts'
import { pairKey } from './record.ts'

/**
 * What happens to it when the disk fails: `synced` is refused, `written` waits in memory, `notice`
 * (the log about itself) waits and is never dropped, `passing` (checkpoint, gap) is made anew.
 */
export type PendingKind = 'synced' | 'written' | 'notice' | 'passing'

export class Pending {
  readonly kind: PendingKind
  /** Absent for a barrier, which waits for what stands before it and writes nothing. */
  readonly parts: Fragments | undefined
  readonly chars: number
  readonly phase: AuditEntry['phase']
  readonly pair: string
  /** `seq` of the intent that this outcome names. */
  readonly intent: number | undefined
  readonly resolve: (seq: number) => void
  readonly reject: (reason: unknown) => void
  /** 0 until linked. */
  seq = 0
  /** The intent that linking it closed. */
  closed: { seq: number; key: string } | undefined = undefined

  constructor(
    kind: PendingKind,
    entry: AuditEntry | undefined,
    parts: Fragments | undefined,
    chars: number,
    resolve: (seq: number) => void = ignore,
    reject: (reason: unknown) => void = ignore,
  ) {
    this.kind = kind
    this.parts = parts
    this.chars = chars
    this.phase = entry?.phase ?? 'single'
    this.pair = entry === undefined || entry.phase === 'single' ? '' : pairKey(entry)
    this.intent = typeof entry?.outcome?.intent === 'number' ? entry.outcome.intent : undefined
    this.resolve = resolve
    this.reject = reject
  }
}

function ignore(): void {}
