import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Home } from '../../packages/server/src/app/home.ts'
import {
  type BootOptions,
  boot,
  operator,
  putCredential,
  putRules,
  temporaryHome,
} from '../harness/boot.ts'
import { type AgentKeys, newAgentKeys } from '../harness/keys.ts'
import { RawClient, type RpcFailure } from '../harness/raw-client.ts'

const ALL = {
  name: 'all',
  principals: ['agent:scout'],
  resources: ['**'],
  actions: ['list', 'retrieve'],
}
const DENY = {
  name: 'not-this',
  effect: 'deny',
  principals: ['agent:scout'],
  resources: ['team/locked'],
  actions: ['retrieve'],
}
const VALUES: Record<string, string> = {
  'team/one': 'second value of one',
  'team/two': 'the value of two',
  'team/locked': 'behind a deny rule',
}

/** A stopped vault with a bit of everything; each test damages a copy of it. */
let vault: Home & Disposable
/** The same vault, some changes earlier. */
let earlier: Home & Disposable
let scout: AgentKeys

beforeAll(async () => {
  vault = temporaryHome()
  scout = newAgentKeys('scout')
  {
    await using _daemon = await boot(vault)
    const admin = await operator(vault)
    await admin.call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
    await putCredential(admin, 'team/one', 'first value of one')
    await putCredential(admin, 'team/two', VALUES['team/two'] as string)
    await putCredential(admin, 'team/locked', VALUES['team/locked'] as string)
    await putRules(admin, ALL)
    admin.destroy()
  }
  earlier = temporaryHome(vault)
  {
    await using _daemon = await boot(vault)
    const admin = await operator(vault)
    await putCredential(admin, 'team/one', VALUES['team/one'] as string)
    await putRules(admin, DENY)
    await admin.call('admin.agent.add', {
      name: 'other',
      public_key: newAgentKeys('o').publicKeyHex,
    })
    admin.destroy()
  }
})

afterAll(() => {
  vault[Symbol.dispose]()
  earlier[Symbol.dispose]()
})

function tamper(home: Home, change: (db: DatabaseSync) => void): void {
  using db = new DatabaseSync(home.store)
  db.exec('pragma foreign_keys = off')
  change(db)
}

interface Refusal {
  code: string
  hint?: string | undefined
}

/** What a start on this home answers. */
async function refusal(home: Home, options: BootOptions = {}): Promise<Refusal | undefined> {
  try {
    const daemon = await boot(home, options)
    await daemon.stop()
    return undefined
  } catch (error) {
    return error as Refusal
  }
}

/** Starts the vault and looks at everything in it. @returns What operators are told, and agents. */
async function codesOf(home: Home): Promise<{ operator: string[]; agent: string[] }> {
  const codes = { operator: [] as string[], agent: [] as string[] }
  let daemon: Awaited<ReturnType<typeof boot>>
  try {
    daemon = await boot(home)
  } catch (error) {
    const { code, hint } = error as Refusal
    expect(hint, code).toBeTruthy()
    return { operator: [code], agent: [] }
  }
  try {
    const admin = await operator(home).catch(
      (error: Refusal) => void codes.operator.push(error.code),
    )
    for (const [verb, params] of LOOKS) {
      await admin?.call(`admin.${verb}`, params).catch((failure: RpcFailure) => {
        expect(failure.error.suggestion).toBeTruthy()
        codes.operator.push(failure.code)
      })
    }
    admin?.destroy()
    const agent = await RawClient.connect({ path: home.vaultSocket })
    const refused = (error: Refusal) => void codes.agent.push(error.code)
    const loggedIn = await agent.login(scout).then(() => true, refused)
    for (const path of loggedIn ? ['team/one', 'team/two'] : []) {
      await agent.call('retrieve', { path }).then(({ value }) => {
        // Whatever was done to the store: the right value or none.
        expect(Buffer.from(value, 'hex').toString()).toBe(VALUES[path])
      }, refused)
    }
    agent.destroy()
  } finally {
    await daemon.stop()
  }
  return codes
}

