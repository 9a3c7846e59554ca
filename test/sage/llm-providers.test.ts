import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FAKE_KEYS, vectorOf } from '../harness/fake-providers.ts'
import { type LlmWorld, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'
import type { RawReply } from './raw-http.ts'

const CHAT = '/v1/chat/completions'
const EMBEDDINGS = '/v1/embeddings'
const UNLIMITED = {
  requests_per_run_minute: 100_000,
  requests_per_org_minute: 100_000,
  requests_per_model_minute: 100_000,
}

let world: LlmWorld
let run: RunHeaders
beforeAll(async () => {
  world = await startLlmWorld({ llm: UNLIMITED })
  run = await world.run()
})
afterAll(() => world[Symbol.asyncDispose]())

const PROVIDERS = [
  ['openai', 'gpt-4o'],
  ['anthropic', 'claude-sonnet-4-5'],
  ['google', 'gemini-2.5-flash'],
] as const

const chat = (
  provider: string,
  model: string,
  more: object = {},
  headers: Record<string, string> = {},
) =>
  world.post(
    CHAT,
    { model, messages: [{ role: 'user', content: 'hi' }], temperature: 0.0, ...more },
    { ...tokens(run), 'X-Provider': provider, ...headers },
  )

function errorOf({ body }: RawReply): Record<string, unknown> {
  return (JSON.parse(body) as { error: Record<string, unknown> }).error
}

const last = async () => (await world.audit()).at(-1)

describe.each(PROVIDERS)('%s', (name, model) => {
  test('sage §21.21: an answer in one piece, with the provider’s own counts', async () => {
    world.fakes[name].script({ text: 'Two findings.', usage: { prompt: 210, completion: 9 } })
    const reply = await chat(name, model, { max_tokens: 5, top_p: 0.5, seed: 1, stop: ['S'] })
    expect(JSON.parse(reply.body)).toMatchObject({
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Two findings.' },
          finish_reason: 'stop',
        },
      ],
      usage: { prompt_tokens: 210, completion_tokens: 9, total_tokens: 219 },
    })
    expect(await last()).toMatchObject({
      outcome: {
        code: 'OK',
        status: 200,
        provider_status: 200,
        finish_reason: 'stop',
        usage: { prompt: 210, completion: 9, total: 219 },
      },
    })
  })

  test('sage §21.21: tool calls, and their results on the way back', async () => {
    const parameters = { type: 'object', properties: { path: { type: 'string' } } }
    const tools = ['read_file', 'list_files'].map((tool) => ({
      type: 'function',
      function: { name: tool, parameters },
    }))
    world.fakes[name].script({
      tools: [
        { name: 'read_file', arguments: { path: 'a.ts' } },
        { name: 'list_files', arguments: {} },
      ],
    })
    const first = JSON.parse((await chat(name, model, { tools })).body)
    const { message, finish_reason } = first.choices[0]
    expect(finish_reason).toBe('tool_calls')
    expect(message.content).toBe('')
    expect(message.tool_calls.map((call: { function: unknown }) => call.function)).toEqual([
      { name: 'read_file', arguments: expect.stringMatching(/"path":\s*"a\.ts"/) },
      { name: 'list_files', arguments: '{}' },
    ])
    const [one, two] = message.tool_calls as { id: string }[]
    const next = await chat(name, model, {
      tools,
      messages: [
        { role: 'user', content: 'hi' },
        { role: 'assistant', content: '', tool_calls: message.tool_calls },
        { role: 'tool', tool_call_id: one?.id, content: 'export {}' },
        { role: 'tool', tool_call_id: two?.id, content: '["a.ts"]' },
      ],
    })
    expect(next.status).toBe(200)
  })

  test('sage §21.30: a provider that refuses our key is our fault, and its words stay here', async () => {
    const { key } = world.fakes[name]
    world.fakes[name].key = 'another'
    const reply = await chat(name, model)
    world.fakes[name].key = key
    expect([reply.status, errorOf(reply)['code']]).toEqual([500, 'provider_auth_failed'])
    expect(reply.body).not.toMatch(/api.?key not|invalid x-api-key|Incorrect/i)
    expect(await last()).toMatchObject({
      success: false,
      outcome: { code: 'PROVIDER_AUTH_FAILED', alert: 'provider_key', cost_micros: 0 },
    })
  })

  test('sage §21.30: a connection that is broken off is a bad gateway', async () => {
    world.fakes[name].script({ drop: true })
    const reply = await chat(name, model)
    expect([reply.status, errorOf(reply)['code']]).toEqual([502, 'provider_error'])
  })

  test('sage §21.30: an answer that is no JSON is a bad gateway', async () => {
    world.fakes[name].script({ body: 'no json at all' })
    const reply = await chat(name, model)
    expect([reply.status, errorOf(reply)['code']]).toEqual([502, 'provider_error'])
  })
})

