/** What is kept of a call that runs later, perhaps in another process. */
import type { WindowCharge } from '../../limits/window.ts'
import type { Intent } from '../call/intent.ts'
import type { TokenClaims, ToolCall } from '../call/tool-call.ts'
import type { JsonObject } from '../tools/tool.ts'

export interface JobInput {
  readonly v: 1
  /** The row names it too, but only this is sealed. */
  readonly agentId: string
  readonly correlationId: string
  readonly traceparent: string
  readonly txn: string
  readonly address: string
  readonly agentName: string
  readonly tool: string
  readonly action: string
  readonly params: JsonObject
  readonly intent: Intent
  readonly reason?: string
  readonly token: TokenClaims
  readonly idempotencyKey?: string
  /** What accepting it used up; given back should the provider never hear of it. */
  readonly charged: readonly WindowCharge[]
}

export function jobInput(call: ToolCall, charged: readonly WindowCharge[]): Uint8Array {
  const { caller, reason, idempotencyKey } = call
  const input: JobInput = {
    v: 1,
    agentId: call.agentId,
    correlationId: call.correlationId,
    traceparent: `00-${caller.trace.traceId}-${caller.trace.spanId}-01`,
    txn: caller.txn,
    address: caller.peer.address ?? '',
    agentName: call.agentName,
    tool: call.tool,
    action: call.action,
    params: call.params,
    intent: call.intent,
    ...(reason !== undefined && { reason }),
    token: call.token,
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    charged,
  }
  return Buffer.from(JSON.stringify(input))
}

/** What {@link jobInput} wrote. */
export function readJobInput(bytes: Uint8Array): JobInput {
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as JobInput // sealed by us
}
