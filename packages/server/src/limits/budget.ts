/**
 * Budgets in the store: an amount is held before the work and settled to what it really took afterwards. Held
 * and spent together never pass the limit. A hold that nobody settles counts as spent once it expires: the work
 * may have happened.
 */

import { randomHex } from '@vestry/contract/ids'
import type { Kysely } from 'kysely'
import type { Tables } from '../store/schema.ts'

export interface BudgetLimit {
  readonly kind: 'budget'
  /** Carries its period, such as `llm-tokens:scout:2026-11`. */
  readonly key: string
  readonly scope: string
  /** Whole number, in the budget's own unit (tokens, millionths of a dollar …). */
  readonly limit: number
  /** The most that this work can take. */
  readonly amount: number
  /** When the period ends, epoch ms; gives a refusal its waiting time. */
  readonly resetsAtMs?: number
  /** How long the work may take; 15 minutes unless told. */
  readonly holdMs?: number
}

export interface BudgetHold {
  readonly id: string
  readonly key: string
  readonly amount: number
}

export interface BudgetRefusal {
  /** Infinity when waiting does not help. */
  readonly waitMs: number
  /** It is not spent: work under way holds what is left, and may give some of it back. */
  readonly held: boolean
}

const DEFAULT_HOLD_MS = 15 * 60_000

/** Nobody knows when work under way ends; it is worth another try soon. */
const HELD_WAIT_MS = 1_000

export async function holdBudget(
  trx: Kysely<Tables>,
  limit: BudgetLimit,
  nowMs: number,
): Promise<BudgetHold | BudgetRefusal> {
  const { key, amount } = limit
  await spendExpiredHolds(trx, key, nowMs)
  const row = await trx
    .selectFrom('budget')
    .select(['reserved', 'spent'])
    .where('key', '=', key)
    .executeTakeFirst()
  const { reserved = 0, spent = 0 } = row ?? {}
  if (reserved + spent + amount > limit.limit) {
    const held = spent + amount <= limit.limit
    return { waitMs: held ? HELD_WAIT_MS : untilReset(limit, nowMs), held }
  }
  const hold = { id: `hold_${randomHex(12)}`, key, amount }
  await raise(trx, key, { reserved: amount, spent: 0 }, nowMs)
  await trx
    .insertInto('budget_hold')
    .values({ ...hold, expires_at: nowMs + (limit.holdMs ?? DEFAULT_HOLD_MS) })
    .execute()
  return hold
}

function untilReset({ resetsAtMs }: BudgetLimit, nowMs: number): number {
  return resetsAtMs === undefined ? Number.POSITIVE_INFINITY : Math.max(1, resetsAtMs - nowMs)
}

/** @param actual What the work took: 0 to give everything back; more than was held is counted in full. */
export async function settleBudget(
  trx: Kysely<Tables>,
  { id, key, amount }: BudgetHold,
  actual: number,
  nowMs: number,
): Promise<void> {
  const held = await trx
    .deleteFrom('budget_hold')
    .where('id', '=', id)
    .returning('id')
    .executeTakeFirst()
  // An expired hold was moved to `spent` in full; what remains is the difference.
  const change =
    held === undefined
      ? { reserved: 0, spent: actual - amount }
      : { reserved: -amount, spent: actual }
  await raise(trx, key, change, nowMs)
}

export async function budgetUse(
  db: Kysely<Tables>,
  key: string,
): Promise<{ reserved: number; spent: number }> {
  const row = await db
    .selectFrom('budget')
    .select(['reserved', 'spent'])
    .where('key', '=', key)
    .executeTakeFirst()
  return { reserved: row?.reserved ?? 0, spent: row?.spent ?? 0 }
}

/** For keys that nobody asks for any more. */
export async function spendAllExpiredHolds(trx: Kysely<Tables>, nowMs: number): Promise<void> {
  const keys = await trx
    .selectFrom('budget_hold')
    .select('key')
    .distinct()
    .where('expires_at', '<=', nowMs)
    .execute()
  for (const { key } of keys) await spendExpiredHolds(trx, key, nowMs)
}

/** How long a budget is kept that nobody uses: longer than a month, and than any run. */
const KEPT_MS = 100 * 86_400_000

/** Removes the budgets of periods and runs that are long over. */
export async function forgetOldBudgets(trx: Kysely<Tables>, nowMs: number): Promise<void> {
  await trx
    .deleteFrom('budget')
    .where('updated_at', '<', nowMs - KEPT_MS)
    .where('reserved', '=', 0)
    .execute()
}

export function describeBudget({ limit }: BudgetLimit): string {
  return `${limit}`
}

async function spendExpiredHolds(trx: Kysely<Tables>, key: string, nowMs: number): Promise<void> {
  const expired = await trx
    .deleteFrom('budget_hold')
    .where('key', '=', key)
    .where('expires_at', '<=', nowMs)
    .returning('amount')
    .execute()
  if (expired.length === 0) return
  const amount = expired.reduce((sum, hold) => sum + hold.amount, 0)
  await raise(trx, key, { reserved: -amount, spent: amount }, nowMs)
}

async function raise(
  trx: Kysely<Tables>,
  key: string,
  by: { reserved: number; spent: number },
  nowMs: number,
): Promise<void> {
  const updated = await trx
    .updateTable('budget')
    .set(({ eb }) => ({
      reserved: eb('reserved', '+', by.reserved),
      spent: eb('spent', '+', by.spent),
      updated_at: nowMs,
    }))
    .where('key', '=', key)
    .returning('key')
    .executeTakeFirst()
  if (updated !== undefined) return
  await trx
    .insertInto('budget')
    .values({ key, reserved: by.reserved, spent: by.spent, updated_at: nowMs })
    .execute()
}
