/** Deployments on disk. No rules here: `deployments.ts` decides. */
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import type { Kysely } from 'kysely'
import type { Changed, RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import {
  type Deployment,
  type DeploymentConfig,
  type DeploymentFacts,
  type DeploymentStatus,
  unknownDeployment,
} from './deployment.ts'

export interface DeploymentStoreDeps {
  readonly store: Pick<Store, 'db' | 'change'>
  readonly guard: RowGuard
}

export interface DeploymentChange {
  readonly id: string
  readonly change: (now: Deployment) => Partial<Deployment>
}

type Row = Tables['deployment']

/** Of a listing. */
const MAX_LISTED = 1_000

export class DeploymentStore {
  readonly #deps: DeploymentStoreDeps

  constructor(deps: DeploymentStoreDeps) {
    this.#deps = deps
  }

  add(deployment: Omit<Deployment, 'revision'>): Promise<Changed<Deployment>> {
    const added = { ...deployment, revision: 1 }
    return this.#deps.store.change(async (trx) => {
      await trx.insertInto('deployment').values(this.#seal(added)).execute()
      return added
    })
  }

  /**
   * All of them in one change, each as `change` makes it of what is there now.
   *
   * @throws VestryError DEPLOYMENT_NOT_FOUND, STORE_CORRUPT, and what `change` throws: then none of them.
   */
  change(changes: readonly DeploymentChange[]): Promise<Changed<Deployment[]>> {
    return this.#deps.store.change(async (trx) => {
      const changed: Deployment[] = []
      for (const { id, change } of changes) changed.push(await this.#change(trx, id, change))
      return changed
    })
  }

  async get(id: string): Promise<Deployment | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('deployment')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst()
    return row && this.#open(row)
  }

  /** Newest first. @param agentId Of the agent's record; undefined: of all. */
  async list(agentId?: string, limit = MAX_LISTED): Promise<Deployment[]> {
    let query = this.#deps.store.db.selectFrom('deployment').selectAll()
    if (agentId !== undefined) query = query.where('agent_id', '=', agentId)
    const rows = await query
      .orderBy('deployed_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit)
      .execute()
    return rows.map((row) => this.#open(row))
  }

  /** Those that serve, or are on their way to it or from it. Oldest first. */
  async open(): Promise<Deployment[]> {
    const rows = await this.#deps.store.db
      .selectFrom('deployment')
      .selectAll()
      .where('stopped_at', 'is', null)
      .orderBy('deployed_at')
      .orderBy('id')
      .execute()
    return rows.map((row) => this.#open(row))
  }

  async #change(
    trx: Kysely<Tables>,
    id: string,
    change: DeploymentChange['change'],
  ): Promise<Deployment> {
    const row = await trx
      .selectFrom('deployment')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst()
    if (row === undefined) throw unknownDeployment(id)
    const now = this.#open(row)
    const next = { ...now, ...change(now), id, revision: now.revision + 1 }
    const { numUpdatedRows } = await trx
      .updateTable('deployment')
      .set(this.#seal(next))
      .where('id', '=', id)
      .where('revision', '=', now.revision)
      .executeTakeFirst()
    if (numUpdatedRows !== 1n) throw new VestryError('CONFLICT', 'It was changed meanwhile')
    return next
  }

  #seal(deployment: Deployment): Row {
    const row = {
      id: deployment.id,
      agent_id: deployment.agentId,
      program_version: deployment.programVersion ?? null,
      environment: deployment.environment,
      status: deployment.status,
      config_json: canonicalJson(deployment.config),
      facts_json: canonicalJson(deployment.facts),
      revision: deployment.revision,
      created_by: deployment.createdBy,
      deployed_at: deployment.deployedAt,
      stopped_at: deployment.stoppedAt ?? null,
    }
    return { ...row, mac: this.#deps.guard.mac('deployment', row.id, row) }
  }

  /** @throws VestryError STORE_CORRUPT */
  #open({ mac, ...row }: Row): Deployment {
    this.#deps.guard.check('deployment', row.id, row, mac)
    return {
      id: row.id,
      agentId: row.agent_id,
      programVersion: row.program_version ?? undefined,
      environment: row.environment,
      status: row.status as DeploymentStatus, // ours, says the guard
      config: JSON.parse(row.config_json) as DeploymentConfig,
      facts: JSON.parse(row.facts_json) as DeploymentFacts,
      revision: row.revision,
      createdBy: row.created_by,
      deployedAt: row.deployed_at,
      stoppedAt: row.stopped_at ?? undefined,
    }
  }
}
