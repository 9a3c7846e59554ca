import { sql } from 'kysely'
import { expect, test } from 'vitest'
import type { Tables } from './schema.ts'
import type { Store } from './store.ts'
import { eachStore } from './test-store.ts'

const code = (value: string) => expect.objectContaining({ code: value })

const policySet = (digest: string): Tables['policy_set'] => ({ digest, json: '{}', created_at: 1 })

async function digests(store: Store): Promise<string[]> {
  const rows = await store.db.selectFrom('policy_set').select('digest').orderBy('digest').execute()
  return rows.map(({ digest }) => digest)
}

const add = (store: Store, digest: string) =>
  store.write((trx) => trx.insertInto('policy_set').values(policySet(digest)).execute())

eachStore('writes', (at) => {
  test('a write can be read once its promise resolved', async () => {
    await add(at.store, 'a')
    expect(await digests(at.store)).toEqual(['a'])
  })

  test('a write returns what its function returned', async () => {
    expect(await at.store.write(async () => 42)).toBe(42)
  })

  test('a reader never sees a write that is still under way', async () => {
    const seen: string[][] = []
    await at.store.write(async (trx) => {
      await trx.insertInto('policy_set').values(policySet('a')).execute()
      seen.push(await digests(at.store))
    })
    expect(seen).toEqual([[]])
  })

  test('a write that throws stores nothing and rejects with its own error', async () => {
    const cause = new Error('changed my mind')
    const write = at.store.write(async (trx) => {
      await trx.insertInto('policy_set').values(policySet('a')).execute()
      throw cause
    })
    await expect(write).rejects.toBe(cause)
    expect(await digests(at.store)).toEqual([])
  })

  test('of writes that wait together, those that throw neither undo nor fail the others', async () => {
    const names = Array.from({ length: 40 }, (_, n) => String(n).padStart(2, '0'))
    const outcomes = await Promise.allSettled(
      names.map((name, n) =>
        at.store.write(async (trx) => {
          await trx.insertInto('policy_set').values(policySet(name)).execute()
          if (n % 3 === 0) throw new Error(`no ${name}`)
          return name
        }),
      ),
    )
    const kept = names.filter((_, n) => n % 3 !== 0)
    const fulfilled = outcomes.filter((o) => o.status === 'fulfilled').map((o) => o.value)
    expect(fulfilled).toEqual(kept)
    expect(await digests(at.store)).toEqual(kept)
  })

  test('writes that do not wait for the disk come in order with those that do', async () => {
    const one = (n: number) =>
      at.store.write(
        async (trx) => {
          const { rows } = await sql<{ n: number }>`select count(*) as n from policy_set`.execute(
            trx,
          )
          const name = `${String(n).padStart(2, '0')} after ${rows[0]?.n}`
          await trx.insertInto('policy_set').values(policySet(name)).execute()
          if (n % 7 === 3) throw new Error('undone')
          return name
        },
        { synced: n % 2 === 0 },
      )
    const stored: string[] = []
    for (let n = 0; n < 20; n += 1) {
      if (n % 7 === 3) await expect(one(n)).rejects.toThrow('undone')
      else stored.push(await one(n))
      expect(await digests(at.store)).toEqual(stored)
    }
    expect(stored.at(-1)).toBe('19 after 16')
    const together = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => one(20 + n)))
    const kept = together.filter(({ status }) => status === 'fulfilled')
    expect(await digests(at.store)).toHaveLength(stored.length + kept.length)
    expect(kept).toHaveLength(17)
  })

  test('a key that is taken is a CONFLICT and fails only its own write', async () => {
    const outcomes = await Promise.allSettled(['a', 'b', 'a', 'c'].map((d) => add(at.store, d)))
    expect(outcomes.filter((o) => o.status === 'rejected').map((o) => o.reason)).toEqual([
      code('CONFLICT'),
    ])
    expect(await digests(at.store)).toEqual(['a', 'b', 'c'])
  })

  test('a statement that failed fails the write even when its code went on', async () => {
    await add(at.store, 'a')
    const write = at.store.write(async (trx) => {
      await trx.insertInto('policy_set').values(policySet('b')).execute()
      await trx
        .insertInto('policy_set')
        .values(policySet('a'))
        .execute()
        .catch(() => 'never mind')
    })
    await expect(write).rejects.toEqual(code('CONFLICT'))
    expect(await digests(at.store)).toEqual(['a'])
  })

  test('fifty read-then-write increments at once lose none', async () => {
    await at.store.write((trx) =>
      trx.insertInto('budget').values({ key: 'n', reserved: 0, spent: 0, updated_at: 0 }).execute(),
    )
    const increment = () =>
      at.store.write(async (trx) => {
        const { spent } = await trx
          .selectFrom('budget')
          .select('spent')
          .where('key', '=', 'n')
          .executeTakeFirstOrThrow()
        await trx
          .updateTable('budget')
          .set({ spent: spent + 1 })
          .where('key', '=', 'n')
          .execute()
      })
    await Promise.all(Array.from({ length: 50 }, increment))
    const row = await at.store.db.selectFrom('budget').select('spent').executeTakeFirst()
    expect(row?.spent).toBe(50)
  })

  test('a statement after its write has ended is refused', async () => {
    const late = await at.store.write(async (trx) => () => trx.deleteFrom('policy_set').execute())
    await add(at.store, 'a')
    await expect(late()).rejects.toThrow()
    expect(await digests(at.store)).toEqual(['a'])
  })

  test('a write that hangs is rolled back at its time limit and the next one runs', async () => {
    const store = await at.open({ writeTimeoutMs: 100 })
    const hung = store.write(async (trx) => {
      await trx.insertInto('policy_set').values(policySet('a')).execute()
      await new Promise(() => {})
    })
    await expect(hung).rejects.toEqual(code('STORE_UNAVAILABLE'))
    await add(store, 'b')
    expect(await digests(store)).toEqual(['b'])
  })

  test('the queue of waiting writes is bounded', async () => {
    const store = await at.open({ maxQueuedWrites: 3 })
    const outcomes = await Promise.allSettled(['a', 'b', 'c', 'd'].map((d) => add(store, d)))
    expect(outcomes[3]).toMatchObject({ status: 'rejected', reason: code('STORE_UNAVAILABLE') })
    expect(await digests(store)).toEqual(['a', 'b', 'c'])
  })

  test('reading connections refuse to write', async () => {
    await expect(
      at.store.db.insertInto('policy_set').values(policySet('a')).execute(),
    ).rejects.toThrow()
    expect(await digests(at.store)).toEqual([])
  })

  test('closing finishes the writes that were accepted and refuses the next', async () => {
    const store = await at.open()
    const accepted = ['a', 'b', 'c'].map((d) => add(store, d))
    await Promise.resolve()
    const closing = store.close()
    await Promise.all([...accepted, closing])
    await expect(add(store, 'd')).rejects.toEqual(code('STORE_UNAVAILABLE'))
    expect(await digests(at.store)).toEqual(['a', 'b', 'c'])
  })
})

