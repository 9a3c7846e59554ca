import { AIMessage, AIMessageChunk, HumanMessage, SystemMessage } from '@langchain/core/messages'
import { expect, test } from 'vitest'
import {
  newStreamRecogniser,
  recogniseRequest,
  recogniseResponse,
  recogniseUsage,
} from './index.ts'

type Fields = ConstructorParameters<typeof AIMessageChunk>[0]

/** Their types ask for more than what is read here. */
const said = (fields: object) => new AIMessage(fields as Extract<Fields, { content?: unknown }>)
const piece = (fields: object) =>
  new AIMessageChunk(fields as Extract<Fields, { content?: unknown }>)

const SAY = 'canary: 20 characters'
const asked = (request: unknown, ...more: unknown[]) => recogniseRequest([request, ...more])

const REQUESTS: Readonly<Record<string, readonly [unknown[], Record<string, unknown>]>> = {
  'OpenAI chat completions': [
    [
      {
        model: 'gpt-5',
        messages: [
          { role: 'developer', content: SAY },
          {
            role: 'user',
            content: [
              { type: 'text', text: SAY },
              { type: 'image_url', image_url: { url: SAY } },
            ],
          },
          { role: 'assistant', tool_calls: [{ id: 'a', function: { name: 'f', arguments: SAY } }] },
          { role: 'tool', content: SAY },
          { role: SAY, content: SAY },
        ],
        max_completion_tokens: 50,
        temperature: 0,
        stop: [SAY, SAY],
        stream: true,
        tools: [{ type: 'function', function: { name: 'get_weather', description: SAY } }],
        response_format: { type: 'json_schema', json_schema: { name: SAY } },
        metadata: { note: SAY },
      },
    ],
    {
      provider: 'openai',
      model: 'gpt-5',
      params: { max_tokens: 50, temperature: 0, stop: 2, stream: true },
      messages: {
        count: 5,
        roles: ['developer', 'user', 'assistant', 'tool', 'other'],
        chars: [21, 21, 0, 21, 21],
      },
      tools: ['get_weather'],
      response_format: 'json_schema',
    },
  ],
  'OpenAI responses': [
    [
      {
        model: 'o4-mini',
        instructions: SAY,
        input: [
          { role: 'user', content: [{ type: 'input_text', text: SAY }] },
          { type: 'function_call', name: 'f', arguments: SAY },
          { type: 'function_call_output', output: SAY },
        ],
        max_output_tokens: 9,
        tools: [{ type: 'function', name: 'search' }, { type: 'web_search' }],
        text: { format: { type: 'json_object' } },
      },
    ],
    {
      provider: 'openai',
      model: 'o4-mini',
      params: { max_tokens: 9 },
      messages: {
        count: 4,
        roles: ['system', 'user', 'assistant', 'tool'],
        chars: [21, 21, 21, 21],
      },
      tools: ['search', 'web_search'],
      response_format: 'json_object',
    },
  ],
  'OpenAI responses of one text': [
    [{ model: 'gpt-5', input: SAY }],
    { provider: 'openai', model: 'gpt-5', messages: { count: 1, roles: ['user'], chars: [21] } },
  ],
  'OpenAI completions': [
    [{ model: 'davinci-002', prompt: SAY, stop: SAY }],
    {
      operation: 'text_completion',
      provider: 'openai',
      model: 'davinci-002',
      params: { stop: 1 },
      messages: { count: 1, roles: ['user'], chars: [21] },
    },
  ],
  embeddings: [
    [{ model: 'text-embedding-3-small', input: [SAY, SAY], dimensions: 256 }],
    {
      operation: 'embeddings',
      provider: 'openai',
      model: 'text-embedding-3-small',
      params: { dimensions: 256 },
      messages: { count: 2, roles: ['user', 'user'], chars: [21, 21] },
    },
  ],
  'Anthropic messages': [
    [
      {
        model: 'claude-sonnet-4-6',
        max_tokens: 100,
        top_k: 5,
        system: [{ type: 'text', text: SAY }],
        messages: [
          {
            role: 'user',
            content: [{ type: 'tool_result', content: [{ type: 'text', text: SAY }] }],
          },
        ],
        tools: [{ name: 'get_time', input_schema: {} }],
        stop_sequences: [SAY],
      },
      { headers: { a: SAY } },
    ],
    {
      provider: 'anthropic',
      model: 'claude-sonnet-4-6',
      params: { max_tokens: 100, top_k: 5, stop: 1 },
      messages: { count: 2, roles: ['system', 'user'], chars: [21, 21] },
      tools: ['get_time'],
    },
  ],
  'Google generateContent': [
    [
      {
        model: 'gemini-3-pro',
        contents: [{ role: 'model', parts: [{ text: SAY }, { text: SAY }] }],
        config: {
          temperature: 1,
          maxOutputTokens: 7,
          responseMimeType: 'application/json',
          tools: [{ functionDeclarations: [{ name: 'a' }, { name: 'b' }] }],
        },
      },
    ],
    {
      operation: 'generate_content',
      provider: 'google',
      model: 'gemini-3-pro',
      params: { temperature: 1, max_tokens: 7 },
      messages: { count: 1, roles: ['assistant'], chars: [42] },
      tools: ['a', 'b'],
      response_format: 'application/json',
    },
  ],
  'Vercel AI SDK': [
    [
      {
        model: {
          provider: 'anthropic.messages',
          modelId: 'claude-haiku-4-5',
          specificationVersion: 'v3',
        },
        system: SAY,
        prompt: SAY,
        maxOutputTokens: 5,
        tools: { search: { description: SAY, execute: () => SAY } },
      },
    ],
    {
      provider: 'anthropic.messages',
      model: 'claude-haiku-4-5',
      params: { max_tokens: 5 },
      messages: { count: 2, roles: ['system', 'user'], chars: [21, 21] },
      tools: ['search'],
    },
  ],
  'Vercel AI SDK, embeddings': [
    [{ model: { modelId: 'voyage-3' }, values: [SAY, SAY] }],
    { operation: 'embeddings', model: 'voyage-3' },
  ],
  'messages of LangChain': [
    [
      [new SystemMessage(SAY), new HumanMessage(SAY), new AIMessage(SAY)],
      { temperature: 0.1, model: 'gpt-5' },
    ],
    {
      provider: 'openai',
      model: 'gpt-5',
      params: { temperature: 0.1 },
      messages: { count: 3, roles: ['system', 'user', 'assistant'], chars: [21, 21, 21] },
    },
  ],
}

