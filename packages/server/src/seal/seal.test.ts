import { mkdtempDisposableSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { inspect } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { openStore, type Store } from '../store/store.ts'
import type { KdfCost } from './kdf.ts'
import { openRecord, recordTerm, sealRecord } from './record.ts'
import { type RewrapRow, rewrapAll } from './rewrap.ts'
import { Seal, type SealOptions } from './seal.ts'

const COST: KdfCost = { name: 'argon2id', memory_kib: 19_456, passes: 1, lanes: 1 }
const passphrase = Buffer.from('correct horse battery')
const keyfile = Buffer.alloc(32, 5)
const code = (code: string) => expect.objectContaining({ code })

let cleanup = new AsyncDisposableStack()
afterEach(async () => {
  await cleanup.disposeAsync()
  cleanup = new AsyncDisposableStack()
})

async function emptyStore(): Promise<{ store: Store; dir: string; url: string }> {
  const dir = cleanup.use(mkdtempDisposableSync(`${tmpdir()}/seal-`))
  const url = `sqlite:${dir.path}/vestry.db`
  return { store: cleanup.use(await openStore(url)), dir: dir.path, url }
}

const sealOn = async (store: Store, options: SealOptions = {}) =>
  cleanup.use(await Seal.open(store, { cost: COST, ...options }))

/** A vault with a passphrase and a key file. */
async function made(options: SealOptions = {}) {
  const { store, dir } = await emptyStore()
  const seal = await sealOn(store, options)
  const init = await seal.init({
    slots: [
      { type: 'passphrase', passphrase },
      { type: 'keyfile', keyfile },
    ],
  })
  return { store, dir, seal, init }
}

test('a vault goes from uninitialized to sealed to unsealed and back, and its keys with it', async () => {
  const { store } = await emptyStore()
  const seal = await sealOn(store)
  expect(seal.state).toBe('uninitialized')
  expect(() => seal.keys).toThrow(code('NOT_INITIALIZED'))
  await expect(seal.unseal({ passphrase })).rejects.toEqual(code('NOT_INITIALIZED'))

  const { vaultId, generation } = await seal.init({ slots: [{ type: 'passphrase', passphrase }] })
  expect(generation).toBe(1)
  expect(seal.state).toBe('sealed')
  expect(() => seal.keys).toThrow(code('VAULT_LOCKED'))

  expect(await seal.unseal({ passphrase })).toEqual({ state: 'unsealed', failedBefore: 0 })
  const { keys } = seal
  expect(keys).toMatchObject({ vaultId, term: 1 })
  expect(keys.serverKey.publicKey).toHaveLength(32)
  expect(() => keys.termKey(2)).toThrow(code('SEAL_BROKEN'))

  expect(await seal.seal()).toEqual([])
  expect(seal.state).toBe('sealed')
  expect(() => keys.rowKey).toThrow(code('VAULT_LOCKED'))
  expect(() => keys.termKey(1)).toThrow(code('VAULT_LOCKED'))
})

test('what was sealed before a restart opens after it, with either slot', async () => {
  const { store, seal } = await made()
  await seal.unseal({ passphrase })
  const place = { path: 'openai/api_key', version: 1 }
  const record = sealRecord(seal.keys, place, Buffer.from('sk-test'))
  const { id } = seal.keys.serverKey
  const next = await sealOn(store)
  expect(next.state).toBe('sealed')
  await next.unseal({ keyfile })
  using value = openRecord(next.keys, place, record)
  expect(Buffer.from(value.bytes).toString()).toBe('sk-test')
  expect(next.keys.serverKey.id).toBe(id)
})

test('a caller may wipe its secrets as soon as it holds the promise', async () => {
  const { store } = await emptyStore()
  const seal = await sealOn(store)
  const wiped = async <T>(secret: Uint8Array, action: (copy: Uint8Array) => Promise<T>) => {
    const copy = Uint8Array.from(secret)
    const running = action(copy)
    copy.fill(0)
    return running
  }
  await wiped(passphrase, (copy) =>
    seal.init({ slots: [{ type: 'passphrase', passphrase: copy }] }),
  )
  await wiped(keyfile, (copy) => seal.addSlot({ type: 'keyfile', keyfile: copy }, { passphrase }))
  const next = Buffer.from('another horse')
  await wiped(next, (copy) => seal.changePassphrase(passphrase, copy))
  await wiped(next, (copy) => seal.unseal({ passphrase: copy }))
  await wiped(next, (copy) => seal.rotateRoot([{ passphrase: copy }, { keyfile }]))
  const again = await sealOn(store)
  expect(await wiped(keyfile, (copy) => again.unseal({ keyfile: copy }))).toMatchObject({
    state: 'unsealed',
  })
})

test('slots that would lose the vault are refused', async () => {
  const { store } = await emptyStore()
  const seal = await sealOn(store)
  const init = (...slots: Parameters<Seal['init']>[0]['slots'][number][]) => seal.init({ slots })
  await expect(init()).rejects.toEqual(code('INVALID_PARAMS'))
  await expect(init({ type: 'keyfile', keyfile })).rejects.toEqual(code('INVALID_PARAMS'))
  await expect(init({ type: 'passphrase', passphrase: Buffer.from('short') })).rejects.toEqual(
    code('INVALID_PARAMS'),
  )
  await expect(init({ type: 'shamir', threshold: 1, shares: 3 })).rejects.toEqual(
    code('INVALID_PARAMS'),
  )
  expect(seal.state).toBe('uninitialized')
  const { slots } = await seal.init({ slots: [{ type: 'keyfile', keyfile }], dev: true })
  expect(slots).toMatchObject([{ type: 'keyfile', usable: true }])
})

test('a wrong passphrase, key file or share fails alike', async () => {
  const { store } = await emptyStore()
  const seal = await sealOn(store)
  const other = await emptyStore()
  const stranger = await sealOn(other.store)
  const slots = [
    { type: 'passphrase' as const, passphrase },
    { type: 'keyfile' as const, keyfile },
    { type: 'shamir' as const },
  ]
  await seal.init({ slots })
  const { shares } = await stranger.init({ slots })
  const foreign = shares[0]!.shares[0]!.bytes
  const failed = code('UNSEAL_FAILED')
  await expect(seal.unseal({ passphrase: Buffer.from('wrong horse') })).rejects.toEqual(failed)
  await expect(seal.unseal({ passphrase: Buffer.alloc(0) })).rejects.toEqual(failed)
  await expect(seal.unseal({ keyfile: Buffer.alloc(32, 6) })).rejects.toEqual(failed)
  await expect(seal.unseal({ share: foreign })).rejects.toEqual(failed)
  expect(seal.state).toBe('sealed')
  expect(seal.failedAttempts).toBe(4)
  expect(await seal.unseal({ passphrase })).toMatchObject({ failedBefore: 4 })
  expect(seal.failedAttempts).toBe(0)
})

test('the sixth attempt in a row is refused even when it is right, until the delay is over', async () => {
  const clock = { now: 1_700_000_000_000 }
  const { seal } = await made({ now: () => clock.now })
  const wrong = { keyfile: Buffer.alloc(32, 6) }
  for (let failed = 0; failed < 5; failed += 1)
    await expect(seal.unseal(wrong)).rejects.toEqual(code('UNSEAL_FAILED'))
  await expect(seal.unseal({ keyfile })).rejects.toMatchObject({
    code: 'RATE_LIMITED',
    context: { retry_after_ms: 60_000 },
  })
  await expect(seal.addSlot({ type: 'shamir' }, { keyfile: Buffer.alloc(32, 7) })).rejects.toEqual(
    code('RATE_LIMITED'),
  )
  clock.now += 60_000
  expect(await seal.unseal({ keyfile })).toMatchObject({ state: 'unsealed', failedBefore: 5 })
})

test('vault §28.46: shares unseal one at a time, in any order, counted once each', async () => {
  const { store } = await emptyStore()
  const seal = await sealOn(store)
  const { shares, slots } = await seal.init({ slots: [{ type: 'shamir' }] })
  const texts = shares[0]!.shares.map(({ bytes }) => bytes)
  const slot = slots[0]!.id
  const offer = (at: number) => seal.unseal({ share: texts[at]! })
  expect(await offer(3)).toEqual({ state: 'sealed', progress: { slot, have: 1, need: 3 } })
  expect(await offer(3)).toEqual({ state: 'sealed', progress: { slot, have: 1, need: 3 } })
  expect(await offer(0)).toEqual({ state: 'sealed', progress: { slot, have: 2, need: 3 } })
  expect(seal.shamirProgress()).toEqual([{ slot, have: 2, need: 3 }])
  seal.resetShares()
  expect(seal.shamirProgress()).toEqual([])
  for (const at of [4, 2]) await offer(at)
  expect(await offer(1)).toMatchObject({ state: 'unsealed' })
  expect(seal.shamirProgress()).toEqual([])
})

test('vault §28.38: a share set that combines to a wrong key clears the progress', async () => {
  const { store } = await emptyStore()
  const seal = await sealOn(store)
  const { shares } = await seal.init({ slots: [{ type: 'shamir', threshold: 2, shares: 3 }] })
  await store.change((trx) =>
    trx
      .updateTable('slot')
      .set({ wrapped_root: new Uint8Array(48) })
      .execute(),
  )
  const [one, two] = shares[0]!.shares.map(({ bytes }) => bytes)
  await seal.unseal({ share: one! })
  await expect(seal.unseal({ share: two! })).rejects.toEqual(code('UNSEAL_FAILED'))
  expect(seal.shamirProgress()).toEqual([])
})

test('vault §28.38: slots and keyring edited or exchanged in the store do not open', async () => {
  const { store, seal } = await made()
  const [row] = await store.db
    .selectFrom('slot')
    .selectAll()
    .where('type', '=', 'keyfile')
    .execute()
  const keyring = await store.db.selectFrom('keyring').selectAll().executeTakeFirstOrThrow()
  const flip = (bytes: Uint8Array, at: number) =>
    bytes.map((byte, index) => (index === at ? byte ^ 1 : byte))
  const next = () => sealOn(store)
  const slotIs = (change: object) =>
    store.change((trx) =>
      trx
        .updateTable('slot')
        .set({ ...row, ...change })
        .where('type', '=', 'keyfile')
        .execute(),
    )
  for (const change of [
    { wrapped_root: flip(row!.wrapped_root, 0) },
    { wrapped_root: flip(row!.wrapped_root, 47) },
    { nonce: flip(row!.nonce, 3) },
    { id: 'slot_0000000000000000' },
  ]) {
    await slotIs(change)
    await expect((await next()).unseal({ keyfile })).rejects.toEqual(code('UNSEAL_FAILED'))
  }
  await slotIs({})
  for (const at of [0, 100, keyring.ct.length - 1]) {
    await store.change((trx) =>
      trx
        .updateTable('keyring')
        .set({ ct: flip(keyring.ct, at) })
        .execute(),
    )
    await expect((await next()).unseal({ keyfile })).rejects.toEqual(code('SEAL_BROKEN'))
  }
  await store.change((trx) => trx.updateTable('keyring').set({ ct: keyring.ct }).execute())
  await store.change((trx) =>
    trx
      .updateTable('meta')
      .set({ value: '018f3c5e-0000-7000-8000-0000000000ab' })
      .where('key', '=', 'vault_id')
      .execute(),
  )
  await expect((await next()).unseal({ keyfile })).rejects.toEqual(code('UNSEAL_FAILED'))
  expect(seal.state).toBe('sealed')
})

test('derivation parameters out of range are refused by slot, other slots still open', async () => {
  const { store, seal, init } = await made()
  const { id } = init.slots[0]!
  const kdf = { ...COST, memory_kib: 2 ** 21, salt: Buffer.alloc(16).toString('base64') }
  for (const kdf_json of [JSON.stringify(kdf), JSON.stringify({ ...kdf, memory_kib: 8 }), '{']) {
    await store.change((trx) =>
      trx.updateTable('slot').set({ kdf_json }).where('id', '=', id).execute(),
    )
    await expect(seal.unseal({ passphrase })).rejects.toMatchObject({
      code: 'STORE_CORRUPT',
      context: { table: 'slot', id },
    })
  }
  expect(seal.failedAttempts).toBe(3) // a planted slot buys no free guesses at the others
  expect(await seal.listSlots()).toMatchObject([{ id, usable: false }, { usable: true }])
  expect(await seal.unseal({ keyfile })).toMatchObject({ state: 'unsealed' })
})

test('vault §28.41: a passphrase change rewrites one slot and nothing else', async () => {
  const { store, seal } = await made()
  const other = Buffer.from('another horse')
  const look = async () => ({
    slots: await store.db.selectFrom('slot').selectAll().orderBy('type').execute(),
    keyring: await store.db.selectFrom('keyring').select(['nonce', 'ct']).execute(),
  })
  const before = await look()
  await expect(seal.changePassphrase(other, passphrase)).rejects.toEqual(code('UNSEAL_FAILED'))
  await seal.changePassphrase(passphrase, other)
  const after = await look()
  expect(after.keyring).toEqual(before.keyring)
  expect(after.slots[0]).toEqual(before.slots[0])
  expect(after.slots[1]).toMatchObject({ id: before.slots[1]?.id })
  expect(after.slots[1]?.wrapped_root).not.toEqual(before.slots[1]?.wrapped_root)
  await expect(seal.unseal({ passphrase })).rejects.toEqual(code('UNSEAL_FAILED'))
  expect(await seal.unseal({ passphrase: other })).toMatchObject({ state: 'unsealed' })
})

test('a slot is added with a proof, never without, and the last way in is never removed', async () => {
  const { seal, init } = await made()
  const [first, second] = init.slots
  const wrong = { passphrase: Buffer.from('wrong horse') }
  await expect(seal.addSlot({ type: 'shamir' }, wrong)).rejects.toEqual(code('UNSEAL_FAILED'))
  await expect(seal.removeSlot(second!.id)).rejects.toEqual(code('VAULT_LOCKED'))
  await seal.unseal({ passphrase })

  const added = await seal.addSlot({ type: 'shamir', threshold: 2, shares: 2 }, { keyfile })
  expect(added.shares).toHaveLength(2)
  const shares = added.shares.map(({ bytes }) => bytes)
  await seal.seal()
  for (const share of shares) await seal.unseal({ share })
  expect(seal.state).toBe('unsealed')

  await expect(seal.removeSlot(added.slot.id)).rejects.toEqual(code('INVALID_PARAMS'))
  await seal.removeSlot(added.slot.id, { shares })
  await expect(seal.removeSlot('slot_none')).rejects.toEqual(code('NOT_FOUND'))
  await expect(seal.removeSlot(first!.id)).rejects.toEqual(code('CONFLICT')) // a key file is left
  await seal.removeSlot(second!.id)
  await expect(seal.removeSlot(first!.id)).rejects.toEqual(code('CONFLICT')) // nothing is left
  expect(await seal.listSlots()).toMatchObject([{ id: first!.id, type: 'passphrase' }])
})

test('a key file is exchanged: the previous one still opens once and its slot moves on', async () => {
  const { store } = await made()
  const fresh = Buffer.from('ab'.repeat(32))
  const seal = await sealOn(store)
  expect(await seal.unseal({ keyfile: fresh, previous: keyfile })).toMatchObject({
    state: 'unsealed',
    keyfileReplaced: true,
  })
  await expect((await sealOn(store)).unseal({ keyfile })).rejects.toEqual(code('UNSEAL_FAILED'))
  const again = await (await sealOn(store)).unseal({ keyfile: fresh, previous: keyfile })
  expect(again.keyfileReplaced).toBeUndefined()
})

test('vault §28.41: a term rotation keeps old records readable and is resumed after it was cut short', async () => {
  const { store, seal } = await made()
  await seal.unseal({ passphrase })
  const { keys } = seal
  type Row = RewrapRow<number> & { record: Uint8Array }
  const rows = Array.from({ length: 450 }, (_, cursor): Row => {
    const place = { path: `p/${cursor}`, version: 1 }
    return { cursor, place, record: sealRecord(keys, place, Buffer.from(`value ${cursor}`)) }
  })
  rows[7] = { ...rows[7]!, record: new Uint8Array(0) } // destroyed
  rows[9] = { ...rows[9]!, record: rows[8]!.record } // moved here by someone
  const values = rows.map(({ record }) => Buffer.from(record.subarray(74)))

  expect(await seal.rotateTerm()).toMatchObject({ term: 2 })
  expect(keys.term).toBe(2)
  using old = openRecord(keys, rows[0]!.place, rows[0]!.record)
  expect(Buffer.from(old.bytes).toString()).toBe('value 0')

  let saves = 0
  const cut = new AbortController()
  const table = {
    next: async (after: number | undefined, limit: number) =>
      rows.slice((after ?? -1) + 1).slice(0, limit),
    save: async (moved: readonly { cursor: number; before: Uint8Array; after: Uint8Array }[]) => {
      for (const { cursor, before, after } of moved)
        if (rows[cursor]!.record === before) rows[cursor] = { ...rows[cursor]!, record: after }
      saves += 1
      if (saves === 1) cut.abort(new Error('stopped'))
    },
  }
  await expect(rewrapAll(keys, table, cut.signal)).rejects.toThrow('stopped')
  const terms = () => rows.map(({ record }) => (record.length > 0 ? recordTerm(record) : 0))
  expect(terms().filter((term) => term === 2)).toHaveLength(198)

  // After a restart nothing is remembered but the records themselves.
  const next = await sealOn(store)
  await next.unseal({ keyfile })
  expect(await rewrapAll(next.keys, table)).toEqual({ rewrapped: 250, broken: [9] })
  expect(await rewrapAll(next.keys, table)).toEqual({ rewrapped: 0, broken: [9] })
  expect(terms().filter((term) => term === 2)).toHaveLength(448)
  const altered = {
    ...table,
    next: async (after?: number) =>
      after === undefined ? [{ ...rows[0]!, record: undefined }] : [],
  }
  expect(await rewrapAll(next.keys, altered)).toEqual({ rewrapped: 0, broken: [0] })
  expect(rows.map(({ record }) => Buffer.from(record.subarray(74)))).toEqual(values)
})

test('a new root key keeps the slots whose secret was shown and drops the others', async () => {
  const { store, seal } = await made()
  const shamir = { type: 'shamir' as const, threshold: 2, shares: 3 }
  const { shares, slot } = await seal.addSlot(shamir, { passphrase })
  const texts = shares.map(({ bytes }) => bytes)
  await seal.unseal({ keyfile })
  const record = sealRecord(seal.keys, { path: 'p', version: 1 }, Buffer.from('v'))
  const { keyring: before } = await seal.exportHeader()

  const typo = { passphrase: Buffer.from('correct horse batterz') }
  await expect(seal.rotateRoot([{ shares: texts }, typo])).rejects.toEqual(code('UNSEAL_FAILED'))
  await expect(seal.rotateRoot([])).rejects.toEqual(code('INVALID_PARAMS'))
  await expect(seal.rotateRoot([{ keyfile }])).rejects.toEqual(code('CONFLICT'))
  expect(await seal.listSlots()).toHaveLength(3)

  const report = await seal.rotateRoot([{ shares: texts.slice(1) }, { keyfile }])
  expect(report.kept).toContain(slot.id)
  expect(report.dropped).toHaveLength(1)
  expect((await seal.exportHeader()).keyring.ct).not.toBe(before.ct)
  openRecord(seal.keys, { path: 'p', version: 1 }, record)[Symbol.dispose]()

  const next = await sealOn(store)
  await expect(next.unseal({ passphrase })).rejects.toEqual(code('UNSEAL_FAILED'))
  await next.unseal({ share: texts[0]! })
  await next.unseal({ share: texts[2]! })
  openRecord(next.keys, { path: 'p', version: 1 }, record)[Symbol.dispose]()
})

test('a signing secret is made once and is the same after a restart', async () => {
  const { store, seal } = await made()
  await expect(seal.signingSecret('gateway/token')).rejects.toEqual(code('VAULT_LOCKED'))
  await seal.unseal({ passphrase })
  const [one, same] = await Promise.all([
    seal.signingSecret('gateway/token'),
    seal.signingSecret('gateway/token'),
  ])
  expect(one.equals(same)).toBe(true)
  expect(one.symmetricKeySize).toBe(32)
  await expect(seal.signingSecret('Not A Name')).rejects.toEqual(code('INVALID_PARAMS'))
  const next = await sealOn(store)
  await next.unseal({ passphrase })
  expect((await next.signingSecret('gateway/token')).equals(one)).toBe(true)
})

test('sealing wipes the keys though a listener throws or hangs, and says so', async () => {
  const { seal } = await made()
  await seal.unseal({ passphrase })
  const { keys } = seal
  const heard: string[] = []
  seal.onSeal((reason) => {
    heard.push(reason)
    expect(() => seal.keys).toThrow(code('VAULT_LOCKED')) // no new work
    expect(keys.term).toBe(1) // what is in flight may finish
    throw new Error('lease sweep failed')
  })
  const stop = seal.onSeal(() => void heard.push('never'))
  stop()
  expect(await seal.seal('idle')).toMatchObject([{ message: 'lease sweep failed' }])
  expect(heard).toEqual(['idle'])
  expect(() => keys.term).toThrow(code('VAULT_LOCKED'))
  expect(await seal.seal()).toEqual([]) // again is nothing

  await seal.unseal({ passphrase })
  const again = seal.keys
  seal.onSeal(() => new Promise(() => {}))
  const began = performance.now()
  expect(await seal.seal()).toEqual([code('TIMEOUT')])
  expect(performance.now() - began).toBeLessThan(5_000)
  expect(() => again.term).toThrow(code('VAULT_LOCKED'))
})

test('an emergency seal wipes before anybody is told', async () => {
  const { seal } = await made()
  await seal.unseal({ keyfile })
  const { keys } = seal
  let wiped = false
  seal.onSeal(() => {
    expect(() => keys.term).toThrow(code('VAULT_LOCKED'))
    wiped = true
  })
  await seal.seal('emergency', { immediately: true })
  expect(wiped).toBe(true)
})

test('an order to seal beats an unsealing that began before it', async () => {
  const { seal } = await made()
  const unsealing = seal.unseal({ passphrase })
  await seal.seal('emergency')
  await expect(unsealing).rejects.toEqual(code('VAULT_LOCKED'))
  expect(seal.state).toBe('sealed')
  expect(seal.failedAttempts).toBe(0)
})

test('the header of a backup opens in an empty store with an unseal secret, and only there', async () => {
  const { seal, init } = await made()
  await seal.unseal({ passphrase })
  const record = sealRecord(seal.keys, { path: 'p', version: 1 }, Buffer.from('v'))
  const header: unknown = JSON.parse(JSON.stringify(await seal.exportHeader()))
  expect(header).toMatchObject({ format: 1, vault_id: init.vaultId, min_reader: 1 })

  const proof = { passphrase }
  await expect(seal.importHeader(header, proof)).rejects.toEqual(code('CONFLICT'))
  const { store } = await emptyStore()
  const fresh = await sealOn(store)
  const withHeader = (change: object) => fresh.importHeader({ ...Object(header), ...change }, proof)
  await expect(withHeader({ min_reader: 2 })).rejects.toThrow(/newer version/)
  await expect(withHeader({ format: 2 })).rejects.toEqual(code('INVALID_PARAMS'))
  await expect(withHeader({ slots: [] })).rejects.toEqual(code('INVALID_PARAMS'))
  await expect(fresh.importHeader('x', proof)).rejects.toEqual(code('INVALID_PARAMS'))
  await expect(withHeader({ vault_id: '018f3c5e-0000-7000-8000-0000000000ab' })).rejects.toEqual(
    code('UNSEAL_FAILED'),
  )
  expect(fresh.state).toBe('uninitialized')

  await fresh.importHeader(header, proof)
  expect(fresh.state).toBe('sealed')
  await fresh.unseal({ keyfile })
  openRecord(fresh.keys, { path: 'p', version: 1 }, record)[Symbol.dispose]()
})

test('vault §28.39: the data directory holds no passphrase, key, share or root key', async () => {
  const { store, dir, seal } = await made()
  const { shares } = await seal.addSlot({ type: 'shamir' }, { passphrase })
  await seal.unseal({ passphrase })
  const needles = [
    passphrase,
    keyfile,
    seal.keys.rowKey.export(),
    seal.keys.hashKey.export(),
    seal.keys.termKey(1).export(),
    ...shares.map(({ bytes }) => Buffer.from(bytes.subarray(23, 66))),
  ]
  await store.generation()
  for (const name of readdirSync(dir)) {
    const file = readFileSync(`${dir}/${name}`)
    for (const needle of needles)
      for (const form of [
        needle,
        Buffer.from(needle.toString('hex')),
        Buffer.from(needle.toString('base64').slice(0, 40)),
      ])
        expect(file.includes(form), name).toBe(false)
  }
})

test('neither the seal nor its keys nor a refusal prints a secret', async () => {
  const { seal } = await made()
  await seal.unseal({ passphrase })
  const error: unknown = await seal
    .addSlot({ type: 'shamir' }, { passphrase: Buffer.from('hunter2 hunter2') })
    .catch((reason: unknown) => reason)
  const needle = seal.keys.rowKey.export().toString('hex')
  for (const options of [{}, { depth: 12, showHidden: true, customInspect: false }])
    for (const thing of [seal, seal.keys, error, await seal.exportHeader()]) {
      const seen = `${inspect(thing, options)} ${String(thing)} ${JSON.stringify(thing)}`
      expect(seen).not.toMatch(/hunter2|68756e74657232|correct horse/)
      expect(seen).not.toContain(needle)
    }
})
