import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { coat, current, withContext } from '../index.ts'
import { record } from '../recorder.test-kit.ts'

const ELSEWHERE = { trace_id: `tr_${'a'.repeat(32)}`, span_id: `sp_${'b'.repeat(16)}` }

test('telemetry §16.4: a generator’s body is inside the span at every step, whoever drives it', () => {
  const recorder = record()
  const seen: (string | undefined)[] = []
  const count = coat('step', function* (): Generator<number, string, unknown> {
    seen.push(current()?.span_id)
    const sent = yield 1
    seen.push(current()?.span_id)
    yield Number(sent)
    seen.push(current()?.span_id)
    return 'end'
  })
  const steps = count()
  expect(steps.next()).toEqual({ value: 1, done: false })
  withContext(ELSEWHERE, () => expect(steps.next(5)).toEqual({ value: 5, done: false }))
  coat('tool', () => expect(steps.next()).toEqual({ value: 'end', done: true }))()
  const [{ start, end } = recorder.spans()[0]!] = recorder.spans()
  expect(seen).toEqual([start.ids.span_id, start.ids.span_id, start.ids.span_id])
  expect(end?.payload).toMatchObject({ status: 'ok', yields: 2 })
  expect(end?.payload['first_yield_ms']).toEqual(expect.any(Number))
})

test('telemetry §16.4: an asynchronous generator’s body is too, and queued calls keep their order', async () => {
  const recorder = record()
  const seen: (string | undefined)[] = []
  const count = coat('step', async function* () {
    for (const n of [1, 2, 3]) {
      seen.push(current()?.span_id)
      await new Promise(setImmediate)
      seen.push(current()?.span_id)
      yield n
    }
  })
  const steps = count()
  const taken = await Promise.all([
    steps.next(),
    withContext(ELSEWHERE, () => steps.next()),
    steps.next(),
    steps.next(),
  ])
  expect(taken.map(({ value }) => value)).toEqual([1, 2, 3, undefined])
  expect(new Set(seen)).toEqual(new Set([recorder.only('start').ids.span_id]))
  expect(seen).toHaveLength(6)
  expect(recorder.only('end').payload).toMatchObject({ status: 'ok', yields: 3 })
})

test('a generator stays what it was', () => {
  record()
  function* numbers() {
    yield* [1, 2, 3]
  }
  const wrapped = coat('step', numbers)
  const steps = wrapped()
  expect(Object.getPrototypeOf(steps)).toBe(numbers.prototype)
  expect(steps[Symbol.iterator]()).toBe(steps)
  expect([...steps]).toEqual([1, 2, 3])
  expect(Object.keys(steps)).toEqual([])
  const outer = function* () {
    yield* wrapped()
  }
  expect([...outer()]).toEqual([1, 2, 3])
})

test('telemetry §16.3: a generator that throws, is left early or is called off ends once, as it ended', async () => {
  const recorder = record()
  const cleaned: string[] = []
  const rows = coat('step', function* (_signal?: AbortSignal): Generator<number, void> {
    try {
      yield 1
      yield 2
      throw new Error('broken')
    } finally {
      cleaned.push('done')
    }
  })
  expect(() => [...rows()]).toThrow('broken')
  for (const _ of rows()) break
  const thrown = rows()
  thrown.next()
  expect(() => thrown.throw(new Error('from outside'))).toThrow('from outside')
  const controller = new AbortController()
  for (const _ of rows(controller.signal)) {
    controller.abort()
    break
  }
  rows().return(undefined)
  expect(cleaned).toHaveLength(4)
  const ends = recorder.spans().map(({ end }) => [end?.payload['status'], end?.payload['yields']])
  expect(ends).toEqual([
    ['error', 2],
    ['ok', 1],
    ['error', 1],
    ['cancelled', 1],
    ['ok', 0],
  ])

  recorder.events.length = 0
  const late = coat('step', async function* () {
    yield 1
    throw new DOMException('stop', 'AbortError')
  })
  const drain = async () => {
    for await (const _ of late()) void _
  }
  await expect(drain()).rejects.toThrow('stop')
  for await (const _ of late()) break
  expect(recorder.spans().map(({ end }) => end?.payload['status'])).toEqual(['cancelled', 'ok'])
  expect(recorder.events).toHaveLength(4)
})

test('a body that asks itself for a value is refused by the language, and goes on', () => {
  const recorder = record()
  let steps: Generator<unknown> | undefined
  const odd = coat('step', function* () {
    try {
      steps?.next()
    } catch (error) {
      yield (error as Error).message
    }
    yield 'still here'
  })
  steps = odd()
  expect([...steps]).toEqual([expect.stringContaining('already running'), 'still here'])
  expect(recorder.only('end').payload['status']).toBe('ok')
})

test('the first few values are shown while capture is on, and none otherwise', () => {
  const shown = (env: Record<string, string>) => {
    const recorder = record(env)
    const all = [...coat('step', () => [1, 2, 3, 4, 5].values())()]
    expect(all).toHaveLength(5)
    recorder.events.length = 0
    for (const _ of coat('step', function* () {
      yield* ['a', 'b', 'c', 'd']
    })());
    return recorder.only('end').payload.preview?.yields
  }
  expect(shown({ ENVPOD_COAT_CAPTURE: 'redacted' })).toEqual(['a', 'b', 'c'])
  expect(shown({})).toBeUndefined()
})

test('a generator left lying is abandoned once it is collected', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const recorder = record()
  const open = coat('step', async function* () {
    yield 1
    yield 2
  })
  await open().next()
  for (let round = 0; round < 200 && recorder.events.length < 2; round += 1) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  expect(recorder.only('end').payload).toMatchObject({ status: 'abandoned', yields: 1 })
})

test('telemetry §16.4: one generator that call after call returns can still be read', () => {
  record()
  const one = (function* () {
    yield 1
    yield 2
  })()
  const kept = coat('step', () => one)
  for (let calls = 0; calls < 20_000; calls += 1) kept()
  expect([...one]).toEqual([1, 2])
})
