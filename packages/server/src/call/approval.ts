/**
 * Approvals: an operator's yes to one agent's one action with one set of parameters under one
 * policy. The digest of the parameters binds the yes to what will really run.
 */
import { createHash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { newApprovalId } from '@vestry/contract/ids'
import type { Kysely, Selectable } from 'kysely'
import type { RowGuard } from '../identity/row-guard.ts'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

/** A question nobody answers lapses. */
export const PENDING_FOR_MS = 24 * 3_600_000
/** Open questions of one agent; more would only bury those an operator should see. */
export const MAX_PENDING = 100
/** Answered and lapsed questions are kept this long, to be looked up. */
const KEEP_MS = 30 * 24 * 3_600_000

export interface ApprovalRequest {
  readonly agentId: string
  readonly agentName: string
  /** What the call would do, on one line, for who decides. The digest binds, this explains. */
  readonly summary: string
  /** In the agent's own words, if it gave any. */
  readonly reason: string | undefined
  readonly action: string
  readonly resource: string
  readonly params: unknown
  readonly policies: readonly string[]
}

type ApprovalRow = Selectable<Tables['approval']>
export type Approval = Omit<ApprovalRow, 'mac'>

/** A yes that was found. Disposing gives a one-time yes back, unless the action was begun. */
export interface Approved extends AsyncDisposable {
  /** The action begins: a one-time yes is spent for good. */
  commit(): void
}

interface Question extends Omit<ApprovalRequest, 'params' | 'policies'> {
  readonly digest: string
  readonly policy: string
}

interface Verdict {
  readonly missing: string[]
  readonly refused: string | undefined
  /** As they are now. */
  readonly spent: ApprovalRow[]
}

export class Approvals {
  readonly #store: Store
  readonly #guard: RowGuard
  readonly #now: () => number
  readonly #listeners = new Set<(decided: Approval) => void>()

  /** @param guard Signs each row: whoever can write the store must not be able to answer for an operator. */
  constructor(store: Store, guard: RowGuard, now: () => number) {
    this.#store = store
    this.#guard = guard
    this.#now = now
  }

  /**
   * Uses up a one-time grant, or honours a standing one, for every policy named.
   * @throws VestryError APPROVAL_REQUIRED with `context.approval_id` when one is missing; the
   *   question is then on the operators' list. ACCESS_DENIED when an operator said no, RATE_LIMITED
   *   when too many questions of this agent are open already, STORE_CORRUPT for an answer nobody here wrote.
   */
  async claim({ params, policies, ...request }: ApprovalRequest): Promise<Approved> {
    const digest = createHash('sha256').update(canonicalJson(params)).digest('hex')
    const questions = policies.map((policy) => ({ ...request, digest, policy }))
    const { missing, refused, spent } = await this.#store.write((trx) =>
      judge(trx, questions, this.#guard, this.#now()),
    )
    if (refused !== undefined) {
      throw new VestryError('ACCESS_DENIED', 'an operator denied this action', {
        hint: 'Ask the operator, or change the request',
        context: {
          action: request.action.replace(/^vault:/, ''),
          path: request.resource,
          approval_id: refused,
          reason_code: 'denied_by_operator',
          legacy_code: 'POLICY_DENIED',
        },
      })
    }
    const [first] = missing
    if (first !== undefined) {
      throw new VestryError('APPROVAL_REQUIRED', 'an operator must allow this action first', {
        hint: `Ask an operator to run: vestry approval allow ${first}`,
        context: { approval_id: first, approval_ids: missing },
      })
    }
    let begun = false
    return {
      commit: () => {
        begun = true
      },
      [Symbol.asyncDispose]: async () => {
        // What cannot be given back stays spent.
        if (!begun && spent.length > 0) await this.#giveBack(spent).catch(() => undefined)
      },
    }
  }

  /**
   * Puts a question on the operators' list that no policy asked for. Each is one of its own, however alike.
   * @param crowd Beginning of the ids of all who share the limit of one agent with this one.
   * @throws VestryError RATE_LIMITED when too many questions of this agent are open already.
   */
  async submit(
    { params, policies, ...request }: ApprovalRequest,
    crowd?: string,
  ): Promise<Approval> {
    const digest = createHash('sha256').update(canonicalJson(params)).digest('hex')
    const question = { ...request, digest, policy: policies.join() }
    const row = await this.#store.write((trx) =>
      ask(trx, question, this.#guard, this.#now(), crowd),
    )
    return openRow(row, this.#guard)
  }

  /** Those of one agent whose id begins so, the newest first. */
  async owned(agentId: string, prefix: string): Promise<Approval[]> {
    const rows = await this.#store.db
      .selectFrom('approval')
      .selectAll()
      .where('agent_id', '=', agentId)
      .where('id', 'like', `${prefix}%`)
      .orderBy('requested_at', 'desc')
      .limit(100)
      .execute()
    // An underscore stands for any character there.
    return rows.filter(({ id }) => id.startsWith(prefix)).map((row) => openRow(row, this.#guard))
  }

  /** The newest question of exactly this kind, whatever has become of it. @param digest SHA-256 of its parameters. */
  async asked(
    question: Pick<Approval, 'agent_id' | 'action' | 'resource' | 'params_digest'>,
  ): Promise<Approval | undefined> {
    const row = await this.#store.db
      .selectFrom('approval')
      .selectAll()
      .where('agent_id', '=', question.agent_id)
      .where('action', '=', question.action)
      .where('resource', '=', question.resource)
      .where('params_digest', '=', question.params_digest)
      .orderBy('requested_at', 'desc')
      .executeTakeFirst()
    return row && openRow(row, this.#guard)
  }

  /** @param fn Called with each answer given here. @returns Stops the calls. */
  onDecided(fn: (decided: Approval) => void): () => void {
    this.#listeners.add(fn)
    return () => this.#listeners.delete(fn)
  }

  async list(state?: Approval['state']): Promise<Approval[]> {
    let query = this.#store.db
      .selectFrom('approval')
      .selectAll()
      .orderBy('requested_at', 'desc')
      .limit(1_000)
    if (state !== undefined) query = query.where('state', '=', state)
    return (await query.execute()).map((row) => openRow(row, this.#guard))
  }

  /** @param scope `once`, or seconds for which the same request may be repeated. */
  async decide(
    id: string,
    verdict: 'allowed' | 'denied',
    by: string,
    scope: 'once' | number = 'once',
  ): Promise<Approval> {
    const nowMs = this.#now()
    const until = scope === 'once' ? undefined : nowMs + scope * 1000
    const decided = await this.#store.write(async (trx) => {
      const row = await trx
        .selectFrom('approval')
        .selectAll()
        .where('id', '=', id)
        .where('state', '=', 'pending')
        .where('expires_at', '>', nowMs)
        .executeTakeFirst()
      if (row === undefined) return undefined
      return amend(trx, row, this.#guard, {
        state: verdict,
        scope: until === undefined ? 'once' : String(until),
        decided_at: nowMs,
        decided_by: by,
        ...(until !== undefined && { expires_at: until }),
      })
    })
    if (decided !== undefined) {
      const approval = openRow(decided, this.#guard)
      for (const listener of this.#listeners) listener(approval)
      return approval
    }
    throw new VestryError('NOT_FOUND', `no open approval '${id}'`, {
      hint: 'It may have been decided or have lapsed; see "vestry approval list"',
    })
  }

  /** Forgets what has long been answered or has lapsed. Call it now and then. */
  async prune(): Promise<void> {
    await this.#store.write((trx) =>
      trx
        .deleteFrom('approval')
        .where('expires_at', '<', this.#now() - KEEP_MS)
        .execute(),
    )
  }

  async #giveBack(spent: readonly ApprovalRow[]): Promise<void> {
    await this.#store.write(async (trx) => {
      for (const row of spent) await amend(trx, row, this.#guard, { state: 'allowed' })
    })
  }
}

function openRow({ mac, ...row }: ApprovalRow, guard: RowGuard): Approval {
  guard.check('approval', row.id, row, mac)
  return row
}

function sealRow(row: Approval, guard: RowGuard): ApprovalRow {
  return { ...row, mac: guard.mac('approval', row.id, row) }
}

/** @throws VestryError STORE_CORRUPT; CONFLICT when the row is no longer the one that was read. */
async function amend(
  trx: Kysely<Tables>,
  row: ApprovalRow,
  guard: RowGuard,
  changes: Partial<Approval>,
): Promise<ApprovalRow> {
  const after = sealRow({ ...openRow(row, guard), ...changes }, guard)
  const done = await trx
    .updateTable('approval')
    .set(after)
    .where('id', '=', row.id)
    .where('mac', '=', row.mac)
    .executeTakeFirst()
  if (done.numUpdatedRows !== 1n)
    throw new VestryError('CONFLICT', `approval '${row.id}' was changed at the same time`)
  return after
}

async function judge(
  trx: Kysely<Tables>,
  questions: readonly Question[],
  guard: RowGuard,
  nowMs: number,
): Promise<Verdict> {
  const missing: string[] = []
  const once: ApprovalRow[] = []
  let refused: string | undefined
  for (const question of questions) {
    const known = await latest(trx, question, nowMs)
    if (known !== undefined) openRow(known, guard)
    switch (known?.state) {
      case 'allowed':
        if (known.scope === 'once') once.push(known)
        break
      case 'denied':
        refused = known.id
        break
      case 'pending':
        missing.push(known.id)
        break
      default:
        missing.push((await ask(trx, question, guard, nowMs)).id)
    }
  }
  // All or nothing: a one-time yes is not spent on a call that another policy still holds back.
  if (missing.length > 0 || refused !== undefined) return { missing, refused, spent: [] }
  const spent: ApprovalRow[] = []
  for (const row of once) spent.push(await amend(trx, row, guard, { state: 'used' }))
  return { missing, refused, spent }
}

function latest(
  trx: Kysely<Tables>,
  { agentId, action, resource, digest, policy }: Question,
  nowMs: number,
): Promise<ApprovalRow | undefined> {
  return trx
    .selectFrom('approval')
    .selectAll()
    .where('agent_id', '=', agentId)
    .where('action', '=', action)
    .where('resource', '=', resource)
    .where('params_digest', '=', digest)
    .where('policy_id', '=', policy)
    .where('expires_at', '>', nowMs)
    .where('state', '!=', 'used')
    .orderBy('requested_at', 'desc')
    .executeTakeFirst()
}

async function ask(
  trx: Kysely<Tables>,
  { agentId, agentName, summary, reason, action, resource, digest, policy }: Question,
  guard: RowGuard,
  nowMs: number,
  crowd?: string,
): Promise<ApprovalRow> {
  const open = await trx
    .selectFrom('approval')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where((is) =>
      crowd === undefined ? is('agent_id', '=', agentId) : is('agent_id', 'like', `${crowd}%`),
    )
    .where('state', '=', 'pending')
    .where('expires_at', '>', nowMs)
    .executeTakeFirstOrThrow()
  if (Number(open.count) >= MAX_PENDING) {
    throw new VestryError('RATE_LIMITED', 'too many requests wait for an operator', {
      hint: 'Wait until an operator has answered some of them',
      context: { scope: 'approvals', limit: MAX_PENDING, retry_after_ms: 60_000 },
    })
  }
  const row = sealRow(
    {
      id: newApprovalId(),
      agent_id: agentId,
      agent: agentName,
      action,
      resource,
      summary,
      reason: reason ?? null,
      params_digest: digest,
      policy_id: policy,
      state: 'pending',
      scope: 'once',
      requested_at: nowMs,
      decided_at: null,
      decided_by: null,
      expires_at: nowMs + PENDING_FOR_MS,
    },
    guard,
  )
  await trx.insertInto('approval').values(row).execute()
  return row
}
