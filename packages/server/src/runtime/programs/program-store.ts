/** Versions of programs on disk. No rules here: they are checked before they come. */
import { canonicalJson } from '@vestry/contract/canonical'
import type { ProgramDefinition } from '../../dsl/definition.ts'
import type { Permissions } from '../../dsl/permissions.ts'
import type { RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type { ProgramVersion } from './programs-api.ts'

export interface ProgramStoreDeps {
  readonly store: Pick<Store, 'db' | 'change'>
  readonly guard: RowGuard
  /** Epoch ms. */
  readonly now: () => number
}

export type NewVersion = Omit<ProgramVersion, 'version' | 'createdAt'>

type Row = Tables['dsl_program']

export class ProgramStore {
  readonly #deps: ProgramStoreDeps

  constructor(deps: ProgramStoreDeps) {
    this.#deps = deps
  }

  /** The next version of its agent. */
  async add(given: NewVersion): Promise<{ version: ProgramVersion; generation: number }> {
    const { store, guard, now } = this.#deps
    const { value, generation } = await store.change(async (trx) => {
      const newest = await trx
        .selectFrom('dsl_program')
        .select('version')
        .where('agent_id', '=', given.agentId)
        .orderBy('version', 'desc')
        .limit(1)
        .executeTakeFirst()
      const version = (newest?.version ?? 0) + 1
      const row = {
        id: idOf(given.agentId, version),
        agent_id: given.agentId,
        version,
        source: given.source,
        source_hash: given.sourceHash,
        definition_json: canonicalJson(given.definition),
        permissions_json: canonicalJson(given.permissions),
        created_by: given.createdBy,
        created_at: now(),
      }
      const sealed: Row = { ...row, mac: guard.mac('dsl_program', row.id, row) }
      await trx.insertInto('dsl_program').values(sealed).execute()
      return { ...given, version, createdAt: row.created_at }
    })
    return { version: value, generation }
  }

  /** @param version The newest where none is named. @throws VestryError STORE_CORRUPT */
  async get(agentId: string, version?: number): Promise<ProgramVersion | undefined> {
    const { store, guard } = this.#deps
    let query = store.db.selectFrom('dsl_program').selectAll().where('agent_id', '=', agentId)
    if (version !== undefined) query = query.where('version', '=', version)
    const row = await query.orderBy('version', 'desc').limit(1).executeTakeFirst()
    if (row === undefined) return undefined
    const { mac, ...rest } = row
    guard.check('dsl_program', row.id, rest, mac)
    return {
      agentId: row.agent_id,
      version: row.version,
      source: row.source,
      sourceHash: row.source_hash,
      definition: JSON.parse(row.definition_json) as ProgramDefinition, // we wrote it, says the MAC
      permissions: JSON.parse(row.permissions_json) as Permissions, // likewise
      createdBy: row.created_by,
      createdAt: row.created_at,
    }
  }

  /**
   * Those of agents that are revoked, which do not come back; and of all others the ones that are neither among the
   * newest nor deployed, unless an execution has yet to end with it.
   */
  async prune(): Promise<void> {
    const { store } = this.#deps
    const revoked = await store.db
      .selectFrom('dsl_program')
      .innerJoin('agent', 'agent.id', 'dsl_program.agent_id')
      .select('dsl_program.id')
      .where('agent.status', '=', 'revoked')
      .limit(BATCH)
      .execute()
    const ids = [...revoked, ...(await this.#surplus())].map(({ id }) => id)
    if (ids.length === 0) return
    await store.change((trx) => trx.deleteFrom('dsl_program').where('id', 'in', ids).execute())
  }

  async #surplus(): Promise<{ id: string }[]> {
    const { db } = this.#deps.store
    const many = await db
      .selectFrom('dsl_program')
      .select(({ fn }) => ['agent_id', fn.max('version').as('newest')])
      .groupBy('agent_id')
      .having(({ fn }) => fn.countAll(), '>', KEPT)
      .limit(BATCH)
      .execute()
    const found: { id: string }[] = []
    for (const { agent_id: agentId, newest } of many) {
      if (found.length >= BATCH || (await this.#isBusy(agentId))) continue
      const deployed = await db
        .selectFrom('deployment')
        .select('program_version')
        .where('agent_id', '=', agentId)
        .where('stopped_at', 'is', null)
        .execute()
      const kept = deployed.flatMap(({ program_version: version }) => version ?? [])
      let query = db.selectFrom('dsl_program').select('id').where('agent_id', '=', agentId)
      if (kept.length > 0) query = query.where('version', 'not in', kept)
      const old = query.where('version', '<=', Number(newest) - KEPT).limit(BATCH)
      found.push(...(await old.execute()))
    }
    return found.slice(0, BATCH)
  }

  /** An execution keeps the version that it was accepted with. */
  async #isBusy(agentId: string): Promise<boolean> {
    const open = await this.#deps.store.db
      .selectFrom('agent_run')
      .select('id')
      .where('agent_id', '=', agentId)
      .where('status', 'in', ['pending', 'running'])
      .limit(1)
      .execute()
    return open.length > 0
  }
}

/** Of each agent, the newest. */
const KEPT = 50

const BATCH = 200

function idOf(agentId: string, version: number): string {
  return `${agentId}/${version}`
}
