import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { openStore, type Store, type StoreOptions } from './store.ts'
import { postgresOffer, postgresUrl } from './test-store.ts'

const code = (value: string) => expect.objectContaining({ code: value })

const add = (store: Store, digest: string) =>
  store.write((trx) =>
    trx.insertInto('policy_set').values({ digest, json: '{}', created_at: 1 }).execute(),
  )

async function digests(store: Store): Promise<string[]> {
  const rows = await store.db.selectFrom('policy_set').select('digest').orderBy('digest').execute()
  return rows.map(({ digest }) => digest)
}

const title = 'skip' in postgresOffer ? `PostgreSQL (${postgresOffer.skip})` : 'PostgreSQL'

describe.skipIf('skip' in postgresOffer)(title, () => {
  test('a node hears what another changed, and its own changes once', async () => {
    const { a, b } = await twoNodes()
    await using _a = a
    await using _b = b
    const heard: [string, readonly string[]][] = []
    a.onChange((tables) => heard.push(['a', tables]))
    b.onChange((tables) => heard.push(['b', tables]))
    await a.change((trx) => trx.deleteFrom('policy').execute())
    await until(() => heard.length >= 2)
    await sleep(50)
    // Each once; the other node may well be the first to hear.
    expect([...heard].sort()).toEqual([
      ['a', ['policy']],
      ['b', ['policy']],
    ])
    expect(await b.generation()).toBe(1)
  })

  test('what a write tells is heard on every node, and not when it is undone', async () => {
    const { a, b } = await twoNodes()
    await using _a = a
    await using _b = b
    const heard: (readonly string[])[] = []
    b.onChange((tables) => heard.push(tables))
    const options = { tell: ['execution'] } as const
    const undone = a.write(async () => {
      throw new Error('no')
    }, options)
    await expect(undone).rejects.toThrow('no')
    await a.write((trx) => trx.deleteFrom('execution').execute(), options)
    await until(() => heard.length >= 1)
    await sleep(50)
    expect(heard).toEqual([['execution']])
    expect(await b.generation()).toBe(0)
  })

  test('changes of two nodes at once raise one generation, each by one', async () => {
    const { a, b } = await twoNodes()
    await using _a = a
    await using _b = b
    const changes = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        (n % 2 === 0 ? a : b).change((trx) =>
          trx
            .insertInto('policy_set')
            .values({ digest: `${n}`, json: '{}', created_at: 1 })
            .execute(),
        ),
      ),
    )
    const generations = changes.map(({ generation }) => generation).sort((x, y) => x - y)
    expect(generations).toEqual(Array.from({ length: 20 }, (_, n) => n + 1))
  })

  test('a node whose listening connection was lost counts everything as changed once it is back', async () => {
    const { a, b } = await twoNodes({ warn: () => {} })
    await using _a = a
    await using _b = b
    const heard: (readonly string[])[] = []
    a.onChange((tables) => heard.push(tables))
    await terminate(b, `query like 'listen %'`)
    await until(() => heard.length >= 1)
    expect(heard[0]).toContain('credential')
    await b.change((trx) => trx.deleteFrom('policy').execute())
    await until(() => heard.length >= 2)
    expect(heard.at(-1)).toEqual(['policy'])
  })

  test('a connection lost inside a write fails that write and no other, and the process lives', async () => {
    await using store = await openStore(await newDatabase(), { warn: () => {} })
    await using other = await openStore(await newDatabase(), { warn: () => {} })
    const write = store.write(async (trx) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(trx)
      await trx
        .insertInto('policy_set')
        .values({ digest: 'a', json: '{}', created_at: 1 })
        .execute()
      await other.write((admin) => sql`select pg_terminate_backend(${rows[0]?.pid})`.execute(admin))
      await sleep(50) // the socket closes while no statement runs
      await trx
        .insertInto('policy_set')
        .values({ digest: 'b', json: '{}', created_at: 1 })
        .execute()
    })
    await expect(write).rejects.toEqual(code('STORE_UNAVAILABLE'))
    await add(store, 'c')
    expect(await digests(store)).toEqual(['c'])
  })

  test('idle connections that the server closed are replaced', async () => {
    const { a: store, b: other } = await twoNodes({ warn: () => {} })
    await using _store = store
    await using _other = other
    await add(store, 'a')
    await digests(store)
    await terminate(other, 'true')
    await sleep(50)
    await add(store, 'b')
    expect(await digests(store)).toEqual(['a', 'b'])
  })

  test('while the server is away every call is STORE_UNAVAILABLE, and works when it is back', async () => {
    const gate = await startGate(await newDatabase())
    await using store = await openStore(gate.url, { warn: () => {}, connectTimeoutMs: 1_000 })
    await add(store, 'a')
    const heard: unknown[] = []
    store.onChange((tables) => heard.push(tables))
    gate.shut()
    await expect(add(store, 'b')).rejects.toEqual(code('STORE_UNAVAILABLE'))
    await expect(digests(store)).rejects.toEqual(code('STORE_UNAVAILABLE'))
    await expect(store.generation()).rejects.toEqual(code('STORE_UNAVAILABLE'))
    const read = store.pointRead('meta', ['key'], ['value'])
    await expect(read('generation')).rejects.toEqual(code('STORE_UNAVAILABLE'))
    gate.open()
    await until(() => heard.length >= 1)
    await add(store, 'c')
    expect(await digests(store)).toEqual(['a', 'c'])
    gate.shut()
  })

  test('a server that accepts and then says nothing is given up within the time limit', async () => {
    const silent = createServer(() => {})
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const address = silent.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const started = performance.now()
    const opening = openStore(`postgres://u:hidden@127.0.0.1:${port}/d`, { connectTimeoutMs: 300 })
    await expect(opening).rejects.toEqual(
      expect.objectContaining({
        code: 'STORE_UNAVAILABLE',
        message: expect.not.stringContaining('hidden'),
      }),
    )
    expect(performance.now() - started).toBeLessThan(3_000)
    silent.close()
  })

  test('a wrong password and a missing database are STORE_UNAVAILABLE with a hint', async () => {
    for (const wrong of ['password', 'pathname'] as const) {
      const url = new URL(await newDatabase())
      url[wrong] = 'nonsense'
      await expect(openStore(url.href)).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
        hint: expect.stringContaining('password'),
      })
    }
  })

  test('an error of a statement carries none of its parameters', async () => {
    await using store = await openStore(await newDatabase())
    const error: unknown = await add(store, 'needle')
      .then(() => add(store, 'needle'))
      .catch((reason) => reason)
    expect(inspect(error, { showHidden: true, depth: 9 })).not.toContain('needle')
  })

  test('more reads than connections wait their turn', async () => {
    await using store = await openStore(await newDatabase(), { poolSize: 2 })
    const rows = await Promise.all(Array.from({ length: 50 }, () => store.generation()))
    expect(rows).toEqual(Array(50).fill(0))
  })
})

