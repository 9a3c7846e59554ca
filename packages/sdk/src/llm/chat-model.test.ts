import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import * as z from 'zod'
import {
  ConfigurationError,
  ForbiddenError,
  GatewayError,
  ModelNotAuthorizedError,
  ModelNotAvailableError,
  RateLimitError,
  ScopeNotAuthorizedError,
  SpiffeAuthError,
  TraTAcquisitionError,
  ValidationError,
} from '../sage/errors.ts'
import { FakeClock } from '../testing/clock.ts'
import type { GatewayReply } from '../testing/fake-gateway.ts'
import { type FakeStack, startFakeStack } from '../testing/fake-stack.ts'
import { createLlmForGateway, GatewayChatModel } from './chat-model.ts'
import { UsageLedger } from './usage-ledger.ts'

let stack: FakeStack
beforeEach(async () => {
  stack = await startFakeStack()
})
afterEach(() => stack.close())

const USAGE = { inputTokens: 210, outputTokens: 9, totalTokens: 219 }
const READ_FILE = {
  name: 'read_file',
  description: 'Reads one file',
  schema: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] },
}

function model(...replies: GatewayReply[]): GatewayChatModel {
  stack.gateway.replies.push(...replies)
  return createLlmForGateway(stack.client({ clock: new FakeClock() }), 'openai:gpt-4o')
}

const lastBody = () => stack.gateway.requests.at(-1)?.body ?? {}

