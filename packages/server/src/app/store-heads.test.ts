import { createSecretKey } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { AuditLog } from '../audit/log.ts'
import { eachStore } from '../store/test-store.ts'
import { note } from './note.ts'
import { StoreHeads } from './store-heads.ts'

const keys = { vaultId: 'v', rowKey: createSecretKey(Buffer.alloc(32, 7)) }

const policySet = async (): Promise<string> => 'p'
const areThoseOf = async (): Promise<boolean> => false

async function logIn(dir: string): Promise<AuditLog> {
  return AuditLog.open({ dir, podName: 'node', now: Date.now })
}

eachStore('heads', (at) => {
  test('a log the store has seen passes; a shorter, another or an older one does not', async () => {
    using dir = temporary()
    await using audit = await logIn(join(dir.path, 'a'))
    const heads = new StoreHeads({
      store: at.store,
      keys: () => keys,
      audit,
      node: 'n',
      policySet,
      areThoseOf,
    })
    await heads.compare() // nothing is known yet
    await audit.append(note('x', 'one'), 'synced')
    await heads.keep(audit.head())
    expect(await heads.kept()).toMatchObject({ seq: audit.head().seq })
    await audit.append(note('x', 'two'), 'synced')
    await heads.compare()

    const { seq, hash } = audit.head()
    const refused = expect.objectContaining({ code: 'AUDIT_TRUNCATED', hint: expect.any(String) })
    await heads.keep({ seq: seq + 1, hash })
    await expect(heads.compare()).rejects.toEqual(refused)
    await heads.keep({ seq: seq - 1, hash }) // the right number and another record
    await expect(heads.compare()).rejects.toEqual(refused)

    await using other = await logIn(join(dir.path, 'b'))
    const others = (node: string) =>
      new StoreHeads({
        store: at.store,
        keys: () => keys,
        audit: other,
        node,
        policySet,
        areThoseOf,
      })
    await expect(others('n').compare()).rejects.toEqual(expect.anything())
    if (at.engine === 'postgres') await others('another node').compare()
    await others('n').adopt()
    await others('n').compare()
  })

  test('the generation is repeated before its newest mention lies too far back', async () => {
    using dir = temporary()
    await using audit = await logIn(dir.path)
    const heads = new StoreHeads({
      store: at.store,
      keys: () => keys,
      audit,
      node: 'n',
      policySet,
      areThoseOf,
    })
    const mentions = async () => {
      await audit.flush()
      const log = readFileSync(join(dir.path, 'audit.jsonl'), 'utf8')
      return log.split('\n').filter((line) => line.includes('vault.state')).length
    }
    const head = audit.head()
    await heads.onCheckpoint({ ...head, seq: head.seq + 1_000 })
    expect(await mentions()).toBe(0)
    await heads.onCheckpoint({ ...head, seq: head.seq + 150_000 })
    expect(await mentions()).toBe(1)
    await heads.onCheckpoint({ ...head, seq: head.seq + 151_000 })
    expect(await mentions()).toBe(1)
  })

  test('a record of the state pairs a generation with the policies of that very generation', async () => {
    using dir = temporary()
    await using audit = await logIn(dir.path)
    let changes = 1
    const policySet = async () => {
      const seen = `set of ${await at.store.generation()}`
      if (changes-- > 0) await at.store.change(async () => undefined)
      return seen
    }
    const heads = new StoreHeads({
      store: at.store,
      keys: () => keys,
      audit,
      node: 'n',
      policySet,
      areThoseOf,
    })
    const before = await at.store.generation()
    const generation = before + 1
    expect(await heads.state()).toEqual({ generation, policy_set: `set of ${generation}` })
    changes = 9 // never still: nothing is said of the policies
    expect(await heads.state()).toEqual({ generation: generation + 3 })
  })

  test('policies that are not those of the newest record are refused', async () => {
    let stored = 'recorded'
    let known = (_: string): boolean | undefined => false
    using dir = temporary()
    await using audit = await logIn(dir.path)
    const heads = new StoreHeads({
      store: at.store,
      keys: () => keys,
      audit,
      node: 'n',
      policySet: async () => stored,
      areThoseOf: async (recorded) => known(recorded),
    })
    const generation = await at.store.generation()
    const change = { ...note('policy.update', 'x'), data: { generation, policy_set: 'recorded' } }
    await audit.append(change, 'synced')
    await heads.compare()
    stored = 'another'
    await expect(heads.compare()).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
    // The same policies under another version's built-in ones, and a set of which nothing is known.
    for (const answer of [true, undefined]) {
      known = () => answer
      await heads.compare()
    }
    known = () => false
    // Another node changed them since: the fingerprint of the rows answers for that.
    await at.store.change(async () => undefined)
    await heads.compare()
    await audit.append({ ...change, data: { generation: generation + 9 } }, 'synced')
    await expect(heads.compare()).rejects.toMatchObject({ code: 'STORE_ROLLED_BACK' })
  })
})

function temporary(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'vestry-heads-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}
