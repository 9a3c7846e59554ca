/** What agents write of themselves, at its worst: it must leave as a valid record, or not at all, and harm nobody else's. */
import { redactJson } from '@vestry/coat/redaction'
import { describe, expect, test } from 'vitest'
import { MAX_ATTRIBUTE_BYTES } from './attributes.ts'
import { BEGAN_MS, CANARY, type Made, rules, SAMPLES, stored } from './envelopes.test-kit.ts'
import type { Built, ExportRules } from './log-record.ts'
import { encodeRequest, type Signal } from './request.ts'
import { MAX_EVENT_BYTES } from './span.ts'
import { MAX_HELD_BYTES, SpanAssembler } from './span-assembler.ts'

interface Told {
  name: string
  traceId: string
  spanId: string
  parentSpanId: string
  startTimeUnixNano: bigint
  endTimeUnixNano: bigint
  attributes: { key: string; value: { stringValue?: string; intValue?: number } }[]
  events: { name: string }[]
  droppedEventsCount: number
  droppedAttributesCount: number
  body: { stringValue: string }
}

function world(given: ExportRules = rules()) {
  const assembler = new SpanAssembler({
    rules: given,
    attributor: { observe: () => {}, attribute: () => ({ method: 'none' }) },
    now: () => BEGAN_MS + 3_600_000,
    isAlive: () => true,
    onBroken: (_seq, error) => {
      throw error
    },
  })
  let seq = 0
  const take = (...made: Made[]): Built[] =>
    made.flatMap((one) => {
      seq += 1
      const record = stored(seq, one)
      return assembler.take(record, { bytes: JSON.stringify(record).length }) ?? []
    })
  return { assembler, take }
}

function sent(made: readonly Made[], given?: ExportRules) {
  const { assembler, take } = world(given)
  const logs = take(...made)
  return { logs, spans: assembler.ripe(true) }
}

const tell = ({ message }: Built): Told => message as unknown as Told
const attribute = (built: Built | undefined, name: string) =>
  built && tell(built).attributes.find(({ key }) => key === name)?.value
const RESOURCE = { attributes: [] }
const encoded = async (signal: Signal, records: readonly Built[]) => {
  const both = await Promise.all(
    (['http/protobuf', 'http/json'] as const).map((protocol) =>
      encodeRequest(signal, protocol, RESOURCE, records),
    ),
  )
  expect(both.flatMap(({ broken }) => broken)).toEqual([])
  return both.map(({ body }) => body.length)
}

const step = (part: 'start' | 'end', payload: object = {}, more: Partial<Made> = {}): Made => ({
  kind: `agent.step.${part}`,
  payload: {
    fn: 'plan',
    op: 'step',
    ...(part === 'end' && { status: 'ok', duration_ms: 10 }),
    ...payload,
  },
  ...more,
})

describe('one event ends no export', () => {
  test.each([1e300, 1e15, Number.MAX_VALUE, -1e300, 5e-324])('duration_ms %d', async (duration) => {
    for (const made of [
      [step('start'), step('end', { duration_ms: duration })],
      [step('end', { duration_ms: duration })],
    ]) {
      const { logs, spans } = sent(made)
      expect(await encoded('logs', logs)).toHaveLength(2)
      expect(await encoded('spans', spans)).toHaveLength(2)
      const [span] = spans.map(tell)
      expect(span!.endTimeUnixNano).toBeGreaterThanOrEqual(span!.startTimeUnixNano)
      expect(span!.startTimeUnixNano).toBeGreaterThan(0n)
    }
  })

  test.each(['agent.constructor.start', 'agent.__proto__.end', 'agent.memory.constructor'])(
    'a kind named %s is one that nobody knows',
    (kind) => {
      const { logs, spans } = sent([{ kind, payload: { fn: 'f', status: 'ok', duration_ms: 1 } }])
      expect(logs.map((log) => attribute(log, 'envpod.kind'))).toEqual([{ stringValue: kind }])
      expect(attribute(logs[0], 'openinference.span.kind')).toBeUndefined()
      expect(spans).toEqual([])
    },
  )

  test('kinds that nobody registered neither begin a span nor end one', () => {
    const { spans } = sent([
      { kind: 'agent.llm.chunk', payload: { fn: 'f' } },
      step('start', {}, { span: 'sp_00000000000000aa' }),
      { kind: 'agent.step.call', payload: { phase: 'end' }, span: 'sp_00000000000000aa' },
      step('end', {}, { span: 'sp_00000000000000aa' }),
      { kind: 'agent.tool.call', payload: { phase: 'end', tool: { name: 't' } }, span: 'sp_bb' },
    ])
    expect(spans.map((span) => tell(span).name)).toEqual(['plan'])
    expect(attribute(spans[0], 'envpod.status')).toEqual({ stringValue: 'ok' })
  })

  test('a span without a trace is told by its log records only', () => {
    const { logs, spans } = sent([step('start', {}, { trace: '' }), step('end', {}, { trace: '' })])
    expect(logs).toHaveLength(2)
    expect(spans).toEqual([])
  })

  test('a span is not its own parent', () => {
    const span = 'sp_00000000000000aa'
    const { spans } = sent([step('start', {}, { span, parent: span }), step('end', {}, { span })])
    expect(tell(spans[0]!).parentSpanId).toBe('')
  })
})

