import { expect, expectTypeOf, test } from 'vitest'
import { coat, emit, Op, stats, tie } from '../index.ts'
import { record } from '../recorder.test-kit.ts'

function lookUp(key: string, _depth = 1): string {
  return `value of ${key}`
}

test('telemetry §16.1: emit is tie, and a tag by name or by text makes the same envelopes', () => {
  expect(emit).toBe(tie)
  const tell = (op: string) => {
    const recorder = record()
    coat(op, lookUp)('a')
    return recorder.events.map(({ ids: _, ...event }) => ({
      ...event,
      payload: { ...event.payload, duration_ms: 0, waited_ms: 0 },
    }))
  }
  const texts = ['session', 'run', 'step', 'llm', 'tool', 'memory.read', 'memory.write']
  texts.push('memory.delete', 'subagent', 'human')
  expect(Object.values(Op)).toEqual(texts)
  for (const [at, tag] of Object.values(Op).entries()) {
    expect(JSON.stringify(tell(tag))).toBe(JSON.stringify(tell(texts[at] ?? '')))
    expect(tell(tag)).toHaveLength(2)
  }
})

test('telemetry §16.2: every form of calling it wraps the function', () => {
  const recorder = record()
  const forms = [
    coat('tool')(lookUp),
    coat('tool', {})(lookUp),
    coat('tool', lookUp),
    coat('tool', { name: 'other' }, lookUp),
    coat(lookUp),
    coat(Op.TOOL)(lookUp),
  ]
  for (const wrapped of forms) expect(wrapped('a', 2)).toBe('value of a')
  const names = recorder.spans().map(({ start }) => `${start.payload['op']} ${start.payload['fn']}`)
  expect(names).toEqual([
    'tool lookUp',
    'tool lookUp',
    'tool lookUp',
    'tool other',
    'step lookUp',
    'tool lookUp',
  ])
})

test('telemetry §16.2: a function is not mistaken for a decorated member', () => {
  record()
  const [first] = [lookUp].map(coat('tool'))
  expect(first?.('b')).toBe('value of b')
})

test('telemetry §16.2: the older decorator protocol is refused, and the message says what to do', () => {
  const legacy = coat('tool') as unknown as (...args: unknown[]) => unknown
  const target = { save() {} }
  const descriptor = Object.getOwnPropertyDescriptor(target, 'save')
  for (const args of [
    [target, 'save', descriptor],
    [target, Symbol('save'), descriptor],
    [target, 'field'],
    [target, 'field', undefined],
  ]) {
    expect(() => legacy(...args)).toThrow(TypeError)
    expect(() => legacy(...args)).toThrow(/experimentalDecorators/)
  }
})

test('what cannot be wrapped is refused when it is wrapped', () => {
  const loose = coat as unknown as (...args: unknown[]) => unknown
  expect(() => coat('tool', class Tool {} as never)).toThrow(/class cannot be wrapped/)
  expect(() => loose('tool', {}, undefined)).toThrow(/a value of type undefined is not a function/)
  expect(() => loose('tool', 5)).toThrow(/options must be an object/)
  const wrapper = coat('tool') as unknown as (value: unknown, context?: unknown) => unknown
  expect(() => wrapper(null)).toThrow(/null is not a function/)
  for (const kind of ['class', 'setter']) {
    expect(() => wrapper(() => {}, { kind, name: 'x' })).toThrow(
      new RegExp(`a ${kind} cannot be decorated`),
    )
  }
})

test('a wrapper looks like what it wraps', () => {
  const mark = Symbol('mark')
  const fn = Object.assign(
    function total(a: number, b: number) {
      return a + b
    },
    { unit: 'ms', [mark]: 1 },
  )
  const wrapped = coat('tool', fn)
  expect(wrapped.name).toBe('total')
  expect(wrapped.length).toBe(2)
  expect(wrapped.unit).toBe('ms')
  expect(wrapped[mark]).toBe(1)
  expect(wrapped.toString()).toBe(fn.toString())
  expect(wrapped.prototype).toBe(fn.prototype)
  expect(Object.keys(wrapped)).toEqual(Object.keys(fn))
  expect(coat.unwrap(wrapped)).toBe(fn)
  expect(coat.unwrap(fn)).toBe(fn)

  const arrow = coat('tool', async () => 1)
  expect('prototype' in arrow).toBe(false)
  expect(() => Reflect.construct(arrow, [])).toThrow(/not a constructor/)
  expect(Object.prototype.toString.call(arrow)).toBe('[object AsyncFunction]')
})

