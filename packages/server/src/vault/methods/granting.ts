/** Turns a decision into a lease: its id is settled before the intent is recorded, the lease comes after. */
import { newLeaseId } from '@vestry/contract/ids'
import type { Decision, PolicyContext } from '../../policy/engine.ts'
import { hmacTag } from '../../seal/hash.ts'
import { type Grant, grantTtl, type Lease, type LeaseKind } from '../lease.ts'
import type { AgentCall } from '../vault.ts'
import { agentOf } from './context.ts'

/** A lease to come. Holds its place in the book until it is issued or given up by disposing. */
export interface PlannedLease extends Disposable {
  readonly id: string
  readonly grant: Grant
  /** Epoch ms. */
  readonly issuedAt: number
  readonly expiresAt: number
  /** What the intent says of it: its id only as a keyed hash. */
  readonly data: Readonly<Record<string, unknown>>
  issue(version: number): Lease
  /** Ends it again: nobody was told of it. */
  withdraw(): void
}

/**
 * @param of.ttl Seconds the caller asked for.
 * @throws VestryError RATE_LIMITED, scope `leases`, when the agent holds too many.
 */
export function planLease(
  call: AgentCall,
  decision: Decision,
  of: {
    kind: LeaseKind
    path: string
    ttl?: number | undefined
    context?: Partial<PolicyContext>
  },
): PlannedLease {
  const { vault, session, requestId } = call
  const agentId = agentOf(call).id
  const place = vault.leases.reserve(agentId)
  const id = newLeaseId()
  const issuedAt = vault.now()
  const grant = grantTtl(of.ttl, decision.obligations, vault.settings.leases)
  const expiresAt = issuedAt + grant.ttl * 1000
  return {
    id,
    grant,
    issuedAt,
    expiresAt,
    data: { lease: hmacTag(vault.seal.keys.hashKey, id), ttl: grant.ttl },
    issue: (version) => {
      const lease: Lease = {
        id,
        agentId,
        path: of.path,
        version,
        kind: of.kind,
        issuedAt,
        latestExpiry: issuedAt + grant.maxLifetime * 1000,
        renewable: grant.renewable,
        policy: decision.permits[0] ?? '',
        requestId,
        sessionId: session.id,
        txn: session.txn,
        context: of.context ?? {},
        expiresAt,
        renewals: 0,
        state: 'live',
        endedAt: undefined,
        reason: undefined,
      }
      place.issue(lease)
      return lease
    },
    withdraw: () => void vault.leases.revoke({ id, agentId }, 'unrecorded', vault.now()),
    [Symbol.dispose]: () => place[Symbol.dispose](),
  }
}

/** The few moments that most answers share; formatting a date costs more than a policy decision. */
const RECENT_TIMES = 16
const recentTimes = new Map<number, string>()

export function isoTime(ms: number): string {
  const known = recentTimes.get(ms)
  if (known !== undefined) return known
  const text = new Date(ms).toISOString()
  if (recentTimes.size >= RECENT_TIMES) recentTimes.clear()
  recentTimes.set(ms, text)
  return text
}
