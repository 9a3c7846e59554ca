import { expect, test } from 'vitest'
import { noPaint } from './style.ts'
import { traceText } from './trace-tree.ts'

const span = {
  at: '2026-05-02T09:14:07.482Z',
  action: 'credential.use',
  detail: 'use http_request on openai/key',
  decision: {
    id: 'dec_1',
    allow: true,
    policies: ['vault:research'],
    reason: 'allowed by vault:research',
  },
  lease: 'hmac:00ff',
  data: { ttl: 900 },
  outcome: { code: 'OK', status: 200, duration_ms: 12.34 },
  children: [
    {
      at: '2026-05-02T09:14:07.490Z',
      action: 'credential.retrieve',
      detail: 'retrieve openai/key',
      decision: { id: 'dec_2', allow: false, policies: [], reason: 'no rule allows it' },
      lease: null,
      data: {},
      outcome: { code: 'ACCESS_DENIED', duration_ms: 0 },
      children: [],
    },
  ],
}

test('a trace is drawn from caller to outcome', () => {
  const reply = {
    id: 'txn_1',
    actors: ['agent:scout'],
    txns: ['txn_1'],
    started_at: '2026-05-02T09:14:07.480Z',
    duration_ms: 2_500,
    spans: [span, { ...span, lease: null, decision: null, children: [] }],
    truncated: false,
  }
  expect(traceText(reply, noPaint)).toBe(`\
trace txn_1  agent:scout  2026-05-02 09:14:07Z  2.500s
├─ credential.use  use http_request on openai/key  +2ms  12.3ms
│  ├─ decision  allow  allowed by vault:research  dec_1
│  ├─ lease  hmac:00ff  ttl 900 s
│  ├─ outcome  OK  upstream 200
│  └─ credential.retrieve  retrieve openai/key  +10ms  0ms
│     ├─ decision  deny  no rule allows it  dec_2
│     └─ outcome  ACCESS_DENIED
└─ credential.use  use http_request on openai/key  +2ms  12.3ms
   └─ outcome  OK  upstream 200
`)
})

test('the trace of a run ends with what its calls come to, and with what ended with it', () => {
  const close = {
    ...span,
    action: 'run.close',
    detail: 'run.close run_1',
    decision: null,
    lease: null,
    outcome: { code: 'OK', duration_ms: 3, ended: { sessions: 1, leases: 0, tokens: 2 } },
    children: [],
  }
  const totals = {
    calls: { model: 2, tool: 1, credential: 0 },
    tokens: 15,
    cost_micros: 1_500_083,
    denied: 1,
    failed: 1,
  }
  const reply = { id: 'run_1', txns: ['txn_of_operator', 'run_1'], spans: [close], totals }
  const text = traceText({ ...reply, truncated: true, duration_ms: 3 }, noPaint)
  expect(text).toBe(`\
trace run_1  –  –  3ms
└─ run.close  run_1  +${Date.parse(span.at)}ms  3ms
   ├─ ended  1 session, 0 leases, 2 gateway tokens
   └─ outcome  OK
… only the newest are shown
total  3 calls (2 model, 1 tool)  15 tokens  $1.500083  1 denied  1 failed
`)
  const none = { ...totals, calls: {}, tokens: 0, cost_micros: 0, denied: 0, failed: 0 }
  expect(traceText({ ...reply, totals: none }, noPaint)).toMatch(
    /\ntotal {2}no calls {2}0 denied\n$/,
  )
})

test('a detail from outside cannot draw branches of its own', () => {
  const reply = { id: 'x', spans: [{ ...span, detail: 'a\n└─ forged\u001b[2J', children: [] }] }
  expect(traceText(reply, noPaint).split('\n')).toHaveLength(6)
  expect(traceText(reply, noPaint)).toContain('a\\n└─ forged\\x1b[2J')
})

test('spans of agents are drawn above the calls they made, with what they said, bars and totals', () => {
  const item = {
    type: 'span',
    trace_id: 'tr_1',
    span_id: 'sp_1',
    op: 'llm',
    name: 'askModel',
    at: '2026-05-02T09:14:07.480Z',
    offset_ms: 0,
    duration_ms: 100,
    status: 'ok',
    facts: { model: 'gpt-4o', input_tokens: 9, output_tokens: 6, cost_usd: 0.001 },
    events: [
      { type: 'tie', name: 'plan', data: '{"steps":2}', offset_ms: 1 },
      {
        ...{ type: 'effect', action: 'dns_query', detail: 'own.example A allow', success: true },
        ...{ offset_ms: 2, attribution: { method: 'window' } },
      },
    ],
    children: [
      {
        ...{ at: '2026-05-02T09:14:07.490Z', action: 'llm.chat', detail: 'llm.chat openai:gpt-4o' },
        ...{
          decision: { id: 'dec_1', allow: true, policies: [], reason: 'run' },
          lease: null,
          data: {},
        },
        lookups: [
          {
            data: {
              ...{ domain: 'api.openai.com', qtype: 'A+AAAA', decision: 'allow' },
              ...{ addresses: 2, latency_ms: 3 },
            },
          },
        ],
        outcome: { code: 'OK', duration_ms: 50 },
        attribution: { method: 'heuristic' },
        children: [],
      },
    ],
  }
  const open = {
    ...item,
    op: 'run',
    name: 'r',
    status: 'open',
    duration_ms: null,
    facts: {},
    events: [],
  }
  const reply = {
    id: 'tr_1',
    callers: [{ claim_kind: 'claimed', agent: 'auditor', claim_id: 'jti_1' }],
    actors: ['agent:auditor'],
    run_ids: ['run_1'],
    txns: [],
    started_at: '2026-05-02T09:14:07.480Z',
    duration_ms: 100,
    agents: { spans: 2, open: 1, input_tokens: 9, output_tokens: 6, cost_micros: 117 },
    totals: { calls: { model: 1, tool: 0, credential: 0 }, denied: 0, failed: 0 },
    spans: [item, { ...open, children: [] }],
  }
  const bars = { columns: 100 }
  expect(traceText(reply, noPaint, bars)).toBe(`\
trace tr_1  agent auditor (jti_1)  run run_1  2026-05-02 09:14:07Z  100ms
├─ llm  askModel  +0ms  100ms  ok  gpt-4o  in 9 out 6  $0.001  sp_1  ▕${'█'.repeat(29)}▏
│  ├─ · tie  plan  {"steps":2}
│  ├─ · dns_query  own.example A allow  [heuristic]
│  └─ llm.chat  openai:gpt-4o  +10ms  50ms  [heuristic]              ▕  ${'█'.repeat(15)}            ▏
│     ├─ decision  allow  run  dec_1
│     ├─ dns  api.openai.com  A+AAAA  allow  2 addresses  3ms
│     └─ outcome  OK
└─ run  r  +0ms  open  sp_1                                          ▕${'█'.repeat(28)}▶▏
total  2 spans (1 open)  1 call (1 model)  9 in + 6 out tokens  $0.000117  0 denied
`)
})
