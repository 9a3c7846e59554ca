import { expect, test } from 'vitest'
import { configure, current, tie } from './index.ts'
import { record } from './recorder.test-kit.ts'
import { install } from './runtime.ts'
import { emitPoint, startSpan } from './span.ts'

test('a span tells its start, what runs inside it and its end', () => {
  const recorder = record({ ENVPOD_COAT_CAPTURE: 'redacted' })
  const span = startSpan({
    op: 'llm',
    fn: 'ChatModel',
    payload: { model: 'm-1', operation: 'chat' },
    captured: { preview: { args: [[{ role: 'user', content: 'hi' }]], kwargs: { top: 1 } } },
    framework: { name: 'chainlike', version: '9.9' },
    tsMs: 1000,
  })
  expect(recorder.only('start')).toMatchObject({
    kind: 'agent.llm.request',
    mode: 'redacted',
    tsMs: 1000,
    framework: { framework: 'chainlike', framework_version: '9.9' },
    ids: span.ids,
    payload: {
      fn: 'ChatModel',
      op: 'llm',
      model: 'm-1',
      preview: { args: [[{ role: 'user', content: 'hi' }]], kwargs: { top: 1 } },
    },
  })
  const inner = span.run(() => startSpan({ op: 'tool', fn: 'search' }))
  expect(inner.ids).toMatchObject({
    trace_id: span.ids.trace_id,
    parent_span_id: span.ids.span_id,
  })
  expect(current()).toBeUndefined()
  expect(span.ended).toBe(false)
  span.end({
    status: 'ok',
    payload: { usage: { input: 3 } },
    captured: { preview: { result: 'hello', yields: ['a', 'b'] } },
    durationMs: 12.34567,
    tsMs: 2000,
  })
  expect(span.ended).toBe(true)
  span.end({ status: 'error' })
  expect(recorder.only('end')).toMatchObject({
    kind: 'agent.llm.response',
    tsMs: 2000,
    payload: {
      status: 'ok',
      duration_ms: 12.346,
      usage: { input: 3 },
      preview: { result: 'hello', yields: ['a', 'b'] },
    },
  })
})

test('a parent can be named, and a trace begun anew', () => {
  record({ TRACEPARENT: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` })
  const outer = startSpan({ op: 'run', fn: 'outer' })
  const child = startSpan({ op: 'tool', fn: 'child', parent: outer.ids })
  const alone = outer.run(() => startSpan({ op: 'tool', fn: 'alone', parent: 'root' }))
  expect(outer.ids.trace_id).toBe(`tr_${'a'.repeat(32)}`)
  expect(child.ids).toMatchObject({
    parent_span_id: outer.ids.span_id,
    run_id: outer.ids.run_id,
  })
  expect(alone.ids.parent_span_id).toBe('')
  expect(alone.ids.trace_id).not.toBe(outer.ids.trace_id)
})

test('values obey the mode the adapter was given, metadata does not', () => {
  const recorder = record()
  const span = startSpan({
    op: 'memory.read',
    fn: 'Retriever',
    payload: { source: 'retriever' },
    captured: { query: 'secret question' },
    capture: { autoCapture: false },
  })
  span.end({ status: 'error', error: new Error('secret message') })
  emitPoint({
    kind: 'x.coat.tie',
    payload: { name: 'note' },
    captured: { data: 'secret data' },
    parent: span.ids,
    capture: { autoCapture: true, capture: 'summary' },
  })
  expect(recorder.events.map(({ mode }) => mode)).toEqual(['none', 'none', 'summary'])
  expect(recorder.events[0]?.payload).toMatchObject({
    source: 'retriever',
    phase: 'begin',
    query: '<string len=15>',
  })
  expect(recorder.events[1]?.payload['error']).toMatchObject({ type: 'Error' })
  expect(recorder.events[2]?.ids.parent_span_id).toBe(span.ids.span_id)
  expect(recorder.text()).not.toContain('secret')
})

test('faults below do not reach those who use spans', () => {
  record()
  const boom = (): never => {
    throw new Error('broken')
  }
  install({ sink: { emit: boom, flush: boom, shutdown: boom, stats: boom } })
  const span = startSpan({ op: 'tool', fn: 'x' })
  expect(span.run(() => 5)).toBe(5)
  span.end({ status: 'ok' })
  emitPoint({ kind: 'x.coat.tie' })
  tie('x')
  install({ capturer: { begin: boom, stats: boom } })
  startSpan({ op: 'tool', fn: 'x' }).end({ status: 'ok' })
})

test('while disabled a span does nothing', () => {
  const recorder = record({ ENVPOD_COAT_DISABLED: '1' })
  const span = startSpan({ op: 'tool', fn: 'x' })
  expect(span.run(() => current())).toBeUndefined()
  span.end({ status: 'ok' })
  emitPoint({ kind: 'x.coat.tie' })
  expect(recorder.events).toEqual([])
})

test('settings can change while spans are open', () => {
  const recorder = record()
  const span = startSpan({ op: 'tool', fn: 'x', captured: { preview: { args: ['a'] } } })
  configure({ autoCapture: true })
  span.end({ status: 'ok', captured: { preview: { result: 'b' } } })
  expect(recorder.events.map(({ mode }) => mode)).toEqual(['none', 'none'])
})
