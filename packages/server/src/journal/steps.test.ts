import { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import { eachStore } from '../store/test-store.ts'
import type { Held } from './held.ts'
import type { Steps } from './step.ts'
import { openSteps } from './steps.ts'
import { bytes, queued, TestClock, testJournal, testKeys, until } from './test-journal.ts'

const code = (value: string) => expect.objectContaining({ code: value })
const once = { key: 'pay', kind: 'http', repeatable: false }
const again = { key: 'sum', kind: 'transform', repeatable: true }

eachStore('steps of an execution', (at) => {
  const keyring = testKeys(3)
  const keys = () => keyring

  /** Runs `body` as each run of the execution does; a run that returns `die` is as good as killed. */
  async function runs(
    clock: TestClock,
    ...bodies: ((steps: Steps, held: Held) => Promise<unknown>)[]
  ) {
    const results: unknown[] = []
    for (const body of bodies) {
      const journal = testJournal({ store: at.store, now: clock.now })
      await journal.recover()
      let over = false
      journal.register('gateway', {
        concurrency: 1,
        async run(held) {
          const steps = await openSteps({ store: at.store, keys, now: clock.now }, held)
          results.push(await body(steps, held).catch((error: unknown) => error))
          over = true
          await new Promise(() => undefined)
        },
      })
      if (results.length === 0)
        await journal.reserve(queued({ id: 'exe', repeatable: true, input: bytes('x') }))
      journal.start()
      await until(() => over)
      // As a dead process leaves it: still its owner's, until its lease is over.
      clock.ms += 60_000
    }
    return results
  }

  test('runtime §5.2: what was finished is not done again, and its result is what it was', async () => {
    let done = 0
    const body = async (steps: Steps) => {
      const value = await steps.run(once, async () => ({ n: ++done }))
      await steps.flush()
      return value
    }
    expect(await runs(new TestClock(), body, body)).toEqual([{ n: 1 }, { n: 1 }])
    expect(done).toBe(1)
  })

  test('runtime §5.2: one that was begun before a crash is unknown, unless it may be repeated', async () => {
    let begun = 0
    const dies = (plan: typeof once) => async (steps: Steps) => {
      void steps.run(plan, async () => {
        begun += 1
        await new Promise(() => undefined)
      })
      await until(() => begun > 0)
    }
    const [, told] = await runs(new TestClock(), dies(once), (steps) =>
      steps.run(once, async () => 'again'),
    )
    expect(told).toEqual(code('OUTCOME_UNKNOWN'))
  })

  test('one that may be repeated is', async () => {
    let begun = 0
    const clock = new TestClock()
    const [, told] = await runs(
      clock,
      async (steps) => {
        void steps.run(again, async () => {
          begun += 1
          await new Promise(() => undefined)
        })
        await until(() => begun > 0)
      },
      (steps) => steps.run(again, async (attempt) => attempt),
    )
    expect(told).toBe(1)
  })

  test('what a step that cannot be repeated rests on is on disk before it begins', async () => {
    const [, found] = await runs(
      new TestClock(),
      async (steps) => {
        await steps.run(again, async () => 'seen')
        void steps.run(once, () => new Promise(() => undefined))
        await until(async () => {
          const rows = await at.store.db.selectFrom('execution_step').select('state').execute()
          return rows.length === 2
        })
      },
      async (steps) => [
        await steps.run(again, async () => 'other'),
        steps.list().map(({ key, state }) => [key, state]),
      ],
    )
    expect(found).toEqual([
      'seen',
      expect.arrayContaining([
        ['sum', 'done'],
        ['pay', 'sent'],
      ]),
    ])
  })

  test('one that failed throws the same again until it is begun anew', async () => {
    const clock = new TestClock()
    const fails = async (): Promise<never> => {
      throw new VestryError('UPSTREAM_ERROR', 'the shop is closed')
    }
    const [, second] = await runs(
      clock,
      (steps) => steps.run(once, fails),
      async (steps) => {
        const told = await steps.run(once, async () => 'no').catch((error: unknown) => error)
        await steps.retry('pay', clock.now())
        return [told, await steps.run(once, async (attempt) => attempt)]
      },
    )
    expect(second).toEqual([
      expect.objectContaining({ code: 'UPSTREAM_ERROR', message: 'the shop is closed' }),
      2,
    ])
  })

  test('nothing is written by who no longer holds the execution', async () => {
    const clock = new TestClock()
    let early: Steps | undefined
    const [, , late] = await runs(
      clock,
      async (steps) => {
        early = steps
      },
      async () => undefined,
      async () => early?.run(once, async () => 'late'),
    )
    expect(late).toEqual(code('CONFLICT'))
  })

  test('one that is too large fails, and nothing of it is in clear', async () => {
    const clock = new TestClock()
    const [told] = await runs(clock, async (steps) => {
      await steps.run(again, async () => 'plain words')
      await steps.flush()
      return steps.run(once, async () => 'x'.repeat(4 * 1024 * 1024))
    })
    expect(told).toEqual(code('RESPONSE_TOO_LARGE'))
    const rows = await at.store.db.selectFrom('execution_step').selectAll().execute()
    expect(rows).toHaveLength(2)
    expect(
      JSON.stringify(rows.map(({ output }) => Buffer.from(output ?? []).toString('latin1'))),
    ).not.toContain('plain words')
  })
})
