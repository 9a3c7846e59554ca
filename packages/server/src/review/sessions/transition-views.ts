/** A step of a review as the wire shows it, and as the common log has it. Pure. */
import type { AuditEntry } from '../../audit/record.ts'
import { type Session, timeText } from './session.ts'
import type { Transition } from './transition-chain.ts'

export function transitionBody(transition: Transition): Record<string, unknown> {
  const { seq, atMs, reviewId, from, to, actor, detail, prevHash, hash } = transition
  return {
    seq,
    at: timeText(atMs),
    review_id: reviewId,
    from: from === '' ? null : from,
    to,
    actor,
    detail,
    prev_hash: prevHash,
    hash,
  }
}

export function recordOf(session: Session, transition: Transition, generation: number): AuditEntry {
  const { seq, from, to, actor, detail, hash } = transition
  // Numbers and names; what people and servers wrote stays in the review.
  const { step, comments: _comments, failure: _failure, reason: _reason, ...facts } = detail
  return {
    action: `review.${String(step)}`,
    phase: 'single',
    detail: `${session.id} ${from === '' ? '' : `${from} → `}${to}`,
    success: true,
    actor,
    source: 'review',
    ...(actor.startsWith('agent:') && { agent: actor.slice('agent:'.length) }),
    data: {
      review_id: session.id,
      tool: session.toolName,
      provider: session.providerName,
      schema_hash: session.schemaHash,
      from,
      to,
      seq,
      hash,
      generation,
      ...facts,
    },
  }
}
