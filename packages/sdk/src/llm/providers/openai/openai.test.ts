import { expect, test } from 'vitest'
import { compatible } from '../compatible.ts'
import { asking, assembled, NOW_MS, scopeOf, sse, streamOf } from '../providers.test-kit.ts'
import { openai } from './provider.ts'

const sampling = {
  temperature: 0,
  top_p: 0.5,
  presence_penalty: 1,
  frequency_penalty: 1,
  logprobs: true,
  top_logprobs: 2,
  max_tokens: 9,
}

function body(members: Record<string, unknown>, scope = scopeOf()) {
  return openai.chat(asking(members), scope).body
}

function answer(message: unknown, rest: Record<string, unknown> = {}, choice = {}) {
  const given = { id: 'c', object: 'chat.completion', created: 5, model: 'gpt-4o-1', ...rest }
  const choices = [{ index: 0, message, finish_reason: 'stop', ...choice }]
  return openai.readChat({ choices, ...given }, asking(), scopeOf())
}

test('a request passes through, kept nowhere and under a hash instead of a name', () => {
  const request = { model: 'gpt-4o', ...sampling, user: 'alice', store: true, metadata: { a: 'b' } }
  const { path, body } = openai.chat(asking(request), scopeOf({ user: 'hash' }))
  expect(path).toBe('/chat/completions')
  expect(body).toEqual({
    model: 'gpt-4o',
    messages: [{ role: 'user', content: 'hi' }],
    ...sampling,
    store: false,
    user: 'hash',
  })
  expect(openai.chat(asking({ user: 'alice' }), scopeOf()).body).not.toHaveProperty('user')
})

test.each([
  'o1',
  'o3-mini',
  'o4-mini-2025-04-16',
  'gpt-5',
  'gpt-5-nano',
  'GPT-5',
  'ft:o4-mini:a::b',
])('sage §21.22: %s is spared the settings that reasoning models refuse', (model) => {
  expect(body({ model, ...sampling })).toEqual({
    model,
    messages: [{ role: 'user', content: 'hi' }],
    max_completion_tokens: 9,
    store: false,
  })
  expect(body({ model, temperature: 1 })).toMatchObject({ temperature: 1 })
  expect(body({ model, max_completion_tokens: 3 })).toMatchObject({ max_completion_tokens: 3 })
})

test('usage of a stream is asked for even when the caller does not', () => {
  const asked = { stream: true, stream_options: { include_usage: true } }
  expect(body({ stream: true })).toMatchObject(asked)
  expect(body({ stream: true, stream_options: { include_usage: false } })).toMatchObject(asked)
  expect(body({ stream: false })).not.toHaveProperty('stream_options')
})

test('a compatible server gets what only OpenAI knows taken out, and nothing else', () => {
  const ollama = compatible('ollama', { baseUrl: 'http://localhost:11434/v1/' })
  const request = asking({ model: 'o1-like', ...sampling, store: true, metadata: { a: 'b' } })
  expect(ollama.chat(request, scopeOf()).body).toEqual({
    model: 'o1-like',
    messages: request.messages,
    ...sampling,
  })
  expect(ollama).toMatchObject({ id: 'ollama', baseUrl: 'http://localhost:11434/v1' })
  expect(compatible('x', { baseUrl: 'http://x', embeddings: false }).embeddings).toBeUndefined()
})

test('an answer in order comes out as it came, with everything it says', () => {
  const message = { role: 'assistant', content: 'hi', annotations: [] }
  const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, extra: { a: 1 } }
  const read = answer(message, { system_fingerprint: 'fp', usage }, { logprobs: null })
  expect(read).toEqual({
    id: 'c',
    object: 'chat.completion',
    created: 5,
    model: 'gpt-4o-1',
    system_fingerprint: 'fp',
    choices: [{ index: 0, message, finish_reason: 'stop', logprobs: null }],
    usage,
  })
})

test('null content and empty arguments, both normal answers of OpenAI, are repaired', () => {
  const tool_calls = [
    { id: 'c1', type: 'function', function: { name: 'a', arguments: '' } },
    { id: 'c2', type: 'function', function: { name: 'b', arguments: '{"x":1}' } },
  ]
  const read = answer({ role: 'assistant', content: null, tool_calls }, {}, { finish_reason: null })
  expect(read.choices[0]).toEqual({
    index: 0,
    finish_reason: 'tool_calls',
    message: {
      role: 'assistant',
      content: '',
      tool_calls: [
        { id: 'c1', type: 'function', function: { name: 'a', arguments: '{}' } },
        { id: 'c2', type: 'function', function: { name: 'b', arguments: '{"x":1}' } },
      ],
    },
  })
})

