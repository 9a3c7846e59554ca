/** Nonces of signed requests: each is good for once per agent, on every node and across restarts. */
import type { Store } from '../../store/store.ts'

/** Twice the clock skew, so that a nonce is remembered for as long as its timestamp is accepted. */
export const NONCE_TTL_MS = 600_000
const BATCH = 1000

export interface NonceStoreDeps {
  store: Store
  /** Epoch ms. */
  now: () => number
}

export class NonceStore {
  readonly #deps: NonceStoreDeps

  constructor(deps: NonceStoreDeps) {
    this.#deps = deps
  }

  /** @returns false when this agent used it before; only one of several at once gets true. */
  async spend(agentId: string, nonce: string): Promise<boolean> {
    const { store, now } = this.#deps
    const row = { agent_id: agentId, nonce, expires_at: now() + NONCE_TTL_MS }
    const done = await store.write((trx) =>
      trx
        .insertInto('agent_nonce')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst(),
    )
    return done.numInsertedOrUpdatedRows === 1n
  }

  /** Forgets those whose timestamps are refused by now. @returns how many. */
  async prune(): Promise<number> {
    const { store, now } = this.#deps
    const nowMs = now()
    for (let total = 0; ; ) {
      const done = await store.write(async (trx) => {
        const old = await trx
          .selectFrom('agent_nonce')
          .select('expires_at')
          .where('expires_at', '<', nowMs)
          .orderBy('expires_at')
          .limit(BATCH)
          .execute()
        const last = old.at(-1)
        if (last === undefined) return { deleted: 0, more: false }
        const { numDeletedRows } = await trx
          .deleteFrom('agent_nonce')
          .where('expires_at', '<=', last.expires_at)
          .executeTakeFirst()
        return { deleted: Number(numDeletedRows), more: old.length === BATCH }
      })
      total += done.deleted
      if (!done.more) return total
    }
  }
}
