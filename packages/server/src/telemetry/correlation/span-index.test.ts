import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AuditRecord } from '../../audit/record.ts'
import { Log, spanId, traceId } from './records.test-kit.ts'
import { type Attribution, isGuess, SpanIndex } from './span-index.ts'

const T = traceId(1)

function indexed(log: Log): SpanIndex {
  const index = new SpanIndex()
  for (const record of log.records) index.observe(record)
  return index
}

function found(log: Log, record: AuditRecord): string {
  const { method, span_id } = indexed(log).attribute(record)
  return span_id === undefined ? method : `${method} ${span_id}`
}

/** A run with a model call and a tool, one after the other. */
function sequential(): Log {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: 'reconcile' })
  const llm = { trace: T, span: spanId(1), parent: spanId(0) }
  log.event('agent.llm.request', llm, 10, { fn: 'askModel' })
  log.event('agent.llm.response', llm, 100, { fn: 'askModel', status: 'ok', duration_ms: 90 })
  const tool = { trace: T, span: spanId(2), parent: spanId(0) }
  log.event('agent.tool.call', tool, 120, { fn: 'write' })
  log.event('agent.tool.result', tool, 200, { fn: 'write', status: 'ok', duration_ms: 80 })
  log.event('agent.run.end', { trace: T, span: spanId(0) }, 900, { status: 'ok' })
  return log
}

/** Two that run at the same time, announced or not. */
function concurrent({ hints }: { hints: boolean }): Log {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: 'run' })
  for (const n of [1, 2]) {
    const ids = { trace: T, span: spanId(n), parent: spanId(0) }
    log.event('agent.tool.call', ids, n, { fn: `tool${n}` })
    if (hints) log.event('x.coat.io', ids, 20 * n, { proto: 'dns', host: `h${n}.example` })
  }
  for (const n of [1, 2])
    log.event('agent.tool.result', { trace: T, span: spanId(n) }, 500 + n, { status: 'ok' })
  log.event('agent.run.end', { trace: T, span: spanId(0) }, 600, { status: 'ok' })
  return log
}

test('telemetry §16.37: what a sequential agent causes is never a guess', () => {
  const log = sequential()
  const asked = [
    [5, spanId(0)],
    [50, spanId(1)],
    // Right after one span, and within the next that began soon after it.
    [110, spanId(0)],
    [130, spanId(2)],
    [210, spanId(0)],
    [899, spanId(0)],
  ] as const
  for (const [atMs, span] of asked)
    expect(found(log, log.dns('a.example', atMs, 4_000)), `at ${atMs}`).toBe(`sole ${span}`)
})

test('telemetry §16.37: what came before the first span began is shown there, as a guess', () => {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 10, { fn: 'reconcile' })
  log.event('agent.run.end', { trace: T, span: spanId(0) }, 90, { status: 'ok' })
  const methodAt = (atMs: number) =>
    indexed(log).attribute(log.dns('a.example', atMs, 4_000)).method
  expect([4, 6, 9, 10].map(methodAt)).toEqual(['none', 'heuristic', 'sole', 'sole'])
})

test('telemetry §16.37: of two overlapping spans without hints one is guessed, and so marked', () => {
  const log = concurrent({ hints: false })
  const answer = indexed(log).attribute(log.dns('h1.example', 25, 4_000))
  expect(answer.method).toBe('heuristic')
  expect(isGuess(answer)).toBe(true)
  expect(answer.span_id).toBe(spanId(2)) // the latest-started
  expect(answer.candidates.map(({ span_id }) => span_id).sort()).toEqual([0, 1, 2].map(spanId))
})

test('telemetry §16.37: with hints the same is known', () => {
  const log = concurrent({ hints: true })
  for (const n of [1, 2]) {
    const answer = indexed(log).attribute(log.dns(`H${n}.example.`, 45, 4_000))
    expect(answer).toEqual({
      method: 'hint',
      span_id: spanId(n),
      trace_id: T,
      candidates: [{ span_id: spanId(n), trace_id: T }],
    })
  }
})

