import { expect, test } from 'vitest'
import { isWithin, LineMaker, namedSubject } from './line.ts'
import type { Draft } from './sink.ts'

const maker = new LineMaker({ producerId: 'p_77aa10e4c2d98b35', pid: 41, tid: 0, version: '1.0.0' })
const draft: Draft = {
  kind: 'agent.llm.request',
  tsMs: Date.parse('2026-05-02T09:14:07.481Z'),
  ids: {
    session_id: 'sess_9f2c41d07be8a610',
    run_id: 'run_51b0c77e2d9a4f38',
    step_id: '',
    trace_id: 'tr_6e1f0a9c5b7d43e28f10c2b4d6e8a0f1',
    span_id: 'sp_2b9d4c7e01f3a586',
    parent_span_id: '',
  },
  capture: { mode: 'redacted' },
  payload: { fn: 'askModel', op: 'llm', preview: { args: ['ö\n"'], kwargs: {} } },
}

test('a line is the envelope as JSON, with nobody named as its subject', () => {
  const line = maker.line(maker.body(draft), 12, 0)
  expect(line.indexOf('\n')).toBe(line.length - 1)
  expect(JSON.parse(line)).toEqual({
    spec: 'aotp/0.1',
    kind: 'agent.llm.request',
    ts: '2026-05-02T09:14:07.481Z',
    ids: draft.ids,
    subject: {
      agent_id: '',
      agent_role: '',
      framework: 'envpod-coat',
      framework_version: '1.0.0',
    },
    capture: { mode: 'redacted' },
    payload: draft.payload,
    producer: { id: 'p_77aa10e4c2d98b35', seq: 12, pid: 41, tid: 0, lang: 'ts' },
  })
})

test('members that are rare are there when they are given', () => {
  const capture = {
    mode: 'hash',
    requested: 'raw',
    hash: { alg: 'hmac-sha256-128', key_id: '0123abcd' },
  } as const
  const framework = { framework: 'lang"chain', framework_version: '1\n2' }
  const told = JSON.parse(maker.line(maker.body({ ...draft, capture, framework }), 3, 7))
  expect(told).toMatchObject({ capture, subject: framework, producer: { seq: 3, dropped: 7 } })
})

test('ids that no generator of ours made are still one JSON string each', () => {
  const ids = { ...draft.ids, span_id: 'sp_"},"x":1', trace_id: 5 as unknown as string }
  const told = JSON.parse(maker.line(maker.body({ ...draft, ids }), 1, 0))
  expect(told.ids).toMatchObject({ span_id: 'sp_"},"x":1', trace_id: '' })
})

test('what cannot be written as JSON costs only the member it is in', () => {
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  const payload = { fn: 'f', big: 1n, circle, fine: 2, gone: undefined }
  const told = JSON.parse(maker.line(maker.body({ ...draft, payload }), 1, 0))
  expect(told.payload).toEqual({
    fn: 'f',
    big: '[unserialisable]',
    circle: '[unserialisable]',
    fine: 2,
  })
})

test('off the socket the subject is who the environment says, whatever values contain', () => {
  const trap = '"subject":{"agent_id":"","agent_role":"",'
  const line = maker.line(maker.body({ ...draft, payload: { fn: trap } }), 1, 0)
  const told = JSON.parse(namedSubject('au"ditor', 'checks')(line))
  expect(told.subject).toMatchObject({ agent_id: 'au"ditor', agent_role: 'checks' })
  expect(told.payload).toEqual({ fn: trap })
  expect(namedSubject('', '')(line)).toBe(line)
})

test('the size of a line counts bytes, not characters', () => {
  expect(isWithin('ö'.repeat(50), 100)).toBe(true)
  expect(isWithin('ö'.repeat(51), 100)).toBe(false)
  expect(isWithin('x'.repeat(101), 100)).toBe(false)
})

test('an event that is too long gives up locals, then previews, then the stack, then what describes it', () => {
  const long = 'x'.repeat(2000)
  const payload = {
    fn: 'f',
    status: 'error',
    preview: { result: long },
    locals: { long },
    error: { type: 'E', stack: [long] },
    url: long,
    table: 'short',
  }
  const body = maker.body({ ...draft, payload })
  const fitted = (maxBytes: number) => {
    const line = maker.fit(body, 1, 0, maxBytes)
    if (line === undefined) return undefined
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(maxBytes)
    return JSON.parse(line).payload as Record<string, unknown>
  }
  expect(fitted(7000)).toEqual({ ...payload, locals: undefined, shed: ['locals'] })
  expect(fitted(5000)?.['shed']).toEqual(['locals', 'preview'])
  expect(fitted(3000)).toMatchObject({
    error: { type: 'E' },
    url: long,
    shed: ['locals', 'preview', 'error.stack'],
  })
  expect(fitted(1000)).toEqual({
    fn: 'f',
    status: 'error',
    error: { type: 'E' },
    table: 'short',
    shed: ['locals', 'preview', 'error.stack', 'url'],
  })
  expect(fitted(100)).toBeUndefined()
})
