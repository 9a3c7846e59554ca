import { afterEach, beforeEach, expect, it } from 'vitest'
import { eachStore } from '../store/test-store.ts'
import { AgentStore } from './agent-store.ts'
import { bearerToken, splitToken } from './api-key.ts'
import { ApiKeyStore } from './api-key-store.ts'
import { testGuard, testKeyring } from './test-keys.ts'

const keyring = testKeyring()
const guard = testGuard(keyring)
const failing = (code: string) => expect.objectContaining({ code })
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

eachStore('API keys in the store', (at) => {
  let nowMs = 1_900_000_000_000
  let agents: AgentStore
  let keys: ApiKeyStore
  beforeEach(() => {
    const now = () => nowMs
    const { store } = at
    agents = new AgentStore({ store, guard, now, trustDomain: 'example.org' })
    keys = new ApiKeyStore({ store, guard, agents, hashKey: () => keyring.hashKey, now })
  })
  afterEach(() => {
    keys[Symbol.dispose]()
    agents[Symbol.dispose]()
  })

  /** Adds a key and hands out its header, as whoever was shown it once would write it. */
  async function add(input: Parameters<ApiKeyStore['add']>[0]) {
    const { value, token } = await keys.add(input)
    using own = token
    return { key: value, header: `Bearer ${text(own.bytes)}` }
  }

  it('open the door for an operator of their role', async () => {
    const { key, header } = await add({ name: 'ci', role: 'auditor' })
    expect(header).toMatch(/^Bearer key_[0-9a-f]{16}\.[A-Za-z0-9_-]{43}$/)
    const { principal } = await keys.authenticateBearer(header)
    expect(principal).toMatchObject({ kind: 'operator', operator: { id: key.id, role: 'auditor' } })
    expect((await keys.authenticateBearer(header.replace('Bearer', 'bearer'))).key).toEqual(key)
  })

  it('act as the agent they are scoped to, while it is enabled', async () => {
    const { value: scout } = await agents.add({ name: 'scout' })
    const { key, header } = await add({ name: 'scout key', agentId: scout.id })
    expect(key.role).toBe('agent')
    expect((await keys.authenticateBearer(header)).principal).toEqual({
      kind: 'agent',
      agent: scout,
    })
    await agents.disable('scout')
    await expect(keys.authenticateBearer(header)).rejects.toEqual(failing('AUTH_FAILED'))
    await agents.enable('scout')
    await keys.authenticateBearer(header)
    await agents.revoke('scout')
    await expect(keys.authenticateBearer(header)).rejects.toEqual(failing('AUTH_FAILED'))
  })

  it('are refused in one text, whatever is wrong with them', async () => {
    const { header } = await add({ name: 'a', role: 'admin' })
    const other = await add({ name: 'b', role: 'admin' })
    const [id = '', secret = ''] = header.slice(7).split('.')
    const [otherId = ''] = other.header.slice(7).split('.')
    const expiring = await add({ name: 'c', role: 'admin', expiresAt: nowMs + 1000 })
    await keys.authenticateBearer(expiring.header)
    nowMs += 1000
    const revoked = await add({ name: 'd', role: 'admin' })
    await keys.authenticateBearer(revoked.header)
    await keys.revoke(revoked.key.id)
    const flipped = `${secret.slice(0, -2)}${secret.at(-2) === 'A' ? 'B' : 'A'}${secret.at(-1)}`
    const seen = new Set<string>()
    for (const wrong of [
      undefined,
      '',
      'Bearer',
      'Bearer x',
      `Basic ${id}.${secret}`,
      `Bearer ${id}.${flipped}`,
      `Bearer ${otherId}.${secret}`,
      `Bearer key_${'0'.repeat(16)}.${secret}`,
      `Bearer ${id}.${secret} `,
      `Bearer ${id}.${secret}x`,
      `Bearer ${'x'.repeat(100_000)}`,
      expiring.header,
      revoked.header,
    ]) {
      const error: unknown = await keys.authenticateBearer(wrong).catch((reason) => reason)
      expect(error, String(wrong).slice(0, 80)).toEqual(failing('AUTH_FAILED'))
      seen.add(JSON.stringify([String(error), error]))
    }
    expect(seen.size).toBe(1)
    expect([...seen][0]).not.toContain(secret)
  })

  it('leave no trace of their secret in the database', async () => {
    const { header } = await add({ name: 'a', role: 'admin' })
    const [, secret = ''] = header.slice(7).split('.')
    const rows = await at.store.db.selectFrom('api_key').selectAll().execute()
    const stored = rows.flatMap((row) => Object.values(row).map(String)).join()
    expect(stored).not.toContain(secret)
    expect(stored).not.toContain(Buffer.from(secret, 'base64url').join())
    expect(rows[0]?.hash).toHaveLength(32)
  })

  it('whose role was raised in the database are refused', async () => {
    const { header } = await add({ name: 'a', role: 'auditor' })
    await at.store.write((trx) => trx.updateTable('api_key').set({ role: 'owner' }).execute())
    keys.drop()
    await expect(keys.authenticateBearer(header)).rejects.toEqual(failing('STORE_CORRUPT'))
  })

  it('are listed without their hash and revoked once', async () => {
    const { key } = await add({ name: 'a', role: 'admin', expiresAt: nowMs + 5000 })
    expect(await keys.list()).toEqual([key])
    await keys.revoke(key.id)
    expect(await keys.list()).toEqual([])
    expect(await keys.list({ revoked: true })).toEqual([{ ...key, status: 'revoked' }])
    await expect(keys.revoke(key.id)).rejects.toEqual(failing('NOT_FOUND'))
  })

  it('are not made for nobody, the past or an unprintable name', async () => {
    await expect(
      keys.add({ name: 'a', agentId: '3f0c8f0e-6a51-4c39-9d5a-0a4e5d1b7c22' }),
    ).rejects.toEqual(failing('NOT_FOUND'))
    await expect(keys.add({ name: 'a', role: 'admin', expiresAt: nowMs })).rejects.toThrow('future')
    await expect(keys.add({ name: 'a\n', role: 'admin' })).rejects.toThrow('printable')
  })
})

it('tokens and headers are read strictly', () => {
  const token = `key_0123456789abcdef.${'A'.repeat(43)}`
  expect(splitToken(token)).toEqual({ id: 'key_0123456789abcdef', secret: 'A'.repeat(43) })
  for (const wrong of [`${token}\n`, ` ${token}`, token.toUpperCase(), `${token}.x`])
    expect(splitToken(wrong)).toBeUndefined()
  expect(bearerToken(`BEARER   ${token}`)).toBe(token)
  expect(bearerToken(`Bearer ${token}, Bearer x`)).toBeUndefined()
})
