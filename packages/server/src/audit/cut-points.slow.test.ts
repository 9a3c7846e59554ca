/** A log that a crash left cut off anywhere, as writes end in the middle of a line when power fails. */
import { cpSync, mkdtempDisposableSync, readFileSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { AuditLog } from './log.ts'
import { readLog } from './query.ts'
import type { AuditEntry, AuditRecord } from './record.ts'
import { verifyLog } from './verify.ts'

const POINTS = 200

function event(n: number): AuditEntry {
  return {
    action: 'agent_event',
    phase: 'single',
    detail: `agent.step.start work${n}`,
    success: true,
    actor: 'anonymous',
    source: 'coat',
    pid: 4242,
    uid: 1000,
    event: { kind: 'agent.step.start', payload: { fn: `work${n}`, note: 'é'.repeat(n % 90) } },
  }
}

test('telemetry §16.34: cut off at any of 200 random points, the log is readable and whole up to there, and the gap is recorded', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'cut-'))
  const whole = join(scratch.path, 'whole')
  const writer = await AuditLog.open({ dir: whole, podName: 'ledger', now: Date.now })
  for (let n = 0; n < 120; n += 1) await writer.append(event(n), 'written')
  await writer.close()
  const bytes = readFileSync(join(whole, 'audit.jsonl'))
  const before = [...textOf(bytes)].map((line) => JSON.parse(line) as AuditRecord)
  const torn = { seen: 0 }
  for (let point = 0; point < POINTS; point += 1) {
    const at = 1 + Math.floor(Math.random() * (bytes.length - 1))
    const complete = textOf(bytes.subarray(0, at)).length
    const isTorn = bytes[at - 1] !== 0x0a
    const dir = join(scratch.path, `cut-${point}`)
    cpSync(whole, dir, { recursive: true })
    truncateSync(join(dir, 'audit.jsonl'), at)

    const log = await AuditLog.open({ dir, podName: 'ledger', now: Date.now })
    await log.append(event(1_000), 'synced')
    await log.close()
    const report = await verifyLog(dir)
    expect(report, `cut at ${at}`).toMatchObject({ status: 'intact', bad: undefined })
    const read: AuditRecord[] = []
    for await (const { record } of readLog(dir)) read.push(record)
    expect(read.slice(0, complete).map(({ hash }) => hash)).toEqual(
      before.slice(0, complete).map(({ hash }) => hash),
    )
    expect(read.some(({ detail }) => detail.endsWith('work1000'))).toBe(true)
    const gaps = read.filter(({ action }) => action === 'coat_gap')
    expect(gaps.length, `cut at ${at}`).toBe(isTorn ? 1 : 0)
    if (isTorn) torn.seen += 1
  }
  expect(torn.seen).toBeGreaterThan(POINTS / 2)
})

/** Lines that have their end. */
function textOf(bytes: Buffer): string[] {
  return bytes.toString().split('\n').slice(0, -1)
}
