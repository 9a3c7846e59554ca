import Anthropic from '@anthropic-ai/sdk'
import { expect, test, vi } from 'vitest'
import { endOf, tree } from '../adapters/tree.test-kit.ts'
import { coat } from '../index.ts'
import { record } from '../recorder.test-kit.ts'
import { coatAnthropic } from './index.ts'
import {
  brokenStream,
  collect,
  failure,
  message,
  messagesServer,
  type Reply,
  stream,
} from './messages-server.test-kit.ts'

const REQUEST = {
  model: 'claude-sonnet-4-6',
  max_tokens: 100,
  temperature: 0.5,
  system: 'canary: be brief',
  messages: [{ role: 'user' as const, content: 'canary: what is up?' }],
}
const TOOLS = [
  { name: 'get_weather', input_schema: { type: 'object' as const } },
  { name: 'get_time', input_schema: { type: 'object' as const } },
]
/** Cached tokens are told beside the others, and count as input. */
const USAGE = {
  input_tokens: 10,
  cache_creation_input_tokens: 3,
  cache_read_input_tokens: 7,
  output_tokens: 5,
}
const COUNTED = { input: 20, output: 5, total: 25, cache_read: 7, cache_write: 3 }
const HELLO = { content: [{ type: 'text' as const, text: 'canary: all is well' }], usage: USAGE }
const CALLS = {
  content: [
    { type: 'text' as const, text: 'I look. ' },
    { type: 'tool_use' as const, id: 'toolu_1', name: 'get_weather', input: { city: 'canary' } },
    { type: 'tool_use' as const, id: 'toolu_2', name: 'get_time', input: { zone: 'canary' } },
  ],
  stop: 'tool_use',
  usage: USAGE,
}

