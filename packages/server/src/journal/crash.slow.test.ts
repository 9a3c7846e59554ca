import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { killAfterWork, runTheRest } from './test-killed-process.ts'

test('after kill -9 what was reserved runs, and what was sent and must not repeat never runs twice', async () => {
  // A process may be killed between two pieces of work; then there was nothing to recover.
  for (let round = 0; round < 5; round += 1) if ((await killedAndRecovered()) > 0) return
  expect.fail('nothing was under way in five rounds')
}, 120_000)

/** @returns How many executions were under way. */
async function killedAndRecovered(): Promise<number> {
  using dir = mkdtempDisposableSync(`${tmpdir()}/vestry-journal-`)
  const url = `sqlite:${dir.path}/vestry.db`
  const effects = `${dir.path}/effects`
  const acknowledged = await killAfterWork(url, effects, 6)
  expect(acknowledged.length).toBeGreaterThan(50)

  const { recovered, executions } = await runTheRest(url, effects)
  const known = new Set(executions.map(({ id }) => id))
  expect(acknowledged.filter((id) => !known.has(id))).toEqual([])
  for (const { repeatable, state, times, attempts } of executions) {
    if (repeatable) {
      expect(state).toBe('done')
      expect(times).toBeGreaterThanOrEqual(1)
      expect(times).toBeLessThanOrEqual(attempts)
    } else if (state === 'done') {
      expect(times).toBe(1)
    } else {
      expect(state).toBe('unknown')
      expect(times).toBeLessThanOrEqual(1)
    }
  }
  return recovered
}
