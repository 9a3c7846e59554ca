/** Records of calls that did not walk the stations: refused at the door, or answered from memory. */
import { asVestryError } from '@vestry/contract/errors'
import type { AuditEntry } from '../audit/record.ts'
import { actorOf } from '../identity/caller.ts'
import type { CallBody } from './call/call-body.ts'
import type { ToolCall } from './call/tool-call.ts'
import type { Gateway } from './gateway.ts'

type Event =
  | { readonly call: ToolCall; readonly replay: true }
  | {
      readonly requestId: string
      readonly correlationId: string
      readonly body: Pick<CallBody, 'tool' | 'action'>
      readonly error: unknown
    }

/** Written, not awaited on disk: nothing happened that it would have to precede. */
export async function recordCall({ stations }: Gateway, event: Event): Promise<void> {
  if ('error' in event) {
    const { code, context } = asVestryError(event.error)
    // A flood must not fill the log: it is summed up.
    if (code === 'RATE_LIMITED') stations.refused('anonymous', String(context['scope'] ?? ''))
  }
  const entry = 'replay' in event ? replayEntry(event.call) : refusalEntry(event)
  if (entry !== undefined) await stations.audit.append(entry, 'written')
}

function replayEntry(call: ToolCall): AuditEntry {
  const { caller, tool, action, requestId, correlationId } = call
  return {
    action: 'tool.replay',
    phase: 'single',
    detail: `${tool}:${action} answered again`,
    success: true,
    actor: actorOf(caller.principal),
    source: 'gateway',
    ...(caller.principal.kind === 'agent' && { agent: caller.principal.agent.name }),
    request_id: requestId,
    txn: caller.txn,
    span: {
      trace_id: caller.trace.traceId,
      span_id: caller.trace.spanId,
      parent_span_id: caller.trace.parentSpanId,
    },
    outcome: { code: 'OK', duration_ms: 0 },
    data: {
      tool,
      action,
      correlation_id: correlationId,
      token: call.token.id,
    },
  }
}

function refusalEntry(event: Extract<Event, { error: unknown }>): AuditEntry | undefined {
  const { code } = asVestryError(event.error)
  if (code === 'RATE_LIMITED' || code === 'AUDIT_UNAVAILABLE') return undefined
  return {
    action: 'tool.call',
    phase: 'single',
    detail: `${event.body.tool}:${event.body.action} refused at the door`,
    success: false,
    actor: 'anonymous',
    source: 'gateway',
    request_id: event.requestId,
    outcome: { code, duration_ms: 0 },
    data: {
      tool: event.body.tool,
      action: event.body.action,
      correlation_id: event.correlationId,
    },
  }
}
