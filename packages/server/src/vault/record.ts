/** Audit records of what an agent did that no policy decided: logins, releases, session ends. */
import type { AuditEntry } from '../audit/record.ts'
import { actorOf, type Caller } from '../identity/caller.ts'

/** One `single` record of a caller's own doing. */
export function callerRecord(
  caller: Caller,
  what: {
    action: string
    detail: string
    requestId?: string
    success?: boolean
    code?: string
    data?: Record<string, unknown>
  },
): AuditEntry {
  const { peer, principal, trace, txn } = caller
  return {
    action: what.action,
    phase: 'single',
    detail: what.detail,
    success: what.success ?? true,
    actor: actorOf(principal),
    source: principal.kind === 'operator' ? 'admin' : 'vault',
    ...(principal.kind === 'agent' && { agent: principal.agent.name }),
    ...(peer.pid !== undefined && { pid: peer.pid }),
    ...(peer.uid !== undefined && { uid: peer.uid }),
    ...(what.requestId !== undefined && { request_id: what.requestId }),
    txn,
    span: {
      trace_id: trace.traceId,
      span_id: trace.spanId,
      parent_span_id: trace.parentSpanId,
    },
    ...(what.code !== undefined && { outcome: { code: what.code, duration_ms: 0 } }),
    ...(what.data !== undefined && { data: what.data }),
  }
}
