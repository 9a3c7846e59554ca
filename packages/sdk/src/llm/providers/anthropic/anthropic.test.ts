import { expect, test } from 'vitest'
import { asking, assembled, NOW_MS, namedSse, scopeOf, streamOf } from '../providers.test-kit.ts'
import { refusesSampling } from './models.ts'
import { anthropic } from './provider.ts'
import { AnthropicUsageReader, anthropicUsage } from './usage.ts'

const schema = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] }
const tool = {
  type: 'function',
  function: { name: 'read', description: 'Reads', parameters: schema },
}
const bare = { type: 'function', function: { name: 'list' } }
const format = (given: unknown) => ({
  response_format: { type: 'json_schema', json_schema: { name: 'Find ings', schema: given } },
})

function body(members: Record<string, unknown>) {
  return anthropic.chat(asking(members), scopeOf()).body
}

function sent(...messages: unknown[]) {
  return body({ messages })
}

test('a plain request becomes a message call with a limit', () => {
  const { path, body } = anthropic.chat(asking({ model: 'claude-x', temperature: 0 }), scopeOf())
  expect(path).toBe('/v1/messages')
  expect(body).toEqual({
    model: 'claude-x',
    max_tokens: 4096,
    messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }],
    temperature: 0,
  })
})

test('the limit is the caller’s under either name', () => {
  expect(body({ max_tokens: 7 })).toMatchObject({ max_tokens: 7 })
  expect(body({ max_completion_tokens: 8 })).toMatchObject({ max_tokens: 8 })
})

test('system and developer messages are joined, wherever they stand', () => {
  const given = sent(
    { role: 'system', content: 'A' },
    { role: 'user', content: 'hi' },
    { role: 'developer', content: [{ type: 'text', text: 'B' }] },
    { role: 'system', content: ' ' },
    { role: 'user', content: 'there' },
  )
  expect(given).toMatchObject({
    system: 'A\n\nB',
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'hi' },
          { type: 'text', text: 'there' },
        ],
      },
    ],
  })
})

test('pictures and PDFs become blocks with their source', () => {
  const content = [
    { type: 'text', text: '' },
    { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
    { type: 'image_url', image_url: { url: 'https://e.org/a.png' } },
    { type: 'file', file: { file_data: 'data:application/pdf;base64,BBBB', filename: 'a.pdf' } },
  ]
  expect(sent({ role: 'user', content })).toMatchObject({
    messages: [
      {
        role: 'user',
        content: [
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
          { type: 'image', source: { type: 'url', url: 'https://e.org/a.png' } },
          {
            type: 'document',
            title: 'a.pdf',
            source: { type: 'base64', media_type: 'application/pdf', data: 'BBBB' },
          },
        ],
      },
    ],
  })
})

test('calls, their results and what the user says next are two turns', () => {
  const call = (id: string, args: string) => ({
    id,
    type: 'function',
    function: { name: 'read', arguments: args },
  })
  const given = sent(
    { role: 'user', content: 'go' },
    { role: 'assistant', content: '', tool_calls: [call('a.1', '{"x":1}'), call('b', '')] },
    { role: 'tool', tool_call_id: 'a.1', content: 'one' },
    { role: 'tool', tool_call_id: 'b', content: [{ type: 'text', text: 'two' }] },
    { role: 'user', content: 'and?' },
  )
  expect(given['messages']).toEqual([
    { role: 'user', content: [{ type: 'text', text: 'go' }] },
    {
      role: 'assistant',
      content: [
        { type: 'tool_use', id: 'a_1', name: 'read', input: { x: 1 } },
        { type: 'tool_use', id: 'b', name: 'read', input: {} },
      ],
    },
    {
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: 'a_1', content: 'one' },
        { type: 'tool_result', tool_use_id: 'b', content: [{ type: 'text', text: 'two' }] },
        { type: 'text', text: 'and?' },
      ],
    },
  ])
})

test('arguments in the history that are no object are refused by their place', () => {
  const tool_calls = [{ id: 'a', type: 'function', function: { name: 'f', arguments: '[1]' } }]
  expect(() => sent({ role: 'assistant', content: '', tool_calls })).toThrow(
    expect.objectContaining({
      code: 'invalid_request',
      param: 'messages[0].tool_calls[0].function.arguments',
    }),
  )
})