test('tool calls that are null or none are left out', () => {
  for (const tool_calls of [null, []]) {
    const { message } = answer({ role: 'assistant', content: 'x', tool_calls }).choices[0]!
    expect(message).not.toHaveProperty('tool_calls')
  }
})

test('usage with null or missing members becomes integers, and none stays none', () => {
  const message = { role: 'assistant', content: '' }
  const counts = (usage: unknown) => answer(message, { usage }).usage
  expect(counts({ prompt_tokens: null, completion_tokens: 2, total_tokens: 9 })).toMatchObject({
    prompt_tokens: 7,
    completion_tokens: 2,
    total_tokens: 9,
  })
  expect(counts({ prompt_tokens: 3, completion_tokens_details: null })).toEqual({
    prompt_tokens: 3,
    completion_tokens: 0,
    total_tokens: 3,
    completion_tokens_details: {},
  })
  expect(counts(null)).toBeUndefined()
})

test('a refusal becomes the content, and the end says so', () => {
  const [choice] = answer({ role: 'assistant', content: null, refusal: 'I will not.' }).choices
  expect(choice).toMatchObject({
    message: { content: 'I will not.' },
    finish_reason: 'content_filter',
  })
})

test('what a compatible server leaves out is filled in', () => {
  const choices = [{ message: { content: [{ type: 'text', text: 'a' }] } }]
  const read = openai.readChat({ choices, created: 1.5e9 }, asking(), scopeOf())
  expect(read).toMatchObject({ id: 'chatcmpl-1', model: 'm', created: 1.5e9 })
  expect(read.choices[0]).toMatchObject({ message: { content: 'a' }, finish_reason: 'stop' })
  expect(openai.readChat({ choices }, asking(), scopeOf()).created).toBe(NOW_MS / 1000)
})

test.each<[string, unknown]>([
  ['no object', 'text'],
  ['no choices', { choices: [] }],
  ['choices of null', { choices: null }],
  ['a choice without message', { choices: [{ message: null }] }],
  ['arguments that are no JSON', { choices: [call('{"a":')] }],
  ['arguments that are no object', { choices: [call('[1]')] }],
  ['a call without name', { choices: [{ message: { tool_calls: [{ id: 'x' }] } }] }],
  ['an unheard-of end', { choices: [{ message: { content: '' }, finish_reason: 'abort' }] }],
])('an answer with %s is the provider’s fault', (_what, given) => {
  expect(() => openai.readChat(given, asking(), scopeOf())).toThrow(
    expect.objectContaining({ code: 'provider_error', status: 502 }),
  )
})

function call(args: string) {
  const tool_calls = [{ id: 'c', function: { name: 'f', arguments: args } }]
  return { index: 0, message: { tool_calls }, finish_reason: 'tool_calls' }
}

const head = { id: 'c', object: 'chat.completion.chunk', created: 5, model: 'gpt-4o' }
function chunk(delta: unknown, finish_reason: string | null = null, rest = {}) {
  return { ...head, choices: [{ index: 0, delta, finish_reason }], ...rest }
}
const role = chunk({ role: 'assistant', content: '', refusal: null })
const stop = chunk({}, 'stop')
const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
const counted = { ...head, choices: [], usage }

test('a stream in order comes out in the very texts it came in', () => {
  const events = [role, chunk({ content: 'Hé' }, null, { usage: null }), chunk({ content: ' 🦜' })]
  const given = [...events, stop, counted].map((event) => JSON.stringify(event))
  const { texts, stream } = streamOf(openai, sse(...given, '[DONE]'))
  expect(texts).toEqual(given)
  expect(stream).toMatchObject({ done: true, finishReason: 'stop', usage })
})

test('usage is hidden from a caller who did not ask, and still known', () => {
  const wire = sse(role, chunk({ content: 'a' }), stop, counted, '[DONE]')
  const { chunks, stream } = streamOf(openai, wire, { scope: scopeOf({ includeUsage: false }) })
  expect(chunks.every((given) => given.choices.length === 1)).toBe(true)
  expect(stream.usage).toEqual(usage)
})

