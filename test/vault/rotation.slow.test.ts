import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import type { Home } from '../../packages/server/src/app/home.ts'
import { base64, boot, operator, putCredential, putRules, temporaryHome } from '../harness/boot.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RawClient } from '../harness/raw-client.ts'

const PASSPHRASE = 'the first passphrase'
const NEXT = 'another passphrase'

/** Term of each sealed record: bytes 6 to 9, big-endian. */
function terms(home: Home): Record<string, number> {
  using db = new DatabaseSync(home.store, { readOnly: true })
  const rows = db
    .prepare('select path, version, record from credential_version where length(record) > 0')
    .all() as { path: string; version: number; record: Uint8Array }[]
  return Object.fromEntries(
    rows.map(({ path, version, record }) => [
      `${path}#${version}`,
      Buffer.from(record).readUInt32BE(6),
    ]),
  )
}

function records(home: Home): string[] {
  using db = new DatabaseSync(home.store, { readOnly: true })
  const rows = db.prepare('select record from credential_version order by path, version').all()
  return rows.map(({ record }) => Buffer.from(record as Uint8Array).toString('hex'))
}

async function reveal(admin: RawClient, path: string, version?: number): Promise<string> {
  const params = version === undefined ? { path } : { path, version }
  const { value_hex, value } = await admin.call('admin.cred.reveal', params)
  return Buffer.from(value_hex ?? value, 'hex').toString()
}

test('vault §28.41: a new passphrase opens, the old one does not, and no record was rewritten', async () => {
  using home = temporaryHome()
  {
    await using _daemon = await boot(home, { passphrase: PASSPHRASE })
    const admin = await operator(home)
    await putCredential(admin, 'a/b', 'value')
    const before = records(home)
    await expect(
      admin.call('admin.passwd', {
        passphrase_base64: base64('wrong'),
        new_passphrase_base64: base64(NEXT),
      }),
    ).rejects.toMatchObject({ code: 'UNSEAL_FAILED' })
    await admin.call('admin.passwd', {
      passphrase_base64: base64(PASSPHRASE),
      new_passphrase_base64: base64(NEXT),
    })
    expect(records(home)).toEqual(before)
    admin.destroy()
  }
  await expect(boot(home, { passphrase: PASSPHRASE })).rejects.toMatchObject({
    code: 'UNSEAL_FAILED',
  })
  await using _daemon = await boot(home, { passphrase: NEXT })
  const admin = await operator(home)
  expect(await reveal(admin, 'a/b')).toBe('value')
  admin.destroy()
})

test('vault §28.41: a new term moves every data key; values and old versions stay readable', async () => {
  using home = temporaryHome()
  await using _daemon = await boot(home)
  const admin = await operator(home)
  for (let n = 0; n < 250; n += 1) await putCredential(admin, `many/${n}`, `value ${n}`)
  await putCredential(admin, 'a/b', 'first')
  await putCredential(admin, 'a/b', 'second')
  expect(new Set(Object.values(terms(home)))).toEqual(new Set([1]))
  expect(await admin.call('admin.rotate_term')).toMatchObject({ term: 2 })
  await expect
    .poll(() => [...new Set(Object.values(terms(home)))], { timeout: 10_000 })
    .toEqual([2])
  expect(await reveal(admin, 'a/b', 1)).toBe('first')
  expect(await reveal(admin, 'a/b')).toBe('second')
  expect(await reveal(admin, 'many/249')).toBe('value 249')
  await admin.call('admin.cred.destroy', { path: 'a/b', versions: [1] })
  await expect(reveal(admin, 'a/b', 1)).rejects.toMatchObject({ code: 'CREDENTIAL_NOT_FOUND' })
  expect(await reveal(admin, 'a/b')).toBe('second')
  admin.destroy()
})

test('vault §28.41: a re-wrap that was cut short goes on at the next start', async () => {
  using home = temporaryHome()
  const count = 1_500
  {
    await using daemon = await boot(home)
    const admin = await operator(home)
    for (let n = 0; n < count; n += 1) {
      const params = { path: `many/${n}`, value_base64: base64(`value ${n}`) }
      admin.send({ id: `put ${n}`, method: 'admin.cred.put', params })
    }
    for (let n = 0; n < count; n += 1) expect((await admin.next())?.result?.version).toBe(1)
    await admin.call('admin.rotate_term')
    await daemon.seal('cut short')
    admin.destroy()
  }
  const left = Object.values(terms(home)).filter((term) => term === 1).length
  expect(left, 'the test was too slow to cut anything short').toBeGreaterThan(0)
  await using _daemon = await boot(home)
  await expect
    .poll(() => [...new Set(Object.values(terms(home)))], { timeout: 10_000 })
    .toEqual([2])
  const admin = await operator(home)
  expect(await reveal(admin, 'many/7')).toBe('value 7')
  expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
  admin.destroy()
})

