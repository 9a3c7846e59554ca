import { inspect } from 'node:util'
import { InMemoryCache } from '@langchain/core/caches'
import { BaseCallbackHandler } from '@langchain/core/callbacks/base'
import {
  AIMessage,
  type AIMessageChunk,
  ChatMessage,
  HumanMessage,
  SystemMessage,
  ToolMessage,
} from '@langchain/core/messages'
import { StringOutputParser } from '@langchain/core/output_parsers'
import { ChatPromptTemplate } from '@langchain/core/prompts'
import { tool } from '@langchain/core/tools'
import { afterEach, beforeEach, expect, test } from 'vitest'
import * as z from 'zod'
import * as z3 from 'zod/v3'
import { UsageLedger } from '../llm/usage-ledger.ts'
import { DirectProviderClient } from '../sage/direct-provider-client.ts'
import { GatewayError, ModelError, RateLimitError } from '../sage/errors.ts'
import { FakeClock } from '../testing/clock.ts'
import type { GatewayReply } from '../testing/fake-gateway.ts'
import { type FakeStack, startFakeStack } from '../testing/fake-stack.ts'
import { GatewayChatModel, type GatewayChatModelFields, GatewayEmbeddings } from './index.ts'

let stack: FakeStack
beforeEach(async () => {
  stack = await startFakeStack()
})
afterEach(() => stack.close())

const USAGE = { inputTokens: 10, outputTokens: 3, totalTokens: 13, cachedTokens: 4 }
const USAGE_METADATA = {
  input_tokens: 10,
  output_tokens: 3,
  total_tokens: 13,
  input_token_details: { cache_read: 4 },
}

function model(...replies: GatewayReply[]): GatewayChatModel {
  return modelWith({}, ...replies)
}

function modelWith(fields: Partial<GatewayChatModelFields>, ...replies: GatewayReply[]) {
  stack.gateway.replies.push(...replies)
  const client = stack.client({ clock: new FakeClock() })
  return new GatewayChatModel({ client, model: 'openai:gpt-4o', ...fields })
}

const lastBody = () => stack.gateway.requests.at(-1)?.body ?? {}

const readFile = tool(({ path }: { path: string }) => `content of ${path}`, {
  name: 'read_file',
  description: 'Reads one file',
  schema: z.object({ path: z.string() }),
})

test('invoke gives an AIMessage with usage and metadata', async () => {
  const message = await model({ text: 'Hi.', usage: USAGE }).invoke('x')
  expect(AIMessage.isInstance(message)).toBe(true)
  expect(message.text).toBe('Hi.')
  expect(message.usage_metadata).toEqual(USAGE_METADATA)
  expect(message.response_metadata).toMatchObject({
    model_name: 'gpt-4o',
    finish_reason: 'stop',
    tokenUsage: { promptTokens: 10, completionTokens: 3, totalTokens: 13 },
  })
  expect(lastBody()).toEqual({
    model: 'gpt-4o',
    messages: [{ role: 'user', content: 'x' }],
    temperature: 0,
  })
})

test('the identifying parameters and the type are the contract’s', () => {
  expect(model()._llmType()).toBe('sage-sanctum-gateway')
  expect(model()._identifyingParams()).toEqual({ model: 'openai:gpt-4o', temperature: 0 })
  expect(model().getLsParams({})).toMatchObject({ ls_provider: 'openai', ls_model_type: 'chat' })
})

test('messages of every kind are converted', async () => {
  await model().invoke([
    new SystemMessage('Review.'),
    new HumanMessage({
      name: 'me',
      content: [
        { type: 'text', text: 'see' },
        { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBO' } },
        { type: 'image', source_type: 'base64', mime_type: 'image/jpeg', data: '/9j/' },
        { type: 'image', mimeType: 'image/png', data: 'iVBO' },
      ],
    }),
    new AIMessage({
      content: [{ type: 'text', text: 'reading' }],
      tool_calls: [{ id: 'call_1', name: 'read_file', args: { path: 'a' } }],
    }),
    new ToolMessage({ tool_call_id: 'call_1', content: 'eval(x)' }),
    new ChatMessage('as someone else', 'critic'),
  ])
  const image = (url: string) => ({ type: 'image_url', image_url: { url } })
  expect(lastBody()['messages']).toEqual([
    { role: 'system', content: 'Review.' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'see' },
        image('data:image/png;base64,iVBO'),
        image('data:image/jpeg;base64,/9j/'),
        image('data:image/png;base64,iVBO'),
      ],
    },
    {
      role: 'assistant',
      content: [{ type: 'text', text: 'reading' }],
      tool_calls: [
        {
          id: 'call_1',
          type: 'function',
          function: { name: 'read_file', arguments: '{"path":"a"}' },
        },
      ],
    },
    { role: 'tool', tool_call_id: 'call_1', content: 'eval(x)' },
    { role: 'user', content: 'as someone else' },
  ])
})