eachStore('values', (at) => {
  test.each([
    ['a Date', new Date(0)],
    ['an object', { a: 1 }],
    ['an array', [1]],
    ['a boolean', true],
    ['undefined', undefined],
    ['NaN', Number.NaN],
    ['a float array', new Float64Array(1)],
    ['text with NUL', 'a\0b'],
  ])('%s is refused as a parameter, whatever its place', async (_name, value) => {
    const bind = at.store.write((trx) =>
      sql`insert into policy_set (digest, json, created_at) values (${value}, ${'{}'}, ${1})`.execute(
        trx,
      ),
    )
    await expect(bind).rejects.toThrow(TypeError)
    await expect(sql`select ${value} as x`.execute(at.store.db)).rejects.toThrow(TypeError)
    expect(await digests(at.store)).toEqual([])
  })

  test('integers come back as numbers, bytes as plain arrays, and 2^53 and more not at all', async () => {
    const record = Uint8Array.from({ length: 256 }, (_, n) => n)
    await at.store.write(async (trx) => {
      await trx
        .insertInto('keyring')
        .values({ id: 1, nonce: Buffer.from([0, 255]), ct: record, updated_at: 2 ** 53 - 1 })
        .execute()
    })
    const read = () => at.store.db.selectFrom('keyring').selectAll().executeTakeFirstOrThrow()
    const row = await read()
    expect({ ...row }).toEqual({
      id: 1,
      nonce: new Uint8Array([0, 255]),
      ct: record,
      updated_at: 2 ** 53 - 1,
    })
    expect(Object.getPrototypeOf(row.ct)).toBe(Uint8Array.prototype)

    await at.store.write((trx) =>
      sql`update keyring set updated_at = 9007199254740993`.execute(trx),
    )
    await expect(read()).rejects.toThrow(RangeError)
    expect(await at.store.generation()).toBeTypeOf('number')
  })

  test('counts and sums are numbers', async () => {
    await Promise.all(['a', 'b'].map((d) => add(at.store, d)))
    const row = await at.store.db
      .selectFrom('policy_set')
      .select(({ fn }) => [fn.countAll<number>().as('n'), fn.sum<number>('created_at').as('s')])
      .executeTakeFirst()
    expect(row).toMatchObject({ n: 2, s: 2 })
  })

  test('a fraction is refused where an integer belongs', async () => {
    await expect(
      at.store.write((trx) =>
        trx
          .insertInto('policy_set')
          .values({ ...policySet('a'), created_at: 1.5 })
          .execute(),
      ),
    ).rejects.toThrow()
  })

  test('a point read finds the row of a key, or undefined', async () => {
    const read = at.store.pointRead('policy_set', ['digest'], ['digest', 'created_at'])
    expect(await read('a')).toBeUndefined()
    await add(at.store, 'a')
    expect({ ...(await read('a')) }).toEqual({ digest: 'a', created_at: 1 })
    expect(read('a') instanceof Promise).toBe(at.engine === 'postgres')
  })
})

