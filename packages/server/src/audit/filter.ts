/** Which records a reader asked for. Pure. */
import type { AuditRecord } from './record.ts'

/** Every member given must hold. Times are epoch milliseconds. */
export interface AuditFilter {
  agent?: string | undefined
  actor?: string | undefined
  action?: string | undefined
  source?: string | undefined
  /** Credential path, `data.path`. */
  path?: string | undefined
  /** Inclusive. */
  sinceMs?: number | undefined
  /** Exclusive. */
  untilMs?: number | undefined
  /** Only refusals. */
  denied?: boolean | undefined
  anonymous?: boolean | undefined
  requestId?: string | undefined
  txn?: string | undefined
  traceId?: string | undefined
  decisionId?: string | undefined
  /** Text that occurs anywhere in the stored line, such as the `hmac:…` of a lease id. */
  text?: string | undefined
}

/** @param line The stored text, for {@link AuditFilter.text}. */
export function matches(filter: AuditFilter, record: AuditRecord, line: string): boolean {
  const { sinceMs, untilMs } = filter
  if (!same(filter.agent, record.agent)) return false
  if (!same(filter.actor, record.actor)) return false
  if (!same(filter.action, record.action)) return false
  if (!same(filter.source, record.source)) return false
  if (!same(filter.requestId, record.request_id)) return false
  if (!same(filter.txn, record.txn)) return false
  if (!same(filter.traceId, record.span?.trace_id)) return false
  if (!same(filter.decisionId, record.decision?.id)) return false
  if (!same(filter.path, pathOf(record))) return false
  if (filter.denied === true && !isDenied(record)) return false
  if (filter.anonymous === true && (record.agent !== undefined || record.source !== 'coat'))
    return false
  if (sinceMs !== undefined && !(Date.parse(record.timestamp) >= sinceMs)) return false
  if (untilMs !== undefined && !(Date.parse(record.timestamp) < untilMs)) return false
  return filter.text === undefined || line.includes(filter.text)
}

export function pathOf(record: AuditRecord): string | undefined {
  const path = record.data?.['path']
  return typeof path === 'string' ? path : undefined
}

/**
 * A refusal by policy, or one before policy was asked (authentication, limits): those are a single
 * record with an outcome. Telemetry that reports an agent's own error is none.
 */
export function isDenied(record: AuditRecord): boolean {
  if (record.decision !== undefined) return !record.decision.allow
  return record.phase === 'single' && !record.success && record.outcome !== undefined
}

function same(wanted: string | undefined, found: string | undefined): boolean {
  return wanted === undefined || wanted === found
}
