import { expect, test } from 'vitest'
import { checkChat } from './check-chat.ts'
import { checkEmbeddings } from './check-embeddings.ts'

const user = { role: 'user', content: 'hi' }
const PNG = 'data:image/png;base64,iVBORw0KGgo='
const PDF = 'data:application/pdf;base64,JVBERi0='
const tool = { type: 'function', function: { name: 'read', parameters: { type: 'object' } } }

function check(members: Record<string, unknown>) {
  return checkChat({ model: 'gpt-4o', messages: [user], ...members })
}

function messages(...given: unknown[]) {
  return checkChat({ model: 'gpt-4o', messages: given }).messages
}

function part(given: unknown) {
  const [message] = messages({ role: 'user', content: [given] })
  return Array.isArray(message?.content) ? message.content[0] : undefined
}

function refusal(code: string, param: string) {
  return expect.objectContaining({ code, param, message: expect.stringContaining(param) })
}

test('a request of the old client passes as it is', () => {
  const body = {
    model: 'gpt-4o',
    messages: [
      { role: 'system', content: 'Be brief.' },
      user,
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'read', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: 'text' },
    ],
    temperature: 0,
    max_tokens: 5,
    top_p: 0.5,
    seed: 1,
    stop: ['S'],
    response_format: { type: 'json_schema', json_schema: { name: 'A', schema: {}, strict: true } },
    tools: [tool],
    stream: true,
  }
  expect(checkChat(body)).toEqual(body)
})

test('every member of the contract is taken, and no other', () => {
  const members = {
    max_completion_tokens: 5,
    n: 1,
    tools: [tool],
    tool_choice: 'auto',
    parallel_tool_calls: true,
    stream: true,
    stream_options: { include_usage: true },
    presence_penalty: -1,
    frequency_penalty: 1,
    logit_bias: { '50256': -100 },
    logprobs: true,
    top_logprobs: 3,
    user: 'me',
    metadata: { a: 'b' },
    store: true,
    reasoning_effort: 'low',
  }
  expect(check(members)).toMatchObject(members)
  expect(() => check({ functions: [] })).toThrow(refusal('unsupported_parameter', 'functions'))
})

test('a schema is not nested without end', () => {
  let parameters: Record<string, unknown> = { type: 'object' }
  for (let level = 0; level < 200; level += 1) parameters = { type: 'array', items: parameters }
  const deep = { type: 'function', function: { name: 'f', parameters } }
  expect(() => check({ tools: [deep] })).toThrow(
    refusal('invalid_request', 'tools[0].function.parameters'),
  )
})

test('null says nothing, and a stop text is a list of one', () => {
  const request = check({ temperature: null, tools: null, stop: 'x', unheard_of: null })
  expect(request).toEqual({ model: 'gpt-4o', messages: [user], stop: ['x'] })
})

