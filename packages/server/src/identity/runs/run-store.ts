/**
 * Runs on disk, with a bounded memory of what was read. A change is known to every node at once; should that
 * news be lost, no node trusts its memory for longer than a second.
 */
import { VestryError } from '@vestry/contract/errors'
import type { PointRead } from '../../store/engine.ts'
import { RecentMap } from '../../store/recent-map.ts'
import type { Store } from '../../store/store.ts'
import type { Changed, RowGuard } from '../row-guard.ts'
import type { Run } from './run.ts'
import { LONGEST_TOKEN_MS } from './run-keys.ts'
import { openRun, RUN_COLUMNS, type RunRead, sealRun } from './run-row.ts'

export interface RunStoreDeps {
  readonly store: Store
  readonly guard: RowGuard
  /** Epoch ms. */
  readonly now: () => number
}

const REMEMBERED = 4_096
const FRESH_MS = 1_000
/** An ended run stays listed this long. */
export const KEPT_AFTER_END_MS = 7 * 86_400_000
const BATCH = 200

interface Entry {
  readonly run: Run | undefined
  readonly readAtMs: number
}

export class RunStore implements Disposable {
  readonly #deps: RunStoreDeps
  readonly #read: PointRead<RunRead>
  readonly #known = new RecentMap<string, Entry>(REMEMBERED)
  readonly #unsubscribe: () => void
  /** Raised with each invalidation, so that a read begun before it does not fill the memory after it. */
  #epoch = 0

