import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { coat, current } from '../index.ts'
import { record } from '../recorder.test-kit.ts'

/** Runs when it is asked for its outcome, as query builders do. */
class Query {
  runs = 0
  ranIn: string | undefined
  readonly #outcome: () => unknown
  constructor(outcome: () => unknown) {
    this.#outcome = outcome
  }
  where(): this {
    return this
  }
  // biome-ignore lint/suspicious/noThenProperty: this is what is tested.
  then(fulfilled?: (value: unknown) => unknown, rejected?: (error: unknown) => unknown) {
    this.runs += 1
    this.ranIn = current()?.span_id
    return new Promise((resolve) => resolve(this.#outcome())).then(fulfilled, rejected)
  }
}

test('telemetry §16.5: a lazy query runs once, when it is awaited, inside its span', async () => {
  const recorder = record()
  const query = new Query(() => ['row'])
  const build = coat('tool', () => query)
  const built = build()
  expect(built).toBe(query)
  expect(built.where()).toBe(query)
  await new Promise(setImmediate)
  expect(query.runs).toBe(0)
  expect(recorder.kinds()).toEqual(['agent.tool.call'])
  expect(await built).toEqual(['row'])
  expect(query.runs).toBe(1)
  expect(query.ranIn).toBe(recorder.only('start').ids.span_id)
  expect(recorder.kinds()).toEqual(['agent.tool.call', 'agent.tool.result'])
  expect(recorder.only('end').payload['status']).toBe('ok')
})

test('telemetry §16.5: a query that fails is an error, for the caller too', async () => {
  const recorder = record()
  const error = new Error('no such table')
  const build = coat('tool', () => new Query(() => Promise.reject(error)))
  await expect((async () => await build())()).rejects.toBe(error)
  expect(recorder.only('end').payload['status']).toBe('error')
})

class CountingPromise<T> extends Promise<T> {
  static made = 0
  id = 'kept'
  double(): string {
    return this.id + this.id
  }
}

test('telemetry §16.5: a subclass of Promise keeps its identity and its methods', async () => {
  const recorder = record()
  const original = CountingPromise.resolve(5) as CountingPromise<number>
  const returned = coat('llm', () => original)()
  expect(returned).toBe(original)
  expect(returned.double()).toBe('keptkept')
  expect(await returned).toBe(5)
  expect(recorder.only('end').payload['status']).toBe('ok')

  recorder.events.length = 0
  const seen: unknown[] = []
  const failing = coat('llm', () => CountingPromise.reject(new Error('x')))()
  await failing.catch((error: Error) => seen.push(error.message))
  await coat('llm', () => CountingPromise.resolve(1))().finally(() => seen.push('finally'))
  expect(seen).toEqual(['x', 'finally'])
  const statuses = recorder.spans().map(({ end }) => end?.payload['status'])
  expect(statuses).toEqual(['error', 'ok'])
})

test('callbacks of then run where the caller is, not in the span', async () => {
  record()
  const seen: unknown[] = []
  await coat('tool', () => new Query(() => 1))().then(() => seen.push(current()))
  expect(seen).toEqual([undefined])
})

test('a client’s promise whose catch and finally do not go through then is seen as well', async () => {
  const recorder = record()
  class ApiPromise extends Promise<unknown> {
    #parse() {
      return new Promise((_, reject) => reject(new Error('429')))
    }
    override catch(rejected?: ((error: never) => unknown) | null) {
      return this.#parse().catch(rejected as (error: unknown) => unknown) as never
    }
    override finally(done?: (() => void) | null) {
      return this.#parse().finally(done) as never
    }
  }
  const ask = coat('llm', () => new ApiPromise(() => {}))
  expect(await ask().catch((error: Error) => error.message)).toBe('429')
  await expect(ask().finally(() => {})).rejects.toThrow('429')
  expect(recorder.spans().map(({ end }) => end?.payload['status'])).toEqual(['error', 'error'])
})

test('what cannot be covered is observed from the side, which is said', async () => {
  const recorder = record()
  const frozen = Object.freeze(new Query(() => 'ok').then())
  const subclass = Object.freeze(CountingPromise.resolve('ok'))
  expect(coat('tool', () => subclass)()).toBe(subclass)
  await subclass
  await new Promise(setImmediate)
  expect(recorder.only('end').payload).toMatchObject({ status: 'ok', observed: 'side' })
  expect(await coat('tool', () => frozen)()).toBe('ok')
})

test('a query that nobody awaits is unobserved once it is collected', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const recorder = record()
  coat('tool', (query: Query) => query)(new Query(() => 1))
  for (let round = 0; round < 200 && recorder.events.length < 2; round += 1) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  expect(recorder.only('end').payload['status']).toBe('unobserved')
})

test('a member called then that is no method, or an accessor, makes no thenable', () => {
  const recorder = record()
  const get = () => {
    throw new Error('called')
  }
  const results = [
    // biome-ignore lint/suspicious/noThenProperty: this is what is tested.
    { then: 1 },
    Object.defineProperty({}, 'then', { get }),
    new Proxy({}, { get, has: get, getPrototypeOf: get, ownKeys: get }),
  ]
  for (const result of results) expect(coat('tool', () => result)()).toBe(result)
  expect(recorder.spans().map(({ end }) => end?.payload['status'])).toEqual(['ok', 'ok', 'ok'])
})

test('telemetry §16.5: one object that call after call returns is covered once', async () => {
  const recorder = record()
  const query = new Query(() => 'rows')
  const kept = coat('tool', () => query)
  for (let calls = 0; calls < 4000; calls += 1) kept()
  expect(await query).toBe('rows')
  expect(query.runs).toBe(1)
  const statuses = recorder.spans().map(({ end }) => end?.payload['status'])
  expect(statuses).toEqual(Array(4000).fill('ok'))
  recorder.events.length = 0
  // And it goes on: whoever is given it again sees the next outcome.
  expect(await kept()).toBe('rows')
  expect(recorder.only('end').payload['status']).toBe('ok')
})

test('more calls than can wait for one object are unobserved', () => {
  const recorder = record()
  const query = new Query(() => 'rows')
  const kept = coat('tool', () => query)
  for (let calls = 0; calls < 4100; calls += 1) kept()
  expect(recorder.events.filter(({ part }) => part === 'end')).toHaveLength(4)
  expect(recorder.events.at(-1)?.payload['status']).toBe('unobserved')
})

test('telemetry §16.3: two wrappers around one query are two spans, each with the outcome', async () => {
  const recorder = record()
  const inner = coat('step', () => new Query(() => 1))
  const outer = coat('tool', () => inner())
  expect(await outer()).toBe(1)
  const [above, below] = recorder.spans()
  expect(above?.end?.payload['status']).toBe('ok')
  expect(below?.end?.payload['status']).toBe('ok')
  expect(below?.start.ids.parent_span_id).toBe(above?.start.ids.span_id)
})
