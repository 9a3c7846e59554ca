import { createHash } from 'node:crypto'
import { type AddressInfo, connect, createServer } from 'node:net'
import { context as otelContext, trace as otelTrace } from '@opentelemetry/api'
import { expect, test } from 'vitest'
import { coat, configure, current, extract, inject, tie, withContext } from './index.ts'
import { record } from './recorder.test-kit.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'
const TRACEPARENT = `00-${TRACE}-${SPAN}-01`

test('ids have the shapes that are promised, and nest', () => {
  const recorder = record()
  const inner = coat('tool', () => current())
  const outer = coat('step', () => [current(), inner()])
  const [outside, inside] = outer() as [ReturnType<typeof current>, ReturnType<typeof current>]
  expect(outside).toEqual({
    session_id: expect.stringMatching(/^sess_[0-9a-f]{16}$/),
    run_id: expect.stringMatching(/^run_[0-9a-f]{16}$/),
    step_id: expect.stringMatching(/^step_[0-9a-f]{16}$/),
    trace_id: expect.stringMatching(/^tr_[0-9a-f]{32}$/),
    span_id: expect.stringMatching(/^sp_[0-9a-f]{16}$/),
    parent_span_id: '',
  })
  expect(inside).toEqual({
    ...outside,
    span_id: expect.stringMatching(/^sp_[0-9a-f]{16}$/),
    parent_span_id: outside?.span_id,
  })
  expect(inside?.span_id).not.toBe(outside?.span_id)
  expect(Object.isFrozen(outside)).toBe(true)
  expect(recorder.spans().map(({ start }) => start.ids)).toEqual([outside, inside])
  expect(current()).toBeUndefined()
})

test('a run names itself, and what has none shares one with its trace', () => {
  const recorder = record()
  const leaf = coat('tool', () => {})
  coat('run', () => {
    leaf()
    coat('run', leaf)()
  })()
  leaf()
  leaf()
  const runs = recorder.spans().map(({ start }) => start.ids.run_id)
  const [outer, child, inner, below, one, other] = runs
  expect(child).toBe(outer)
  expect(below).toBe(inner)
  expect(new Set([outer, inner, one, other]).size).toBe(4)
  expect(new Set(recorder.spans().map(({ start }) => start.ids.session_id)).size).toBe(1)
})

test('telemetry §16.6: of 1000 concurrent nested calls every parent is right', async () => {
  const recorder = record()
  const parents = new Map<string, string>()
  const pause = () => new Promise((resolve) => setTimeout(resolve, Math.random() * 5))
  const leaf = coat('tool', async (parent: string) => {
    parents.set(current()?.span_id ?? '', parent)
    await pause()
    return current()?.span_id
  })
  const middle = coat('step', async (parent: string) => {
    const id = current()?.span_id ?? ''
    parents.set(id, parent)
    await pause()
    await Promise.all([leaf(id), leaf(id)])
    await leaf(id)
    return current()?.span_id === id
  })
  const root = coat('run', async () => {
    const id = current()?.span_id ?? ''
    parents.set(id, '')
    await pause()
    return middle(id)
  })
  expect(await Promise.all(Array.from({ length: 1000 }, () => root()))).toEqual(
    Array(1000).fill(true),
  )
  const spans = recorder.spans()
  expect(spans).toHaveLength(5000)
  const wrong = spans.filter(
    ({ start, end }) =>
      start.ids.parent_span_id !== parents.get(start.ids.span_id) ||
      end?.ids.parent_span_id !== start.ids.parent_span_id,
  )
  expect(wrong).toEqual([])
}, 60_000)

test('the active span travels in headers, and what comes back continues it', () => {
  const recorder = record()
  expect(inject({})).toEqual({})
  const carrier = coat('step', () => inject({ host: 'x' }))()
  const { ids } = recorder.only('start')
  expect(carrier).toEqual({
    host: 'x',
    traceparent: `00-${ids.trace_id.slice(3)}-${ids.span_id.slice(3)}-01`,
    'coat-run': ids.run_id,
    'coat-session': ids.session_id,
  })
  const headers = coat('step', () => inject(new Headers()))()
  expect(extract(headers)?.trace_id).toMatch(/^tr_/)
  expect(extract({ Traceparent: [TRACEPARENT] })?.span_id).toBe(`sp_${SPAN}`)

  recorder.events.length = 0
  const far = extract(carrier)
  withContext(
    far,
    coat('tool', () => {}),
  )
  expect(recorder.only('start').ids).toMatchObject({
    session_id: ids.session_id,
    run_id: ids.run_id,
    trace_id: ids.trace_id,
    parent_span_id: ids.span_id,
  })
})

test('children of a context without a run share one', () => {
  const recorder = record()
  withContext({ trace_id: `tr_${TRACE}`, span_id: `sp_${SPAN}` }, () => {
    coat(() => {})()
    coat(() => {})()
  })
  const [one, other] = recorder.spans()
  expect(one?.start.ids.run_id).toMatch(/^run_/)
  expect(other?.start.ids.run_id).toBe(one?.start.ids.run_id)
})

test('ids that are none leave the context as it is', () => {
  record()
  for (const ids of [
    undefined,
    {},
    { trace_id: 'tr_x', span_id: 'nope' },
    { trace_id: `tr_${'a'.repeat(65)}`, span_id: 'sp_1' },
    { trace_id: 'tr_a b', span_id: 'sp_1' },
  ])
    expect(withContext(ids, () => current())).toBeUndefined()
  expect(withContext({ trace_id: 'tr_abcd1234', span_id: 'sp_ef' }, () => current())).toMatchObject(
    {
      trace_id: 'tr_abcd1234',
      span_id: 'sp_ef',
    },
  )
})