const LOOKS: [verb: string, params: object][] = [
  ['agent.list', { revoked: true }],
  ['operator.list', {}],
  ['key.list', {}],
  ['policy.list', {}],
  ['cred.show', { path: 'team/one' }],
  ['cred.show', { path: 'team/two' }],
]

test('an untouched vault opens, and every value is there', async () => {
  using home = temporaryHome(vault)
  expect(await codesOf(home)).toEqual({ operator: [], agent: [] })
})

describe('vault §28.38: one changed byte', () => {
  const ROWS: Record<string, { where: string; columns: string[] }> = {
    agent: {
      where: `name = 'scout'`,
      columns: [
        ...['id', 'name', 'display_name', 'role', 'status', 'keys_json', 'spiffe_id', 'meta_json'],
        ...['require_sig_v2', 'created_at', 'updated_at', 'mac'],
      ],
    },
    operator: {
      where: `name = 'owner'`,
      columns: ['id', 'name', 'role', 'public_key', 'status', 'created_at', 'mac'],
    },
    api_key: {
      where: 'true',
      // Not `status`: a key that is not "enabled" is no key, and no list shows it.
      columns: ['id', 'name', 'role', 'hash', 'created_at', 'expires_at', 'mac'],
    },
    policy: {
      where: `id = 'vault:not-this'`,
      columns: [
        ...['id', 'format', 'text', 'json', 'source', 'digest', 'enabled', 'position'],
        ...['created_at', 'updated_at', 'mac'],
      ],
    },
    credential: {
      where: `path = 'team/one'`,
      columns: [
        ...['type', 'description', 'tags_json', 'metadata_json', 'settings_json', 'version'],
        ...['min_decrypt_version', 'created_at', 'updated_at', 'expires_at', 'deleted_at', 'mac'],
      ],
    },
    credential_version: {
      where: `path = 'team/one' and version = 2`,
      columns: ['version', 'record', 'created_at', 'created_by', 'destroyed_at', 'mac'],
    },
  }

  test.for(Object.entries(ROWS))('in any column of %s is refused', async ([table, spec]) => {
    for (const column of spec.columns) {
      using home = temporaryHome(vault)
      tamper(home, (db) => {
        const row = db.prepare(`select "${column}" as v from "${table}" where ${spec.where}`).get()
        const done = db
          .prepare(`update "${table}" set "${column}" = ? where ${spec.where}`)
          .run(nudged(row?.['v'], column))
        expect(done.changes, `${table}.${column}`).toBe(1)
      })
      const codes = await codesOf(home)
      // Not merely gone: the operator is told that the store was altered.
      expect(codes.operator, `${table}.${column}`).toContain('STORE_CORRUPT')
    }
  })

  test('at any place of a sealed value, of the keyring or of a slot is refused', async () => {
    const places: [table: string, column: string, where: string, code: string][] = [
      ['keyring', 'ct', 'true', 'SEAL_BROKEN'],
      ['keyring', 'nonce', 'true', 'SEAL_BROKEN'],
      ['slot', 'wrapped_root', 'true', 'UNSEAL_FAILED'],
      ['slot', 'nonce', 'true', 'UNSEAL_FAILED'],
    ]
    for (const [table, column, where, code] of places) {
      using home = temporaryHome(vault)
      tamper(home, (db) => {
        const row = db.prepare(`select "${column}" as v from "${table}" where ${where}`).get()
        const bytes = Buffer.from(row?.['v'] as Uint8Array)
        const at = Math.floor(bytes.length / 2)
        bytes[at] = (bytes[at] as number) ^ 1
        db.prepare(`update "${table}" set "${column}" = ? where ${where}`).run(bytes)
      })
      expect(await refusal(home), `${table}.${column}`).toMatchObject({ code })
    }
  })

  test('in what the store says of itself is refused', async () => {
    for (const key of ['vault_id', 'generation', 'row_state', 'audit_head']) {
      using home = temporaryHome(vault)
      tamper(home, (db) => {
        const row = db.prepare('select key, value from meta where key like ?').get(`${key}%`)
        const text = String(row?.['value'])
        const digit = /\d(?=\D*$)/.exec(text)?.index ?? 0
        const value = `${text.slice(0, digit)}${(Number(text[digit]) + 1) % 10}${text.slice(digit + 1)}`
        db.prepare('update meta set value = ? where key = ?').run(value, String(row?.['key']))
      })
      const found = await refusal(home)
      expect(found, key).toMatchObject({ hint: expect.any(String) })
      expect(['STORE_CORRUPT', 'UNSEAL_FAILED', 'STORE_ROLLED_BACK'], key).toContain(found?.code)
    }
  })
})

