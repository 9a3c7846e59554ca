import { expect, test } from 'vitest'
import { noPaint } from './style.ts'
import { traceText } from './trace-tree.ts'

const span = {
  at: '2026-05-02T09:14:07.000Z',
  action: 'llm.chat',
  detail: 'llm.chat openai:gpt-4o',
  decision: { id: 'dec_1', allow: true, policies: ['run:run_1'], reason: 'allowed by "run:run_1"' },
  lease: null,
  data: {
    route: '/v1/chat/completions',
    provider: 'openai',
    model: 'gpt-4o',
    category: 'analysis',
    org: '90210',
    stream: true,
  },
  outcome: {
    code: 'OK',
    duration_ms: 48,
    status: 200,
    usage: { prompt: 210, completion: 9, total: 219 },
    cost_micros: 615,
    finish_reason: 'stop',
  },
  children: [],
}

const drawn = (spans: object[]): string =>
  traceText({ id: 'run_1', started_at: span.at, duration_ms: 48, txns: [], spans }, noPaint)

test('a call of a model is drawn with what it used and what that cost', () => {
  expect(drawn([span])).toContain(`└─ llm.chat  openai:gpt-4o  +0ms  48ms
   ├─ decision  allow  allowed by "run:run_1"  dec_1
   ├─ model  openai:gpt-4o  analysis  org 90210  stream
   ├─ usage  210 in + 9 out = 219 tokens  $0.000615  stop
   └─ outcome  OK  answered 200
`)
})

test('what is not exact is told', () => {
  const outcome = { ...span.outcome, usage_estimated: true, price: 'unknown', replayed: true }
  const text = drawn([{ ...span, outcome }])
  expect(text).toContain('= 219 tokens  estimated  $0.000615  price not known  stop')
  expect(text).toContain('answer  given again')
})

test('a call that failed tells what the provider answered, and what it used only if it did', () => {
  const outcome = {
    code: 'PROVIDER_ERROR',
    duration_ms: 3,
    status: 502,
    provider_status: 500,
    cause: 'UPSTREAM_ERROR',
  }
  const nothing = { usage: { prompt: 0, completion: 0, total: 0 }, cost_micros: 0 }
  const text = drawn([{ ...span, outcome: { ...outcome, ...nothing } }])
  expect(text).toContain(`stream
   ├─ provider  UPSTREAM_ERROR  answered 500
   └─ outcome  PROVIDER_ERROR  answered 502
`)
  const used = { usage: { prompt: 7, completion: 0, total: 7 }, cost_micros: 20 }
  const cut = drawn([{ ...span, outcome: { ...outcome, ...used } }])
  expect(cut).toContain('usage  7 in + 0 out = 7 tokens  $0.00002')
})

test('a mock is called one, an answer cut short says so, and a free call costs $0.00', () => {
  const outcome = { ...span.outcome, mock: true, truncated: true, cost_micros: 0 }
  const text = drawn([{ ...span, outcome }])
  expect(text).toContain('answer  from the mock  cut short\n   └─ outcome  OK\n')
  expect(text).toContain('$0.00  stop')
})