test.each<[Record<string, unknown>, string, string]>([
  [{ model: '' }, 'invalid_request', 'model'],
  [{ model: 'a b' }, 'invalid_request', 'model'],
  [{ model: 7 }, 'invalid_request', 'model'],
  [{ messages: [] }, 'invalid_request', 'messages'],
  [{ messages: 'hi' }, 'invalid_request', 'messages'],
  [{ messages: Array(2049).fill(user) }, 'invalid_request', 'messages'],
  [{ messages: [user, { role: 'function', content: '' }] }, 'invalid_request', 'messages[1].role'],
  [{ messages: [{ role: 'toString', content: '' }] }, 'invalid_request', 'messages[0].role'],
  [{ messages: [{ ...user, audio: {} }] }, 'unsupported_parameter', 'messages[0].audio'],
  [{ messages: [{ role: 'user', content: null }] }, 'invalid_request', 'messages[0].content'],
  [{ messages: [{ role: 'tool', content: 'x' }] }, 'invalid_request', 'messages[0].tool_call_id'],
  [{ temperature: '0' }, 'invalid_request', 'temperature'],
  [{ temperature: 2.1 }, 'invalid_request', 'temperature'],
  [{ temperature: Number.NaN }, 'invalid_request', 'temperature'],
  [{ top_p: -1 }, 'invalid_request', 'top_p'],
  [{ max_tokens: 0 }, 'invalid_request', 'max_tokens'],
  [{ max_tokens: 1.5 }, 'invalid_request', 'max_tokens'],
  [{ max_tokens: 1, max_completion_tokens: 1 }, 'invalid_request', 'max_tokens'],
  [{ stop: Array(17).fill('x') }, 'invalid_request', 'stop'],
  [{ stop: [1] }, 'invalid_request', 'stop[0]'],
  [{ seed: 0.5 }, 'invalid_request', 'seed'],
  [{ n: 2 }, 'unsupported_parameter', 'n'],
  [{ n: 0 }, 'invalid_request', 'n'],
  [{ tools: Array(129).fill(tool) }, 'invalid_request', 'tools'],
  [{ tools: [{ type: 'custom' }] }, 'invalid_request', 'tools[0].type'],
  [{ tools: [{ type: 'function' }] }, 'invalid_request', 'tools[0].function'],
  [
    { tools: [{ type: 'function', function: { name: 'a b' } }] },
    'invalid_request',
    'tools[0].function.name',
  ],
  [{ tool_choice: 'auto' }, 'invalid_request', 'tool_choice'],
  [{ tools: [tool], tool_choice: 'any' }, 'invalid_request', 'tool_choice'],
  [
    { tools: [tool], tool_choice: { type: 'function', function: { name: 'write' } } },
    'invalid_request',
    'tool_choice.function.name',
  ],
  [{ response_format: { type: 'xml' } }, 'invalid_request', 'response_format.type'],
  [{ response_format: { type: 'json_schema' } }, 'invalid_request', 'response_format.json_schema'],
  [{ stream: 'yes' }, 'invalid_request', 'stream'],
  [{ stream_options: { include_usage: true } }, 'invalid_request', 'stream_options'],
  [
    { stream: true, stream_options: { include_obfuscation: true } },
    'unsupported_parameter',
    'stream_options.include_obfuscation',
  ],
  [{ logit_bias: { a: 101 } }, 'invalid_request', 'logit_bias.a'],
  [{ metadata: { a: 1 } }, 'invalid_request', 'metadata.a'],
  [{ top_logprobs: 21 }, 'invalid_request', 'top_logprobs'],
])('%j is refused by its place', (members, code, param) => {
  expect(() => check(members)).toThrow(refusal(code, param))
})

test.each([null, [], 'text', 7])('a body that is %j is refused', (body) => {
  expect(() => checkChat(body)).toThrow(refusal('invalid_request', 'body'))
})

test('pictures come in the parts of OpenAI and in both generations of LangChain blocks', () => {
  const expected = { type: 'image_url', image_url: { url: PNG } }
  const data = 'iVBORw0KGgo='
  expect(part({ type: 'image_url', image_url: { url: PNG } })).toEqual(expected)
  expect(part({ type: 'image_url', image_url: PNG })).toEqual(expected)
  const base64 = { type: 'image', source_type: 'base64', mime_type: 'image/png', data }
  expect(part(base64)).toEqual(expected)
  expect(part({ type: 'image', base64: data, mime_type: 'image/png' })).toEqual(expected)
  expect(part({ type: 'image', data, mimeType: 'image/png', id: 'b1' })).toEqual(expected)
  const address = { type: 'image_url', image_url: { url: 'https://e.org/a.png' } }
  expect(part({ type: 'image', source_type: 'url', url: 'https://e.org/a.png' })).toEqual(address)
  expect(part({ type: 'image', url: 'https://e.org/a.png' })).toEqual(address)
  expect(part({ type: 'image_url', image_url: { url: PNG, detail: 'low' } })).toEqual({
    type: 'image_url',
    image_url: { url: PNG, detail: 'low' },
  })
})