test('an answer that nobody counted is estimated, and paid for', async () => {
  const message = { role: 'assistant', content: 'x'.repeat(300) }
  const choices = [{ index: 0, message, finish_reason: 'stop' }]
  world.fakes.openai.script({ body: { id: 'c', object: 'chat.completion', model: 'm', choices } })
  expect((await chat('openai', 'gpt-4o')).status).toBe(200)
  const outcome = (await last())?.outcome
  expect(outcome).toMatchObject({ usage_estimated: true })
  expect(Reflect.get(Object(outcome?.['usage']), 'completion')).toBeGreaterThanOrEqual(75)
})

test.each([
  ['openai', 400, {}, 400, 'invalid_request'],
  ['openai', 404, {}, 404, 'model_not_found'],
  ['openai', 408, {}, 504, 'provider_timeout'],
  ['openai', 413, {}, 413, 'request_too_large'],
  ['openai', 429, { 'retry-after': '0.2' }, 429, 'provider_rate_limited'],
  ['openai', 429, { 'retry-after': '3600' }, 429, 'provider_rate_limited'],
  ['openai', 429, {}, 429, 'provider_rate_limited'],
  ['openai', 500, {}, 502, 'provider_error'],
  ['openai', 503, {}, 503, 'provider_overloaded'],
  ['openai', 504, {}, 504, 'provider_timeout'],
  ['anthropic', 529, {}, 503, 'provider_overloaded'],
] as const)(
  'sage §21.30: %s answering %i %j is told as %i %s',
  async (name, status, headers, told, code) => {
    const model = name === 'openai' ? 'gpt-4o' : 'claude-sonnet-4-5'
    world.fakes[name].script({ status, headers, body: { error: { message: 'because' } } })
    const reply = await chat(name, model)
    expect([reply.status, errorOf(reply)['code']]).toEqual([told, code])
    const wait = { '0.2': '1', '3600': '60' }[
      (headers as Record<string, string>)['retry-after'] ?? ''
    ]
    if (told === 429) expect(reply.headers['retry-after']).toBe(wait)
  },
)

test('sage §21.22: a reasoning model is spared what it refuses', async () => {
  const reply = await chat('openai', 'o3', { max_tokens: 50 })
  expect(reply.status).toBe(200)
  const sent = world.fakes.openai.requests.at(-1)?.body
  expect(sent).not.toHaveProperty('temperature')
  expect(sent).toMatchObject({ max_completion_tokens: 50 })
})

test('sage §21.30: a thought signature comes back with the call it belongs to, in its own run only', async () => {
  const models = { analysis: ['google:gemini-3-pro-preview'] }
  const [mine, other] = [
    await world.run({ allowed_models: models }),
    await world.run({ allowed_models: models }),
  ]
  const tools = [
    {
      type: 'function',
      function: {
        name: 'look',
        parameters: { type: 'object', properties: { at: { type: 'string' } } },
      },
    },
  ]
  const ask = (owner: RunHeaders, messages: object[]) =>
    world.post(
      CHAT,
      { model: 'gemini-3-pro-preview', messages, tools },
      { ...tokens(owner), 'X-Provider': 'google' },
    )
  world.fakes.google.script({ tools: [{ name: 'look', arguments: { at: 'x' } }] })
  const { message } = JSON.parse((await ask(mine, [{ role: 'user', content: 'hi' }])).body)
    .choices[0]
  // Published clients return nothing but these.
  const { id, type, function: called } = message.tool_calls[0]
  const history = [
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: '', tool_calls: [{ id, type, function: called }] },
    { role: 'tool', tool_call_id: id, content: 'seen' },
  ]
  expect((await ask(mine, history)).status).toBe(200)
  expect((await ask(other, history)).status).toBe(400)
})

