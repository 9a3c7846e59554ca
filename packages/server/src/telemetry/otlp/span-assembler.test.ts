import { describe, expect, test } from 'vitest'
import { BEGAN_MS, effect, type Made, rules, SAMPLES, stored, TRACE } from './envelopes.test-kit.ts'
import type { Built } from './log-record.ts'
import { type Attributor, MAX_HELD, SpanAssembler } from './span-assembler.ts'

interface SpanMessage {
  name: string
  spanId: string
  parentSpanId: string
  startTimeUnixNano: bigint
  endTimeUnixNano: bigint
  status: { code: number }
  attributes: { key: string; value: { stringValue?: string; boolValue?: boolean } }[]
  events: { name: string; attributes: { key: string; value: { stringValue?: string } }[] }[]
  links: { traceId: string }[]
}

const NOBODY: Attributor = { observe: () => {}, attribute: () => ({ method: 'none' }) }
const SPAN = 'sp_2b9d4c7e01f3a586'

function world({ attributor = NOBODY, incomplete = [] as string[] } = {}) {
  const clock = { ms: BEGAN_MS + 60_000 }
  const alive = { value: true }
  const onBroken = (_seq: number, error: unknown): never => {
    throw error
  }
  const assembler = new SpanAssembler(
    { rules: rules(), attributor, now: () => clock.ms, isAlive: () => alive.value, onBroken },
    incomplete,
  )
  let seq = 0
  return {
    assembler,
    clock,
    alive,
    take: (...made: Made[]) => {
      for (const one of made) {
        seq += 1
        assembler.take(stored(seq, one))
      }
    },
    ripe: (caughtUp = true) => messages(assembler.ripe(caughtUp)),
  }
}

function messages(built: readonly Built[]): SpanMessage[] {
  return built.map(({ message }) => message as unknown as SpanMessage)
}

function step(part: 'start' | 'end', more: Partial<Made> = {}): Made {
  const payload =
    part === 'start'
      ? { fn: 'plan', op: 'step' }
      : { fn: 'plan', op: 'step', status: 'ok', duration_ms: 10 }
  return { kind: `agent.step.${part}`, payload, ...(part === 'end' && { atMs: 10 }), ...more }
}

const has = ({ attributes }: SpanMessage, name: string) =>
  attributes.some(({ key }) => key === name)

describe('a span', () => {
  test('waits for what it caused and is told late, and then goes out once', () => {
    const { take, ripe, clock } = world()
    clock.ms = BEGAN_MS + 20
    take(step('start'), step('end'))
    expect(ripe()).toEqual([])
    clock.ms = BEGAN_MS + 3_000
    expect(ripe().map(({ name }) => name)).toEqual(['plan'])
    expect(ripe()).toEqual([])
  })

  test('in an old part of the log waits by the time of its records, not by the clock', () => {
    const { take, ripe } = world()
    take(step('start'), step('end'))
    expect(ripe(false)).toEqual([])
    take(step('start', { span: 'sp_00000000000000aa', atMs: 5_000 }))
    expect(ripe(false).length).toBe(1)
  })

  test('lasts as long as its steady clock says, whatever the timestamps', () => {
    const { take, ripe } = world()
    take(step('start'), step('end', { atMs: -500 }))
    const [span] = ripe()
    expect(span!.endTimeUnixNano - span!.startTimeUnixNano).toBe(10_000_000n)
  })

  test('without a start begins its duration before its end', () => {
    const { take, ripe } = world()
    take(step('end', { atMs: 1_000 }))
    const [span] = ripe()
    expect(span!.startTimeUnixNano).toBe(BigInt(BEGAN_MS + 990) * 1_000_000n)
    expect(has(span!, 'envpod.incomplete')).toBe(false)
  })

  test('without an end goes out a quarter of an hour after its process ended', () => {
    const { take, ripe, clock, alive, assembler } = world()
    take(step('start'))
    clock.ms += 3_600_000
    expect(ripe()).toEqual([])
    alive.value = false
    clock.ms += 60_000
    expect(ripe()).toEqual([])
    clock.ms += 15 * 60_000
    const [span] = ripe()
    expect(has(span!, 'envpod.incomplete')).toBe(true)
    expect(span!.status.code).toBe(0)
    take(step('end'))
    clock.ms += 60_000
    expect(ripe()).toEqual([])
    expect(assembler.counts.lateEnds).toBe(1)
  })

  test('that went out without an end is known after a restart', () => {
    const before = world()
    before.take(step('start'))
    before.alive.value = false
    before.ripe()
    before.clock.ms += 16 * 60_000
    expect(before.ripe().length).toBe(1)
    const { take, ripe, assembler } = world({ incomplete: [...before.assembler.incomplete] })
    take(step('end'))
    expect(ripe()).toEqual([])
    expect(assembler.counts.lateEnds).toBe(1)
  })

  test('too many at once: the oldest goes out as it is', () => {
    const { take, ripe, assembler } = world()
    for (let at = 0; at < MAX_HELD + 3; at += 1)
      take(step('start', { span: `sp_${(at + 1).toString(16).padStart(16, '0')}` }))
    const out = ripe()
    expect(out.length).toBe(3)
    expect(out.every((span) => has(span, 'envpod.incomplete'))).toBe(true)
    expect(assembler.counts).toMatchObject({ open: MAX_HELD, evicted: 3 })
    expect(assembler.unsent.length).toBe(MAX_HELD)
  })

  test('in a session belongs to what the session is in', () => {
    const { take, ripe } = world()
    const [begin] = SAMPLES['agent.session']!
    take(
      { ...begin!, span: 'sp_00000000000000aa', parent: 'sp_00000000000000bb' },
      step('start', { parent: 'sp_00000000000000aa' }),
      step('end'),
    )
    expect(ripe().map(({ parentSpanId }) => parentSpanId)).toEqual(['00000000000000bb'])
  })

  test('of a subagent links to the trace it began', () => {
    const { take, ripe } = world()
    take(...SAMPLES['agent.subagent']!)
    expect(ripe()[0]!.links.map(({ traceId }) => traceId)).toEqual([
      '0af7651916cd43dd8448eb211c80319c',
    ])
  })

  test('of a run counts tokens only where no model call of its trace does', () => {
    const { take, ripe } = world()
    const call = SAMPLES['agent.llm']!.map((one) => ({ ...one, span: 'sp_00000000000000aa' }))
    const [start, end] = SAMPLES['agent.run']!
    take(start!, ...call, end!)
    const run = ripe().find(({ name }) => name.startsWith('invoke_agent'))
    expect(has(run!, 'llm.token_count.prompt')).toBe(false)
    expect(has(run!, 'gen_ai.usage.input_tokens')).toBe(true)
  })

  test('keeps the conversation that its run named', () => {
    const { take, ripe } = world()
    const [run] = SAMPLES['agent.run']!
    take(
      run!,
      step('start', { span: 'sp_00000000000000aa' }),
      step('end', { span: 'sp_00000000000000aa' }),
    )
    const session = ripe()[0]!.attributes.find(({ key }) => key === 'session.id')
    expect(session?.value.stringValue).toBe('conv_42')
  })
})

