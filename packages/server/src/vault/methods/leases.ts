/** `release_lease`, `renew_lease` and `lease_status`: an agent's dealings with its own leases. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { perform } from '../../call/perform.ts'
import { hmacTag } from '../../seal/hash.ts'
import { assertNotUseOnly } from '../credential.ts'
import { assertRenewable, grantTtl, type Lease, notRenewable, renewedExpiry } from '../lease.ts'
import { optionalInteger, optionalString, requiredString } from '../operations/params.ts'
import { callerRecord } from '../record.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import {
  agentOf,
  assertExists,
  callerOf,
  protectedCall,
  reasonData,
  unknownParams,
} from './context.ts'
import { isoTime } from './granting.ts'
import { assertRevealable } from './retrieve.ts'
import { withinFrame } from './within-frame.ts'

/** Why a renewal may be refused although access was not withdrawn. */
const STILL_GRANTED = new Set(['not_renewable', 'reason_required', 'denied_by_operator'])

export async function releaseLease(call: AgentCall): Promise<Reply> {
  const { vault } = call
  const leaseId = requiredString(call.params, 'lease_id', 128)
  let status: ReturnType<typeof vault.leases.release>
  try {
    status = vault.leases.release(agentOf(call).id, leaseId, vault.now())
  } catch (error) {
    await record(call, leaseId, 'lease.release', { code: asVestryError(error).code })
    throw error
  }
  // Giving something back needs no leave: should the record fail, it stays given back.
  await record(call, leaseId, 'lease.release', { status })
  return { result: { released: true, lease_id: leaseId, status } }
}

/** Access is judged anew: a withdrawn permission ends the lease here at the latest. */
export async function renewLease(call: AgentCall): Promise<Reply> {
  const { vault, params } = call
  const leaseId = requiredString(params, 'lease_id', 128)
  const ttl = optionalInteger(params, 'ttl', { min: 1, max: 2 ** 31 - 1 })
  const lease = await renewable(call, leaseId)
  const found = await vault.credentials.find(lease.path)
  const tag = hmacTag(vault.seal.keys.hashKey, leaseId)
  try {
    const base = protectedCall(call, lease.path, found)
    return await perform<Reply>(vault.stations, {
      ...base,
      context: { ...base.context, ...lease.context },
      action: lease.kind === 'header' ? 'vault:use:http_header' : 'vault:retrieve',
      event: 'lease.renew',
      data: { ...unknownParams(call, ['lease_id', 'ttl']), lease: tag },
      approvalParams: { renew: tag, ttl: ttl ?? null },
      exists: () => {
        assertExists(lease.path, found)
        if (lease.kind === 'header') assertNotUseOnly(found, 'use:http_header')
        else assertRevealable(call, found)
      },
      settle: ({ obligations }) => {
        if (!obligations.renewable) throw notRenewable(lease)
        const grant = grantTtl(ttl, obligations, vault.settings.leases)
        return {
          data: { ttl: grant.ttl },
          effect: (note) => {
            const nowMs = vault.now()
            vault.leases.renew(lease, renewedExpiry(lease, grant, nowMs), nowMs)
            const granted = Math.floor((lease.expiresAt - nowMs) / 1000)
            note({ ttl: granted })
            return {
              result: {
                lease_id: leaseId,
                ttl: granted,
                expires_at: isoTime(lease.expiresAt),
                renewable: lease.expiresAt < lease.latestExpiry,
              },
            }
          },
        }
      },
    })
  } catch (error) {
    if (isWithdrawn(error)) await revoke(call, lease)
    throw error
  }
}

export function leaseStatus(call: AgentCall): Reply {
  const { vault } = call
  const leaseId = optionalString(call.params, 'lease_id', 128)
  const agentId = agentOf(call).id
  const leases =
    leaseId === undefined
      ? vault.leases.list({ agentId })
      : [vault.leases.ownedBy(agentId, leaseId)]
  const nowMs = vault.now()
  const entries = leases.map((lease) => describe(lease, nowMs))
  const fitting = withinFrame(entries)
  return {
    result: { leases: fitting, ...(fitting.length < entries.length && { truncated: true }) },
  }
}

/** @throws VestryError LEASE_NOT_FOUND, LEASE_EXPIRED, or ACCESS_DENIED for one that never can be. */
async function renewable(call: AgentCall, leaseId: string): Promise<Lease> {
  const { vault } = call
  try {
    const lease = vault.leases.ownedBy(agentOf(call).id, leaseId)
    assertRenewable(lease, vault.now())
    return lease
  } catch (error) {
    await record(call, leaseId, 'lease.renew', { code: asVestryError(error).code })
    throw error
  }
}

function isWithdrawn(error: unknown): boolean {
  if (!(error instanceof VestryError) || error.code !== 'ACCESS_DENIED') return false
  return !STILL_GRANTED.has(String(error.context['reason_code']))
}

async function revoke(call: AgentCall, { id, agentId }: Lease): Promise<void> {
  const { leases, now } = call.vault
  const ended = leases.revoke({ id, agentId }, 'policy_changed', now())
  if (ended.length > 0) await record(call, id, 'lease.revoke', { reason: 'policy_changed' })
}

/** One record of a dealing with a lease; lease ids only as keyed hashes. */
async function record(
  call: AgentCall,
  leaseId: string,
  action: 'lease.release' | 'lease.renew' | 'lease.revoke',
  { code, ...data }: { code?: string; status?: string; reason?: string },
): Promise<void> {
  const { stations, seal } = call.vault
  await stations.audit.append(
    callerRecord(callerOf(call), {
      action,
      detail: action.replace('.', ' '),
      requestId: call.requestId,
      success: code === undefined,
      ...(code !== undefined && { code }),
      data: {
        ...unknownParams(call, ['lease_id', 'ttl']),
        ...reasonData(call),
        lease: hmacTag(seal.keys.hashKey, leaseId),
        ...data,
      },
    }),
    'written',
  )
}

function describe(lease: Lease, nowMs: number) {
  const left = lease.state === 'live' ? lease.expiresAt - nowMs : 0
  return {
    lease_id: lease.id,
    path: lease.path,
    kind: lease.kind,
    state: lease.state === 'live' && left <= 0 ? 'expired' : lease.state,
    issued_at: isoTime(lease.issuedAt),
    expires_at: isoTime(lease.expiresAt),
    ttl_remaining: Math.max(0, Math.floor(left / 1000)),
    renewable: lease.renewable,
  }
}