describe('telemetry §16.41: long names', () => {
  const long = 'n'.repeat(200_000)

  test('are cut, so that a request stays as long as it was counted', async () => {
    for (const { kind, payload } of Object.values(SAMPLES).flat()) {
      const huge = Object.fromEntries(
        Object.entries(payload).map(([key, value]) => [
          key,
          typeof value === 'string' && !['phase', 'status', 'op', 'source'].includes(key)
            ? long
            : value,
        ]),
      )
      const { logs, spans } = sent([{ kind, payload: { ...huge, fn: long } }])
      for (const [signal, records] of [
        ['logs', logs],
        ['spans', spans],
      ] as const) {
        const counted = records.reduce((sum, { bytes }) => sum + bytes, 0)
        const [binary = 0] = await encoded(signal, records)
        expect(binary).toBeLessThan(2 * counted + 1_024)
        expect(counted).toBeLessThan(2 * MAX_ATTRIBUTE_BYTES)
      }
    }
  })

  test('leave room for what a receiver needs', () => {
    const { spans, logs } = sent([
      step('start', { fn: long, op: long, agent_name: long }),
      step('end', { fn: long, status: long }),
    ])
    expect(attribute(spans[0], 'openinference.span.kind')).toEqual({ stringValue: 'CHAIN' })
    expect(attribute(logs[1], 'envpod.duration_ms')).toBeDefined()
  })

  test('long contents do not push numbers and names out', () => {
    const text = 'c'.repeat(40_000)
    const { spans } = sent(
      [
        {
          kind: 'agent.llm.request',
          payload: {
            fn: 'ask',
            model: 'm',
            provider: 'openai',
            preview: { args: [[{ role: 'user', content: text }]], kwargs: {} },
          },
        },
        {
          kind: 'agent.llm.response',
          payload: {
            fn: 'ask',
            status: 'ok',
            duration_ms: 1,
            usage: { input: 8, output: 5 },
            preview: { result: text },
          },
        },
      ],
      rules({ content: 'redacted' }),
    )
    const [span] = spans
    expect(attribute(span, 'gen_ai.usage.input_tokens')).toEqual({ intValue: 8 })
    expect(attribute(span, 'llm.token_count.completion')).toEqual({ intValue: 5 })
    expect(attribute(span, 'gen_ai.provider.name')).toEqual({ stringValue: 'openai' })
    expect(attribute(span, 'input.value')?.stringValue?.length).toBeGreaterThan(30_000)
    expect(tell(span!).droppedAttributesCount).toBeGreaterThan(0)
  })
})