test('a whole answer in one event is taken apart into the promised order', () => {
  const one = chunk({ role: 'assistant', content: 'all' }, 'stop', { usage })
  const { chunks } = streamOf(openai, sse(one, '[DONE]'))
  expect(chunks.map((given) => given.choices[0]?.delta)).toEqual([
    { role: 'assistant', content: '' },
    { content: 'all' },
    {},
    undefined,
  ])
  expect(chunks.map((given) => given.choices[0]?.finish_reason)).toEqual([
    null,
    null,
    'stop',
    undefined,
  ])
  expect(chunks[3]?.usage).toEqual(usage)
})

test('null deltas, null content and a missing role are repaired', () => {
  const broken = { ...head, choices: [{ index: 0, delta: null, finish_reason: 'stop' }] }
  const { chunks, texts } = streamOf(
    openai,
    sse(chunk({ content: 'a' }), chunk({ content: null }), broken),
  )
  expect(texts.join()).not.toMatch(/"(?:content|delta)":null/)
  expect(assembled(chunks)).toMatchObject({ text: 'a', finish: 'stop' })
  expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' })
})

test('counts on a finish, before it or with every event come once, at the end; what follows a finish is lost', () => {
  const told = { ...usage, total_tokens: 9, prompt_tokens: 7 }
  const late = chunk({ content: 'late' }, 'length')
  const each = [chunk({ content: 'a' }, null, { usage }), chunk({}, 'stop', { usage: told }), late]
  for (const events of [
    each,
    [{ ...head, choices: [], usage: told }, chunk({ content: 'a' }), stop],
  ]) {
    const { chunks, texts } = streamOf(openai, sse(role, ...events, '[DONE]'))
    expect(texts.filter((text) => text.includes('usage'))).toHaveLength(1)
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: told })
    expect(assembled(chunks)).toMatchObject({ text: 'a', finish: 'stop' })
  }
})

test('a role with null content and a call, as OpenAI opens a tool stream, is put in order', () => {
  const first = {
    role: 'assistant',
    content: null,
    tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'f', arguments: '' } }],
  }
  const rest = chunk({ tool_calls: [{ index: 0, function: { arguments: '{"a":1}' } }] })
  const { chunks } = streamOf(openai, sse(chunk(first), rest, chunk({}, 'tool_calls'), '[DONE]'))
  expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' })
  expect(assembled(chunks)).toMatchObject({
    calls: [{ id: 'c1', name: 'f', arguments: '{"a":1}' }],
    finish: 'tool_calls',
  })
})

test('a call whose arguments never came gets an empty object before the end', () => {
  const first = { index: 0, id: 'c1', type: 'function', function: { name: 'f', arguments: '' } }
  const second = { index: 1, id: 'c2', type: 'function', function: { name: 'g', arguments: '{}' } }
  const wire = sse(role, chunk({ tool_calls: [first, second] }), chunk({}, 'tool_calls'), '[DONE]')
  const { chunks } = streamOf(openai, wire)
  expect(assembled(chunks).calls).toEqual([
    { id: 'c1', name: 'f', arguments: '{}' },
    { id: 'c2', name: 'g', arguments: '{}' },
  ])
  expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('tool_calls')
})

test('calls without index, id or text arguments, as some servers send them, are completed', () => {
  const calls = [{ function: { name: 'f', arguments: { a: 1 } } }, { function: { name: 'g' } }]
  const wire = sse(role, chunk({ tool_calls: calls }), chunk({}, 'tool_calls'), '[DONE]')
  expect(assembled(streamOf(openai, wire).chunks).calls).toEqual([
    { id: 'call_1', name: 'f', arguments: '{"a":1}' },
    { id: 'call_2', name: 'g', arguments: '{}' },
  ])
})

test('arguments that do not parse fail the stream, unless the answer was cut by its limit', () => {
  const half = { index: 0, id: 'c', type: 'function', function: { name: 'f', arguments: '{"a' } }
  const wire = (end: string) => sse(role, chunk({ tool_calls: [half] }), chunk({}, end), '[DONE]')
  expect(() => streamOf(openai, wire('tool_calls'))).toThrow(
    expect.objectContaining({ code: 'provider_error' }),
  )
  const { calls, finish } = assembled(streamOf(openai, wire('length')).chunks)
  expect({ calls, finish }).toEqual({
    calls: [{ id: 'c', name: 'f', arguments: '{"a' }],
    finish: 'length',
  })
})

