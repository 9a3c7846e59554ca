/**
 * What goes wrong with lines: each is counted, and of each kind of trouble one a minute leaves a record, so that a
 * flood cannot fill the log.
 */
import type { AuditEntry } from '../../audit/record.ts'
import type { RejectReason, TelemetryMetrics } from '../metrics.ts'
import type { Speaker } from './stamp.ts'

const EVERY_MS = 60_000

export interface RejectsDeps {
  readonly metrics: Pick<TelemetryMetrics, 'rejected' | 'leakBlocked'>
  readonly record: (entry: AuditEntry) => void
  /** Milliseconds on a clock that is never set back. */
  readonly monotonic: () => number
}

export class Rejects {
  readonly #deps: RejectsDeps
  /** By kind of trouble, of which there are few: when it was last told, and how often it came since. */
  readonly #told = new Map<string, { atMs: number; since: number }>()

  constructor(deps: RejectsDeps) {
    this.#deps = deps
  }

  /** @param bytes Of the line, where it is known. Nothing of what it said is kept. */
  add(reason: RejectReason, speaker: Speaker, bytes: number | undefined): void {
    this.#deps.metrics.rejected(reason)
    this.#tell(`reject ${reason}`, speaker, {
      action: 'coat_reject',
      detail: `a line was refused: ${reason}`,
      data: { reason, ...(bytes !== undefined && { bytes }) },
    })
  }

  /** Secrets that a producer let through, by the names of the rules that caught them. */
  leak(rules: readonly string[], speaker: Speaker, producer: string | undefined): void {
    this.#deps.metrics.leakBlocked(rules.length)
    this.#tell('leak', speaker, {
      action: 'monitor_alert',
      detail: `a producer let secrets through, which were replaced: ${rules.join(', ')}`,
      data: { reason: 'leak_blocked', rules, ...(producer !== undefined && { producer }) },
    })
  }

  #tell(
    trouble: string,
    speaker: Speaker,
    what: { action: string; detail: string; data: Readonly<Record<string, unknown>> },
  ): void {
    const { record, monotonic } = this.#deps
    const nowMs = monotonic()
    const known = this.#told.get(trouble)
    if (known !== undefined && nowMs - known.atMs < EVERY_MS) {
      known.since += 1
      return
    }
    const since = known?.since ?? 0
    this.#told.set(trouble, { atMs: nowMs, since: 0 })
    const { pid, uid } = speaker.stamp
    record({
      action: what.action,
      phase: 'single',
      detail: what.detail,
      success: false,
      ...who(speaker),
      source: 'coat',
      ...(pid >= 0 && { pid, uid }),
      data: { ...what.data, ...(since > 0 && { not_told: since }) },
    })
  }
}

/** The actor of records about a peer; only who claimed a name has it. */
export function who({ claim }: Speaker): Pick<AuditEntry, 'actor' | 'agent'> {
  return claim === undefined
    ? { actor: 'anonymous' }
    : { actor: `agent:${claim.agentName}`, agent: claim.agentName }
}
