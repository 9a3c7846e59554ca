import { expect, test } from 'vitest'
import type { AuditRecord } from '../audit/record.ts'
import { TotalsCount } from './trace-totals.ts'

const record = (more: Partial<AuditRecord>): AuditRecord => ({
  v: 2,
  seq: 1,
  timestamp: '2026-05-02T09:14:07.000Z',
  pod_name: 'pod',
  prev: '',
  hash: '',
  action: 'llm.chat',
  phase: 'outcome',
  detail: '',
  success: true,
  actor: 'agent:scanner',
  source: 'llm',
  ...more,
})
const total = (...records: AuditRecord[]) => {
  const count = new TotalsCount()
  for (const one of records) count.add(one)
  return count.value
}
const refused = (code: string) => ({
  phase: 'single' as const,
  success: false,
  outcome: { code, duration_ms: 1 },
})
const used = (tokens: number, micros: number) => ({
  outcome: { code: 'OK', duration_ms: 1, usage: { total: tokens }, cost_micros: micros },
})

test('each call counts once, by what was called; reading the list of models is none', () => {
  const { calls, denied, failed } = total(
    record({ phase: 'intent' }),
    record({}),
    record({ action: 'llm.embed' }),
    record({ action: 'llm.models', phase: 'single' }),
    record({ action: 'policy.deny', ...refused('ACCESS_DENIED') }),
    record(refused('BUDGET_EXHAUSTED')),
    record(refused('BAD_REQUEST')),
    record({ source: 'gateway', action: 'token.mint', phase: 'single' }),
    record({ source: 'gateway', action: 'tool.call', success: false }),
    record({ source: 'mcp', action: 'mcp.call' }),
    record({ source: 'mcp', action: 'mcp.call', ...refused('TOOL_NOT_VERIFIED') }),
    record({ source: 'mcp', action: 'policy.deny', ...refused('ACCESS_DENIED') }),
    record({ source: 'mcp', action: 'mcp.tool_changed', phase: 'single' }),
    record({ source: 'vault', action: 'credential.retrieve' }),
    record({ source: 'vault', action: 'session.end', phase: 'single' }),
    record({ source: 'admin', action: 'run.close' }),
  )
  expect(calls).toEqual({ model: 5, tool: 4, credential: 1 })
  expect([denied, failed]).toEqual([4, 2])
})

test('what an effect of a program is refused is denied; that its run failed of it is not counted twice', () => {
  const effect = (action: string, code: string) =>
    record({ source: 'runtime', action, ...refused(code) })
  const { calls, denied, failed } = total(
    effect('policy.deny', 'ACCESS_DENIED'),
    effect('policy.deny', 'DSL_POLICY_DENIED'),
    effect('approval.request', 'APPROVAL_REQUIRED'),
    effect('workflow.step', 'ACCESS_DENIED'),
    effect('agent.run', 'DSL_POLICY_DENIED'),
    record({ source: 'runtime', action: 'policy.deny', phase: 'intent', success: false }),
  )
  expect(calls).toEqual({ model: 0, tool: 0, credential: 0 })
  expect([denied, failed]).toEqual([3, 0])
})

test('tokens and cost are added up; a failed call of a model may have cost, a failed or cached tool has not', () => {
  const tool = { source: 'gateway' as const, action: 'tool.call', data: { cost_micros: 10_000 } }
  const { tokens, cost_micros } = total(
    record(used(15, 83)),
    record({ ...used(7, 20), success: false }),
    record(tool),
    record({ ...tool, success: false }),
    record({ ...tool, outcome: { code: 'OK', duration_ms: 1, cached: true } }),
  )
  expect([tokens, cost_micros]).toEqual([22, 10_103])
})