test('an old-style constructor can still be used with new', () => {
  record()
  function Point(this: { x: number }, x: number) {
    this.x = x
  }
  const Wrapped = coat('tool', Point)
  const made: unknown = Reflect.construct(Wrapped, [3])
  expect(made).toEqual({ x: 3 })
  expect(made).toBeInstanceOf(Wrapped)
  expect(made).toBeInstanceOf(Point)
})

test('this, arguments and results pass through untouched, and wrapping twice nests', () => {
  const recorder = record()
  const result = { deep: {} }
  const given: unknown[] = []
  const object = {
    save: coat('tool', function (this: unknown, ...args: unknown[]) {
      given.push(this, ...args)
      return result
    }),
  }
  const argument = {}
  expect(object.save(argument, undefined)).toBe(result)
  expect(given).toEqual([object, argument, undefined])
  expect(given[0]).toBe(object)
  expect(given[1]).toBe(argument)

  recorder.events.length = 0
  coat('tool', coat('step', lookUp))('x')
  const [outer, inner] = recorder.spans()
  expect(inner?.start.ids.parent_span_id).toBe(outer?.start.ids.span_id)
  expect(recorder.events).toHaveLength(4)
})

test('telemetry §16.3: a function that returns stays synchronous, with one start before it and one end after', () => {
  const recorder = record()
  const result = {}
  const seen: string[][] = []
  const wrapped = coat('step', () => {
    seen.push(recorder.kinds())
    return result
  })
  expect(wrapped()).toBe(result)
  expect(seen).toEqual([['agent.step.start']])
  expect(recorder.kinds()).toEqual(['agent.step.start', 'agent.step.end'])
  const { payload } = recorder.only('end')
  expect(payload).toMatchObject({ status: 'ok', op: 'step' })
  expect(payload['duration_ms']).toEqual(expect.any(Number))
})

test('telemetry §16.3: what is thrown is the same error, unchanged', () => {
  const recorder = record({ ENVPOD_COAT_CAPTURE: 'redacted' })
  const error = Object.freeze(new RangeError('too far'))
  const before = Reflect.ownKeys(error)
  const wrapped = coat('tool', () => {
    throw error
  })
  expect(wrapped).toThrow(error)
  expect(Reflect.ownKeys(error)).toEqual(before)
  expect(recorder.only('end').payload).toMatchObject({
    status: 'error',
    error: { type: 'RangeError', message: 'too far' },
  })
})

test.each([
  ['an AbortError', () => new DOMException('stop', 'AbortError'), []],
  ['an error named so', () => Object.assign(new Error('x'), { name: 'AbortError' }), []],
  ['an error coded so', () => Object.assign(new Error('x'), { code: 'ABORT_ERR' }), []],
  ['a signal among the arguments', () => new Error('x'), [AbortSignal.abort()]],
  ['a signal in the options', () => new Error('x'), ['a', { signal: AbortSignal.abort() }]],
])('telemetry §16.3: %s means cancelled', (_, make, args: unknown[]) => {
  const recorder = record()
  const wrapped = coat('tool', (..._args: unknown[]) => {
    throw make()
  })
  expect(() => wrapped(...args)).toThrow()
  expect(recorder.only('end').payload['status']).toBe('cancelled')
})

test('a signal that has not been aborted means nothing', () => {
  const recorder = record()
  const wrapped = coat('tool', (_signal: AbortSignal) => {
    throw new Error('x')
  })
  expect(() => wrapped(new AbortController().signal)).toThrow()
  expect(recorder.only('end').payload['status']).toBe('error')
})

test('errors that are none are told by what they are', () => {
  const recorder = record()
  const wrapped = coat('tool', () => {
    throw undefined
  })
  expect(() => wrapped()).toThrow()
  expect(recorder.only('end').payload).toMatchObject({
    status: 'error',
    error: { type: 'NonError' },
  })
})

