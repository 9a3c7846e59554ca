import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AuditLog } from './log.ts'
import { readLog } from './query.ts'
import { verifyLog } from './verify.ts'

/** Appends as fast as it can and says on stdout what was acknowledged as synced. */
const WRITER = `
  import { writeSync } from 'node:fs'
  import { AuditLog } from '${new URL('./log.ts', import.meta.url).href}'
  const [dir, run] = process.argv.slice(1)
  const log = await AuditLog.open({ dir, podName: 'p', now: Date.now, limits: { segmentBytes: 100_000 } })
  let n = 0
  const caller = async () => {
    while (true) {
      const request_id = run + '-' + n++
      const phase = n % 3 === 0 ? 'intent' : 'single'
      const durability = n % 4 === 0 ? 'written' : 'synced'
      const seq = await log.append(
        { action: 'a', phase, detail: 'x'.repeat(n % 700), success: true, actor: 'system', source: 'vault', request_id },
        durability)
      if (durability === 'synced') writeSync(1, seq + ' ' + request_id + '\\n')
    }
  }
  for (let at = 0; at < 16; at++) void caller()
`

async function killedWriter(
  dir: string,
  run: number,
  afterMs: number,
): Promise<Map<number, string>> {
  const args = ['--conditions=source', '--input-type=module', '-e', WRITER, dir, String(run)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exit = once(child, 'exit')
  let said = ''
  for await (const chunk of child.stdout) {
    if (said === '') setTimeout(() => child.kill('SIGKILL'), afterMs)
    said += String(chunk)
  }
  await exit
  const lines = said.split('\n').slice(0, -1)
  return new Map(lines.map((line) => [Number(line.split(' ')[0]), line.split(' ')[1] ?? '']))
}

test('after kill -9 at random points every acknowledged record is there and the chain verifies', async () => {
  using scratch = mkdtempDisposableSync(`${tmpdir()}/crash-`)
  const dir = join(scratch.path, 'audit')
  const acknowledged = new Map<number, string>()
  for (let run = 0; run < 6; run += 1)
    for (const [seq, id] of await killedWriter(dir, run, 1 + Math.random() * 60))
      acknowledged.set(seq, id)

  const log = await AuditLog.open({ dir, podName: 'p', now: Date.now })
  await log.close()
  expect(await verifyLog(dir)).toMatchObject({ status: 'intact' })
  const stored = new Map<number, string | undefined>()
  const intents = new Set<number>()
  for await (const { record } of readLog(dir)) {
    stored.set(record.seq, record.request_id)
    if (record.phase === 'intent') intents.add(record.seq)
  }
  expect(acknowledged.size).toBeGreaterThan(50)
  for (const [seq, id] of acknowledged) expect(stored.get(seq)).toBe(id)
  // None of them had an outcome, over all six crashes.
  expect(new Set(log.openIntents().map(({ seq }) => seq))).toEqual(intents)
}, 60_000)

test('after a power cut, whatever it left of the unsynced bytes, the synced records stand', async () => {
  using scratch = mkdtempDisposableSync(`${tmpdir()}/power-`)
  let home = 0
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 20 }),
      fc.integer({ min: 0, max: 20 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(600)), { maxLength: 3 }),
      async (synced, unsynced, keep, holes) => {
        const dir = join(scratch.path, String(home++))
        const file = join(dir, 'audit.jsonl')
        const log = await AuditLog.open({ dir, podName: 'p', now: Date.now })
        const append = (n: number) =>
          log.append(
            {
              action: 'a',
              phase: 'single',
              detail: `call ${n}`,
              success: true,
              actor: 'system',
              source: 'vault',
            },
            'synced',
          )
        for (let n = 0; n < synced; n += 1) await append(n)
        const safe = readFileSync(file).length
        const { seq } = log.head()
        for (let n = 0; n < unsynced; n += 1) await append(n)
        const image = readFileSync(file)
        await log.close()

        const left = image.subarray(0, safe + Math.floor(keep * (image.length - safe)))
        for (const [where, length] of holes) {
          const from = safe + Math.floor(where * (left.length - safe))
          left.fill(0, from, Math.min(from + length, left.length))
        }
        writeFileSync(file, left)

        const again = await AuditLog.open({ dir, podName: 'p', now: Date.now })
        await again.close()
        const report = await verifyLog(dir)
        expect(report.status).toBe('intact')
        expect(report.torn).toBeUndefined()
        expect(report.lastSeq).toBeGreaterThan(seq)
      },
    ),
    { numRuns: 60 },
  )
})