async function setUp(...replies: Reply[]) {
  const server = await messagesServer(...replies)
  const client = new Anthropic({ baseURL: server.url, apiKey: 'k', maxRetries: 0 })
  const stack = new AsyncDisposableStack()
  stack.use(server)
  return {
    server,
    client: coatAnthropic(client),
    plain: client,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

test('telemetry §16.44: a chat: model, parameters, figures and usage with what was cached; no content', async () => {
  const recorder = record()
  await using set = await setUp(message(HELLO))
  const answer = await set.client.messages.create(REQUEST)
  expect(answer.content).toEqual(HELLO.content)
  expect(recorder.only('start')).toMatchObject({
    kind: 'agent.llm.request',
    framework: { framework: 'anthropic', framework_version: '1.11.0' },
    payload: {
      fn: 'messages.create',
      operation: 'chat',
      provider: 'anthropic',
      model: 'claude-sonnet-4-6',
      params: { max_tokens: 100, temperature: 0.5 },
      messages: { count: 2, roles: ['system', 'user'], chars: [16, 19] },
      preview: { args: ['<object keys=5>'], kwargs: {} },
    },
  })
  expect(recorder.only('end')).toMatchObject({
    kind: 'agent.llm.response',
    payload: {
      status: 'ok',
      response_model: 'claude-sonnet-4-6-20260217',
      response_id: 'msg_01AbCdEf',
      finish_reasons: ['end_turn'],
      usage: COUNTED,
      preview: { result: '<array len=1>' },
    },
  })
  expect(recorder.text()).not.toContain('canary')
})

test('content is told when the adapter is asked to', async () => {
  const recorder = record()
  await using server = await messagesServer(message(HELLO), stream(HELLO))
  const plain = new Anthropic({ baseURL: server.url, apiKey: 'k', maxRetries: 0 })
  const client = coatAnthropic(plain, { autoCapture: true })
  await client.messages.create(REQUEST)
  for await (const _ of await client.messages.create({ ...REQUEST, stream: true }));
  const [first, second] = recorder.spans()
  expect(first?.start.payload.preview?.kwargs).toMatchObject({
    max_tokens: 100,
    system: 'canary: be brief',
  })
  expect(first?.end?.payload.preview?.result).toEqual(HELLO.content)
  expect(second?.end?.payload.preview?.result).toBe('canary: all is well')
})

test('telemetry §16.44: a stream: one end when it ends, usage once, and when the answer began', async () => {
  const recorder = record()
  await using set = await setUp(stream(HELLO))
  const events = await set.client.messages.create({ ...REQUEST, stream: true })
  const types: string[] = []
  for await (const event of events) {
    expect(recorder.events).toHaveLength(1)
    types.push(event.type)
  }
  const { payload } = recorder.only('end')
  expect(payload).toMatchObject({
    status: 'ok',
    chunks: types.length,
    usage: COUNTED,
    finish_reasons: ['end_turn'],
    response_id: 'msg_01AbCdEf',
  })
  expect(payload['ttft_ms']).toBeGreaterThan(0)
  expect(payload['ttft_ms']).toBeLessThanOrEqual(payload['duration_ms'] as number)
  expect(recorder.only('start').payload['params']).toMatchObject({ stream: true })
  expect(recorder.text()).not.toContain('canary')
})

test('telemetry §16.44: the helper for streams keeps its ways, and is told once', async () => {
  const recorder = record()
  await using set = await setUp(stream(CALLS))
  const heard: string[] = []
  const helper = set.client.messages.stream({ ...REQUEST, tools: TOOLS })
  helper.on('text', (text) => heard.push(text))
  const final = await helper.finalMessage()
  expect(heard.join('')).toBe('I look. ')
  expect(final.content[1]).toMatchObject({ type: 'tool_use', input: { city: 'canary' } })
  expect(recorder.events).toHaveLength(2)
  expect(recorder.only('start').payload['tools']).toEqual(['get_weather', 'get_time'])
  expect(recorder.only('end').payload).toMatchObject({
    status: 'ok',
    usage: COUNTED,
    finish_reasons: ['tool_use'],
    tool_calls: [
      { id: 'toolu_1', name: 'get_weather' },
      { id: 'toolu_2', name: 'get_time' },
    ],
  })
  expect(recorder.text()).not.toContain('canary')
})

test('telemetry §16.44: an agent with parallel tools: the tree of its spans, and totals as the provider counts', async () => {
  const recorder = record()
  await using set = await setUp(message(CALLS), message(HELLO))
  const tools: Record<string, () => Promise<string>> = {
    get_weather: coat('tool', { name: 'get_weather' }, async () => 'sun'),
    get_time: coat('tool', { name: 'get_time' }, async () => 'noon'),
  }
  const run = coat('run', { name: 'assist' }, async () => {
    const first = await set.client.messages.create({ ...REQUEST, tools: TOOLS })
    const uses = first.content.filter((block) => block.type === 'tool_use')
    await Promise.all(uses.map(({ name }) => tools[name]?.()))
    const second = await set.client.messages.create(REQUEST)
    return second.stop_reason
  })
  expect(await run()).toBe('end_turn')
  expect(tree(recorder)).toEqual([
    'run assist ok',
    '  llm messages.create ok in 20 out 5',
    '  tool get_weather ok',
    '  tool get_time ok',
    '  llm messages.create ok in 20 out 5',
  ])
})

test.each([
  [429, 'rate_limit_error', 'RateLimitError', true],
  [529, 'overloaded_error', 'OverloadedError', true],
  [400, 'invalid_request_error', 'BadRequestError', false],
])('telemetry §16.44: status %i ends in an error', async (status, type, name, retryable) => {
  const recorder = record()
  await using set = await setUp(failure(status, type))
  const error = await set.client.messages.create(REQUEST).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(Anthropic.APIError)
  const { payload } = recorder.only('end')
  expect(payload['status']).toBe('error')
  expect(payload['error']).toMatchObject({ code: String(status), retryable })
  expect(payload.error?.type).toBe(name)
  expect(recorder.text()).not.toContain('canary')
})

test('retries of the client are one request', async () => {
  const recorder = record()
  await using server = await messagesServer(
    failure(529, 'overloaded_error', { 'retry-after-ms': '1' }),
    message(HELLO),
  )
  const client = coatAnthropic(new Anthropic({ baseURL: server.url, apiKey: 'k', maxRetries: 1 }))
  await client.messages.create(REQUEST)
  expect(server.requests).toHaveLength(2)
  expect(recorder.events).toHaveLength(2)
  expect(recorder.only('end').payload['status']).toBe('ok')
})

test('telemetry §16.44: an abort in the middle, by whichever way, is cancelled; what came until then counts', async () => {
  const stalled = () => stream(HELLO, () => new Promise((resolve) => setTimeout(resolve, 20)))
  const ways: Record<string, (client: Anthropic) => Promise<void>> = {
    async 'leaving the loop'(client) {
      for await (const _ of await client.messages.create({ ...REQUEST, stream: true })) break
    },
    async 'the controller of the stream'(client) {
      const events = await client.messages.create({ ...REQUEST, stream: true })
      for await (const _ of events) events.controller.abort()
    },
    async 'the signal of the call'(client) {
      const controller = new AbortController()
      const { signal } = controller
      const events = await client.messages.create({ ...REQUEST, stream: true }, { signal })
      for await (const _ of events) controller.abort()
    },
    async 'the helper'(client) {
      const helper = client.messages.stream(REQUEST)
      helper.on('streamEvent', () => helper.abort())
      await expect(helper.finalMessage()).rejects.toBeInstanceOf(Anthropic.APIUserAbortError)
    },
  }
  for (const [way, leave] of Object.entries(ways)) {
    const recorder = record()
    await using set = await setUp(stalled())
    await leave(set.client)
    await vi.waitFor(() => expect(recorder.events, way).toHaveLength(2))
    expect(recorder.only('end').payload, way).toMatchObject({
      status: 'cancelled',
      response_id: 'msg_01AbCdEf',
      usage: { input: 20 },
    })
  }
})

test('an abort before the answer is cancelled', async () => {
  const recorder = record()
  await using set = await setUp(() => {})
  const controller = new AbortController()
  const answer = set.client.messages.create(REQUEST, { signal: controller.signal })
  controller.abort()
  await expect(answer).rejects.toBeInstanceOf(Anthropic.APIUserAbortError)
  expect(recorder.only('end').payload).toMatchObject({ status: 'cancelled' })
})

test('an error within a stream is an error, with what was told before it', async () => {
  const recorder = record()
  await using set = await setUp(brokenStream(HELLO))
  const events = await set.client.messages.create({ ...REQUEST, stream: true })
  await expect(collect(events)).rejects.toBeInstanceOf(Anthropic.APIError)
  expect(recorder.only('end').payload).toMatchObject({
    status: 'error',
    response_id: 'msg_01AbCdEf',
  })
})

test('what is returned is the client’s own promise, with all its methods', async () => {
  const recorder = record()
  await using set = await setUp(message(HELLO), message(HELLO), message(HELLO), stream(HELLO))
  const { messages } = set.client
  expect(coatAnthropic(set.plain)).toBe(set.plain)
  const first = await messages.create(REQUEST).withResponse()
  expect(first.data.id).toBe('msg_01AbCdEf')
  expect(first.request_id).toBe('req_1')
  expect(recorder.spans()[0]?.end?.payload['usage']).toEqual(COUNTED)
  const bare = await messages.create(REQUEST).asResponse()
  expect(await bare.json()).toMatchObject({ id: 'msg_01AbCdEf' })
  expect(recorder.spans()[1]?.end?.payload).toMatchObject({ status: 'ok', observed: 'side' })
  const parsed = await messages.parse(REQUEST)
  expect(parsed.id).toBe('msg_01AbCdEf')
  const [left, right] = (await messages.create({ ...REQUEST, stream: true })).tee()
  const both = await Promise.all([collect(left), collect(right)])
  expect(both[0].length).toBe(both[1].length)
  expect(recorder.spans().map(({ end }) => end?.payload['status'])).toEqual([
    'ok',
    'ok',
    'ok',
    'ok',
  ])
  expect(recorder.spans()[3]?.end?.payload).toMatchObject({
    chunks: both[0].length,
    usage: COUNTED,
  })
})

test('the beta’s messages are told as well, and what runs inside is below the span', async () => {
  const recorder = record()
  await using set = await setUp(message(HELLO))
  await set.client.beta.messages.create({ ...REQUEST, betas: [] })
  expect(tree(recorder)).toEqual(['llm beta.messages.create ok in 20 out 5'])
})

test('a rejection that nobody handles is still reported, once', async () => {
  record()
  await using set = await setUp(failure(400, 'invalid_request_error'))
  const reported: unknown[] = []
  const listeners = process.rawListeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (reason) => reported.push(reason))
  try {
    const answer = set.client.messages.create(REQUEST)
    expect(typeof answer.withResponse).toBe('function')
    await vi.waitFor(() => expect(reported).toHaveLength(1))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(reported).toHaveLength(1)
  } finally {
    process.removeAllListeners('unhandledRejection')
    for (const listener of listeners) process.on('unhandledRejection', listener as () => void)
  }
})

test('other clients, and other methods of this one, are left alone', async () => {
  const recorder = record()
  await using set = await setUp(message(HELLO))
  const other = new Anthropic({ baseURL: set.server.url, apiKey: 'k' })
  await other.messages.create(REQUEST)
  expect(recorder.events).toEqual([])
  expect(Object.hasOwn(Anthropic.Messages.prototype, 'create')).toBe(true)
  expect(Object.hasOwn(other.messages, 'create')).toBe(false)
  expect(() => coatAnthropic({})).toThrow(TypeError)
  expect(() => coatAnthropic(undefined as unknown as object)).toThrow(/client of @anthropic-ai/)
})

test('a client of an unknown make is told by the promises it returns', async () => {
  const recorder = record()
  const plain = coatAnthropic({
    messages: { create: async (_: object) => ({ ...HELLO, type: 'message' }) },
  })
  await plain.messages.create(REQUEST)
  const then = (fulfilled: (value: unknown) => unknown) => Promise.resolve(HELLO).then(fulfilled)
  const lazy = { then }
  const odd = coatAnthropic({ messages: { create: (_: object) => lazy } })
  const answer = odd.messages.create(REQUEST)
  expect(answer).toBe(lazy)
  expect(await answer).toBe(HELLO)
  const failing = coatAnthropic({
    messages: {
      create: (_: object) => {
        throw new RangeError('at once')
      },
    },
  })
  expect(() => failing.messages.create(REQUEST)).toThrow(RangeError)
  const statuses = recorder.events.filter(({ part }) => part === 'end')
  expect(statuses.map(({ payload }) => payload['status'])).toEqual(['ok', 'ok', 'error'])
  expect(endOf(recorder, recorder.events[0]!)?.payload['usage']).toEqual(COUNTED)
})