test.each(Object.entries(REQUESTS))('a request is recognised: %s', (_, [args, expected]) => {
  const facts = recogniseRequest(args)
  expect(facts).toEqual(expected)
  expect(JSON.stringify(facts)).not.toContain('canary')
})

test('what is no request tells nothing', () => {
  for (const args of [
    [],
    [SAY],
    [null],
    [5],
    [{}],
    [{ temperature: 1 }],
    [[1, 2]],
    [{ input: 5 }],
    [{ model: SAY }],
  ])
    expect(recogniseRequest(args)).toEqual({})
})

const CALLS = [{ id: 'call_1', name: 'get_weather' }]

const RESPONSES: Readonly<Record<string, readonly [unknown, Record<string, unknown>]>> = {
  'OpenAI chat completions': [
    {
      id: 'chatcmpl-1',
      object: 'chat.completion',
      model: 'gpt-5-2026',
      choices: [
        {
          finish_reason: 'tool_calls',
          message: {
            content: SAY,
            tool_calls: [
              { id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: SAY } },
            ],
          },
        },
      ],
      usage: {
        prompt_tokens: 20,
        completion_tokens: 5,
        total_tokens: 25,
        prompt_tokens_details: { cached_tokens: 8, audio_tokens: 1 },
        completion_tokens_details: { reasoning_tokens: 2, audio_tokens: 1 },
      },
    },
    {
      response_model: 'gpt-5-2026',
      response_id: 'chatcmpl-1',
      finish_reasons: ['tool_calls'],
      usage: {
        input: 20,
        output: 5,
        total: 25,
        cache_read: 8,
        reasoning: 2,
        audio_in: 1,
        audio_out: 1,
      },
      tool_calls: CALLS,
    },
  ],
  'OpenAI responses': [
    {
      id: 'resp_1',
      object: 'response',
      model: 'o4-mini',
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output: [
        { type: 'message', content: [{ type: 'output_text', text: SAY }] },
        { type: 'function_call', call_id: 'call_1', name: 'get_weather', arguments: SAY },
      ],
      usage: {
        input_tokens: 20,
        input_tokens_details: { cached_tokens: 8 },
        output_tokens: 5,
        total_tokens: 25,
      },
    },
    {
      response_model: 'o4-mini',
      response_id: 'resp_1',
      finish_reasons: ['max_output_tokens'],
      usage: { input: 20, output: 5, total: 25, cache_read: 8 },
      tool_calls: CALLS,
    },
  ],
  'Anthropic messages': [
    {
      id: 'msg_1',
      type: 'message',
      model: 'claude-sonnet-4-6',
      stop_reason: 'tool_use',
      content: [
        { type: 'text', text: SAY },
        { type: 'tool_use', id: 'call_1', name: 'get_weather', input: { a: SAY } },
      ],
      usage: {
        input_tokens: 10,
        cache_creation_input_tokens: 3,
        cache_read_input_tokens: 7,
        output_tokens: 5,
      },
    },
    {
      response_model: 'claude-sonnet-4-6',
      response_id: 'msg_1',
      finish_reasons: ['tool_use'],
      usage: { input: 20, output: 5, total: 25, cache_read: 7, cache_write: 3 },
      tool_calls: CALLS,
    },
  ],
  'Google generateContent': [
    {
      response: {
        candidates: [
          {
            finishReason: 'STOP',
            content: {
              parts: [{ text: SAY }, { functionCall: { id: 'call_1', name: 'get_weather' } }],
            },
          },
        ],
        modelVersion: 'gemini-3-pro-001',
        responseId: 'r1',
        usageMetadata: {
          promptTokenCount: 18,
          toolUsePromptTokenCount: 2,
          cachedContentTokenCount: 8,
          candidatesTokenCount: 3,
          thoughtsTokenCount: 2,
          totalTokenCount: 25,
        },
      },
    },
    {
      response_model: 'gemini-3-pro-001',
      response_id: 'r1',
      finish_reasons: ['STOP'],
      usage: { input: 20, output: 5, total: 25, cache_read: 8, reasoning: 2 },
      tool_calls: CALLS,
    },
  ],
  'a provider of the Vercel AI SDK': [
    {
      content: [
        { type: 'text', text: SAY },
        { type: 'tool-call', toolCallId: 'call_1', toolName: 'get_weather', input: SAY },
      ],
      finishReason: { unified: 'tool-calls', raw: 'tool_use' },
      usage: {
        inputTokens: { total: 20, noCache: 10, cacheRead: 7, cacheWrite: 3 },
        outputTokens: { total: 5, text: 3, reasoning: 2 },
      },
      response: { id: 'r1', modelId: 'claude-haiku-4-5' },
    },
    {
      response_model: 'claude-haiku-4-5',
      response_id: 'r1',
      finish_reasons: ['tool-calls'],
      usage: { input: 20, output: 5, total: 25, cache_read: 7, cache_write: 3, reasoning: 2 },
      tool_calls: CALLS,
    },
  ],
  'generateText of the Vercel AI SDK, all steps': [
    {
      steps: [
        { content: [], finishReason: 'tool-calls', usage: { inputTokens: 8, outputTokens: 2 } },
        {
          content: [{ type: 'text', text: SAY }],
          finishReason: 'stop',
          usage: { inputTokens: 12, outputTokens: 3 },
          response: { id: 'r2', modelId: 'm' },
        },
      ],
    },
    {
      response_model: 'm',
      response_id: 'r2',
      finish_reasons: ['stop'],
      usage: { input: 20, output: 5, total: 25 },
    },
  ],
  'a message of LangChain': [
    said({
      content: SAY,
      id: 'run-1',
      tool_calls: [{ id: 'call_1', name: 'get_weather', args: { a: SAY } }],
      usage_metadata: {
        input_tokens: 20,
        output_tokens: 5,
        total_tokens: 25,
        input_token_details: { cache_read: 7, cache_creation: 3 },
        output_token_details: { reasoning: 2 },
      },
      response_metadata: { model_name: 'gpt-5', finish_reason: 'stop' },
    }),
    {
      response_model: 'gpt-5',
      response_id: 'run-1',
      finish_reasons: ['stop'],
      usage: { input: 20, output: 5, total: 25, cache_read: 7, cache_write: 3, reasoning: 2 },
      tool_calls: CALLS,
    },
  ],
  'a result of LangChain': [
    {
      generations: [
        [
          {
            text: SAY,
            message: new AIMessage({ content: SAY, response_metadata: { model: 'm' } }),
          },
        ],
      ],
      llmOutput: { tokenUsage: { promptTokens: 20, completionTokens: 5, totalTokens: 25 } },
    },
    { response_model: 'm', usage: { input: 20, output: 5, total: 25 } },
  ],
  embeddings: [
    {
      object: 'list',
      model: 'text-embedding-3-small',
      data: [{ embedding: [0.1], index: 0 }],
      usage: { prompt_tokens: 5, total_tokens: 5 },
    },
    { response_model: 'text-embedding-3-small', usage: { input: 5, total: 5 } },
  ],
  'embeddings of the Vercel AI SDK': [
    { values: [SAY], embeddings: [[0.1]], usage: { tokens: 5 } },
    { usage: { input: 5, total: 5 } },
  ],
  'an answer beside its response, as clients give both': [
    { data: { type: 'message', id: 'msg_1', content: [], usage: {} }, response: new Response('') },
    { response_id: 'msg_1' },
  ],
}

