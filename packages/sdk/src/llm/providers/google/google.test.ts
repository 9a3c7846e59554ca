import { expect, test } from 'vitest'
import { asking, assembled, NOW_MS, scopeOf, sse, streamOf } from '../providers.test-kit.ts'
import { google } from './provider.ts'

const schema = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] }
const tool = {
  type: 'function',
  function: { name: 'read', description: 'Reads', parameters: schema },
}
const bare = { type: 'function', function: { name: 'list', parameters: { type: 'object' } } }
const format = (given: unknown) => ({
  response_format: { type: 'json_schema', json_schema: { name: 'A', schema: given } },
})
const call = (id: string, name: string, args = '{}') => ({
  id,
  type: 'function',
  function: { name, arguments: args },
})

function body(members: Record<string, unknown>, scope = scopeOf()) {
  return google.chat(asking({ model: 'gemini-x', ...members }), scope).body
}

function sent(...messages: unknown[]) {
  return body({ messages })
}

test('a plain request becomes contents, and the model a segment of the path', () => {
  const { path, body } = google.chat(asking({ model: 'gemini-x' }), scopeOf())
  expect(path).toBe('/v1beta/models/gemini-x:generateContent')
  expect(body).toEqual({ contents: [{ role: 'user', parts: [{ text: 'hi' }] }] })
  const odd = asking({ model: '../x?key=1#/y', stream: true })
  expect(google.chat(odd, scopeOf()).path).toBe(
    '/v1beta/models/..%2Fx%3Fkey%3D1%23%2Fy:streamGenerateContent?alt=sse',
  )
})

test('system messages stand apart, one part each, and equal roles share a content', () => {
  const given = sent(
    { role: 'system', content: 'A' },
    { role: 'user', content: 'hi' },
    { role: 'developer', content: 'B' },
    { role: 'user', content: [{ type: 'text', text: 'there' }] },
    { role: 'assistant', content: 'yes' },
  )
  expect(given).toEqual({
    systemInstruction: { parts: [{ text: 'A' }, { text: 'B' }] },
    contents: [
      { role: 'user', parts: [{ text: 'hi' }, { text: 'there' }] },
      { role: 'model', parts: [{ text: 'yes' }] },
    ],
  })
})

test('pictures and PDFs travel inline, addresses as they are', () => {
  const content = [
    { type: 'image_url', image_url: 'data:image/webp;base64,AAAA' },
    { type: 'image_url', image_url: 'https://e.org/a.JPG?x=1' },
    { type: 'image_url', image_url: 'https://e.org/picture' },
    { type: 'file', file: { file_data: 'data:application/pdf;base64,BBBB' } },
  ]
  expect(sent({ role: 'user', content })['contents']).toEqual([
    {
      role: 'user',
      parts: [
        { inlineData: { mimeType: 'image/webp', data: 'AAAA' } },
        { fileData: { mimeType: 'image/jpeg', fileUri: 'https://e.org/a.JPG?x=1' } },
        { fileData: { fileUri: 'https://e.org/picture' } },
        { inlineData: { mimeType: 'application/pdf', data: 'BBBB' } },
      ],
    },
  ])
})

test('results get their name from the call, share one content, and stay apart from the user', () => {
  const given = sent(
    { role: 'user', content: 'go' },
    {
      role: 'assistant',
      content: 'ok',
      tool_calls: [call('a', 'read', '{"n":1}'), call('b', 'list')],
    },
    {
      role: 'tool',
      tool_call_id: 'a',
      content: [
        { type: 'image_url', image_url: 'data:image/png;base64,AAAA' },
        { type: 'text', text: '{"x":1}' },
      ],
    },
    { role: 'tool', tool_call_id: 'b', content: '[1]' },
    { role: 'user', content: 'and?' },
  )
  expect(given['contents']).toEqual([
    { role: 'user', parts: [{ text: 'go' }] },
    {
      role: 'model',
      parts: [
        { text: 'ok' },
        { functionCall: { name: 'read', args: { n: 1 } } },
        { functionCall: { name: 'list', args: {} } },
      ],
    },
    {
      role: 'user',
      parts: [
        { functionResponse: { name: 'read', response: { x: 1 } } },
        { functionResponse: { name: 'list', response: { result: '[1]' } } },
        { inlineData: { mimeType: 'image/png', data: 'AAAA' } },
      ],
    },
    { role: 'user', parts: [{ text: 'and?' }] },
  ])
})

