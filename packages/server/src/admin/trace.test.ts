import { expect, test } from 'vitest'
import type { AuditRecord } from '../audit/record.ts'
import { type TraceNode, traceTree } from './trace.ts'

let seq = 0

function record(request: string, entry: Partial<AuditRecord>): AuditRecord {
  seq += 1
  return {
    v: 2,
    seq,
    timestamp: new Date(1_790_000_000_000 + seq).toISOString(),
    pod_name: 'pod',
    prev: '',
    hash: '',
    action: 'tool.call',
    phase: 'single',
    detail: request,
    success: true,
    actor: 'agent:scout',
    source: 'gateway',
    request_id: request,
    span: { trace_id: '0'.repeat(32), span_id: `span-${request}`, parent_span_id: '' },
    ...entry,
  }
}

/** `a(b c(d))` */
function shape(nodes: readonly TraceNode[]): string {
  return nodes
    .map(({ detail, children }) =>
      children.length === 0 ? detail : `${detail}(${shape(children)})`,
    )
    .join(' ')
}

const below = (parent: string, own: string) => ({
  span: { trace_id: '0'.repeat(32), span_id: `span-${own}`, parent_span_id: `span-${parent}` },
})

test('calls hang below the making of their token, the run of a job below its submission', () => {
  const tree = traceTree([
    record('mint', { action: 'token.mint', data: { token: 't1' } }),
    record('call', { data: { token: 't1', tool: 'crm' } }),
    record('submit', { action: 'tool.submit', data: { token: 't1' } }),
    record('run', { data: { token: 't1', job: 'job_1' }, ...below('submit', 'run') }),
    record('other', { data: { token: 't2' } }),
  ])
  expect(shape(tree.spans)).toBe('mint(call submit(run)) other')
})

test('a token that an operator made is known by what came of the making', () => {
  const tree = traceTree([
    record('mint', { action: 'token.mint', phase: 'intent', data: { agent: 'scout' } }),
    record('mint', {
      action: 'token.mint',
      phase: 'outcome',
      outcome: { code: 'OK', duration_ms: 1, token: 't1' },
    }),
    record('call', { data: { token: 't1' } }),
  ])
  expect(shape(tree.spans)).toBe('mint(call)')
})

test('nothing is lost when a caller says that its token was made below its own call', () => {
  const tree = traceTree([
    record('mint', { action: 'token.mint', data: { token: 't1' }, ...below('call', 'mint') }),
    record('call', { data: { token: 't1' } }),
  ])
  expect(shape(tree.spans)).toBe('call(mint)')
})

test('records without a token stay where they were', () => {
  const tree = traceTree([
    record('mint', { action: 'token.mint', outcome: { code: 'AGENT_INACTIVE', duration_ms: 1 } }),
    record('use', { action: 'credential.use', data: { path: 'a/b' } }),
  ])
  expect(shape(tree.spans)).toBe('mint use')
})

test('lookups are told with the call they were made for, and alone where there is none', () => {
  const lookup = { action: 'dns_query', source: 'dns', data: { domain: 'api.example' } } as const
  const tree = traceTree([
    record('use', { action: 'credential.use' }),
    record('use', { ...lookup, detail: 'api.example A+AAAA allow' }),
    record('other', { ...lookup, detail: 'other.example A+AAAA deny' }),
  ])
  expect(shape(tree.spans)).toBe('use other.example A+AAAA deny')
  expect(tree.spans[0]?.lookups).toMatchObject([
    { detail: 'api.example A+AAAA allow', data: { domain: 'api.example' } },
  ])
  expect(tree.spans[1]).not.toHaveProperty('lookups')
})
