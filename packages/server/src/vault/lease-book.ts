/**
 * All leases of this node: who holds what until when. The truth is in memory (its durable form is
 * the audit log's synced intent); rows for listing are written behind by {@link LeaseRows}.
 */
import { VestryError } from '@vestry/contract/errors'
import { ExpiryHeap } from './expiry-heap.ts'
import {
  assertRenewable,
  type Lease,
  leaseExpired,
  leaseNotFound,
  type RevokeReason,
} from './lease.ts'

/** Ended leases are remembered this long, so that a late release gets the right answer. */
const REMEMBER_ENDED_MS = 24 * 3_600_000
const COMPACT_ABOVE = 10_000
const REMEMBER_ENDED_MAX = 100_000

export interface LeaseLimits {
  readonly perAgent: number
  readonly total: number
}

export const DEFAULT_LEASE_LIMITS: LeaseLimits = { perAgent: 10_000, total: 256_000 }

export interface LeaseEvents {
  issued(lease: Lease): void
  renewed(lease: Lease): void
  ended(lease: Lease): void
}

/** Room for one lease to come. Disposing gives it up, unless a lease took it. */
export interface LeasePlace extends Disposable {
  issue(lease: Lease): void
}

export interface LeaseFilter {
  readonly agentId?: string
  readonly path?: string
  readonly prefix?: string
  readonly sessionId?: string
  readonly txn?: string
  readonly id?: string
}

export class LeaseBook {
  readonly #leases = new Map<string, Lease>()
  /** Live leases of each agent. */
  readonly #byAgent = new Map<string, Set<Lease>>()
  /** Places held for leases to come, of each agent. */
  readonly #places = new Map<string, number>()
  readonly #expiries = new ExpiryHeap<Lease>()
  /** Ended leases, oldest first. */
  readonly #ended: Lease[] = []
  readonly #limits: LeaseLimits
  readonly #events: LeaseEvents
  #live = 0
  #held = 0

  constructor(limits: LeaseLimits, events: LeaseEvents) {
    this.#limits = limits
    this.#events = events
  }

  get limits(): LeaseLimits {
    return this.#limits
  }

  get live(): number {
    return this.#live
  }

  liveOf(agentId: string): number {
    return this.#byAgent.get(agentId)?.size ?? 0
  }