test('each tag makes its kinds, and says of the operation what is no content', () => {
  const recorder = record()
  const call = (op: string) => {
    recorder.events.length = 0
    coat(op, { name: 'act' }, (_what: string) => ['a', 'b'])('secret-argument')
    const [start, end] = recorder.events
    const facts = (event: typeof start) => {
      const { fn, preview, duration_ms, waited_ms, versions, ...rest } = event?.payload ?? {}
      expect(fn).toBe('act')
      return { kind: event?.kind, ...rest }
    }
    return [facts(start), facts(end)]
  }
  expect(call('session')).toEqual([
    { kind: 'agent.session.start', op: 'session' },
    { kind: 'agent.session.end', op: 'session', status: 'ok' },
  ])
  expect(call('Agent')).toEqual([
    { kind: 'agent.run.start', op: 'agent' },
    { kind: 'agent.run.end', op: 'agent', status: 'ok' },
  ])
  expect(call('llm')).toMatchObject([
    { kind: 'agent.llm.request', op: 'llm', operation: 'chat' },
    { kind: 'agent.llm.response', op: 'llm', status: 'ok' },
  ])
  expect(call('embedding')[0]).toMatchObject({ operation: 'embeddings' })
  expect(call('completion')[0]).toMatchObject({ operation: 'text_completion' })
  expect(call('tool')).toEqual([
    { kind: 'agent.tool.call', op: 'tool', tool: { name: 'act' } },
    { kind: 'agent.tool.result', op: 'tool', status: 'ok', tool: { name: 'act' } },
  ])
  expect(call('retriever')).toEqual([
    {
      kind: 'agent.memory.read',
      op: 'retriever',
      phase: 'begin',
      source: 'retriever',
      query: '<string len=15>',
    },
    {
      kind: 'agent.memory.read',
      op: 'retriever',
      phase: 'end',
      source: 'retriever',
      status: 'ok',
      count: 2,
    },
  ])
  expect(call('memory.write')).toEqual([
    { kind: 'agent.memory.write', op: 'memory.write', phase: 'begin' },
    { kind: 'agent.memory.write', op: 'memory.write', phase: 'end', status: 'ok' },
  ])
  expect(call('subagent')).toEqual([
    {
      kind: 'agent.subagent.start',
      op: 'subagent',
      name: 'act',
      via: 'in-process',
      task: '<string len=15>',
    },
    { kind: 'agent.subagent.end', op: 'subagent', name: 'act', status: 'ok' },
  ])
  expect(call('human')).toEqual([
    {
      kind: 'agent.human.request',
      op: 'human',
      phase: 'begin',
      request: 'input',
      prompt: '<string len=15>',
    },
    {
      kind: 'agent.human.request',
      op: 'human',
      phase: 'end',
      request: 'input',
      status: 'ok',
      outcome: 'answered',
      answer: '<array len=2>',
    },
  ])
  expect(call('vector.search')).toEqual([
    { kind: 'agent.step.start', op: 'vector.search' },
    { kind: 'agent.step.end', op: 'vector.search', status: 'ok' },
  ])
  expect(call('No Tag!')[0]).toEqual({
    kind: 'agent.step.start',
    op: 'no tag!',
    op_invalid: true,
  })
})

test('arguments are previewed by position, a single object by its names', () => {
  const shown = (env: string, args: unknown[], options = {}) => {
    const recorder = record({ ENVPOD_COAT_CAPTURE: env })
    coat('step', options, (..._args: unknown[]) => {})(...args)
    return recorder.only('start').payload.preview
  }
  expect(shown('redacted', [{ city: 'Rome' }])).toEqual({ args: [], kwargs: { city: 'Rome' } })
  expect(shown('redacted', [{ city: 'Rome' }, 2])).toEqual({
    args: [{ city: 'Rome' }, 2],
    kwargs: {},
  })
  expect(shown('redacted', [[1]])).toEqual({ args: [[1]], kwargs: {} })
  expect(shown('none', [{ city: 'Rome' }])).toEqual({ args: ['<object keys=1>'], kwargs: {} })
  expect(shown('hash', [{ city: 'Rome' }])).toMatchObject({
    args: [expect.anything()],
    kwargs: {},
  })
  const named = { argNames: ['city', 'password'] }
  expect(shown('redacted', ['Rome', 'x', 3], named)).toEqual({
    args: [3],
    kwargs: { city: 'Rome', password: '[redacted:key]' },
  })
  expect(shown('none', ['Rome', 'x', 3], named)).toEqual({
    args: ['<string len=4>', '<string len=1>', '<number>'],
    kwargs: {},
  })
  expect(
    shown(
      'redacted',
      Array.from({ length: 40 }, (_, at) => at),
    ),
  ).toMatchObject({
    args: expect.arrayContaining([31, '…+8 items']),
  })
})

