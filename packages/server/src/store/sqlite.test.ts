import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { openStore, type Store } from './store.ts'

const code = (value: string) => expect.objectContaining({ code: value })
const mode = (path: string) => statSync(path).mode & 0o777

const add = (store: Store, digest: string) =>
  store.write((trx) =>
    trx.insertInto('policy_set').values({ digest, json: '{}', created_at: 1 }).execute(),
  )

test('vault §28.44: the store file and its companions are readable by their owner only, under any umask', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  const file = `${dir.path}/vestry.db`
  const before = process.umask(0)
  try {
    await using store = await openStore(`sqlite:${file}`)
    await add(store, 'a')
    for (const suffix of ['', '-wal', '-shm']) expect(mode(`${file}${suffix}`)).toBe(0o600)
  } finally {
    process.umask(before)
  }
})

test('a store file that others could read is closed to them when it is opened', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  const file = `${dir.path}/vestry.db`
  await (await openStore(`sqlite:${file}`)).close()
  chmodSync(file, 0o644)
  await using _store = await openStore(`sqlite:${file}`)
  expect(mode(file)).toBe(0o600)
})

test('writes survive closing and opening again', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  const url = `sqlite:${dir.path}/vestry.db`
  {
    await using store = await openStore(url)
    await add(store, 'a')
  }
  await using store = await openStore(url)
  const rows = await store.db.selectFrom('policy_set').select('digest').execute()
  expect(rows.map(({ digest }) => digest)).toEqual(['a'])
})

test('durability is what the header says: WAL, synchronous full, foreign keys', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  await using store = await openStore(`sqlite:${dir.path}/vestry.db`)
  const { rows } = await sql<{ journal_mode: string }>`pragma journal_mode`.execute(store.db)
  expect(rows[0]?.journal_mode).toBe('wal')
  const orphan = store.write((trx) =>
    trx
      .insertInto('budget_hold')
      .values({ id: 'h', key: 'nobody', amount: 1, expires_at: 1 })
      .execute(),
  )
  await expect(orphan).rejects.toThrow(/FOREIGN KEY/)
})

test('writes of one tick share one commit', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  await using store = await openStore(`sqlite:${dir.path}/vestry.db`)
  const walBytes = () => statSync(`${dir.path}/vestry.db-wal`).size
  await add(store, 'first')
  const start = walBytes()
  await add(store, 'alone')
  const single = walBytes() - start
  await Promise.all(Array.from({ length: 100 }, (_, n) => add(store, `many-${n}`)))
  // One commit writes each changed page once; a hundred commits would write a hundred times as much.
  expect(walBytes() - start - single).toBeLessThan(single * 20)
})

test('writes run strictly one after another, in the order they were asked for', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  await using store = await openStore(`sqlite:${dir.path}/vestry.db`)
  const events: string[] = []
  await Promise.all(
    [1, 2, 3].map((n) =>
      store.write(async () => {
        events.push(`${n} begins`)
        await sleep(4 - n)
        events.push(`${n} ends`)
      }),
    ),
  )
  expect(events).toEqual([1, 2, 3].flatMap((n) => [`${n} begins`, `${n} ends`]))
})

test.each(['commit', 'rollback', ' BEGIN', 'release job', 'pragma synchronous = off', 'vacuum'])(
  'a write may not run "%s" and take the writes beside it along',
  async (statement) => {
    using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
    await using store = await openStore(`sqlite:${dir.path}/vestry.db`)
    const beside = [add(store, 'a')]
    const bad = store.write((trx) => sql.raw(statement).execute(trx))
    beside.push(add(store, 'b'))
    await expect(bad).rejects.toThrow(/control its transaction/)
    await Promise.all(beside)
  },
)

test('a statement that was not awaited cannot slip into the next write', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  await using store = await openStore(`sqlite:${dir.path}/vestry.db`)
  let stray: Promise<unknown> = Promise.resolve()
  const first = store.write(async (trx) => {
    setImmediate(() => {
      stray = trx
        .insertInto('policy_set')
        .values({ digest: 'stray', json: '{}', created_at: 1 })
        .execute()
      stray.catch(() => {})
    })
  })
  const second = store.write(() => sleep(20))
  await Promise.all([first, second])
  await expect(stray).rejects.toThrow(/after its write had ended/)
})

test('when the commit itself fails, every write of the batch is refused and later ones succeed', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  // A limit on the size of files makes the kernel refuse to extend the log, as a full disk would.
  const { stdout, status } = await run(
    `
    const store = await openStore('sqlite:${dir.path}/vestry.db')
    const add = (digest, json) => store.write((trx) =>
      trx.insertInto('policy_set').values({ digest, json, created_at: 1 }).execute())
    await add('before', '{}')
    const big = 'x'.repeat(1_000_000)
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map((n) => add('big' + n, big)))
    const rows = await store.db.selectFrom('policy_set').select('digest').execute()
    let after = 'accepted'
    try { await add('after', '{}') } catch (error) { after = error.code }
    console.log(JSON.stringify({ codes: outcomes.map((o) => o.reason?.code ?? 'stored'), rows, after }))
    `,
    { fileBlocks: 4096 }, // of 512 bytes: room for the schema and not for the rest
  )
  expect(status).toBe(0)
  const seen = JSON.parse(stdout)
  expect(seen.codes).toEqual(Array(4).fill('STORE_UNAVAILABLE'))
  expect(seen.rows).toEqual([{ digest: 'before' }])
  expect(seen.after).toBe('accepted')
})

