/** By default no value leaves the process; what is handed to `tie` does, redacted. */
import { expect, test } from 'vitest'
import { coat, tie } from './index.ts'
import { record } from './recorder.test-kit.ts'

const CANARY = 'canary-7f3a91'
const value = (what: string) => `${CANARY} ${what}`

class Lazy {
  // biome-ignore lint/suspicious/noThenProperty: a query that runs when it is awaited.
  then(fulfilled: (value: unknown) => unknown, rejected?: (error: unknown) => unknown) {
    return Promise.resolve({ row: value('row'), [value('column')]: 1 }).then(fulfilled, rejected)
  }
}

class Chunks {
  async *[Symbol.asyncIterator]() {
    yield { delta: value('chunk') }
    yield value('chunk')
  }
}

const ARGUMENTS = [
  value('argument'),
  { [value('key')]: value('member'), messages: [{ role: 'user', content: value('message') }] },
  [value('item')],
  new Map([[value('map key'), value('map value')]]),
  new Error(value('error argument')),
  () => value('function'),
]

async function exercise(op: string): Promise<void> {
  const ignore = () => {}
  const failure = () => Object.assign(new Error(value('failure')), { detail: value('detail') })
  const call = (fn: (...args: unknown[]) => unknown): unknown => coat(op, fn)(...ARGUMENTS)
  const single = coat(op, (_: unknown) => ({ [value('key')]: value('result') }))
  single(ARGUMENTS[1])
  call(() => value('result'))
  call(() => [value('result'), { [value('key')]: 1 }])
  try {
    call(() => {
      throw failure()
    })
  } catch {}
  try {
    call(() => {
      throw value('thrown text')
    })
  } catch {}
  await call(async () => ({ content: value('result') }))
  await (call(async () => Promise.reject(failure())) as Promise<unknown>).catch(ignore)
  await call(() => new Lazy())
  for (const _ of call(function* () {
    yield value('yielded')
    return value('returned')
  }) as Iterable<unknown>);
  for await (const _ of call(async function* () {
    yield value('yielded')
  }) as AsyncIterable<unknown>);
  for await (const _ of call(() => new Chunks()) as AsyncIterable<unknown>);
  for await (const _ of (await call(async () => new Chunks())) as AsyncIterable<unknown>);
  const reader = (call(() => new Blob([value('blob')]).stream()) as ReadableStream).getReader()
  while (!(await reader.read()).done);
  coat(op, { captureThis: true, argNames: ['first'] }, function (this: unknown) {
    tie.scope(() => ({ local: value('local') }))
  }).call({ field: value('field') })
}

test.each([
  'session',
  'run',
  'step',
  'llm',
  'embedding',
  'tool',
  'memory.read',
  'memory.write',
  'memory.delete',
  'subagent',
  'human',
])('telemetry §16.9: by default no value leaves through %s, whatever is returned', async (op) => {
  const recorder = record()
  await exercise(op)
  const ends = recorder.events.filter(({ part }) => part === 'end')
  expect(recorder.events).toHaveLength(28)
  expect(ends).toHaveLength(14)
  expect(recorder.text()).not.toContain(CANARY)
  expect(recorder.events.map(({ mode }) => mode)).toEqual(Array(28).fill('none'))
})

test('telemetry §16.9: neither does a sentence that a program made the name of an error', () => {
  const recorder = record()
  const named = (name: string) => Object.assign(new RangeError('x'), { name })
  const fail = coat('tool', (error: Error) => {
    throw error
  })
  const cause = Object.assign(new Error('y', { cause: named(value('cause')) }), { name: 'Outer' })
  const several = new AggregateError([named(value('one of several'))])
  for (const error of [named(value('name')), cause, several, named('RateLimitError')])
    expect(() => fail(error)).toThrow()
  expect(recorder.text()).not.toContain(CANARY)
  const told = recorder.events
    .filter(({ part }) => part === 'end')
    .map(({ payload }) => payload.error)
  expect(told).toMatchObject([
    { type: 'RangeError' },
    { type: 'Outer', cause: ['RangeError'] },
    { type: 'AggregateError', names: ['RangeError'] },
    { type: 'RateLimitError' },
  ])
})

test('telemetry §16.9: what is handed to tie leaves, redacted', () => {
  const recorder = record()
  coat('tool', (_: string) => {
    tie('Bearer hijklmno12345678', 1)
    tie('progress', { note: value('tied'), api_key: 'k-123456', text: 'Bearer abcdefgh12345678' })
  })(value('argument'))
  const text = recorder.text()
  expect(text).toContain(value('tied'))
  expect(text).not.toContain('k-123456')
  expect(text).not.toContain('abcdefgh12345678')
  expect(text).not.toContain('hijklmno12345678')
  expect(text).not.toContain(value('argument'))
})

test('while capture is on the same values are told', async () => {
  const recorder = record({ ENVPOD_COAT_CAPTURE: 'redacted' })
  await exercise('tool')
  for (const what of ['argument', 'result', 'failure', 'yielded', 'local', 'field'])
    expect(recorder.text()).toContain(value(what))
})