describe('what else happened', () => {
  const to = (method: string): Attributor => ({
    observe: () => {},
    attribute: () => ({ method, span_id: SPAN, trace_id: `tr_${TRACE}` }),
  })

  test('becomes an event of the span that caused it, and says how sure that is', () => {
    const { take, ripe, assembler } = world({ attributor: to('heuristic') })
    take(step('start'))
    assembler.take(
      effect(2, 5, {
        action: 'dns_query',
        source: 'dns',
        pid: 31877,
        data: { domain: 'api.anthropic.com', qtype: 'A', decision: 'allow' },
      }),
    )
    take(step('end'))
    const [event] = ripe()[0]!.events
    const facts = Object.fromEntries(
      event!.attributes.map(({ key, value }) => [key, value.stringValue]),
    )
    expect(event!.name).toBe('dns_query')
    expect(facts).toMatchObject({
      'envpod.attribution.method': 'heuristic',
      'envpod.dns.domain': 'api.anthropic.com',
      'envpod.dns.decision': 'allow',
    })
  })

  test('carries the decision of its intent, which itself is no event', () => {
    const { take, ripe, assembler } = world({ attributor: to('exact') })
    take(step('start'))
    const call = {
      action: 'tool.call',
      source: 'gateway' as const,
      request_id: 'r-1',
      txn: 'txn_1',
      span: { trace_id: TRACE, span_id: '00000000000000cc', parent_span_id: '2b9d4c7e01f3a586' },
    }
    assembler.take(
      effect(2, 5, {
        ...call,
        phase: 'intent',
        decision: { id: 'dec_1', allow: true, policies: [], reason: '', policy_set: '' },
      }),
    )
    assembler.take(
      effect(3, 6, { ...call, phase: 'outcome', outcome: { code: 'OK', duration_ms: 1 } }),
    )
    take(step('end'))
    const { events } = ripe()[0]!
    expect(events.length).toBe(1)
    const facts = Object.fromEntries(
      events[0]!.attributes.map(({ key, value }) => [key, value.stringValue]),
    )
    expect(facts).toMatchObject({ 'envpod.decision_id': 'dec_1', 'envpod.txn': 'txn_1' })
  })

  test('is counted when its span is out already', () => {
    const { take, ripe, clock, assembler } = world({ attributor: to('sole') })
    take(step('start'), step('end'))
    expect(ripe().length).toBe(1)
    assembler.take(effect(3, 20, { action: 'vault_get', source: 'vault', pid: 31877 }))
    clock.ms += 10_000
    ripe()
    expect(assembler.counts.lateEvents).toBe(1)
  })
})

test('a part that is read again restores the spans that are known to be open, and nothing else', () => {
  const { assembler, clock } = world()
  const known = new Set([3])
  const again = [
    stored(1, step('start', { span: 'sp_00000000000000aa' })),
    stored(2, step('end', { span: 'sp_00000000000000aa' })),
    stored(3, step('start')),
    stored(4, {
      kind: 'x.coat.tie',
      span: 'sp_00000000000000bb',
      parent: SPAN,
      payload: { name: 'half' },
    }),
  ]
  for (const record of again) expect(assembler.take(record, { known })).toBeUndefined()
  expect(assembler.unsent).toEqual([3])
  expect(assembler.take(stored(5, step('end')))).toBeDefined()
  clock.ms += 10_000
  const [span, ...more] = messages(assembler.ripe(true))
  expect(more).toEqual([])
  expect(span!.events.map(({ name }) => name)).toEqual(['x.coat.tie'])
})
