import { generateKeyPairSync } from 'node:crypto'
import { mkdtempDisposableSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { eachStore } from '../store/test-store.ts'
import { AuditIndex } from './audit-index.ts'
import type { AuditFilter } from './filter.ts'
import { AuditLog } from './log.ts'
import { readTailFirst, type Stored } from './query.ts'

async function filled() {
  const scratch = mkdtempDisposableSync(`${tmpdir()}/index-`)
  onTestFinished(() => scratch.remove())
  const dir = join(scratch.path, 'audit')
  let nowMs = 1_700_000_000_000
  const log = await AuditLog.open({ dir, podName: 'ledger', now: () => nowMs })
  onTestFinished(() => log.close())
  const append = (n: number) => {
    nowMs += 1000
    return log.append(
      {
        action: n % 2 === 0 ? 'credential.use' : 'credential.retrieve',
        phase: 'single',
        detail: `call ${n}`,
        success: n % 5 !== 0,
        actor: `agent:a${n % 3}`,
        agent: `a${n % 3}`,
        source: 'vault',
        request_id: `r-${n}`,
        txn: `txn_${n % 4}`,
        span: { trace_id: `t${n % 7}`, span_id: 's', parent_span_id: '' },
        decision: { id: `dec_${n}`, allow: n % 5 !== 0, policies: [], reason: '', policy_set: 'x' },
        data: { path: `openai/${n % 6}` },
      },
      'synced',
    )
  }
  for (let n = 1; n <= 500; n += 1) {
    await append(n)
    if (n % 150 === 0) await log.rotate()
  }
  return { dir, log, append, now: () => nowMs }
}

async function scan(dir: string, filter: AuditFilter, limit: number): Promise<number[]> {
  const out: number[] = []
  for await (const { record } of readTailFirst(dir, limit, { filter })) out.push(record.seq)
  return out
}

const seqs = (found: readonly Stored[]) => found.map(({ record }) => record.seq)

eachStore('the audit index', (at) => {
  test('answers every filter as a scan of the log does', async () => {
    const { dir, log } = await filled()
    const index = new AuditIndex({ store: at.store, dir, through: () => log.head().seq })
    expect(await index.catchUp()).toBe(log.head().seq)
    const filters: AuditFilter[] = [
      {},
      { requestId: 'r-77' },
      { txn: 'txn_1' },
      { traceId: 't3' },
      { decisionId: 'dec_123' },
      { agent: 'a2', denied: true },
      { path: 'openai/4', action: 'credential.use' },
      { sinceMs: 1_700_000_100_000, untilMs: 1_700_000_200_000 },
      { text: 'call 33"' },
      { agent: 'nobody' },
    ]
    for (const filter of filters)
      expect(seqs(await index.find(filter, 1000))).toEqual(await scan(dir, filter, 1000))
    const page = seqs(await index.find({ agent: 'a1' }, 10))
    expect(page).toEqual(await scan(dir, { agent: 'a1' }, 10))
    const next = seqs(await index.find({ agent: 'a1' }, 10, page.at(-1)))
    expect([...page, ...next]).toEqual(await scan(dir, { agent: 'a1' }, 20))
  })

  test('catches up by seq, also after a restart, and indexes nothing twice', async () => {
    const { dir, log, append } = await filled()
    const index = new AuditIndex({ store: at.store, dir })
    await index.catchUp()
    expect(await index.catchUp()).toBe(0)
    await append(501)
    expect(await index.catchUp()).toBe(1)
    await append(502)
    await log.rotate()
    const restarted = new AuditIndex({ store: at.store, dir })
    expect(await restarted.catchUp()).toBe(2)
    expect(seqs(await restarted.find({}, 5000))).toEqual(await scan(dir, {}, 5000))
  })

  test('is rebuilt from the log, and drops what was pruned', async () => {
    const { dir, log, now } = await filled()
    const index = new AuditIndex({ store: at.store, dir })
    await index.catchUp()
    await at.store.write((trx) => trx.deleteFrom('audit_index').where('seq', '>', 3).execute())
    expect(await index.rebuild()).toBe(log.head().seq)

    log.setSigner({ privateKey: generateKeyPairSync('ed25519').privateKey, id: 'k' })
    const { throughSeq } = await log.prune(now() - 300_000)
    expect(throughSeq).toBeGreaterThan(100)
    await index.catchUp()
    const { least } = await at.store.db
      .selectFrom('audit_index')
      .select((eb) => eb.fn.min('seq').as('least'))
      .executeTakeFirstOrThrow()
    expect(least).toBe((throughSeq ?? 0) + 1)
    expect(seqs(await index.find({}, 5000))).toEqual(await scan(dir, {}, 5000))
  })

  test('an index of another log is not believed', async () => {
    const one = await filled()
    await new AuditIndex({ store: at.store, dir: one.dir }).catchUp()
    const two = await filled()
    await two.append(501)
    rmSync(one.dir, { recursive: true })
    const index = new AuditIndex({ store: at.store, dir: two.dir })
    await index.catchUp()
    expect(seqs(await index.find({}, 5000))).toEqual(await scan(two.dir, {}, 5000))
  })

  test('keeps the logs of two nodes apart', async () => {
    const [one, two] = [await filled(), await filled()]
    const here = new AuditIndex({ store: at.store, dir: one.dir, node: 'one' })
    const there = new AuditIndex({ store: at.store, dir: two.dir, node: 'two' })
    await here.catchUp()
    await there.catchUp()
    expect(seqs(await here.find({ agent: 'a1' }, 50))).toEqual(
      await scan(one.dir, { agent: 'a1' }, 50),
    )
  })

  test('goes on by itself and survives a store that fails for a while', async () => {
    const { dir, append } = await filled()
    let failing = true
    const away = () => Promise.reject(new Error('away'))
    const store: typeof at.store = {
      ...at.store,
      write: (fn) => (failing ? away() : at.store.write(fn)),
      writeBehind: (rows) => (failing ? away() : at.store.writeBehind(rows)),
    }
    const index = new AuditIndex({ store, dir })
    await using _running = index.start(5)
    await expect.poll(() => index.problem).toBeInstanceOf(Error)
    failing = false
    await append(501)
    const indexed = async () => seqs(await index.find({ requestId: 'r-501' }, 1))
    await expect.poll(indexed, { timeout: 10_000 }).toHaveLength(1)
    await expect.poll(() => index.problem, { timeout: 5000 }).toBeUndefined()
  })
})
