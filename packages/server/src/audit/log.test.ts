import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, hash } from 'node:crypto'
import {
  appendFileSync,
  mkdirSync,
  mkdtempDisposableSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Signer } from './chain.ts'
import { AuditLog } from './log.ts'
import type { AuditLogOptions } from './log-options.ts'
import type { AuditEntry, AuditRecord } from './record.ts'
import { type LogFile, openLogFile } from './segment.ts'
import { verifyLog } from './verify.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
const signer: Signer = { privateKey, id: hash('sha256', raw) }

function home(): string {
  const dir = mkdtempDisposableSync(`${tmpdir()}/audit-`)
  onTestFinished(() => dir.remove())
  return join(dir.path, 'audit')
}

function entry(n: number, more: Partial<AuditEntry> = {}): AuditEntry {
  return {
    action: 'credential.use',
    phase: 'single',
    detail: `call ${n}`,
    success: true,
    actor: 'agent:scout',
    agent: 'scout',
    source: 'vault',
    request_id: `r-${n}`,
    ...more,
  }
}

async function openLog(dir: string, more: Partial<AuditLogOptions> = {}): Promise<AuditLog> {
  const log = await AuditLog.open({ dir, podName: 'ledger', now: Date.now, ...more })
  onTestFinished(() => log.close())
  return log
}

function records(dir: string, file = 'audit.jsonl'): AuditRecord[] {
  const lines = readFileSync(join(dir, file), 'utf8').trimEnd().split('\n')
  return lines.map((line) => JSON.parse(line) as AuditRecord)
}

const actions = (dir: string) => records(dir).map(({ action }) => action)

/** A disk that can be told to refuse. */
function weakDisk() {
  const disk: { refuse: 'write' | 'sync' | undefined; hang: Promise<void> | undefined } = {
    refuse: undefined,
    hang: undefined,
  }
  const trouble = (code: string) => Object.assign(new Error(code), { code })
  const openFile = (path: string, create: boolean): LogFile => {
    const file = openLogFile(path, create)
    return {
      get size() {
        return file.size
      },
      get gone() {
        return file.gone
      },
      write(bytes) {
        if (disk.refuse === 'write') {
          file.write(bytes.subarray(0, bytes.length >> 1)) // as a full disk does: a part fits
          throw trouble('ENOSPC')
        }
        file.write(bytes)
      },
      async sync() {
        await disk.hang
        if (disk.refuse === 'sync') throw trouble('EIO')
        await file.sync()
      },
      truncate: (size) => file.truncate(size),
      close: () => file.close(),
    }
  }
  return { disk, openFile }
}

test('a log begins with audit_open, ends with audit_close and verifies in between', async () => {
  const dir = home()
  const log = await openLog(dir, { podId: 'pod-1' })
  expect(await log.append(entry(1), 'synced')).toBe(2)
  expect(await log.append(entry(2), 'written')).toBe(3)
  await log.close()

  expect(actions(dir)).toEqual(['audit_open', 'credential.use', 'credential.use', 'audit_close'])
  const [open, first] = records(dir)
  expect(open).toMatchObject({ seq: 1, prev: '0'.repeat(64), pod_name: 'ledger', v: 2 })
  expect(open?.data).toMatchObject({ pod_id: 'pod-1', format: 2, prev_segment: null })
  expect(open?.data?.['chain']).toMatch(/^[0-9a-f]{32}$/)
  expect(first).toMatchObject({ agent: 'scout', phase: 'single', request_id: 'r-1' })
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact', entries: 4, lastSeq: 4 })
})

test('only the owner can read the log', async () => {
  const dir = home()
  await openLog(dir)
  expect(statSync(dir).mode & 0o777).toBe(0o700)
  expect(statSync(join(dir, 'audit.jsonl')).mode & 0o777).toBe(0o600)
})

test('a synced record is on disk when its promise resolves', async () => {
  const dir = home()
  const log = await openLog(dir)
  const seq = await log.append(entry(1), 'synced')
  expect(log.head().seq).toBe(seq)
  expect(records(dir).at(-1)?.hash).toBe(log.head().hash)
})

test('a written record is in the file at once and on disk within the sync interval', async () => {
  const dir = home()
  const log = await openLog(dir)
  const seq = await log.append(entry(1), 'written')
  expect(records(dir).at(-1)?.seq).toBe(seq)
  expect(log.head().seq).toBe(seq - 1)
  await expect.poll(() => log.head().seq, { timeout: 1000, interval: 10 }).toBe(seq)
})

