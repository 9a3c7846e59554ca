import { expect, test } from 'vitest'
import { agentUid } from './uid.ts'

test('root gives each run a user of its own, the same one each time, far from all others', () => {
  const uids = Array.from({ length: 1_000 }, (_, index) => agentUid(0, `run_${index}`, undefined))
  expect(new Set(uids).size).toBe(1_000)
  for (const uid of uids) {
    expect(uid).toBeGreaterThanOrEqual(1_900_000_000)
    expect(uid).toBeLessThan(2 ** 31)
  }
  expect(agentUid(0, 'run_7', undefined)).toBe(uids[7])
  expect(agentUid(0, 'run_7', 5_000)).toBe(5_000)
})

test('nobody becomes root, and nobody but root becomes another', () => {
  expect(agentUid(1_000, 'r', undefined)).toBeUndefined()
  expect(agentUid(1_000, 'r', 1_000)).toBeUndefined()
  expect(() => agentUid(1_000, 'r', 1_001)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  expect(() => agentUid(0, 'r', 0)).toThrow(expect.objectContaining({ code: 'USAGE' }))
})