  /**
   * Holds a place before the lease is recorded, so that concurrent requests cannot exceed the limits.
   * @throws VestryError RATE_LIMITED, scope `leases`, when the agent or the node holds too many.
   */
  reserve(agentId: string): LeasePlace {
    const { perAgent, total } = this.#limits
    const own = this.liveOf(agentId) + (this.#places.get(agentId) ?? 0)
    const full = this.#live + this.#held >= total ? total : own >= perAgent ? perAgent : undefined
    if (full !== undefined) {
      throw new VestryError('RATE_LIMITED', 'too many live leases', {
        hint: 'Release leases you no longer need',
        context: { scope: 'leases', limit: full, retry_after_ms: 1_000 },
      })
    }
    this.#hold(agentId, 1)
    let held = true
    const giveUp = (): void => {
      if (held) this.#hold(agentId, -1)
      held = false
    }
    return {
      issue: (lease) => {
        giveUp()
        this.issue(lease)
      },
      [Symbol.dispose]: giveUp,
    }
  }

  issue(lease: Lease): void {
    this.#leases.set(lease.id, lease)
    let own = this.#byAgent.get(lease.agentId)
    if (own === undefined) {
      own = new Set()
      this.#byAgent.set(lease.agentId, own)
    }
    own.add(lease)
    this.#live += 1
    this.#expiries.add(lease, lease.expiresAt)
    this.#events.issued(lease)
  }

  /** The caller's own lease; another agent's is indistinguishable from none. */
  ownedBy(agentId: string, id: string): Lease {
    const lease = this.#leases.get(id)
    if (lease === undefined || lease.agentId !== agentId) throw leaseNotFound()
    return lease
  }

  /** @returns what the caller learns; releasing twice is fine, releasing too late is an error. */
  release(agentId: string, id: string, nowMs: number): 'released' | 'already_released' | 'revoked' {
    const lease = this.ownedBy(agentId, id)
    this.#expireIfDue(lease, nowMs)
    switch (lease.state) {
      case 'live':
        this.#end(lease, 'released', nowMs)
        return 'released'
      case 'released':
        return 'already_released'
      case 'revoked':
        return 'revoked'
      case 'expired':
        throw leaseExpired(lease)
    }
  }

  renew(lease: Lease, expiresAt: number, nowMs: number): void {
    assertRenewable(lease, nowMs)
    lease.expiresAt = expiresAt
    lease.renewals += 1
    this.#expiries.add(lease, expiresAt)
    this.#events.renewed(lease)
  }

  revoke(filter: LeaseFilter, reason: RevokeReason, nowMs: number): Lease[] {
    const revoked = this.list(filter)
    for (const lease of revoked) this.#end(lease, 'revoked', nowMs, reason)
    return revoked
  }

  /** Live leases only. */
  list(filter: LeaseFilter): Lease[] {
    const from =
      filter.agentId === undefined ? this.#leases.values() : this.#byAgent.get(filter.agentId)
    const found: Lease[] = []
    for (const lease of from ?? [])
      if (lease.state === 'live' && matches(lease, filter)) found.push(lease)
    return found
  }

  /** Ends what has expired by now; called a few times a second. @returns the leases that ended. */
  expire(nowMs: number): Lease[] {
    const expired: Lease[] = []
    for (const { item: lease, dueMs } of this.#expiries.takeDue(nowMs)) {
      // A renewed lease has a newer entry in the heap; this one is stale.
      if (lease.state !== 'live' || lease.expiresAt !== dueMs) continue
      this.#end(lease, 'expired', lease.expiresAt)
      expired.push(lease)
    }
    this.#forget(nowMs)
    // Released leases leave their entries behind; without this a busy day would keep them all.
    if (this.#expiries.size > 2 * this.#live + COMPACT_ABOVE) {
      this.#expiries.retain(({ item, dueMs }) => item.state === 'live' && item.expiresAt === dueMs)
    }
    return expired
  }

  #hold(agentId: string, change: 1 | -1): void {
    this.#held += change
    const own = (this.#places.get(agentId) ?? 0) + change
    if (own === 0) this.#places.delete(agentId)
    else this.#places.set(agentId, own)
  }

  /** The sweep comes a few times a second; what is due is over all the same. */
  #expireIfDue(lease: Lease, nowMs: number): void {
    if (lease.state === 'live' && nowMs >= lease.expiresAt)
      this.#end(lease, 'expired', lease.expiresAt)
  }

  #end(
    lease: Lease,
    state: 'released' | 'expired' | 'revoked',
    atMs: number,
    reason?: RevokeReason,
  ): void {
    lease.state = state
    lease.endedAt = atMs
    lease.reason = reason
    this.#live -= 1
    const own = this.#byAgent.get(lease.agentId)
    own?.delete(lease)
    if (own?.size === 0) this.#byAgent.delete(lease.agentId)
    this.#ended.push(lease)
    this.#events.ended(lease)
  }

  #forget(nowMs: number): void {
    let count = Math.max(0, this.#ended.length - REMEMBER_ENDED_MAX)
    while (count < this.#ended.length) {
      const lease = this.#ended[count] as Lease
      if (nowMs - (lease.endedAt ?? nowMs) < REMEMBER_ENDED_MS) break
      count += 1
    }
    for (const lease of this.#ended.splice(0, count)) this.#leases.delete(lease.id)
  }
}

function matches(lease: Lease, { path, prefix, sessionId, txn, id }: LeaseFilter): boolean {
  if (path !== undefined && lease.path !== path) return false
  if (prefix !== undefined && !lease.path.startsWith(prefix)) return false
  if (sessionId !== undefined && lease.sessionId !== sessionId) return false
  if (txn !== undefined && lease.txn !== txn) return false
  return id === undefined || lease.id === id
}
