import { expect, test } from 'vitest'
import { Meter } from './meter.ts'

const usage = (prompt: number, completion: number, cached?: number) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  ...(cached !== undefined && { prompt_tokens_details: { cached_tokens: cached } }),
})

test('a call that reached nobody used nothing', () => {
  const meter = new Meter(3_000)
  expect([meter.wasSent, meter.estimated, meter.usage]).toEqual([false, false, usage(0, 0)])
  meter.sent()
  meter.notSent()
  expect(meter.usage).toEqual(usage(0, 0))
})

test('the provider’s own count is taken, cached tokens included', () => {
  const meter = new Meter(3_000)
  meter.sent()
  meter.received(5_000)
  meter.counted(usage(100, 20, 60))
  expect(meter.estimated).toBe(false)
  expect(meter.use).toEqual({ promptTokens: 100, completionTokens: 20, cachedTokens: 60 })
})

test('an answer that nobody counted is estimated from its bytes', () => {
  const meter = new Meter(3_000)
  meter.sent()
  meter.received(300)
  meter.received(300)
  meter.counted(undefined)
  expect(meter.estimated).toBe(true)
  expect(meter.usage).toEqual(usage(1_000, 200))
})

test('a count of the beginning is raised to what has come', () => {
  const meter = new Meter(3_000)
  meter.sent()
  meter.received(600)
  meter.countedSoFar(usage(77, 1))
  expect([meter.estimated, meter.usage]).toEqual([true, usage(77, 200)])
})

test('a provider that refuses is not paid', () => {
  const meter = new Meter(3_000)
  meter.sent()
  meter.free()
  expect([meter.estimated, meter.usage]).toEqual([false, usage(0, 0)])
})
