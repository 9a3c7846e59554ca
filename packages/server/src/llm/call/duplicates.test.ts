import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Duplicates } from './duplicates.ts'

const answer = (text: string) => ({ body: Buffer.from(text) })
const nobody = new AbortController().signal

test('while the first attempt runs, and for ten minutes after it, its answer is everybody’s', async () => {
  let nowMs = 0
  const book = new Duplicates(() => nowMs)
  const { promise, resolve } = Promise.withResolvers<ReturnType<typeof answer>>()
  const first = book.first('k', nobody, () => promise)
  expect(book.has('k')).toBe(true)
  const second = book.join('k', nobody)
  resolve(answer('one'))
  expect(await first).toBe(await second)
  nowMs = 599_999
  expect((await book.join('k', nobody))?.body.toString()).toBe('one')
  nowMs = 600_000
  expect(book.has('k')).toBe(false)
  expect(await book.join('k', nobody)).toBeUndefined()
  expect(book.bytes).toBe(0)
})

test('a failure is told to all who wait, and kept for nobody', async () => {
  const book = new Duplicates()
  const { promise, reject } = Promise.withResolvers<ReturnType<typeof answer>>()
  const first = book.first('k', nobody, () => promise)
  const second = book.join('k', nobody)
  reject(new Error('no'))
  await expect(first).rejects.toThrow('no')
  await expect(second).rejects.toThrow('no')
  expect(book.has('k')).toBe(false)
})

test('two that begin at once are one', async () => {
  const book = new Duplicates()
  let runs = 0
  const work = async () => {
    runs += 1
    await turn()
    return answer('x')
  }
  await Promise.all([book.first('k', nobody, work), book.first('k', nobody, work)])
  expect(runs).toBe(1)
})

test('who leaves goes alone; with the last one the attempt itself ends', async () => {
  const book = new Duplicates()
  let own: AbortSignal | undefined
  const work = (signal: AbortSignal) =>
    new Promise<ReturnType<typeof answer>>((_, reject) => {
      own = signal
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  const [one, two] = [new AbortController(), new AbortController()]
  const first = book.first('k', one.signal, work)
  const second = book.join('k', two.signal)
  one.abort(new Error('one left'))
  await expect(first).rejects.toThrow('one left')
  expect(own?.aborted).toBe(false)
  two.abort(new Error('two left'))
  await expect(second).rejects.toThrow('two left')
  expect(own?.aborted).toBe(true)
})

test('when all leave at once the attempt ends, and whoever asks then begins a new one', async () => {
  const book = new Duplicates()
  let own: AbortSignal | undefined
  const { promise, reject } = Promise.withResolvers<ReturnType<typeof answer>>()
  const all = new AbortController()
  const waiting = [
    book.first('k', all.signal, (signal) => {
      own = signal
      return promise
    }),
    book.join('k', all.signal),
  ]
  all.abort(new Error('all left'))
  expect(own?.aborted).toBe(true)
  // Its end takes a moment: it is written down.
  expect(book.has('k')).toBe(false)
  const again = book.first('k', nobody, async () => answer('anew'))
  reject(own?.reason)
  for (const one of waiting) await expect(one).rejects.toThrow('all left')
  expect((await again).body.toString()).toBe('anew')
  expect((await book.join('k', nobody))?.body.toString()).toBe('anew')
})

test('memory is bounded: the oldest answers go, and large ones are not kept', async () => {
  const book = new Duplicates()
  const put = (key: string, bytes: number) =>
    book.first(key, nobody, async () => ({ body: Buffer.alloc(bytes) }))
  await put('large', 9 * 1_024 * 1_024)
  expect(book.has('large')).toBe(false)
  for (let i = 0; i < 6; i += 1) await put(`k${i}`, 7 * 1_024 * 1_024)
  expect(book.bytes).toBeLessThanOrEqual(32 * 1_024 * 1_024)
  expect([book.has('k0'), book.has('k5')]).toEqual([false, true])
  for (let i = 0; i < 1_100; i += 1) await put(`small${i}`, 1)
  expect([book.has('small0'), book.has('small1099')]).toEqual([false, true])
  book.clear()
  expect(book.bytes).toBe(0)
})
