import { mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AuditLog } from './log.ts'
import { surviveKills } from './test-killed-writer.ts'
import { verifyLog } from './verify.ts'

test('after kill -9 at random points every acknowledged record is there and the chain verifies', async () => {
  using scratch = mkdtempDisposableSync(`${tmpdir()}/crash-`)
  expect(await surviveKills(join(scratch.path, 'audit'), 6)).toBeGreaterThan(50)
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
