import { setImmediate as turn } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import { beforeEach, describe, expect, test } from 'vitest'
import { openStore } from '../store/store.ts'
import { eachStore, sqliteUrl } from '../store/test-store.ts'
import type { BackendConfig } from './backend-config.ts'
import { never, Places, put, read, secretsOn } from './secrets.test-kit.ts'
import type { Secrets } from './secrets.ts'

const KEYCHAIN = { type: 'os_keychain' } as const
const MOVE = { migrate: true, extras: 'refuse', signal: never } as const
const SWITCH = { migrate: false, extras: 'refuse', signal: never } as const

eachStore('which back end counts', (at) => {
  let places: Places
  let secrets: Secrets
  beforeEach(() => {
    places = new Places()
    secrets = secretsOn(at.store, places)
  })

  test('runtime §20.14: our own vault until somebody says otherwise', async () => {
    expect(await secrets.configured()).toEqual({ type: 'vestry', configuredAtMs: 0, details: {} })
    await put(secrets, 'scout', 'smtp', 'v')
    expect(places.keychains['vestry']?.entries.get('scout/smtp')).toBe('v')
  })

  test('one that cannot be used is refused, and the one before it still counts', async () => {
    await put(secrets, 'scout', 'smtp', 'v')
    places.before = async (type, method) => {
      if (type === 'os_keychain' && method === 'probe') throw new VestryError('BACKEND_AUTH_FAILED')
    }
    await expect(secrets.configure(KEYCHAIN, SWITCH)).rejects.toMatchObject({
      code: 'BACKEND_AUTH_FAILED',
    })
    await expect(secrets.configure(KEYCHAIN, MOVE)).rejects.toMatchObject({
      code: 'BACKEND_AUTH_FAILED',
    })
    expect(await read(secrets, 'scout', 'smtp')).toBe('v')
    expect((await secrets.configured()).type).toBe('vestry')
    await turn()
    expect(places.closed).toBe(2)
  })

  test('a switch holds at once, on every node and after a restart, and moves nothing by itself', async () => {
    const node = secretsOn(at.store, places, { node: 'n2' })
    await put(secrets, 'scout', 'smtp', 'v')
    expect(await read(node, 'scout', 'smtp')).toBe('v')
    const configured = await secrets.configure(KEYCHAIN, SWITCH)
    expect(configured).toMatchObject({ type: 'os_keychain', details: { service: 'symbiont' } })
    await expect(read(node, 'scout', 'smtp')).rejects.toMatchObject({ code: 'SECRET_NOT_FOUND' })
    await put(node, 'scout', 'smtp', 'w')
    expect(await read(secrets, 'scout', 'smtp')).toBe('w')
    expect((await secretsOn(at.store, places).configured()).type).toBe('os_keychain')
    await node.close()
  })

  test('runtime §20.16: the configuration is on disk, sealed, and tells no credential', async () => {
    const config = {
      type: 'encrypted_file',
      path: '/x/secrets.enc',
      key: 'pass-91c3',
      keyInKeychain: false,
      backups: 0,
      importAgent: undefined,
    } as const
    places.open = () => new Places().open({ type: 'vestry' })
    await secrets.configure(config, SWITCH)
    expect(JSON.stringify(await secrets.configured())).not.toContain('pass-91c3')
    const rows = await at.store.db.selectFrom('sealed_setting').selectAll().execute()
    expect(rows).toHaveLength(1)
    expect(Buffer.from(rows[0]?.record ?? []).toString('latin1')).not.toContain('pass-91c3')
  })

  test('runtime §20.14: a move copies all, reads each back, switches, and keeps what was known of them', async () => {
    const written = await put(secrets, 'scout', 'db/password', 'one')
    await put(secrets, 'scout', 'db/password', 'two')
    await put(secrets, 'mcp:notes', 'token', 't')
    const reads: string[] = []
    places.before = async (type, method, place) => {
      if (type === 'os_keychain' && method === 'get') reads.push(place?.name ?? '')
    }
    await secrets.configure(KEYCHAIN, MOVE)
    await secrets.migrated()
    expect(await secrets.progress()).toMatchObject({
      status: 'done',
      from: 'vestry',
      to: 'os_keychain',
      copied: 2,
      total: 2,
      error: undefined,
    })
    expect(reads.filter((name) => name === 'token').length).toBeGreaterThanOrEqual(2)
    expect((await secrets.configured()).type).toBe('os_keychain')
    const moved = await secrets.get({ agent: 'scout', name: 'db/password' }, never)
    moved.value[Symbol.dispose]()
    expect(moved).toMatchObject({
      version: 2,
      createdAtMs: written.createdAtMs,
      updatedAtMs: expect.any(Number),
    })
    expect(await read(secrets, 'mcp:notes', 'token')).toBe('t')
  })

  test('another node hears of a move, refuses to write beside it, and goes on reading', async () => {
    const node = secretsOn(at.store, places, { node: 'n2' })
    await put(node, 'scout', 'smtp', 'v')
    const { promise, resolve } = Promise.withResolvers<void>()
    places.before = async (type, method) => {
      if (type === 'os_keychain' && method === 'put') await promise
    }
    await secrets.configure(KEYCHAIN, MOVE)
    expect(await node.progress()).toEqual({ status: 'elsewhere' })
    await expect(put(node, 'scout', 'smtp', 'w')).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      context: { retry_after_ms: 5_000 },
    })
    await expect(node.configure(KEYCHAIN, SWITCH)).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
    })
    expect(await read(node, 'scout', 'smtp')).toBe('v')
    resolve()
    await secrets.migrated()
    await put(node, 'scout', 'smtp', 'w')
    expect(await read(secrets, 'scout', 'smtp')).toBe('w')
    await node.close()
  })

  test('a move that a crash cut short leaves the old one in force, and a second one finishes it', async () => {
    for (const name of ['a', 'b', 'c']) await put(secrets, 'scout', name, name)
    const stuck = Promise.withResolvers<void>()
    let puts = 0
    places.before = async (type, method) => {
      if (type !== 'os_keychain' || method !== 'put') return
      puts += 1
      if (puts > 1) await stuck.promise
    }
    await secrets.configure(KEYCHAIN, MOVE)
    await expect.poll(() => puts).toBe(2)
    // The process is gone; one of the same name comes up.
    places.before = async () => {}
    const after = secretsOn(at.store, places)
    expect(await after.progress()).toEqual({ status: 'interrupted' })
    expect((await after.configured()).type).toBe('vestry')
    await put(after, 'scout', 'c', 'newer')
    await after.configure(KEYCHAIN, MOVE)
    await after.migrated()
    expect(await after.progress()).toMatchObject({ status: 'done', copied: 3 })
    expect(await read(after, 'scout', 'c')).toBe('newer')
    stuck.reject(new Error('killed'))
    await secrets.migrated()
    expect((await after.configured()).type).toBe('os_keychain')
  })
})