  constructor(deps: RunStoreDeps) {
    this.#deps = deps
    this.#read = deps.store.pointRead('run', ['id'], RUN_COLUMNS)
    this.#unsubscribe = deps.store.onChange((tables) => {
      if (tables.includes('run')) this.drop()
    })
  }

  /**
   * @throws VestryError `CONFLICT` when the id was used before, or when identities of another agent's run with the
   *   same SPIFFE ID may still be alive: they would pass for this one's.
   */
  async add(run: Run): Promise<Changed<Run>> {
    const { store, guard, now } = this.#deps
    const changed = await store.change(async (trx) => {
      const used = await trx
        .selectFrom('run')
        .select('id')
        .where('id', '=', run.id)
        .executeTakeFirst()
      if (used !== undefined) throw idTaken(run.id)
      const foreign = await trx
        .selectFrom('run')
        .select('id')
        .where('spiffe_id', '=', run.spiffeId)
        .where('agent_id', '!=', run.agentId)
        .where((is) =>
          is(is.fn.coalesce('closed_at', 'expires_at'), '>', now() - LONGEST_TOKEN_MS.svid),
        )
        .executeTakeFirst()
      if (foreign !== undefined) {
        throw new VestryError(
          'CONFLICT',
          'A run of another agent has this spiffe_id, or just had it',
          {
            hint: 'Choose another spiffe_id, or wait until its identities have expired: about an hour',
          },
        )
      }
      const done = await trx
        .insertInto('run')
        .values({ ...sealRun(run, guard), replacements: 0 })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      if (done.numInsertedOrUpdatedRows !== 1n) throw idTaken(run.id)
      return run
    })
    this.drop()
    return changed
  }

  /** Ended ones are found too. Answers at once while it remembers. @throws VestryError `STORE_CORRUPT` */
  byId(id: string): Run | undefined | Promise<Run | undefined> {
    const known = this.#known.get(id)
    const nowMs = this.#deps.now()
    if (known !== undefined && Math.abs(nowMs - known.readAtMs) < FRESH_MS) return known.run
    const epoch = this.#epoch
    const keep = (row: RunRead | undefined): Run | undefined => {
      const run = row && openRun(row, this.#deps.guard)
      if (epoch === this.#epoch) this.#known.set(id, { run, readAtMs: nowMs })
      return run
    }
    const found = this.#read(id)
    return found instanceof Promise ? found.then(keep) : keep(found)
  }

  /** Open by their rows, newest first; who asks compares their ends with the clock. */
  async openOf(spiffeId: string, limit: number): Promise<Run[]> {
    const rows = await this.#deps.store.db
      .selectFrom('run')
      .select(RUN_COLUMNS)
      .where('spiffe_id', '=', spiffeId)
      .where('state', '=', 'open')
      .where('expires_at', '>', this.#deps.now())
      .orderBy('created_at', 'desc')
      .limit(limit)
      .execute()
    return rows.map((row) => openRun(row, this.#deps.guard))
  }

  /** Of the runs that one node serves; their rows are not checked, so a missing one is asked for by its id. */
  async openIds(node: string): Promise<string[]> {
    const rows = await this.#deps.store.db
      .selectFrom('run')
      .select('id')
      .where('node', '=', node)
      .where('state', '=', 'open')
      .execute()
    return rows.map(({ id }) => id)
  }

  /** Open, and not past their ends. */
  async countOpen(): Promise<number> {
    const { count } = await this.#deps.store.db
      .selectFrom('run')
      .select((is) => is.fn.countAll().as('count'))
      .where('state', '=', 'open')
      .where('expires_at', '>', this.#deps.now())
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  /** Newest first. */
  async list(
    wanted: { limit?: number; agentId?: string; node?: string; live?: boolean } = {},
  ): Promise<Run[]> {
    const { limit, agentId, node, live } = wanted
    let query = this.#deps.store.db
      .selectFrom('run')
      .select(RUN_COLUMNS)
      .orderBy('created_at', 'desc')
      .orderBy('id')
    if (limit !== undefined) query = query.limit(limit)
    if (agentId !== undefined) query = query.where('agent_id', '=', agentId)
    if (node !== undefined) query = query.where('node', '=', node)
    if (live === true) query = query.where('expires_at', '>', this.#deps.now())
    return (await query.execute()).map((row) => openRun(row, this.#deps.guard))
  }

  /**
   * For good. Once more changes nothing: the first time stands.
   * @throws VestryError `NOT_FOUND`
   */
  async close(id: string): Promise<Changed<Run>> {
    const { store, guard, now } = this.#deps
    const changed = await store.change(async (trx) => {
      const row = await trx
        .selectFrom('run')
        .select(RUN_COLUMNS)
        .where('id', '=', id)
        .executeTakeFirst()
      if (row === undefined)
        throw new VestryError('NOT_FOUND', 'There is no such run', {
          hint: 'See "vestry run list"',
        })
      const run = openRun(row, guard)
      if (run.state === 'closed') return run
      const closed: Run = { ...run, state: 'closed', closedAt: now() }
      const { state, closed_at, mac } = sealRun(closed, guard)
      await trx.updateTable('run').set({ state, closed_at, mac }).where('id', '=', id).execute()
      return closed
    })
    this.drop()
    return changed
  }

  /** Every run that is open by its row. @returns how many that were. */
  async closeAll(): Promise<number> {
    const { store, guard, now } = this.#deps
    const isLive = store.db.selectFrom('run').select('id').where('state', '=', 'open').limit(1)
    if ((await isLive.executeTakeFirst()) === undefined) return 0
    const { value } = await store.change(async (trx) => {
      const rows = await trx
        .selectFrom('run')
        .select(RUN_COLUMNS)
        .where('state', '=', 'open')
        .execute()
      for (const row of rows) {
        const closed: Run = { ...openRun(row, guard), state: 'closed', closedAt: now() }
        const { state, closed_at, mac } = sealRun(closed, guard)
        await trx
          .updateTable('run')
          .set({ state, closed_at, mac })
          .where('id', '=', row.id)
          .execute()
      }
      return rows.length
    })
    this.drop()
    return value
  }

  /**
   * Counts one more token made from another; how often is no part of the signed row.
   * @throws VestryError `INVALID_GRANT` when there have been `max` of them.
   */
  async countReplacement(id: string, max: number): Promise<void> {
    const done = await this.#deps.store.write((trx) =>
      trx
        .updateTable('run')
        .set((is) => ({ replacements: is('replacements', '+', 1) }))
        .where('id', '=', id)
        .where('replacements', '<', max)
        .executeTakeFirst(),
    )
    if (done.numUpdatedRows !== 1n)
      throw new VestryError('INVALID_GRANT', `A run replaces its tokens at most ${max} times`)
  }

  /** Forgets what ended a week ago. @returns how many rows that were. */
  async prune(): Promise<number> {
    const { store, now } = this.#deps
    const beforeMs = now() - KEPT_AFTER_END_MS
    const old = await store.db
      .selectFrom('run')
      .select('id')
      .where('expires_at', '<', beforeMs)
      .limit(BATCH)
      .execute()
    if (old.length === 0) return 0
    const ids = old.map(({ id }) => id)
    await store.change((trx) => trx.deleteFrom('run').where('id', 'in', ids).execute())
    return ids.length
  }

  /** Empties the memory, as sealing demands. */
  drop(): void {
    this.#epoch += 1
    this.#known.clear()
  }

  [Symbol.dispose](): void {
    this.#unsubscribe()
    this.drop()
  }
}

function idTaken(id: string): VestryError {
  return new VestryError('CONFLICT', `A run is or was registered as "${id}"`, {
    hint: 'Choose another run_id, or leave it out.',
  })
}