describe('vault §28.38: records that are whole, and not where they belong', () => {
  test('two credentials whose sealed records were swapped are both refused', async () => {
    using home = temporaryHome(vault)
    tamper(home, (db) => {
      const rows = db
        .prepare(`select path, record from credential_version
          where (path = 'team/one' and version = 2) or path = 'team/two' order by path`)
        .all() as { path: string; record: Uint8Array }[]
      const put = db.prepare(
        'update credential_version set record = ? where path = ? and version = ?',
      )
      put.run(rows[1]?.record as Uint8Array, 'team/one', 2)
      put.run(rows[0]?.record as Uint8Array, 'team/two', 1)
    })
    expect(await codesOf(home)).toMatchObject({ operator: ['STORE_CORRUPT', 'STORE_CORRUPT'] })
  })

  test('an old version of a value under the number of the new one is refused', async () => {
    using home = temporaryHome(vault)
    tamper(home, (db) => {
      db.exec(`update credential_version set record = (select record from credential_version
        where path = 'team/one' and version = 1) where path = 'team/one' and version = 2`)
    })
    expect(await codesOf(home)).toEqual({
      operator: ['STORE_CORRUPT'],
      agent: ['INTERNAL_ERROR'], // what exactly is the operators' business
    })
  })

  test('a record copied from another vault is refused', async () => {
    using foreign = temporaryHome()
    {
      await using _daemon = await boot(foreign)
      const admin = await operator(foreign)
      await putCredential(admin, 'team/two', 'planted')
      admin.destroy()
    }
    using home = temporaryHome(vault)
    using source = new DatabaseSync(foreign.store)
    const planted = source
      .prepare(`select record, mac from credential_version where path = 'team/two'`)
      .get() as { record: Uint8Array; mac: Uint8Array }
    tamper(home, (db) => {
      db.prepare(`update credential_version set record = ?, mac = ? where path = 'team/two'`).run(
        planted.record,
        planted.mac,
      )
    })
    expect(await refusal(home)).toMatchObject({
      code: 'STORE_CORRUPT',
      message: expect.stringContaining('credential_version'),
    })
  })

  test('a deny rule that was deleted from the store is missed at once', async () => {
    using home = temporaryHome(vault)
    tamper(home, (db) => {
      db.exec(`delete from policy where id = 'vault:not-this'`)
      db.exec('delete from row_change')
    })
    expect(await refusal(home)).toMatchObject({
      code: 'STORE_CORRUPT',
      hint: expect.stringContaining('--accept-rollback'),
    })
  })

  test.for([
    ['agent', `name = 'other'`],
    ['credential_version', `path = 'team/one' and version = 1`],
    ['operator', 'true'],
    ['api_key', 'true'],
  ])('a row deleted from %s is missed', async ([table, where]) => {
    using home = temporaryHome(vault)
    tamper(home, (db) => db.exec(`delete from "${table}" where ${where}`))
    expect(await refusal(home)).toMatchObject({
      code: 'STORE_CORRUPT',
      message: expect.stringContaining(`${table} `),
    })
  })

  test('an older row of the same id, put back whole, is refused', async () => {
    using home = temporaryHome(vault)
    tamper(home, (db) => {
      db.exec(`attach '${earlier.store}' as earlier`)
      db.exec(`delete from credential where path = 'team/one'`)
      db.exec(`insert into credential select * from earlier.credential where path = 'team/one'`)
    })
    expect(await refusal(home)).toMatchObject({
      code: 'STORE_CORRUPT',
      message: expect.stringContaining('credential '),
    })
  })

  test('rows and their notes, changed together through the triggers, are refused all the same', async () => {
    using home = temporaryHome(vault)
    tamper(home, (db) => db.exec(`delete from credential where path = 'team/two'`))
    using db = new DatabaseSync(home.store)
    expect(db.prepare('select count(*) as n from row_change').get()).not.toEqual({ n: 0 })
    expect(await refusal(home)).toMatchObject({ code: 'STORE_CORRUPT' })
  })
})