async function newDatabase(): Promise<string> {
  const url = await postgresUrl()
  if (url === undefined) throw new Error('PostgreSQL is not available')
  return url
}

async function twoNodes(options: StoreOptions = {}): Promise<{ a: Store; b: Store }> {
  const url = await newDatabase()
  const [a, b] = await Promise.all([openStore(url, options), openStore(url, options)])
  return { a, b }
}

async function terminate(store: Store, condition: string): Promise<void> {
  await store.write((trx) =>
    sql`select pg_terminate_backend(pid) from pg_stat_activity
        where pid <> pg_backend_pid() and datname = current_database() and ${sql.raw(condition)}`.execute(
      trx,
    ),
  )
}

async function until(condition: () => boolean, limitMs = 5_000): Promise<void> {
  const deadline = performance.now() + limitMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('Did not happen in time')
    await sleep(5)
  }
}

/** A door in front of a database: shut, it drops every connection and refuses new ones. */
async function startGate(url: string): Promise<{ url: string; shut(): void; open(): void }> {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => to.destroy()).on('close', () => to.destroy())
      from.pipe(to)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const front = new URL(url)
  front.port = String(port)
  return {
    url: front.href,
    shut() {
      server.close()
      for (const socket of sockets) socket.destroy()
      sockets.clear()
    },
    open: () => void server.listen(port, '127.0.0.1'),
  }
}
