/**
 * Limits of every kind behind one question: may this request go ahead? All of its limits are charged, or none.
 * Buckets live in memory; windows and budgets in the store, in one transaction.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Kysely } from 'kysely'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { type BucketLimit, Buckets, describeBucket } from './bucket.ts'
import {
  type BudgetHold,
  type BudgetLimit,
  type BudgetRefusal,
  describeBudget,
  forgetOldBudgets,
  holdBudget,
  settleBudget,
  spendAllExpiredHolds,
} from './budget.ts'
import { rateLimited } from './refusal.ts'
import {
  chargeWindow,
  describeWindow,
  pruneWindows,
  refundWindow,
  type WindowCharge,
  type WindowLimit,
} from './window.ts'

export type Limit = BucketLimit | WindowLimit | BudgetLimit

export interface LimitsDeps {
  readonly store: Store
  /** Epoch ms: windows and budgets outlive the process. */
  readonly now: () => number
  /** Ms on a clock that never goes back, for buckets. */
  readonly monotonic: () => number
  readonly maxBuckets?: number
}

/** Holds what was charged until the work is over. Disposing releases what was not committed. */
export interface Reservation extends AsyncDisposable {
  /** What was charged to windows, for work that goes on after this reservation: see {@link Limits.refund}. */
  readonly windows: readonly WindowCharge[]
  /**
   * Keeps the charges. Windows and buckets are final already; budgets become what the work took.
   *
   * @param actual Amount per budget key; a budget that is not named is settled at the amount that was held.
   * @throws STORE_UNAVAILABLE: what was held then counts as spent once the hold expires.
   */
  commit(actual?: Readonly<Record<string, number>>): Promise<void>
  /** Gives everything back: the work did not happen. After a commit it does nothing. */
  release(): Promise<void>
}

interface Charges {
  readonly windows: readonly WindowCharge[]
  readonly holds: readonly BudgetHold[]
}

const FORGET_EVERY_MS = 3_600_000

const NO_CHARGES: Charges = { windows: [], holds: [] }

export class Limits {
  readonly #store: Store
  readonly #now: () => number
  readonly #buckets: Buckets
  #forgotMs = Number.NEGATIVE_INFINITY

