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

test('a detail from outside cannot draw branches of its own', () => {
  const reply = { id: 'x', spans: [{ ...span, detail: 'a\n└─ forged\u001b[2J', children: [] }] }
  expect(traceText(reply, noPaint).split('\n')).toHaveLength(6)
  expect(traceText(reply, noPaint)).toContain('a\\n└─ forged\\x1b[2J')
})
