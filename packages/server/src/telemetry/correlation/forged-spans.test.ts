/** Processes that speak of spans of others: to end them, to take what they cause, or to hide their own doing behind them. */
import { expect, test } from 'vitest'
import type { AuditRecord } from '../../audit/record.ts'
import { agentTrace, isSpan, type SpanItem } from './agent-trace.ts'
import { correlate, factOf } from './correlate.ts'
import { Log, spanId, traceId } from './records.test-kit.ts'
import { isGuess, SpanIndex } from './span-index.ts'

const SIGNAL = new AbortController().signal

const T = traceId(1)
const RUN = { trace: T, span: spanId(0) }
const AUDITOR = { agent: 'auditor', claimId: 'jti_9' }
const FORGER = { pid: 666, startTime: '900', producer: 'p_forger' }

function running(): Log {
  const log = new Log()
  log.event('agent.run.start', RUN, 0, { fn: 'reconcile' }, AUDITOR)
  return log
}

function told(log: Log, record: AuditRecord) {
  const index = new SpanIndex()
  for (const one of log.records) index.observe(one)
  return index.attribute(record)
}

function carrying(span: string): NonNullable<AuditRecord['span']> {
  return { trace_id: T.slice(3), span_id: 'a'.repeat(16), parent_span_id: span.slice(3) }
}

test('an end from another process ends nobody else’s span', () => {
  const log = running()
  log.event('agent.run.end', RUN, 10, { status: 'error', duration_ms: 1 }, FORGER)
  expect(told(log, log.vault(5_000))).toMatchObject({ method: 'sole', span_id: RUN.span })
  const [trace] = correlate(log.records).traces
  expect(trace?.open).toBe(true)
  expect(trace?.spans.map(({ status, caller }) => [status, caller])).toEqual([
    ['open', 0],
    ['error', 1],
  ])
  expect(trace?.callers.map((caller) => caller.claim_kind)).toEqual(['claimed', 'anonymous'])
})

test('what a process says of a span is shown as its own, whoever spoke first', () => {
  for (const first of ['forger', 'auditor']) {
    const log = new Log()
    const forged = () =>
      log.event('agent.run.start', RUN, 1, { fn: 'forged', model: 'cheap' }, FORGER)
    if (first === 'forger') forged()
    log.event('agent.run.start', RUN, 2, { fn: 'reconcile' }, AUDITOR)
    if (first === 'auditor') forged()
    log.vault(100, { span: carrying(RUN.span) })
    const [trace] = correlate(log.records).traces
    const own = trace?.spans.find(({ name }) => name === 'reconcile')
    expect(own?.facts).toEqual({})
    expect(trace?.callers[own?.caller ?? -1]).toMatchObject({ agent: 'auditor' })
    // The call came from the process of the auditor, and nobody else draws it to itself.
    expect(own?.events).toMatchObject([{ attribution: { method: 'exact' } }])
    const forgery = trace?.spans.find(({ name }) => name === 'forged')
    expect(forgery?.events).toEqual([])
    expect(trace?.callers[forgery?.caller ?? -1]).toMatchObject({ claim_kind: 'anonymous' })
  }
})

test('a call that carries the span of a stranger is a guess, and says who made it', () => {
  const log = running()
  const made = log.vault(100, { pid: 666, actor: 'agent:mallory', span: carrying(RUN.span) })
  expect(told(log, made)).toMatchObject({ method: 'heuristic', span_id: RUN.span })
  const [run] = correlate(log.records).traces[0]?.spans ?? []
  expect(run?.events).toMatchObject([{ actor: 'agent:mallory', pid: 666 }])
  // Over HTTP nobody knows the process, but its agent.
  const http = { span: carrying(RUN.span), pid: undefined }
  expect(told(log, log.vault(100, { ...http, agent: 'mallory' })).method).toBe('heuristic')
  expect(told(log, log.vault(100, { ...http, agent: 'auditor' })).method).toBe('exact')
  expect(told(log, log.vault(100, http)).method).toBe('exact')
})

test('a call of a child with the span of its parent is no guess', () => {
  const log = running()
  log.add({ action: 'start', source: 'pod', pid: 4_001, data: { ancestors: [3_999, 4_000] } })
  const made = log.vault(100, { pid: 4_001, span: carrying(RUN.span) })
  expect(told(log, made)).toMatchObject({ method: 'exact', span_id: RUN.span })
})

test('a call that carries the span of a stranger stays with the spans of its own process', () => {
  const log = running()
  const own = { trace: traceId(2), span: spanId(7) }
  log.event('agent.tool.call', own, 5, { fn: 'own' }, FORGER)
  const made = log.vault(100, { pid: 666, span: carrying(RUN.span) })
  const answer = told(log, made)
  expect(answer).toMatchObject({ method: 'heuristic', span_id: own.span })
  expect(answer.candidates.map(({ span_id }) => span_id)).toContain(RUN.span)
})

test('a hint of another process puts nothing below a span, and takes nothing away from it', () => {
  const log = running()
  log.event('x.coat.io', RUN, 10, { proto: 'dns', host: 'evil.example' }, FORGER)
  expect(told(log, log.dns('evil.example', 15, 666))).toEqual({ method: 'none', candidates: [] })
  log.event('x.coat.io', RUN, 20, { proto: 'dns', host: 'h.example' }, AUDITOR)
  log.event('x.coat.io', { trace: T, span: spanId(5) }, 21, { host: 'h.example' }, FORGER)
  expect(told(log, log.dns('h.example', 25, 4_000))).toMatchObject({
    method: 'hint',
    span_id: RUN.span,
  })
})

