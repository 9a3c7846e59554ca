/** `whoami`, `status` and `ping`: what a caller may know of itself and of the daemon. */
import { principalOf } from '../../call/perform.ts'
import type { AgentCall, Vault } from '../vault.ts'
import { MAX_REPLY_BYTES, type Reply } from '../wire/reply.ts'
import { callerOf } from './context.ts'
import { isoTime } from './granting.ts'

export const PROTOCOL = 'sanctum/1'
export const FEATURES = ['sig-v2', 'renew_lease', 'check_access', 'wrap']

export function ping(): Reply {
  return { result: { pong: true } }
}

/** Tells nothing that a stranger could count agents or credentials by. */
export function status(vault: Vault): Reply {
  return {
    result: {
      initialized: vault.seal.state !== 'uninitialized',
      sealed: vault.seal.state !== 'unsealed',
      version: vault.version,
      protocol: PROTOCOL,
      features: FEATURES,
      limits: { max_frame_bytes: MAX_REPLY_BYTES },
      audit_available: vault.stations.audit.available,
      server_time: isoTime(vault.now()),
    },
  }
}

export function whoami(call: AgentCall): Reply {
  const { vault, session } = call
  const principal = principalOf(callerOf(call))
  return {
    result: {
      agent: principal.name,
      agent_id: principal.id,
      key_fingerprint: session.keyFingerprint,
      session: {
        created_at: isoTime(session.createdAt),
        expires_at: isoTime(vault.sessions.deadline(session)),
        idle_timeout: vault.sessions.limits.idleSeconds,
      },
      transport: session.peer.transport,
      policies: vault.stations.policy.policiesOf(principal),
      limits: { ...vault.limits.describeAgent(), leases: vault.leases.limits.perAgent },
      leases: vault.leases.liveOf(principal.id),
      txn: session.txn,
      server_time: isoTime(vault.now()),
    },
  }
}