test('own data fields of this are previewed when asked for; accessors are not called', () => {
  const recorder = record({ ENVPOD_COAT_CAPTURE: 'redacted' })
  class Repo {
    size = 2
    name = 'r'
    #hidden = 'private'
    get url(): string {
      throw new Error('called')
    }
    all = coat('tool', { captureThis: true }, function (this: Repo) {
      return this.#hidden.length
    })
    some = coat('tool', { captureThis: ['size', 'url'] }, function (this: Repo) {})
  }
  const repo = new Repo()
  Object.defineProperty(repo, 'own', {
    enumerable: true,
    get() {
      throw new Error('called')
    },
  })
  repo.all()
  repo.some()
  const shown = recorder
    .spans()
    .map(({ start }) => start.payload.preview?.this as Record<string, unknown>)
  expect(shown[0]).toMatchObject({ size: 2, name: 'r' })
  expect(Object.keys(shown[0] ?? {})).not.toContain('own')
  expect(shown[1]).toEqual({ size: 2 })
  expect(recorder.text()).not.toContain('private')
})

test('hooks choose and describe; one that throws is counted and harms nothing', async () => {
  const recorder = record({ ENVPOD_COAT_CAPTURE: 'redacted' })
  const boom = () => {
    throw new Error('hook')
  }
  const good = coat(
    'memory.read',
    {
      input: ([query]) => `${query}!`,
      output: (result) => (result as string[]).length,
      describe: {
        start: () => ({ store: 'notes', top_k: 3, fn: 'forged', token: 'abc', query: 'asked' }),
        end: (result) => ({ ids: result, status: 'forged', count: 7 }),
      },
      attributes: { team: 'red', bad: Number.NaN },
    },
    function find(_query: string) {
      return ['n1']
    },
  )
  expect(good('rome')).toEqual(['n1'])
  expect(recorder.events[0]?.payload).toMatchObject({
    fn: 'find',
    store: 'notes',
    top_k: 3,
    token: '[redacted:key]',
    query: 'asked',
    attributes: { team: 'red' },
    preview: { args: ['rome!'], kwargs: {} },
  })
  expect(recorder.events[1]?.payload).toMatchObject({
    status: 'ok',
    store: 'notes',
    ids: ['n1'],
    count: 7,
    preview: { result: 1 },
  })
  expect(stats().hookErrors).toBe(0)

  recorder.events.length = 0
  const bad = coat(
    'step',
    { input: boom, output: boom, describe: { start: boom, end: async () => boom() } },
    () => 5,
  )
  expect(bad()).toBe(5)
  expect(recorder.events[0]?.payload).toMatchObject({
    preview: { args: ['[hook threw]'] },
    described: '[hook threw]',
  })
  expect(recorder.events[1]?.payload).toMatchObject({ preview: { result: '[hook threw]' } })
  expect(stats().hookErrors).toBe(3)
  await new Promise(setImmediate)
})

test('while disabled, functions run as if they were not wrapped', () => {
  const recorder = record({ ENVPOD_COAT_DISABLED: '1' })
  expect(coat('tool', lookUp)('k')).toBe('value of k')
  tie('x', 1)
  expect(recorder.events).toEqual([])
})

test('telemetry §16.8: types pass through, overloads and generics too', () => {
  function read(path: string): string
  function read(path: string, raw: true): Uint8Array
  function read(_path: string, raw?: true): string | Uint8Array {
    return raw ? new Uint8Array() : ''
  }
  const wrapped = coat('tool', read)
  expectTypeOf(wrapped).toEqualTypeOf<typeof read>()
  expectTypeOf(wrapped('x')).toEqualTypeOf<string>()
  expectTypeOf(wrapped('x', true)).toEqualTypeOf<Uint8Array>()

  const first = coat('step')(<T>(items: readonly T[]): T | undefined => items[0])
  expectTypeOf(first([1])).toEqualTypeOf<number | undefined>()
  expectTypeOf(first(['a'])).toEqualTypeOf<string | undefined>()

  const later = coat('llm', { autoCapture: true }, async (n: number) => n)
  expectTypeOf(later).toEqualTypeOf<(n: number) => Promise<number>>()
  const withThis = coat(function (this: Date, add: number) {
    return this.getTime() + add
  })
  expectTypeOf(withThis).toEqualTypeOf<(this: Date, add: number) => number>()
  const extra = coat(
    'tool',
    Object.assign(() => 1, { schema: 'x' }),
  )
  expectTypeOf(extra.schema).toEqualTypeOf<string>()
  // @ts-expect-error what is wrapped is a function
  expect(() => coat('tool', {}, 5)).toThrow(TypeError)
})

