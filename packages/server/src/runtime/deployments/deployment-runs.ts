/**
 * Which executions are runs of which deployment, in the store: what another node has begun counts, and what goes on
 * after a restart does too. A place is free as soon as the execution has ended, whoever is there to see it.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Store } from '../../store/store.ts'
import { unknownDeployment } from './deployment.ts'

export interface DeploymentRunsDeps {
  readonly store: Pick<Store, 'db' | 'write'>
  /** Epoch ms. */
  readonly now: () => number
}

const RETRY_MS = 1_000
/** One that took its place a moment ago may not have its execution yet. */
const STARTING_MS = 60_000
const BATCH = 500
/** The execution itself, written after it, takes it to the disk. */
const UNSYNCED = { synced: false } as const

export class DeploymentRuns {
  readonly #deps: DeploymentRunsDeps

  constructor(deps: DeploymentRunsDeps) {
    this.#deps = deps
  }

  /**
   * Takes a place for an execution that is about to be started; of one that stops, there is none any more.
   *
   * @param max Undefined: as many as come.
   * @returns false where the execution has had its place before.
   * @throws VestryError DEPLOYMENT_NOT_FOUND, INVALID_STATE_TRANSITION, RATE_LIMITED
   */
  take(deploymentId: string, executionId: string, max: number | undefined): Promise<boolean> {
    const { store, now } = this.#deps
    return store.write(async (trx) => {
      const deployment = await trx
        .selectFrom('deployment')
        .select(['status', 'stopped_at'])
        .where('id', '=', deploymentId)
        .executeTakeFirst()
      if (deployment === undefined) throw unknownDeployment(deploymentId)
      if (deployment.stopped_at !== null || deployment.status === 'stopping')
        throw servesNoMore(deploymentId, deployment.status)
      const again = await trx
        .updateTable('deployment_run')
        .set({ at: now() })
        .where('execution_id', '=', executionId)
        .executeTakeFirst()
      if (again.numUpdatedRows > 0n) return false
      if (max !== undefined) {
        const open = await this.#openIn(trx, deploymentId).execute()
        if (open.length >= max) throw full(max)
      }
      const row = { execution_id: executionId, deployment_id: deploymentId, at: now() }
      await trx.insertInto('deployment_run').values(row).execute()
      return true
    }, UNSYNCED)
  }

  /** Of one that has ended, or was never started. */
  async giveBack(executionId: string): Promise<void> {
    await this.#deps.store.write(
      (trx) => trx.deleteFrom('deployment_run').where('execution_id', '=', executionId).execute(),
      UNSYNCED,
    )
  }

  /** Ids of executions that have not ended, on whatever node. */
  async open(deploymentId: string): Promise<readonly string[]> {
    const rows = await this.#openIn(this.#deps.store.db, deploymentId).execute()
    return rows.map(({ execution_id: id }) => id)
  }

  /** What ended while nobody was there to see it. */
  async prune(): Promise<void> {
    const { store, now } = this.#deps
    const over = await store.db
      .selectFrom('deployment_run as run')
      .leftJoin('agent_run as work', 'work.id', 'run.execution_id')
      .select('run.execution_id')
      .where('run.at', '<', now() - STARTING_MS)
      .where((is) => is.or([is('work.id', 'is', null), is('work.finished_at', 'is not', null)]))
      .limit(BATCH)
      .execute()
    const ids = over.map(({ execution_id: id }) => id)
    if (ids.length === 0) return
    await store.write((trx) =>
      trx.deleteFrom('deployment_run').where('execution_id', 'in', ids).execute(),
    )
  }

  #openIn(db: Store['db'], deploymentId: string) {
    const youngest = this.#deps.now() - STARTING_MS
    return db
      .selectFrom('deployment_run as run')
      .leftJoin('agent_run as work', 'work.id', 'run.execution_id')
      .select('run.execution_id')
      .where('run.deployment_id', '=', deploymentId)
      .where('work.finished_at', 'is', null)
      .where((is) => is.or([is('work.id', 'is not', null), is('run.at', '>=', youngest)]))
  }
}

export function servesNoMore(id: string, status: string): VestryError {
  return new VestryError('INVALID_STATE_TRANSITION', `Deployment ${id} is ${status}`, {
    hint: 'Deploy the agent again',
  })
}

function full(max: number): VestryError {
  return new VestryError('RATE_LIMITED', `It runs ${max} tasks already`, {
    hint: 'Ask again when one has ended, or deploy it with a larger max_concurrent_tasks',
    context: { retry_after_ms: RETRY_MS },
  })
}
