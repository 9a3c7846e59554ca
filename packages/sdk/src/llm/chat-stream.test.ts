import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  GatewayError,
  ModelNotAuthorizedError,
  RateLimitError,
  TraTExpiredError,
} from '../sage/errors.ts'
import type { GatewayStream } from '../sage/http/response.ts'
import { FakeClock } from '../testing/clock.ts'
import type { GatewayReply } from '../testing/fake-gateway.ts'
import { type FakeStack, startFakeStack } from '../testing/fake-stack.ts'
import { MockGatewayClient } from '../testing/mock-gateway-client.ts'
import { createLlmForGateway, type GatewayChatModel } from './chat-model.ts'
import type { ChatDelta, ChatStream } from './chat-stream.ts'
import { eventsOf } from './gateway-transport.ts'
import { UsageLedger } from './usage-ledger.ts'

let stack: FakeStack
const ledger = new UsageLedger()
beforeEach(async () => {
  stack = await startFakeStack()
})
afterEach(() => stack.close())

const USAGE = { inputTokens: 12, outputTokens: 5, totalTokens: 17 }

function model(...replies: GatewayReply[]): GatewayChatModel {
  stack.gateway.replies.push(...replies)
  const client = stack.client({ clock: new FakeClock() })
  return createLlmForGateway(client, 'openai:gpt-4o', { ledger })
}

async function read(stream: ChatStream): Promise<ChatDelta[]> {
  const deltas: ChatDelta[] = []
  for await (const delta of stream) deltas.push(delta)
  return deltas
}

const thrown = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error)