test('two spans that announced the same host are a guess, also when one did so long before', () => {
  const log = concurrent({ hints: true })
  log.event('x.coat.io', { trace: T, span: spanId(2) }, 30, { proto: 'tls', host: 'h1.example' })
  expect(found(log, log.dns('h1.example', 60, 4_000))).toBe(`heuristic ${spanId(2)}`)
  const late = new Log()
  for (const n of [1, 2])
    late.event('agent.tool.call', { trace: T, span: spanId(n) }, n, { fn: `tool${n}` })
  late.event('x.coat.io', { trace: T, span: spanId(1) }, 10, { host: 'h.example' })
  late.event('x.coat.io', { trace: T, span: spanId(2) }, 9_000, { host: 'h.example' })
  // The first one still runs, and what is done again and again is announced once.
  expect(found(late, late.dns('h.example', 9_010, 4_000))).toBe(`heuristic ${spanId(2)}`)
})

test('where a concurrent process announces what it does, what it did not announce is a guess', () => {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: 'run' })
  log.event('x.coat.io', { trace: T, span: spanId(0) }, 10, { host: 'known.example' })
  expect(found(log, log.dns('known.example', 11, 4_000))).toBe(`hint ${spanId(0)}`)
  // One thing after the other: what a hint does not tell, the only span that runs does.
  expect(found(log, log.dns('other.example', 11, 4_000))).toBe(`sole ${spanId(0)}`)
  log.event('agent.run.start', { trace: T, span: spanId(1) }, 20, { fn: 'run' })
  log.event('agent.run.end', { trace: T, span: spanId(1) }, 30, { status: 'ok' })
  expect(found(log, log.dns('other.example', 5_000, 4_000))).toBe(`heuristic ${spanId(0)}`)
})

test('lost events leave nothing for sure: another span may have begun, or announced the same', () => {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: 'run' })
  log.event('x.coat.io', { trace: T, span: spanId(0) }, 10, { host: 'h.example' })
  log.skip('p_1', 3)
  log.event('x.coat.tie', { trace: T, span: spanId(0) }, 400, { name: 'note' })
  log.event('x.coat.tie', { trace: T, span: spanId(0) }, 9_000, { name: 'note' })
  expect(found(log, log.dns('h.example', 20, 4_000))).toBe(`heuristic ${spanId(0)}`)
  expect(found(log, log.vault(300))).toBe(`heuristic ${spanId(0)}`)
  expect(found(log, log.vault(8_000))).toBe(`sole ${spanId(0)}`)
})

test('beyond the rate up to which everything is announced, a hint is no proof', () => {
  const log = new Log()
  for (const n of [1, 2])
    log.event('agent.tool.call', { trace: T, span: spanId(n) }, n, { fn: `tool${n}` })
  for (let n = 0; n < 200; n += 1)
    log.event('x.coat.io', { trace: T, span: spanId(1) }, 10 + n, { host: `h${n}.example` })
  expect(found(log, log.dns('h3.example', 220, 4_000))).toBe(`heuristic ${spanId(1)}`)
  expect(found(log, log.dns('h3.example', 5_000, 4_000))).toBe(`hint ${spanId(1)}`)
})

test('telemetry §16.39: an event of a child process belongs to the span that ran it', () => {
  const log = sequential()
  log.add({ action: 'start', source: 'pod', pid: 4_001, data: { ppid: 4_000 } })
  log.add({ action: 'start', source: 'pod', pid: 4_002, data: { ppid: 4_001 } })
  expect(found(log, log.dns('a.example', 50, 4_002))).toBe(`sole ${spanId(1)}`)
  const live = new SpanIndex({ processTree: { parentOf: (pid) => (pid === 77 ? 4_000 : 1) } })
  for (const record of log.records) live.observe(record)
  expect(live.attribute(log.dns('a.example', 150, 77))).toMatchObject({
    method: 'sole',
    span_id: spanId(2),
  })
})

test('telemetry §16.39: an event without a process is always a guess, also with a single candidate', () => {
  const log = sequential()
  expect(found(log, log.dns('a.example', 850))).toBe(`window ${spanId(0)}`)
  expect(isGuess(indexed(log).attribute(log.dns('a.example', 850)))).toBe(true)
})

test('telemetry §16.39: without a candidate nothing is forced', () => {
  const log = sequential()
  expect(found(log, log.dns('a.example', 5_000, 4_000))).toBe('none')
  expect(found(log, log.dns('a.example', 50, 999))).toBe('none')
  expect(found(log, log.dns('a.example', -1_000))).toBe('none')
})

