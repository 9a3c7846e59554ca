/** What agents that run elsewhere tell of themselves: their last sign of life, and their last hundred events. */
import type { Store } from '../../store/store.ts'

export interface AgentReport {
  /** A name of older runtimes, such as `Running`. */
  readonly state: string
  /** Epoch ms. */
  readonly atMs: number
  /** The first of this row of signs. */
  readonly sinceMs: number
  readonly metadata: Readonly<Record<string, unknown>> | undefined
  readonly lastResult: string | undefined
}

export interface AgentEvent {
  readonly event_type: string
  readonly payload: unknown
  readonly timestamp: string
}

export interface ReportStoreDeps {
  readonly store: Pick<Store, 'db' | 'write' | 'engine'>
  /** Epoch ms. */
  readonly now: () => number
}

const KEPT_EVENTS = 100
const BATCH = 500
/** Of all events of one agent; older ones give way. */
const MAX_EVENT_BYTES = 1_048_576

export class ReportStore {
  readonly #deps: ReportStoreDeps

  constructor(deps: ReportStoreDeps) {
    this.#deps = deps
  }

  async get(agentId: string): Promise<AgentReport | undefined> {
    return this.#read<AgentReport>(reportId(agentId))
  }

  /** @param silentAfterMs After a longer silence a new row of signs begins. */
  async put(
    agentId: string,
    report: Pick<AgentReport, 'state' | 'metadata' | 'lastResult'>,
    silentAfterMs: number,
  ): Promise<void> {
    const nowMs = this.#deps.now()
    const before = await this.get(agentId)
    const goesOn = before !== undefined && nowMs < before.atMs + silentAfterMs
    const kept: AgentReport = { ...report, atMs: nowMs, sinceMs: goesOn ? before.sinceMs : nowMs }
    await this.#change(reportId(agentId), () => kept)
  }

  /** Newest first. */
  async events(agentId: string): Promise<readonly AgentEvent[]> {
    return (await this.#read<AgentEvent[]>(eventsId(agentId))) ?? []
  }

  async addEvent(agentId: string, event: AgentEvent): Promise<void> {
    await this.#change<AgentEvent[]>(eventsId(agentId), (before = []) => {
      const kept = [event, ...before].slice(0, KEPT_EVENTS)
      let bytes = 0
      const fits = kept.findIndex((one) => {
        bytes += Buffer.byteLength(JSON.stringify(one))
        return bytes > MAX_EVENT_BYTES
      })
      return fits === -1 ? kept : kept.slice(0, Math.max(1, fits))
    })
  }

  /** Ids of agents that gave a sign after `sinceMs`. */
  async alive(sinceMs: number): Promise<readonly string[]> {
    const rows = await this.#deps.store.db
      .selectFrom('runtime_stat')
      .select('id')
      .where('id', 'like', `${REPORT}%`)
      .where('updated_at', '>', sinceMs)
      .execute()
    return rows.map(({ id }) => id.slice(REPORT.length))
  }

  async forget(agentId: string): Promise<void> {
    await this.#deps.store.write((trx) =>
      trx
        .deleteFrom('runtime_stat')
        .where('id', 'in', [reportId(agentId), eventsId(agentId)])
        .execute(),
    )
  }

  /** Those of agents that are revoked: they do not come back. @returns how many were forgotten. */
  async prune(): Promise<number> {
    const { db } = this.#deps.store
    const rows = await db
      .selectFrom('runtime_stat')
      .select('id')
      .where((is) => is.or([is('id', 'like', `${REPORT}%`), is('id', 'like', `${EVENTS}%`)]))
      .execute()
    const agentIds = [...new Set(rows.map(({ id }) => id.slice(id.indexOf(':') + 1)))]
    let done = 0
    for (let at = 0; at < agentIds.length; at += BATCH) {
      const revoked = await db
        .selectFrom('agent')
        .select('id')
        .where('id', 'in', agentIds.slice(at, at + BATCH))
        .where('status', '=', 'revoked')
        .execute()
      for (const { id } of revoked) {
        await this.forget(id)
        done += 1
      }
    }
    return done
  }

  async #read<T>(id: string): Promise<T | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('runtime_stat')
      .select('stats_json')
      .where('id', '=', id)
      .executeTakeFirst()
    return row && ((JSON.parse(row.stats_json) as T | null) ?? undefined) // ours
  }

  async #change<T>(id: string, next: (before: T | undefined) => T): Promise<void> {
    const { store, now } = this.#deps
    const nowMs = now()
    await store.write(async (trx) => {
      await trx
        .insertInto('runtime_stat')
        .values({ id, stats_json: 'null', updated_at: nowMs })
        .onConflict((clash) => clash.doNothing())
        .execute()
      let query = trx.selectFrom('runtime_stat').select('stats_json').where('id', '=', id)
      // Whoever else changes it now waits for this row.
      if (store.engine === 'postgres') query = query.forUpdate()
      const row = await query.executeTakeFirstOrThrow()
      const before = (JSON.parse(row.stats_json) as T | null) ?? undefined
      await trx
        .updateTable('runtime_stat')
        .set({ stats_json: JSON.stringify(next(before)), updated_at: nowMs })
        .where('id', '=', id)
        .execute()
    })
  }
}

const REPORT = 'agent-report:'
const EVENTS = 'agent-events:'

function reportId(agentId: string): string {
  return `${REPORT}${agentId}`
}

function eventsId(agentId: string): string {
  return `${EVENTS}${agentId}`
}
