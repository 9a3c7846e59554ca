import { expect, test } from 'vitest'
import type { AuditRecord } from '../../audit/record.ts'
import { type AgentTrace, agentTrace } from './agent-trace.ts'
import { factOf } from './correlate.ts'
import { Log, spanId, traceId } from './records.test-kit.ts'

const SIGNAL = new AbortController().signal

const T = traceId(1)

function told({ records }: Log): Promise<AgentTrace> {
  const facts = records.map(factOf).filter((fact) => fact !== undefined)
  const effects = records.filter(({ source }) => source !== 'coat')
  return agentTrace(
    records,
    { facts, effects: new Map(effects.map((one) => [one.seq, one])) },
    SIGNAL,
  )
}

function asked(log: Log, n: number, parent: number, usage: Record<string, unknown>): void {
  const ids = { trace: T, span: spanId(n), parent: spanId(parent) }
  log.event('agent.llm.request', ids, 10 + n, { fn: `ask${n}` })
  log.event('agent.llm.response', ids, 100 - n, { status: 'ok', duration_ms: 80, ...usage })
}

function model(parent: number | undefined, used: Record<string, unknown>): Partial<AuditRecord> {
  return {
    ...{ source: 'llm', action: 'llm.chat', detail: 'llm.chat openai:gpt-4o' },
    span: {
      trace_id: T.slice(3),
      span_id: 'a'.repeat(16),
      parent_span_id: parent === undefined ? 'b'.repeat(16) : spanId(parent).slice(3),
    },
    outcome: { code: 'OK', duration_ms: 1, ...used },
  }
}

test('a model call that is told by a function, by an adapter in it, and by Vestry, counts once', async () => {
  const log = new Log()
  asked(log, 1, 0, { usage: { input: 7, output: 3 }, cost_usd: 1 })
  asked(log, 2, 1, { usage: { input: 8, output: 4 } })
  const { agents } = await told(log)
  // The outer one knows the price, which the inner one does not.
  expect(agents).toMatchObject({ input_tokens: 8, output_tokens: 4, cost_micros: 1_000_000 })
  log.vault(50, model(2, { usage: { prompt: 9, completion: 5, total: 14 }, cost_micros: 117 }))
  expect((await told(log)).agents).toMatchObject({
    input_tokens: 9,
    output_tokens: 5,
    cost_micros: 117,
  })
})

test('calls of a trace that hang below no span count, and tools that cost something', async () => {
  const log = new Log()
  asked(log, 1, 0, { usage: { input: 7, output: 3 } })
  const own = { usage: { prompt: 9, completion: 5, total: 14 }, cost_micros: 117 }
  log.vault(50, { ...model(undefined, own), pid: undefined, agent: 'other', request_id: 'r-x' })
  const tool = { source: 'gateway', action: 'tool.call', detail: 'x', data: { cost_micros: 5_000 } }
  log.vault(60, { ...model(1, {}), ...tool, request_id: 'r-y' } as Partial<AuditRecord>)
  const trace = await told(log)
  expect(trace.agents).toMatchObject({ input_tokens: 16, output_tokens: 8, cost_micros: 5_117 })
  expect(trace.totals.cost_micros).toBe(5_117)
})

test('events that belong to no trace are no reason to fail', async () => {
  const log = new Log()
  log.event('x.coat.tie', { trace: '', span: '' }, 5, { name: 'note', orphan: true })
  const [record] = log.records
  // As the SDK writes it: a session, and nothing else.
  const none = { trace_id: '', span_id: '', parent_span_id: '' }
  const event = { ...record?.event, ids: { session_id: 'sess_1', run_id: '', ...none } }
  log.records.splice(0, 1, { ...(record as AuditRecord), span: none, event })
  expect(await told(log)).toMatchObject({ spans: [], started_at: null, duration_ms: 0 })
})