describe('vault §28.38: store and log that are not of the same time', () => {
  test('an older store beside the newer log is refused', async () => {
    using home = temporaryHome(vault)
    cpSync(earlier.store, home.store)
    expect(await refusal(home)).toMatchObject({
      code: 'STORE_ROLLED_BACK',
      hint: expect.stringContaining('--accept-rollback'),
    })
  })

  test('an older store whose generation was raised to match is refused', async () => {
    using home = temporaryHome(vault)
    using newer = new DatabaseSync(home.store)
    const { value } = newer.prepare(`select value from meta where key = 'generation'`).get() as {
      value: string
    }
    newer.close()
    cpSync(earlier.store, home.store)
    tamper(home, (db) =>
      db.prepare(`update meta set value = ? where key = 'generation'`).run(value),
    )
    expect(await refusal(home)).toMatchObject({
      code: 'STORE_CORRUPT',
      message: expect.stringContaining('generation'),
    })
  })

  test('a log whose end was cut off, its head file included, is refused', async () => {
    using home = temporaryHome(vault)
    const path = join(home.audit, 'audit.jsonl')
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
    writeFileSync(path, `${lines.slice(0, -6).join('\n')}\n`)
    rmSync(join(home.audit, 'audit.head'), { force: true })
    expect(await refusal(home)).toMatchObject({ code: 'AUDIT_TRUNCATED' })
  })

  test('an older log beside the newer store is refused', async () => {
    using home = temporaryHome(vault)
    rmSync(home.audit, { recursive: true })
    cpSync(earlier.audit, home.audit, { recursive: true })
    expect(await refusal(home)).toMatchObject({ code: 'AUDIT_TRUNCATED' })
  })

  test('a log that was deleted altogether is missed', async () => {
    using home = temporaryHome(vault)
    rmSync(home.audit, { recursive: true })
    expect(await refusal(home)).toMatchObject({ code: 'AUDIT_TRUNCATED' })
  })

  test('an operator may accept it once, which is recorded; afterwards all is as strict as before', async () => {
    using home = temporaryHome(vault)
    cpSync(earlier.store, home.store)
    {
      await using _daemon = await boot(home, { acceptRollback: true })
      const admin = await operator(home)
      const { records } = await admin.call('admin.audit.query', {
        action: 'vault.rollback_accepted',
      })
      expect(records).toMatchObject([{ data: { code: 'STORE_ROLLED_BACK' } }])
      await putCredential(admin, 'team/three', 'after the roll-back')
      admin.destroy()
    }
    expect(await refusal(home)).toBeUndefined()
    tamper(home, (db) => db.exec(`delete from policy`))
    expect(await refusal(home)).toMatchObject({ code: 'STORE_CORRUPT' })
  })
})

test('a wrong key file is refused without saying which part was wrong', async () => {
  using home = temporaryHome(vault)
  writeFileSync(home.devKeyFile, Buffer.alloc(32, 7), { mode: 0o600 })
  expect(await refusal(home)).toMatchObject({ code: 'UNSEAL_FAILED' })
})

/** Another value of the same type, as small a change as there is. */
function nudged(value: unknown, column: string): string | number | Uint8Array {
  if (value === null) return column.endsWith('_at') ? 4_000_000_000_000 : 'x'
  if (typeof value === 'number' || typeof value === 'bigint') return Number(value) + 1
  if (typeof value === 'string') {
    const last = value.charCodeAt(value.length - 1)
    return value === '' ? 'x' : value.slice(0, -1) + String.fromCharCode(last ^ 1)
  }
  const bytes = Buffer.from(value as Uint8Array)
  const at = Math.floor(Math.random() * bytes.length)
  bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(Math.random() * 8))
  return bytes
}
