/** Writes down which names were resolved for a call, below the span of that call. */
import type { AuditLog } from '../audit/log.ts'
import type { AuditEntry } from '../audit/record.ts'
import { actorOf, type Caller } from '../identity/caller.ts'
import type { Lookup, OnLookup } from './resolve.ts'

/** The system's resolver is asked for both kinds of addresses at once. */
const BOTH = 'A+AAAA'

export interface LookupCause {
  readonly caller: Caller
  readonly requestId?: string | undefined
}

/** A lookup does not wait for its record, and one that cannot be written is no reason to end the call. */
export function recordsLookups(audit: Pick<AuditLog, 'append'>, cause: LookupCause): OnLookup {
  return (lookup) => {
    audit.append(lookupEntry(lookup, cause), 'written').catch(() => undefined) // said by the log's own state
  }
}

/** Pure. */
export function lookupEntry(
  { host, decision, addresses, latencyMs, error }: Lookup,
  { caller, requestId }: LookupCause,
): AuditEntry {
  const { principal, peer, trace, txn } = caller
  return {
    action: 'dns_query',
    phase: 'single',
    detail: `${host} ${BOTH} ${decision}`,
    success: error === undefined,
    actor: actorOf(principal),
    source: 'dns',
    ...(principal.kind === 'agent' && { agent: principal.agent.name }),
    ...(peer.pid !== undefined && { pid: peer.pid }),
    ...(peer.uid !== undefined && { uid: peer.uid }),
    ...(requestId !== undefined && { request_id: requestId }),
    txn,
    span: {
      trace_id: trace.traceId,
      span_id: trace.spanId,
      parent_span_id: trace.parentSpanId,
    },
    data: {
      domain: host,
      qtype: BOTH,
      decision,
      addresses,
      latency_ms: Math.round(latencyMs * 10) / 10,
      ...(error !== undefined && { error }),
    },
  }
}
