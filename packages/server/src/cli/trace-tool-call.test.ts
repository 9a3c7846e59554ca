import { expect, test } from 'vitest'
import { noPaint } from './style.ts'
import { traceText } from './trace-tree.ts'

const mint = {
  at: '2026-05-02T09:14:07.000Z',
  action: 'token.mint',
  detail: 'token for crm',
  decision: null,
  lease: null,
  data: {
    token: '04dee092-3bd7-423b-9a07-ae9b5f2908b9',
    tools: ['crm'],
    permissions: ['read', 'write'],
    proof: 'signed',
    expires_at: '2026-05-02T09:29:07.000Z',
  },
  outcome: { code: 'OK', duration_ms: 0 },
  children: [],
}

const call = {
  at: '2026-05-02T09:14:07.016Z',
  action: 'tool.call',
  detail: 'tool:call crm:contact',
  decision: { id: 'dec_1', allow: true, policies: ['p'], reason: 'allowed by "p"' },
  lease: null,
  data: {
    tool: 'crm',
    action: 'contact',
    digest: 'sha256:80dfe23cac5b1323251bb88d1f087b88649aa0cb433671bb3741e13f4fa02542',
    intent: 'lead_discovery',
    cost_micros: 10_000,
    keyed: true,
    execution: 'job_1',
    target: { scheme: 'https', host: 'example.com', port: 8443, path: '/a' },
  },
  outcome: {
    code: 'OK',
    duration_ms: 48,
    status: 200,
    credential: 'tools/crm',
    version: 2,
    attempts: 2,
    redactions: 1,
    filtered: 3,
    upstream: { host: 'api.crm.test', path: '/contacts/x1', ms: 38.4, redirects: 1 },
  },
  children: [],
}

const drawn = (...spans: object[]) => {
  const text = traceText({ id: 'x', started_at: '2026-05-02T09:14:07.000Z', spans }, noPaint)
  return text.split('\n').slice(1, -1)
}

test('a tool call is drawn from the token to the status of the provider', () => {
  expect(drawn({ ...mint, children: [call] }).join('\n')).toBe(`\
└─ token.mint  token for crm  +0ms  0ms
   ├─ token  04dee092-3bd7-423b-9a07-ae9b5f2908b9  tools crm  permissions read, write  proof signed  until 2026-05-02 09:29:07Z
   ├─ outcome  OK
   └─ tool.call  tool:call crm:contact  +16ms  48ms
      ├─ decision  allow  allowed by "p"  dec_1
      ├─ tool  crm:contact  sha256:80dfe23cac5b  intent lead_discovery  $0.01  idempotency key
      ├─ target  https://example.com:8443/a
      ├─ kept as  job_1
      ├─ credential  tools/crm  version 2
      ├─ upstream  api.crm.test/contacts/x1  200  38ms  2 attempts  1 redirect  1 redaction
      ├─ answer  filtered 3
      └─ outcome  OK`)
})

test.each([
  ['from the cache', { outcome: { code: 'OK', cached: true } }],
  ['from the mock', { outcome: { code: 'OK', cached: false, mock: true, attempts: 1 } }],
  ['replayed', { action: 'tool.replay', outcome: { code: 'OK' } }],
])('an answer that no provider gave now says so: %s', (told, facts) => {
  const lines = drawn({ ...call, ...facts })
  expect(lines).toContain(`   ├─ answer  ${told}`)
  expect(lines.filter((line) => line.includes('upstream'))).toEqual([])
})

test('a provider that did not answer, and a redirect that was refused, are told', () => {
  const failed = { code: 'UPSTREAM_TIMEOUT', attempts: 3 }
  expect(drawn({ ...call, outcome: failed })).toContain('   ├─ upstream  no answer  3 attempts')
  const refused = { code: 'ACCESS_DENIED', attempts: 1, redirect_denied: 'evil.test' }
  expect(drawn({ ...call, outcome: refused })).toContain(
    '   ├─ upstream  no answer  redirect refused to evil.test',
  )
})

test('names from a caller cannot draw branches of their own', () => {
  const data = { ...call.data, intent: 'a\n└─ forged\u001b[2J', target: { host: 'h\n' } }
  const text = drawn({ ...call, data }).join('\n')
  expect(text).toContain('intent a\\n└─ forged\\x1b[2J')
  expect(text.split('\n')).toHaveLength(drawn(call).length)
})