test('callers who wait at the same time share one sync', async () => {
  const dir = home()
  let syncs = 0
  const log = await openLog(dir, {
    openFile: (path, create) => {
      const file = openLogFile(path, create)
      return Object.assign(Object.create(file) as LogFile, {
        sync: () => {
          syncs += 1
          return file.sync()
        },
      })
    },
  })
  syncs = 0
  await Promise.all(Array.from({ length: 200 }, (_, n) => log.append(entry(n), 'synced')))
  expect(syncs).toBeLessThanOrEqual(2)
})

test('a second writer is turned away while the first lives', async () => {
  const dir = home()
  const log = await openLog(dir)
  await expect(AuditLog.open({ dir, podName: 'x', now: Date.now })).rejects.toMatchObject({
    code: 'INSTANCE_RUNNING',
  })
  await log.close()
  await (await openLog(dir)).close()
})

test('the lock of a writer that died, or of a reused pid, does not block', async () => {
  const dir = home()
  await (await openLog(dir)).close()
  writeFileSync(join(dir, 'audit.lock'), JSON.stringify({ pid: 2 ** 22 + 1, started: '1' }))
  await (await openLog(dir)).close()
  writeFileSync(join(dir, 'audit.lock'), JSON.stringify({ pid: process.pid, started: '1' }))
  await (await openLog(dir)).close()
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact' })
})

