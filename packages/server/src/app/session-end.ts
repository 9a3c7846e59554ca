/** What the end of a session leaves behind: a record, and, where it is configured so, no lease. */
import { newCaller } from '../identity/caller.ts'
import type { EndReason, Session } from '../identity/session.ts'
import { callerRecord } from '../vault/record.ts'
import type { Parts } from './assemble.ts'

/** A client that comes back within this keeps its leases. */
const DISCONNECT_GRACE_MS = 30_000

export function onSessionEnd(parts: Parts, session: Session, reason: EndReason): void {
  const { audit, vault, config, leases, sessions } = parts
  audit
    .append(
      callerRecord(newCaller(session), {
        action: 'session.end',
        detail: `session ended: ${reason}`,
        data: { reason },
      }),
      'written',
    )
    .catch(() => undefined) // only after close(), when nothing can be written any more
  const { principal } = session
  if (
    !config.vault.revoke_on_disconnect ||
    principal.kind !== 'agent' ||
    reason !== 'connection_closed'
  )
    return
  const { id } = principal.agent
  setTimeout(() => {
    const back = sessions
      .list()
      .some((live) => live.principal.kind === 'agent' && live.principal.agent.id === id)
    if (!back) leases.revoke({ agentId: id }, 'disconnected', vault.now())
  }, DISCONNECT_GRACE_MS).unref()
}