test('a record that carries a span belongs to it whatever its time, also by way of spans of our own', () => {
  const log = sequential()
  const trace = T.slice(3)
  const own = (span: string, parent: string) => ({
    trace_id: trace,
    span_id: span,
    parent_span_id: parent,
  })
  const call = log.vault(50_000, { span: own('a'.repeat(16), spanId(1).slice(3)) })
  const inner = log.vault(50_001, { span: own('b'.repeat(16), 'a'.repeat(16)) })
  expect(found(log, call)).toBe(`exact ${spanId(1)}`)
  expect(found(log, inner)).toBe(`exact ${spanId(1)}`)
  // The same number of a span in another trace is another span.
  const other = { ...own('c'.repeat(16), spanId(1).slice(3)), trace_id: 'f'.repeat(32) }
  expect(found(log, log.vault(50_002, { span: other }))).toBe('none')
})

test('an action in the queue belongs to the span that named it, and to none when two did', () => {
  const log = sequential()
  const human = { trace: T, span: spanId(9), parent: spanId(0) }
  log.event('agent.human.request', human, 20_000, { phase: 'begin', queue_id: '8c1f02aa' })
  const queued = {
    source: 'queue',
    action: 'queue_submit',
    detail: 'id=8c1f02aa tier=staged',
  } as const
  expect(found(log, log.add({ ...queued, atMs: 90_000 }))).toBe(`exact ${spanId(9)}`)
  log.event('agent.human.request', { trace: T, span: spanId(10) }, 20_001, { queue_id: '8c1f02aa' })
  expect(found(log, log.add({ ...queued, atMs: 90_000 }))).not.toContain('exact')
})

test('a span without an end is open until now, or until its process is over', () => {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: 'run' })
  expect(found(log, log.vault(3_600_000))).toBe(`sole ${spanId(0)}`)
  log.add({ atMs: 5_000, action: 'identity_exit', source: 'identity', pid: 4_000 })
  expect(found(log, log.vault(4_000))).toBe(`sole ${spanId(0)}`)
  expect(found(log, log.vault(6_000))).toBe('none')
})

test('a later process with the same pid inherits no spans', () => {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: 'run' })
  const later = { startTime: '900', producer: 'p_2' }
  log.event('agent.run.start', { trace: traceId(2), span: spanId(1) }, 60_000, { fn: 'run' }, later)
  expect(found(log, log.vault(61_000))).toBe(`sole ${spanId(1)}`)
  expect(found(log, log.vault(1_000))).toBe(`sole ${spanId(0)}`)
})

test('a record of an outcome counts from when it was asked for', () => {
  const log = sequential()
  const slow = log.vault(600, { outcome: { code: 'OK', duration_ms: 550 } })
  expect(found(log, slow)).toBe(`sole ${spanId(1)}`)
})

test('a parent that lets children run side by side may do something itself beside the last one', () => {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: 'run' })
  for (const n of [1, 2])
    log.event('agent.tool.call', { trace: T, span: spanId(n), parent: spanId(0) }, n, {})
  log.event('agent.tool.result', { trace: T, span: spanId(1) }, 10, { status: 'ok' })
  expect(found(log, log.vault(5_000))).toBe(`heuristic ${spanId(2)}`)
})

/** A process whose first two spans overlap: it does not wait for one thing before it does the next. */
function sideBySide(): Log {
  const log = new Log()
  for (const n of [101, 102])
    log.event('agent.tool.call', { trace: T, span: spanId(n) }, n - 2_000, {})
  for (const n of [101, 102])
    log.event('agent.tool.result', { trace: T, span: spanId(n) }, n - 1_900, { status: 'ok' })
  return log
}