describe('while secrets are moved', () => {
  let places: Places
  beforeEach(() => {
    places = new Places()
  })

  test('what is written, changed and deleted meanwhile is there afterwards, and nothing else', async () => {
    await using store = await openStore(await sqliteUrl())
    const secrets = secretsOn(store, places)
    const wanted = new Map<string, string>()
    for (let n = 0; n < 20; n += 1) {
      await put(secrets, 'scout', `n${n}`, `first${n}`)
      wanted.set(`n${n}`, `first${n}`)
    }
    places.before = async (type) => {
      if (type === 'os_keychain') await turn()
    }
    await secrets.configure(KEYCHAIN, MOVE)
    const busy = async () => {
      for (let n = 0; n < 20; n += 3) {
        await put(secrets, 'scout', `n${n}`, `second${n}`)
        wanted.set(`n${n}`, `second${n}`)
        await secrets
          .delete({ agent: 'scout', name: `n${n + 1 < 20 ? n + 1 : 1}` }, never)
          .catch(() => undefined)
        wanted.delete(`n${n + 1 < 20 ? n + 1 : 1}`)
        await put(secrets, 'late', `m${n}`, `m${n}`)
        await turn()
      }
    }
    await Promise.all([busy(), secrets.migrated()])
    expect((await secrets.configured()).type).toBe('os_keychain')
    expect(await secrets.list('scout', never)).toEqual([...wanted.keys()].sort())
    for (const [name, text] of wanted) expect(await read(secrets, 'scout', name)).toBe(text)
    expect(await secrets.list('late', never)).toHaveLength(7)
  })

  test('what only the target has is refused, kept or deleted, as was said', async () => {
    await using store = await openStore(await sqliteUrl())
    const secrets = secretsOn(store, places)
    await secrets.configure(KEYCHAIN, SWITCH)
    await put(secrets, 'scout', 'stranger', 's')
    await secrets.configure({ type: 'vestry' }, SWITCH)
    await put(secrets, 'scout', 'known', 'k')
    await secrets.configure(KEYCHAIN, MOVE)
    await secrets.migrated()
    expect(await secrets.progress()).toMatchObject({
      status: 'failed',
      copied: 0,
      error: { code: 'CONFLICT', message: expect.stringContaining('1 secrets') },
    })
    expect((await secrets.configured()).type).toBe('vestry')
    await secrets.configure(KEYCHAIN, { ...MOVE, extras: 'keep' })
    await secrets.migrated()
    expect(await secrets.list('scout', never)).toEqual(['known', 'stranger'])
    await secrets.configure({ type: 'vestry' }, SWITCH)
    await secrets.configure(KEYCHAIN, { ...MOVE, extras: 'delete' })
    await secrets.migrated()
    expect(await secrets.list('scout', never)).toEqual(['known'])
  })

  test('what another node was writing when the move began is there afterwards', async () => {
    await using store = await openStore(await sqliteUrl())
    const secrets = secretsOn(store, places, { settleMs: 60 })
    const node = secretsOn(store, places, { node: 'n2' })
    await put(secrets, 'scout', 'smtp', 'v')
    const { promise, resolve } = Promise.withResolvers<void>()
    let isWriting = false
    places.before = async (type, method) => {
      if (type !== 'vestry' || method !== 'put') return
      isWriting = true
      await promise
    }
    const writing = put(node, 'scout', 'smtp', 'w')
    await expect.poll(() => isWriting).toBe(true)
    await secrets.configure(KEYCHAIN, MOVE)
    for (let left = 20; left > 0; left -= 1) await turn()
    resolve()
    await writing
    await secrets.migrated()
    expect(await secrets.progress()).toMatchObject({ status: 'done' })
    expect(await read(secrets, 'scout', 'smtp')).toBe('w')
    await node.close()
  })

  test('a node that slept longer than its mark lasts does not switch over what others wrote meanwhile', async () => {
    await using store = await openStore(await sqliteUrl())
    let nowMs = 1_900_000_000_000
    const now = () => nowMs
    const secrets = secretsOn(store, places, { now })
    const node = secretsOn(store, places, { node: 'n2', now })
    await put(secrets, 'scout', 'smtp', 'v')
    await put(secrets, 'scout', 'web', 'v')
    const { promise, resolve } = Promise.withResolvers<void>()
    places.before = async (type, method, place) => {
      if (type === 'os_keychain' && method === 'put' && place?.name === 'web') await promise
    }
    await secrets.configure(KEYCHAIN, MOVE)
    await expect.poll(async () => (await secrets.progress()) as object).toMatchObject({ copied: 1 })
    nowMs += 121_000
    await put(node, 'scout', 'smtp', 'w')
    resolve()
    await secrets.migrated()
    expect(await secrets.progress()).toMatchObject({
      status: 'failed',
      error: { code: 'CONFLICT' },
    })
    expect((await secrets.configured()).type).toBe('vestry')
    expect(await read(secrets, 'scout', 'smtp')).toBe('w')
    await node.close()
  })

  test('a switch does not go over what another node configured meanwhile', async () => {
    await using store = await openStore(await sqliteUrl())
    const secrets = secretsOn(store, places)
    const node = secretsOn(store, places, { node: 'n2' })
    await put(secrets, 'scout', 'smtp', 'v')
    const writing = Promise.withResolvers<void>()
    let isWriting = false
    places.before = async (type, method, place) => {
      if (type !== 'vestry' || method !== 'put' || place?.name !== 'slow') return
      isWriting = true
      await writing.promise
    }
    const written = put(secrets, 'scout', 'slow', 'x')
    await expect.poll(() => isWriting).toBe(true)
    // It waits for the write; the other one switches first.
    const late = secrets.configure({ type: 'vestry' }, SWITCH).catch((error: unknown) => error)
    for (let left = 20; left > 0; left -= 1) await turn()
    await node.configure(KEYCHAIN, SWITCH)
    writing.resolve()
    await written
    expect(await late).toMatchObject({ code: 'CONFLICT' })
    expect((await secrets.configured()).type).toBe('os_keychain')
    await node.close()
  })

  test('a target that loses or alters what it was given is not switched to', async () => {
    await using store = await openStore(await sqliteUrl())
    const secrets = secretsOn(store, places)
    await put(secrets, 'scout', 'smtp', 'v')
    const target = places.keychains['os_keychain']
    places.before = async (type, method) => {
      // Between the write and the look.
      if (type === 'os_keychain' && method === 'get') target?.entries.set('scout/smtp', 'x')
    }
    await secrets.configure(KEYCHAIN, MOVE)
    await secrets.migrated()
    expect(await secrets.progress()).toMatchObject({
      status: 'failed',
      error: { code: 'BACKEND_ERROR' },
    })
    expect(await read(secrets, 'scout', 'smtp')).toBe('v')
    places.before = async () => {}
    await put(secrets, 'scout', 'smtp', 'w')
  })

  test('a second configuration has to wait, and stopping ends a move without switching', async () => {
    await using store = await openStore(await sqliteUrl())
    const secrets = secretsOn(store, places)
    await put(secrets, 'scout', 'smtp', 'v')
    const { promise, resolve } = Promise.withResolvers<void>()
    places.before = async (type, method) => {
      if (type === 'os_keychain' && method === 'put') await promise
    }
    await secrets.configure(KEYCHAIN, MOVE)
    await expect(secrets.configure(KEYCHAIN, SWITCH)).rejects.toMatchObject({ code: 'CONFLICT' })
    const closing = secrets.close()
    resolve()
    await closing
    const after = secretsOn(store, places)
    expect((await after.configured()).type).toBe('vestry')
    expect(await after.progress()).toEqual({ status: 'idle' })
  })
})

