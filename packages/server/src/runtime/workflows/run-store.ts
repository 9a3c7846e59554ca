/** Runs of workflows on disk, and what was told to them. No rules here. */
import { VestryError } from '@vestry/contract/errors'
import { type Alongside, wakeWaiting } from '../../journal/execution-writes.ts'
import { openRecord, type RecordKeys, sealRecord } from '../../seal/record.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type { EndStatus, RunContent, RunFacts, RunStatus, WorkflowRun } from './run.ts'

export interface RunStoreDeps {
  readonly store: Store
  readonly keys: () => RecordKeys
  /** Epoch ms. */
  readonly now: () => number
}

export interface RunFilter {
  readonly workflowId?: string | undefined
  readonly status?: RunStatus | undefined
  readonly agentId?: string | undefined
  readonly limit: number
}

const KIND = 'workflow-run'
const SIGNAL = 'workflow-signal'
/** Days that a run can be looked at. */
const KEPT_MS = 30 * 86_400_000
const BATCH = 500
/** Of one run. */
const MAX_SIGNALS = 1_000
const COLUMNS = [
  'id',
  'workflow_id',
  'agent_id',
  'status',
  'trigger',
  'facts_json',
  'created_at',
  'started_at',
  'finished_at',
] as const

export class RunStore {
  readonly #deps: RunStoreDeps

  constructor(deps: RunStoreDeps) {
    this.#deps = deps
  }

  /** To be written together with what has it run. */
  adding(run: WorkflowRun, content: RunContent): Alongside {
    const row: Tables['workflow_run'] = {
      id: run.id,
      workflow_id: run.workflowId,
      agent_id: run.agentId ?? null,
      parent_id: null,
      status: run.status,
      trigger: run.trigger,
      facts_json: JSON.stringify(run.facts),
      content: this.#seal(KIND, run.id, content),
      created_at: run.createdAt,
      started_at: null,
      finished_at: null,
    }
    return (trx) => trx.insertInto('workflow_run').values(row).execute()
  }

  /** The first end stands. */
  async end(...ending: Parameters<RunStore['ending']>): Promise<void> {
    await this.#deps.store.write(this.ending(...ending))
  }

  /** To be written together with the end of what had it run. */
  ending(
    run: Pick<WorkflowRun, 'id' | 'facts' | 'startedAt'>,
    status: EndStatus,
    content: RunContent,
  ): Alongside {
    const { error } = content
    const facts: RunFacts = {
      ...run.facts,
      ...(error !== undefined && {
        error: { ...(error.step !== undefined && { step: error.step }), code: error.code },
      }),
    }
    const row = {
      status,
      facts_json: JSON.stringify(facts),
      content: this.#seal(KIND, run.id, content),
      started_at: run.startedAt ?? null,
      finished_at: this.#deps.now(),
    }
    return (trx) =>
      trx
        .updateTable('workflow_run')
        .set(row)
        .where('id', '=', run.id)
        .where('finished_at', 'is', null)
        .execute()
  }

