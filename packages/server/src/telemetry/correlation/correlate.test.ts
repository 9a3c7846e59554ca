import { expect, test } from 'vitest'
import { agentTrace, isSpan, type SpanItem, type Surroundings } from './agent-trace.ts'
import { correlate, factOf, type SpanView } from './correlate.ts'
import { inParts, LongReply } from './long-reply.ts'
import { Log, spanId, traceId } from './records.test-kit.ts'

const SIGNAL = new AbortController().signal

const T = traceId(1)
const RUN = { trace: T, span: spanId(0) }
const LLM = { trace: T, span: spanId(1), parent: spanId(0) }

/** `run(llm tool)` */
function shape(spans: readonly SpanView[]): string {
  return spans
    .map(({ name, spans: below }) => (below.length === 0 ? name : `${name}(${shape(below)})`))
    .join(' ')
}

/** A run that asks a model by way of Vestry, and looks something up itself. */
function asking(): Log {
  const log = new Log()
  log.event('agent.run.start', RUN, 0, { fn: 'run' })
  log.event('agent.llm.request', LLM, 10, { fn: 'ask', model: 'gpt-4o' })
  const own = { trace_id: T.slice(3), span_id: 'a'.repeat(16), parent_span_id: LLM.span.slice(3) }
  const call = {
    source: 'llm',
    action: 'llm.chat',
    request_id: 'r-1',
    span: own,
    pid: 4_000,
  } as const
  const decision = { id: 'dec_1', allow: true, policies: ['p'], reason: 'p', policy_set: 's' }
  log.add({ ...call, atMs: 20, phase: 'intent', detail: 'llm.chat openai:gpt-4o', decision })
  log.add({
    ...{ source: 'dns', action: 'dns_query', request_id: 'r-1', span: own, pid: 4_000 },
    ...{ atMs: 25, detail: 'api.openai.com A+AAAA allow', data: { domain: 'api.openai.com' } },
  })
  const usage = { usage: { prompt: 9, completion: 6, total: 15 }, cost_micros: 117 }
  log.add({
    ...call,
    atMs: 80,
    phase: 'outcome',
    outcome: { code: 'OK', duration_ms: 61, ...usage },
  })
  const used = { usage: { input: 8, output: 5 }, cost_usd: 1 }
  log.event('agent.llm.response', LLM, 90, { fn: 'ask', status: 'ok', duration_ms: 80, ...used })
  log.event('x.coat.tie', RUN, 95, { name: 'plan', data: { steps: 2 } })
  log.dns('own.example', 100, 4_000)
  log.event('agent.run.end', RUN, 200, { fn: 'run', status: 'ok', duration_ms: 200 })
  return log
}

test('spans are trees, and what they caused lies below the span that did, each request once', () => {
  const { traces, unattributed } = correlate(asking().records)
  expect(unattributed).toEqual([])
  const [trace] = traces
  expect(trace).toMatchObject({
    trace_id: T,
    span_count: 2,
    event_count: 4,
    open: false,
    duration_ms: 200,
  })
  expect(shape(trace?.spans ?? [])).toBe('run(ask)')
  const [run] = trace?.spans ?? []
  expect(run?.events).toMatchObject([
    { type: 'tie', name: 'plan', data: '{"steps":2}' },
    { action: 'dns_query', attribution: { method: 'sole', span_id: RUN.span } },
  ])
  expect(run?.spans[0]?.events).toMatchObject([
    {
      ...{ action: 'llm.chat', seqs: [3, 5], decision_id: 'dec_1', allow: true, tokens: 15 },
      attribution: { method: 'exact', candidates: [{ span_id: LLM.span, trace_id: T }] },
    },
    { action: 'dns_query', seqs: [4], attribution: { method: 'exact' } },
  ])
})

test('every record that is no event of an agent says how it was put down to a span, in keys of one order', () => {
  const log = asking()
  log.dns('else.example', 90_000, 77)
  const found = correlate(log.records)
  const events = [...(found.traces[0]?.spans[0]?.events ?? []), ...found.unattributed]
  const effects = events.filter(({ type }) => type === 'effect')
  expect(effects.length).toBeGreaterThan(1)
  for (const effect of effects) {
    expect(Object.keys(effect).at(-1)).toBe('attribution')
    expect(effect).toMatchObject({
      attribution: { method: expect.any(String), candidates: expect.any(Array) },
    })
  }
  expect(JSON.stringify(correlate(log.records))).toBe(JSON.stringify(found))
})