test('values that run code when they are looked at are not looked at', async () => {
  const recorder = record({ ENVPOD_COAT_CAPTURE: 'redacted' })
  const trap = (): never => {
    throw new Error('trapped')
  }
  const traps = Object.fromEntries(
    Object.getOwnPropertyNames(Reflect).map((name) => [name, trap]),
  ) as ProxyHandler<object>
  const hostile = () => new Proxy({}, traps)
  const revoked = () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  }
  const accessors = Object.create(
    Object.defineProperties(
      {},
      Object.fromEntries(
        ['then', 'name', 'code', 'signal', 'getReader', Symbol.asyncIterator].map((key) => [
          key,
          { get: trap },
        ]),
      ),
    ),
  )
  for (const op of ['llm', 'tool', 'memory.read', 'human', 'session']) {
    for (const value of [hostile(), revoked(), accessors]) {
      const echo = coat(op, { captureThis: true }, function (this: unknown, given: unknown) {
        tie('seen', given)
        return given
      })
      expect(Object.is(echo.call(value, value), value)).toBe(true)
      const thrown = coat(op, (_given: unknown) => {
        throw value
      })
      try {
        thrown({ signal: value })
      } catch (error) {
        expect(Object.is(error, value)).toBe(true)
      }
    }
  }
  const ends = recorder.spans().map(({ end }) => end?.payload['status'])
  expect(ends).toEqual(Array.from({ length: 30 }, (_, at) => (at % 2 === 0 ? 'ok' : 'error')))
  expect(stats().faults).toBe(0)
})

test('a method may be called class, and a proxy may refuse to be looked at', () => {
  record()
  const methods = {
    class() {
      return 'taught'
    },
  }
  expect(coat('tool', methods.class)()).toBe('taught')
  const refuse = () => {
    throw new Error('a trap was sprung')
  }
  const closed = new Proxy(() => 'answer', {
    ownKeys: refuse,
    getPrototypeOf: refuse,
    getOwnPropertyDescriptor: refuse,
  })
  expect(coat('tool', closed)()).toBe('answer')
  expect(() => coat('tool', class {} as unknown as () => void)).toThrow(/class/)
})

test('the hook for results is asked about results alone', () => {
  const recorder = record({ ENVPOD_COAT_CAPTURE: 'redacted' })
  const output = (result: unknown) => (result as { text: string }).text
  const fail = coat('tool', { output }, () => {
    throw new Error('no result')
  })
  expect(fail).toThrow('no result')
  expect(stats().hookErrors).toBe(0)
  expect(recorder.only('end').payload).toMatchObject({ status: 'error', preview: {} })
})

test('names and attributes are told in every mode, but without secrets', () => {
  const secret = `sk-ant-${'api03-'.repeat(5)}`
  const recorder = record()
  const attributes = { api_key: 'abcdef', note: `uses ${secret}`, team: 'red' }
  const computed = { [secret]: () => 1 }
  coat('tool', { attributes }, computed[secret] as () => number)()
  coat('subagent', { name: `helper ${secret}` }, () => 1)()
  expect(recorder.text()).not.toContain(secret)
  expect(recorder.text()).not.toContain('abcdef')
  expect(recorder.events[0]?.payload).toMatchObject({
    fn: '[redacted:anthropic]',
    tool: { name: '[redacted:anthropic]' },
    attributes: { api_key: '[redacted:key]', note: 'uses [redacted:anthropic]', team: 'red' },
  })
})

test('telemetry §16.9: what somebody added to all objects switches nothing on', () => {
  const recorder = record()
  const polluted = Object.prototype as Record<string, unknown>
  polluted['autoCapture'] = true
  polluted['capture'] = 'raw'
  try {
    coat('tool', {}, (_: string) => 1)('canary')
    coat('tool', (_: string) => 1)('canary')
  } finally {
    delete polluted['autoCapture']
    delete polluted['capture']
  }
  expect(recorder.events).toHaveLength(4)
  expect(recorder.text()).not.toContain('canary')
})