test.each(Object.entries(RESPONSES))('a response is recognised: %s', (_, [result, expected]) => {
  const facts = recogniseResponse(result)
  expect(facts).toEqual(expected)
  expect(JSON.stringify(facts)).not.toContain('canary')
})

test('what is no response tells nothing', () => {
  for (const result of [
    undefined,
    null,
    SAY,
    5,
    {},
    [],
    { data: SAY },
    { data: { data: { choices: [] } } },
    { usage: 5 },
  ])
    expect(recogniseResponse(result)).toEqual({})
})

test('usage without a count is none, and odd counts are left out', () => {
  for (const usage of [
    undefined,
    null,
    {},
    { input_tokens: 'many' },
    { prompt_tokens: Number.NaN },
    [],
  ])
    expect(recogniseUsage(usage)).toBeUndefined()
  expect(recogniseUsage({ input_tokens: 5, output_tokens: 2 })).toEqual({
    input: 5,
    output: 2,
    total: 7,
  })
  expect(recogniseUsage({ inputTokens: 5, outputTokens: undefined, cachedInputTokens: 2 })).toEqual(
    {
      input: 5,
      total: 5,
      cache_read: 2,
    },
  )
})

const STREAMS: Readonly<Record<string, readonly [unknown[], Record<string, unknown>]>> = {
  'OpenAI chat completions': [
    [
      {
        id: 'c1',
        model: 'gpt-5',
        choices: [{ index: 0, delta: { role: 'assistant', content: '' } }],
      },
      { id: 'c1', model: 'gpt-5', choices: [{ index: 0, delta: { content: SAY } }] },
      {
        id: 'c1',
        choices: [
          {
            index: 0,
            delta: {
              tool_calls: [
                { index: 0, id: 'call_1', function: { name: 'get_weather', arguments: '' } },
              ],
            },
          },
        ],
      },
      {
        id: 'c1',
        choices: [
          { index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: SAY } }] } },
        ],
      },
      { id: 'c1', choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] },
      {
        id: 'c1',
        choices: [],
        usage: { prompt_tokens: 20, completion_tokens: 5, total_tokens: 25 },
      },
    ],
    {
      response_model: 'gpt-5',
      response_id: 'c1',
      finish_reasons: ['tool_calls'],
      usage: { input: 20, output: 5, total: 25 },
      tool_calls: CALLS,
    },
  ],
  'OpenAI responses': [
    [
      { type: 'response.created', response: { id: 'resp_1', model: 'o4-mini', output: [] } },
      { type: 'response.output_text.delta', delta: SAY },
      {
        type: 'response.completed',
        response: {
          object: 'response',
          id: 'resp_1',
          model: 'o4-mini',
          status: 'completed',
          output: [{ type: 'function_call', call_id: 'call_1', name: 'get_weather' }],
          usage: { input_tokens: 20, output_tokens: 5, total_tokens: 25 },
        },
      },
    ],
    {
      response_model: 'o4-mini',
      response_id: 'resp_1',
      finish_reasons: ['completed'],
      usage: { input: 20, output: 5, total: 25 },
      tool_calls: CALLS,
    },
  ],
  'Anthropic messages': [
    [
      {
        type: 'message_start',
        message: {
          id: 'msg_1',
          model: 'claude-sonnet-4-6',
          usage: {
            input_tokens: 10,
            cache_read_input_tokens: 7,
            cache_creation_input_tokens: 3,
            output_tokens: 1,
          },
        },
      },
      {
        type: 'content_block_start',
        index: 0,
        content_block: { type: 'tool_use', id: 'call_1', name: 'get_weather' },
      },
      {
        type: 'content_block_delta',
        index: 0,
        delta: { type: 'input_json_delta', partial_json: SAY },
      },
      { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 5 } },
      { type: 'message_stop' },
    ],
    {
      response_model: 'claude-sonnet-4-6',
      response_id: 'msg_1',
      finish_reasons: ['tool_use'],
      usage: { input: 20, output: 5, total: 25, cache_read: 7, cache_write: 3 },
      tool_calls: CALLS,
    },
  ],
  'Google generateContent': [
    [
      {
        modelVersion: 'gemini-3-pro',
        candidates: [{ content: { parts: [{ text: SAY }] } }],
        usageMetadata: { promptTokenCount: 20 },
      },
      {
        candidates: [
          {
            finishReason: 'STOP',
            content: { parts: [{ functionCall: { id: 'call_1', name: 'get_weather' } }] },
          },
        ],
        usageMetadata: { promptTokenCount: 20, candidatesTokenCount: 5, totalTokenCount: 25 },
      },
    ],
    {
      response_model: 'gemini-3-pro',
      finish_reasons: ['STOP'],
      usage: { input: 20, output: 5, total: 25 },
      tool_calls: CALLS,
    },
  ],
  'Vercel AI SDK': [
    [
      { type: 'stream-start', warnings: [] },
      { type: 'response-metadata', id: 'r1', modelId: 'm' },
      { type: 'text-start', id: '0' },
      { type: 'text-delta', id: '0', delta: SAY },
      { type: 'tool-call', toolCallId: 'call_1', toolName: 'get_weather', input: SAY },
      {
        type: 'finish',
        finishReason: 'tool-calls',
        usage: { inputTokens: 20, outputTokens: 5, totalTokens: 25 },
      },
    ],
    {
      response_model: 'm',
      response_id: 'r1',
      finish_reasons: ['tool-calls'],
      usage: { input: 20, output: 5, total: 25 },
      tool_calls: CALLS,
    },
  ],
  'pieces of LangChain, whose counts are added': [
    [
      piece({
        content: '',
        id: 'run-1',
        usage_metadata: { input_tokens: 20, output_tokens: 0, total_tokens: 20 },
        response_metadata: { model_name: 'm' },
      }),
      piece({
        content: SAY,
        tool_call_chunks: [{ id: 'call_1', name: 'get_weather', args: SAY, index: 0 }],
      }),
      piece({
        content: '',
        usage_metadata: { input_tokens: 0, output_tokens: 5, total_tokens: 5 },
        response_metadata: { finish_reason: 'stop' },
      }),
    ],
    {
      response_model: 'm',
      response_id: 'run-1',
      finish_reasons: ['stop'],
      usage: { input: 20, output: 5, total: 25 },
      tool_calls: CALLS,
    },
  ],
}

