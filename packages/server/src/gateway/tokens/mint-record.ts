/** What the log says of a token request: whose it was and what it asked for, or that it was refused. Pure. */
import { asVestryError, type ErrorCode } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import type { AuditEntry } from '../../audit/record.ts'
import type { Agent } from '../../identity/agent.ts'
import { actorOf, newCaller } from '../../identity/caller.ts'
import type { Minted } from './mint.ts'

interface Asked {
  readonly address: string
  readonly correlationId: string
  readonly traceparent: string | undefined
}

export function mintRecord(
  { address, correlationId, traceparent }: Asked,
  agent: Agent,
  { reply, token }: Minted,
  proof: 'signed' | 'unsigned',
): AuditEntry {
  const principal = { kind: 'agent' as const, agent }
  const peer = { transport: 'http' as const, address }
  const { trace } = newCaller({ principal, peer, txn: token.txn }, traceparent)
  return {
    action: 'token.mint',
    phase: 'single',
    detail: `token for ${token.tools.join(', ') || 'nothing'}`.slice(0, 160).toWellFormed(),
    success: true,
    actor: actorOf(principal),
    source: 'gateway',
    agent: agent.name,
    request_id: newRequestId(),
    txn: token.txn,
    span: {
      trace_id: trace.traceId,
      span_id: trace.spanId,
      parent_span_id: trace.parentSpanId,
    },
    outcome: { code: 'OK', duration_ms: 0 },
    data: {
      token: token.tokenId,
      tools: token.tools,
      permissions: token.permissions,
      expires_at: reply.expires_at,
      proof,
      correlation_id: correlationId,
      ...(token.intent !== undefined && { intent: token.intent }),
    },
  }
}

/** Somebody may be guessing. Mistakes of form say nothing, and a flood is the limiter's to tell. */
const TELLING: ReadonlySet<ErrorCode> = new Set([
  'AGENT_NOT_FOUND',
  'AGENT_INACTIVE',
  'AGENT_PROOF_REQUIRED',
  'AGENT_PROOF_INVALID',
  'ACCESS_DENIED',
])

/** @param agent The one that was named, if there is one: an id that names nobody is not written down. */
export function refusedMintRecord(
  { address, correlationId }: Asked,
  agent: Agent | undefined,
  error: unknown,
): AuditEntry | undefined {
  const { code } = asVestryError(error)
  if (!TELLING.has(code)) return undefined
  return {
    action: 'token.mint',
    phase: 'single',
    detail: 'token refused',
    success: false,
    actor: 'anonymous',
    source: 'gateway',
    ...(agent !== undefined && { agent: agent.name }),
    request_id: newRequestId(),
    outcome: { code, duration_ms: 0 },
    data: { address, correlation_id: correlationId },
  }
}
