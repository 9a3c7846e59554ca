import { expect, test } from 'vitest'
import { recordLine } from './audit-lines.ts'
import { noPaint } from './style.ts'

const record = {
  seq: 7,
  timestamp: '2026-05-02T09:14:07.000Z',
  phase: 'outcome',
  success: true,
  actor: 'agent:scanner',
  action: 'llm.chat',
  detail: 'llm.chat openai:gpt-4o',
  source: 'llm',
  data: { provider: 'openai', model: 'gpt-4o' },
  outcome: { code: 'OK', status: 200, usage: { total: 219 }, cost_micros: 615 },
}
const line = (more: object = {}): string =>
  recordLine({ ...record, ...more }, noPaint).replace(/ {2,}/g, '  ')

test('a call of a model is told with model, tokens and cost, its name once', () => {
  expect(line()).toBe(
    '  7  2026-05-02 09:14:07Z  ✓  agent:scanner  llm.chat  openai:gpt-4o  219 tokens  $0.000615\n',
  )
})

test('what is special about it is told: mocks, replays, cuts, failures', () => {
  const { outcome } = record
  expect(line({ outcome: { ...outcome, mock: true, truncated: true } })).toMatch(
    /\$0\.000615 {2}mock {2}cut short\n$/,
  )
  expect(line({ outcome: { code: 'OK', status: 200, replayed: true } })).toMatch(
    /gpt-4o {2}given again\n$/,
  )
  const failed = { code: 'PROVIDER_ERROR', status: 502, usage: { total: 0 }, cost_micros: 0 }
  expect(line({ success: false, outcome: failed })).toMatch(
    /✗ .*gpt-4o {2}answered 502 {2}PROVIDER_ERROR\n$/,
  )
  const paid = { ...failed, usage: { total: 7 }, cost_micros: 20 }
  expect(line({ success: false, outcome: paid })).toMatch(
    /gpt-4o {2}7 tokens {2}\$0\.00002 {2}answered 502 /,
  )
  const refused = { detail: '/v1/chat/completions refused', phase: 'single', success: false }
  expect(line({ ...refused, outcome: { code: 'BUDGET_EXHAUSTED', status: 403 } })).toMatch(
    /refused {2}openai:gpt-4o {2}answered 403 {2}BUDGET_EXHAUSTED\n$/,
  )
})

test('other records are as they were', () => {
  const use = { action: 'credential.use', detail: 'use on a/b', source: 'vault', data: {} }
  expect(line({ ...use, outcome: { code: 'OK', status: 201 } })).toMatch(
    /use on a\/b {2}upstream 201\n$/,
  )
})

test('an event of an agent tells what it is of, how it ended and where it belongs; a forged name is told', () => {
  const event = {
    kind: 'agent.llm.response',
    payload: {
      ...{ fn: 'ask\u001b[2J', status: 'error', duration_ms: 1_204, model: 'gpt-4o' },
      ...{ usage: { input: 8, output: 5 }, error: { type: 'RATE' } },
    },
    envpod: { overwrote: ['subject.agent_id'] },
  }
  const record = {
    ...{ seq: 7, timestamp: '2026-05-02T09:14:07.483Z', success: false, phase: 'single' },
    ...{ actor: 'anonymous', action: 'agent_event', detail: 'agent.llm.response ask', pid: 41 },
    ...{ source: 'coat', span: { span_id: 'sp_1' }, event },
  }
  expect(recordLine(record, noPaint)).toBe(
    '     7  2026-05-02 09:14:07Z  ✗  anonymous         agent_event           agent.llm.response  ask\\x1b[2J  error  1.204s  RATE  gpt-4o  in 8  out 5  sp_1  pid 41  forged subject.agent_id\n',
  )
  // One that was too long to be kept whole is told by its detail.
  expect(recordLine({ ...record, event: { truncated: true } }, noPaint)).toContain(
    '  agent.llm.response ask\n',
  )
})
