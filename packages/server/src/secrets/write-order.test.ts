import { setImmediate as turn } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { WriteOrder } from './write-order.ts'

const never = new AbortController().signal

test('writes of one secret come one after the other, those of others do not wait', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({ key: fc.constantFrom('a', 'b', 'c'), turns: fc.nat(3), fails: fc.boolean() }),
        { maxLength: 12 },
      ),
      async (writes) => {
        const order = new WriteOrder()
        const running = new Set<string>()
        const ended: Record<string, number[]> = { a: [], b: [], c: [] }
        await Promise.allSettled(
          writes.map(({ key, turns, fails }, at) =>
            order.run(key, never, async () => {
              expect(running.has(key)).toBe(false)
              running.add(key)
              for (let left = turns; left > 0; left -= 1) await turn()
              running.delete(key)
              ended[key]?.push(at)
              if (fails) throw new Error('x')
            }),
          ),
        )
        for (const list of Object.values(ended))
          expect(list).toEqual([...list].sort((one, other) => one - other))
        expect(Object.values(ended).flat()).toHaveLength(writes.length)
      },
    ),
    { numRuns: 50 },
  )
})

test('shut, it waits for those under way and holds new ones back until it is opened', async () => {
  const order = new WriteOrder()
  const { promise, resolve } = Promise.withResolvers<void>()
  const first = order.run('a', never, () => promise)
  await turn()
  const shutting = order.shut(never)
  let second = false
  const later = order.run('b', never, async () => {
    second = true
  })
  await turn()
  resolve()
  const gate = await shutting
  await first
  await turn()
  expect(second).toBe(false)
  gate[Symbol.dispose]()
  await later
  expect(second).toBe(true)
})

test('whoever gives up waiting leaves the others in order, and a gate that nobody waits for opens', async () => {
  const order = new WriteOrder(3)
  const { promise, resolve } = Promise.withResolvers<void>()
  const first = order.run('a', never, () => promise)
  const leaving = new AbortController()
  const second = order.run('a', leaving.signal, async () => expect.unreachable())
  const third = order.run('a', never, async () => 'third')
  await expect(order.run('b', never, async () => {})).rejects.toMatchObject({
    code: 'BACKEND_UNAVAILABLE',
    context: { retry_after_ms: 1_000 },
  })
  leaving.abort(new VestryError('CANCELLED'))
  await expect(second).rejects.toMatchObject({ code: 'CANCELLED' })
  const tired = new AbortController()
  const shutting = order.shut(tired.signal)
  tired.abort(new VestryError('CANCELLED'))
  await expect(shutting).rejects.toMatchObject({ code: 'CANCELLED' })
  resolve()
  await first
  expect(await third).toBe('third')
})