test('an action in the queue goes to who submitted it, however many others name it', () => {
  const log = running()
  const queued = { source: 'queue', action: 'queue_submit', detail: 'id=8c1f02aa' } as const
  const submitted = log.add({ ...queued, atMs: 50, pid: 4_000 })
  const asked = { phase: 'begin', queue_id: '8c1f02aa' }
  log.event('agent.human.request', { trace: T, span: spanId(8) }, 60, asked, FORGER)
  expect(told(log, submitted)).toMatchObject({ method: 'sole', span_id: RUN.span })
  log.event('agent.human.request', { trace: T, span: spanId(9) }, 61, asked, AUDITOR)
  expect(told(log, submitted)).toMatchObject({ method: 'exact', span_id: spanId(9) })
  // Also what became of it, in records that name no process.
  const decided = log.add({ ...queued, action: 'queue_expire', atMs: 90_000 })
  expect(told(log, decided)).toMatchObject({ method: 'exact', span_id: spanId(9) })
})

test('what others say of a span’s ancestors does not make two that run side by side one chain', () => {
  const log = new Log()
  log.event('agent.tool.call', { trace: T, span: spanId(1) }, 0, { fn: 'a' })
  log.event('agent.tool.call', { trace: T, span: spanId(2), parent: spanId(5) }, 1, { fn: 'b' })
  const link = { trace: T, span: spanId(5), parent: spanId(1) }
  log.event('agent.tool.call', link, 2, { fn: 'link' }, FORGER)
  expect(isGuess(told(log, log.vault(100)))).toBe(true)
})

test('a later process with the same pid that lies about its times takes nothing from the earlier one', () => {
  const log = running()
  log.event('x.coat.tie', RUN, 10_000, { name: 'note' }, AUDITOR)
  const before = log.vault(5_000)
  const later = { pid: 4_000, startTime: '900', producer: 'p_2' }
  log.event(
    'agent.run.start',
    { trace: traceId(2), span: spanId(5) },
    -60_000,
    { fn: 'run' },
    later,
  )
  expect(told(log, before)).toMatchObject({ span_id: RUN.span })
})

test('of a trace with several callers, each span tells its own, and a tie of another hides in none', async () => {
  const log = running()
  log.event(
    'agent.tool.call',
    { ...RUN, span: spanId(3), parent: RUN.span },
    5,
    { fn: 'x' },
    FORGER,
  )
  log.event('x.coat.tie', RUN, 6, { name: 'lie' }, FORGER)
  log.event('agent.llm.request', { ...RUN, span: spanId(4), parent: RUN.span }, 7, {}, AUDITOR)
  const [trace] = correlate(log.records).traces
  const [run] = trace?.spans ?? []
  expect(run?.spans.map(({ caller }) => caller)).toEqual([1, 0])
  expect(run?.events).toMatchObject([{ type: 'tie', name: 'lie', caller: 1 }])
  const facts = log.records.map(factOf).filter((fact) => fact !== undefined)
  const tree = await agentTrace(log.records, { facts, effects: new Map() }, SIGNAL)
  const names = (items: SpanItem['children']): unknown[] =>
    items.filter(isSpan).map(({ caller }) => tree.callers[caller])
  expect(names(tree.spans)).toMatchObject([{ agent: 'auditor' }])
  expect(names((tree.spans[0] as SpanItem).children)).toMatchObject([
    { claim_kind: 'anonymous', pid: 666 },
    { agent: 'auditor' },
  ])
})

test('callers of several traces under one id keep their places', async () => {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0), run: 'run_1' }, 0, {}, AUDITOR)
  const other = { trace: traceId(2), span: spanId(5), run: 'run_1' }
  log.event('agent.run.start', other, 1, { fn: 'b' }, FORGER)
  const facts = log.records.map(factOf).filter((fact) => fact !== undefined)
  const tree = await agentTrace(log.records, { facts, effects: new Map() }, SIGNAL)
  const callers = (tree.spans as SpanItem[]).map(({ caller }) => tree.callers[caller]?.pid)
  expect(callers).toEqual([4_000, 666])
})

test('what was lost at the end of a producer’s life leaves nothing for sure after it', () => {
  const log = running()
  const data = { producer: 'p_1', start_time: '100', missing: 3, dropped: 3 }
  log.add({ atMs: 900, source: 'coat', action: 'coat_gap', pid: 4_000, data })
  const answer = told(log, log.vault(500))
  expect(answer.method).toBe('heuristic')
})

test('of a process whose first events are not known, only what is carried or announced is sure', () => {
  const log = new Log()
  log.skip('p_1', 50)
  log.event('agent.run.start', RUN, 0, { fn: 'run' })
  log.event('x.coat.io', RUN, 10, { host: 'h.example' })
  expect(told(log, log.vault(600_000)).method).toBe('heuristic')
  expect(told(log, log.vault(600_000, { span: carrying(RUN.span) })).method).toBe('exact')
  expect(told(log, log.dns('h.example', 12, 4_000)).method).toBe('hint')
})

test('open spans that were forgotten leave doubt', () => {
  const log = running()
  for (let n = 1; n < 20; n += 1) {
    const ids = { trace: T, span: spanId(n) }
    log.event('agent.tool.call', ids, n * 1_000, {}, AUDITOR)
    log.event('agent.tool.result', ids, n * 1_000 + 900, { status: 'ok' }, AUDITOR)
  }
  const index = new SpanIndex({ maxSpans: 5 })
  for (const one of log.records) index.observe(one)
  expect(index.attribute(log.vault(19_500)).method).toBe('heuristic')
})
