/** The export of a real daemon over restarts, sealing, and calls of its own: all of it waits for spans to settle. */
import { describe, expect, test } from 'vitest'
import { startTestDaemon } from '../harness/daemon.ts'
import { attributesOf, type Span } from './otlp-decode.ts'
import { startReceiver } from './otlp-receiver.ts'
import { CANARY, END, queueOf, START, TRACE, write } from './otlp-world.ts'

describe('the export of a daemon', () => {
  test('telemetry §16.43: survives a restart in the middle of a span, and can be sent again', async () => {
    await using receiver = await startReceiver()
    const config = { telemetry: { otel: { endpoint: receiver.endpoint, content: 'redacted' } } }
    await using vestry = await startTestDaemon({ config })
    await write(queueOf(vestry), START)
    await receiver.until(() => receiver.logs.length === 1, 'the start')
    await vestry.restart(config)
    await write(queueOf(vestry), END)
    await receiver.until(() => receiver.spans.length === 1, 'the span')
    expect(attributesOf(receiver.spans[0] as Span)).toMatchObject({
      'llm.model_name': 'claude-sonnet-4-6',
      'llm.input_messages.0.message.content': `check ${CANARY}`,
      'output.value': `done ${CANARY}`,
    })
    expect(receiver.logs.length).toBe(2)
    await vestry.admin.call('admin.telemetry.export', { from: 1 })
    await receiver.until(() => receiver.spans.length === 2, 'the replay')
    expect(receiver.logs.length).toBe(4)
  })

  test('goes out while the vault is sealed, unless its headers are in there', async () => {
    await using receiver = await startReceiver()
    const headers = { authorization: 'vault:OTEL_AUTH' }
    const config = {
      telemetry: { otel: { endpoint: receiver.endpoint, signals: ['logs'], headers } },
    }
    await using vestry = await startTestDaemon({ config })
    await vestry.addCredential('OTEL_AUTH', 'Bearer of-the-vault')
    await write(queueOf(vestry), START)
    await receiver.until(() => receiver.logs.length === 1, 'the event')
    expect(receiver.requests[0]?.headers['authorization']).toBe('Bearer of-the-vault')
    await vestry.seal()
    await write(queueOf(vestry), END)
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(receiver.logs.length).toBe(1)
    await vestry.unseal()
    await receiver.until(() => receiver.logs.length === 2, 'the rest')
  })
})

test('a call of ours under a span of the agent is an event of that span', async () => {
  await using receiver = await startReceiver()
  await using vestry = await startTestDaemon({
    config: { telemetry: { otel: { endpoint: receiver.endpoint } } },
  })
  const scout = await vestry.addAgent('scout')
  await write(queueOf(vestry), START)
  const client = await vestry.agent(scout)
  const traceparent = `00-${TRACE}-2b9d4c7e01f3a586-01`
  const params = { path: 'openai/api_key', reason: 'to ask', traceparent }
  await expect(client.call('retrieve', params)).rejects.toMatchObject({ code: 'ACCESS_DENIED' })
  await write(queueOf(vestry), END)
  await receiver.until(() => receiver.spans.length > 0, 'the span')
  client.destroy()
  const [event] = (receiver.spans[0] as Span).events ?? []
  expect(event?.name).toBe('policy.deny')
  expect(attributesOf(event ?? {})).toMatchObject({
    'envpod.attribution.method': 'exact',
    'envpod.source': 'vault',
    'envpod.success': false,
    'envpod.decision_id': expect.stringMatching(/^dec_/),
    'envpod.txn': expect.stringMatching(/^txn_/),
  })
})
