import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { killedRuns } from './test-killed-run.ts'

test('runtime §5.2: no effect of a workflow happens twice, whenever its process is killed', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'workflow-'))
  const url = `sqlite:${join(dir.path, 'vestry.db')}`
  const { times, ends } = await killedRuns(url, join(dir.path, 'effects'), 60, 2)
  expect(ends.filter((end) => end !== 'done' && end !== 'OUTCOME_UNKNOWN')).toEqual([])
  const twice = [...times].filter(([line, n]) => n > 1 && line.includes(' post'))
  expect(twice).toEqual([])
  for (const [n, end] of ends.entries())
    if (end === 'done') expect(times.get(`run-${n} post`)).toBe(1)
}, 30_000)