test('a row that was altered is not given a new MAC by a re-wrap; the others move', async () => {
  using home = temporaryHome()
  await using _daemon = await boot(home)
  const admin = await operator(home)
  for (const path of ['a/1', 'a/2', 'a/3']) await putCredential(admin, path, path)
  {
    using db = new DatabaseSync(home.store)
    db.exec(`update credential_version set created_by = 'operator:mallory' where path = 'a/2'`)
  }
  await admin.call('admin.rotate_term')
  await expect
    .poll(() => terms(home), { timeout: 10_000 })
    .toEqual({
      'a/1#1': 2,
      'a/2#1': 1,
      'a/3#1': 2,
    })
  await expect(admin.call('admin.cred.show', { path: 'a/2' })).rejects.toMatchObject({
    code: 'STORE_CORRUPT',
  })
  await expect
    .poll(
      async () =>
        (await admin.call('admin.audit.query', { action: 'vault.rewrap' })).records as object[],
      { timeout: 10_000 },
    )
    .toMatchObject([{ success: false, data: { rewrapped: 2, broken: ['a/2'] } }])
  admin.destroy()
})

test('a term that is due is rotated by itself', async () => {
  using home = temporaryHome()
  await (await boot(home)).stop()
  {
    // 2^31 wraps under term 1, as the store counts them.
    using db = new DatabaseSync(home.store)
    db.prepare(`insert into meta values ('term_wraps/1', ?)
      on conflict (key) do update set value = excluded.value`).run(String(2 ** 31))
  }
  await using _daemon = await boot(home)
  const admin = await operator(home)
  await expect
    .poll(async () => (await admin.call('admin.server.show')).term, { timeout: 10_000 })
    .toMatchObject({ term: 2, due: false })
  await putCredential(admin, 'a/b', 'value')
  expect(terms(home)).toEqual({ 'a/b#1': 2 })
  expect(await admin.call('admin.audit.query', { action: 'vault.rotate_term' })).toMatchObject({
    records: [{ data: { term: 2 } }],
  })
  admin.destroy()
})

test('a new root key drops the slots nobody proved, and keeps data and term', async () => {
  using home = temporaryHome()
  {
    await using _daemon = await boot(home, { passphrase: PASSPHRASE })
    const admin = await operator(home)
    await putCredential(admin, 'a/b', 'value')
    await admin.call('admin.slot.add', {
      type: 'passphrase',
      label: 'second',
      passphrase_base64: base64(PASSPHRASE),
      new_passphrase_base64: base64(NEXT),
    })
    expect((await admin.call('admin.slot.list')).slots).toHaveLength(2)
    const before = records(home)
    const rotated = await admin.call('admin.rotate_root', { passphrase_base64: base64(NEXT) })
    expect(rotated).toMatchObject({ kept: [expect.anything()], dropped: [expect.anything()] })
    expect(records(home)).toEqual(before)
    // The open vault goes on as if nothing had been.
    expect(await reveal(admin, 'a/b')).toBe('value')
    await admin.call('admin.rotate_term')
    await expect.poll(() => terms(home), { timeout: 10_000 }).toEqual({ 'a/b#1': 2 })
    admin.destroy()
  }
  await expect(boot(home, { passphrase: PASSPHRASE })).rejects.toMatchObject({
    code: 'UNSEAL_FAILED',
  })
  await using _daemon = await boot(home, { passphrase: NEXT })
  const admin = await operator(home)
  expect(await reveal(admin, 'a/b')).toBe('value')
  admin.destroy()
})

test('the last slot cannot be removed', async () => {
  using home = temporaryHome()
  await using _daemon = await boot(home, { passphrase: PASSPHRASE })
  const admin = await operator(home)
  const { slots } = await admin.call('admin.slot.list')
  await expect(
    admin.call('admin.slot.remove', {
      id: slots[0].id,
      passphrase_base64: base64(PASSPHRASE),
    }),
  ).rejects.toMatchObject({ code: 'CONFLICT' })
  admin.destroy()
})