test('nothing to say but a system prompt is refused here, not upstream', () => {
  expect(() => sent({ role: 'system', content: 'A' }, { role: 'user', content: ' ' })).toThrow(
    expect.objectContaining({ code: 'invalid_request', param: 'messages' }),
  )
})

test.each<[Record<string, unknown>, Record<string, unknown>]>([
  [{ temperature: 1.7 }, { temperature: 1 }],
  [{ temperature: 0, top_p: 0.5 }, { top_p: 0.5 }],
  [{ top_p: 0.5 }, { top_p: 0.5 }],
  [{ temperature: 0.3, top_p: 0.5 }, { temperature: 0.3 }],
  [{ model: 'claude-opus-4-7', temperature: 0, top_p: 0.5 }, {}],
])('sampling %j is sent as %j', (given, expected) => {
  const { temperature, top_p } = body(given)
  expect({ temperature, top_p }).toEqual({ temperature: undefined, top_p: undefined, ...expected })
})

test('which models refuse sampling is told by family and version', () => {
  const refusing = [
    'claude-opus-4-7',
    'claude-opus-4.8',
    'claude-opus-5-20270101',
    'claude-sonnet-5',
  ]
  const steered = [
    'claude-opus-4-6',
    'claude-opus-4-20250514',
    'claude-sonnet-4-5-20250929',
    'claude-3-5-sonnet-latest',
    'claude-2.1',
    'other',
  ]
  expect(refusing.filter(refusesSampling)).toEqual(refusing)
  expect(refusesSampling('claude-fable-5')).toBe(true)
  expect(steered.filter(refusesSampling)).toEqual([])
})

test('stops lose their blanks, and what Anthropic has no setting for is left out', () => {
  const given = body({
    stop: ['END', ' ', ''],
    seed: 1,
    presence_penalty: 1,
    frequency_penalty: 1,
    logit_bias: { a: 1 },
    logprobs: true,
    user: 'me',
    store: true,
    stream: true,
  })
  expect(Object.keys(given).sort()).toEqual(
    ['max_tokens', 'messages', 'model', 'stop_sequences', 'stream'].sort(),
  )
  expect(given['stop_sequences']).toEqual(['END'])
  expect(() => body({ reasoning_effort: 'low' })).toThrow(
    expect.objectContaining({ code: 'unsupported_parameter', param: 'reasoning_effort' }),
  )
})

test('tools carry their schema, an empty one when they have none', () => {
  expect(body({ tools: [tool, bare] })).toMatchObject({
    tools: [
      { name: 'read', description: 'Reads', input_schema: schema },
      { name: 'list', input_schema: { type: 'object', properties: {} } },
    ],
  })
  expect(body({ tools: [tool] })).not.toHaveProperty('tool_choice')
})

test.each<[Record<string, unknown>, unknown]>([
  [{ tool_choice: 'auto' }, { type: 'auto' }],
  [{ tool_choice: 'none' }, { type: 'none' }],
  [{ tool_choice: 'required' }, { type: 'any' }],
  [
    { tool_choice: { type: 'function', function: { name: 'read' } } },
    { type: 'tool', name: 'read' },
  ],
  [{ parallel_tool_calls: false }, { type: 'auto', disable_parallel_tool_use: true }],
  [
    { tool_choice: 'required', parallel_tool_calls: false },
    { type: 'any', disable_parallel_tool_use: true },
  ],
  [{ tool_choice: 'none', parallel_tool_calls: false }, { type: 'none' }],
])('the choice %j is sent as %j', (members, expected) => {
  expect(body({ tools: [tool], ...members })['tool_choice']).toEqual(expected)
})

test('a JSON object is asked for in words', () => {
  const json = { type: 'json_object' }
  const messages = [
    { role: 'system', content: 'A' },
    { role: 'user', content: 'hi' },
  ]
  expect(body({ messages, response_format: json })['system']).toMatch(/^A\n\n.*JSON object/)
  expect(body({ response_format: { type: 'text' } })).not.toHaveProperty('system')
})

