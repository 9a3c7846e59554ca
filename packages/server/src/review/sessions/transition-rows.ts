/** Steps of reviews as rows. */
import type { Kysely } from 'kysely'
import type { Tables } from '../../store/schema.ts'
import type { Status } from './machine.ts'
import type { Transition } from './transition-chain.ts'

export async function insertTransitions(
  trx: Kysely<Tables>,
  transitions: readonly Transition[],
): Promise<void> {
  const rows = transitions.map((transition) => ({
    review_id: transition.reviewId,
    seq: transition.seq,
    at: transition.atMs,
    from_status: transition.from,
    to_status: transition.to,
    actor: transition.actor,
    detail_json: JSON.stringify(transition.detail),
    prev_hash: transition.prevHash,
    hash: transition.hash,
  }))
  await trx.insertInto('review_transition').values(rows).execute()
}

/** Oldest first, whatever stands there: the chain tells whether it is what was written. */
export async function readTransitions(db: Kysely<Tables>, reviewId: string): Promise<Transition[]> {
  const rows = await db
    .selectFrom('review_transition')
    .selectAll()
    .where('review_id', '=', reviewId)
    .orderBy('seq')
    .execute()
  return rows.map(openTransition)
}

function openTransition(row: Tables['review_transition']): Transition {
  return {
    seq: row.seq,
    atMs: row.at,
    reviewId: row.review_id,
    from: row.from_status as Status | '',
    to: row.to_status as Status,
    actor: row.actor,
    detail: detailOf(row.detail_json),
    prevHash: row.prev_hash,
    hash: row.hash,
  }
}

function detailOf(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? { ...value } : { altered: true }
  } catch {
    return { altered: true }
  }
}