test('ids of another length are mapped for W3C, always to the same ones', () => {
  record()
  const carrier = withContext({ trace_id: 'tr_abcd1234', span_id: 'sp_ef' }, () =>
    inject<{ traceparent?: string }>({}),
  )
  const hex = (text: string) => createHash('sha256').update(text).digest('hex')
  const trace = hex('aotp-trace:tr_abcd1234').slice(0, 32)
  const span = hex('aotp-span:tr_abcd1234:sp_ef').slice(0, 16)
  expect(carrier.traceparent).toBe(`00-${trace}-${span}-01`)
})

test.each([
  undefined,
  null,
  {},
  { traceparent: 'x' },
  { traceparent: `00-${'0'.repeat(32)}-${SPAN}-01` },
  { traceparent: `00-${TRACE}-${'0'.repeat(16)}-01` },
  { traceparent: `ff-${TRACE}-${SPAN}-01` },
  { traceparent: `00-${TRACE.toUpperCase()}-${SPAN}-01` },
  { traceparent: `00-${TRACE}-${SPAN}-01-more` },
  { traceparent: 5 },
])('headers without a valid traceparent are no context: %j', (carrier) => {
  expect(extract(carrier)).toBeUndefined()
})

test('carriers and headers that throw harm nobody', () => {
  record()
  const hostile = {
    get() {
      throw new Error('get')
    },
    set() {
      throw new Error('set')
    },
  }
  expect(extract(hostile)).toBeUndefined()
  expect(coat(() => inject(hostile))()).toBe(hostile)
  expect(coat(() => inject(Object.freeze({})))()).toEqual({})
})

test('the environment can say what a process is part of', () => {
  const env = {
    TRACEPARENT,
    ENVPOD_COAT_SESSION_ID: 'sess_given',
    ENVPOD_COAT_RUN_ID: 'run_given',
  }
  const recorder = record(env)
  coat('run', () => coat('run', () => {})())()
  coat('tool', () => {})()
  tie('outside')
  const [run, nested, tool] = recorder.spans().map(({ start }) => start.ids)
  expect(run).toMatchObject({
    session_id: 'sess_given',
    run_id: 'run_given',
    trace_id: `tr_${TRACE}`,
    parent_span_id: `sp_${SPAN}`,
  })
  expect(nested?.run_id).not.toBe('run_given')
  expect(tool).toMatchObject({ run_id: 'run_given', parent_span_id: `sp_${SPAN}` })
  expect(recorder.only('point').payload['orphan']).toBe(true)

  const shared = record({ TRACEPARENT })
  coat('tool', () => {})()
  coat('tool', () => {})()
  const [one, other] = shared.spans().map(({ start }) => start.ids.run_id)
  expect(one).toBe(other)
})

test('a session can be named in code, where the environment does not', () => {
  const recorder = record({}, { sessionId: 'sess_mine' })
  coat(() => {})()
  configure({ sessionId: 'not one' })
  coat(() => {})()
  const [one, other] = recorder.spans().map(({ start }) => start.ids.session_id)
  expect(one).toBe('sess_mine')
  expect(other).toMatch(/^sess_[0-9a-f]{16}$/)
})

test('roots hang below OpenTelemetry’s active span when that is wanted', () => {
  const parent = { traceId: TRACE, spanId: SPAN, traceFlags: 1 }
  const active = otelTrace.setSpanContext(otelContext.active(), parent)
  otelContext.setGlobalContextManager({
    active: () => active,
    with: (_, fn, self, ...args) => fn.call(self as never, ...args),
    bind: (_, target) => target,
    enable() {
      return this
    },
    disable() {
      return this
    },
  })
  try {
    const root = (otelBridge: boolean) => {
      const recorder = record({}, { otelBridge })
      coat('run', () => coat('tool', () => {})())()
      return recorder.spans().map(({ start }) => start.ids)
    }
    const [bridged, child] = root(true)
    expect(bridged).toMatchObject({ trace_id: `tr_${TRACE}`, parent_span_id: `sp_${SPAN}` })
    expect(child?.parent_span_id).toBe(bridged?.span_id)
    expect(root(false)[0]?.parent_span_id).toBe('')
  } finally {
    otelContext.disable()
  }
})

test('connections opened inside a span are named in a pod, and only when that is wanted', async () => {
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const { port } = server.address() as AddressInfo
  const dial = coat('tool', async () => {
    const socket = connect(port, '127.0.0.1')
    await new Promise((closed) => socket.on('close', closed).on('error', () => {}))
  })
  const hints = async (env: Record<string, string>) => {
    const recorder = record(env)
    await dial()
    const [start] = recorder.spans()
    const found = recorder.events.filter(({ kind }) => kind === 'x.coat.io')
    for (const hint of found) expect(hint.ids.parent_span_id).toBe(start?.start.ids.span_id)
    return found.map(({ payload }) => [payload['proto'], payload['port']])
  }
  const pod = { ENVPOD_POD_ID: 'pod_x' }
  expect(await hints(pod)).toEqual([['tcp', port]])
  expect(await hints({ ...pod, ENVPOD_COAT_IO_HINTS: '0' })).toEqual([])
  expect(await hints({})).toEqual([])
  server.close()
})
