/** What correlation keeps of a record that is no event of an agent: something that was done, and may have been caused by one. Pure. */
import type { AuditRecord } from '../../audit/record.ts'
import { row, targetsOf, text } from './coat-event.ts'
import { spanKey, traceKey } from './span-ids.ts'

export interface Effect {
  readonly seq: number
  readonly source: AuditRecord['source']
  readonly action: string
  readonly phase: AuditRecord['phase']
  readonly detail: string
  readonly actor: string
  /** That was let in as itself. */
  readonly agent: string | undefined
  readonly success: boolean
  readonly storedMs: number
  /** When whoever caused it asked for it: a record of an outcome is written when it is over. */
  readonly beganMs: number
  readonly pid: number | undefined
  readonly requestId: string | undefined
  /** In W3C spelling, where Vestry itself did it. */
  readonly span:
    | { readonly trace: string; readonly span: string; readonly parent: string }
    | undefined
  readonly targets: readonly string[]
  /** Actions in the queue that it is about. */
  readonly queueIds: readonly string[]
  readonly code: string | undefined
  readonly allow: boolean | undefined
  readonly decisionId: string | undefined
  readonly durationMs: number | undefined
  readonly tokens: number | undefined
  readonly costMicros: number | undefined
}

/** Observers of what agents cause; the others write of operators and of the daemon itself. */
const CAUSED: ReadonlySet<string> = new Set([
  'dns',
  'vault',
  'queue',
  'identity',
  'gateway',
  'llm',
  'mcp',
  'runtime',
  'review',
])

/** Whether an agent may have caused it: what operators do is not looked at. */
export function isEffect({ source, actor }: AuditRecord): boolean {
  return CAUSED.has(source) && !actor.startsWith('operator:')
}

export function effectOf(record: AuditRecord): Effect {
  const data = row(record.data)
  const outcome = row(record.outcome)
  const storedMs = Date.parse(record.timestamp)
  const durationMs = number(outcome['duration_ms']) ?? number(data['latency_ms'])
  const { span } = record
  return {
    seq: record.seq,
    source: record.source,
    action: record.action,
    phase: record.phase,
    detail: record.detail,
    actor: record.actor,
    agent: record.agent,
    success: record.success,
    storedMs,
    // A duration that was rounded up must not lead back before its beginning.
    beganMs: storedMs - Math.max(0, Math.floor(durationMs ?? 0) - 1),
    pid: record.pid,
    requestId: record.request_id,
    span:
      span === undefined
        ? undefined
        : {
            trace: traceKey(span.trace_id),
            span: spanKey(span.span_id, span.trace_id),
            parent: spanKey(span.parent_span_id, span.trace_id),
          },
    targets: targetsOf(data),
    queueIds: queueIds(record, data),
    code: text(outcome['code']),
    allow: record.decision?.allow,
    decisionId: record.decision?.id,
    durationMs,
    tokens: number(row(outcome['usage'])['total']),
    costMicros: number(outcome['cost_micros']),
  }
}

const DETAIL_ID = /(?:^|\s)id=([A-Za-z0-9_-]{4,64})(?=\s|$)/

function queueIds(
  { source, detail }: AuditRecord,
  data: Readonly<Record<string, unknown>>,
): string[] {
  const { queue_id, action_id, approval, id } = data
  const named = [queue_id, action_id, approval, ...(source === 'queue' ? [id, idIn(detail)] : [])]
  return [...new Set(named.filter((one) => typeof one === 'string' && one.length >= 4) as string[])]
}

/** Older writers say it in free text only. */
function idIn(detail: string): string | undefined {
  return DETAIL_ID.exec(detail)?.[1]
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}
