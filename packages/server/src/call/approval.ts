/**
 * Approvals: an operator's yes to one agent's one action with one set of parameters under one
 * policy. The digest of the parameters binds the yes to what will really run.
 */
import { createHash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { newApprovalId } from '@vestry/contract/ids'
import type { Selectable } from 'kysely'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

/** A question nobody answers lapses. */
export const PENDING_FOR_MS = 24 * 3_600_000

export interface ApprovalRequest {
  readonly agentId: string
  readonly action: string
  readonly resource: string
  readonly params: unknown
  readonly policies: readonly string[]
}

export type Approval = Selectable<Tables['approval']>

export class Approvals {
  readonly #store: Store
  readonly #now: () => number

  constructor(store: Store, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /**
   * Uses up a one-time grant, or honours a standing one, for every policy named.
   * @throws VestryError APPROVAL_REQUIRED with `context.approval_id` when one is missing; the
   *   question is then on the operators' list. ACCESS_DENIED when an operator said no.
   */
  async assertGranted(request: ApprovalRequest): Promise<void> {
    const digest = createHash('sha256').update(canonicalJson(request.params)).digest('hex')
    const nowMs = this.#now()
    const verdict = await this.#store.write(async (trx) => {
      const missing: string[] = []
      let refused: Approval | undefined
      const spend: string[] = []
      for (const policy of request.policies) {
        const known = await trx
          .selectFrom('approval')
          .selectAll()
          .where('agent_id', '=', request.agentId)
          .where('action', '=', request.action)
          .where('resource', '=', request.resource)
          .where('params_digest', '=', digest)
          .where('policy_id', '=', policy)
          .where('expires_at', '>', nowMs)
          .where('state', '!=', 'used')
          .orderBy('requested_at', 'desc')
          .executeTakeFirst()
        if (known?.state === 'allowed') {
          if (known.scope === 'once') spend.push(known.id)
        } else if (known?.state === 'denied') {
          refused = known
        } else if (known?.state === 'pending') {
          missing.push(known.id)
        } else {
          const id = newApprovalId()
          await trx
            .insertInto('approval')
            .values({
              id,
              agent_id: request.agentId,
              action: request.action,
              resource: request.resource,
              params_digest: digest,
              policy_id: policy,
              state: 'pending',
              scope: 'once',
              requested_at: nowMs,
              decided_at: null,
              decided_by: null,
              expires_at: nowMs + PENDING_FOR_MS,
            })
            .execute()
          missing.push(id)
        }
      }
      // All or nothing: a one-time yes is not spent on a call that another policy still holds back.
      if (missing.length === 0 && refused === undefined && spend.length > 0) {
        await trx.updateTable('approval').set({ state: 'used' }).where('id', 'in', spend).execute()
      }
      return { missing, refused }
    })
    if (verdict.refused !== undefined) {
      throw new VestryError('ACCESS_DENIED', 'an operator denied this action', {
        hint: 'Ask the operator, or change the request',
        context: { approval_id: verdict.refused.id, legacy_code: 'POLICY_DENIED' },
      })
    }
    const [first] = verdict.missing
    if (first === undefined) return
    throw new VestryError('APPROVAL_REQUIRED', 'an operator must allow this action first', {
      hint: `Ask an operator to run: vestry approval allow ${first}`,
      context: { approval_id: first, approval_ids: verdict.missing },
    })
  }

  list(state?: Approval['state']): Promise<Approval[]> {
    let query = this.#store.db
      .selectFrom('approval')
      .selectAll()
      .orderBy('requested_at', 'desc')
      .limit(1_000)
    if (state !== undefined) query = query.where('state', '=', state)
    return query.execute()
  }

  /** @param scope `once`, or seconds for which the same request may be repeated. */
  async decide(
    id: string,
    verdict: 'allowed' | 'denied',
    by: string,
    scope: 'once' | number = 'once',
  ): Promise<Approval> {
    const nowMs = this.#now()
    const until = scope === 'once' ? {} : { expires_at: nowMs + scope * 1000 }
    const decided = await this.#store.write((trx) =>
      trx
        .updateTable('approval')
        .set({
          state: verdict,
          scope: scope === 'once' ? 'once' : String(nowMs + scope * 1000),
          decided_at: nowMs,
          decided_by: by,
          ...until,
        })
        .where('id', '=', id)
        .where('state', '=', 'pending')
        .where('expires_at', '>', nowMs)
        .returningAll()
        .executeTakeFirst(),
    )
    if (decided !== undefined) return decided
    throw new VestryError('NOT_FOUND', `no open approval '${id}'`, {
      hint: 'It may have been decided or have lapsed; see "vestry approval list"',
    })
  }
}