test('vault §28.40: kill -9 at random moments loses no acknowledged write and tears none', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  const url = `sqlite:${dir.path}/vestry.db`
  await (await openStore(url)).close()
  let total = 0
  for (let round = 0; round < 6; round += 1) {
    const acknowledged = await killDuringWrites(url, round)
    await using store = await openStore(url)
    const rows = await store.db
      .selectFrom('credential_version')
      .innerJoin('credential', 'credential.path', 'credential_version.path')
      .select(['credential_version.path', 'credential_version.record'])
      .execute()
    const stored = new Map(rows.map(({ path, record }) => [path, record]))
    for (const path of acknowledged) expect(stored.get(path)?.length).toBe(200)
    // A write stores both of its rows or none.
    const parents = await store.db.selectFrom('credential').select('path').execute()
    expect(parents).toHaveLength(rows.length)
    expect((await sql`pragma integrity_check`.execute(store.db)).rows).toEqual([
      { integrity_check: 'ok' },
    ])
    total += acknowledged.length
  }
  expect(total).toBeGreaterThan(500)
})

test('a file that is no database is refused as damaged, and left as it was', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  const file = `${dir.path}/vestry.db`
  writeFileSync(file, 'this is not a database, it is a letter to a friend\n'.repeat(100))
  await expect(openStore(`sqlite:${file}`)).rejects.toEqual(code('STORE_CORRUPT'))
  expect(existsSync(`${file}-wal`)).toBe(false)
})

test('a path that cannot be created is STORE_UNAVAILABLE and names it', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  await expect(openStore(`sqlite:${dir.path}/no/such/vestry.db`)).rejects.toEqual(
    expect.objectContaining({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('/no/such/vestry.db'),
    }),
  )
  mkdirSync(`${dir.path}/directory`)
  await expect(openStore(`sqlite:${dir.path}/directory`)).rejects.toEqual(code('STORE_UNAVAILABLE'))
})

test.each([
  '',
  'vestry.db',
  'sqlite:',
  'sqlite:relative.db',
  'sqlite::memory:',
  'mysql://u:pw@h/d',
])('the store URL "%s" is refused without repeating it', async (url) => {
  await expect(openStore(url)).rejects.toEqual(
    expect.objectContaining({
      code: 'CONFIG_INVALID',
      message: expect.not.stringContaining('pw'),
      hint: expect.stringContaining('postgres://'),
    }),
  )
})

test('deleted content is overwritten in the file, not only unlinked', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-`)
  const file = `${dir.path}/vestry.db`
  {
    await using store = await openStore(`sqlite:${file}`)
    await store.write((trx) =>
      trx
        .insertInto('policy_set')
        .values({ digest: 'd', json: 'needle-in-the-haystack', created_at: 1 })
        .execute(),
    )
  }
  {
    await using store = await openStore(`sqlite:${file}`)
    await store.write((trx) => trx.deleteFrom('policy_set').execute())
  }
  using raw = new DatabaseSync(file, { readOnly: true })
  expect(raw.prepare('select count(*) as n from policy_set').get()).toMatchObject({ n: 0 })
  expect(readFileSync(file).includes('needle-in-the-haystack')).toBe(false)
})

/** Runs a child that stores pairs of rows and prints each path once it was acknowledged; kills it mid-way. */
async function killDuringWrites(url: string, round: number): Promise<string[]> {
  const child = start(`
    const store = await openStore('${url}')
    let n = 0
    const one = async () => {
      const path = 'round${round}/' + n++
      await store.write(async (trx) => {
        await trx.insertInto('credential').values({
          path, type: null, description: null, tags_json: '[]', metadata_json: '{}', settings_json: '{}',
          version: 1, min_decrypt_version: 1, created_at: 1, updated_at: 1, expires_at: null,
          deleted_at: null, mac: new Uint8Array(32) }).execute()
        if (n % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
        await trx.insertInto('credential_version').values({
          path, version: 1, record: new Uint8Array(200), created_at: 1, created_by: 'test',
          destroyed_at: null, encryptions: 0, mac: new Uint8Array(32) }).execute()
      }, { synced: n % 3 === 0 }) // what is not synced outlives a kill as well
      process.stdout.write(path + '\\n')
    }
    process.stdout.write('ready\\n')
    await Promise.all(Array.from({ length: 16 }, async () => { for (;;) await one() }))
  `)
  let output = ''
  const ready = Promise.withResolvers<void>()
  child.stdout.on('data', (chunk) => {
    output += chunk
    if (output.startsWith('ready')) ready.resolve()
  })
  await ready.promise
  await sleep(40 + Math.random() * 160)
  const closed = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGKILL')
  await closed
  // The last line may be cut in two by the kill; only whole ones were acknowledged for sure.
  return output.split('\n').slice(1, -1)
}

const STORE_MODULE = new URL('./store.ts', import.meta.url).href

function start(script: string, fileBlocks?: number) {
  const node = [
    process.execPath,
    '--conditions=source',
    '--input-type=module',
    '--eval',
    `import { openStore } from '${STORE_MODULE}'\n${script}`,
  ]
  if (fileBlocks === undefined) {
    const [command = '', ...args] = node
    return spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  }
  return spawn('sh', ['-c', `ulimit -f ${fileBlocks} && exec "$@"`, 'sh', ...node], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function run(
  script: string,
  { fileBlocks }: { fileBlocks?: number } = {},
): Promise<{ stdout: string; status: number | null }> {
  const child = start(script, fileBlocks)
  let stdout = ''
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { stdout, status }
}
