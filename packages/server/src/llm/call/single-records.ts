/** Records what the stations were not asked about: strangers, requests that cannot be read, and lists of models. */
import { asVestryError } from '@vestry/contract/errors'
import type { RunProof } from '../../identity/runs/run-gate.ts'
import { newTrace } from '../../identity/traceparent.ts'
import type { Llm } from '../llm.ts'
import { wireError } from '../wire/error-body.ts'
import type { Arrival } from './model-call.ts'

export interface Single {
  readonly arrival: Arrival
  /** Of the record, e.g. `llm.chat`. */
  readonly event: string
  /** Undefined: nobody knows who it was. */
  readonly proof?: RunProof | undefined
  readonly data: Readonly<Record<string, unknown>>
}

/** Never fails: where nothing can be written, the log itself says so. */
export async function recordRefusal(
  llm: Pick<Llm, 'stations'>,
  single: Single,
  thrown: unknown,
): Promise<void> {
  const { code, context } = asVestryError(thrown)
  const { dlp, txn } = context
  const data = { ...single.data, ...(dlp !== undefined && { dlp }) }
  const outcome = { code, status: wireError(thrown).status, txn }
  await append(llm, { ...single, data }, outcome).catch(() => undefined)
}

/** @throws VestryError AUDIT_UNAVAILABLE */
export function recordSingle(llm: Pick<Llm, 'stations'>, single: Single): Promise<unknown> {
  return append(llm, single, { code: 'OK', status: 200 })
}

function append(
  { stations }: Pick<Llm, 'stations'>,
  { arrival, event, proof, data }: Single,
  { code, status, txn }: { code: string; status: number; txn?: unknown },
): Promise<unknown> {
  const { peer, requestId, startedMs, route } = arrival
  const { traceId, spanId, parentSpanId } = newTrace(arrival.traceparent)
  return stations.audit.append(
    {
      action: event,
      phase: 'single',
      detail: code === 'OK' ? route : `${route} refused`,
      success: code === 'OK',
      actor: proof === undefined ? 'anonymous' : `agent:${proof.agent.name}`,
      ...(typeof txn === 'string' && { txn }),
      ...(proof !== undefined && { agent: proof.agent.name, txn: proof.run.id }),
      source: 'llm',
      ...(peer.pid !== undefined && { pid: peer.pid }),
      ...(peer.uid !== undefined && { uid: peer.uid }),
      request_id: requestId,
      span: { trace_id: traceId, span_id: spanId, parent_span_id: parentSpanId },
      outcome: { code, status, duration_ms: Math.round(performance.now() - startedMs) },
      data: { route, ...data },
    },
    'written',
  )
}
