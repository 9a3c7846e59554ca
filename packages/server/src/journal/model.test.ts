import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openStore } from '../store/store.ts'
import { sqliteUrl } from '../store/test-store.ts'
import { type ExecutionState, hasEnded } from './execution.ts'
import type { Held } from './held.ts'
import type { Journal } from './journal.ts'
import { bytes, inline, TestClock, testJournal } from './test-journal.ts'

const KEYS = ['a', 'b', 'c']
const RETAIN_MS = 100

const order: Record<ExecutionState, number> = {
  reserved: 0,
  sent: 1,
  done: 2,
  failed: 2,
  unknown: 2,
}

const step = fc.oneof(
  fc.record({
    do: fc.constant('reserve' as const),
    key: fc.constantFrom(...KEYS),
    request: fc.nat(1),
  }),
  fc.record({ do: fc.constant('sent' as const), key: fc.constantFrom(...KEYS) }),
  fc.record({ do: fc.constant('finish' as const), key: fc.constantFrom(...KEYS) }),
  fc.record({ do: fc.constant('fail' as const), key: fc.constantFrom(...KEYS) }),
  fc.record({ do: fc.constant('crash' as const) }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 150 }) }),
  fc.record({ do: fc.constant('prune' as const) }),
)

test('whatever happens in whatever order: no effect of a key that must not repeat happens twice while it is kept', async () => {
  await using store = await openStore(await sqliteUrl())
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(step, { minLength: 20, maxLength: 60 }),
      async (repeatable, steps) => {
        await store.write((trx) => trx.deleteFrom('execution').execute())
        const clock = new TestClock()
        const journals: Journal[] = []
        const boot = async () => {
          const journal = testJournal({ store, now: clock.now })
          journals.push(journal)
          await journal.recover()
          return journal
        }
        let journal = await boot()
        let runs = new Map<string, Held>()
        /** Key → when what was sent for it ended (undefined: not yet), in this life of the key. */
        const effects = new Map<string, { sent: number; endedAtMs: number | undefined }>()
        const states = new Map<string, ExecutionState>()

        for (const one of steps) {
          if (one.do === 'reserve') {
            const kept = effects.get(one.key)
            const alive = kept?.endedAtMs === undefined || clock.ms < kept.endedAtMs + RETAIN_MS
            const reserved = await journal.reserve(
              inline({
                key: one.key,
                fingerprint: `${one.request}`,
                repeatable,
                retainMs: RETAIN_MS,
              }),
            )
            if (reserved.state === 'held') {
              if (kept !== undefined && alive) {
                expect(kept.endedAtMs).toBeDefined() // nobody else runs it
                expect(repeatable || kept.sent === 0).toBe(true)
              }
              runs.set(one.key, reserved.execution)
              effects.set(one.key, { sent: 0, endedAtMs: undefined })
            } else {
              expect(reserved.state).toBe('known')
            }
          } else if (one.do === 'sent' || one.do === 'finish' || one.do === 'fail') {
            const run = runs.get(one.key)
            const kept = effects.get(one.key)
            if (run === undefined || kept === undefined) continue
            if (one.do === 'sent') {
              await run.sent()
              kept.sent = 1
              continue
            }
            if (one.do === 'finish') {
              if (kept.sent === 0) await run.sent()
              kept.sent = 1
              await run.finish(bytes(one.key))
            } else {
              await run.fail({ code: 'UPSTREAM_FAILED', reached: kept.sent > 0 })
            }
            kept.endedAtMs = clock.ms
            runs.delete(one.key)
          } else if (one.do === 'crash') {
            for (const key of runs.keys()) {
              const kept = effects.get(key)
              if (kept !== undefined) kept.endedAtMs = clock.ms
            }
            runs = new Map()
            journal = await boot()
          } else if (one.do === 'wait') {
            clock.ms += one.ms
          } else {
            await journal.prune()
          }
          for (const execution of await journal.list({ kind: 'gateway', limit: 100 })) {
            const before = states.get(execution.id) ?? 'reserved'
            // Only forward, and an end is for good.
            if (hasEnded({ state: before })) expect(execution.state).toBe(before)
            else expect(order[execution.state]).toBeGreaterThanOrEqual(order[before])
            states.set(execution.id, execution.state)
            expect(execution.owned).toBe(!hasEnded(execution))
            expect(execution.expiresAtMs !== undefined).toBe(hasEnded(execution))
          }
        }
        for (const one of journals) await one[Symbol.asyncDispose]()
      },
    ),
    { numRuns: 60 },
  )
}, 120_000)
