/** Somebody who can write the database file, but holds no key: what they can make of it. */
import { randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Home } from '../../packages/server/src/app/home.ts'
import { postgresOffer, postgresUrl } from '../../packages/server/src/store/test-store.ts'
import { boot, operator, putCredential, putRules, temporaryHome } from '../harness/boot.ts'
import { type AgentKeys, newAgentKeys } from '../harness/keys.ts'
import { RawClient, type RpcFailure } from '../harness/raw-client.ts'
import { codeOf } from '../harness/refusal.ts'

/** A stopped vault; each test attacks a copy. */
let vault: Home & Disposable
/** The same vault, before `mallory` was revoked. */
let earlier: Home & Disposable
const scout: AgentKeys = newAgentKeys('scout')
const mallory: AgentKeys = newAgentKeys('mallory')

const READ = {
  name: 'read',
  principals: ['agent:*'],
  resources: ['open/**'],
  actions: ['list', 'retrieve'],
}
const ASKS = {
  name: 'asks',
  principals: ['agent:*'],
  resources: ['asked/**'],
  actions: ['retrieve'],
  require_approval: true,
}
const TWICE = {
  name: 'twice',
  principals: ['agent:*'],
  resources: ['twice/**'],
  actions: ['retrieve'],
  max_uses: 2,
}

beforeAll(async () => {
  vault = temporaryHome()
  {
    await using _daemon = await boot(vault)
    const admin = await operator(vault)
    for (const { name, publicKeyHex } of [scout, mallory])
      await admin.call('admin.agent.add', { name, public_key: publicKeyHex })
    for (const path of ['open/one', 'asked/one', 'asked/two', 'twice/one'])
      await putCredential(admin, path, `the value of ${path}`)
    await putRules(admin, READ, ASKS, TWICE)
    admin.destroy()
  }
  earlier = temporaryHome(vault)
  {
    await using _daemon = await boot(vault)
    const admin = await operator(vault)
    await admin.call('admin.agent.revoke', { name: 'mallory' })
    admin.destroy()
  }
})
afterAll(() => {
  vault[Symbol.dispose]()
  earlier[Symbol.dispose]()
})

/** Runs `fn` on the stopped vault's database, as an editor would. */
function edit(home: Home, fn: (db: DatabaseSync) => void): void {
  const db = new DatabaseSync(home.store)
  fn(db)
  db.close()
}

async function loggedIn(home: Home, keys: AgentKeys): Promise<RawClient> {
  const client = await RawClient.connect({ path: home.vaultSocket })
  await client.login(keys)
  return client
}

/** The literal of a column's value. */
function sql(value: unknown): string {
  if (value === null) return 'null'
  if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString('hex')}'`
  return typeof value === 'number' ? String(value) : `'${String(value).replaceAll("'", "''")}'`
}

describe('rows', () => {
  test('a trigger that puts a revoked agent back during an honest change does not launder it', async () => {
    using home = temporaryHome(vault)
    const old = new DatabaseSync(earlier.store, { readOnly: true })
    const row = old.prepare(`select * from agent where name = 'mallory'`).get() ?? {}
    old.close()
    const columns = Object.entries(row)
      .map(([name, value]) => `"${name}" = ${sql(value)}`)
      .join(', ')
    edit(home, (db) => {
      db.exec(`create trigger evil after insert on credential_version begin
        update agent set ${columns} where id = ${sql(row['id'])}; end`)
    })
    const outcome = await (async () => {
      await using _daemon = await boot(home)
      const admin = await operator(home)
      const put = await codeOf(putCredential(admin, 'open/two', 'an honest change'))
      const login = await codeOf(loggedIn(home, mallory))
      admin.destroy()
      return { put, login }
    })().catch((error: Error & { code?: string }) => error.code ?? error.message)
    expect(outcome).toBe('STORE_CORRUPT')
  })

  test('a view in place of a table, and a trigger on a table nobody guards, are refused as well', async () => {
    for (const statement of [
      `create trigger t after update on meta begin delete from agent where name = 'scout'; end`,
      `create trigger t before delete on row_change begin select raise(ignore); end`,
      `drop trigger agent_altered`,
      `alter table approval rename to approval_; create view approval as select * from approval_`,
    ]) {
      using home = temporaryHome(vault)
      edit(home, (db) => db.exec(statement))
      await expect(
        boot(home).then((daemon) => daemon.stop()),
        statement,
      ).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
    }
  })
})

