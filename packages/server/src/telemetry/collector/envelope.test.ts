import { expect, test } from 'vitest'
import { numberOf, readEnvelope } from './envelope.ts'

const NOW = Date.parse('2026-05-02T09:14:07.481Z')

function line(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    spec: 'aotp/0.1',
    kind: 'agent.llm.request',
    ts: '2026-05-02T09:14:07.481Z',
    ids: {
      session_id: 'sess_9f2c41d07be8a610',
      run_id: '',
      step_id: '',
      trace_id: 'tr_6e1f0a9c',
      span_id: 'sp_2b9d4c7e',
      parent_span_id: '',
    },
    subject: { agent_id: '', agent_role: '', framework: 'mine', framework_version: '1' },
    capture: { mode: 'none' },
    payload: { fn: 'ask' },
    ...changes,
  }
}

function read(changes: Record<string, unknown>): unknown {
  return readEnvelope(line(changes), NOW)
}

test('an envelope is taken member by member; what nobody knows is left behind', () => {
  const received = read({
    extra: 'x',
    kind_known: true,
    producer: { id: 'p_77aa10e4c2d98b35', seq: 12, pid: 41, tid: 0, lang: 'ts', more: 1 },
    capture: { mode: 'hash', hash: { alg: 'hmac-sha256-128', key_id: '0a1b2c3d', key: 'no' } },
  })
  expect(received).toMatchObject({
    kind: { kind: 'agent.llm.request' },
    framework: 'mine',
    producer: { id: 'p_77aa10e4c2d98b35', seq: 12, pid: 41, tid: 0, lang: 'ts' },
    capture: { mode: 'hash', hash: { alg: 'hmac-sha256-128', key_id: '0a1b2c3d' } },
  })
  expect(JSON.stringify(received)).not.toMatch(/extra|"more"|"key":/)
})

test('a later minor version is taken, another major one is not', () => {
  expect(read({ spec: 'aotp/0.7' })).toMatchObject({ spec: 'aotp/0.7' })
  for (const spec of ['aotp/1.0', 'aotp/0', 'aotp/0.x', 'otlp/0.1', 7])
    expect(read({ spec })).toBe('spec')
})

test('times are stored in one form', () => {
  for (const ts of [
    '2026-05-02T09:14:07.481Z',
    '2026-05-02T09:14:07.481999Z',
    '2026-05-02T09:14:07.481+00:00',
    '2026-05-02T11:14:07.481+02:00',
  ])
    expect(read({ ts })).toMatchObject({ ts: '2026-05-02T09:14:07.481Z' })
  expect(read({ ts: '2026-05-02T09:14:07Z' })).toMatchObject({ ts: '2026-05-02T09:14:07.000Z' })
})

test('a time that is none, or more than a day off, is refused', () => {
  for (const ts of [
    'yesterday',
    '2026-05-02',
    '2026-05-02T09:14:07.481',
    '2026-13-02T09:14:07.481Z',
    '2026-05-03T09:14:07.482Z',
    '2026-05-01T09:14:07.480Z',
    1_777_713_247_481,
    null,
  ])
    expect(read({ ts }), String(ts)).toBe('ts')
  expect(read({ ts: '2026-05-03T09:14:07.481Z' })).toMatchObject({ ts: '2026-05-03T09:14:07.481Z' })
})

test('ids are a prefix and letters or digits; absent ones do not apply', () => {
  expect(read({ ids: { trace_id: 'tr_6e1f', span_id: 'sp_2b9d' } })).toMatchObject({
    ids: { session_id: '', run_id: '', trace_id: 'tr_6e1f', parent_span_id: '' },
  })
  for (const bad of ['sp_a b', 'sp_<b>', 'sp_', 'sp_é', 'sp_a\n', `sp_${'a'.repeat(65)}`, 7, null])
    expect(read({ ids: { span_id: bad } }), String(bad)).toBe('ids')
  for (const ids of [undefined, null, [], 'x']) expect(read({ ids })).toBe('ids')
})

test('members of the wrong type are refused', () => {
  expect(read({ subject: 'x' })).toBe('subject')
  expect(read({ capture: {} })).toBe('capture')
  expect(read({ capture: { mode: 'all' } })).toBe('capture')
  expect(read({ payload: [] })).toBe('payload')
  expect(read({ payload: undefined })).toBe('payload')
  for (const producer of [
    'p_1',
    {},
    { id: 'p_1' },
    { id: 'q_1', seq: 1 },
    { id: 'p_1', seq: 0 },
    { id: 'p_1', seq: 1.5 },
    { id: 'p_1', seq: 2 ** 53 },
    { id: 'p_ 1', seq: 1 },
  ])
    expect(read({ producer }), JSON.stringify(producer)).toBe('producer')
})

test('without a subject or a producer an envelope is still one', () => {
  expect(read({ subject: undefined })).toMatchObject({
    framework: 'envpod-coat',
    producer: undefined,
  })
})

test('a refused line may still tell its number', () => {
  expect(numberOf(line({ kind: '!', producer: { id: 'p_1', seq: 3 } }))).toEqual({
    id: 'p_1',
    seq: 3,
  })
  expect(numberOf(line())).toBeUndefined()
})
