/** Turns a decision into a lease: the ids are settled before the intent is recorded, the lease after. */
import { newLeaseId } from '@vestry/contract/ids'
import type { Decision } from '../../policy/engine.ts'
import { hmacTag } from '../../seal/hash.ts'
import { type Grant, grantTtl, type Lease, type LeaseKind } from '../lease.ts'
import type { AgentCall } from '../vault.ts'

export interface Granting extends Grant {
  readonly leaseId: string
  readonly issuedAt: number
  readonly expiresAt: number
}

/** @throws VestryError RATE_LIMITED, scope `leases`, when the agent holds too many. */
export function planLease(
  call: AgentCall,
  decision: Decision,
  askedTtl: number | undefined,
): Granting {
  const { vault, session } = call
  if (session.principal.kind === 'agent') vault.leases.assertRoom(session.principal.agent.id)
  const issuedAt = vault.now()
  const grant = grantTtl(askedTtl, decision.obligations, vault.settings.leases)
  return { ...grant, leaseId: newLeaseId(), issuedAt, expiresAt: issuedAt + grant.ttl * 1000 }
}

/** What the intent says of the lease to come: its id only as a keyed hash. */
export function leaseData(call: AgentCall, granting: Granting): Record<string, unknown> {
  const { hashKey } = call.vault.seal.keys
  return { lease: hmacTag(hashKey, granting.leaseId), ttl: granting.ttl }
}

export function issueLease(
  call: AgentCall,
  granting: Granting,
  of: { kind: LeaseKind; path: string; version: number; decision: Decision },
): Lease {
  const { vault, session, requestId } = call
  const agentId = session.principal.kind === 'agent' ? session.principal.agent.id : ''
  const lease: Lease = {
    id: granting.leaseId,
    agentId,
    path: of.path,
    version: of.version,
    kind: of.kind,
    issuedAt: granting.issuedAt,
    latestExpiry: granting.issuedAt + granting.maxLifetime * 1000,
    renewable: granting.renewable,
    policy: of.decision.permits[0] ?? '',
    requestId,
    sessionId: session.id,
    expiresAt: granting.expiresAt,
    renewals: 0,
    state: 'live',
    endedAt: undefined,
    reason: undefined,
  }
  vault.leases.issue(lease)
  return lease
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}
