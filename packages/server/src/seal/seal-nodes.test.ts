import { afterEach, expect, test } from 'vitest'
import type { Store } from '../store/store.ts'
import { eachStore } from '../store/test-store.ts'
import type { KdfCost } from './kdf.ts'
import { openRecord, sealRecord } from './record.ts'
import { Seal, type SealOptions } from './seal.ts'

const cost: KdfCost = { name: 'argon2id', memory_kib: 19_456, passes: 1, lanes: 1 }
const passphrase = Buffer.from('correct horse battery')
const keyfile = Buffer.alloc(32, 5)
const slots = [
  { type: 'passphrase' as const, passphrase },
  { type: 'keyfile' as const, keyfile },
]
const code = (code: string) => expect.objectContaining({ code })

let nodes = new AsyncDisposableStack()
afterEach(async () => {
  await nodes.disposeAsync()
  nodes = new AsyncDisposableStack()
})
const sealOn = async (store: Store, options: SealOptions = {}) =>
  nodes.use(await Seal.open(store, { cost, ...options }))

eachStore('the seal of several nodes', (at) => {
  test('a second vault in the same store is refused, also when two nodes try at once', async () => {
    const pair = [await sealOn(at.store), await sealOn(await at.open())]
    const results = await Promise.allSettled(pair.map((node) => node.init({ slots })))
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    for (const node of pair) await expect(node.init({ slots })).rejects.toEqual(code('CONFLICT'))
    const late = await sealOn(at.store)
    expect(late.state).toBe('sealed')
    await expect(late.init({ slots })).rejects.toEqual(code('CONFLICT'))
    expect(await late.listSlots()).toHaveLength(2)
  })

  test('another node takes over new keys, and seals itself when the root key was replaced', async () => {
    const seal = await sealOn(at.store)
    await seal.init({ slots })
    const node = await sealOn(await at.open())
    await seal.unseal({ passphrase })
    await node.unseal({ keyfile })
    const held = node.keys
    await seal.rotateTerm()
    await node.refresh()
    expect(held.term).toBe(2)
    const record = sealRecord(seal.keys, { path: 'p', version: 1 }, Buffer.from('v'))
    openRecord(node.keys, { path: 'p', version: 1 }, record)[Symbol.dispose]()

    // Both add at once: neither key is lost.
    const [one, other] = await Promise.all([
      seal.signingSecret('gateway/token'),
      node.signingSecret('llm/session'),
    ])
    await Promise.all([seal.refresh(), node.refresh()])
    expect(node.keys.signingSecret('gateway/token').equals(one)).toBe(true)
    expect(seal.keys.signingSecret('llm/session').equals(other)).toBe(true)

    await seal.rotateRoot([{ passphrase }, { keyfile }])
    await node.refresh()
    expect(node.state).toBe('sealed')
    expect(seal.state).toBe('unsealed')
    await seal.rotateTerm()
    expect(await node.unseal({ keyfile })).toMatchObject({ state: 'unsealed' })
    expect(node.keys.term).toBe(3)
  })

  test('two nodes removing two slots at once leave a way in', async () => {
    const seal = await sealOn(at.store)
    const { slots: made } = await seal.init({
      slots: [passphrase, Buffer.from('another horse')].map((secret) => ({
        type: 'passphrase',
        passphrase: secret,
      })),
    })
    const node = await sealOn(await at.open())
    await seal.unseal({ passphrase })
    await node.unseal({ passphrase })
    const results = await Promise.allSettled([
      seal.removeSlot(made[0]!.id),
      node.removeSlot(made[1]!.id),
    ])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await seal.listSlots()).toHaveLength(1)
  })

  test('a term is due after a year or 2^31 wraps, and wraps are counted over restarts', async () => {
    const clock = { now: 1_700_000_000_000 }
    const options = { now: () => clock.now }
    const seal = await sealOn(at.store, options)
    await seal.init({ slots })
    await seal.unseal({ passphrase })
    const { now: createdAt } = clock
    expect(await seal.termStatus()).toEqual({ term: 1, createdAt, wraps: 0, due: false })
    for (let wrap = 0; wrap < 9_000; wrap += 1) seal.keys.countWrap()
    await expect.poll(async () => (await seal.termStatus()).wraps).toBeGreaterThanOrEqual(9_000)
    const { wraps } = await seal.termStatus()

    const next = await sealOn(at.store, options)
    await next.unseal({ keyfile })
    next.keys.countWrap()
    await expect.poll(async () => (await next.termStatus()).wraps).toBeGreaterThan(wraps)
    const spent = (used: number) =>
      at.store.write((trx) =>
        trx
          .updateTable('meta')
          .set({ value: String(used) })
          .where('key', '=', 'term_wraps/1')
          .execute(),
      )
    await spent(2 ** 31)
    expect(await next.termStatus()).toMatchObject({ due: true })
    await next.rotateTerm()
    expect(await next.termStatus()).toMatchObject({ term: 2, wraps: 0, due: false })
    clock.now += 365 * 24 * 3_600_000
    expect(await next.termStatus()).toMatchObject({ due: true })
  })
})
