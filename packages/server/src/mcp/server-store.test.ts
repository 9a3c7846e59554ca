import { beforeEach, expect, it } from 'vitest'
import { testGuard, testKeyring } from '../identity/test-keys.ts'
import { eachStore } from '../store/test-store.ts'
import { readServerConfig } from './connect/server-config.ts'
import { ServerStore } from './server-store.ts'

const keyring = testKeyring()
const guard = testGuard(keyring)
const failing = (code: string) => expect.objectContaining({ code })
const TOKEN = 'tok-4f1e77c2b90d'
const config = (name: string, env: Record<string, string> = {}) =>
  readServerConfig({ name, command: ['node', 'server.js'], env })

eachStore('MCP servers', (at) => {
  let servers: ServerStore
  beforeEach(() => {
    servers = new ServerStore({ store: at.store, guard, keys: () => keyring, now: () => 1 })
  })

  it('are read back as they were added, sealed on disk', async () => {
    await servers.add(config('notes', { TOKEN }), { replace: false })
    await servers.add(config('Crm'), { replace: false })
    expect(await servers.list()).toEqual([config('Crm'), config('notes', { TOKEN })])
    const rows = await at.store.db.selectFrom('mcp_server').selectAll().execute()
    for (const { record } of rows)
      expect(Buffer.from(record).toString('latin1')).not.toContain(TOKEN)
  })

  it('stay what they are unless they are to be replaced', async () => {
    await servers.add(config('notes'), { replace: false })
    expect((await servers.add(config('notes'), { replace: false })).value).toBe('same')
    const other = config('notes', { A: 'b' })
    await expect(servers.add(other, { replace: false })).rejects.toEqual(failing('ALREADY_EXISTS'))
    const { value, generation } = await servers.add(other, { replace: true })
    expect([value, generation]).toEqual(['replaced', await at.store.generation()])
    expect(await servers.list()).toEqual([other])
  })

  it('are removed by name', async () => {
    await servers.add(config('notes'), { replace: false })
    await servers.remove('notes')
    expect(await servers.list()).toEqual([])
    await expect(servers.remove('notes')).rejects.toEqual(failing('MCP_SERVER_NOT_FOUND'))
  })

  it('that somebody else altered, renamed or took from an older store are not opened', async () => {
    await servers.add(config('notes'), { replace: false })
    await at.store.write((trx) => trx.updateTable('mcp_server').set({ id: 'other' }).execute())
    await expect(servers.list()).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(servers.remove('other')).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(servers.add(config('other'), { replace: true })).rejects.toEqual(
      failing('STORE_CORRUPT'),
    )
  })
})
