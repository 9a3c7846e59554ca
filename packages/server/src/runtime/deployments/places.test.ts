import type { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import { Places } from './places.ts'

test('runtime §20.25: never more than max_concurrent_tasks at once, and one more for each that ends', async () => {
  const places = new Places(3)
  let most = 0
  const run = async (n: number): Promise<string> => {
    try {
      const giveBack = places.take()
      most = Math.max(most, places.taken)
      for (let turn = 0; turn < n % 5; turn += 1) await Promise.resolve()
      giveBack()
      giveBack()
      return 'ran'
    } catch (error) {
      return (error as VestryError).code
    }
  }
  const told = await Promise.all(Array.from({ length: 50 }, (_, n) => run(n)))
  expect(new Set(told)).toEqual(new Set(['ran', 'RATE_LIMITED']))
  expect([most, places.taken]).toEqual([3, 0])
  await places.idle()
  expect(await run(1)).toBe('ran')
})