test('a result without its call is refused by its place', () => {
  const orphan = { role: 'tool', tool_call_id: 'x', content: '' }
  expect(() => sent({ role: 'user', content: 'go' }, orphan)).toThrow(
    expect.objectContaining({ code: 'invalid_request', param: 'messages[1].tool_call_id' }),
  )
})

test('settings are renamed', () => {
  const given = body({
    temperature: 0,
    top_p: 0.5,
    max_tokens: 9,
    seed: 3,
    stop: ['a', ''],
    presence_penalty: 1,
    frequency_penalty: -1,
  })
  expect(given['generationConfig']).toEqual({
    temperature: 0,
    topP: 0.5,
    maxOutputTokens: 9,
    seed: 3,
    stopSequences: ['a'],
    presencePenalty: 1,
    frequencyPenalty: -1,
  })
})

test.each<[Record<string, unknown>, string, string]>([
  [{ stop: ['a', 'b', 'c', 'd', 'e', 'f'] }, 'invalid_request', 'stop'],
  [{ reasoning_effort: 'low' }, 'unsupported_parameter', 'reasoning_effort'],
  [{ logprobs: true }, 'unsupported_parameter', 'logprobs'],
  [{ logit_bias: { a: 1 } }, 'unsupported_parameter', 'logit_bias'],
  [{ tools: [tool], parallel_tool_calls: false }, 'unsupported_parameter', 'parallel_tool_calls'],
])('%j is refused, not dropped', (members, code, param) => {
  expect(() => body(members)).toThrow(expect.objectContaining({ code, param }))
})

test('tools are declared with reduced schemas, without parameters when there are none', () => {
  expect(body({ tools: [tool, bare] })['tools']).toEqual([
    {
      functionDeclarations: [
        {
          name: 'read',
          description: 'Reads',
          parameters: { type: 'OBJECT', properties: { n: { type: 'NUMBER' } }, required: ['n'] },
        },
        { name: 'list' },
      ],
    },
  ])
})

test.each<[unknown, unknown]>([
  ['auto', { mode: 'AUTO' }],
  ['none', { mode: 'NONE' }],
  ['required', { mode: 'ANY' }],
  [
    { type: 'function', function: { name: 'read' } },
    { mode: 'ANY', allowedFunctionNames: ['read'] },
  ],
])('the choice %j is sent as %j', (tool_choice, functionCallingConfig) => {
  expect(body({ tools: [tool], tool_choice })['toolConfig']).toEqual({ functionCallingConfig })
})

test('sage §21.27: JSON is a response type, with the schema; beside tools it is asked for in words', () => {
  const json = { response_format: { type: 'json_object' } }
  expect(body(json)['generationConfig']).toEqual({ responseMimeType: 'application/json' })
  expect(body(format(schema))['generationConfig']).toMatchObject({
    responseMimeType: 'application/json',
    responseSchema: { type: 'OBJECT', required: ['n'] },
  })
  const both = body({ tools: [tool], ...format(schema) })
  expect(both).not.toHaveProperty('generationConfig')
  expect(JSON.stringify(both['systemInstruction'])).toContain('JSON Schema')
})

function read(
  candidate: unknown,
  rest: Record<string, unknown> = {},
  scope = scopeOf(),
  asked = {},
) {
  const given = { candidates: [candidate], responseId: 'r1', modelVersion: 'gemini-x-1', ...rest }
  return google.readChat(given, asking(asked), scope)
}