test('what operators and the daemon do is put down to no agent', () => {
  const log = asking()
  log.add({ atMs: 50, source: 'admin', action: 'admin.read', actor: 'operator:ada' })
  log.add({
    atMs: 50,
    source: 'vault',
    action: 'credential.list',
    actor: 'operator:ada',
    pid: 4_000,
  })
  log.add({ atMs: 50, source: 'collector', action: 'audit_checkpoint' })
  expect(correlate(log.records)).toEqual(correlate(asking().records))
})

test('traces of callers with and without a claim are told apart', () => {
  const log = new Log()
  log.event('agent.run.start', RUN, 0, { fn: 'a' }, { agent: 'auditor', claimId: 'jti_9' })
  log.event('agent.run.start', { trace: traceId(2), span: spanId(5) }, 1, { fn: 'b' }, { pid: 5 })
  expect(correlate(log.records).traces.map(({ callers }) => callers)).toEqual([
    [{ claim_kind: 'claimed', agent: 'auditor', role: null, claim_id: 'jti_9', pid: 4_000 }],
    [{ claim_kind: 'anonymous', fingerprint: 'anon_pid5', pid: 5 }],
  ])
})

test('an end without a beginning, and a parent that never was, are shown all the same', () => {
  const log = new Log()
  log.event('agent.tool.result', { trace: T, span: spanId(7), parent: spanId(99) }, 500, {
    ...{ fn: 'late', status: 'error', duration_ms: 400, error: { type: 'EACCES' } },
  })
  const [trace] = correlate(log.records).traces
  expect(trace?.spans).toMatchObject([
    {
      name: 'late',
      offset_ms: 0,
      duration_ms: 400,
      without_start: true,
      status: 'error',
      error: 'EACCES',
    },
  ])
})

test('spans that are their own ancestors, and trees without end, are shown once and in bounded depth', () => {
  const log = new Log()
  log.event('agent.tool.call', { trace: T, span: spanId(1), parent: spanId(2) }, 0, { fn: 'a' })
  log.event('agent.tool.call', { trace: T, span: spanId(2), parent: spanId(1) }, 1, { fn: 'b' })
  log.event('agent.tool.call', { trace: T, span: spanId(3), parent: spanId(3) }, 2, { fn: 'c' })
  expect(shape(correlate(log.records).traces[0]?.spans ?? [])).toBe('a(b) c')
  const deep = new Log()
  for (let n = 0; n < 20_000; n += 1)
    deep.event(
      'agent.tool.call',
      { trace: T, span: spanId(n), parent: n === 0 ? '' : spanId(n - 1) },
      n,
    )
  const [trace] = correlate(deep.records).traces
  expect(trace?.span_count).toBe(20_000)
  const depth = (span: SpanView): number => 1 + Math.max(0, ...span.spans.map(depth))
  expect(Math.max(...(trace?.spans ?? []).map(depth))).toBeLessThanOrEqual(101)
  expect(() => JSON.stringify(trace)).not.toThrow()
})

test('numbers of producers: what is missing, what was dropped, and what nobody explains', () => {
  const log = new Log()
  log.event('agent.run.start', RUN, 0, { fn: 'run' })
  log.skip('p_1', 4)
  log.event('agent.run.end', RUN, 5, { status: 'ok' })
  const report = () => correlate(log.records, { isWhole: true }).producers[0]
  expect(report()).toEqual({
    ...{ id: 'p_1', pid: 4_000, first_seq: 1, last_seq: 6, stored: 2 },
    ...{ missing: 4, dropped: 0, unexplained: 4 },
  })
  // The collector heard later how many the producer had dropped.
  const gap = { producer: 'p_1', start_time: '100', missing: 4, dropped: 3 }
  log.add({ source: 'coat', action: 'coat_gap', pid: 4_000, data: gap })
  expect(report()).toMatchObject({ missing: 4, dropped: 3, unexplained: 1 })
})

test('events that the collector refused are not taken for lost, and another process fills no gaps', () => {
  const log = new Log()
  log.event('agent.run.start', RUN, 0, { fn: 'run' })
  log.skip('p_1', 2)
  log.event('agent.run.end', RUN, 5, { status: 'ok' })
  const [last] = log.records.slice(-1)
  // The same id and a missing number, from elsewhere.
  log.add({
    ...last,
    pid: 9,
    event: { ...last?.event, producer: { id: 'p_1', seq: 2 }, envpod: { pid: 9 } },
  })
  expect(correlate(log.records).producers).toMatchObject([{ unexplained: 2 }, { pid: 9 }])
  log.add({ source: 'coat', action: 'coat_reject', pid: 4_000, data: { reason: 'ts' } })
  expect(correlate(log.records).producers).toMatchObject([
    { missing: 2, unexplained: 0 },
    { pid: 9 },
  ])
})

