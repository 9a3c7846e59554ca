import { createSecretKey, randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import { expect, test } from 'vitest'
import type { RowKeys } from '../seal/row-mac.ts'
import type { Tables } from '../store/schema.ts'
import { eachStore } from '../store/test-store.ts'
import { guardStore } from './guarded-store.ts'

const keys: RowKeys = { vaultId: 'v', rowKey: createSecretKey(randomBytes(32)) }

function policy(id: string, mac = randomBytes(32)) {
  return {
    ...{ id, format: 'cedar' as const, text: '', json: '', source: '', digest: '' },
    ...{ enabled: 1, position: 1, created_at: 1, updated_at: 1, mac },
  }
}

eachStore('a guarded store', (at) => {
  const guarded = async (options?: { lenient?: boolean }) => {
    const store = guardStore(at.store, () => keys, options)
    await store.adoptRows()
    return store
  }
  const insert = (id: string) => (trx: Kysely<Tables>) =>
    trx.insertInto('policy').values(policy(id)).execute()

  test('changes of every kind keep the fingerprint right', async () => {
    const store = await guarded()
    await store.verifyRows()
    await store.change(insert('a'))
    await store.change(async (trx) => {
      await insert('b')(trx)
      await insert('c')(trx)
      await trx.deleteFrom('policy').where('id', '=', 'b').execute()
      await trx
        .updateTable('policy')
        .set({ mac: randomBytes(32) })
        .where('id', '=', 'c')
        .execute()
    })
    const row = policy('a')
    await store.change((trx) =>
      trx
        .insertInto('policy')
        .values(row)
        .onConflict((clash) => clash.column('id').doUpdateSet(row))
        .execute(),
    )
    await store.verifyRows()
    await store.change((trx) => trx.deleteFrom('policy').execute())
    await store.verifyRows()
    expect(await store.db.selectFrom('row_change').selectAll().execute()).toEqual([])
  })

  test('a change that throws leaves the fingerprint as it was', async () => {
    const store = await guarded()
    await store.change(insert('a'))
    const failing = store.change(async (trx) => {
      await insert('b')(trx)
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    await store.verifyRows()
  })

  test('many changes at once add up', async () => {
    const store = await guarded()
    await Promise.all(Array.from({ length: 40 }, (_, n) => store.change(insert(`p${n}`))))
    await store.verifyRows()
  })

  test.for([
    ['removed', (trx: Kysely<Tables>) => trx.deleteFrom('policy').where('id', '=', 'a').execute()],
    ['added', insert('z')],
    [
      'replaced',
      (trx: Kysely<Tables>) =>
        trx
          .updateTable('policy')
          .set({ mac: randomBytes(32) })
          .where('id', '=', 'a')
          .execute(),
    ],
  ] as const)(
    'a row %s behind its back is noticed, and stays noticed after more changes',
    async ([, tamper]) => {
      const store = await guarded()
      await store.change(insert('a'))
      await store.change(insert('b'))
      await at.store.write(async (trx) => {
        await tamper(trx)
      })
      const noticed = expect.objectContaining({
        code: 'STORE_CORRUPT',
        context: { table: 'policy' },
      })
      await expect(store.verifyRows()).rejects.toEqual(noticed)
      await store.change(insert('c'))
      await expect(store.verifyRows()).rejects.toEqual(noticed)
      await store.adoptRows()
      await store.verifyRows()
    },
  )

  test('two rows whose MACs were exchanged with care are noticed: a sum of MACs would not', async () => {
    const store = await guarded()
    const [a, b] = [policy('a'), policy('b')]
    await store.change((trx) => trx.insertInto('policy').values([a, b]).execute())
    const shifted = Buffer.from(a.mac)
    const other = Buffer.from(b.mac)
    shifted[31] = (shifted[31] as number) ^ 1
    other[31] = (other[31] as number) ^ 1
    await at.store.write(async (trx) => {
      await trx.updateTable('policy').set({ mac: shifted }).where('id', '=', 'a').execute()
      await trx.updateTable('policy').set({ mac: other }).where('id', '=', 'b').execute()
    })
    await expect(store.verifyRows()).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  })

  test('a generation that somebody raised is neither verified nor signed', async () => {
    const store = await guarded()
    await at.store.change(async () => undefined)
    await expect(store.verifyRows()).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
    await expect(store.change(insert('a'))).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  })

  test('without the keys nothing can be changed once there is a fingerprint', async () => {
    await guarded()
    const sealed = guardStore(at.store, () => undefined)
    await expect(sealed.change(insert('a'))).rejects.toMatchObject({ code: 'VAULT_LOCKED' })
    expect(await sealed.db.selectFrom('policy').selectAll().execute()).toEqual([])
  })

  test('rows beyond one page count', async () => {
    const store = await guarded()
    const rows = Array.from({ length: 2_500 }, (_, n) => ({
      ...{ path: `p/${n % 3}`, version: n, record: new Uint8Array(), created_at: 1 },
      ...{ created_by: 'x', destroyed_at: null, encryptions: 0, mac: randomBytes(32) },
    }))
    await store.change(async (trx) => {
      for (const path of ['p/0', 'p/1', 'p/2'])
        await trx
          .insertInto('credential')
          .values({
            ...{ path, type: null, description: null, tags_json: '[]', metadata_json: '{}' },
            ...{ settings_json: '{}', version: 1, min_decrypt_version: 1, created_at: 1 },
            ...{ updated_at: 1, expires_at: null, deleted_at: null, mac: randomBytes(32) },
          })
          .execute()
      for (let i = 0; i < rows.length; i += 500)
        await trx
          .insertInto('credential_version')
          .values(rows.slice(i, i + 500))
          .execute()
    })
    await store.verifyRows()
    await at.store.write((trx) =>
      trx
        .deleteFrom('credential_version')
        .where('path', '=', 'p/2')
        .where('version', '=', 2_498)
        .execute(),
    )
    await expect(store.verifyRows()).rejects.toMatchObject({
      context: { table: 'credential_version' },
    })
  })
})