test('sage §21.27: a schema is a forced tool, or words beside other tools', () => {
  expect(body(format(schema))).toMatchObject({
    tools: [{ name: 'Find_ings', input_schema: schema }],
    tool_choice: { type: 'tool', name: 'Find_ings' },
  })
  const both = body({ tools: [tool], ...format(schema) })
  expect(both).toMatchObject({ tools: [{ name: 'read' }] })
  expect(both['system']).toContain(JSON.stringify(schema))
})

test('a schema that is not of an object stands one level down, references included', () => {
  const item = { $ref: '#/$defs/item' }
  const list = { type: 'array', items: item, $defs: { item: { anyOf: [{ $ref: '#' }, schema] } } }
  expect(body(format(list))).toMatchObject({
    tools: [
      {
        input_schema: {
          type: 'object',
          required: ['value'],
          properties: {
            value: {
              items: { $ref: '#/properties/value/$defs/item' },
              $defs: { item: { anyOf: [{ $ref: '#/properties/value' }, schema] } },
            },
          },
        },
      },
    ],
  })
})

function read(content: unknown[], rest: Record<string, unknown> = {}, asked = {}) {
  const given = { id: 'msg_1', model: 'claude-x-1', content, stop_reason: 'end_turn', ...rest }
  return anthropic.readChat(given, asking(asked), scopeOf())
}

