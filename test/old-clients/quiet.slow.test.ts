import { expect, test } from 'vitest'
import { quietRun } from './quiet-run.ts'

test('vault §28.15: no frame is ever sent that was not asked for', async () => {
  const { sent, rounds } = await quietRun(10_000)
  expect(rounds).toBeGreaterThan(1)
  expect(sent).toBeGreaterThan(100)
}, 60_000)