test('runtime §20.28: the count moves with each secret, and is asked for now and then', async () => {
  let nowMs = 1_900_000_000_000
  await using store = await openStore(await sqliteUrl())
  const places = new Places()
  const secrets = secretsOn(store, places, { now: () => nowMs })
  expect(await secrets.count(never)).toBe(0)
  await put(secrets, 'scout', 'a', 'x')
  await put(secrets, 'scout', 'a', 'y')
  await put(secrets, 'owl', 'b', 'z')
  expect(await secrets.count(never)).toBe(2)
  await secrets.delete({ agent: 'scout', name: 'a' }, never)
  expect(await secrets.count(never)).toBe(1)
  const elsewhere = secretsOn(store, places, { node: 'n2' })
  await put(elsewhere, 'scout', 'c', 'w')
  expect(await secrets.count(never)).toBe(1)
  nowMs += 31_000
  expect(await secrets.count(never)).toBe(2)
})

test('a back end that cannot even be opened leaves the next configuration free', async () => {
  const url = await sqliteUrl()
  await using store = await openStore(url)
  const places = new Places()
  const secrets = secretsOn(store, places)
  const failing = { type: 'vault' } as unknown as BackendConfig
  await expect(secrets.configure(failing, SWITCH)).rejects.toThrow('no vault here')
  expect(await secrets.configure({ type: 'vestry' }, MOVE)).toMatchObject({ moving: false })
  expect(await secrets.progress()).toEqual({ status: 'idle' })
})