/** Resolves when the server has seen the client leave. */
async function untilAbandoned(): Promise<void> {
  for (let tries = 0; stack.gateway.abandoned === 0; tries += 1) {
    if (tries > 200) throw new Error('the connection stayed open')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('sage §21.25: text, usage and finish reason arrive, piece by piece and as a whole', async () => {
  const stream = model({ chunks: ['Looks ', 'säfe', '.'], usage: USAGE }).stream('x')
  const deltas = await read(stream)
  expect(deltas.map(({ content }) => content)).toEqual(['Looks ', 'säfe', '.', '', ''])
  expect(deltas[3]).toMatchObject({ finishReason: 'stop' })
  expect(deltas[4]).toMatchObject({ usage: USAGE })
  expect(await stream.final()).toMatchObject({
    content: 'Looks säfe.',
    finishReason: 'stop',
    usage: USAGE,
    model: 'gpt-4o',
  })
  expect(stack.gateway.requests[0]?.body).toMatchObject({
    stream: true,
    stream_options: { include_usage: true },
  })
  expect(ledger.entries()).toMatchObject([{ model: 'openai:gpt-4o', totalTokens: 17, calls: 1 }])
})

test('sage §21.25: tool calls are put together from their fragments by index', async () => {
  const stream = model({
    text: '',
    toolCalls: [
      { name: 'read_file', args: { path: 'a.ts' } },
      { name: 'now' },
      { name: 'broken', arguments: '{"x' },
    ],
  }).stream('x')
  expect(await stream.final()).toMatchObject({
    content: '',
    finishReason: 'tool_calls',
    toolCalls: [
      { id: 'call_1', name: 'read_file', args: { path: 'a.ts' } },
      { id: 'call_2', name: 'now', args: {} },
    ],
    invalidToolCalls: [{ id: 'call_3', name: 'broken', arguments: '{"x' }],
  })
})

test('sage §21.25: a stream that is cut is an error marked truncated, after what arrived', async () => {
  const stream = model({ chunks: ['half'], cut: true }).stream('x')
  const seen: string[] = []
  const error = await thrown(
    (async () => {
      for await (const { content } of stream) seen.push(content)
    })(),
  )
  expect(seen).toEqual(['half'])
  expect(error).toBeInstanceOf(GatewayError)
  expect(error).toMatchObject({ truncated: true, exitCode: 30 })
  await expect(stream.final()).rejects.toThrow('left before the answer was complete')
})

test.each([
  ['rate_limited', RateLimitError],
  ['txn_expired', TraTExpiredError],
  ['model_not_allowed', ModelNotAuthorizedError],
  ['provider_overloaded', GatewayError],
])('sage §21.25: an error event %s is its class', async (code, Class) => {
  const error = { status: 200, code, message: 'went wrong' }
  const failed = await thrown(
    model({ chunks: ['half'], error })
      .stream('x')
      .final(),
  )
  expect(failed).toBeInstanceOf(Class)
  expect(failed).toMatchObject({ code, message: expect.stringContaining('went wrong') })
})

test('an error before the first byte is its class, like any other answer', async () => {
  const error = { status: 403, code: 'model_not_allowed' }
  const failed = await thrown(model({ error }).stream('x').final())
  expect(failed).toBeInstanceOf(ModelNotAuthorizedError)
})

test('a server that is busy is asked again while nothing was delivered', async () => {
  const busy = { error: { status: 503, code: 'gateway_overloaded' } }
  const stream = model(busy, { chunks: ['ok'] }).stream('x')
  expect((await stream.final()).content).toBe('ok')
  expect(stack.gateway.requests).toHaveLength(2)
})

test('leaving the loop closes the connection', async () => {
  for await (const { content } of model({ chunks: ['a', 'b'], stall: true }).stream('x')) {
    expect(content).toBe('a')
    break
  }
  await untilAbandoned()
})

test('closing ends a read that waits for the model', async () => {
  const stream = model({ chunks: ['a'], stall: true }).stream('x')
  const reading = thrown(read(stream))
  while (stack.gateway.requests.length === 0) await new Promise((done) => setTimeout(done, 5))
  await stream.close()
  await reading
  await untilAbandoned()
})

test('the caller’s signal ends the stream with its own reason', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const stream = model({ chunks: ['a'], stall: true }).stream('x', { signal: controller.signal })
  const error = await thrown(
    (async () => {
      for await (const _ of stream) controller.abort(reason)
    })(),
  )
  expect(error).toBe(reason)
  await untilAbandoned()
})

test('a model that says nothing more is given up after the time given', async () => {
  const stream = model({ chunks: ['a'], stall: true }).stream('x', { timeoutMs: 30 })
  await expect(stream.final()).rejects.toThrow(GatewayError)
  await untilAbandoned()
})

test('sage §12.3: a stream that outlives its deadline is truncated', async () => {
  const stream = model({ chunks: ['a'], stall: true }).stream('x', { deadlineMs: 60 })
  await expect(stream.final()).rejects.toMatchObject({ name: 'GatewayError', truncated: true })
})

test('nothing is sent before the first read, and a stream that was never read can be closed', async () => {
  const stream = model().stream('x')
  await stream.close()
  expect(stack.gateway.requests).toEqual([])
})

test.each([
  ['bytes that are no UTF-8', Buffer.from([0x64, 0xff, 0xfe, 0x0a])],
  ['an error that is a text', 'data: {"error":"no more"}\n\n'],
  ['an event that is no JSON', 'data: {\n\n'],
])('%s: GatewayError', async (_what, bytes) => {
  await expect(sent(bytes).final()).rejects.toMatchObject({ name: 'GatewayError', exitCode: 30 })
})

test('blanks around the end do not hide it', async () => {
  const chunk = { choices: [{ index: 0, delta: { content: 'a' } }] }
  const answer = await sent(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE] \r\n\r\n`).final()
  expect(answer.content).toBe('a')
})

/** A stream of these bytes and nothing else. */
function sent(bytes: Uint8Array | string): ChatStream {
  async function* body() {
    yield Buffer.from(bytes as string)
  }
  const requestStream = async (): Promise<GatewayStream> => {
    const parts = body()
    return { status: 200, headers: {}, [Symbol.asyncIterator]: () => parts, close() {} }
  }
  const client = Object.assign(new MockGatewayClient({ isGatewayMode: true }), {
    request: () => Promise.reject(new Error('not here')),
    requestStream,
  })
  return createLlmForGateway(client, 'openai:gpt-4o').stream('x')
}

test('events are read whatever the line ends and wherever the bytes are cut', async () => {
  const text =
    '\ufeff: ping\r\n\r\ndata: {"a":\rdata: "ä"}\r\revent: x\ndata:{"b":1}\n\ndata: [DONE]'
  const bytes = Buffer.from(text)
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const parts = (async function* () {
      yield bytes.subarray(0, cut)
      yield bytes.subarray(cut)
    })()
    const events: string[] = []
    for await (const { data } of eventsOf(parts)) events.push(data)
    expect(events, `cut at ${cut}`).toEqual(['{"a":\n"ä"}', '{"b":1}', '[DONE]'])
  }
})
