import { Readable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { coat } from '../index.ts'
import { record } from '../recorder.test-kit.ts'

/** As clients of model providers have it: an iterable with more to it. */
class EventStream {
  readonly controller = new AbortController()
  readonly #chunks: readonly unknown[]
  readonly #error: Error | undefined
  constructor(chunks: readonly unknown[], error?: Error) {
    this.#chunks = chunks
    this.#error = error
  }
  abort(): void {
    this.controller.abort()
  }
  async *[Symbol.asyncIterator]() {
    yield* this.#chunks
    if (this.#error !== undefined) throw this.#error
  }
}

async function drain(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = []
  for await (const chunk of stream) all.push(chunk)
  return all
}

test('telemetry §16.3: a model’s stream keeps its span open until it ends, and stays itself', async () => {
  const recorder = record()
  const original = new EventStream(['a', 'b'])
  const stream = coat('llm', () => original)()
  expect(stream).toBe(original)
  expect(stream.controller).toBe(original.controller)
  expect(recorder.kinds()).toEqual(['agent.llm.request'])
  expect(await drain(stream)).toEqual(['a', 'b'])
  expect(recorder.kinds()).toEqual(['agent.llm.request', 'agent.llm.response'])
  const { payload } = recorder.only('end')
  expect(payload).toMatchObject({ status: 'ok', chunks: 2 })
  expect(payload['ttft_ms']).toEqual(expect.any(Number))
  expect(payload.preview).toEqual({})
})

test('telemetry §16.3: also one that was promised', async () => {
  const recorder = record()
  const stream = await coat('tool', async () => new EventStream([1]))()
  expect(recorder.kinds()).toEqual(['agent.tool.call'])
  expect(await drain(stream)).toEqual([1])
  expect(recorder.only('end').payload).toMatchObject({ status: 'ok', chunks: 1 })
})

test('telemetry §16.3: a stream that breaks is an error, one left early is cancelled', async () => {
  const recorder = record()
  const broken = coat('llm', () => new EventStream([1], new Error('reset')))()
  await expect(drain(broken)).rejects.toThrow('reset')
  for await (const _ of coat('llm', () => new EventStream([1, 2]))()) break
  const controller = new AbortController()
  const off = coat('llm', (_: AbortSignal) => new EventStream([], new Error('gone')))
  const stream = off(controller.signal)
  controller.abort()
  await expect(drain(stream)).rejects.toThrow('gone')
  expect(recorder.spans().map(({ end }) => end?.payload['status'])).toEqual([
    'error',
    'cancelled',
    'cancelled',
  ])
  expect(recorder.events).toHaveLength(6)
})

test('a web stream ends its span through its reader, by iteration and when it is handed on', async () => {
  const recorder = record()
  const open = coat('llm', () => new Blob(['text']).stream())
  const reader = open().getReader()
  while (!(await reader.read()).done);
  await drain(open())
  const cancelled = open().getReader()
  await cancelled.cancel('enough')
  await open().cancel()
  await open().pipeTo(new WritableStream())
  const [one, two] = open().tee()
  await Promise.all([drain(one), drain(two)])
  const ends = recorder.spans().map(({ end }) => end?.payload)
  expect(ends.map((payload) => payload?.['status'])).toEqual([
    'ok',
    'ok',
    'cancelled',
    'cancelled',
    'ok',
    'ok',
  ])
  expect(ends.at(-1)).toMatchObject({ observed: 'side' })
})

test('a stream of Node’s ends its span when it closes, however it is read', async () => {
  const recorder = record()
  const open = coat('tool', (error?: Error) =>
    Readable.from(
      (async function* () {
        yield 'a'
        if (error !== undefined) throw error
      })(),
    ),
  )
  const flowing = open()
  const closed = new Promise((resolve) => flowing.on('close', resolve))
  flowing.on('data', () => {})
  await closed
  await drain(open())
  await expect(drain(open(new Error('lost')))).rejects.toThrow('lost')
  const destroyed = open()
  destroyed.destroy()
  await new Promise((resolve) => destroyed.on('close', resolve))
  expect(recorder.spans().map(({ end }) => end?.payload['status'])).toEqual([
    'ok',
    'ok',
    'error',
    'cancelled',
  ])
})

test('other operations, and those told not to, end when the function returns', () => {
  const recorder = record()
  coat('step', () => new EventStream([1]))()
  coat('llm', { stream: 'off' }, () => new EventStream([1]))()
  coat('llm', () => Object.freeze(new EventStream([1])))()
  expect(recorder.spans().map(({ end }) => end?.payload['status'])).toEqual(['ok', 'ok', 'ok'])
})

test('a stream nobody reads is abandoned once it is collected', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const recorder = record()
  coat('llm', () => new EventStream([1]))()
  for (let round = 0; round < 200 && recorder.events.length < 2; round += 1) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  expect(recorder.only('end').payload['status']).toBe('abandoned')
})

test('one stream that call after call returns can still be read, and no warning is due to us', async () => {
  record()
  const one = new EventStream(['a'])
  const kept = coat('tool', () => one)
  for (let calls = 0; calls < 20_000; calls += 1) kept()
  expect(await drain(one)).toEqual(['a'])

  const warnings: Error[] = []
  const listener = (warning: Error) => void warnings.push(warning)
  process.on('warning', listener)
  const readable = Readable.from(['b'])
  // Reading it to its end takes one more listener, and then there may be no other.
  for (let count = 1; count < readable.getMaxListeners(); count += 1) readable.on('close', () => {})
  const again = coat('tool', () => readable)
  for (let calls = 0; calls < 40; calls += 1) again()
  expect(await drain(readable)).toEqual(['b'])
  await new Promise(setImmediate)
  process.removeListener('warning', listener)
  expect(warnings).toEqual([])
})