describe('embeddings', () => {
  const embed = (input: unknown, model = 'text-embedding-3-small', provider = 'openai') =>
    world.post(EMBEDDINGS, { model, input }, { ...tokens(run), 'X-Provider': provider })

  test.each([
    ['text-embedding-3-small', 'openai'],
    ['gemini-embedding-001', 'google'],
  ] as const)('sage §21.29: 5 000 texts to %s come back in order', async (model, provider) => {
    const input = Array.from({ length: 5_000 }, (_, at) => `text ${at}`)
    if (provider === 'openai')
      world.fakes.openai.script({ shuffled: true }, { shuffled: true }, { shuffled: true })
    const reply = JSON.parse((await embed(input, model, provider)).body)
    expect(reply).toMatchObject({ object: 'list', model })
    expect(reply.data).toHaveLength(5_000)
    for (const at of [0, 1, 99, 100, 2_047, 2_048, 4_999]) {
      expect(reply.data[at]).toEqual({
        object: 'embedding',
        index: at,
        embedding: vectorOf(`text ${at}`),
      })
    }
    expect(Number.isInteger(reply.usage.prompt_tokens)).toBe(true)
    expect(reply.usage.total_tokens).toBe(reply.usage.prompt_tokens)
  })

  test('sage §21.29: one text alone, and a provider that returns too few', async () => {
    expect(JSON.parse((await embed('alpha')).body).data).toHaveLength(1)
    world.fakes.openai.script({ short: true })
    const short = await embed(['a', 'b', 'c'])
    expect([short.status, errorOf(short)['code']]).toEqual([502, 'provider_error'])
  })

  test('what a provider does not count is estimated, and the record says so', async () => {
    await embed(['a text of some length'], 'gemini-embedding-001', 'google')
    expect((await last())?.outcome).toMatchObject({ usage_estimated: true })
  })

  test('a provider without them says so', async () => {
    const other = await world.run({ allowed_models: { embeddings: ['anthropic:claude-x'] } })
    const reply = await world.post(
      EMBEDDINGS,
      { model: 'claude-x', input: ['a'] },
      { ...tokens(other), 'X-Provider': 'anthropic' },
    )
    expect([reply.status, errorOf(reply)['code']]).toEqual([400, 'unsupported_operation'])
  })

  test.each([
    ['an empty text', ['a', ''], 'invalid_request'],
    ['numbers', [1, 2], 'invalid_request'],
    ['too many texts', Array.from({ length: 10_001 }, () => 'a'), 'invalid_request'],
  ])('%s is refused', async (_name, input, code) => {
    const reply = await embed(input)
    expect([reply.status, errorOf(reply)['code']]).toEqual([400, code])
  })
})

test.each([
  ['an unknown member', { frobnicate: 1 }, 'unsupported_parameter', 'frobnicate'],
  ['several answers', { n: 2 }, undefined, 'n'],
  [
    'too many messages',
    { messages: Array.from({ length: 2_049 }, () => ({ role: 'user', content: 'x' })) },
    'invalid_request',
    'messages',
  ],
  [
    'an unknown part',
    { messages: [{ role: 'user', content: [{ type: 'video' }] }] },
    undefined,
    'messages[0].content[0].type',
  ],
  ['no messages', { messages: undefined }, 'invalid_request', 'messages'],
])('%s is refused by name, before any provider hears of it', async (_name, more, code, param) => {
  const before = world.fakes.openai.requests.length
  const reply = await chat('openai', 'gpt-4o', more)
  expect(reply.status).toBe(400)
  if (code !== undefined) expect(errorOf(reply)['code']).toBe(code)
  expect(`${String(errorOf(reply)['param'])} ${String(errorOf(reply)['message'])}`).toContain(param)
  expect(world.fakes.openai.requests.length).toBe(before)
  expect(await last()).toMatchObject({
    phase: 'single',
    success: false,
    outcome: { status: 400 },
    data: { run: run.run.id },
  })
})

test('an address that egress does not open is the operator’s to see, and not the client’s', async () => {
  await using other = await startLlmWorld({
    llm: { providers: { openai: { base_url: 'http://10.0.0.7/v1' } } },
  })
  const owner = await other.run()
  const body = { model: 'gpt-4o', messages: [{ role: 'user', content: 'x' }] }
  const reply = await other.post(CHAT, body, tokens(owner))
  expect([reply.status, errorOf(reply)['code']]).toEqual([502, 'provider_error'])
  expect(reply.body).not.toContain('10.0.0.7')
  expect((await other.audit()).at(-1)?.outcome).toMatchObject({
    cause: 'SSRF_BLOCKED',
    cost_micros: 0,
  })
})

