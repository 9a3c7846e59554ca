/** Executions on disk, and what they add up to for each agent. No rules here: `execution.ts` decides. */
import { VestryError } from '@vestry/contract/errors'
import type { Kysely } from 'kysely'
import { openRecord, type RecordKeys, sealRecord } from '../../seal/record.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type {
  Ending,
  Execution,
  ExecutionContent,
  ExecutionFacts,
  ExecutionStatus,
} from './execution.ts'

export interface ExecutionStoreDeps {
  readonly store: Store
  /** Asked for at each use, so that a sealed vault answers VAULT_LOCKED. */
  readonly keys: () => RecordKeys
  /** Epoch ms. */
  readonly now: () => number
}

/** What an agent's executions came to, also those that are forgotten by now. */
export interface AgentTotals {
  readonly completed: number
  readonly failed: number
  /** Those of both of which it is known how long they took. */
  readonly timed: number
  readonly totalMs: number
  /** Epoch ms; 0: never. */
  readonly lastActivityMs: number
  readonly lastStatus: ExecutionStatus | undefined
}

type Row = Tables['agent_run']

const KIND = 'agent-execution'
/** Days that an execution can be looked at. */
const KEPT_MS = 30 * 86_400_000
const BATCH = 500
export const NO_TOTALS: AgentTotals = {
  completed: 0,
  failed: 0,
  timed: 0,
  totalMs: 0,
  lastActivityMs: 0,
  lastStatus: undefined,
}

export class ExecutionStore {
  readonly #deps: ExecutionStoreDeps

  constructor(deps: ExecutionStoreDeps) {
    this.#deps = deps
  }

  async add(execution: Execution, content: ExecutionContent): Promise<void> {
    const { store } = this.#deps
    const row: Row = {
      id: execution.id,
      agent_id: execution.agentId,
      status: execution.status,
      trigger: execution.trigger,
      facts_json: JSON.stringify(execution.facts),
      content: this.#seal(execution, content),
      created_at: execution.createdAt,
      started_at: null,
      finished_at: null,
    }
    await store.write((trx) => trx.insertInto('agent_run').values(row).execute())
  }