test('an answer becomes a completion: text joined, thinking left behind, counts summed', () => {
  const content = [
    { type: 'thinking', thinking: 'hm', signature: 's' },
    { type: 'text', text: 'Hel' },
    { type: 'redacted_thinking', data: 'x' },
    { type: 'text', text: 'lo' },
  ]
  const usage = {
    input_tokens: 3,
    cache_creation_input_tokens: 2,
    cache_read_input_tokens: 5,
    output_tokens: 4,
  }
  expect(read(content, { usage })).toEqual({
    id: 'msg_1',
    object: 'chat.completion',
    created: NOW_MS / 1000,
    model: 'claude-x-1',
    choices: [
      { index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' },
    ],
    usage: {
      prompt_tokens: 10,
      completion_tokens: 4,
      total_tokens: 14,
      prompt_tokens_details: { cached_tokens: 5, cache_creation_tokens: 2 },
    },
  })
})

test('tool blocks become calls with text arguments, and empty content', () => {
  const content = [
    { type: 'tool_use', id: 't1', name: 'read', input: { n: 1 } },
    { type: 'tool_use', id: 't2', name: 'list', input: {} },
  ]
  expect(read(content, { stop_reason: 'tool_use' }).choices[0]).toMatchObject({
    finish_reason: 'tool_calls',
    message: {
      content: '',
      tool_calls: [
        { id: 't1', type: 'function', function: { name: 'read', arguments: '{"n":1}' } },
        { id: 't2', type: 'function', function: { name: 'list', arguments: '{}' } },
      ],
    },
  })
})

test.each([
  ['end_turn', 'stop'],
  ['stop_sequence', 'stop'],
  ['pause_turn', 'stop'],
  ['max_tokens', 'length'],
  ['model_context_window_exceeded', 'length'],
  ['tool_use', 'tool_calls'],
  ['refusal', 'content_filter'],
])('%s ends as %s', (stop_reason, finish) => {
  expect(read([], { stop_reason }).choices[0]?.finish_reason).toBe(finish)
})

test.each<[string, unknown]>([
  ['no object', []],
  ['no content', { stop_reason: 'end_turn' }],
  ['no end', { content: [], stop_reason: null }],
  ['an unheard-of end', { content: [], stop_reason: 'constructor' }],
  ['a call without id', { content: [{ type: 'tool_use', name: 'f' }], stop_reason: 'tool_use' }],
])('an answer with %s is the provider’s fault', (_what, given) => {
  expect(() => anthropic.readChat(given, asking(), scopeOf())).toThrow(
    expect.objectContaining({ code: 'provider_error' }),
  )
})

test('sage §21.27: a structured answer is the tool’s input as text, unwrapped where it was wrapped', () => {
  const given = (input: unknown) => [
    { type: 'text', text: 'Here:' },
    { type: 'tool_use', id: 't', name: 'Find_ings', input },
  ]
  const ended = { stop_reason: 'tool_use' }
  const [choice] = read(given({ n: 1 }), ended, format(schema)).choices
  expect(choice).toEqual({
    index: 0,
    message: { role: 'assistant', content: '{"n":1}' },
    finish_reason: 'stop',
  })
  const list = format({ type: 'array' })
  expect(read(given({ value: [1] }), ended, list).choices[0]?.message.content).toBe('[1]')
  const refused = read([{ type: 'text', text: 'No.' }], { stop_reason: 'refusal' }, list)
  expect(refused.choices[0]).toMatchObject({
    message: { content: 'No.' },
    finish_reason: 'content_filter',
  })
})

test('a code fence around an answer in JSON is taken off, and only then', () => {
  const text = [{ type: 'text', text: ' ```json\n{"a": "```"}\n```\n' }]
  const json = { response_format: { type: 'json_object' } }
  expect(read(text, {}, json).choices[0]?.message.content).toBe('{"a": "```"}')
  expect(read(text).choices[0]?.message.content).toBe(text[0]?.text)
})

const start = {
  type: 'message_start',
  message: {
    id: 'msg_1',
    model: 'claude-x-1',
    usage: { input_tokens: 3, cache_read_input_tokens: 1, output_tokens: 1 },
  },
}
const ping = { type: 'ping' }
const open = (index: number, content_block: unknown) => ({
  type: 'content_block_start',
  index,
  content_block,
})
const text = { type: 'text', text: '' }
const say = (index: number, words: string) => ({
  type: 'content_block_delta',
  index,
  delta: { type: 'text_delta', text: words },
})
const args = (index: number, partial_json: string) => ({
  type: 'content_block_delta',
  index,
  delta: { type: 'input_json_delta', partial_json },
})
const close = (index: number) => ({ type: 'content_block_stop', index })
const ending = (stop_reason: string | null) => ({
  type: 'message_delta',
  delta: { stop_reason },
  usage: { output_tokens: 9 },
})
const stop = { type: 'message_stop' }
const use = (id: string, name: string) => ({ type: 'tool_use', id, name, input: {} })

test('a stream becomes role, text, finish and usage', () => {
  const wire = namedSse(
    start,
    ping,
    open(0, text),
    say(0, 'Hé'),
    say(0, 'y'),
    close(0),
    ending('end_turn'),
    stop,
  )
  const { chunks, stream } = streamOf(anthropic, wire)
  expect(chunks.map(({ choices }) => choices[0]?.delta)).toEqual([
    { role: 'assistant', content: '' },
    { content: 'Hé' },
    { content: 'y' },
    {},
    undefined,
  ])
  expect(chunks[0]).toMatchObject({ id: 'msg_1', model: 'claude-x-1', created: NOW_MS / 1000 })
  expect(assembled(chunks)).toMatchObject({
    finish: 'stop',
    usage: { prompt_tokens: 4, completion_tokens: 9, total_tokens: 13 },
  })
  expect(stream.done).toBe(true)
})

test('without being asked for, usage stays in the stream’s own account', () => {
  const wire = namedSse(start, open(0, text), say(0, 'a'), close(0), ending('max_tokens'), stop)
  const { chunks, stream } = streamOf(anthropic, wire, { scope: scopeOf({ includeUsage: false }) })
  expect(chunks.every(({ usage }) => usage === undefined)).toBe(true)
  expect(stream).toMatchObject({ finishReason: 'length', usage: { total_tokens: 13 } })
})

test('sage §21.25: tool blocks become fragments, numbered among themselves; one without input ends as {}', () => {
  const wire = namedSse(
    start,
    open(0, { type: 'thinking', thinking: '' }),
    { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'hm' } },
    close(0),
    open(1, use('t1', 'read')),
    args(1, ''),
    args(1, '{"n"'),
    args(1, ':1}'),
    close(1),
    open(2, use('t2', 'list')),
    close(2),
    ending('tool_use'),
    stop,
  )
  const { chunks } = streamOf(anthropic, wire)
  expect(chunks[1]?.choices[0]?.delta).toEqual({
    tool_calls: [
      { index: 0, id: 't1', type: 'function', function: { name: 'read', arguments: '' } },
    ],
  })
  expect(assembled(chunks)).toMatchObject({
    text: '',
    finish: 'tool_calls',
    calls: [
      { id: 't1', name: 'read', arguments: '{"n":1}' },
      { id: 't2', name: 'list', arguments: '{}' },
    ],
  })
})