test('a part of the log is not blamed for what stands before it', () => {
  const log = new Log()
  log.skip('p_1', 50)
  log.event('agent.run.start', RUN, 0, { fn: 'run' })
  expect(correlate(log.records).producers).toMatchObject([
    { first_seq: 51, missing: 0, unexplained: 0 },
  ])
  expect(correlate(log.records, { isWhole: true }).producers).toMatchObject([{ missing: 50 }])
})

test('a trace has calls below the spans that made them, with their lookups; guesses keep their mark', async () => {
  const log = asking()
  // A secret taken in no trace, while only the run ran, and one while the model was asked.
  const sole = log.vault(150, { request_id: 'r-7' })
  const ofTrace = log.records.filter(({ span }) => span?.trace_id.endsWith(T.slice(3)))
  const trace = await agentTrace(ofTrace, surroundings(log), SIGNAL)
  const [run] = trace.spans as SpanItem[]
  expect(run?.children.map((item) => (isSpan(item) ? item.name : item.action))).toEqual([
    'ask',
    'credential.retrieve',
  ])
  expect(run?.children[1]).toMatchObject({
    seqs: [sole.seq],
    attribution: { method: 'sole', span_id: RUN.span },
  })
  expect(run?.events).toMatchObject([
    { type: 'tie' },
    { action: 'dns_query', detail: 'own.example A allow' },
  ])
  const [ask] = (run?.children ?? []) as SpanItem[]
  expect(ask?.children).toMatchObject([
    {
      action: 'llm.chat',
      decision: { id: 'dec_1' },
      lookups: [{ data: { domain: 'api.openai.com' } }],
    },
  ])
  // Vestry measured the call; what the agent says of the same is not added to it.
  expect(trace.agents).toEqual({
    spans: 2,
    open: 0,
    input_tokens: 9,
    output_tokens: 6,
    cost_micros: 117,
  })
  expect(trace.totals.calls).toEqual({ model: 1, tool: 0, credential: 1 })
  expect(trace).toMatchObject({
    callers: [{ claim_kind: 'anonymous' }],
    trace_ids: [T, T.slice(3)],
  })
})

function surroundings(log: Log): Surroundings {
  const effects = log.records.filter(({ source }) => source !== 'coat')
  return {
    facts: log.records.map((record) => factOf(record)).filter((fact) => fact !== undefined),
    effects: new Map(effects.map((record) => [record.seq, record])),
  }
}

test('a reply longer than a frame comes in parts and is put together again', async () => {
  const reply = {
    traces: Array.from({ length: 30_000 }, (_, n) => ({ name: `ünïcode ${n} \u{1F600}` })),
  }
  const frames: Record<string, unknown>[] = []
  const last = await inParts(reply, async (frame) => void frames.push(frame))
  expect(frames.length).toBeGreaterThan(0)
  const long = new LongReply()
  for (const frame of frames) long.add(JSON.parse(JSON.stringify(frame)))
  expect(long.whole(JSON.parse(JSON.stringify(last)))).toEqual(reply)
  expect(await inParts({ a: 1 }, async () => undefined)).toEqual({ a: 1 })
})

test('a reply longer than any text is refused in words that help', async () => {
  const endless = {
    toJSON: () => {
      throw new RangeError('Invalid string length')
    },
  }
  for (const reply of [{ endless }, { long: 'x'.repeat(128_000_000) }])
    await expect(inParts(reply, async () => undefined)).rejects.toMatchObject({
      code: 'RESPONSE_TOO_LARGE',
      hint: expect.stringContaining('--since'),
    })
})

test('what a process left open when it ended is over, and waited for by nobody', () => {
  const log = new Log()
  log.event('agent.run.start', RUN, 0, { fn: 'run' })
  expect(correlate(log.records).traces[0]).toMatchObject({ open: true })
  log.add({ atMs: 700, action: 'identity_exit', source: 'identity', pid: 4_000 })
  const [trace] = correlate(log.records).traces
  expect(trace).toMatchObject({ open: false, duration_ms: 700 })
  expect(trace?.spans).toMatchObject([{ status: 'abandoned', duration_ms: 700 }])
})
