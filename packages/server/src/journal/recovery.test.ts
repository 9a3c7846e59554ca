import { expect, test } from 'vitest'
import { eachStore } from '../store/test-store.ts'
import type { NewExecution } from './execution.ts'
import { claim, end, markSent } from './execution-writes.ts'
import { giveUp } from './interruption.ts'
import { bytes, held, inline, queued, TestClock, testJournal, until } from './test-journal.ts'

const code = (value: string) => expect.objectContaining({ code: value })
const LEASE_MS = 30_000

eachStore('recovery', (at) => {
  /** Reserves on a journal that is then left alone, as a killed process leaves its rows. */
  async function abandon(execution: NewExecution, sent: boolean, clock: TestClock) {
    const dead = testJournal({ store: at.store, now: clock.now })
    if (execution.mode === 'inline') {
      const run = held(await dead.reserve(execution))
      if (sent) await run.sent()
    } else {
      let begun = false
      dead.register(execution.kind, {
        concurrency: 1,
        async run(run) {
          if (sent) await run.sent()
          begun = true
          await new Promise(() => undefined)
        },
      })
      dead.start()
      await dead.reserve(execution)
      await until(() => begun)
    }
  }

  test.for<[NewExecution['mode'], boolean, boolean, object]>([
    ['queued', false, false, { state: 'reserved', owned: false }],
    ['queued', false, true, { state: 'reserved', owned: false }],
    ['queued', true, true, { state: 'reserved', owned: false }],
    ['queued', true, false, { state: 'unknown', errorCode: 'OUTCOME_UNKNOWN' }],
    ['inline', false, false, { state: 'failed', reached: false }],
    ['inline', false, true, { state: 'failed', reached: false }],
    ['inline', true, true, { state: 'failed', reached: true }],
    ['inline', true, false, { state: 'unknown', errorCode: 'OUTCOME_UNKNOWN' }],
  ])('a dead %s one, sent %s, repeatable %s', async ([mode, sent, repeatable, expected]) => {
    const clock = new TestClock()
    await abandon(inline({ id: 'left', mode, repeatable, key: 'k' }), sent, clock)
    await using journal = testJournal({ store: at.store, now: clock.now })
    if (at.engine === 'postgres') {
      clock.ms += LEASE_MS - 1
      expect(await journal.recover()).toBe(0)
      clock.ms += 1
    }
    expect(await journal.recover()).toBe(1)
    expect(await journal.get('left')).toMatchObject(expected)
    expect(await journal.recover()).toBe(0)
    // What a retry of the same request meets.
    const retry = await journal.reserve(inline({ key: 'k', mode, repeatable }))
    const runsAgain = mode === 'inline' && (!sent || repeatable)
    expect(retry.state).toBe(runsAgain ? 'held' : 'known')
  })

  test('what this journal holds itself is not dead', async () => {
    const clock = new TestClock()
    await using journal = testJournal({ store: at.store, now: clock.now })
    const run = held(await journal.reserve(inline()))
    expect(await journal.recover()).toBe(0)
    await run.finish(bytes('x'))
    expect(await journal.get(run.id)).toMatchObject({ state: 'done' })
  })

  test('who lost the run can neither send nor end what somebody else runs by now', async () => {
    const clock = new TestClock()
    const late = testJournal({ store: at.store, now: clock.now })
    const unsent = held(await late.reserve(inline({ key: 'unsent' })))
    const sent = held(await late.reserve(inline({ key: 'sent', repeatable: true, sent: true })))
    clock.ms += LEASE_MS
    await using journal = testJournal({ store: at.store, now: clock.now })
    expect(await journal.recover()).toBe(2)
    const again = [
      held(await journal.reserve(inline({ key: 'unsent' }))),
      held(await journal.reserve(inline({ key: 'sent', repeatable: true }))),
    ]
    await expect(unsent.sent()).rejects.toEqual(code('CONFLICT'))
    expect(unsent.signal.aborted).toBe(true)
    await expect(sent.finish(bytes('late'))).rejects.toEqual(code('CONFLICT'))
    for (const run of again) await run.finish(bytes('x'))
    for (const run of again) expect(await journal.get(run.id)).toMatchObject({ state: 'done' })
    await late[Symbol.asyncDispose]()
  })

  test('a second run of the same queued execution is guarded against the first one', async () => {
    const clock = new TestClock()
    const runs: (() => Promise<void>)[] = []
    const one = testJournal({ store: at.store, now: clock.now, owner: 'same', pollMs: 5 })
    one.register('gateway', {
      concurrency: 2,
      async run(run) {
        runs.push(() => run.finish(bytes(`attempt ${run.attempt}`)))
        await new Promise(() => undefined)
      },
    })
    one.start()
    const { execution } = await one.reserve(queued())
    await until(() => runs.length === 1)
    clock.ms += LEASE_MS
    await using other = testJournal({ store: at.store, now: clock.now })
    expect(await other.recover()).toBe(1)
    await until(() => runs.length === 2)
    await expect(runs[0]?.()).rejects.toEqual(code('CONFLICT'))
    await runs[1]?.()
    expect(await one.get(execution.id)).toMatchObject({ state: 'done', attempts: 2 })
    await one[Symbol.asyncDispose]()
  })

  test('the store tells the attempts of one owner apart', async () => {
    const clock = new TestClock()
    const lease = { owner: 'same', untilMs: clock.ms + LEASE_MS }
    const { execution } = await testJournal({ store: at.store, now: clock.now }).reserve(queued())
    await claim(at.store, 'gateway', 1, lease, clock.ms)
    await giveUp(at.store, 'same', [execution.id], clock.ms)
    await claim(at.store, 'gateway', 1, lease, clock.ms)
    const run = { id: execution.id, owner: 'same' }
    expect(await markSent(at.store, { ...run, attempt: 1 })).toBe(false)
    expect(await end(at.store, { ...run, attempt: 1 }, { state: 'done' }, null, clock.ms)).toBe(
      false,
    )
    expect(await markSent(at.store, { ...run, attempt: 2 })).toBe(true)
    expect(await end(at.store, { ...run, attempt: 2 }, { state: 'done' }, null, clock.ms)).toBe(
      true,
    )
  })

  test('a heartbeat keeps what is held, and aborts what was taken away', async () => {
    const clock = new TestClock()
    await using journal = testJournal({ store: at.store, now: clock.now, leaseMs: 30 })
    const run = held(await journal.reserve(inline()))
    const until0 = await ownerUntil(run.id)
    clock.ms += 20
    await until(async () => (await ownerUntil(run.id)) === clock.ms + 30)
    expect(clock.ms + 30).toBeGreaterThan(until0)
    await at.store.write((trx) => trx.updateTable('execution').set({ owner: 'thief' }).execute())
    await until(() => run.signal.aborted)
    await expect(run.finish(bytes(''))).rejects.toEqual(code('CONFLICT'))
  })

  async function ownerUntil(id: string): Promise<number> {
    const row = await at.store.db
      .selectFrom('execution')
      .select('owner_until')
      .where('id', '=', id)
      .executeTakeFirstOrThrow()
    return row.owner_until ?? 0
  }

  test('an end that the store did not take is stored once the store is back', async () => {
    let away = false
    const store = {
      ...at.store,
      write: (async (fn, options) => {
        if (away) throw Object.assign(new Error('away'), { code: 'STORE_UNAVAILABLE' })
        return at.store.write(fn, options)
      }) as typeof at.store.write,
    }
    await using journal = testJournal({ store, pollMs: 5 })
    const run = held(await journal.reserve(inline({ sent: true })))
    away = true
    await expect(run.finish(bytes('answer'))).rejects.toThrow('away')
    await expect(run.fail({ code: 'TIMEOUT', reached: true })).rejects.toEqual(code('CONFLICT'))
    await new Promise((resolve) => setTimeout(resolve, 30))
    away = false
    await until(async () => (await journal.get(run.id))?.state === 'done')
  })

  if (at.engine !== 'postgres') return

  test('a living node finds a dead one by itself', async () => {
    await abandonNow()
    await using journal = testJournal({ store: await at.open(), leaseMs: 60 })
    const done: string[] = []
    journal.register('gateway', {
      concurrency: 1,
      async run(run) {
        done.push(run.id)
        await run.finish(bytes(''))
      },
    })
    journal.start()
    await until(() => done.length === 1)
    expect(done).toEqual(['left'])
  })

  async function abandonNow(): Promise<void> {
    const clock = new TestClock()
    clock.ms = Date.now() - LEASE_MS
    await abandon(queued({ id: 'left' }), false, clock)
  }
})