test('where several things are done at once, one that is over may be what is written down only now', () => {
  const log = sideBySide()
  log.event('agent.tool.call', { trace: T, span: spanId(1) }, 0, {})
  log.event('agent.tool.result', { trace: T, span: spanId(1) }, 100, { status: 'ok' })
  // In the same millisecond, and below nothing: by their times alone the two are one after the other.
  log.event('agent.tool.call', { trace: T, span: spanId(2) }, 100, {})
  log.event('agent.tool.result', { trace: T, span: spanId(2) }, 900, { status: 'ok' })
  const late = indexed(log).attribute(log.dns('a.example', 110, 4_000))
  expect(late.method).toBe('heuristic')
  expect(late.candidates.map(({ span_id }) => span_id).sort()).toEqual([1, 2].map(spanId))
  expect(found(log, log.dns('a.example', 350, 4_000))).toBe(`heuristic ${spanId(2)}`)
  expect(found(log, log.dns('a.example', 351, 4_000))).toBe(`sole ${spanId(2)}`)
})

test('where several things are done at once, a parent may do something beside its only child', () => {
  const log = sideBySide()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: 'run' })
  log.event('agent.tool.call', { trace: T, span: spanId(1), parent: spanId(0) }, 500, {})
  log.event('agent.tool.result', { trace: T, span: spanId(1) }, 1_000, { status: 'ok' })
  const foundAt = (atMs: number) => found(log, log.dns('a.example', atMs, 4_000))
  expect(foundAt(400)).toBe(`sole ${spanId(0)}`)
  expect(foundAt(700)).toBe(`heuristic ${spanId(1)}`)
  expect(foundAt(1_010)).toBe(`heuristic ${spanId(0)}`)
  expect(foundAt(1_300)).toBe(`sole ${spanId(0)}`)
})

test('a parent that is over before its child did not wait for it', () => {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: 'run' })
  log.event('agent.tool.call', { trace: T, span: spanId(1), parent: spanId(0) }, 100, {})
  expect(found(log, log.vault(400))).toBe(`sole ${spanId(1)}`)
  log.event('agent.run.end', { trace: T, span: spanId(0) }, 500, { status: 'ok' })
  expect(found(log, log.vault(400))).toBe(`heuristic ${spanId(1)}`)
  expect(found(log, log.vault(510))).toBe(`heuristic ${spanId(1)}`)
  expect(found(log, log.vault(800))).toBe(`sole ${spanId(1)}`)
})

test('a span that begins right after is no sure cause while another one runs', () => {
  const log = sequential()
  expect(found(log, log.vault(9))).toBe(`heuristic ${spanId(1)}`)
  expect(found(log, log.vault(10))).toBe(`sole ${spanId(1)}`)
})

test('the index is bounded: the oldest spans are forgotten', () => {
  const log = new Log()
  for (let n = 0; n < 500; n += 1) {
    log.event('agent.tool.call', { trace: T, span: spanId(n) }, n * 10, {})
    log.event('agent.tool.result', { trace: T, span: spanId(n) }, n * 10 + 9, { status: 'ok' })
  }
  const index = new SpanIndex({ maxSpans: 100 })
  for (const record of log.records) index.observe(record)
  expect(index.size).toBe(100)
  expect(index.attribute(log.vault(5, { pid: 4_000 }))).toEqual({ method: 'none', candidates: [] })
  expect(index.attribute(log.vault(4_995)).span_id).toBe(spanId(499))
})

interface Truth {
  readonly record: AuditRecord
  readonly span: string
}

/**
 * A process that waits for nothing: its spans run at the same time, also beside and beyond their parents, each looking
 * up hosts of a few at moments of its own. Everything in it is coated, so the truth is known.
 */
function workload(
  { spans, hosts, hints }: { spans: number; hosts: number; hints: boolean },
  random: () => number,
): { log: Log; truths: Truth[] } {
  const log = sideBySide()
  type Step = { atMs: number; rank: number; go: () => void }
  const steps: Step[] = []
  const lookups: { domain: string; atMs: number; span: string }[] = []
  for (let n = 0; n < spans; n += 1) {
    const ids = {
      trace: traceId(Math.floor(n / 3) % 7),
      span: spanId(1_000 + n),
      ...(n % 3 === 2 && { parent: spanId(999 + n) }),
    }
    const from = Math.floor((n / spans) * 200_000 + random() * 400)
    const to = from + 20 + Math.floor(random() * 3_000)
    steps.push({
      atMs: from,
      rank: 0,
      go: () => log.event('agent.tool.call', ids, from, { fn: 'f' }),
    })
    steps.push({
      atMs: to,
      rank: 2,
      go: () => log.event('agent.tool.result', ids, to, { status: 'ok', duration_ms: to - from }),
    })
    for (let count = Math.floor(random() * 3); count > 0; count -= 1) {
      const atMs = from + Math.floor(random() * (to - from))
      const domain = `h${Math.floor(random() * hosts)}.example`
      if (hints)
        steps.push({
          atMs,
          rank: 1,
          go: () =>
            log.event('x.coat.io', ids, atMs, { proto: 'dns', host: domain, phase: 'begin' }),
        })
      // Seen a little later than it was announced.
      lookups.push({ domain, atMs: atMs + Math.floor(random() * 15), span: ids.span })
    }
  }
  steps.sort((one, other) => one.atMs - other.atMs || one.rank - other.rank)
  for (const { go } of steps) go()
  const truths = lookups.map(({ domain, atMs, span }) => ({
    record: log.dns(domain, atMs, 4_000),
    span,
  }))
  return { log, truths }
}

