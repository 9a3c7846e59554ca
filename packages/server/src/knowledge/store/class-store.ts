/** Classes of knowledge on disk. Few, guarded, and never changed. */
import type { RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type { KnowledgeClass } from '../item.ts'

export interface ClassStoreDeps {
  readonly store: Pick<Store, 'db' | 'change'>
  readonly guard: RowGuard
  /** Epoch ms. */
  readonly now: () => number
}

type Row = Tables['knowledge_class']

export class ClassStore {
  readonly #deps: ClassStoreDeps
  #known: ReadonlyMap<string, KnowledgeClass> | undefined
  /** Raised at each drop, so that what was being read then is not kept. */
  #age = 0

  constructor(deps: ClassStoreDeps) {
    this.#deps = deps
  }

  /** Forgets what is in memory: another node made one, or the vault was sealed. */
  drop(): void {
    this.#age += 1
    this.#known = undefined
  }

  /** By id. @throws VestryError STORE_CORRUPT, VAULT_LOCKED, STORE_UNAVAILABLE */
  async all(): Promise<ReadonlyMap<string, KnowledgeClass>> {
    if (this.#known !== undefined) return this.#known
    const age = this.#age
    const rows = await this.#deps.store.db.selectFrom('knowledge_class').selectAll().execute()
    const read = new Map(rows.map((row) => [row.id, this.#open(row)]))
    if (age === this.#age) this.#known = read
    return read
  }

  /** @throws VestryError STORE_UNAVAILABLE, VAULT_LOCKED */
  async ensure(wanted: KnowledgeClass): Promise<void> {
    if ((await this.all()).has(wanted.id)) return
    const row = {
      id: wanted.id,
      owner: wanted.owner ?? '',
      owner_id: wanted.ownerId ?? '',
      source_type: wanted.sourceType,
      labels_json: JSON.stringify(wanted.labels),
      created_at: this.#deps.now(),
    }
    const mac = this.#deps.guard.mac('knowledge_class', row.id, row)
    await this.#deps.store.change((trx) =>
      trx
        .insertInto('knowledge_class')
        .values({ ...row, mac })
        .onConflict((clash) => clash.column('id').doNothing())
        .execute(),
    )
    this.drop()
  }

  #open({ mac, ...row }: Row): KnowledgeClass {
    this.#deps.guard.check('knowledge_class', row.id, row, mac)
    return {
      id: row.id,
      owner: row.owner === '' ? undefined : row.owner,
      ownerId: row.owner_id === '' ? undefined : row.owner_id,
      sourceType: row.source_type,
      labels: JSON.parse(row.labels_json) as string[], // ours, says the MAC
    }
  }
}