test.each(Object.entries(STREAMS))('a stream is recognised: %s', (_, [chunks, expected]) => {
  const stream = newStreamRecogniser()
  expect(stream.hasContent).toBe(false)
  stream.chunk(chunks[0])
  const announced = stream.hasContent
  for (const chunk of chunks.slice(1)) stream.chunk(chunk)
  expect(stream.result()).toEqual(expected)
  expect(stream.hasContent).toBe(true)
  expect(announced).toBe(_.startsWith('Google'))
  expect(JSON.stringify(stream.result())).not.toContain('canary')
})

test('no getter is called, no trap, nothing is thrown', () => {
  const boom = () => {
    throw new Error('code of a value was run')
  }
  const trapped = new Proxy(
    {},
    { get: boom, has: boom, ownKeys: boom, getOwnPropertyDescriptor: boom, getPrototypeOf: boom },
  )
  const getters: object = Object.defineProperties(
    {},
    Object.fromEntries(
      'model messages usage choices content candidates output steps type response data input prompt tools id response_metadata'
        .split(' ')
        .map((name) => [name, { get: boom, enumerable: true }]),
    ),
  )
  for (const value of [
    trapped,
    getters,
    { messages: [trapped, getters], model: trapped },
    { choices: [getters, trapped], usage: getters },
  ]) {
    expect(() => asked(value)).not.toThrow()
    expect(() => recogniseResponse(value)).not.toThrow()
    const stream = newStreamRecogniser()
    expect(() => stream.chunk(value)).not.toThrow()
    expect(() => stream.result()).not.toThrow()
  }
})