test('a refusal in a stream becomes content that ends as filtered', () => {
  const wire = sse(role, chunk({ refusal: 'No' }), chunk({ refusal: '.' }), stop, '[DONE]')
  const { chunks, stream } = streamOf(openai, wire)
  expect(assembled(chunks)).toMatchObject({ text: 'No.', finish: 'content_filter' })
  expect(stream.finishReason).toBe('content_filter')
})

test('events without choices and events of several lines do not disturb readers of lines', () => {
  const pretty = JSON.stringify(chunk({ content: 'a' }), null, 1).replaceAll('\n', '\ndata: ')
  const wire = sse(
    { ...head, choices: [] },
    { ...head, choices: null },
    role,
    pretty,
    stop,
    '[DONE]',
  )
  const { texts, chunks } = streamOf(openai, wire)
  expect(texts.every((text) => !text.includes('\n'))).toBe(true)
  expect(chunks).toHaveLength(3)
  expect(assembled(chunks).text).toBe('a')
})

test.each<[string, string]>([
  ['nothing', ''],
  ['text', sse(role, chunk({ content: 'a' }))],
  ['text, then [DONE]', sse(role, chunk({ content: 'a' }), '[DONE]')],
])('a stream that ends after %s is truncated', (_what, wire) => {
  expect(() => streamOf(openai, wire)).toThrow(
    expect.objectContaining({ code: 'provider_error', truncated: true }),
  )
})

test('an end without [DONE] is an end, once the finish was told', () => {
  expect(assembled(streamOf(openai, sse(role, chunk({ content: 'a' }), stop)).chunks).finish).toBe(
    'stop',
  )
})

test('broken events and error events fail the stream with their code', () => {
  const error = (given: unknown) => sse(role, { error: given })
  const code = (code: string) => expect.objectContaining({ code })
  expect(() => streamOf(openai, sse(role, '{"a":'))).toThrow(code('provider_error'))
  expect(() => streamOf(openai, sse(role, '[1]'))).toThrow(code('provider_error'))
  const limited = { message: 'slow', type: 'x', code: 'rate_limit_exceeded' }
  expect(() => streamOf(openai, error(limited))).toThrow(code('provider_rate_limited'))
  expect(() => streamOf(openai, error({ code: 429 }))).toThrow(code('provider_rate_limited'))
  expect(() => streamOf(openai, error('boom'))).toThrow(code('provider_error'))
})

test('embeddings come back in the order of the texts, however they were shuffled', () => {
  const { request, read, maxInputs } = openai.embeddings!
  expect(maxInputs).toBe(2048)
  expect(request('e', ['a', 'b'], { dimensions: 2, user: 'u' })).toEqual({
    path: '/embeddings',
    body: { model: 'e', input: ['a', 'b'], encoding_format: 'float', dimensions: 2, user: 'u' },
  })
  const data = [
    { index: 1, embedding: [3, 4] },
    { index: 0, embedding: [1, 2] },
  ]
  const expected = [
    [1, 2],
    [3, 4],
  ]
  expect(read({ data, usage: { prompt_tokens: 2 } }, 2)).toEqual({
    vectors: expected,
    promptTokens: 2,
  })
  expect(read({ data }, 2).promptTokens).toBeUndefined()
})

test.each<[string, unknown[]]>([
  ['too few', [{ index: 0, embedding: [1] }]],
  ['a double index', [0, 0].map((index) => ({ index, embedding: [1] }))],
  ['a foreign index', [0, 2].map((index) => ({ index, embedding: [1] }))],
  ['base64', [0, 1].map((index) => ({ index, embedding: 'AAAA' }))],
  ['nulls', [0, 1].map((index) => ({ index, embedding: [null] }))],
  ['unequal lengths', [0, 1].map((index) => ({ index, embedding: Array(index + 1).fill(1) }))],
])('embeddings with %s are the provider’s fault', (_what, data) => {
  expect(() => openai.embeddings!.read({ data }, 2)).toThrow(
    expect.objectContaining({ code: 'provider_error' }),
  )
})
