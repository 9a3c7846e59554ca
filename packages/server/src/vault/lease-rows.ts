/**
 * Leases as rows, written behind: for listing across restarts and for closing what a crash left open.
 * Losing the last moments costs nothing: the audit log's intent is the lease's durable form.
 */

import type { Insertable } from 'kysely'
import { hmacTag } from '../seal/hash.ts'
import type { Keyring } from '../seal/keyring.ts'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { Lease } from './lease.ts'
import type { LeaseEvents } from './lease-book.ts'

const FLUSH_EVERY_MS = 1_000
const MAX_PENDING = 50_000
const ROWS_PER_FLUSH = 1_000

export class LeaseRows implements LeaseEvents {
  readonly #store: Store
  readonly #node: string
  readonly #keys: () => Keyring
  readonly #now: () => number
  /** Newest state of each lease that changed since the last flush. */
  #pending = new Map<string, Lease>()
  #timer: NodeJS.Timeout | undefined
  #dropped = 0

  /** @param deps.node Tells the rows of this node from those of others on the same store. */
  constructor(deps: { store: Store; node: string; keys: () => Keyring; now: () => number }) {
    this.#store = deps.store
    this.#node = deps.node
    this.#keys = deps.keys
    this.#now = deps.now
  }

  /** Rows that were given up because the store could not keep up. */
  get dropped(): number {
    return this.#dropped
  }

  issued(lease: Lease): void {
    this.#note(lease)
  }

  renewed(lease: Lease): void {
    this.#note(lease)
  }

  ended(lease: Lease): void {
    // Born and gone within one flush: there never was a row, and none is needed.
    if (this.#pending.has(lease.id) && lease.renewals === 0) this.#pending.delete(lease.id)
    else this.#note(lease)
  }

  /** Writes what is pending; the newest wait for the next turn when there are many. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const rows: Insertable<Tables['lease']>[] = []
    for (const [id, lease] of this.#pending) {
      if (rows.length === ROWS_PER_FLUSH) break
      this.#pending.delete(id)
      rows.push(this.#row(lease))
    }
    await this.#store.writeBehind({
      table: 'lease',
      rows,
      key: ['id_hash'],
      update: ['expires_at', 'state', 'reason', 'ended_at'],
    })
    if (this.#pending.size > 0) this.#schedule()
  }

  /** After a restart: nobody can hold the protocol side of these any more. @returns how many. */
  async closeLeftOvers(): Promise<number> {
    const nowMs = this.#now()
    return this.#store.write(async (trx) => {
      const closed = await trx
        .updateTable('lease')
        .set({ state: 'revoked', reason: 'restart', ended_at: nowMs })
        .where('state', '=', 'live')
        .where('node', '=', this.#node)
        .executeTakeFirst()
      await trx
        .deleteFrom('lease')
        .where('ended_at', '<', nowMs - 24 * 3_600_000)
        .execute()
      return Number(closed.numUpdatedRows)
    })
  }

  #note(lease: Lease): void {
    if (this.#pending.size >= MAX_PENDING && !this.#pending.has(lease.id)) {
      this.#dropped += 1
      return
    }
    this.#pending.set(lease.id, lease)
    this.#schedule()
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      // A store that is away is reported by whoever needs it; rows of leases can wait for the next change.
      this.flush().catch(() => undefined)
    }, FLUSH_EVERY_MS).unref()
  }

  #row(lease: Lease) {
    return {
      node: this.#node,
      id_hash: hmacTag(this.#keys().hashKey, lease.id),
      agent_id: lease.agentId,
      path: lease.path,
      version: lease.version,
      kind: lease.kind,
      policy: lease.policy,
      request_id: lease.requestId,
      issued_at: lease.issuedAt,
      expires_at: lease.expiresAt,
      state: lease.state,
      reason: lease.reason ?? null,
      ended_at: lease.endedAt ?? null,
    }
  }
}
