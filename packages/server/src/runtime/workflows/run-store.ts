/** Runs of workflows on disk, and what was told to them. No rules here. */
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

  async add(run: WorkflowRun, content: RunContent): Promise<void> {
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
    await this.#deps.store.write((trx) => trx.insertInto('workflow_run').values(row).execute())
  }

  async drop(id: string): Promise<void> {
    await this.#deps.store.write((trx) =>
      trx
        .deleteFrom('workflow_run')
        .where('id', '=', id)
        .where('finished_at', 'is', null)
        .execute(),
    )
  }

  /** The first end stands. @returns whether this was it. */
  async end(
    run: Pick<WorkflowRun, 'id' | 'facts' | 'startedAt'>,
    status: EndStatus,
    content: RunContent,
  ): Promise<boolean> {
    const { store, now } = this.#deps
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
      finished_at: now(),
    }
    const done = await store.write((trx) =>
      trx
        .updateTable('workflow_run')
        .set(row)
        .where('id', '=', run.id)
        .where('finished_at', 'is', null)
        .executeTakeFirst(),
    )
    return done.numUpdatedRows === 1n
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

  /** Those that have not ended. */
  async open(): Promise<WorkflowRun[]> {
    const rows = await this.#deps.store.db
      .selectFrom('workflow_run')
      .select(COLUMNS)
      .where('finished_at', 'is', null)
      .execute()
    return rows.map(toRun)
  }

  /** @returns false where that was said before. */
  async signal(id: string, name: string, value: unknown): Promise<boolean> {
    const { store, now } = this.#deps
    const record = this.#seal(SIGNAL, `${id}/${name}`, value)
    const made = await store.write((trx) =>
      trx
        .insertInto('workflow_signal')
        .values({ execution_id: id, name, record, created_at: now() })
        .onConflict((clash) => clash.doNothing())
        .returning('name')
        .executeTakeFirst(),
    )
    return made !== undefined
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