test('a structured answer streams as text; a wrapped one comes whole', () => {
  const answer = (...parts: string[]) =>
    namedSse(
      start,
      open(0, text),
      say(0, 'Sure:'),
      close(0),
      open(1, use('t', 'Find_ings')),
      ...parts.map((part) => args(1, part)),
      close(1),
      ending('tool_use'),
      stop,
    )
  const plain = asking({ stream: true, ...format(schema) })
  const streamed = assembled(streamOf(anthropic, answer('{"n":', '1}'), { request: plain }).chunks)
  expect(streamed).toMatchObject({ text: '{"n":1}', finish: 'stop', calls: [] })
  const list = asking({ stream: true, ...format({ type: 'array' }) })
  const wrapped = assembled(
    streamOf(anthropic, answer('{"value":', '[1]}'), { request: list }).chunks,
  )
  expect(wrapped).toMatchObject({ text: '[1]', finish: 'stop' })
  const said = namedSse(start, open(0, text), say(0, 'No'), close(0), ending('refusal'), stop)
  expect(assembled(streamOf(anthropic, said, { request: plain }).chunks)).toMatchObject({
    text: 'No',
    finish: 'content_filter',
  })
})

test('a fence is taken off a streamed answer, wherever the pieces were cut', () => {
  const given = '\n```json\n{"a": 1,\n "b": "``` in `` it"}\n```\n'
  const request = asking({ stream: true, response_format: { type: 'json_object' } })
  for (let size = 1; size <= given.length; size += 1) {
    const parts = given.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []
    const said = parts.map((part) => say(0, part))
    const wire = namedSse(start, open(0, text), ...said, close(0), ending('end_turn'), stop)
    const { text: heard } = assembled(streamOf(anthropic, wire, { request }).chunks)
    expect(heard, `in pieces of ${size}`).toBe('{"a": 1,\n "b": "``` in `` it"}')
  }
})

test('arguments that do not parse fail the stream, unless the answer was cut by its limit', () => {
  const wire = (end: string) =>
    namedSse(start, open(0, use('t', 'f')), args(0, '{"a'), close(0), ending(end), stop)
  expect(() => streamOf(anthropic, wire('tool_use'))).toThrow(
    expect.objectContaining({ code: 'provider_error' }),
  )
  expect(assembled(streamOf(anthropic, wire('max_tokens')).chunks).finish).toBe('length')
})

test.each<[string, string]>([
  ['nothing', ''],
  ['text', namedSse(start, open(0, text), say(0, 'a'))],
  ['its finish, without message_stop', namedSse(start, ending('end_turn'))],
  ['message_stop without a finish', namedSse(start, ending(null), stop)],
])('a stream that ends after %s is truncated', (_what, wire) => {
  expect(() => streamOf(anthropic, wire)).toThrow(
    expect.objectContaining({ code: 'provider_error', truncated: true }),
  )
})

test.each([
  ['overloaded_error', 'provider_overloaded'],
  ['rate_limit_error', 'provider_rate_limited'],
  ['api_error', 'provider_error'],
  ['authentication_error', 'provider_auth_failed'],
  ['something_new', 'provider_error'],
])('sage §21.25: the error event %s is the fault %s', (type, code) => {
  const wire = namedSse(start, { type: 'error', error: { type, message: 'x' } })
  expect(() => streamOf(anthropic, wire)).toThrow(expect.objectContaining({ code }))
})

test('usage of native replies is read without touching them', () => {
  const usage = { input_tokens: 3, output_tokens: 4 }
  const expected = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }
  expect(anthropicUsage({ usage })).toEqual(expected)
  expect(anthropicUsage({ message: { usage } })).toEqual(expected)
  expect([anthropicUsage({}), anthropicUsage('x'), anthropicUsage(null)]).toEqual([
    undefined,
    undefined,
    undefined,
  ])
  const reader = new AnthropicUsageReader()
  expect(reader.usage).toBeUndefined()
  const unknown = { type: 'message_delta', usage: { input_tokens: null, output_tokens: null } }
  for (const data of [start, 'broken {', ending('tool_use'), unknown, stop]) {
    reader.push({ event: '', data: typeof data === 'string' ? data : JSON.stringify(data) })
  }
  expect(reader).toMatchObject({ done: true, stopReason: 'tool_use' })
  expect(reader.usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 9 })
})
