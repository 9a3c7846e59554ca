import { expect, test } from 'vitest'
import { compareAnswers } from '../vault/policy-agreement.ts'

test('vault §28.31: policy test and the live decision agree on 10 000 random queries', async () => {
  const { asked, permitted } = await compareAnswers({ sets: 250, seed: Date.now() % 2 ** 31 })
  expect(asked).toBe(10_000)
  expect(permitted).toBeGreaterThan(500)
})
