/**
 * Counting windows in the store: at most `limit` in each fixed window, or in any stretch of `lengthMs` when
 * sliding. Charged inside the transaction of the reservation, so concurrent callers never exceed it.
 */
import type { Kysely } from 'kysely'
import type { Tables } from '../store/schema.ts'

export interface WindowLimit {
  readonly kind: 'window'
  readonly key: string
  readonly scope: string
  readonly limit: number
  readonly lengthMs: number
  readonly mode: 'fixed' | 'sliding'
  /** Whole number; 1 unless told. */
  readonly cost?: number
}

/** What was charged, so that it can be given back. */
export interface WindowCharge {
  readonly key: string
  readonly windowStart: number
  readonly cost: number
}

/** Up to this limit a sliding window keeps every millisecond apart and is exact. */
const EXACT_LIMIT = 10_000
/** Above it, charges are kept in this many slots; one leaves up to a slot late, never early. */
const SLOTS = 1_000

/** @returns the charge, or the milliseconds to wait (Infinity when the cost can never fit). */
export async function chargeWindow(
  trx: Kysely<Tables>,
  limit: WindowLimit,
  nowMs: number,
): Promise<WindowCharge | number> {
  const cost = limit.cost ?? 1
  if (cost > limit.limit) return Number.POSITIVE_INFINITY
  const slotMs = slotLength(limit)
  const charge = { key: storedKey(limit), windowStart: slotStart(limit, slotMs, nowMs), cost }
  const oldest = firstCounted(limit, charge.windowStart, slotMs, nowMs)
  const excess = (await used(trx, charge.key, oldest)) + cost - limit.limit
  if (excess > 0) {
    const leaving = await slotThatFrees(trx, charge.key, oldest, excess)
    return Math.max(1, lastMoment(limit, leaving ?? charge.windowStart, slotMs) - nowMs)
  }
  await add(trx, charge, lastMoment(limit, charge.windowStart, slotMs))
  return charge
}

/** Undoes a charge, unless its window is already gone. */
export async function refundWindow(trx: Kysely<Tables>, charge: WindowCharge): Promise<void> {
  await trx
    .updateTable('limit_window')
    .set(({ eb }) => ({ used: eb('used', '-', charge.cost) }))
    .where('key', '=', charge.key)
    .where('window_start', '=', charge.windowStart)
    .where('used', '>=', charge.cost)
    .execute()
}

export async function pruneWindows(trx: Kysely<Tables>, nowMs: number): Promise<void> {
  await trx.deleteFrom('limit_window').where('expires_at', '<=', nowMs).execute()
}

export function describeWindow({ limit, lengthMs, mode }: WindowLimit): string {
  return `${limit}/${lengthMs / 1000}s ${mode}`
}

const WEEK_MS = 7 * 86_400_000
/** 1970 began on a Thursday. */
const FIRST_SUNDAY_MS = 3 * 86_400_000

/** Slots are aligned to UTC, so that a day is a calendar day; fixed weeks begin on Sunday. */
function slotStart({ mode, lengthMs }: WindowLimit, slotMs: number, nowMs: number): number {
  const isWeeks = mode === 'fixed' && lengthMs % WEEK_MS === 0
  const origin = isWeeks ? FIRST_SUNDAY_MS - WEEK_MS : 0
  return nowMs - ((nowMs - origin) % slotMs)
}

function slotLength({ mode, limit, lengthMs }: WindowLimit): number {
  if (mode === 'fixed') return lengthMs
  return limit <= EXACT_LIMIT ? 1 : Math.max(1, Math.ceil(lengthMs / SLOTS))
}

/** Start of the first slot that still counts: one whose last millisecond lies inside the window. */
function firstCounted(
  { mode, lengthMs }: WindowLimit,
  windowStart: number,
  slotMs: number,
  nowMs: number,
): number {
  return mode === 'fixed' ? windowStart : nowMs - lengthMs - slotMs + 2
}

/** The first millisecond at which a slot no longer counts. */
function lastMoment({ mode, lengthMs }: WindowLimit, windowStart: number, slotMs: number): number {
  return mode === 'fixed' ? windowStart + lengthMs : windowStart + slotMs - 1 + lengthMs
}

/** Length and mode are part of the key: a limit that was changed starts afresh instead of reading other slots. */
function storedKey({ mode, lengthMs, key }: WindowLimit): string {
  return `${mode}:${lengthMs}:${key}`
}

/** Slots of the future count as well: another node's clock may be ahead. */
async function used(trx: Kysely<Tables>, key: string, oldest: number): Promise<number> {
  const row = await trx
    .selectFrom('limit_window')
    .select(({ fn }) => fn.sum<number | null>('used').as('used'))
    .where('key', '=', key)
    .where('window_start', '>=', oldest)
    .executeTakeFirst()
  return row?.used ?? 0
}

/** The slot whose leaving makes room for `excess`. */
async function slotThatFrees(
  trx: Kysely<Tables>,
  key: string,
  oldest: number,
  excess: number,
): Promise<number | undefined> {
  const rows = await trx
    .selectFrom('limit_window')
    .select(['window_start', 'used'])
    .where('key', '=', key)
    .where('window_start', '>=', oldest)
    .where('used', '>', 0)
    .orderBy('window_start')
    .limit(excess) // each row frees one at least
    .execute()
  let freed = 0
  for (const row of rows) {
    freed += row.used
    if (freed >= excess) return row.window_start
  }
  return undefined
}

async function add(trx: Kysely<Tables>, charge: WindowCharge, expiresAt: number): Promise<void> {
  await trx
    .insertInto('limit_window')
    .values({
      key: charge.key,
      window_start: charge.windowStart,
      used: charge.cost,
      expires_at: expiresAt,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['key', 'window_start'])
        .doUpdateSet(({ eb }) => ({ used: eb('limit_window.used', '+', charge.cost) })),
    )
    .execute()
}
