/**
 * Counts the data keys wrapped under one term key, over restarts and nodes, without a write per wrap: blocks
 * are reserved in the store ahead of use, so the count errs on the high side. @see wire contract §15.6
 */
import { VestryError } from '@vestry/contract/errors'
import { sql } from 'kysely'
import type { Store } from '../store/store.ts'
import { nonceBudget } from './nonce-budget.ts'

const BLOCK = 16_384

/** Reserves `count` more wraps under `term`. @returns All that were reserved so far, these included. */
export async function reserveWraps(
  store: Pick<Store, 'write'>,
  term: number,
  count: number,
): Promise<number> {
  const row = await store.write((trx) =>
    trx
      .insertInto('meta')
      .values({ key: metaKey(term), value: String(count) })
      .onConflict((conflict) =>
        conflict.column('key').doUpdateSet({
          value: sql`cast(cast(meta.value as bigint) + cast(${count} as bigint) as text)`,
        }),
      )
      .returning('value')
      .executeTakeFirstOrThrow(),
  )
  return Number(row.value)
}

/** Wraps reserved under `term` so far. */
export async function reservedWraps(store: Pick<Store, 'db'>, term: number): Promise<number> {
  const row = await store.db
    .selectFrom('meta')
    .select('value')
    .where('key', '=', metaKey(term))
    .executeTakeFirst()
  return Number(row?.value ?? 0)
}

export class WrapBudget {
  readonly #reserve: (count: number) => Promise<number>
  #total = 0
  /** Of the reserved blocks; below zero while a reservation is on its way. */
  #left = 0
  #reserving = false

  /** @param reserve Adds to the durable count and returns its new total. */
  constructor(reserve: (count: number) => Promise<number>) {
    this.#reserve = reserve
  }

  /** Called before each wrap. @throws VestryError `CONFLICT` when the term key may not be used any more. */
  spend(): void {
    if (nonceBudget(this.#total - Math.min(this.#left, 0)) === 'spent')
      throw new VestryError('CONFLICT', 'The term key has been used as often as is safe', {
        hint: 'Rotate the term key.',
      })
    this.#left -= 1
    if (this.#left < BLOCK / 2 && !this.#reserving) void this.#topUp()
  }

  async #topUp(): Promise<void> {
    this.#reserving = true
    const count = BLOCK - Math.min(this.#left, 0)
    try {
      this.#total = await this.#reserve(count)
      this.#left += count
    } catch {
      // The next wrap asks again; a store that takes no count takes no record either.
    } finally {
      this.#reserving = false
    }
  }
}

function metaKey(term: number): string {
  return `term_wraps/${term}`
}
