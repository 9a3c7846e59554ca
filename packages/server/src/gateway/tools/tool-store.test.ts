import { beforeEach, expect, it } from 'vitest'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { eachStore } from '../../store/test-store.ts'
import { httpTool } from './http-tool.ts'
import { acceptTool } from './tool-file.ts'
import { ToolStore } from './tool-store.ts'

const guard = testGuard(testKeyring())
const failing = (code: string) => expect.objectContaining({ code })
const file = (name: string, description = 'A tool') =>
  acceptTool(
    {
      name,
      description,
      base_url: 'https://api.example.com',
      actions: { look: { method: 'GET', path: '/x', cost_usd: 0.5 } },
    },
    name,
  )

eachStore('tools of operators', (at) => {
  let tools: ToolStore
  let nowMs: number
  beforeEach(() => {
    nowMs = 1_900_000_000_000
    const taken = (name: string) => name === 'configured'
    tools = new ToolStore({ store: at.store, guard, now: () => nowMs, taken })
  })

  it('are read back as they were added', async () => {
    const { value, generation } = await tools.add(file('crm'))
    const wanted = httpTool(file('crm'), 'operator')
    expect(value).toMatchObject({ name: 'crm', digest: wanted.digest, replaced: false })
    expect(generation).toBe(await at.store.generation())
    const { replaced: _replaced, ...stored } = value
    expect(await tools.list()).toEqual([stored])
    const { tools: loaded, refused } = await tools.load()
    expect(refused).toEqual([])
    expect(loaded.map(({ name, digest, origin }) => [name, digest, origin])).toEqual([
      ['crm', wanted.digest, 'operator'],
    ])
  })

  it('are replaced by one of the same name', async () => {
    await tools.add(file('crm'))
    nowMs += 5
    const { value } = await tools.add(file('crm', 'Another'))
    expect(value).toMatchObject({ replaced: true, createdAt: nowMs - 5, updatedAt: nowMs })
    expect((await tools.list()).map(({ definition }) => definition['description'])).toEqual([
      'Another',
    ])
  })

  it('cannot take a name that is not theirs', async () => {
    await expect(tools.add(file('configured'))).rejects.toEqual(failing('CONFLICT'))
    expect(await tools.list()).toEqual([])
  })

  it('are removed by name', async () => {
    await tools.add(file('crm'))
    await tools.add(file('erp'))
    expect((await tools.remove('crm')).value.name).toBe('crm')
    expect((await tools.list()).map(({ name }) => name)).toEqual(['erp'])
    await expect(tools.remove('crm')).rejects.toEqual(failing('NOT_FOUND'))
  })

  it('that were altered in the database are refused, and not signed over', async () => {
    await tools.add(file('crm'))
    const evil = JSON.stringify({ ...file('crm'), base_url: 'https://evil.example' })
    await at.store.write((trx) => trx.updateTable('tool').set({ definition_json: evil }).execute())
    await expect(tools.load()).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(tools.list()).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(tools.add(file('crm'))).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(tools.remove('crm')).rejects.toEqual(failing('STORE_CORRUPT'))
  })

  it('that this version understands differently are left out and named', async () => {
    await tools.add(file('erp'))
    const rows = [
      { id: 'gone', definition_json: '{"name":"gone","old_key":1}', digest: 'sha256:x' },
      { id: 'other', definition_json: JSON.stringify(file('other')), digest: 'sha256:y' },
    ]
    for (const fields of rows) {
      const row = { ...fields, created_at: 1, updated_at: 1 }
      const signed = { ...row, mac: guard.mac('tool', row.id, row) }
      await at.store.change((trx) => trx.insertInto('tool').values(signed).execute())
    }
    const { tools: loaded, refused } = await tools.load()
    expect(loaded.map(({ name }) => name)).toEqual(['erp'])
    expect(refused).toEqual([
      { name: 'gone', problem: expect.stringContaining('gone: ') },
      { name: 'other', problem: 'is understood differently now' },
    ])
  })
})
