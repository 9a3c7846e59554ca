/** Lease rules: how long one lasts, when it is dead, how far it may be renewed. Pure. */
import { VestryError } from '@vestry/contract/errors'
import type { Obligations, PolicyContext } from '../policy/engine.ts'

export type LeaseKind = 'retrieve' | 'header' | 'wrap' | 'backend'
export type LeaseState = 'live' | 'released' | 'expired' | 'revoked'
export type RevokeReason =
  | 'operator'
  | 'agent_revoked'
  | 'policy_changed'
  | 'credential_rotated'
  | 'credential_deleted'
  | 'disconnected'
  | 'sealed'
  | 'restart'
  | 'quota'
  | 'run_closed'
  /** Never handed out: what came of the request could not be recorded. */
  | 'unrecorded'

/** Times in epoch milliseconds. */
export interface Lease {
  readonly id: string
  readonly agentId: string
  readonly path: string
  readonly version: number
  readonly kind: LeaseKind
  readonly issuedAt: number
  /** No renewal reaches beyond this. */
  readonly latestExpiry: number
  readonly renewable: boolean
  readonly policy: string
  readonly requestId: string
  readonly sessionId: string
  /** The transaction it was taken in. */
  readonly txn: string
  /** What policy was told of the operation, and is told again at each renewal. */
  readonly context: Partial<PolicyContext>
  expiresAt: number
  renewals: number
  state: LeaseState
  endedAt: number | undefined
  reason: RevokeReason | undefined
}

/** Seconds. The daemon's own ceilings, above every policy. */
export interface LeaseDefaults {
  readonly defaultTtl: number
  readonly maxTtl: number
  readonly maxLifetime: number
}

export interface Grant {
  /** Seconds. */
  readonly ttl: number
  readonly clamped: boolean
  readonly maxLifetime: number
  readonly renewable: boolean
}

/**
 * @param asked Seconds the caller asked for; too much is reduced, not refused (wire contract §6.4).
 */
export function grantTtl(
  asked: number | undefined,
  obligations: Obligations,
  defaults: LeaseDefaults,
): Grant {
  const maxLifetime = Math.min(
    obligations.maxLifetime ?? defaults.maxLifetime,
    defaults.maxLifetime,
  )
  const ceiling = Math.min(obligations.maxTtl ?? defaults.maxTtl, defaults.maxTtl, maxLifetime)
  const wanted = asked ?? obligations.defaultTtl ?? defaults.defaultTtl
  const ttl = Math.min(wanted, ceiling)
  return {
    ttl,
    clamped: asked !== undefined && ttl < asked,
    maxLifetime,
    renewable: obligations.renewable,
  }
}

/**
 * The new expiry of a renewal: counted from now, so that a lease can be shortened too. Its life is
 * bounded by what policy allowed when it was issued and by what policy allows now.
 */
export function renewedExpiry(lease: Lease, { ttl, maxLifetime }: Grant, nowMs: number): number {
  return Math.min(nowMs + ttl * 1000, lease.latestExpiry, lease.issuedAt + maxLifetime * 1000)
}

/** A lease is dead from the very millisecond it expires. */
export function assertRenewable(lease: Lease, nowMs: number): void {
  if (lease.state === 'expired' || (lease.state === 'live' && nowMs >= lease.expiresAt)) {
    throw leaseExpired(lease)
  }
  if (lease.state !== 'live') {
    throw new VestryError('LEASE_NOT_FOUND', 'the lease was released or revoked', {
      hint: 'Retrieve the credential again',
      context: { lease_id: lease.id },
    })
  }
  if (!lease.renewable) throw notRenewable(lease)
}

export function notRenewable(lease: Lease): VestryError {
  return new VestryError('ACCESS_DENIED', 'policy does not allow this lease to be renewed', {
    hint: 'Retrieve the credential again',
    context: {
      lease_id: lease.id,
      path: lease.path,
      action: 'renew_lease',
      reason_code: 'not_renewable',
      legacy_code: 'POLICY_DENIED',
    },
  })
}

export function leaseExpired(lease: Lease): VestryError {
  return new VestryError(
    'LEASE_EXPIRED',
    `the lease ended at ${new Date(lease.expiresAt).toISOString()}`,
    {
      hint: 'Retrieve the credential again for a new lease',
      context: { lease_id: lease.id, expired_at: new Date(lease.expiresAt).toISOString() },
    },
  )
}

export function leaseNotFound(): VestryError {
  return new VestryError('LEASE_NOT_FOUND', 'no such lease belongs to this agent', {
    hint: 'It may have been issued to another agent, or long ago',
  })
}