  async get(id: string): Promise<WorkflowRun | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('workflow_run')
      .select(COLUMNS)
      .where('id', '=', id)
      .executeTakeFirst()
    return row && toRun(row)
  }

  /** @throws VestryError SEAL_BROKEN, VAULT_LOCKED */
  async content(id: string): Promise<RunContent | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('workflow_run')
      .select('content')
      .where('id', '=', id)
      .executeTakeFirst()
    return row && (this.#open(KIND, id, row.content) as RunContent)
  }

  /** Newest first. */
  async list({ workflowId, status, agentId, limit }: RunFilter): Promise<WorkflowRun[]> {
    let query = this.#deps.store.db
      .selectFrom('workflow_run')
      .select(COLUMNS)
      .orderBy('created_at', 'desc')
      .limit(limit)
    if (workflowId !== undefined) query = query.where('workflow_id', '=', workflowId)
    if (agentId !== undefined) query = query.where('agent_id', '=', agentId)
    if (status === 'running' || status === 'pending') query = query.where('finished_at', 'is', null)
    else if (status !== undefined) query = query.where('status', '=', status)
    return (await query.execute()).map(toRun)
  }

  /** Some of those that have not ended, and that nobody works on. */
  async abandoned(): Promise<string[]> {
    const rows = await this.#deps.store.db
      .selectFrom('workflow_run')
      .select('id')
      .where('finished_at', 'is', null)
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom('execution')
              .select('execution.id')
              .whereRef('execution.id', '=', 'workflow_run.id')
              .where('execution.finished_at', 'is', null),
          ),
        ),
      )
      .limit(BATCH)
      .execute()
    return rows.map(({ id }) => id)
  }

  /** How many have not ended. */
  async openCount(): Promise<number> {
    const { count } = await this.#deps.store.db
      .selectFrom('workflow_run')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('finished_at', 'is', null)
      .executeTakeFirstOrThrow()
    return Number(count) // PostgreSQL counts in bigint
  }

  /**
   * Kept, and whoever waits for it is run at once: a crash between the two would let it sleep on what has come.
   * @returns false where that was said before. @throws VestryError QUEUE_FULL
   */
  async signal(id: string, name: string, value: unknown): Promise<boolean> {
    const { store, now } = this.#deps
    const record = this.#seal(SIGNAL, `${id}/${name}`, value)
    const nowMs = now()
    return store.write(
      async (trx) => {
        const { count } = await trx
          .selectFrom('workflow_signal')
          .select((eb) => eb.fn.countAll<number>().as('count'))
          .where('execution_id', '=', id)
          .executeTakeFirstOrThrow()
        if (Number(count) >= MAX_SIGNALS)
          throw new VestryError('QUEUE_FULL', `A run is told at most ${MAX_SIGNALS} signals`)
        const made = await trx
          .insertInto('workflow_signal')
          .values({ execution_id: id, name, record, created_at: nowMs })
          .onConflict((clash) => clash.doNothing())
          .returning('name')
          .executeTakeFirst()
        if (made !== undefined) await wakeWaiting(trx, id, nowMs)
        return made !== undefined
      },
      { tell: ['execution'] },
    )
  }

  async signalled(id: string, name: string): Promise<{ readonly value: unknown } | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('workflow_signal')
      .select('record')
      .where('execution_id', '=', id)
      .where('name', '=', name)
      .executeTakeFirst()
    return row && { value: this.#open(SIGNAL, `${id}/${name}`, row.record) }
  }

  async prune(): Promise<void> {
    const { store, now } = this.#deps
    const before = now() - KEPT_MS
    for (;;) {
      const gone = await store.write(async (trx) => {
        const rows = await trx
          .selectFrom('workflow_run')
          .select('id')
          .where('finished_at', '<', before)
          .limit(BATCH)
          .execute()
        const ids = rows.map(({ id }) => id)
        if (ids.length === 0) return 0
        await trx.deleteFrom('workflow_signal').where('execution_id', 'in', ids).execute()
        await trx.deleteFrom('workflow_run').where('id', 'in', ids).execute()
        return ids.length
      })
      if (gone < BATCH) return
    }
  }

  #seal(kind: string, path: string, value: unknown): Uint8Array {
    const bytes = Buffer.from(JSON.stringify(value ?? null), 'utf8')
    return sealRecord(this.#deps.keys(), { path, version: 1, kind }, bytes)
  }

  #open(kind: string, path: string, record: Uint8Array): unknown {
    using opened = openRecord(this.#deps.keys(), { path, version: 1, kind }, record)
    return JSON.parse(Buffer.from(opened.bytes).toString('utf8'))
  }
}

function toRun(row: Pick<Tables['workflow_run'], (typeof COLUMNS)[number]>): WorkflowRun {
  return {
    id: row.id,
    workflowId: row.workflow_id,
    agentId: row.agent_id ?? undefined,
    status: row.status as RunStatus, // only these are written
    trigger: row.trigger,
    facts: JSON.parse(row.facts_json) as RunFacts,
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
  }
}