test('a torn last line is moved to a side file and told as coat_gap', async () => {
  const dir = home()
  await (await openLog(dir)).close()
  appendFileSync(join(dir, 'audit.jsonl'), '{"action":"credential.use","actor":"ag')
  const log = await openLog(dir)
  await log.append(entry(1), 'synced')
  await log.close()

  const gap = records(dir).find(({ action }) => action === 'coat_gap')
  expect(gap).toMatchObject({ success: false, data: { reason: 'torn_tail', bytes: 38 } })
  expect(readFileSync(join(dir, String(gap?.data?.['file'])), 'utf8')).toMatch(/^\{"action"/)
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact', torn: undefined })
})

test('what a power cut left in the middle of unsynced records is cut off with all after it', async () => {
  const dir = home()
  const log = await openLog(dir)
  for (let n = 0; n < 20; n += 1) await log.append(entry(n), 'synced')
  const image = readFileSync(join(dir, 'audit.jsonl'))
  await log.close()
  const at = image.indexOf('"call 10"')
  image.fill(0, at, at + 40) // a page that never reached the disk
  writeFileSync(join(dir, 'audit.jsonl'), image)

  const again = await openLog(dir)
  expect(again.head().seq).toBe(11 + 2) // audit_open and calls 0–9, then audit_open and the gap
  await again.close()
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact' })
  expect(readdirSync(dir).filter((name) => name.startsWith('audit-torn-'))).toHaveLength(1)
})

test('the first line of a new log torn by a crash does not stop the next start', async () => {
  const dir = home()
  mkdirSync(dir)
  writeFileSync(join(dir, 'audit.jsonl'), '{"action":"audit_o')
  await (await openLog(dir)).close()
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact', firstSeq: 1 })
})

test('a start refuses a log that is shorter than audit.head says, unless the loss is accepted', async () => {
  const dir = home()
  const log = await openLog(dir)
  log.setSigner(signer)
  for (let n = 0; n < 5; n += 1) await log.append(entry(n), 'synced')
  await log.close()
  const file = join(dir, 'audit.jsonl')
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  writeFileSync(file, `${lines.slice(0, 4).join('\n')}\n`)

  await expect(AuditLog.open({ dir, podName: 'x', now: Date.now })).rejects.toMatchObject({
    code: 'AUDIT_TRUNCATED',
    hint: expect.stringContaining('backup'),
  })
  expect(readFileSync(file, 'utf8').trimEnd().split('\n')).toHaveLength(4)

  await (await openLog(dir, { acceptTruncated: true })).close()
  const gap = records(dir).find(({ action }) => action === 'coat_gap')
  expect(gap).toMatchObject({ data: { reason: 'truncated', found_seq: 4 } })
  expect(readdirSync(dir)).toContain(String(gap?.data?.['kept_head']))
})

test('a log of the older format is kept whole, hashed into the chain and read beside it', async () => {
  const dir = home()
  mkdirSync(dir)
  const old =
    '{"timestamp":"2025-01-01T00:00:00Z","pod_name":"ledger","action":"create","detail":"x","success":true}\n'
  writeFileSync(join(dir, 'audit.jsonl'), old.repeat(3))
  const log = await openLog(dir)
  await log.rotate()
  await log.close()
  const [open] = records(dir, 'audit-000000000001.jsonl')
  expect(open?.data?.['legacy']).toEqual([
    { file: 'audit-legacy-0001.jsonl', sha256: hash('sha256', old.repeat(3)) },
  ])
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact', segments: 2 })
  appendFileSync(join(dir, 'audit-legacy-0001.jsonl'), ' ')
  expect(await verifyLog(dir)).toMatchObject({ status: 'broken', bad: { kind: 'modified' } })
})

test('checkpoints follow the record count, only while there is a key, and audit.head repeats the last', async () => {
  const dir = home()
  const heads: number[] = []
  const log = await openLog(dir, { limits: { checkpointRecords: 10 } })
  log.onCheckpoint(({ seq }) => heads.push(seq))
  await Promise.all(Array.from({ length: 30 }, (_, n) => log.append(entry(n), 'synced')))
  expect(actions(dir)).not.toContain('audit_checkpoint')

  log.setSigner(signer)
  await expect.poll(() => heads).toEqual([31])
  await Promise.all(Array.from({ length: 30 }, (_, n) => log.append(entry(n), 'synced')))
  expect(heads.length).toBeGreaterThanOrEqual(1)
  expect(actions(dir).filter((action) => action === 'audit_checkpoint')).toHaveLength(4)

  log.setSigner(undefined)
  const count = actions(dir).length
  await Promise.all(Array.from({ length: 30 }, (_, n) => log.append(entry(n), 'synced')))
  expect(actions(dir)).toHaveLength(count + 30)
  log.setSigner(signer)
  await log.close()
  const head = JSON.parse(readFileSync(join(dir, 'audit.head'), 'utf8')) as { seq: number }
  expect(head.seq).toBe(records(dir).at(-1)?.seq)
  expect(await verifyLog(dir, { publicKeys: [publicKey] })).toMatchObject({
    status: 'intact',
    signatures: 'checked',
  })
})

test('a checkpoint comes by time when there are few records', async () => {
  const dir = home()
  const log = await openLog(dir, { limits: { checkpointMs: 30 } })
  log.setSigner(signer)
  await expect.poll(() => actions(dir)).toContain('audit_checkpoint')
  const before = actions(dir).length
  await log.append(entry(1), 'synced')
  await expect
    .poll(() => actions(dir).slice(before))
    .toEqual(['credential.use', 'audit_checkpoint'])
})

test('vault §28.51: the log verifies after rotation by size, by age and by hand', async () => {
  const dir = home()
  let nowMs = 1_700_000_000_000
  const log = await openLog(dir, { now: () => nowMs, limits: { segmentBytes: 10_000 } })
  log.setSigner(signer)
  for (let n = 0; n < 100; n += 1) await log.append(entry(n), 'synced')
  const bySize = readdirSync(dir).filter((name) => /^audit-\d+/.test(name)).length
  expect(bySize).toBeGreaterThanOrEqual(2)
  nowMs += 86_400_000
  await log.append(entry(100), 'synced')
  await log.rotate()
  await log.append(entry(101), 'synced')
  await log.close()
  const report = await verifyLog(dir, { publicKeys: [publicKey] })
  expect(report).toMatchObject({ status: 'intact', segments: bySize + 3 })
  expect(records(dir)[0]?.data?.['prev_segment']).toMatchObject({ seq: records(dir)[0]!.seq - 1 })
})

test('a crash between renaming a segment and beginning the next one is survived', async () => {
  const dir = home()
  const log = await openLog(dir)
  await log.append(entry(1), 'synced')
  await log.rotate()
  await log.close()
  execFileSync('rm', [join(dir, 'audit.jsonl')])
  const again = await openLog(dir)
  await again.append(entry(2), 'synced')
  await again.close()
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact', segments: 2 })
})

test('vault §28.51: the log verifies after old segments were pruned, and after a second time', async () => {
  const dir = home()
  let nowMs = 1_700_000_000_000
  const log = await openLog(dir, { now: () => nowMs })
  const day = async () => {
    for (let n = 0; n < 10; n += 1) await log.append(entry(n), 'synced')
    nowMs += 1000
    await log.rotate()
  }
  await day()
  await expect(log.prune(nowMs)).rejects.toMatchObject({ code: 'VAULT_LOCKED' })
  log.setSigner(signer)
  await day()
  const cut = nowMs
  await day()
  await day()
  expect((await log.prune(cut)).files).toHaveLength(2)
  const keys = { publicKeys: [publicKey] }
  const report = await verifyLog(dir, keys)
  expect(report).toMatchObject({ status: 'intact', segments: 3 })
  expect(report.firstSeq).toBeGreaterThan(20)
  await day()
  expect((await log.prune(nowMs)).files).toHaveLength(3)
  expect(await log.prune(nowMs)).toEqual({ files: [], throughSeq: undefined })
  await log.close()
  expect(await verifyLog(dir, keys)).toMatchObject({ status: 'intact', segments: 1 })
})

test('a segment with an open intent is not pruned', async () => {
  const dir = home()
  const log = await openLog(dir)
  log.setSigner(signer)
  await log.append(entry(1, { phase: 'intent' }), 'synced')
  await log.rotate()
  expect((await log.prune(Date.now() + 1000)).files).toEqual([])
  await log.append(entry(1, { phase: 'outcome' }), 'written')
  expect((await log.prune(Date.now() + 1000)).files).toHaveLength(1)
})

test('intents without outcome are found at the next start, across segments', async () => {
  const dir = home()
  const log = await openLog(dir)
  const intent = (n: number) => log.append(entry(n, { phase: 'intent' }), 'synced')
  await intent(1)
  await intent(2)
  await log.rotate()
  await intent(3)
  const four = await intent(4)
  await log.append(entry(2, { phase: 'outcome' }), 'written')
  const outcome = { code: 'OK', duration_ms: 1, intent: four }
  await log.append(entry(9, { phase: 'outcome', outcome }), 'written')
  log.setSigner(signer)
  await log.close()

  const again = await openLog(dir)
  expect(again.openIntents().map(({ request_id }) => request_id)).toEqual(['r-1', 'r-3'])
  for (const { request_id, action } of again.openIntents()) {
    const interrupted = { code: 'INTERRUPTED', duration_ms: 0 }
    const closing = entry(0, { phase: 'outcome', request_id, action, outcome: interrupted })
    await again.append(closing, 'synced')
  }
  await again.close()
  const third = await openLog(dir)
  expect(third.openIntents()).toEqual([])
})

test('finding open intents does not read the whole log', async () => {
  const dir = home()
  const log = await openLog(dir, { limits: { checkpointRecords: 50 } })
  log.setSigner(signer)
  for (let n = 0; n < 40; n += 1)
    await Promise.all(
      Array.from({ length: 50 }, () => log.append(entry(n, { detail: 'x'.repeat(500) }), 'synced')),
    )
  await log.append(entry(1, { phase: 'intent' }), 'synced')
  await log.close()
  // Damage far from the end is verify's business, not the start's.
  const file = join(dir, 'audit.jsonl')
  const image = readFileSync(file)
  image.fill(0x20, 5_000, 6_000)
  writeFileSync(file, image)
  const again = await openLog(dir)
  expect(again.openIntents().map(({ request_id }) => request_id)).toEqual(['r-1'])
})

test('vault §28.50: on a full disk intents are refused with AUDIT_UNAVAILABLE, and service returns by itself', async () => {
  const point = mkdtempDisposableSync(`${tmpdir()}/audit-full-`)
  onTestFinished(() => point.remove())
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', point.path], {
      stdio: 'ignore',
    })
  } catch {
    return // not allowed to mount here; the next test shows the same with a disk that we make refuse
  }
  onTestFinished(() => void execFileSync('umount', ['-l', point.path]))
  const dir = join(point.path, 'audit')
  const log = await openLog(dir, { limits: { retryMs: 50 } })
  let refused: unknown
  let acknowledged = 0
  for (let n = 0; refused === undefined; n += 1) {
    const big = entry(n, { detail: 'x'.repeat(2000) })
    await log.append(big, 'synced').then(
      (seq) => {
        acknowledged = seq
      },
      (error: unknown) => {
        refused = error
      },
    )
  }
  expect(refused).toMatchObject({
    code: 'AUDIT_UNAVAILABLE',
    hint: expect.stringContaining('disk'),
  })
  expect(log.available).toBe(false)
  await expect(log.append(entry(0), 'synced')).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })

  execFileSync('mount', ['-o', 'remount,size=1m', point.path])
  await expect.poll(() => log.available, { timeout: 3000 }).toBe(true)
  await log.append(entry(1), 'synced')
  await log.close()
  const gap = records(dir).find(({ action }) => action === 'coat_gap')
  expect(gap).toMatchObject({ seq: acknowledged + 1, data: { error: 'ENOSPC' } })
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact' })
})