test('bound tools are sent, called and answered', async () => {
  const calls = [
    { name: 'read_file', args: { path: 'a.ts' } },
    { name: 'b', arguments: '{"x' },
  ]
  const bound = model({ toolCalls: calls }, 'done').bindTools([readFile], {
    tool_choice: 'any',
    parallel_tool_calls: false,
  })
  const message = await bound.invoke('x')
  expect(message.tool_calls).toMatchObject([
    { id: 'call_1', name: 'read_file', args: { path: 'a.ts' } },
  ])
  expect(message.invalid_tool_calls).toMatchObject([{ id: 'call_2', name: 'b', args: '{"x' }])
  expect(lastBody()).toMatchObject({
    tool_choice: 'required',
    parallel_tool_calls: false,
    tools: [
      {
        type: 'function',
        function: {
          name: 'read_file',
          description: 'Reads one file',
          parameters: { type: 'object', properties: { path: { type: 'string' } } },
        },
      },
    ],
  })
  const result = await readFile.invoke({ ...message.tool_calls![0]!, type: 'tool_call' })
  expect(((await bound.invoke(['x', message, result])) as AIMessage).text).toBe('done')
  expect(lastBody()['messages']).toMatchObject([
    { role: 'user' },
    { role: 'assistant', content: '', tool_calls: [{ id: 'call_1' }] },
    { role: 'tool', tool_call_id: 'call_1', content: 'content of a.ts' },
  ])
})

test('streamed chunks add up to the message', async () => {
  const toolCalls = [{ name: 'read_file', args: { path: 'a.ts' } }, { name: 'now' }]
  const stream = await model({ chunks: ['Lo', 'oks'], toolCalls, usage: USAGE }).stream('x')
  let whole: AIMessageChunk | undefined
  const texts: string[] = []
  for await (const chunk of stream) {
    texts.push(chunk.text)
    whole = whole === undefined ? chunk : whole.concat(chunk)
  }
  expect(texts.filter((text) => text !== '')).toEqual(['Lo', 'oks'])
  expect(whole?.tool_calls).toMatchObject([
    { id: 'call_1', name: 'read_file', args: { path: 'a.ts' } },
    { id: 'call_2', name: 'now', args: {} },
  ])
  expect(whole?.usage_metadata).toMatchObject(USAGE_METADATA)
  expect(whole?.response_metadata['finish_reason']).toBe('tool_calls')
  expect(lastBody()).toMatchObject({ stream: true, stream_options: { include_usage: true } })
})

test('callbacks see the start, every token, the end and an error', async () => {
  const seen: string[] = []
  class Watching extends BaseCallbackHandler {
    override name = 'watching'
    override awaitHandlers = true
    override handleChatModelStart(serialized: unknown) {
      seen.push(`start ${JSON.stringify(serialized).includes('eyJ')}`)
    }
    override handleLLMNewToken(token: string) {
      seen.push(`token ${token}`)
    }
    override handleLLMEnd() {
      seen.push('end')
    }
    override handleLLMError(error: Error) {
      seen.push(error.name)
    }
  }
  const callbacks = [new Watching()]
  for await (const _ of await model({ chunks: ['a', 'b'] }).stream('x', { callbacks }));
  expect(seen.filter((line) => line !== 'token ')).toEqual([
    'start false',
    'token a',
    'token b',
    'end',
  ])
  seen.length = 0
  await model('whole').invoke('x', { callbacks })
  expect(seen).toEqual(['start false', 'end'])
  seen.length = 0
  const error = { status: 400, code: 'invalid_request' }
  await expect(model({ error }).invoke('x', { callbacks })).rejects.toThrow(GatewayError)
  expect(seen).toEqual(['start false', 'GatewayError'])
})

test('errors keep their class, and LangChain does not repeat what the transport repeated', async () => {
  const busy = { error: { status: 429, code: 'rate_limited' } }
  await expect(model(busy, busy, busy, busy).invoke('x')).rejects.toThrow(RateLimitError)
  expect(stack.gateway.requests).toHaveLength(4)
  const cut = { chunks: ['a'], cut: true }
  const read = async () => {
    for await (const _ of await model(cut).stream('x'));
  }
  await expect(read()).rejects.toMatchObject({ truncated: true })
})

