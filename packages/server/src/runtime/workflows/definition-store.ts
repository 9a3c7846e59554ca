/** Definitions of workflows on disk. No rules here: `definition.ts` reads and checks. */
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import type { RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type { Definition } from './definition.ts'

export interface KeptDefinition {
  readonly definition: Definition
  readonly createdBy: string
  /** Epoch ms. */
  readonly createdAt: number
  readonly updatedAt: number
}

const MAX_DEFINITIONS = 10_000
type Row = Tables['workflow_definition']

export class WorkflowDefinitions {
  readonly #deps: {
    readonly store: Pick<Store, 'db' | 'change'>
    readonly guard: RowGuard
    readonly now: () => number
  }
  /** Read and checked before, until something changes. */
  readonly #known = new Map<string, KeptDefinition>()

  constructor(deps: {
    readonly store: Pick<Store, 'db' | 'change'>
    readonly guard: RowGuard
    readonly now: () => number
  }) {
    this.#deps = deps
  }

  onChange(tables: readonly string[]): void {
    if (tables.includes('workflow_definition')) this.#known.clear()
  }

  /** @throws VestryError ALREADY_EXISTS, WORKFLOW_NOT_FOUND as `how` says, QUOTA_EXCEEDED. */
  async put(
    definition: Definition,
    by: string,
    how: 'add' | 'replace',
  ): Promise<{ readonly generation: number }> {
    const { store, guard, now } = this.#deps
    const { id, version } = definition
    const { generation } = await store.change(async (trx) => {
      const old = await trx
        .selectFrom('workflow_definition')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirst()
      if (old !== undefined && how === 'add')
        throw new VestryError('ALREADY_EXISTS', `There is a workflow "${id}" already`)
      if (old === undefined && how === 'replace') throw noSuchWorkflow(id)
      if (old === undefined) {
        const { count } = await trx
          .selectFrom('workflow_definition')
          .select((eb) => eb.fn.countAll<number>().as('count'))
          .executeTakeFirstOrThrow()
        if (Number(count) >= MAX_DEFINITIONS)
          throw new VestryError('QUOTA_EXCEEDED', `There are ${MAX_DEFINITIONS} workflows already`)
      }
      // A change must not sign over a row that somebody else has altered.
      const before = old && openRow(old, guard)
      const row = {
        id,
        version,
        definition_json: canonicalJson(definition),
        created_by: before?.createdBy ?? by,
        created_at: before?.createdAt ?? now(),
        updated_at: now(),
      }
      const sealed = { ...row, mac: guard.mac('workflow_definition', id, row) }
      const insert = trx.insertInto('workflow_definition').values(sealed)
      await insert.onConflict((clash) => clash.column('id').doUpdateSet(sealed)).execute()
    })
    this.#known.delete(id)
    return { generation }
  }

  /** @throws VestryError WORKFLOW_NOT_FOUND */
  async remove(id: string): Promise<{ readonly generation: number }> {
    const { generation } = await this.#deps.store.change(async (trx) => {
      const gone = await trx
        .deleteFrom('workflow_definition')
        .where('id', '=', id)
        .returning('id')
        .executeTakeFirst()
      if (gone === undefined) throw noSuchWorkflow(id)
    })
    this.#known.delete(id)
    return { generation }
  }

  /** @throws VestryError STORE_CORRUPT */
  async get(id: string): Promise<KeptDefinition | undefined> {
    const known = this.#known.get(id)
    if (known !== undefined) return known
    const { store, guard } = this.#deps
    const row = await store.db
      .selectFrom('workflow_definition')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst()
    if (row === undefined) return undefined
    const kept = openRow(row, guard)
    if (this.#known.size >= 1_000) this.#known.clear()
    this.#known.set(id, kept)
    return kept
  }

  async list(limit: number): Promise<KeptDefinition[]> {
    const { store, guard } = this.#deps
    const rows = await store.db
      .selectFrom('workflow_definition')
      .selectAll()
      .orderBy('id')
      .limit(limit)
      .execute()
    return rows.map((row) => openRow(row, guard))
  }
}

export function noSuchWorkflow(id: string): VestryError {
  return new VestryError('WORKFLOW_NOT_FOUND', `There is no workflow "${id.slice(0, 128)}"`)
}

/** @throws VestryError `STORE_CORRUPT` for a row that we did not write. */
function openRow({ mac, ...row }: Row, guard: RowGuard): KeptDefinition {
  guard.check('workflow_definition', row.id, row, mac)
  return {
    definition: JSON.parse(row.definition_json) as Definition, // we wrote it, says the MAC
    createdBy: row.created_by,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