test('vault §28.46: shares open the vault one at a time, from different connections, any threshold of them', async () => {
  using home = temporaryHome()
  let shares: string[]
  {
    await using _daemon = await boot(home, { passphrase: PASSPHRASE })
    const admin = await operator(home)
    await putCredential(admin, 'a/b', 'value')
    const made = await admin.call('admin.slot.add', {
      type: 'shamir',
      threshold: 3,
      shares: 5,
      passphrase_base64: base64(PASSPHRASE),
    })
    shares = [1, 2, 3, 4, 5].map((n) => made[`share_${n}`])
    expect(new Set(shares).size).toBe(5)
    admin.destroy()
  }
  const [one, two, three, four, five] = shares as [string, string, string, string, string]
  await using daemon = await boot(home, { dev: false })
  const send = async (share: string) => {
    const client = await RawClient.connect({ path: home.adminSocket })
    try {
      return await client.call('admin.unseal', { share })
    } finally {
      client.destroy()
    }
  }
  for (const subset of [
    [one, two, three],
    [five, three, one],
  ]) {
    expect(await send(subset[0] as string)).toMatchObject({
      sealed: true,
      progress: { have: 1, need: 3 },
    })
    // The same one twice is one.
    expect(await send(subset[0] as string)).toMatchObject({ progress: { have: 1 } })
    const mistyped = `${four.slice(0, 20)}${four[20] === 'A' ? 'B' : 'A'}${four.slice(21)}`
    await expect(send(mistyped)).rejects.toMatchObject({ code: 'UNSEAL_FAILED' })
    expect(await send(subset[1] as string)).toMatchObject({ sealed: true, progress: { have: 2 } })
    expect(await send(subset[2] as string)).toMatchObject({ sealed: false })
    const admin = await operator(home)
    expect(await reveal(admin, 'a/b')).toBe('value')
    admin.destroy()
    await daemon.seal('again')
  }
  // Fewer do not, and a reset forgets them.
  await send(one)
  await send(two)
  const client = await RawClient.connect({ path: home.adminSocket })
  expect(await client.call('admin.unseal_reset')).toEqual({ sealed: true })
  expect(await send(four)).toMatchObject({ sealed: true, progress: { have: 1, need: 3 } })
  client.destroy()
})

test('vault §28.46: a share of another vault is refused when it is entered', async () => {
  using home = temporaryHome()
  using other = temporaryHome()
  const shareOf = async (at: Home): Promise<string> => {
    await using _daemon = await boot(at, { passphrase: PASSPHRASE })
    const admin = await operator(at)
    const made = await admin.call('admin.slot.add', {
      type: 'shamir',
      threshold: 2,
      shares: 3,
      passphrase_base64: base64(PASSPHRASE),
    })
    admin.destroy()
    return made.share_1
  }
  await shareOf(home)
  const foreign = await shareOf(other)
  await using _daemon = await boot(home, { dev: false })
  const client = await RawClient.connect({ path: home.adminSocket })
  await expect(client.call('admin.unseal', { share: foreign })).rejects.toMatchObject({
    code: expect.stringMatching(/INVALID_PARAMS|UNSEAL_FAILED/),
    error: { suggestion: expect.any(String) },
  })
  client.destroy()
})

test('changes made while a term is rotated are neither lost nor refused', async () => {
  using home = temporaryHome()
  {
    await using _daemon = await boot(home)
    const admin = await operator(home)
    const other = await operator(home)
    const scout = newAgentKeys('scout')
    await admin.call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
    await putRules(admin, {
      name: 'all',
      principals: ['agent:*'],
      resources: ['**'],
      actions: ['retrieve'],
    })
    const agent = await RawClient.connect({ path: home.vaultSocket })
    await agent.login(scout)
    await putCredential(admin, 'c/0', 'value 0')
    for (let round = 1; round <= 15; round += 1) {
      const rotating = other.call('admin.rotate_term')
      await putCredential(admin, `c/${round}`, `value ${round}`)
      const { value } = await agent.call('retrieve', { path: `c/${round - 1}` })
      expect(Buffer.from(value, 'hex').toString()).toBe(`value ${round - 1}`)
      await rotating
    }
    for (const client of [admin, other, agent]) client.destroy()
  }
  // The signed fingerprint of the rows has kept up with all of it.
  await using _daemon = await boot(home)
  const admin = await operator(home)
  for (let n = 0; n <= 15; n += 1) expect(await reveal(admin, `c/${n}`)).toBe(`value ${n}`)
  await expect
    .poll(() => [...new Set(Object.values(terms(home)))], { timeout: 10_000 })
    .toEqual([16])
  admin.destroy()
})
