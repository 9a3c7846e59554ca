/** What each kind of event looks like at a receiver, in both encodings. `vitest -u` writes the files anew. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { CORE_KINDS } from '../../packages/coat/src/aot.ts'
import {
  BEGAN_MS,
  CANARY,
  type Made,
  rules,
  SAMPLES,
  stored,
} from '../../packages/server/src/telemetry/otlp/envelopes.test-kit.ts'
import type { Built, ExportRules } from '../../packages/server/src/telemetry/otlp/log-record.ts'
import { encodeRequest } from '../../packages/server/src/telemetry/otlp/request.ts'
import { resourceOf } from '../../packages/server/src/telemetry/otlp/resource.ts'
import { SpanAssembler } from '../../packages/server/src/telemetry/otlp/span-assembler.ts'
import {
  attributesOf,
  decodeProtobuf,
  type KeyValue,
  type LogRecord,
  logsOf,
  type Span,
  spansOf,
} from './otlp-decode.ts'

const RESOURCE = resourceOf({
  serviceName: 'ledger',
  podId: 'pod_ledger',
  podName: 'ledger',
  hostName: 'host.test',
})

interface Sent {
  logs: LogRecord[]
  spans: Span[]
  /** Everything as bytes, both encodings. */
  bytes: Buffer
}

async function send(made: readonly Made[], given: ExportRules): Promise<Sent> {
  const assembler = new SpanAssembler({
    rules: given,
    attributor: { observe: () => {}, attribute: () => ({ method: 'none' }) },
    now: () => BEGAN_MS + 3_600_000,
    isAlive: () => true,
    onBroken: (_seq, error) => {
      throw error
    },
  })
  const logs = made.flatMap((one, index) => assembler.take(stored(index + 1, one)) ?? [])
  const [events, spans] = await Promise.all([
    both('logs', logs),
    both('spans', assembler.ripe(true)),
  ])
  return {
    logs: logsOf(events.request),
    spans: spansOf(spans.request),
    bytes: Buffer.concat([events.bytes, spans.bytes]),
  }
}

/** One table, two writers: what the official definitions read must be what the JSON says. */
async function both(signal: 'logs' | 'spans', records: readonly Built[]) {
  const { body: json } = await encodeRequest(signal, 'http/json', RESOURCE, records)
  const { body: binary } = await encodeRequest(signal, 'http/protobuf', RESOURCE, records)
  const request = JSON.parse(Buffer.from(json).toString()) as unknown
  if (records.length > 0)
    expect(decodeProtobuf(signal === 'logs' ? 'logs' : 'traces', binary)).toEqual(request)
  return { request, bytes: Buffer.concat([json, binary]) }
}

/** Attributes by name, so that a change shows as one line. */
function readable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(readable)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      key === 'attributes' ? byName(item as KeyValue[]) : readable(item),
    ]),
  )
}

function byName(attributes: KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value]))
}

test('telemetry §16.41: the samples hold all sixteen kinds, and ties', () => {
  const kinds = new Set(Object.values(SAMPLES).flatMap((made) => made.map(({ kind }) => kind)))
  expect([...CORE_KINDS, 'x.coat.tie'].filter((kind) => !kinds.has(kind))).toEqual([])
})

describe.each(Object.entries(SAMPLES))('%s', (name, made) => {
  const anonymous = made.map((one) => ({ ...one, anonymous: true }))

  test('telemetry §16.40, telemetry §16.41: reads as the file says, in either encoding', async () => {
    const told = await send(made, rules({ content: 'redacted' }))
    const quiet = await send(anonymous, rules())
    const both = {
      'claimed, content: redacted': { logs: told.logs, spans: told.spans },
      'anonymous, content: false': { logs: quiet.logs, spans: quiet.spans },
    }
    await expect(`${JSON.stringify(readable(both), undefined, 2)}\n`).toMatchFileSnapshot(
      join(import.meta.dirname, 'golden', `${name}.json`),
    )
  })

  test('telemetry §16.42: without content no captured value leaves, nor an anonymous name', async () => {
    const open = await send(made, rules({ content: 'redacted' }))
    expect(open.bytes.includes(CANARY)).toBe(
      made.some(({ payload }) => JSON.stringify(withoutMetadata(payload)).includes(CANARY)),
    )
    const { logs, spans, bytes } = await send(anonymous, rules())
    expect(bytes.includes(CANARY)).toBe(false)
    for (const record of [...logs, ...spans]) {
      const names = Object.keys(attributesOf(record))
      expect(names.filter((one) => /^(?:gen_ai\.)?agent\./.test(one))).toEqual([])
    }
    for (const mode of ['none', 'hash', 'summary']) {
      const lesser = made.map((one) => ({ ...one, mode }))
      const sent = await send(lesser, rules({ content: 'raw' }))
      expect(sent.bytes.includes(CANARY)).toBe(false)
    }
  })

  test('telemetry §16.41: every span has a span kind, and no superseded name is used', async () => {
    const { logs, spans } = await send(made, rules({ content: 'raw' }))
    for (const span of spans) {
      expect(attributesOf(span)['openinference.span.kind']).toMatch(/^[A-Z]+$/)
    }
    const names = [...logs, ...spans].flatMap((record) => Object.keys(attributesOf(record)))
    expect(names.filter((one) => SUPERSEDED.test(one))).toEqual([])
    expect(spans.length).toBe(name === 'agent.session' ? 0 : 1)
  })
})

const SUPERSEDED =
  /^gen_ai\.(?:system$|prompt|completion|usage\.(?:prompt|completion)_tokens|openai\.)/

/** `title` and `goal` are texts that stay on the host in any case. */
function withoutMetadata({ title: _t, goal: _g, ...rest }: Record<string, unknown>) {
  return rest
}

test('telemetry §16.42: what was captured raw is redacted before it leaves, unless raw was asked for', async () => {
  const raw = SAMPLES['agent.run']!.map((one) => ({ ...one, mode: 'raw' }))
  const has = async (given: ExportRules) => (await send(raw, given)).bytes.includes(CANARY)
  expect(await has(rules({ content: 'redacted' }))).toBe(false)
  expect(await has(rules({ content: 'raw' }))).toBe(true)
})

test('without gen_ai none of its names is sent, and all others still are', async () => {
  const { logs, spans } = await send(SAMPLES['agent.llm']!, rules({ genAi: false }))
  const names = [...logs, ...spans].flatMap((record) => Object.keys(attributesOf(record)))
  expect(names.filter((name) => name.startsWith('gen_ai.'))).toEqual([])
  expect(names).toContain('llm.token_count.prompt')
})