test('leaving a stream closes the connection, and a signal ends a call', async () => {
  for await (const _ of await model({ chunks: ['a', 'b'], stall: true }).stream('x')) break
  for (let tries = 0; stack.gateway.abandoned === 0 && tries < 200; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  expect(stack.gateway.abandoned).toBe(1)
  const signal = AbortSignal.timeout(20)
  await expect(model({ delayMs: 5_000 }).invoke('x', { signal })).rejects.toThrow()
})

test.each([
  ['zod 4', z.object({ rule: z.string(), line: z.number().optional() })],
  ['zod 3', z3.object({ rule: z3.string(), line: z3.number().optional() })],
  [
    'JSON Schema',
    {
      type: 'object',
      properties: { rule: { type: 'string' }, line: { type: 'number' } },
      required: ['rule'],
    },
  ],
])('sage §21.27: structured output by %s', async (_kind, schema) => {
  const structured = model('{"rule":"a","line":null}').withStructuredOutput(schema as never, {
    name: 'finding',
  })
  expect(await structured.invoke('x')).toEqual({ rule: 'a' })
  expect(lastBody()['response_format']).toMatchObject({
    type: 'json_schema',
    json_schema: {
      name: 'finding',
      strict: true,
      schema: { required: ['rule', 'line'], additionalProperties: false },
    },
  })
  stack.gateway.replies.push('no json')
  await expect(structured.invoke('x')).rejects.toThrow(ModelError)
  const raw = model('no json').withStructuredOutput(schema as never, { includeRaw: true })
  expect(await raw.invoke('x')).toMatchObject({
    raw: { content: 'no json' },
    parsed: null,
    parsing_error: expect.stringContaining('not JSON'),
  })
})

test('structured output by JSON mode and by a forced tool', async () => {
  const schema = z.object({ rule: z.string() })
  const asked = model('```json\n{"rule":"a"}\n```', {
    toolCalls: [{ name: 'finding', args: { rule: 'b' } }],
  })
  const mode = asked.withStructuredOutput(schema, { method: 'jsonMode' })
  expect(await mode.invoke('x')).toEqual({ rule: 'a' })
  expect(lastBody()['response_format']).toEqual({ type: 'json_object' })
  const called = asked.withStructuredOutput(schema, { method: 'functionCalling', name: 'finding' })
  expect(await called.invoke('x')).toEqual({ rule: 'b' })
  expect(lastBody()).toMatchObject({
    tool_choice: { type: 'function', function: { name: 'finding' } },
    tools: [{ function: { name: 'finding' } }],
  })
  expect(() => asked.withStructuredOutput(schema, { method: 'magic' })).toThrow('method must be')
})

test('it is a part of a chain, of a batch and of an event stream like any other model', async () => {
  const prompt = ChatPromptTemplate.fromMessages([['human', 'Say {word}.']])
  const chain = prompt.pipe(model('one', 'two', 'three')).pipe(new StringOutputParser())
  expect(await chain.invoke({ word: 'one' })).toBe('one')
  expect((await chain.batch([{ word: 'a' }, { word: 'b' }])).sort()).toEqual(['three', 'two'])
  const events: string[] = []
  const streamed = model({ chunks: ['a', 'b'] }).streamEvents('x', { version: 'v2' })
  for await (const { event } of streamed) events.push(event)
  expect(events).toEqual(
    expect.arrayContaining(['on_chat_model_start', 'on_chat_model_stream', 'on_chat_model_end']),
  )
})

test('parameters of the model and of a call are forwarded, and the ledger counts', async () => {
  const ledger = new UsageLedger()
  const fields = { temperature: 0.5, maxTokens: 9, category: 'analysis', ledger } as const
  await modelWith(fields, { usage: USAGE }).invoke('x', {
    temperature: 0.25,
    topP: 0.5,
    stop: ['S'],
  })
  expect(lastBody()).toMatchObject({ temperature: 0.25, max_tokens: 9, top_p: 0.5, stop: ['S'] })
  expect(stack.gateway.requests.at(-1)?.headers['x-sage-category']).toBe('analysis')
  expect(ledger.total).toMatchObject({ totalTokens: 13, calls: 1 })
  await modelWith({ temperature: null }).invoke('x')
  expect(lastBody()).not.toHaveProperty('temperature')
})

test('LangChain’s cache works, and holds no token', async () => {
  const map = new Map<string, never>()
  const cached = modelWith({ cache: new InMemoryCache(map) }, 'once')
  expect((await cached.invoke('x')).text).toBe('once')
  expect((await cached.invoke('x')).text).toBe('once')
  expect(stack.gateway.requests).toHaveLength(1)
  expect(JSON.stringify([...map])).not.toContain('eyJ')
})

test('neither a model nor what LangChain stores of it shows a token or a key', async () => {
  const gateway = model()
  await gateway.invoke('x')
  const env = { OPENAI_API_KEY: 'sk-geheim-0123456789' }
  const direct = new GatewayChatModel({
    client: new DirectProviderClient({ allowDirect: true, env }),
    model: 'openai:gpt-4o',
  })
  for (const shown of [gateway, direct]) {
    const printed = `${inspect(shown, { depth: 12, showHidden: true })}${JSON.stringify(shown)}`
    expect(printed).not.toMatch(/eyJ|geheim/)
  }
})

test('embeddings of documents and of a query', async () => {
  const embeddings = new GatewayEmbeddings({ client: stack.client() })
  const [first, second] = await embeddings.embedDocuments(['a', 'b'])
  expect(first).toEqual(await embeddings.embedQuery('a'))
  expect(second).not.toEqual(first)
})
