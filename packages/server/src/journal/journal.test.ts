import { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import { eachStore } from '../store/test-store.ts'
import type { Execution } from './execution.ts'
import type { Journal } from './journal.ts'
import {
  bytes,
  held,
  inline,
  queued,
  TestClock,
  testJournal,
  testKeys,
  text,
} from './test-journal.ts'

const code = (value: string) => expect.objectContaining({ code: value })

eachStore('the journal', (at) => {
  test('an inline execution goes from reserved over sent to done, and its answer is kept', async () => {
    const clock = new TestClock()
    await using journal = testJournal({ store: at.store, now: clock.now })
    const run = held(await journal.reserve(inline({ key: 'k', fingerprint: 'f' })))
    expect(await journal.get(run.id)).toMatchObject({ state: 'reserved', owned: true, attempts: 1 })
    await run.sent()
    expect(await journal.get(run.id)).toMatchObject({ state: 'sent', owned: true })
    clock.ms += 10
    await run.finish(bytes('answer'))
    const done = await journal.find('gateway', 'k')
    expect(done).toEqual({
      id: run.id,
      kind: 'gateway',
      key: 'k',
      fingerprint: 'f',
      agentId: 'agent-1',
      subject: 'gmail_send:send',
      mode: 'inline',
      repeatable: false,
      state: 'done',
      owned: false,
      reached: false,
      errorCode: undefined,
      attempts: 1,
      createdAtMs: clock.ms - 10,
      startedAtMs: clock.ms - 10,
      finishedAtMs: clock.ms,
      expiresAtMs: clock.ms + 60_000,
    } satisfies Execution)
    expect(text(await journal.output(run.id))).toBe('answer')
  })

  test('one commit may say both reserved and sent', async () => {
    await using journal = testJournal({ store: at.store })
    const run = held(await journal.reserve(inline({ sent: true })))
    expect(await journal.get(run.id)).toMatchObject({ state: 'sent' })
    await run.sent()
    await run.finish(bytes(''))
    expect(await journal.get(run.id)).toMatchObject({ state: 'done' })
  })

  test('gateway §19.22: of many reservations of one key at once, by two processes, one is new', async () => {
    await using a = testJournal({ store: at.store })
    await using b = testJournal({ store: await at.open() })
    const reserved = await Promise.all(
      Array.from({ length: 24 }, (_, n) => (n % 2 === 0 ? a : b).reserve(inline({ key: 'one' }))),
    )
    const fresh = reserved.filter(({ state }) => state === 'held')
    expect(fresh).toHaveLength(1)
    expect(new Set(reserved.map(({ execution }) => execution.id)).size).toBe(1)
  })

  test('the same key in another kind, and no key at all, are other executions', async () => {
    await using journal = testJournal({ store: at.store })
    const all = [inline({ key: 'k' }), inline({ key: 'k', kind: 'runtime' }), inline(), inline()]
    for (const one of all) held(await journal.reserve(one))
    expect(await journal.list({ kind: 'gateway', limit: 10 })).toHaveLength(3)
  })

  test('a finished execution keeps its key until it is forgotten', async () => {
    const clock = new TestClock()
    await using journal = testJournal({ store: at.store, now: clock.now })
    const first = held(await journal.reserve(inline({ key: 'k', retainMs: 1_000 })))
    await first.finish(bytes('x'))
    clock.ms += 999
    expect(await journal.reserve(inline({ key: 'k' }))).toMatchObject({
      state: 'known',
      execution: { id: first.id, state: 'done' },
    })
    clock.ms += 1
    expect(await journal.find('gateway', 'k')).toBeUndefined()
    expect(await journal.get(first.id)).toBeUndefined()
    expect(await journal.output(first.id)).toBeUndefined()
    const second = held(await journal.reserve(inline({ key: 'k' })))
    expect(second.id).not.toBe(first.id)
    expect(await journal.prune()).toBe(1)
    expect(await journal.find('gateway', 'k')).toMatchObject({ id: second.id })
  })

  test.for([
    { reached: false, repeatable: false, same: true, next: 'held' },
    { reached: false, repeatable: true, same: true, next: 'held' },
    { reached: true, repeatable: true, same: true, next: 'held' },
    { reached: true, repeatable: false, same: true, next: 'known' },
    { reached: false, repeatable: true, same: false, next: 'known' },
  ])(
    'a failed one, reached $reached, repeatable $repeatable, same request $same: the next is $next',
    async (row) => {
      await using journal = testJournal({ store: at.store })
      const { repeatable, reached } = row
      const first = held(await journal.reserve(inline({ key: 'k', fingerprint: 'f', repeatable })))
      await first.fail({ code: 'UPSTREAM_FAILED', reached, output: bytes('why') })
      const fingerprint = row.same ? 'f' : 'g'
      const second = await journal.reserve(inline({ key: 'k', fingerprint, repeatable }))
      expect(second.state).toBe(row.next)
      const owner = row.next === 'held' ? second.execution.id : first.id
      expect(await journal.find('gateway', 'k')).toMatchObject({ id: owner })
      // Whoever asked for the first one still finds how it ended.
      expect(await journal.get(first.id)).toMatchObject({
        state: 'failed',
        reached,
        errorCode: 'UPSTREAM_FAILED',
      })
      expect(text(await journal.output(first.id))).toBe('why')
    },
  )

  test('what is running keeps its key, whatever it may become', async () => {
    await using journal = testJournal({ store: at.store })
    const first = held(await journal.reserve(inline({ key: 'k', repeatable: true })))
    const again = await journal.reserve(inline({ key: 'k', repeatable: true }))
    expect(again).toMatchObject({ state: 'known', execution: { id: first.id, owned: true } })
  })

  test('a run ends once', async () => {
    await using journal = testJournal({ store: at.store })
    const run = held(await journal.reserve(inline()))
    await run.finish(bytes('x'))
    await expect(run.finish(bytes('y'))).rejects.toEqual(code('CONFLICT'))
    await expect(run.fail({ code: 'TIMEOUT', reached: true })).rejects.toEqual(code('CONFLICT'))
    await expect(run.sent()).rejects.toEqual(code('CONFLICT'))
    expect(text(await journal.output(run.id))).toBe('x')
  })

  test('what its holder forgets to end is failed, and counts as reached once it was sent', async () => {
    await using journal = testJournal({ store: at.store })
    const ids: string[] = []
    for (const sent of [false, true]) {
      await using run = held(await journal.reserve(inline()))
      if (sent) await run.sent()
      ids.push(run.id)
    }
    const ended = await Promise.all(ids.map((id) => journal.get(id)))
    expect(ended.map((one) => one?.reached)).toEqual([false, true])
    expect(ended.map((one) => one?.errorCode)).toEqual(['INTERNAL_ERROR', 'INTERNAL_ERROR'])
  })

  test('inputs and outputs are sealed in the store, bound to their execution and place', async () => {
    const keyring = testKeys()
    await using journal = testJournal({ store: at.store, keys: () => keyring })
    const other = await journal.reserve(queued({ input: bytes('needle other') }))
    const run = held(await journal.reserve(inline({ input: bytes('needle in'), key: 'k' })))
    expect(text(await run.input())).toBe('needle in')
    const dump = async () =>
      (await at.store.db.selectFrom('execution').selectAll().execute())
        .map((row) =>
          Object.values(row)
            .map((value) =>
              value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value),
            )
            .join(),
        )
        .join()
    expect(await dump()).not.toContain('needle')
    // Another execution's input does not open in this one's place.
    await at.store.write(async (trx) => {
      const { input } = await trx
        .selectFrom('execution')
        .select('input')
        .where('id', '=', other.execution.id)
        .executeTakeFirstOrThrow()
      await trx.updateTable('execution').set({ input }).where('id', '=', run.id).execute()
    })
    await expect(run.input()).rejects.toEqual(code('SEAL_BROKEN'))
    await run.finish(bytes('needle out'))
    expect(await dump()).not.toContain('needle')
    const row = await at.store.db
      .selectFrom('execution')
      .select(['input', 'output'])
      .where('id', '=', run.id)
      .executeTakeFirstOrThrow()
    expect(row.input).toBeNull()
    await at.store.write((trx) =>
      trx
        .updateTable('execution')
        .set({ output: new Uint8Array(200) })
        .where('id', '=', run.id)
        .execute(),
    )
    await expect(journal.output(run.id)).rejects.toEqual(code('SEAL_BROKEN'))
  })

  test('32 MiB go in and out, one byte more is refused', async () => {
    await using journal = testJournal({ store: at.store })
    const most = new Uint8Array(32 * 1024 * 1024).fill(7)
    const run = held(await journal.reserve(inline({ input: most })))
    expect(Buffer.compare((await run.input()) ?? new Uint8Array(), most)).toBe(0)
    await run.finish(most)
    expect(Buffer.compare((await journal.output(run.id)) ?? new Uint8Array(), most)).toBe(0)
    const more = new Uint8Array(most.length + 1)
    await expect(journal.reserve(inline({ input: more }))).rejects.toEqual(
      code('REQUEST_TOO_LARGE'),
    )
    const late = held(await journal.reserve(inline({ sent: true })))
    await expect(late.finish(more)).rejects.toEqual(code('RESPONSE_TOO_LARGE'))
    // It happened, and what it answered is lost: it must never look as if it had not happened.
    expect(await journal.get(late.id)).toMatchObject({
      state: 'unknown',
      errorCode: 'OUTCOME_UNKNOWN',
    })
  })

  test('a vault sealed before the end leaves no result: unknown, or repeatable again', async () => {
    const keyring = testKeys()
    let locked = false
    const keys = () => {
      if (locked) throw new VestryError('VAULT_LOCKED')
      return keyring
    }
    await using journal = testJournal({ store: at.store, keys })
    const once = held(await journal.reserve(inline({ sent: true })))
    const often = held(await journal.reserve(inline({ sent: true, repeatable: true })))
    const failing = held(await journal.reserve(inline()))
    locked = true
    await expect(once.finish(bytes('x'))).rejects.toEqual(code('VAULT_LOCKED'))
    await expect(often.finish(bytes('x'))).rejects.toEqual(code('VAULT_LOCKED'))
    await failing.fail({ code: 'TIMEOUT', reached: false, output: bytes('x') })
    expect(await journal.get(once.id)).toMatchObject({ state: 'unknown' })
    expect(await journal.get(often.id)).toMatchObject({ state: 'failed', reached: true })
    expect(await journal.get(failing.id)).toMatchObject({ state: 'failed', errorCode: 'TIMEOUT' })
    await expect(journal.reserve(inline({ input: bytes('x') }))).rejects.toEqual(
      code('VAULT_LOCKED'),
    )
  })

  test('lists are newest first, by state and by agent', async () => {
    const clock = new TestClock()
    await using journal = testJournal({ store: at.store, now: clock.now })
    const ids: string[] = []
    for (let n = 0; n < 4; n += 1) {
      clock.ms += 1
      const run = held(await journal.reserve(inline({ agentId: `agent-${n % 2}` })))
      if (n < 2) await run.finish(bytes(''))
      ids.unshift(run.id)
    }
    const listed = async (filter: Partial<Parameters<Journal['list']>[0]>) =>
      (await journal.list({ kind: 'gateway', limit: 10, ...filter })).map(({ id }) => id)
    expect(await listed({})).toEqual(ids)
    expect(await listed({ limit: 2 })).toEqual(ids.slice(0, 2))
    expect(await listed({ state: 'done' })).toEqual(ids.slice(2))
    expect(await listed({ agentId: 'agent-1' })).toEqual([ids[0], ids[2]])
    expect(await listed({ kind: 'runtime' })).toEqual([])
  })

  test('counts tell what waits, what has begun and what is on its way out', async () => {
    await using journal = testJournal({ store: at.store })
    await journal.reserve(queued())
    await journal.reserve(queued())
    await journal.reserve(inline())
    await journal.reserve(inline({ sent: true }))
    await held(await journal.reserve(inline())).finish(bytes(''))
    expect(await journal.counts('gateway')).toEqual({ queued: 2, reserved: 1, sent: 1 })
    expect(await journal.counts('runtime')).toEqual({ queued: 0, reserved: 0, sent: 0 })
  })

  test('pruning goes through any number of rows and leaves what is open', async () => {
    const clock = new TestClock()
    await using journal = testJournal({ store: at.store, now: clock.now })
    const runs = await Promise.all(
      Array.from({ length: 450 }, async () => held(await journal.reserve(inline({ retainMs: 5 })))),
    )
    await Promise.all(runs.map((run) => run.finish(bytes(''))))
    const open = held(await journal.reserve(inline({ retainMs: 5 })))
    expect(await journal.prune()).toBe(0)
    clock.ms += 5
    expect(await journal.prune()).toBe(450)
    expect(await journal.get(open.id)).toMatchObject({ state: 'reserved' })
  })

  test('a key in use is found through an index', async () => {
    const plan = at.engine === 'sqlite' ? 'explain query plan' : 'explain'
    const { sql } = await import('kysely')
    const read = (query: string) =>
      sql<Record<string, string>>`${sql.raw(`${plan} ${query}`)}`.execute(at.store.db)
    if (at.engine === 'sqlite') {
      const { rows } = await read(`select id from execution where kind = 'a' and "key" = 'b'`)
      expect(JSON.stringify(rows)).toContain('execution_key')
    }
    const { rows } = await read(
      `select id from execution where kind = 'a' and state = 'reserved' and owner is null order by run_at, created_at limit 4`,
    )
    expect(JSON.stringify(rows)).not.toMatch(/SCAN execution(?! USING)/)
  })
})