test('a multitude is counted, not told', () => {
  const messages = Array.from({ length: 5000 }, () => ({ role: 'user', content: 'a' }))
  const told = asked({ model: 'gpt-5', messages })['messages'] as { count: number; roles: string[] }
  expect(told.count).toBe(5000)
  expect(told.roles).toHaveLength(128)
  const stream = newStreamRecogniser()
  for (let index = 0; index < 1000; index += 1)
    stream.chunk({ type: 'tool-call', toolCallId: `c${index}`, toolName: 'f' })
  expect(stream.result()['tool_calls']).toHaveLength(128)
})

test('telemetry §16.12: lists of any length, of any class and of shared parts cost next to nothing', () => {
  class Loud extends Array<unknown> {
    override map(): never {
      throw new Error('code of the list was run')
    }
  }
  const [told] = [recogniseRequest([Loud.from([{ role: 'user', content: 'four' }])])]
  expect(told['messages']).toEqual({ count: 1, roles: ['user'], chars: [4] })

  const sparse = Object.assign([], { length: 4_000_000_000 })
  expect(asked({ model: 'gpt-5', messages: sparse })['messages']).toBeUndefined()
  const many = Object.assign(Array(200).fill({ role: 'user', content: 'x' }), { length: 4e9 })
  expect(asked({ model: 'gpt-5', messages: many })['messages']).toMatchObject({ count: 4e9 })

  // Thirty levels of two parts each that are the same one: a thousand million ways through it.
  let content: unknown[] = [{ text: 'deep' }]
  for (let level = 0; level < 30; level += 1) content = [{ content }, { content }]
  const messages = [{ role: 'user', content }]
  expect(asked({ model: 'gpt-5', messages })['messages']).toMatchObject({ count: 1 })
  const circular: unknown[] = ['one']
  circular.push({ content: circular }, 'two')
  const around = asked({ model: 'gpt-5', messages: [{ role: 'user', content: circular }] })
  expect(around['messages']).toMatchObject({ count: 1, roles: ['user'] })
})

test('blocks without content do not end the counting of a message', () => {
  const content = [{ content: 'abc' }, { type: 'image' }, { content: [{ text: 'de' }] }, 'f']
  const told = asked({ model: 'gpt-5', messages: [{ role: 'user', content }] })
  expect(told['messages']).toEqual({ count: 1, roles: ['user'], chars: [6] })
})