for (const refuse of ['write', 'sync'] as const)
  test(`vault §28.50: when ${refuse} fails, intents are refused, outcomes wait and the chain stays whole`, async () => {
    const dir = home()
    const { disk, openFile } = weakDisk()
    const log = await openLog(dir, { openFile, limits: { retryMs: 30, spoolChars: 3000 } })
    await log.append(entry(0), 'synced')
    // Written but not yet synced when the disk fails: acknowledged, so it must survive.
    await log.append(entry(1, { detail: 'kept' }), 'written')
    disk.refuse = refuse
    const error = await log.append(entry(2, { phase: 'intent' }), 'synced').catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
    await expect(log.append(entry(3), 'synced')).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
    })
    const spooled = Array.from({ length: 50 }, (_, n) => log.append(entry(100 + n), 'written'))
    expect(new Set(await Promise.all(spooled))).toEqual(new Set([0]))
    const { lost } = log.lag
    expect(lost).toBeGreaterThan(0)
    expect(log.lag).toMatchObject({ queued: 51 - lost, refused: 2 })

    await new Promise((resolve) => setTimeout(resolve, 100)) // a few retries that fail
    expect(log.available).toBe(false)
    disk.refuse = undefined
    await expect.poll(() => log.available).toBe(true)
    await log.append(entry(4), 'synced')
    await log.close()

    const stored = records(dir)
    const details = stored.map(({ detail }) => detail)
    expect(details).toContain('kept')
    expect(details).not.toContain('call 2')
    expect(details.filter((detail) => /^call 1\d\d$/.test(detail))).toHaveLength(50 - lost)
    const gap = stored.find(({ action }) => action === 'coat_gap')
    expect(gap?.data).toMatchObject({ reason: 'audit_unavailable', lost, refused: 2 })
    expect(await verifyLog(dir)).toMatchObject({ status: 'intact' })
    expect((await openLog(dir)).openIntents()).toEqual([])
  })