describe('keys', () => {
  test('an organisation’s own key comes before everyone’s', async () => {
    world.fakes.openai.key = 'sk-proj-keyOfTheirOwn0123456789abcdef'
    await world.putKey('llm/orgs/own-org/openai', world.fakes.openai.key)
    const own = await world.run({ org_id: 'own-org' })
    expect(
      (
        await world.post(
          CHAT,
          { model: 'gpt-4o', messages: [{ role: 'user', content: 'x' }] },
          tokens(own),
        )
      ).status,
    ).toBe(200)
    expect((await chat('openai', 'gpt-4o')).status).toBe(500)
    world.fakes.openai.key = FAKE_KEYS.openai
    expect((await chat('openai', 'gpt-4o')).status).toBe(200)
  })

  test('without a key there is nothing to call with', async () => {
    await using bare = await startLlmWorld({ keys: false })
    const owner = await bare.run()
    const reply = await bare.post(
      CHAT,
      { model: 'gpt-4o', messages: [{ role: 'user', content: 'x' }] },
      tokens(owner),
    )
    expect([reply.status, errorOf(reply)['code']]).toEqual([403, 'provider_key_missing'])
    expect(bare.fakes.openai.requests).toEqual([])
    await bare.putKey('llm/openai', FAKE_KEYS.openai)
    expect(
      (
        await bare.post(
          CHAT,
          { model: 'gpt-4o', messages: [{ role: 'user', content: 'x' }] },
          tokens(owner),
        )
      ).status,
    ).toBe(200)
  })

  test('a server that asks for none is called without one', async () => {
    await using other = await startLlmWorld({ keys: false })
    const { url } = other.fakes.openai
    await using local = await startLlmWorld({
      keys: false,
      llm: { providers: { local: { base_url: url, credential: false } } },
    })
    const owner = await local.run({ allowed_models: { analysis: ['local:llama3:8b'] } })
    const body = { model: 'llama3:8b', messages: [{ role: 'user', content: 'x' }] }
    await local.post(CHAT, body, { ...tokens(owner), 'X-Provider': 'local' })
    const [seen] = other.fakes.openai.requests
    expect(seen?.body['model']).toBe('llama3:8b')
    expect(seen?.headers).not.toHaveProperty('authorization')
  })

  test('a new key is used from the next call on', async () => {
    const fresh = 'sk-proj-rotatedKey0123456789abcdefghij'
    await world.putKey('llm/openai', fresh)
    world.fakes.openai.key = fresh
    expect((await chat('openai', 'gpt-4o')).status).toBe(200)
    await world.putKey('llm/openai', FAKE_KEYS.openai)
    world.fakes.openai.key = FAKE_KEYS.openai
    expect((await chat('openai', 'gpt-4o')).status).toBe(200)
  })
})

describe('what must not leave', () => {
  const SECRET = `ghp_${'a1B2'.repeat(9)}`
  const messages = [
    { role: 'user', content: [{ type: 'text', text: `my token is ${SECRET}, please` }] },
  ]

  test('is blocked unless told otherwise, and nobody repeats it', async () => {
    const before = world.fakes.openai.requests.length
    const reply = await chat('openai', 'gpt-4o', { messages })
    expect([reply.status, errorOf(reply)['code']]).toEqual([403, 'dlp_blocked'])
    expect(reply.body).toContain('github_token')
    expect(world.fakes.openai.requests.length).toBe(before)
    expect(await last()).toMatchObject({
      outcome: { code: 'DLP_BLOCKED' },
      data: { dlp: ['github_token'] },
    })
    expect((await world.auditText()) + reply.body).not.toContain(SECRET)
  })

  test.each([
    ['redact', false],
    ['allow', true],
  ])('with %s the rest of it goes on', async (dlp, kept) => {
    await using other = await startLlmWorld({ llm: { dlp } })
    const owner = await other.run()
    const reply = await other.post(CHAT, { model: 'gpt-4o', messages }, tokens(owner))
    expect(reply.status).toBe(200)
    const sent = other.fakes.openai.requests[0]?.text ?? ''
    expect(sent).toContain('please')
    expect(sent.includes(SECRET)).toBe(kept)
    const native = { model: 'claude-sonnet-4-5', max_tokens: 9, messages }
    expect((await other.post('/v1/messages', native, tokens(owner))).status).toBe(200)
    expect((other.fakes.anthropic.requests[0]?.text ?? '').includes(SECRET)).toBe(kept)
  })
})

test('counters tell requests, tokens and cost, by names that are configured', async () => {
  const text = world.registry.render()
  expect(text).toMatch(/^llm_requests_total\{route="\/v1\/chat\/completions",status="200"\} \d+$/m)
  expect(text).toMatch(/^llm_tokens_total\{provider="openai",kind="prompt"\} [1-9]\d*$/m)
  expect(text).toMatch(/^llm_cost_micros_total\{provider="openai"\} [1-9]\d*$/m)
  expect(text).toMatch(/^llm_provider_key_failures_total\{provider="openai"\} [1-9]\d*$/m)
  expect(text).toMatch(/^llm_streams 0$/m)
})
