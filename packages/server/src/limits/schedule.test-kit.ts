/**
 * Random schedules of callers on two nodes who hold, settle, give back, crash and race on a few budgets, checked against
 * the one number that counts: what is spent and held of each budget never passes its limit, and never falls short.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Store } from '../store/store.ts'
import { type BudgetLimit, budgetUse } from './budget.ts'
import { Limits, type Reservation } from './limits.ts'

const HOLD_MS = 1_000
const STEPS = 5

interface Key {
  readonly name: string
  readonly limit: number
  /** Spent and held together, as it should be. */
  used: number
}

interface Open {
  readonly reservation: Reservation
  readonly limits: readonly BudgetLimit[]
}

export interface ScheduleResult {
  readonly admitted: number
  readonly refused: number
}

/**
 * @param stores Two nodes, or the same one twice.
 * @param seed The same seed is the same schedule; its keys are its own.
 * @throws Error that names the seed, when anything is admitted that should not be, or the other way round.
 */
export async function runSchedule(
  stores: readonly [Store, Store],
  seed: number,
): Promise<ScheduleResult> {
  const random = mulberry32(seed)
  const upTo = (max: number) => Math.floor(random() * (max + 1))
  const clock = { ms: 1_000_000 }
  const keys: Key[] = Array.from({ length: 1 + upTo(2) }, (_, n) => ({
    name: `s${seed}:${n}`,
    limit: 5 + upTo(20),
    used: 0,
  }))
  const nodes = stores.map(
    // Clocks of two machines are never quite the same.
    (store, n) => new Limits({ store, now: () => clock.ms + n * 7, monotonic: () => clock.ms }),
  )
  const count = { admitted: 0, refused: 0 }
  const open: Open[] = []
  const wish = (): BudgetLimit[] =>
    keys
      .filter((_, n) => n === 0 || random() < 0.7)
      .map(({ name, limit }) => ({
        kind: 'budget',
        key: name,
        scope: name,
        limit,
        amount: upTo(12),
        holdMs: HOLD_MS,
      }))
  const keyOf = (name: string) => keys.find((key) => key.name === name) ?? fail('no such key')
  const fits = (limits: readonly BudgetLimit[]) =>
    limits.every(({ key, amount, limit }) => keyOf(key).used + amount <= limit)
  const fail = (what: string): never => {
    throw new Error(`schedule ${seed}: ${what}`)
  }
  const ask = async (limits: readonly BudgetLimit[]): Promise<boolean> => {
    const node = nodes[upTo(1)] ?? fail('no node')
    let reservation: Reservation
    try {
      reservation = await node.reserve(limits)
    } catch (error) {
      if (!(error instanceof VestryError) || error.code !== 'RATE_LIMITED') throw error
      count.refused += 1
      return false
    }
    count.admitted += 1
    for (const { key, amount } of limits) keyOf(key).used += amount
    open.push({ reservation, limits })
    return true
  }

  for (let step = 0; step < STEPS; step += 1) {
    const dice = random()
    const one =
      open.length === 0 || dice < 0.45 ? undefined : open.splice(upTo(open.length - 1), 1)[0]
    if (one === undefined && dice < 0.12) {
      // A race: in whatever order they come, no one is left out who would still fit afterwards.
      const wishes = [wish(), wish(), wish()]
      const outcomes = await Promise.all(wishes.map(ask))
      for (const [n, wanted] of wishes.entries())
        if (outcomes[n] === false && fits(wanted)) fail('a caller was refused who fits')
    } else if (one === undefined) {
      const wanted = wish()
      const expected = fits(wanted)
      if ((await ask(wanted)) !== expected) fail(`admitted ${!expected}, expected ${expected}`)
    } else if (dice < 0.7) {
      const actual: Record<string, number> = {}
      for (const { key, amount } of one.limits) {
        if (random() < 0.2) continue // settled at what was held
        actual[key] = upTo(amount)
        keyOf(key).used += (actual[key] ?? 0) - amount
      }
      await one.reservation.commit(actual)
    } else if (dice < 0.85) {
      for (const { key, amount } of one.limits) keyOf(key).used -= amount
      await one.reservation.release()
      await one.reservation.release()
    }
    // Else it crashed: nobody will ever settle it.
    if (random() < 0.3) clock.ms += upTo(2 * HOLD_MS)
    for (const { name, limit, used } of keys) if (used > limit) fail(`${name} is over its limit`)
  }
  if (seed % 4 === 0) await checkRows(stores[0], keys, fail)
  return count
}

/** What the store says in the end, before and after every hold has run out. */
async function checkRows(store: Store, keys: readonly Key[], fail: (what: string) => never) {
  const later = new Limits({ store, now: () => Number.MAX_SAFE_INTEGER, monotonic: () => 0 })
  for (const { name, used } of keys) {
    const now = await budgetUse(store.db, name)
    if (now.reserved + now.spent !== used) fail(`${name} has ${JSON.stringify(now)}, not ${used}`)
    const limit: BudgetLimit = { kind: 'budget', key: name, scope: name, limit: used, amount: 0 }
    await (await later.reserve([limit])).release()
    const end = await budgetUse(store.db, name)
    if (end.reserved !== 0 || end.spent !== used) fail(`${name} ends with ${JSON.stringify(end)}`)
  }
}

/** A small, fast and good enough source of numbers in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
