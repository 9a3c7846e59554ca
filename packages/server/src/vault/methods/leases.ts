/** `release_lease`, `renew_lease` and `lease_status`: an agent's dealings with its own leases. */
import { VestryError } from '@vestry/contract/errors'
import { perform } from '../../call/perform.ts'
import { hmacTag } from '../../seal/hash.ts'
import { assertRenewable, grantTtl, type Lease, renewedExpiry } from '../lease.ts'
import { invalid, optionalInteger, optionalString, requiredString } from '../operations/params.ts'
import { callerRecord } from '../record.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import { callerOf, protectedCall } from './context.ts'
import { isoTime } from './granting.ts'

export async function releaseLease(call: AgentCall): Promise<Reply> {
  const { vault } = call
  const leaseId = requiredString(call.params, 'lease_id', 128)
  const status = vault.leases.release(agentId(call), leaseId, vault.now())
  if (status === 'released') {
    await vault.stations.audit.append(
      callerRecord(callerOf(call), {
        action: 'lease.release',
        detail: 'lease released',
        requestId: call.requestId,
        data: { lease: hmacTag(vault.seal.keys.hashKey, leaseId) },
      }),
      'written',
    )
  }
  return { result: { released: true, lease_id: leaseId, status } }
}

/** Access is judged anew: a withdrawn permission ends the lease here at the latest. */
export async function renewLease(call: AgentCall): Promise<Reply> {
  const { vault, params } = call
  const leaseId = requiredString(params, 'lease_id', 128)
  const ttl = optionalInteger(params, 'ttl', { min: 1, max: 2 ** 31 - 1 })
  const lease = vault.leases.ownedBy(agentId(call), leaseId)
  assertRenewable(lease, vault.now())
  const found = await vault.credentials.find(lease.path)
  try {
    const granted = await perform(vault.stations, {
      ...protectedCall(call, lease.path, found),
      action: lease.kind === 'header' ? 'vault:use:http_header' : 'vault:retrieve',
      event: 'lease.renew',
      data: { lease: hmacTag(vault.seal.keys.hashKey, leaseId) },
      effect: (decision) => {
        const nowMs = vault.now()
        const grant = grantTtl(ttl, decision.obligations, vault.settings.leases)
        const expiresAt = renewedExpiry(lease, grant.ttl, nowMs)
        vault.leases.renew(lease, expiresAt, nowMs)
        return Math.max(0, Math.floor((expiresAt - nowMs) / 1000))
      },
    })
    return {
      result: {
        lease_id: leaseId,
        ttl: granted,
        expires_at: isoTime(lease.expiresAt),
        renewable: lease.renewable && lease.expiresAt < lease.latestExpiry,
      },
    }
  } catch (error) {
    if (error instanceof VestryError && error.code === 'ACCESS_DENIED') {
      vault.leases.revoke({ id: leaseId, agentId: lease.agentId }, 'policy_changed', vault.now())
    }
    throw error
  }
}

export function leaseStatus(call: AgentCall): Reply {
  const { vault } = call
  const leaseId = optionalString(call.params, 'lease_id', 128)
  const own = agentId(call)
  const leases =
    leaseId === undefined
      ? vault.leases.list({ agentId: own })
      : [vault.leases.ownedBy(own, leaseId)]
  const nowMs = vault.now()
  return { result: { leases: leases.slice(0, 10_000).map((lease) => describe(lease, nowMs)) } }
}

function describe(lease: Lease, nowMs: number) {
  return {
    lease_id: lease.id,
    path: lease.path,
    kind: lease.kind,
    state: lease.state,
    issued_at: isoTime(lease.issuedAt),
    expires_at: isoTime(lease.expiresAt),
    ttl_remaining:
      lease.state === 'live' ? Math.max(0, Math.floor((lease.expiresAt - nowMs) / 1000)) : 0,
    renewable: lease.renewable,
  }
}

function agentId({ session }: AgentCall): string {
  if (session.principal.kind === 'agent') return session.principal.agent.id
  throw invalid('session', 'is not an agent’s')
}
