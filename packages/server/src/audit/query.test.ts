import { appendFileSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { AuditFilter } from './filter.ts'
import { followLog } from './follow.ts'
import { AuditLog } from './log.ts'
import { type Malformed, type ReadOptions, readLog, readTailFirst, type Stored } from './query.ts'
import type { AuditEntry } from './record.ts'

const START = 1_700_000_000_000

async function filled(count: number, rotateEvery = 0) {
  const scratch = mkdtempDisposableSync(`${tmpdir()}/query-`)
  onTestFinished(() => scratch.remove())
  const dir = join(scratch.path, 'audit')
  let nowMs = START
  const log = await AuditLog.open({ dir, podName: 'ledger', now: () => nowMs })
  onTestFinished(() => log.close())
  const append = async (n: number, more: Partial<AuditEntry> = {}) => {
    nowMs += 1000
    if (rotateEvery > 0 && n % rotateEvery === 0) await log.rotate()
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
        span: { trace_id: `t${n % 7}`, span_id: `s${n}`, parent_span_id: '' },
        decision: {
          id: `dec_${n}`,
          allow: n % 5 !== 0,
          policies: [],
          reason: '',
          policy_set: 'x',
        },
        data: { path: `openai/${n % 6}`, lease: `hmac:${String(n).padStart(32, '0')}` },
        ...more,
      },
      'synced',
    )
  }
  for (let n = 1; n <= count; n += 1) await append(n)
  return { dir, log, append }
}

async function calls(records: AsyncIterable<Stored>): Promise<number[]> {
  const out: number[] = []
  for await (const { record } of records)
    if (record.detail.startsWith('call ')) out.push(Number(record.detail.slice(5)))
  return out
}

const range = (from: number, to: number, keep: (n: number) => boolean = () => true) =>
  Array.from({ length: to - from + 1 }, (_, at) => from + at).filter(keep)

test('each filter keeps exactly what it names, over segment borders', async () => {
  const { dir } = await filled(40, 15)
  const cases: [AuditFilter, (n: number) => boolean][] = [
    [{ agent: 'a1' }, (n) => n % 3 === 1],
    [{ action: 'credential.use' }, (n) => n % 2 === 0],
    [{ path: 'openai/4' }, (n) => n % 6 === 4],
    [{ requestId: 'r-7' }, (n) => n === 7],
    [{ txn: 'txn_2' }, (n) => n % 4 === 2],
    [{ traceId: 't3' }, (n) => n % 7 === 3],
    [{ decisionId: 'dec_9' }, (n) => n === 9],
    [{ denied: true }, (n) => n % 5 === 0],
    [{ sinceMs: START + 10_000, untilMs: START + 20_000 }, (n) => n >= 10 && n < 20],
    [{ agent: 'a1', denied: true }, (n) => n % 3 === 1 && n % 5 === 0],
    [{ source: 'admin' }, () => false],
    [{ actor: 'agent:a2' }, (n) => n % 3 === 2],
  ]
  for (const [filter, keep] of cases) {
    expect(await calls(readLog(dir, { filter }))).toEqual(range(1, 40, keep))
    const newest = await calls(readTailFirst(dir, 1000, { filter }))
    expect(newest).toEqual(range(1, 40, keep).reverse())
  }
})

test('vault §28.52: the record of a known lease id is found by the tag of its HMAC', async () => {
  const { dir } = await filled(20)
  const text = `hmac:${'13'.padStart(32, '0')}`
  expect(await calls(readLog(dir, { filter: { text } }))).toEqual([13])
})

test('the newest records come first and no more than asked for are read', async () => {
  const { dir } = await filled(40, 15)
  expect(await calls(readTailFirst(dir, 3))).toEqual([40, 39, 38])
  // Over the border of a segment, whose audit_open is one of the twelve.
  expect(await calls(readTailFirst(dir, 12))).toEqual(range(30, 40).reverse())
  // The oldest segment may as well be unreadable.
  writeFileSync(join(dir, 'audit-000000000001.jsonl'), 'x'.repeat(10_000))
  expect(await calls(readTailFirst(dir, 5))).toEqual([40, 39, 38, 37, 36])
})