  /** One that was never accepted. */
  async drop(id: string): Promise<void> {
    await this.#deps.store.write((trx) =>
      trx.deleteFrom('agent_run').where('id', '=', id).where('status', '=', 'pending').execute(),
    )
  }

  /** @returns false where it has ended before. */
  async begin(id: string, facts: ExecutionFacts): Promise<boolean> {
    const { store, now } = this.#deps
    const done = await store.write((trx) =>
      trx
        .updateTable('agent_run')
        .set({ status: 'running', started_at: now(), facts_json: JSON.stringify(facts) })
        .where('id', '=', id)
        .where('status', '=', 'pending')
        .executeTakeFirst(),
    )
    return done.numUpdatedRows === 1n
  }

  /** @param startedAt Undefined where nobody can say how long it ran. The first end stands. @returns whether this was it. */
  async end(
    { id, agentId, startedAt }: Pick<Execution, 'id' | 'agentId' | 'startedAt'>,
    { status, error }: Ending,
    facts: ExecutionFacts,
    content?: ExecutionContent,
  ): Promise<boolean> {
    const { store, now } = this.#deps
    const nowMs = now()
    const told: ExecutionFacts = { ...facts, ...(error !== undefined && { error }) }
    const sealed = content && this.#seal({ id, agentId }, content)
    return store.write(async (trx) => {
      const done = await trx
        .updateTable('agent_run')
        .set({
          status,
          finished_at: nowMs,
          facts_json: JSON.stringify(told),
          ...(sealed !== undefined && { content: sealed }),
        })
        .where('id', '=', id)
        .where('finished_at', 'is', null)
        .executeTakeFirst()
      if (done.numUpdatedRows !== 1n) return false
      await this.#add(trx, agentId, {
        status,
        nowMs,
        ms: startedAt === undefined ? undefined : nowMs - startedAt,
      })
      return true
    })
  }

  async get(id: string): Promise<Execution | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('agent_run')
      .select(COLUMNS)
      .where('id', '=', id)
      .executeTakeFirst()
    return row && toExecution(row)
  }

  /** @throws VestryError `SEAL_BROKEN`, `VAULT_LOCKED` */
  async content(id: string): Promise<ExecutionContent | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('agent_run')
      .select(['agent_id', 'content'])
      .where('id', '=', id)
      .executeTakeFirst()
    if (row === undefined) return undefined
    using opened = openRecord(this.#deps.keys(), place(id, row.agent_id), row.content)
    const text = Buffer.from(opened.bytes).toString('utf8')
    return JSON.parse(text) as ExecutionContent // sealed by us
  }

  /** Newest first. */
  async list(agentId: string, limit: number): Promise<Execution[]> {
    const rows = await this.#deps.store.db
      .selectFrom('agent_run')
      .select(COLUMNS)
      .where('agent_id', '=', agentId)
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit)
      .execute()
    return rows.map(toExecution)
  }

  /** Those that have not ended: of one agent, or of all. */
  async open(agentId?: string): Promise<Execution[]> {
    let query = this.#deps.store.db
      .selectFrom('agent_run')
      .select(COLUMNS)
      .where('finished_at', 'is', null)
    if (agentId !== undefined) query = query.where('agent_id', '=', agentId)
    return (await query.execute()).map(toExecution)
  }

  /** Of one agent, how many wait for a place. */
  async waiting(agentId: string): Promise<number> {
    const { count } = await this.#deps.store.db
      .selectFrom('agent_run')
      .select((is) => is.fn.countAll<number>().as('count'))
      .where('agent_id', '=', agentId)
      .where('finished_at', 'is', null)
      .where('status', '=', 'pending')
      .executeTakeFirstOrThrow()
    return Number(count) // PostgreSQL counts in bigint
  }

  async totals(agentId: string): Promise<AgentTotals> {
    return readTotals(this.#deps.store.db, agentId)
  }

  /** Of all agents. */
  async allTotals(): Promise<Pick<AgentTotals, 'completed' | 'failed'>> {
    const rows = await this.#deps.store.db
      .selectFrom('runtime_stat')
      .select('stats_json')
      .where('id', 'like', `${TOTALS}%`)
      .execute()
    const all = rows.map(({ stats_json }) => readStats(stats_json))
    return {
      completed: all.reduce((sum, { completed }) => sum + completed, 0),
      failed: all.reduce((sum, { failed }) => sum + failed, 0),
    }
  }

  /** @returns how many were forgotten; what they add up to stays. */
  async prune(): Promise<number> {
    const { store, now } = this.#deps
    for (let done = 0; ; ) {
      const old = await store.db
        .selectFrom('agent_run')
        .select('id')
        .where('finished_at', '<', now() - KEPT_MS)
        .limit(BATCH)
        .execute()
      const ids = old.map(({ id }) => id)
      if (ids.length > 0)
        await store.write((trx) => trx.deleteFrom('agent_run').where('id', 'in', ids).execute())
      done += ids.length
      if (ids.length < BATCH) return done
    }
  }

  async #add(
    trx: Kysely<Tables>,
    agentId: string,
    ended: { status: ExecutionStatus; nowMs: number; ms: number | undefined },
  ): Promise<void> {
    const { status, nowMs, ms } = ended
    const id = totalsId(agentId)
    const empty = { id, stats_json: JSON.stringify(NO_TOTALS), updated_at: nowMs }
    await trx
      .insertInto('runtime_stat')
      .values(empty)
      .onConflict((clash) => clash.doNothing())
      .execute()
    // Whoever else ends one of the same agent now waits for this row.
    const before = await readTotals(trx, agentId, this.#deps.store.engine === 'postgres')
    // One that was stopped is neither.
    const isTask = status !== 'cancelled'
    const after: AgentTotals = {
      completed: before.completed + (status === 'completed' ? 1 : 0),
      failed: before.failed + (isTask && status !== 'completed' ? 1 : 0),
      timed: before.timed + (isTask && ms !== undefined ? 1 : 0),
      totalMs: before.totalMs + (isTask ? (ms ?? 0) : 0),
      lastActivityMs: Math.max(before.lastActivityMs, nowMs),
      lastStatus: status,
    }
    await trx
      .updateTable('runtime_stat')
      .set({ stats_json: JSON.stringify(after), updated_at: nowMs })
      .where('id', '=', id)
      .execute()
  }

  #seal({ id, agentId }: Pick<Execution, 'id' | 'agentId'>, content: ExecutionContent): Uint8Array {
    const bytes = Buffer.from(JSON.stringify(content))
    if (bytes.length > MAX_CONTENT_BYTES) throw new VestryError('BODY_TOO_LARGE')
    return sealRecord(this.#deps.keys(), place(id, agentId), bytes)
  }
}

const MAX_CONTENT_BYTES = 16 * 1024 * 1024

const COLUMNS = [
  'id',
  'agent_id',
  'status',
  'trigger',
  'facts_json',
  'created_at',
  'started_at',
  'finished_at',
] as const satisfies readonly (keyof Row)[]

/** What one agent was asked cannot be given to another one in the store. */
function place(id: string, agentId: string): { path: string; version: number; kind: string } {
  return { path: `${agentId}/${id}`, version: 1, kind: KIND }
}

const TOTALS = 'agent:'

function totalsId(agentId: string): string {
  return `${TOTALS}${agentId}`
}

function readStats(text: string): AgentTotals {
  return { ...NO_TOTALS, ...(JSON.parse(text) as Partial<AgentTotals>) } // ours
}

async function readTotals(db: Kysely<Tables>, agentId: string, lock = false): Promise<AgentTotals> {
  let query = db.selectFrom('runtime_stat').select('stats_json').where('id', '=', totalsId(agentId))
  if (lock) query = query.forUpdate()
  const row = await query.executeTakeFirst()
  return row === undefined ? NO_TOTALS : readStats(row.stats_json)
}

function toExecution(row: Pick<Row, (typeof COLUMNS)[number]>): Execution {
  return {
    id: row.id,
    agentId: row.agent_id,
    status: row.status as ExecutionStatus, // written by us only
    trigger: row.trigger,
    facts: JSON.parse(row.facts_json) as ExecutionFacts, // likewise
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
  }
}