describe('approvals', () => {
  test('a yes that no operator gave is no yes', async () => {
    using home = temporaryHome(vault)
    const question = await (async () => {
      await using _daemon = await boot(home)
      const client = await loggedIn(home, scout)
      const error: RpcFailure = await client
        .call('retrieve', { path: 'asked/one' })
        .catch((reason: RpcFailure) => reason)
      client.destroy()
      return error.error.context.approval_id
    })()
    edit(home, (db) => {
      const changed = db
        .prepare(
          `update approval set state = 'allowed', decided_by = 'owner', decided_at = requested_at,
           scope = expires_at where id = ?`,
        )
        .run(question)
      expect(changed.changes).toBe(1)
    })
    await using _daemon = await boot(home)
    const client = await loggedIn(home, scout)
    expect(await codeOf(client.call('retrieve', { path: 'asked/one' }))).not.toBe('ok')
    client.destroy()
  })

  test('a yes cannot be moved to another request, nor to another agent', async () => {
    using home = temporaryHome(vault)
    {
      await using _daemon = await boot(home)
      const admin = await operator(home)
      const client = await loggedIn(home, scout)
      const error: RpcFailure = await client
        .call('retrieve', { path: 'asked/one' })
        .catch((reason: RpcFailure) => reason)
      await admin.call('admin.approval.allow', {
        id: error.error.context.approval_id,
        for_s: 3_600,
      })
      client.destroy()
      admin.destroy()
    }
    edit(home, (db) => db.exec(`update approval set resource = 'asked/two'`))
    await using _daemon = await boot(home)
    const client = await loggedIn(home, scout)
    expect(await codeOf(client.call('retrieve', { path: 'asked/two' }))).not.toBe('ok')
    client.destroy()
  })
})

test('rows that were made up, as far as a schema lets them, do not open anything', async () => {
  using home = temporaryHome(vault)
  edit(home, (db) => {
    const row = db.prepare(`select * from operator limit 1`).get() ?? {}
    db.prepare(
      `insert into operator (id, name, role, public_key, status, created_at, mac) values (?, ?, ?, ?, ?, ?, ?)`,
    ).run(
      'made-up',
      'mallory',
      'owner',
      Buffer.from(mallory.publicKeyHex, 'hex'),
      'enabled',
      1,
      randomBytes(32),
    )
    expect(row['role']).toBe('owner')
  })
  await expect(boot(home).then((daemon) => daemon.stop())).rejects.toMatchObject({
    code: 'STORE_CORRUPT',
  })
})

const without = 'skip' in postgresOffer ? ` (skipped: ${postgresOffer.skip})` : ''
describe.skipIf('skip' in postgresOffer)(`in PostgreSQL${without}`, () => {
  test.each([
    [
      'trigger evil',
      `create function evil() returns trigger language plpgsql as
        'begin update agent set status = ''enabled''; return null; end';
      create trigger evil after insert on credential_version
        for each row execute function evil()`,
    ],
    [
      'rule evil',
      `create rule evil as on insert to credential_version do also update agent set role = 'x'`,
    ],
    [
      'trigger agent_changed',
      `create or replace function note_row_change() returns trigger language plpgsql as
        'begin return null; end'`,
    ],
  ])('a %s of somebody else’s stops every change', async (name, statement) => {
    const url = (await postgresUrl()) as string // the suite is skipped where there is none
    using home = temporaryHome()
    await using _daemon = await boot(home, { storeUrl: url })
    const admin = await operator(home)
    await putCredential(admin, 'open/one', 'before')
    const editor = postgres(url, { onnotice: () => undefined })
    await editor.unsafe(statement)
    await editor.end()
    const refusal: RpcFailure = await putCredential(admin, 'open/two', 'after').then(
      () => expect.unreachable('the change should have been refused'),
      (reason: RpcFailure) => reason,
    )
    expect(refusal).toMatchObject({ code: 'STORE_CORRUPT' })
    expect(refusal.error.detail).toContain(name)
    admin.destroy()
  })
})