test('reading from a seq opens no older segment', async () => {
  const { dir } = await filled(40, 15)
  writeFileSync(join(dir, 'audit-000000000001.jsonl'), 'no record\n')
  const malformed: Malformed[] = []
  const options: ReadOptions = { fromSeq: 25, onMalformed: (line) => malformed.push(line) }
  const seqs: number[] = []
  for await (const { record } of readLog(dir, options)) seqs.push(record.seq)
  expect(seqs[0]).toBe(25)
  expect(seqs).toEqual(range(25, seqs.at(-1) ?? 0))
  expect(malformed).toEqual([])
})

test('a malformed line is reported and skipped', async () => {
  const { dir, log } = await filled(10)
  await log.close()
  const file = join(dir, 'audit.jsonl')
  const lines = readFileSync(file, 'utf8').split('\n')
  lines[4] = '{"half'
  writeFileSync(file, lines.join('\n'))
  const malformed: Malformed[] = []
  const options: ReadOptions = { onMalformed: (line) => malformed.push(line) }
  expect(await calls(readLog(dir, options))).toEqual(range(1, 10, (n) => n !== 4))
  expect(malformed).toMatchObject([{ file: 'audit.jsonl', length: 6 }])
  expect(await calls(readTailFirst(dir, 100, options))).toEqual(
    range(1, 10, (n) => n !== 4).reverse(),
  )
})

test('lines of the older format are listed before the chain', async () => {
  const { dir } = await filled(1)
  const old = { timestamp: '2025-01-01T00:00:00Z', pod_name: 'p', action: 'start', agent: 'x' }
  appendFileSync(join(dir, 'audit-legacy-0001.jsonl'), `${JSON.stringify(old)}\n`)
  for await (const { record, file } of readLog(dir)) {
    expect(record).toMatchObject({ v: 1, seq: 0, action: 'start', actor: 'agent:x' })
    expect(file).toBe('audit-legacy-0001.jsonl')
    break
  }
})

test('following sees every new record once and ends with its signal', async () => {
  const { dir, append } = await filled(5)
  const stop = new AbortController()
  const fresh = calls(followLog(dir, { signal: stop.signal, pollMs: 5 }))
  const all = calls(followLog(dir, { signal: stop.signal, pollMs: 5, afterSeq: 0 }))
  const some = calls(
    followLog(dir, { signal: stop.signal, pollMs: 5, afterSeq: 3, filter: { agent: 'a1' } }),
  )
  await new Promise((resolve) => setTimeout(resolve, 50))
  for (let n = 6; n <= 60; n += 1) await append(n)
  await new Promise((resolve) => setTimeout(resolve, 400))
  stop.abort()
  expect(await fresh).toEqual(range(6, 60))
  expect(await all).toEqual(range(1, 60))
  expect(await some).toEqual(range(3, 60, (n) => n % 3 === 1))
})

test('following keeps up with a writer that rotates faster than it looks', async () => {
  const { dir, append, log } = await filled(1)
  const stop = new AbortController()
  let last = 0
  const onSeen = async function* (records: AsyncIterable<Stored>) {
    for await (const stored of records) {
      last = stored.record.seq
      yield stored
    }
  }
  const seen = calls(onSeen(followLog(dir, { signal: stop.signal, pollMs: 40, afterSeq: 0 })))
  for (let n = 2; n <= 60; n += 1) {
    await append(n)
    if (n % 4 === 0) await log.rotate()
  }
  await expect.poll(() => last, { timeout: 5000 }).toBe(log.head().seq)
  stop.abort()
  expect(await seen).toEqual(range(1, 60))
})