test('a plain call sends the defaults and reads text, finish reason, usage and model', async () => {
  const answer = await model({ text: 'Two findings.', usage: USAGE, model: 'gpt-4o-2024' }).invoke(
    'Any findings?',
  )
  expect(answer).toEqual({
    role: 'assistant',
    content: 'Two findings.',
    toolCalls: [],
    invalidToolCalls: [],
    finishReason: 'stop',
    usage: USAGE,
    model: 'gpt-4o-2024',
    id: 'chatcmpl-mock',
  })
  const [request] = stack.gateway.requests
  expect(request?.body).toEqual({
    model: 'gpt-4o',
    messages: [{ role: 'user', content: 'Any findings?' }],
    temperature: 0,
  })
  expect(Object.keys(request?.body ?? {})).toEqual(['model', 'messages', 'temperature'])
  expect(request?.headers).toMatchObject({
    authorization: expect.stringMatching(/^Bearer eyJ/),
    'txn-token': expect.stringMatching(/^eyJ/),
    'x-provider': 'openai',
    'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
    'user-agent': expect.stringMatching(/^sage-sanctum-ts\//),
  })
  expect(request?.headers['idempotency-key']).toBe(request?.headers['x-request-id'])
  expect(request?.headers).not.toHaveProperty('x-sage-category')
})

test('the model tells its type and what identifies it', () => {
  expect(model().type).toBe('sage-sanctum-gateway')
  expect(model().identifyingParameters).toEqual({ model: 'openai:gpt-4o', temperature: 0 })
  const bound = model().bind({ temperature: 0.5 })
  expect(bound.identifyingParameters).toEqual({ model: 'openai:gpt-4o', temperature: 0.5 })
})

test('temperature null omits the member', async () => {
  await model().bind({ temperature: null }).invoke('x')
  expect(lastBody()).not.toHaveProperty('temperature')
})

test('every parameter of a call is forwarded, and overrides what the model was bound with', async () => {
  const bound = model().bind({ temperature: 1, maxTokens: 5, seed: 7, stop: ['A'] })
  await bound.bindTools([READ_FILE], { toolChoice: 'any', parallelToolCalls: false }).invoke('x', {
    temperature: 0.25,
    maxTokens: 6,
    topP: 0.5,
    stop: ['S'],
    presencePenalty: 0.1,
    frequencyPenalty: 0.2,
    logitBias: { '50256': -100 },
    reasoningEffort: 'low',
    responseFormat: { type: 'json_object' },
    model: 'openai:gpt-4o',
    category: 'analysis',
  })
  expect(lastBody()).toEqual({
    model: 'gpt-4o',
    messages: [{ role: 'user', content: 'x' }],
    temperature: 0.25,
    max_tokens: 6,
    top_p: 0.5,
    seed: 7,
    stop: ['S'],
    presence_penalty: 0.1,
    frequency_penalty: 0.2,
    logit_bias: { '50256': -100 },
    reasoning_effort: 'low',
    response_format: { type: 'json_object' },
    parallel_tool_calls: false,
    tool_choice: 'required',
    tools: [
      {
        type: 'function',
        function: {
          name: 'read_file',
          description: 'Reads one file',
          parameters: READ_FILE.schema,
        },
      },
    ],
  })
  expect(stack.gateway.requests.at(-1)?.headers['x-sage-category']).toBe('analysis')
})

test('an option that nobody knows is refused before anything is sent', async () => {
  const misspelt = { maxToken: 5 } as object
  await expect(model().invoke('x', misspelt)).rejects.toThrow(ConfigurationError)
  expect(() => model().bind(misspelt)).toThrow('Unknown chat option maxToken')
  expect(() => model().bind({ temperature: Number.NaN })).toThrow('temperature must be a number')
  expect(() => model().bind({ stop: 'S' as never })).toThrow('stop must be a list of texts')
  expect(() => model().bind({ category: 'chat' as never })).toThrow('category must be one of')
  expect(() => model().bindTools([{ name: '' }])).toThrow('must have a name')
  expect(() => model().bindTools([READ_FILE, READ_FILE])).toThrow('two tools named read_file')
  expect(() => model().bindTools([READ_FILE], { toolChoice: 'other' })).toThrow('not other')
  expect(stack.gateway.requests).toEqual([])
})

test('tool calls, parallel ones and one without arguments, round-trip through the history', async () => {
  const calls = [
    { name: 'read_file', args: { path: 'src/app.ts' }, id: 'call_9' },
    { name: 'now', arguments: '', id: 'call_10' },
  ]
  const tools = model({ toolCalls: calls, usage: USAGE }, 'done').bindTools([
    READ_FILE,
    { name: 'now' },
  ])
  const answer = await tools.invoke('x')
  expect(answer).toMatchObject({
    content: '',
    finishReason: 'tool_calls',
    toolCalls: [
      { id: 'call_9', name: 'read_file', args: { path: 'src/app.ts' } },
      { id: 'call_10', name: 'now', args: {} },
    ],
  })
  const history = ['x', answer, { role: 'tool', toolCallId: 'call_9', content: 'eval(x)' } as const]
  await tools.invoke(history)
  expect(lastBody()['messages']).toEqual([
    { role: 'user', content: 'x' },
    {
      role: 'assistant',
      content: '',
      tool_calls: [
        {
          id: 'call_9',
          type: 'function',
          function: { name: 'read_file', arguments: '{"path":"src/app.ts"}' },
        },
        { id: 'call_10', type: 'function', function: { name: 'now', arguments: '{}' } },
      ],
    },
    { role: 'tool', tool_call_id: 'call_9', content: 'eval(x)' },
  ])
})

test('a tool takes a validator for its schema, or the whole of OpenAI’s form', async () => {
  const openAi = { type: 'function', function: { name: 'raw', strict: true } } as const
  const schema = z.object({ path: z.string().describe('Where') })
  await model()
    .bindTools([{ name: 'zod', schema, strict: true }, openAi])
    .invoke('x')
  const none = { type: 'object', properties: {}, additionalProperties: false }
  expect(lastBody()['tools']).toMatchObject([
    {
      type: 'function',
      function: {
        name: 'zod',
        strict: true,
        parameters: { type: 'object', properties: { path: { description: 'Where' } } },
      },
    },
    { type: 'function', function: { name: 'raw', strict: true, parameters: none } },
  ])
})

test('malformed tool arguments become an invalid tool call with the raw text, beside the good ones', async () => {
  const answer = await model({
    toolCalls: [
      { name: 'a', args: { x: 1 } },
      { name: 'b', arguments: '{"x":' },
      { name: 'c', arguments: '[1]' },
    ],
  }).invoke('x')
  expect(answer.toolCalls).toEqual([{ id: 'call_1', name: 'a', args: { x: 1 } }])
  expect(answer.invalidToolCalls).toEqual([
    { id: 'call_2', name: 'b', arguments: '{"x":', error: 'The arguments are not JSON' },
    { id: 'call_3', name: 'c', arguments: '[1]', error: 'The arguments are no JSON object' },
  ])
})

test('content null is an empty text', async () => {
  const body = { choices: [{ message: { role: 'assistant', content: null } }] }
  expect(await model({ body }).invoke('x')).toMatchObject({
    content: '',
    model: 'gpt-4o',
    finishReason: undefined,
    usage: undefined,
  })
})

test.each([
  ['no choices', { choices: [] }],
  ['choices null', { choices: null }],
  ['no message', { choices: [{}] }],
  ['a tool call without a name', { choices: [{ message: { tool_calls: [{}] } }] }],
  ['no JSON', 'not json'],
])('an answer with %s is a GatewayError', async (_what, body) => {
  await expect(model({ body }).invoke('x')).rejects.toThrow(GatewayError)
})

test.each([
  [400, 'invalid_request', GatewayError, 30],
  [401, 'identity_invalid', SpiffeAuthError, 11],
  [401, 'txn_invalid', TraTAcquisitionError, 12],
  [403, 'run_closed', ForbiddenError, 20],
  [403, 'model_not_allowed', ModelNotAuthorizedError, 21],
  [403, 'scope_not_allowed', ScopeNotAuthorizedError, 22],
  [404, 'model_not_found', ModelNotAvailableError, 61],
  [429, 'rate_limited', RateLimitError, 31],
])('the server’s %i %s is its class', async (status, code, Class, exitCode) => {
  const failing = model(...Array.from({ length: 4 }, () => ({ error: { status, code } })))
  const error = await failing.invoke('x').catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(Class)
  expect(error).toMatchObject({ exitCode, code })
})

test('sage §21.18: the category is enforced exactly: a wrong one ends with 21', async () => {
  const answer = await model().invoke('x', { category: 'analysis' })
  expect(answer.content).toBe('Mock response')
  const error = await model()
    .invoke('x', { category: 'triage' })
    .catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ModelNotAuthorizedError)
  expect(error).toMatchObject({ exitCode: 21, code: 'model_not_allowed', status: 403 })
})