  constructor({ store, now, monotonic, maxBuckets }: LimitsDeps) {
    this.#store = store
    this.#now = now
    this.#buckets = new Buckets({
      now: monotonic,
      ...(maxBuckets !== undefined && { maxKeys: maxBuckets }),
    })
  }

  /** The hot path, without a promise: one bucket. @throws VestryError RATE_LIMITED. */
  take(limit: BucketLimit): void {
    const waitMs = this.#buckets.take(limit)
    if (waitMs > 0) throw bucketRefusal(limit, waitMs)
  }

  /** All of these buckets, or none. @throws VestryError RATE_LIMITED. */
  takeAll(limits: readonly BucketLimit[]): void {
    for (const [index, limit] of limits.entries()) {
      const waitMs = this.#buckets.take(limit)
      if (waitMs === 0) continue
      this.giveBack(limits.slice(0, index))
      throw bucketRefusal(limit, waitMs)
    }
  }

  /** Undoes `take` and `takeAll` for work that did not happen. */
  giveBack(limits: readonly BucketLimit[]): void {
    for (const limit of limits) this.#buckets.giveBack(limit)
  }

  /**
   * Charges all of `limits`, or none.
   *
   * @throws VestryError RATE_LIMITED with context `{retry_after_ms, scope, limit}` of the limit that refused, and
   *   `held` where work under way only holds what is left of a budget;
   *   STORE_UNAVAILABLE, INVALID_PARAMS for an amount that is no whole number. Nothing is charged then.
   */
  async reserve(limits: readonly Limit[]): Promise<Reservation> {
    const buckets = limits.filter((limit) => limit.kind === 'bucket')
    const stored = limits.filter((limit) => limit.kind !== 'bucket')
    for (const limit of stored) assertWhole(limit)
    this.takeAll(buckets)
    if (stored.length === 0) return this.#reservation(buckets, NO_CHARGES)
    try {
      return this.#reservation(buckets, await this.#charge(stored))
    } catch (error) {
      this.giveBack(buckets)
      throw error
    }
  }

  /** Gives back what a committed reservation charged: the work it was for will not happen after all. */
  async refund(windows: readonly WindowCharge[]): Promise<void> {
    if (windows.length > 0) await this.#refund({ windows, holds: [] })
  }

  /** Removes what no longer counts. Call it now and then, once a minute is plenty. */
  async prune(): Promise<void> {
    const nowMs = this.#now()
    await this.#store.write(async (trx) => {
      await pruneWindows(trx, nowMs)
      await spendAllExpiredHolds(trx, nowMs)
      // A look at every budget there is: once an hour is plenty.
      if (nowMs - this.#forgotMs >= FORGET_EVERY_MS) await forgetOldBudgets(trx, nowMs)
    })
    if (nowMs - this.#forgotMs >= FORGET_EVERY_MS) this.#forgotMs = nowMs
  }

  /** A refusal is thrown inside the write, which undoes the charges before it. */
  #charge(limits: readonly (WindowLimit | BudgetLimit)[]): Promise<Charges> {
    return this.#write(async (trx) => {
      const nowMs = this.#now()
      const windows: WindowCharge[] = []
      const holds: BudgetHold[] = []
      for (const limit of inLockOrder(limits)) {
        if (limit.kind === 'window') {
          const charge = await chargeWindow(trx, limit, nowMs)
          if (typeof charge === 'number') throw windowRefusal(limit, charge)
          windows.push(charge)
        } else {
          const hold = await holdBudget(trx, limit, nowMs)
          if ('held' in hold) throw budgetRefusal(limit, hold)
          holds.push(hold)
        }
      }
      return { windows, holds }
    })
  }

  #reservation(buckets: readonly BucketLimit[], charges: Charges): Reservation {
    let state: 'open' | 'committed' | 'released' = 'open'
    const commit = async (actual: Readonly<Record<string, number>> = {}) => {
      if (state === 'committed') return
      if (state === 'released') {
        throw new VestryError('INTERNAL_ERROR', 'A released reservation cannot be committed')
      }
      for (const amount of Object.values(actual)) assertAmount(amount, 'an actual amount')
      state = 'committed' // even if the next line fails: the work happened, so its hold must not be released
      await this.#settle(charges.holds, (hold) => actual[hold.key] ?? hold.amount)
    }
    const release = async () => {
      if (state !== 'open') return
      state = 'released'
      this.giveBack(buckets)
      await this.#refund(charges)
    }
    return {
      windows: charges.windows,
      commit,
      release,
      // What cannot be given back stays charged; that must not hide why it should have been.
      [Symbol.asyncDispose]: () => release().catch(() => undefined),
    }
  }

  async #settle(holds: readonly BudgetHold[], actual: (hold: BudgetHold) => number): Promise<void> {
    if (holds.length === 0) return
    await this.#write(async (trx) => {
      for (const hold of holds) await settleBudget(trx, hold, actual(hold), this.#now())
    })
  }

  /**
   * What was charged outlives this process, killed or not. With SQLite only a loss of power can forget the last
   * charges, and to wait for the disk twice in every call would cost more than the rest of it. A database server
   * would forget them when it is killed itself, so there it is waited for.
   */
  #write<T>(fn: (trx: Kysely<Tables>) => Promise<T>): Promise<T> {
    return this.#store.write(fn, { synced: this.#store.engine !== 'sqlite' })
  }

  async #refund({ windows, holds }: Charges): Promise<void> {
    if (windows.length === 0 && holds.length === 0) return
    await this.#write(async (trx) => {
      for (const charge of windows) await refundWindow(trx, charge)
      for (const hold of holds) await settleBudget(trx, hold, 0, this.#now())
    })
  }
}

/** One order for everyone, so that two transactions never wait for each other's rows. */
function inLockOrder<L extends { kind: string; key: string }>(limits: readonly L[]): readonly L[] {
  const name = ({ kind, key }: L) => `${kind}:${key}`
  return [...limits].sort((a, b) => (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0))
}

function assertWhole(limit: WindowLimit | BudgetLimit): void {
  assertAmount(limit.kind === 'window' ? (limit.cost ?? 1) : limit.amount, limit.scope)
  if (limit.kind === 'budget') return
  if (Number.isSafeInteger(limit.lengthMs) && limit.lengthMs > 0) return
  throw new VestryError('INVALID_PARAMS', `The window "${limit.scope}" needs a length in whole ms`)
}

function assertAmount(amount: number, what: string): void {
  if (Number.isSafeInteger(amount) && amount >= 0) return
  throw new VestryError('INVALID_PARAMS', `Limits count whole amounts; ${what} is none`)
}

function bucketRefusal(limit: BucketLimit, retryAfterMs: number): VestryError {
  return rateLimited({ scope: limit.scope, limit: describeBucket(limit), retryAfterMs })
}

function windowRefusal(limit: WindowLimit, retryAfterMs: number): VestryError {
  return rateLimited({ scope: limit.scope, limit: describeWindow(limit), retryAfterMs })
}

function budgetRefusal(limit: BudgetLimit, { waitMs, held }: BudgetRefusal): VestryError {
  const { scope } = limit
  return rateLimited({ scope, limit: describeBudget(limit), retryAfterMs: waitMs, held })
}
