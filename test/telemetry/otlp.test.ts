/** The whole way: an envelope on the queue socket of a real daemon, and what a receiver gets of it. */
import { describe, expect, test } from 'vitest'
import { startTestDaemon } from '../harness/daemon.ts'
import { attributesOf, type Span } from './otlp-decode.ts'
import { startReceiver } from './otlp-receiver.ts'
import { CANARY, END, queueOf, START, TIE, TRACE, write } from './otlp-world.ts'

describe('what an agent tells', () => {
  test('telemetry §16.40, telemetry §16.42: arrives at the receiver as the host knows it, without content', async () => {
    await using receiver = await startReceiver()
    await using vestry = await startTestDaemon({
      config: { telemetry: { otel: { endpoint: receiver.endpoint } } },
    })
    await write(queueOf(vestry), START, TIE, END)
    await receiver.until(() => receiver.spans.length > 0, 'the span')
    const [span] = receiver.spans as [Span]
    expect(span).toMatchObject({ traceId: TRACE, name: 'chat claude-sonnet-4-6', kind: 3 })
    expect(attributesOf(span)).toMatchObject({
      'openinference.span.kind': 'LLM',
      'llm.token_count.total': 976,
      'gen_ai.provider.name': 'anthropic',
      'envpod.claim_kind': 'anonymous',
      'envpod.pid': process.pid,
      'input.value': '__REDACTED__',
    })
    expect(span.events?.map(({ name }) => name)).toEqual(['x.coat.tie'])
    expect(receiver.logs.map(({ eventName }) => eventName)).toEqual([
      'agent.llm.request',
      'x.coat.tie',
      'agent.llm.response',
    ])
    expect(JSON.stringify([receiver.logs, receiver.spans])).not.toContain(CANARY)
    const status = await vestry.admin.call('admin.telemetry.export_status', {})
    expect(status).toMatchObject({
      configured: true,
      traces: `${receiver.endpoint}/v1/traces`,
      sent: { logs: 3, spans: 1 },
      lost: 0,
    })
  })
})