test('multimodal content of all three kinds arrives as OpenAI parts', async () => {
  const png = new Uint8Array([137, 80, 78, 71])
  await model().invoke([
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What is this?' },
        { type: 'image', data: png, mimeType: 'image/png' },
        { type: 'image', url: 'https://example.com/a.webp', detail: 'low' },
        { type: 'image_url', image_url: { url: 'data:image/gif;base64,R0lG' } },
        { type: 'image', source_type: 'base64', mime_type: 'image/jpeg', data: '/9j/' },
        { type: 'image', base64: 'iVBO', mime_type: 'image/png' },
        { type: 'file', data: new TextEncoder().encode('%PDF-1.7'), filename: 'a.pdf' },
      ],
    },
  ])
  const image = (url: string, more = {}) => ({ type: 'image_url', image_url: { url, ...more } })
  expect(lastBody()['messages']).toEqual([
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What is this?' },
        image('data:image/png;base64,iVBORw=='),
        image('https://example.com/a.webp', { detail: 'low' }),
        image('data:image/gif;base64,R0lG'),
        image('data:image/jpeg;base64,/9j/'),
        image('data:image/png;base64,iVBO'),
        {
          type: 'file',
          file: { file_data: 'data:application/pdf;base64,JVBERi0xLjc=', filename: 'a.pdf' },
        },
      ],
    },
  ])
})

