/** Definitions of agents on disk, beside the agents themselves. No rules here: `definition.ts` reads and checks. */
import { canonicalJson } from '@vestry/contract/canonical'
import type { RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type { AgentDefinition } from './definition.ts'

export interface DefinitionStoreDeps {
  readonly store: Pick<Store, 'db' | 'change'>
  readonly guard: RowGuard
  /** Epoch ms. */
  readonly now: () => number
}

type Row = Tables['runtime_agent']

export class DefinitionStore {
  readonly #deps: DefinitionStoreDeps

  constructor(deps: DefinitionStoreDeps) {
    this.#deps = deps
  }

  /** Changes of one agent at once are made one after the other. */
  async change(
    agentId: string,
    next: (before: AgentDefinition | undefined) => AgentDefinition,
  ): Promise<{ readonly definition: AgentDefinition; readonly generation: number }> {
    const { store, guard, now } = this.#deps
    const { value, generation } = await store.change(async (trx) => {
      const old = await trx
        .selectFrom('runtime_agent')
        .selectAll()
        .where('id', '=', agentId)
        .executeTakeFirst()
      // A change must not sign over a row that somebody else has altered.
      const definition = next(old && openRow(old, guard))
      const row = {
        id: agentId,
        definition_json: canonicalJson(definition),
        created_at: old?.created_at ?? now(),
        updated_at: now(),
      }
      const sealed = { ...row, mac: guard.mac('runtime_agent', agentId, row) }
      const insert = trx.insertInto('runtime_agent').values(sealed)
      await insert.onConflict((clash) => clash.column('id').doUpdateSet(sealed)).execute()
      return definition
    })
    return { definition: value, generation }
  }

  /** @param agentId Of the agent's record. @throws VestryError `STORE_CORRUPT` */
  async get(agentId: string): Promise<AgentDefinition | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('runtime_agent')
      .selectAll()
      .where('id', '=', agentId)
      .executeTakeFirst()
    return row && openRow(row, this.#deps.guard)
  }

  /** Of agents that are revoked: they do not come back. @returns how many. */
  async prune(): Promise<number> {
    const { store } = this.#deps
    const gone = await store.db
      .selectFrom('runtime_agent')
      .innerJoin('agent', 'agent.id', 'runtime_agent.id')
      .select('runtime_agent.id')
      .where('agent.status', '=', 'revoked')
      .limit(BATCH)
      .execute()
    if (gone.length === 0) return 0
    const ids = gone.map(({ id }) => id)
    await store.change((trx) => trx.deleteFrom('runtime_agent').where('id', 'in', ids).execute())
    return ids.length
  }
}

const BATCH = 200

/** @throws VestryError `STORE_CORRUPT` for a row that we did not write. */
function openRow({ mac, ...row }: Row, guard: RowGuard): AgentDefinition {
  guard.check('runtime_agent', row.id, row, mac)
  return JSON.parse(row.definition_json) as AgentDefinition // we wrote it, says the MAC
}