test('PDFs come as data URI, as bare base64 and as LangChain blocks', () => {
  const named = (filename: string) => ({ type: 'file', file: { file_data: PDF, filename } })
  const file = { file_data: PDF, filename: 'a.pdf' }
  expect(part({ type: 'file', file })).toEqual(named('a.pdf'))
  expect(part({ type: 'file', file: { file_data: 'JVBERi0=' } })).toEqual(named('document.pdf'))
  const block = { type: 'file', source_type: 'base64', mime_type: 'application/pdf' }
  expect(part({ ...block, data: 'JVBERi0=', filename: 'b.pdf' })).toEqual(named('b.pdf'))
})

test('texts may stand bare among the parts', () => {
  expect(part('hi')).toEqual({ type: 'text', text: 'hi' })
})

test.each<[unknown, string]>([
  [{ type: 'input_audio' }, 'messages[0].content[0].type'],
  [{ text: 'x' }, 'messages[0].content[0].type'],
  [{ type: 'text', text: 7 }, 'messages[0].content[0].text'],
  [7, 'messages[0].content[0]'],
  [{ type: 'image_url', image_url: 'http://e.org/a.png' }, 'messages[0].content[0].image_url'],
  [{ type: 'image_url', image_url: 'file:///etc/passwd' }, 'messages[0].content[0].image_url'],
  [{ type: 'image_url', image_url: 'data:image/png,abc' }, 'messages[0].content[0].image_url'],
  [
    { type: 'image_url', image_url: { url: 'data:image/svg+xml;base64,AAAA' } },
    'messages[0].content[0].image_url.url media type',
  ],
  [{ type: 'image', base64: 'AAAA' }, 'messages[0].content[0].mime_type'],
  [{ type: 'file', url: 'https://e.org/a.pdf' }, 'messages[0].content[0]'],
  [{ type: 'file', base64: 'AAAA', mime_type: 'text/plain' }, 'messages[0].content[0]'],
  [{ type: 'file', file: { file_data: 'data:application/pdf;base64,***' } }, 'file_data'],
])('the part %j is refused by its place', (given, place) => {
  expect(() => part(given)).toThrow(
    expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining(place) }),
  )
})

test('an answer sent back as history passes, nulls and labels and all', () => {
  const answer = {
    role: 'assistant',
    content: null,
    refusal: null,
    annotations: [],
    audio: null,
    function_call: null,
    tool_calls: [{ index: 0, id: 'c1', function: { name: 'read', arguments: '' } }],
  }
  expect(messages(user, answer)[1]).toEqual({
    role: 'assistant',
    content: '',
    tool_calls: [{ id: 'c1', type: 'function', function: { name: 'read', arguments: '{}' } }],
  })
  const refused = { role: 'assistant', content: null, refusal: 'No.' }
  expect(messages(user, refused)[1]).toEqual({ role: 'assistant', content: 'No.' })
})

test('embeddings take a text or a list of texts, and floats only', () => {
  const model = 'text-embedding-3-small'
  expect(checkEmbeddings({ model, input: 'a' })).toEqual({ model, input: ['a'] })
  const all = { model, input: ['a', ' '], dimensions: 8, encoding_format: 'float', user: 'u' }
  expect(checkEmbeddings(all)).toEqual(all)
  expect(checkEmbeddings({ model, input: Array(10_000).fill('a') }).input).toHaveLength(10_000)
})

test.each<[Record<string, unknown>, string, string]>([
  [{ input: '' }, 'invalid_request', 'input'],
  [{ input: [] }, 'invalid_request', 'input'],
  [{ input: ['a', ''] }, 'invalid_request', 'input[1]'],
  [{ input: [[1, 2]] }, 'invalid_request', 'input[0]'],
  [{ input: Array(10_001).fill('a') }, 'invalid_request', 'input'],
  [{ encoding_format: 'base64' }, 'unsupported_parameter', 'encoding_format'],
  [{ dimensions: 0 }, 'invalid_request', 'dimensions'],
  [{ input_type: 'query' }, 'unsupported_parameter', 'input_type'],
])('embeddings of %j are refused by place', (members, code, param) => {
  expect(() => checkEmbeddings({ model: 'm', input: 'a', ...members })).toThrow(
    refusal(code, param),
  )
})