test.each([
  ['an image from plain http', [{ type: 'image', url: 'http://example.com/a.png' }]],
  ['an image type that no model takes', [{ type: 'image', data: 'AAAA', mimeType: 'image/tiff' }]],
  ['bytes that are no base64', [{ type: 'image', data: 'AAA', mimeType: 'image/png' }]],
  ['a file that is no PDF', [{ type: 'file', data: 'AAAA', mimeType: 'text/plain' }]],
  ['a block nobody knows', [{ type: 'video' }]],
])('%s is refused, naming the place', async (_what, content) => {
  const asking = model().invoke([{ role: 'user', content }])
  await expect(asking).rejects.toThrow(ValidationError)
  await expect(asking).rejects.toThrow('messages[0].content[0]')
})

test('roles of other frameworks are understood, and an unknown one speaks as the user', async () => {
  await model().invoke([
    { role: 'system', content: 'Review.' },
    { role: 'human', content: 'a' } as never,
    { role: 'ai', content: 'b' } as never,
    { role: 'critic', content: 'c' } as never,
    { role: 'constructor', content: 'd' } as never,
  ])
  expect(lastBody()['messages']).toEqual([
    { role: 'system', content: 'Review.' },
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
    { role: 'user', content: 'c' },
    { role: 'user', content: 'd' },
  ])
})

test('tool arguments that JSON cannot hold are refused, naming the place', async () => {
  const toolCalls = [{ id: 'a', name: 'b', args: { count: 1n } }]
  const asking = model().invoke([{ role: 'assistant', content: '', toolCalls }])
  await expect(asking).rejects.toThrow(ValidationError)
  await expect(asking).rejects.toThrow('messages[0].toolCalls[0].args')
})

test('the ledger adds up successful calls per model, and nothing of a failed one', async () => {
  const ledger = new UsageLedger()
  stack.gateway.replies.push(
    { usage: USAGE },
    { error: { status: 400, code: 'invalid_request' } },
    { usage: USAGE },
    {},
  )
  const client = stack.client()
  const counted = new GatewayChatModel({ client, model: 'openai:gpt-4o', ledger })
  await counted.invoke('x')
  await counted.invoke('x').catch(() => {})
  await counted.bind({ temperature: 1 }).invoke('x')
  await counted.invoke('x', { model: 'openai:o1' })
  expect(ledger.entries()).toEqual([
    {
      model: 'openai:gpt-4o',
      promptTokens: 420,
      completionTokens: 18,
      totalTokens: 438,
      calls: 2,
    },
    { model: 'openai:o1', promptTokens: 0, completionTokens: 0, totalTokens: 0, calls: 1 },
  ])
  expect(ledger.total).toMatchObject({ totalTokens: 438, calls: 3 })
})

test('a batch keeps the order, bounds what runs at once, and stops at the first failure', async () => {
  const echo: GatewayReply = ({ body }) => ({
    text: JSON.stringify(body['messages']),
    delayMs: 10,
  })
  const answers = await model(echo, echo, echo).batch(['a', 'b', 'c'], { maxConcurrency: 2 })
  expect(answers.map(({ content }) => content)).toEqual(
    ['a', 'b', 'c'].map((content) => JSON.stringify([{ role: 'user', content }])),
  )
  const failing = model({ error: { status: 400, code: 'invalid_request' } })
  const before = stack.gateway.requests.length
  await expect(failing.batch(['a', 'b', 'c', 'd'], { maxConcurrency: 1 })).rejects.toThrow(
    GatewayError,
  )
  expect(stack.gateway.requests.length).toBe(before + 1)
  expect(await model().batch([])).toEqual([])
  await expect(model().batch(['a'], { maxConcurrency: 0 })).rejects.toThrow('maxConcurrency')
})

test('a caller’s signal ends the call with its own reason', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const asking = model({ delayMs: 5_000 }).invoke('x', { signal: controller.signal })
  setTimeout(() => controller.abort(reason), 20)
  await expect(asking).rejects.toBe(reason)
})

test('neither a model nor its printed form shows a token', async () => {
  const chat = model()
  await chat.invoke('x')
  const printed = `${inspect(chat, { depth: 10, showHidden: true })}${JSON.stringify(chat)}`
  expect(printed).not.toContain('eyJ')
})
