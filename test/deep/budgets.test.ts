/** A million random schedules of callers on shared budgets, on the store itself: nothing is ever over-admitted. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runSchedule } from '../../packages/server/src/limits/schedule.test-kit.ts'
import { openStore, type Store } from '../../packages/server/src/store/store.ts'
import { postgresOffer, postgresUrl } from '../../packages/server/src/store/test-store.ts'

const PARTS = 4
const PER_PART = Math.ceil(Number(process.env['BUDGET_SCHEDULES'] ?? 1_000_000) / PARTS)
/** Each writes on two nodes that lose races to each other. */
const ON_POSTGRES = 3_000
const AT_ONCE = 256

/** `count` schedules from seed `first` on. Throws at the first that is wrong, and names its seed. */
async function runAll(
  stores: readonly [Store, Store],
  first: number,
  count: number,
  atOnce: number,
) {
  let next = first
  let admitted = 0
  let refused = 0
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < first + count) {
        const result = await runSchedule(stores, next++)
        admitted += result.admitted
        refused += result.refused
      }
    }),
  )
  expect(admitted).toBeGreaterThan(count)
  expect(refused).toBeGreaterThan(count / 2)
}

describe('budgets are never over-admitted', () => {
  // What is proved is the order of things, not the disk.
  const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

  test.each(Array.from({ length: PARTS }, (_, part) => part))(
    `on SQLite, ${PER_PART} schedules, part %i`,
    async (part) => {
      const directory = mkdtempSync(join(memory, 'vestry-budgets-'))
      try {
        await using store = await openStore(`sqlite:${directory}/vestry.db`)
        await runAll([store, store], part * PER_PART, PER_PART, AT_ONCE)
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    },
  )

  const without = 'skip' in postgresOffer ? ` (skipped: ${postgresOffer.skip})` : ''
  test.skipIf('skip' in postgresOffer)(
    `on PostgreSQL, ${ON_POSTGRES} schedules on two nodes${without}`,
    async () => {
      const url = (await postgresUrl()) ?? '' // the test is skipped where there is none
      await using first = await openStore(url)
      await using second = await openStore(url)
      await runAll([first, second], 5_000_000, ON_POSTGRES, 8)
    },
  )
})