test('an answer becomes a completion: thoughts left out of the text and counted as output', () => {
  const parts = [{ text: 'hm', thought: true }, { text: 'Hel' }, { text: 'lo' }]
  const usageMetadata = {
    promptTokenCount: 10,
    candidatesTokenCount: 4,
    thoughtsTokenCount: 3,
    cachedContentTokenCount: 2,
    totalTokenCount: 17,
  }
  expect(read({ content: { parts }, finishReason: 'STOP' }, { usageMetadata })).toEqual({
    id: 'r1',
    object: 'chat.completion',
    created: NOW_MS / 1000,
    model: 'gemini-x-1',
    choices: [
      { index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' },
    ],
    usage: {
      prompt_tokens: 10,
      completion_tokens: 7,
      total_tokens: 17,
      prompt_tokens_details: { cached_tokens: 2 },
      completion_tokens_details: { reasoning_tokens: 3 },
    },
  })
})

test('sage §21.30: a thought signature is kept under the call’s id and returns with the call', () => {
  const scope = scopeOf()
  const parts = [
    { functionCall: { name: 'read', args: { n: 1 } }, thoughtSignature: 'sig' },
    { functionCall: { name: 'list' } },
  ]
  const [choice] = read({ content: { parts }, finishReason: 'STOP' }, {}, scope).choices
  expect(choice).toMatchObject({ finish_reason: 'tool_calls', message: { content: '' } })
  const calls = choice?.message.tool_calls ?? []
  expect(calls.map(({ function: called }) => called)).toEqual([
    { name: 'read', arguments: '{"n":1}' },
    { name: 'list', arguments: '{}' },
  ])
  expect(calls.every(({ id }) => id.startsWith('call_'))).toBe(true)
  const messages = [
    { role: 'user', content: 'go' },
    { role: 'assistant', content: '', tool_calls: calls },
    ...calls.map(({ id }) => ({ role: 'tool', tool_call_id: id, content: 'x' })),
  ]
  expect(body({ messages }, scope)['contents']).toMatchObject([
    {},
    { parts: [{ functionCall: { name: 'read' }, thoughtSignature: 'sig' }, {}] },
    {},
  ])
  const again = body({ messages }, scopeOf())
  expect(JSON.stringify(again)).not.toContain('thoughtSignature')
})

test.each([
  ['STOP', 'stop'],
  ['MAX_TOKENS', 'length'],
  ['SAFETY', 'content_filter'],
  ['RECITATION', 'content_filter'],
  ['BLOCKLIST', 'content_filter'],
  ['PROHIBITED_CONTENT', 'content_filter'],
  ['SPII', 'content_filter'],
])('%s ends as %s, also without content', (finishReason, finish) => {
  expect(read({ finishReason }).choices[0]).toMatchObject({
    finish_reason: finish,
    message: { content: '' },
  })
})

test.each<[string, unknown]>([
  ['MALFORMED_FUNCTION_CALL', { candidates: [{ finishReason: 'MALFORMED_FUNCTION_CALL' }] }],
  ['an unheard-of end', { candidates: [{ finishReason: 'OTHER' }] }],
  ['no end', { candidates: [{ content: { parts: [{ text: 'a' }] } }] }],
  ['a candidate that is text', { candidates: ['a'] }],
  ['no object', 'a'],
  [
    'a call without name',
    { candidates: [{ content: { parts: [{ functionCall: {} }] }, finishReason: 'STOP' }] },
  ],
])('an answer with %s is the provider’s fault', (_what, given) => {
  expect(() => google.readChat(given, asking(), scopeOf())).toThrow(
    expect.objectContaining({ code: 'provider_error', status: 502 }),
  )
})

test('no candidates are a refusal of the content, never an empty success', () => {
  const blocked = { promptFeedback: { blockReason: 'SAFETY' } }
  for (const given of [{}, { candidates: [] }, blocked]) {
    expect(() => google.readChat(given, asking(), scopeOf())).toThrow(
      expect.objectContaining({ code: 'content_filter', status: 400 }),
    )
  }
  expect(() => google.readChat(blocked, asking(), scopeOf())).toThrow('SAFETY')
})

const piece = (parts: unknown[], rest: Record<string, unknown> = {}) => ({
  candidates: [{ content: { role: 'model', parts }, ...rest }],
  modelVersion: 'gemini-x-1',
  responseId: 'r1',
})
const usageMetadata = { promptTokenCount: 3, candidatesTokenCount: 2, totalTokenCount: 5 }
const last = { ...piece([{ text: '' }], { finishReason: 'STOP' }), usageMetadata }

test('a stream becomes role, text, finish and usage', () => {
  const thought = piece([{ text: 'hm', thought: true }])
  const wire = sse(thought, piece([{ text: 'Hé' }]), piece([{ text: 'y' }]), last)
  const { chunks, stream } = streamOf(google, wire)
  expect(chunks.map(({ choices }) => choices[0]?.delta)).toEqual([
    { role: 'assistant', content: '' },
    { content: 'Hé' },
    { content: 'y' },
    {},
    undefined,
  ])
  expect(chunks[0]).toMatchObject({ id: 'r1', model: 'gemini-x-1' })
  expect(assembled(chunks)).toMatchObject({ finish: 'stop', usage: { total_tokens: 5 } })
  expect(stream).toMatchObject({ done: true, finishReason: 'stop' })
})

test('sage §21.25: calls of a stream come as fragments and end as calls; signatures are kept', () => {
  const scope = scopeOf({ includeUsage: false })
  const calls = [
    { functionCall: { name: 'read', args: { n: 1 } }, thoughtSignature: 'sig' },
    { functionCall: { name: 'list', args: {} } },
  ]
  const wire = sse(piece([{ text: 'ok' }]), piece(calls), last)
  const { chunks, stream } = streamOf(google, wire, { scope })
  const { calls: heard, finish, text } = assembled(chunks)
  expect({ finish, text }).toEqual({ finish: 'tool_calls', text: 'ok' })
  expect(heard).toMatchObject([
    { name: 'read', arguments: '{"n":1}' },
    { name: 'list', arguments: '{}' },
  ])
  expect(scope.signatures.get(heard[0]!.id)).toBe('sig')
  expect(chunks.some(({ usage }) => usage !== undefined)).toBe(false)
  expect(stream.usage).toMatchObject({ total_tokens: 5 })
})

test.each<[string, string]>([
  ['nothing', ''],
  ['text', sse(piece([{ text: 'a' }]))],
])('a stream that ends after %s is truncated', (_what, wire) => {
  expect(() => streamOf(google, wire)).toThrow(
    expect.objectContaining({ code: 'provider_error', truncated: true }),
  )
})

test('a blocked prompt, a broken event and an error event fail the stream with their code', () => {
  const code = (code: string) => expect.objectContaining({ code })
  const blocked = { promptFeedback: { blockReason: 'SAFETY' } }
  expect(() => streamOf(google, sse(blocked))).toThrow(code('content_filter'))
  expect(() => streamOf(google, sse({ usageMetadata }))).toThrow(code('content_filter'))
  expect(() => streamOf(google, sse('{"a":'))).toThrow(code('provider_error'))
  const broken = piece([], { finishReason: 'MALFORMED_FUNCTION_CALL' })
  expect(() => streamOf(google, sse(broken))).toThrow(code('provider_error'))
  const stream = google.chatStream(asking(), scopeOf())
  expect(() => stream.push({ event: '', data: JSON.stringify(broken) })).toThrow(
    code('provider_error'),
  )
  const failed = { error: { code: 503, status: 'UNAVAILABLE', message: 'x' } }
  expect(() => streamOf(google, sse(piece([{ text: 'a' }]), failed))).toThrow(
    code('provider_overloaded'),
  )
})

test('a fence is taken off JSON that was asked for in words', () => {
  const asked = { tools: [tool], response_format: { type: 'json_object' } }
  const text = '```json\n{"a":1}\n```'
  const whole = read({ content: { parts: [{ text }] }, finishReason: 'STOP' }, {}, scopeOf(), asked)
  expect(whole.choices[0]?.message.content).toBe('{"a":1}')
  const request = asking({ stream: true, ...asked })
  const wire = sse(...[...text].map((letter) => piece([{ text: letter }])), last)
  expect(assembled(streamOf(google, wire, { request }).chunks).text).toBe('{"a":1}')
})

test('each text is embedded as a content of its own', () => {
  const { request, read, maxInputs } = google.embeddings!
  expect(maxInputs).toBe(100)
  expect(request('e', ['a', 'b'], { dimensions: 2 })).toEqual({
    path: '/v1beta/models/e:batchEmbedContents',
    body: {
      requests: ['a', 'b'].map((text) => ({
        model: 'models/e',
        content: { parts: [{ text }] },
        outputDimensionality: 2,
      })),
    },
  })
  const embeddings = [{ values: [1, 2] }, { values: [3, 4] }]
  expect(read({ embeddings }, 2)).toEqual({
    vectors: [
      [1, 2],
      [3, 4],
    ],
    promptTokens: undefined,
  })
  expect(() => read({ embeddings }, 3)).toThrow(expect.objectContaining({ code: 'provider_error' }))
})