eachStore('changes', (at) => {
  test('each change raises the generation by one, however many run at once', async () => {
    const before = await at.store.generation()
    const changes = await Promise.all(
      Array.from({ length: 25 }, (_, n) =>
        at.store.change((trx) =>
          trx
            .insertInto('policy_set')
            .values(policySet(`${n}`))
            .execute(),
        ),
      ),
    )
    const raised = changes.map(({ generation }) => generation - before).sort((a, b) => a - b)
    expect(raised).toEqual(Array.from({ length: 25 }, (_, n) => n + 1))
    expect(await at.store.generation()).toBe(before + 25)
  })

  test('a change that throws leaves the generation alone and tells nobody', async () => {
    const before = await at.store.generation()
    const heard: unknown[] = []
    at.store.onChange((tables) => heard.push(tables))
    const change = at.store.change(async (trx) => {
      await trx.insertInto('policy_set').values(policySet('a')).execute()
      throw new Error('no')
    })
    await expect(change).rejects.toThrow('no')
    expect(await at.store.generation()).toBe(before)
    expect(heard).toEqual([])
  })

  test('a listener hears the touched tables after the commit, until it stops listening', async () => {
    const heard: (readonly string[])[] = []
    const stop = at.store.onChange((tables) => heard.push(tables))
    await at.store.change(async (trx) => {
      await trx.selectFrom('agent').selectAll().execute()
      await trx.insertInto('policy_set').values(policySet('a')).execute()
      await trx.updateTable('credential').set({ version: 1 }).execute()
      await trx.deleteFrom('policy').execute()
    })
    stop()
    await at.store.change((trx) => trx.deleteFrom('policy').execute())
    expect(heard).toEqual([['credential', 'policy', 'policy_set']])
  })

  test('a write tells what it was asked to tell once it is committed, and raises no generation', async () => {
    const heard: (readonly string[])[] = []
    const before = await at.store.generation()
    const stop = at.store.onChange((tables) => heard.push(tables))
    const options = { tell: ['execution'] } as const
    const value = await at.store.write(async (trx) => {
      await trx.deleteFrom('execution').execute()
      expect(heard).toEqual([])
      return 7
    }, options)
    expect(value).toBe(7)
    const refused = at.store.write(async () => {
      throw new Error('no')
    }, options)
    await expect(refused).rejects.toThrow('no')
    await at.store.write((trx) => trx.deleteFrom('execution').execute())
    stop()
    expect(heard).toEqual([['execution']])
    expect(await at.store.generation()).toBe(before)
  })

  test('a change through raw SQL counts as touching every table', async () => {
    const heard: (readonly string[])[] = []
    const stop = at.store.onChange((tables) => heard.push(tables))
    await at.store.change((trx) => sql`delete from policy`.execute(trx))
    stop()
    expect(heard).toEqual([expect.arrayContaining(['agent', 'credential', 'policy'])])
  })

  test('a listener that throws is reported and does not silence the next', async () => {
    const warnings: string[] = []
    const store = await at.open({ warn: (message) => warnings.push(message) })
    const heard: unknown[] = []
    store.onChange(() => {
      throw new Error('broken')
    })
    store.onChange((tables) => heard.push(tables))
    await store.change((trx) => trx.deleteFrom('policy').execute())
    expect(heard).toHaveLength(1)
    expect(warnings).toEqual(['A listener for store changes failed'])
  })
})
