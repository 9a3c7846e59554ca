/** Reviews on disk. No rules here: `machine.ts` says which step may follow, this file remembers each of them. */
import { VestryError } from '@vestry/contract/errors'
import type { Kysely } from 'kysely'
import type { Changed, RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import { indexText } from '../index-text.ts'
import type { Status } from './machine.ts'
import { authorKey, openSession, type Session, sealSession } from './session.ts'
import { chainProblem, type Transition } from './transition-chain.ts'
import { insertTransitions, readTransitions } from './transition-rows.ts'
import { begin, type Move, type Moved, type NewSession, walk } from './walk.ts'

export interface SessionStoreDeps {
  readonly store: Pick<Store, 'db' | 'change'>
  readonly guard: RowGuard
  /** Epoch ms. */
  readonly now: () => number
}

export interface ListFilter {
  readonly status?: Status | undefined
  /** Of the submitter, in any case, or of the provider. */
  readonly author?: string | undefined
  /** An agent that sees only what its own key submitted. */
  readonly owner?: string | undefined
}

/** Open reviews that wait for their analysis; the next submission is refused. */
const MAX_PENDING = 10_000
/** Of an id that is nobody's. */
const MAX_TOLD_CHARS = 64
/** Reviews of one definition that are looked at to find an open one. */
const MAX_SAME = 32

export class SessionStore {
  readonly #deps: SessionStoreDeps

  constructor(deps: SessionStoreDeps) {
    this.#deps = deps
  }

  /**
   * @param unless Where this is so of a review of the same definition, that one is the answer and none is added.
   * @throws VestryError QUEUE_FULL
   */
  add(
    input: NewSession,
    unless?: (other: Session) => boolean,
  ): Promise<Changed<Moved & { readonly added: boolean }>> {
    const { store, guard, now } = this.#deps
    return store.change(async (trx) => {
      if (unless !== undefined) {
        const same = await sameDefinition(trx, input.schemaHash, guard)
        const other = same.find(unless)
        if (other !== undefined) return { session: other, transitions: [], added: false }
      }
      await assertRoom(trx)
      const made = begin(input, now())
      await trx.insertInto('review').values(sealSession(made.session, guard)).execute()
      await insertTransitions(trx, made.transitions)
      return { ...made, added: true }
    })
  }

  /**
   * One or more steps together, all or none.
   *
   * @param moves Is shown the review as it is now; may run again after a lost race. None: nothing is changed.
   * @throws VestryError REVIEW_NOT_FOUND, INVALID_STATE_TRANSITION, and what `moves` throws.
   */
  change(
    id: string,
    moves: (session: Session, trx: Kysely<Tables>) => readonly Move[] | Promise<readonly Move[]>,
  ): Promise<Changed<Moved>> {
    const { store, guard, now } = this.#deps
    return store.change(async (trx) => {
      const row = await trx.selectFrom('review').selectAll().where('id', '=', id).executeTakeFirst()
      if (row === undefined) throw notFound(id)
      const before = openSession(row, guard)
      const taken = walk(before, await moves(before, trx), now())
      if (taken.transitions.length === 0) return taken
      const { numUpdatedRows } = await trx
        .updateTable('review')
        .set(sealSession(taken.session, guard))
        .where('id', '=', id)
        .where('version', '=', before.version)
        .executeTakeFirst()
      // Changes come one after another; were it otherwise, the first to write would still be the only one.
      if (numUpdatedRows !== 1n)
        throw new VestryError('CONFLICT', `Review ${id} was changed by somebody else meanwhile`)
      await insertTransitions(trx, taken.transitions)
      return taken
    })
  }

  /** @throws VestryError REVIEW_NOT_FOUND, also for one that is not `owner`'s. */
  async get(id: string, owner?: string): Promise<Session> {
    const { store, guard } = this.#deps
    const row = await store.db
      .selectFrom('review')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst()
    if (row === undefined || (owner !== undefined && row.owner !== owner)) throw notFound(id)
    return openSession(row, guard)
  }

  /** Newest first. */
  async list(
    filter: ListFilter,
    { page, limit }: { page: number; limit: number },
  ): Promise<{ sessions: readonly Session[]; total: number }> {
    const { db } = this.#deps.store
    const { status, author, owner } = filter
    let found = db.selectFrom('review')
    if (status !== undefined) found = found.where('status', '=', status)
    if (owner !== undefined) found = found.where('owner', '=', owner)
    if (author !== undefined) {
      found = found.where((is) =>
        is.or([
          is('submitted_by_key', '=', authorKey(author)),
          is('provider_name', '=', indexText(author)),
        ]),
      )
    }
    const { total } = await found
      .select((of) => of.fn.countAll<number>().as('total'))
      .executeTakeFirstOrThrow()
    const rows = await found
      .selectAll()
      .orderBy('submitted_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit)
      .offset((page - 1) * limit)
      .execute()
    return { sessions: this.#open(rows), total: Number(total) }
  }

  /** Those in these states that should be looked at first: by priority, then age. */
  async inOrder(statuses: readonly Status[], limit: number): Promise<readonly Session[]> {
    const rows = await this.#deps.store.db
      .selectFrom('review')
      .selectAll()
      .where('status', 'in', statuses)
      .orderBy('priority')
      .orderBy('submitted_at')
      .orderBy('id')
      .limit(limit)
      .execute()
    return this.#open(rows)
  }

  /** Approved or signed before, of this name and provider; newest first. */
  async earlier(
    of: Pick<Session, 'id' | 'toolName' | 'providerName'>,
    limit: number,
  ): Promise<readonly Session[]> {
    const rows = await this.#deps.store.db
      .selectFrom('review')
      .selectAll()
      .where('provider_name', '=', indexText(of.providerName))
      .where('tool_name', '=', indexText(of.toolName))
      .where('status', 'in', ['approved', 'signed'])
      .where('id', '!=', of.id)
      .orderBy('decided_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit)
      .execute()
    return this.#open(rows)
  }

  /** Names of tools that somebody approved. */
  async approvedNames(limit: number): Promise<{ name: string; provider: string }[]> {
    return this.#deps.store.db
      .selectFrom('review')
      .select(['tool_name as name', 'provider_name as provider'])
      .distinct()
      .where('status', 'in', ['approved', 'signed'])
      .limit(limit)
      .execute()
  }

  /** Of those that wait for a person, the one that waits longest. */
  async oldestWaiting(): Promise<readonly Session[]> {
    const rows = await this.#deps.store.db
      .selectFrom('review')
      .selectAll()
      .where('status', 'in', ['pending_review', 'under_review'])
      .orderBy('analysed_at')
      .limit(1)
      .execute()
    return this.#open(rows)
  }

  async counts(): Promise<Readonly<Partial<Record<Status, number>>>> {
    const rows = await this.#deps.store.db
      .selectFrom('review')
      .select(['status', (of) => of.fn.countAll<number>().as('count')])
      .groupBy('status')
      .execute()
    return Object.fromEntries(rows.map(({ status, count }) => [status, Number(count)]))
  }

  /** How long the last reviews waited for a person, in ms. */
  async recentWaits(limit: number): Promise<readonly number[]> {
    const rows = await this.#deps.store.db
      .selectFrom('review')
      .select(['analysed_at', 'decided_at'])
      .where('decided_at', 'is not', null)
      .orderBy('decided_at', 'desc')
      .limit(limit)
      .execute()
    return rows.flatMap(({ analysed_at: from, decided_at: to }) =>
      from === null || to === null ? [] : [Math.max(0, to - from)],
    )
  }

  /** Oldest first, and what is wrong with the chain, if anything is. */
  async transitions(
    session: Pick<Session, 'id' | 'chain'>,
  ): Promise<{ transitions: readonly Transition[]; problem: string | undefined }> {
    const transitions = await readTransitions(this.#deps.store.db, session.id)
    return { transitions, problem: chainProblem(transitions, session.chain) }
  }

  #open(rows: readonly Tables['review'][]): Session[] {
    return rows.map((row) => openSession(row, this.#deps.guard))
  }
}

async function sameDefinition(
  trx: Kysely<Tables>,
  schemaHash: string,
  guard: RowGuard,
): Promise<Session[]> {
  const rows = await trx
    .selectFrom('review')
    .selectAll()
    .where('schema_hash', '=', schemaHash)
    .orderBy('submitted_at', 'desc')
    .orderBy('id', 'desc')
    .limit(MAX_SAME)
    .execute()
  return rows.map((row) => openSession(row, guard))
}

async function assertRoom(trx: Kysely<Tables>): Promise<void> {
  const { waiting } = await trx
    .selectFrom('review')
    .select((of) => of.fn.countAll<number>().as('waiting'))
    .where('status', '=', 'pending_analysis')
    .executeTakeFirstOrThrow()
  if (Number(waiting) < MAX_PENDING) return
  throw new VestryError('QUEUE_FULL', `${waiting} tools wait for their analysis`, {
    hint: 'Submit again later',
  })
}

export function notFound(id: string): VestryError {
  return new VestryError('REVIEW_NOT_FOUND', `Review ${id.slice(0, MAX_TOLD_CHARS)} does not exist`)
}
