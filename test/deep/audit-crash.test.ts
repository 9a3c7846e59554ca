import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { surviveKills } from '../../packages/server/src/audit/test-killed-writer.ts'

test('telemetry §16.34: the audit log survives a crash at 200 random points: readable, chained, nothing acknowledged lost', async () => {
  using scratch = mkdtempDisposableSync(`${tmpdir()}/audit-crash-`)
  expect(await surviveKills(join(scratch.path, 'audit'), 200)).toBeGreaterThan(2000)
}, 600_000)