test('a disk that does not answer refuses intents after a while instead of holding them', async () => {
  const dir = home()
  const { disk, openFile } = weakDisk()
  const log = await openLog(dir, { openFile, limits: { syncTimeoutMs: 50, retryMs: 20 } })
  const { promise, resolve } = Promise.withResolvers<void>()
  disk.hang = promise
  await expect(log.append(entry(1), 'synced')).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
  disk.hang = undefined
  resolve()
  await expect.poll(() => log.available).toBe(true)
  await log.append(entry(2), 'synced')
  await log.close()
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact' })
})

test('a log that was deleted under the writer is noticed, not written into the void', async () => {
  const dir = home()
  let nowMs = 1_700_000_000_000
  const log = await openLog(dir, { now: () => nowMs, limits: { retryMs: 20 } })
  await log.append(entry(1), 'synced')
  execFileSync('rm', [join(dir, 'audit.jsonl')])
  nowMs += 2000
  await expect(log.append(entry(2), 'synced')).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
})

test('a flood of telemetry is counted and leaves room for intents', async () => {
  const dir = home()
  const log = await openLog(dir, { limits: { spoolChars: 20_000 } })
  const flood = Array.from({ length: 500 }, (_, n) => log.append(entry(n), 'written'))
  const intent = log.append(entry(0, { phase: 'intent' }), 'synced')
  expect(await intent).toBeGreaterThan(1)
  const dropped = (await Promise.all(flood)).filter((seq) => seq === 0).length
  expect(dropped).toBeGreaterThan(0)
  await log.flush()
  await log.close()
  const gap = records(dir).find(({ action }) => action === 'coat_gap')
  expect(gap?.data).toMatchObject({ lost: dropped, refused: 0 })
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact' })
})

test('entries with no canonical form are recorded all the same', async () => {
  const dir = home()
  const log = await openLog(dir)
  const loop: Record<string, unknown> = {
    big: 10n,
    nan: Number.NaN,
    fn: () => 1,
    hole: new Array(3),
  }
  loop['self'] = loop
  await log.append(entry(1, { detail: 'lone \ud800', data: loop }), 'synced')
  await log.append(entry(2, { data: { huge: 'y'.repeat(3_000_000) } }), 'synced')
  await log.close()
  const [, odd, huge] = records(dir)
  expect(odd).toMatchObject({ detail: 'lone \ufffd', data: { big: '10', nan: 'NaN' } })
  expect(huge?.data).toMatchObject({
    truncated: true,
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
  })
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact', entries: 4 })
})

test('nobody but the log writes its own records, and nothing is taken after close', async () => {
  const log = await openLog(home())
  await expect(
    log.append(entry(1, { action: 'audit_checkpoint' }), 'synced'),
  ).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
  await log.close()
  await expect(log.append(entry(1), 'synced')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
  await expect(log.rotate()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
})