function judged(log: Log, truths: readonly Truth[]) {
  const index = indexed(log)
  const answers = truths.map(({ record, span }) => ({ answer: index.attribute(record), span }))
  const sure = ({ answer }: { answer: Attribution }) => !isGuess(answer) && answer.method !== 'none'
  return {
    all: answers.length,
    sure: answers.filter(sure).length,
    wrong: answers.filter((one) => sure(one) && one.answer.span_id !== one.span).length,
    lost: answers.filter(({ answer }) => answer.method === 'none').length,
  }
}

/** The same numbers each time. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

test('telemetry §16.38: of 1000 concurrent spans no unmarked line is wrong, and with hints at least 99 % are unmarked', () => {
  for (const seed of [1, 2, 3]) {
    const { log, truths } = workload({ spans: 1_000, hosts: 2_000, hints: true }, seeded(seed))
    const { all, sure, wrong } = judged(log, truths)
    expect(all).toBeGreaterThan(800)
    expect(wrong).toBe(0)
    expect(sure / all).toBeGreaterThanOrEqual(0.99)
  }
})

test('telemetry §16.38: no unmarked line is wrong, however few hosts there are, with hints or without', () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.nat(),
        spans: fc.integer({ min: 2, max: 200 }),
        hosts: fc.integer({ min: 1, max: 50 }),
        hints: fc.boolean(),
      }),
      ({ seed, ...size }) => {
        const { log, truths } = workload(size, seeded(seed))
        const { wrong, lost } = judged(log, truths)
        expect(wrong).toBe(0)
        expect(lost).toBe(0)
      },
    ),
    { numRuns: 150 },
  )
})

/** A process that does one thing after the other, in spans within spans, and waits for each of its lookups. */
function stepByStep(size: number, random: () => number): { log: Log; truths: Truth[] } {
  const log = new Log()
  const lookups: { atMs: number; span: string }[] = []
  let atMs = 0
  let spans = 0
  // Times are told in milliseconds: what lies closer together is in no order.
  const goOn = () => {
    atMs += 2 + Math.floor(random() * random() * 400)
  }
  const run = (trace: string, parent?: string): void => {
    const span = spanId(spans)
    spans += 1
    const ids = { trace, span, ...(parent !== undefined && { parent }) }
    log.event('agent.tool.call', ids, atMs, { fn: 'f' })
    for (let count = Math.floor(random() * 5); count > 0; count -= 1) {
      goOn()
      if (random() < 0.5 && spans < size) run(trace, span)
      else lookups.push({ atMs, span })
    }
    goOn()
    log.event('agent.tool.result', ids, atMs, { status: 'ok' })
  }
  while (spans < size) {
    run(traceId(spans))
    goOn()
  }
  const truths = lookups.map(({ span, ...at }) => ({
    record: log.dns('a.example', at.atMs, 4_000),
    span,
  }))
  return { log, truths }
}

test('telemetry §16.37: of what is done one after the other nothing is a guess, and nothing is wrong', () => {
  // Of more than 64 spans at about the same time, any answer is a guess.
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 60 }), (seed, size) => {
      const { log, truths } = stepByStep(size, seeded(seed))
      expect(judged(log, truths)).toMatchObject({ sure: truths.length, wrong: 0 })
    }),
    { numRuns: 150 },
  )
})
