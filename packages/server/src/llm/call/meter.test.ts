import { expect, test } from 'vitest'
import { Meter } from './meter.ts'

const SIZE = { textBytes: 3_000, mediaTokens: 0, maxOutputTokens: 500 }

function meterAt(clock: { ms: number } = { ms: 0 }) {
  return new Meter(SIZE, () => clock.ms)
}

const usage = (prompt: number, completion: number, cached?: number) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  ...(cached !== undefined && { prompt_tokens_details: { cached_tokens: cached } }),
})

test('a call that reached nobody used nothing', () => {
  const meter = meterAt()
  expect([meter.wasSent, meter.estimated, meter.usage]).toEqual([false, false, usage(0, 0)])
  meter.sent()
  meter.notSent()
  expect(meter.usage).toEqual(usage(0, 0))
})

test('the provider’s own count is taken, cached tokens included', () => {
  const meter = meterAt()
  meter.sent()
  meter.received(5_000)
  meter.counted(usage(100, 20, 60))
  expect(meter.estimated).toBe(false)
  expect(meter.use).toEqual({ promptTokens: 100, completionTokens: 20, cachedTokens: 60 })
})

test('an answer that nobody counted is estimated from its bytes', () => {
  const meter = meterAt()
  meter.sent()
  meter.received(300)
  meter.received(300)
  meter.counted(undefined)
  meter.end()
  expect(meter.estimated).toBe(true)
  expect(meter.usage).toEqual(usage(1_000, 200))
})

test('a count of the beginning is raised to what has come', () => {
  const meter = meterAt()
  meter.sent()
  meter.received(600)
  meter.countedSoFar(usage(77, 1))
  expect([meter.estimated, meter.usage]).toEqual([true, usage(77, 200)])
})

test('a provider that refuses is not paid', () => {
  const meter = meterAt()
  meter.sent()
  meter.free()
  expect([meter.estimated, meter.usage]).toEqual([false, usage(0, 0)])
})

test('what a provider may have written while nothing came is counted, up to the limit it was given', () => {
  for (const [seconds, completion] of [
    [0, 0],
    [2, 200],
    [90, 500],
  ] as const) {
    const clock = { ms: 1_000 }
    const meter = meterAt(clock)
    meter.sent()
    clock.ms += seconds * 1_000
    meter.end()
    expect([meter.estimated, meter.usage]).toEqual([true, usage(1_000, completion)])
  }
})

test('time counts only until the answer begins', () => {
  const clock = { ms: 0 }
  const meter = meterAt(clock)
  meter.sent()
  clock.ms = 1_000
  meter.received(300)
  clock.ms = 60_000
  meter.end()
  expect(meter.usage.completion_tokens).toBe(100 + 100)
  const whole = meterAt(clock)
  whole.sent()
  clock.ms = 90_000
  whole.answered(300)
  whole.end()
  expect(whole.usage.completion_tokens).toBe(100)
})

test('a count that no call can have is not believed', () => {
  const meter = meterAt()
  meter.sent()
  meter.counted(usage(Number.MAX_SAFE_INTEGER, 1))
  meter.counted({ ...usage(1, 1), total_tokens: 1e15 })
  meter.end()
  expect([meter.estimated, meter.usage]).toEqual([true, usage(1_000, 0)])
})

test('a failure after a part was done leaves that part', () => {
  const meter = meterAt()
  meter.sent()
  meter.counted(usage(40, 0), { estimated: true })
  meter.free()
  meter.notSent()
  meter.end()
  expect([meter.wasSent, meter.usage]).toEqual([true, usage(40, 0)])
})

test('what is only in the total was written, and what went into a cache has its own price', () => {
  const meter = meterAt()
  const details = { cached_tokens: 3, cache_creation_tokens: 4 }
  meter.counted({ ...usage(10, 5), total_tokens: 115, prompt_tokens_details: details })
  expect(meter.use).toEqual({
    promptTokens: 10,
    completionTokens: 105,
    cachedTokens: 3,
    writtenTokens: 4,
  })
})
