import { expect, test } from 'vitest'
import type { AuditEntry } from './record.ts'
import { withoutCredentials } from './without-credentials.ts'

const KEY = `sk-proj-${'a1B2'.repeat(8)}`
const entry = (more: Partial<AuditEntry>): AuditEntry => ({
  action: 'mcp.call',
  phase: 'single',
  detail: 'mcp.call',
  success: false,
  actor: 'agent:scout',
  source: 'mcp',
  ...more,
})

test.each([
  ['an MCP server', { server: KEY, tool: 'search' }],
  ['an MCP tool', { server: 'files', tool: KEY }],
  ['a secret', { operation: 'read', agent_id: 'scout', secret_key: KEY }],
  ['a signing key', { key_id: `AKIA${'B2'.repeat(8)}` }],
  ['a workflow, a step', { workflow: KEY, steps: [{ step: `ghp_${'x'.repeat(36)}` }] }],
  ['a label', { labels: [KEY] }],
  ['a schedule', { schedule: `key_${'0a'.repeat(8)}.${'x'.repeat(43)}` }],
  ['a name of a member', { [KEY]: 1 }],
  ['an agent in a hook path', { asked: `Bearer ${'x'.repeat(40)}` }],
])('a credential pasted as the name of %s is no part of the record', (_what, data) => {
  const text = JSON.stringify(withoutCredentials(entry({ data, detail: `call ${KEY}` })))
  expect(text).toContain('[redacted:')
  for (const secret of [KEY, 'AKIAB2', 'ghp_x', 'Bearer x', 'xxx'])
    expect(text).not.toContain(secret)
})

test('records of ordinary names stay the very same', () => {
  const plain = entry({
    detail: 'token tok_01k3wa11ccabcdef of scout revoked; digest sha256:00aa11bb22cc33dd',
    data: {
      path: 'openai/api_key',
      secret_key: 'github-token',
      token: 'tok_01k3wa11cc',
      digest: `sha256:${'0f'.repeat(32)}`,
      key_id: '018f3c5e-0000-7000-8000-000000000001',
      reason: 'the token expired yesterday, order 4111111111111111',
      at: 1_795_228_800_000,
      none: null,
    },
    outcome: { code: 'OK', duration_ms: 3 },
  })
  expect(withoutCredentials(plain)).toBe(plain)
})

test('what has no canonical form, and what ends in itself, is left to the log', () => {
  const loop: Record<string, unknown> = { name: KEY }
  loop['self'] = loop
  const data = { loop, date: new Date(0), big: 1n }
  expect(() => withoutCredentials(entry({ data }))).not.toThrow()
})
