/** Terms of agents on disk. An agent without a row has the standard ones. */
import { accept } from '@vestry/contract/accept'
import type { Store } from '../../store/store.ts'
import type { Changed, RowGuard } from '../row-guard.ts'
import { ClaimTerms, STANDARD_TERMS } from './claim-terms.ts'

export interface ClaimTermsStoreDeps {
  readonly store: Store
  readonly guard: RowGuard
  /** Epoch ms. */
  readonly now: () => number
}

const TABLE = 'claim_terms'

export class ClaimTermsStore {
  readonly #deps: ClaimTermsStoreDeps

  constructor(deps: ClaimTermsStoreDeps) {
    this.#deps = deps
  }

  /** @throws VestryError `STORE_CORRUPT`, `VAULT_LOCKED` */
  async of(agentId: string): Promise<ClaimTerms> {
    const row = await this.#deps.store.db
      .selectFrom(TABLE)
      .selectAll()
      .where('id', '=', agentId)
      .executeTakeFirst()
    return row === undefined ? STANDARD_TERMS : this.#open(row)
  }

  /** Of all agents that have terms of their own. */
  async all(): Promise<Map<string, ClaimTerms>> {
    const rows = await this.#deps.store.db.selectFrom(TABLE).selectAll().execute()
    return new Map(rows.map((row) => [row.id, this.#open(row)]))
  }

  /** @param change Gets the terms as they are. */
  async update(
    agentId: string,
    change: (terms: ClaimTerms) => ClaimTerms,
  ): Promise<Changed<ClaimTerms>> {
    const { store, guard, now } = this.#deps
    return store.change(async (trx) => {
      const found = await trx
        .selectFrom(TABLE)
        .selectAll()
        .where('id', '=', agentId)
        .executeTakeFirst()
      const terms = change(found === undefined ? STANDARD_TERMS : this.#open(found))
      const facts = { id: agentId, terms_json: JSON.stringify(terms), updated_at: now() }
      const row = { ...facts, mac: guard.mac(TABLE, agentId, facts) }
      await trx
        .insertInto(TABLE)
        .values(row)
        .onConflict((taken) => taken.column('id').doUpdateSet(row))
        .execute()
      return terms
    })
  }

  #open({
    mac,
    ...row
  }: {
    id: string
    terms_json: string
    updated_at: number
    mac: Uint8Array
  }): ClaimTerms {
    this.#deps.guard.check(TABLE, row.id, row, mac)
    return accept(ClaimTerms, JSON.parse(row.terms_json), 'STORE_CORRUPT')
  }
}
