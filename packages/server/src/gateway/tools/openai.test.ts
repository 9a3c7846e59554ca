import { expect, test } from 'vitest'
import { openai } from './openai.ts'
import { actionOf, CONTEXT, problemsOf, reply } from './test-context.ts'
import type { JsonObject } from './tool.ts'

const tool = openai()
const chat = actionOf(tool, 'chat')
const complete = actionOf(tool, 'complete')
const bodyOf = (bytes: Uint8Array | undefined) =>
  JSON.parse(Buffer.from(bytes ?? []).toString('utf8')) as JsonObject
const user = (content: string) => ({ role: 'user', content })

test('the seed’s call is taken as it is, with defaults filled in', () => {
  expect(chat.normalise({ messages: [user('Summarize')] })).toEqual({
    messages: [user('Summarize')],
    model: 'gpt-3.5-turbo',
    temperature: 0.7,
    max_tokens: 1_000,
  })
})

test.each(['input', 'prompt'])('%s becomes one message of the user', (alias) => {
  expect(chat.normalise({ [alias]: 'Hi' })).toMatchObject({ messages: [user('Hi')] })
})

test('messages win over input and prompt', () => {
  const both = { messages: [user('a')], input: 'b', prompt: 'c' }
  expect(chat.normalise(both)).toMatchObject({ messages: [user('a')] })
})

test('only the listed keys are forwarded, also within messages', () => {
  const params = chat.normalise({
    messages: [{ role: 'assistant', content: 'x', name: 'n', tool_calls: [] }],
    top_p: 0.5,
    frequency_penalty: 1,
    presence_penalty: -1,
    model: 'gpt-4o',
    temperature: 0,
    max_tokens: 4_000,
    tools: [{}],
    stream: true,
    user: 'u',
    n: 100,
    intent: 'x',
  })
  const request = chat.request(params, CONTEXT)
  expect(bodyOf(request.body)).toEqual({
    messages: [{ role: 'assistant', content: 'x' }],
    top_p: 0.5,
    frequency_penalty: 1,
    presence_penalty: -1,
    model: 'gpt-4o',
    temperature: 0,
    max_tokens: 4_000,
  })
  expect(request).toMatchObject({
    url: 'https://api.openai.com/v1/chat/completions',
    method: 'POST',
    timeoutMs: 60_000,
    followRedirects: false,
  })
})

test.each<[string, JsonObject, string]>([
  ['nothing to say', {}, 'messages: is required'],
  ['an input of another type', { input: 1 }, 'input: must be text'],
  ['an empty prompt', { prompt: '' }, 'prompt: must not be empty'],
  ['a long input', { input: 'x'.repeat(100_001) }, 'input: must have at most 100000 characters'],
  ['no messages', { messages: [] }, 'messages: must have at least 1 item'],
  ['messages that are no list', { messages: 'x' }, 'messages: must be a list'],
  ['a message that is text', { messages: ['x'] }, 'messages[0]: must be an object'],
  ['51 messages', { messages: Array(51).fill(user('x')) }, 'messages: must have at most 50 items'],
  [
    'another role',
    { messages: [{ role: 'tool', content: 'x' }] },
    'messages[0].role: must be one of system, user, assistant',
  ],
  ['no content', { messages: [user('a'), { role: 'user' }] }, 'messages[1].content: is required'],
  [
    'long content',
    { messages: [user('x'.repeat(100_001))] },
    'messages[0].content: must have at most 100000 characters',
  ],
  [
    'content in parts',
    { messages: [{ role: 'user', content: [] }] },
    'messages[0].content: must be text',
  ],
  ['temperature 2.1', { input: 'x', temperature: 2.1 }, 'temperature: must be at most 2'],
  ['temperature -1', { input: 'x', temperature: -1 }, 'temperature: must be at least 0'],
  ['max_tokens 0', { input: 'x', max_tokens: 0 }, 'max_tokens: must be at least 1'],
  ['max_tokens 4001', { input: 'x', max_tokens: 4_001 }, 'max_tokens: must be at most 4000'],
  ['top_p as text', { input: 'x', top_p: '1' }, 'top_p: must be a number'],
  ['an empty model', { input: 'x', model: '' }, 'model: must not be empty'],
])('chat refuses %s', (_name, params, problem) => {
  expect(problemsOf(chat, params)).toEqual([problem])
})

test('chat tells all problems at once, those of an alias too', () => {
  expect(problemsOf(chat, { input: 1, temperature: 9 })).toEqual([
    'input: must be text',
    'temperature: must be at most 2',
  ])
})

test('100 000 characters of content are not too many', () => {
  expect(() => chat.normalise({ messages: [user('x'.repeat(100_000))] })).not.toThrow()
})

test('complete has its own defaults and bounds', () => {
  const params = complete.normalise({ input: 'Once', top_p: 1 })
  expect(params).toEqual({
    prompt: 'Once',
    model: 'text-davinci-003',
    max_tokens: 100,
    temperature: 0.7,
  })
  const request = complete.request(params, CONTEXT)
  expect(request.url).toBe('https://api.openai.com/v1/completions')
  expect(bodyOf(request.body)).toEqual(params)
  expect(problemsOf(complete, {})).toEqual(['prompt: is required'])
  expect(problemsOf(complete, { input: 'x'.repeat(4_001) })).toEqual([
    'input: must have at most 4000 characters',
  ])
  expect(problemsOf(complete, { prompt: '' })).toEqual(['prompt: must not be empty'])
})

test('both read, may be repeated and are never cached', () => {
  for (const action of [chat, complete]) {
    expect([action.permission, action.repeatable, action.cacheMs, action.timeoutMs]).toEqual([
      'read',
      true,
      0,
      60_000,
    ])
  }
  expect(tool.credential).toEqual({ path: 'tools/openai', inject: { headerType: 'bearer' } })
  expect(actionOf(openai({ baseUrl: 'http://127.0.0.1:9' }), 'chat').request({}, CONTEXT).url).toBe(
    'http://127.0.0.1:9/chat/completions',
  )
})

test('the result is the provider’s JSON', () => {
  const body = { choices: [{ message: { content: 'x' } }], model: 'm', usage: {} }
  expect(chat.result(reply(200, body), {}, CONTEXT)).toEqual(body)
  expect(() => chat.result(reply(400, { error: 'prompt' }), {}, CONTEXT)).toThrow(
    expect.objectContaining({ kind: 'rejected', upstreamStatus: 400 }),
  )
})

test('the mock summarises the last message of the user', () => {
  const params = chat.normalise({
    messages: [user('first'), user('é'.repeat(200)), { role: 'assistant', content: 'no' }],
  })
  const output = `SUMMARY: ${'é'.repeat(120)}`
  expect(chat.mock(params, CONTEXT)).toEqual({
    id: `chatcmpl-mock-${CONTEXT.random}`,
    object: 'chat.completion',
    model: 'gpt-3.5-turbo',
    output,
    tokens_est: 67,
    choices: [{ index: 0, message: { role: 'assistant', content: output }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 67, completion_tokens: 43, total_tokens: 110 },
  })
  const emoji = chat.mock(chat.normalise({ input: '🔧'.repeat(130) }), CONTEXT) as JsonObject
  expect(emoji['output']).toBe(`SUMMARY: ${'🔧'.repeat(120)}`)
})

test('the mock completes a prompt', () => {
  const answer = complete.mock(complete.normalise({ prompt: 'Once' }), CONTEXT)
  expect(answer).toMatchObject({
    model: 'text-davinci-003',
    output: 'COMPLETION: Once...',
    tokens_est: 2,
    choices: [{ text: 'COMPLETION: Once...' }],
  })
})
