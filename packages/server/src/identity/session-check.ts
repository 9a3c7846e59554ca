/** Brings live sessions in line with changed agent records: ends some, refreshes the others. */
import type { AgentStore } from './agent-store.ts'
import type { EndReason, Session, SessionBook } from './session.ts'

/**
 * Call it after the store reported a change of agents, whichever node made it.
 *
 * @returns The sessions that ended, whose leases the caller may want to end too.
 */
export async function recheckSessions(
  sessions: SessionBook,
  agents: AgentStore,
): Promise<{ session: Session; reason: EndReason }[]> {
  const ended: { session: Session; reason: EndReason }[] = []
  for (const session of sessions.list()) {
    if (session.principal.kind !== 'agent') continue
    const { id } = session.principal.agent
    const agent = await agents.byId(id)
    const keys = await agents.verificationKeys(id, 'ed25519')
    const key = keys.find(({ fingerprint }) => fingerprint === session.keyFingerprint)
    if (agent !== undefined && key !== undefined) {
      sessions.refresh(session, { kind: 'agent', agent }, key.expiresAt)
      continue
    }
    const reason = endReason(agent?.status)
    if (sessions.endWhere((live) => live === session, reason) === 1) ended.push({ session, reason })
  }
  return ended
}

function endReason(status: 'enabled' | 'disabled' | 'revoked' | undefined): EndReason {
  if (status === 'enabled') return 'key_rotated'
  return status === 'disabled' ? 'disabled' : 'revoked'
}