describe('memory', () => {
  test('events of one span are bounded in bytes, and counted', () => {
    const tie = (at: number): Made => ({
      kind: 'x.coat.tie',
      span: `sp_${String(at).padStart(16, 'f')}`,
      parent: 'sp_2b9d4c7e01f3a586',
      payload: { name: 'half', data: 'd'.repeat(30_000) },
    })
    const ties = Array.from({ length: 100 }, (_, at) => tie(at))
    const made = [step('start'), ...ties, step('end')]
    const { spans } = sent(made, rules({ content: 'redacted' }))
    const { events, droppedEventsCount } = tell(spans[0]!)
    expect(events.length + droppedEventsCount).toBe(100)
    expect(events.length).toBeGreaterThan(0)
    expect(spans[0]!.bytes).toBeLessThan(MAX_EVENT_BYTES + MAX_ATTRIBUTE_BYTES + 10_000)
  })

  test('open spans are bounded in bytes: the oldest go out early, and are counted', () => {
    const { assembler, take } = world()
    const text = 'd'.repeat(200_000)
    const many = Math.ceil(MAX_HELD_BYTES / 200_000) + 20
    for (let at = 1; at <= many; at += 1)
      take(step('start', { preview: { args: [text], kwargs: {} } }, { span: `sp_${at}` }))
    expect(assembler.counts.open).toBeLessThan(many - 10)
    expect(assembler.counts.open).toBeGreaterThan(10)
    expect(assembler.counts.evicted).toBe(many - assembler.counts.open)
    expect(assembler.ripe(true).length).toBe(assembler.counts.evicted)
  })
})

describe('telemetry §16.42: without content', () => {
  test('settings that are words stay on the host, unless they are the words of settings', () => {
    const params = {
      temperature: 0.5,
      reasoning_effort: 'high',
      prompt: CANARY,
      user: CANARY,
      stop: [CANARY],
    }
    const made: Made[] = [{ kind: 'agent.llm.request', payload: { fn: 'ask', params } }]
    const told = JSON.stringify(sent(made).logs.map(tell), plain)
    expect(told).not.toContain(CANARY)
    expect(told).toContain('high')
    expect(
      JSON.stringify(sent(made, rules({ content: 'redacted' })).logs.map(tell), plain),
    ).toContain(CANARY)
  })

  test('what was captured raw was not looked through by the host: its names are, before they leave', () => {
    const secret = `sk-ant-${'a1B2'.repeat(12)}`
    const raw = Object.values(SAMPLES)
      .flat()
      .map((one) => ({
        ...one,
        mode: 'raw',
        payload: { ...one.payload, fn: `call ${secret}`, tool: { name: secret }, name: secret },
      }))
    const redact = (value: unknown) => redactJson(value).value
    for (const content of [false, 'redacted'] as const) {
      const { logs, spans } = sent(raw, rules({ content, redact }))
      expect(JSON.stringify([...logs, ...spans].map(tell), plain)).not.toContain(secret)
    }
    const { logs } = sent(raw, rules({ content: 'raw', redact }))
    expect(JSON.stringify(logs.map(tell), plain)).toContain(secret)
  })

  test('a code that is no code is not told as the type of an error', () => {
    const { logs } = sent([
      step('end', { status: 'error', error: { type: 'DbError', code: `No row for ${CANARY}` } }),
    ])
    expect(attribute(logs[0], 'error.type')).toEqual({ stringValue: 'DbError' })
  })
})

describe('another process', () => {
  const other = { envpod: { pid: 666, start_time: '1' } }

  test('does not end the span of this one, nor begin it', () => {
    const { spans } = sent([
      step('start'),
      step('end', { status: 'error', duration_ms: 1, error: { type: 'Forged' } }, other),
      step('end'),
    ])
    const own = spans.find((span) => attribute(span, 'envpod.pid')?.intValue === 31877)
    expect(attribute(own, 'envpod.status')).toEqual({ stringValue: 'ok' })
    const forged = spans.find((span) => attribute(span, 'envpod.pid')?.intValue === 666)
    expect(attribute(forged, 'error.type')).toEqual({ stringValue: 'Forged' })
  })

  test('adds nothing to it', () => {
    const { spans } = sent([
      step('start'),
      {
        kind: 'x.coat.tie',
        span: 'sp_00000000000000cc',
        parent: 'sp_2b9d4c7e01f3a586',
        payload: { name: 'forged', data: 1 },
        ...other,
      },
      step('end'),
    ])
    expect(tell(spans[0]!).events).toEqual([])
  })
})

function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
