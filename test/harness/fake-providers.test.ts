import {
  anthropic,
  type ChatCompletion,
  type ChatRequest,
  checkChat,
  google,
  openai,
  type Provider,
  type ProviderFault,
  SseParser,
} from '@vestry/sdk/llm/providers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  FAKE_KEYS,
  type FakeProvider,
  type FakeProviders,
  type Scripted,
  startFakeProviders,
  vectorOf,
} from './fake-providers.ts'

let fakes: FakeProviders
beforeAll(async () => {
  fakes = await startFakeProviders()
})
afterAll(() => fakes.close())

type Id = 'openai' | 'anthropic' | 'google'
const MODELS = { openai: 'gpt-4o', anthropic: 'claude-sonnet-4-5', google: 'gemini-3-pro' }
const providers: [Id, Provider][] = [
  ['openai', openai],
  ['anthropic', anthropic],
  ['google', google],
]

const signatures = new Map<string, string>()
let ids = 0
const scope = {
  nowMs: 1_795_160_003_000,
  newId: (prefix: string) => {
    ids += 1
    return `${prefix}${ids}`
  },
  user: 'hash',
  signatures,
  defaultMaxTokens: 4096,
  includeUsage: true,
}

function asking(id: Id, members: Record<string, unknown> = {}): ChatRequest {
  const messages = [{ role: 'user', content: 'hi' }]
  return checkChat({ model: MODELS[id], messages, temperature: 0, ...members })
}

async function post(provider: Provider, path: string, body: unknown, key?: string) {
  const id = provider.id as Id
  return fetch(`${fakes[id].url}${path}`, {
    method: 'POST',
    headers: {
      ...provider.headers,
      'content-type': 'application/json',
      [provider.auth.header]: `${provider.auth.prefix}${key ?? FAKE_KEYS[id]}`,
    },
    body: JSON.stringify(body),
  })
}

async function chat(
  provider: Provider,
  request: ChatRequest,
  key?: string,
): Promise<ChatCompletion> {
  const { path, body } = provider.chat(request, scope)
  const response = await post(provider, path, body, key)
  if (!response.ok) throw await faultOf(provider, response)
  return provider.readChat(await response.json(), request, scope)
}

async function faultOf(provider: Provider, response: Response): Promise<ProviderFault> {
  return provider.readError(
    response.status,
    Object.fromEntries(response.headers),
    await response.text(),
  )
}

async function stream(provider: Provider, request: ChatRequest): Promise<string[]> {
  const { path, body } = provider.chat(request, scope)
  const response = await post(provider, path, body)
  if (!response.ok) throw await faultOf(provider, response)
  const parser = new SseParser()
  const translation = provider.chatStream(request, scope)
  const texts: string[] = []
  for await (const bytes of response.body ?? []) {
    for (const event of parser.push(bytes)) texts.push(...translation.push(event))
  }
  return [...texts, ...translation.end()]
}

function textOf(texts: readonly string[]): string {
  const chunks = texts.map(
    (text) => JSON.parse(text) as { choices: { delta: { content?: string } }[] },
  )
  return chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')
}

function scripted(id: Id, ...answers: Scripted[]): FakeProvider {
  return fakes[id].script(...answers)
}

test.each(providers)('%s answers, and its counts come through', async (id, provider) => {
  scripted(id, { text: 'Two findings.', usage: { prompt: 210, completion: 9 } })
  const { choices, usage } = await chat(provider, asking(id))
  expect(choices[0]).toMatchObject({ message: { content: 'Two findings.' }, finish_reason: 'stop' })
  expect(usage).toMatchObject({ prompt_tokens: 210, completion_tokens: 9, total_tokens: 219 })
})

test.each(providers)(
  '%s: parallel calls, one without arguments, their results, and the answer to them',
  async (id, provider) => {
    const calls = [
      { name: 'read', arguments: { path: 'src/app.ts' } },
      { name: 'list', arguments: {} },
    ]
    const tools = [
      {
        type: 'function',
        function: {
          name: 'read',
          parameters: {
            $schema: 'https://json-schema.org/draft/2020-12/schema',
            type: 'object',
            properties: { path: { type: ['string', 'null'], format: 'uri' } },
            additionalProperties: false,
          },
        },
      },
      {
        type: 'function',
        function: { name: 'list', parameters: { type: 'object', properties: {} } },
      },
    ]
    scripted(id, { tools: calls }, { text: 'Done.' })
    const messages: unknown[] = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'go' },
      { role: 'user', content: [{ type: 'text', text: '' }, 'now'] },
    ]
    const first = await chat(provider, asking(id, { messages, tools }))
    const asked = first.choices[0]?.message.tool_calls ?? []
    expect(first.choices[0]?.finish_reason).toBe('tool_calls')
    expect(asked.map(({ function: { name, arguments: args } }) => [name, args])).toEqual([
      ['read', '{"path":"src/app.ts"}'],
      ['list', '{}'],
    ])
    // As the old client sends it back: id, name and arguments, and nothing else.
    const history = [
      ...messages,
      { role: 'assistant', content: '', tool_calls: asked },
      ...asked.map((call) => ({ role: 'tool', tool_call_id: call.id, content: 'x' })),
      { role: 'user', content: 'well?' },
    ]
    const second = await chat(provider, asking(id, { messages: history, tools }))
    expect(second.choices[0]?.message.content).toBe('Done.')
  },
)

test.each(providers)(
  'sage §21.22: %s: models that refuse sampling take a temperature of 0',
  async (id, provider) => {
    const model = { openai: 'o3-mini', anthropic: 'claude-opus-4-7', google: 'gemini-3-pro' }[id]
    const { choices } = await chat(provider, asking(id, { model, top_p: 0.5, max_tokens: 9 }))
    expect(choices[0]?.message.content).toMatch(/^Hello from/)
  },
)

test.each(providers)(
  'sage §21.27: %s gives structured answers, whole and streamed',
  async (id, provider) => {
    const schema = {
      type: 'array',
      items: { type: 'object', properties: { n: { type: 'number' } } },
    }
    const response_format = {
      type: 'json_schema',
      json_schema: { name: 'A', schema, strict: true },
    }
    const json = [{ n: 1 }]
    scripted(id, { json }, { json })
    const whole = await chat(provider, asking(id, { response_format }))
    expect(whole.choices[0]).toMatchObject({
      message: { content: '[{"n":1}]' },
      finish_reason: 'stop',
    })
    const streamed = await stream(provider, asking(id, { response_format, stream: true }))
    expect(textOf(streamed)).toBe('[{"n":1}]')
  },
)

test.each(providers)('%s streams the same text however the bytes arrive', async (id, provider) => {
  const text = 'Sieht „gut“ aus 🦜, ja.'
  const usage = { prompt: 3, completion: 4 }
  scripted(id, { text, usage, thinking: 'hm' }, { text, usage, thinking: 'hm', pieceBytes: 1 })
  const whole = await stream(provider, asking(id, { stream: true }))
  expect(textOf(whole)).toBe(text)
  expect(JSON.parse(whole.at(-1) ?? '')).toMatchObject({ choices: [], usage: { total_tokens: 7 } })
  const dribbled = await stream(provider, asking(id, { stream: true }))
  expect(textOf(dribbled)).toBe(text)
})

test.each(providers)('%s: ended, broken and failing streams are faults', async (id, provider) => {
  const type = { openai: 'server_error', anthropic: 'overloaded_error', google: 'UNAVAILABLE' }[id]
  scripted(id, { endAfter: 2 }, { malformedAfter: 2 }, { errorAfter: { events: 2, type } })
  const request = asking(id, { stream: true })
  await expect(stream(provider, request)).rejects.toMatchObject({ truncated: true })
  await expect(stream(provider, request)).rejects.toMatchObject({ truncated: false })
  await expect(stream(provider, request)).rejects.toMatchObject({
    code: id === 'openai' ? 'provider_error' : 'provider_overloaded',
  })
})

test.each(providers)('%s: a cut stream fails, a stalled one is let go', async (id, provider) => {
  scripted(id, { cutAfter: 2 }, { stallAfter: 2 })
  const request = asking(id, { stream: true })
  await expect(stream(provider, request)).rejects.toThrow()
  const { path, body } = provider.chat(request, scope)
  const response = await post(provider, path, body)
  await response.body?.cancel()
  await expect.poll(() => fakes[id].requests.at(-1)?.aborted).toBe(true)
  expect(fakes[id].inFlight).toBe(0)
})

test.each(providers)(
  '%s: a wrong key and an unknown model are told apart',
  async (id, provider) => {
    await expect(chat(provider, asking(id), 'wrong')).rejects.toMatchObject({
      code: 'provider_auth_failed',
      message: expect.not.stringContaining('wrong'),
    })
    const model = { openai: 'missing', anthropic: 'claude-missing', google: 'gemini-missing' }[id]
    await expect(chat(provider, asking(id, { model }))).rejects.toMatchObject({
      code: 'model_not_found',
    })
  },
)

test('scripted refusals are sent as they are, big bodies whole', async () => {
  const headers = { 'retry-after': '-5' }
  scripted('openai', { status: 429, headers, body: {} }, { body: 'x'.repeat(300_000) })
  await expect(chat(openai, asking('openai'))).rejects.toMatchObject({
    code: 'provider_rate_limited',
    retryAfterSeconds: undefined,
  })
  const response = await post(openai, '/chat/completions', {})
  expect(await response.text()).toHaveLength(300_000)
})

test.each<[Id, Provider]>([
  ['openai', openai],
  ['google', google],
])('%s embeds, shuffled or not', async (id, provider) => {
  const embeddings = provider.embeddings
  if (embeddings === undefined) throw new Error('No embeddings')
  scripted(id, { shuffled: true })
  const { path, body } = embeddings.request('embedder', ['alpha', 'b'], {})
  const response = await post(provider, path, body)
  const { vectors } = embeddings.read(await response.json(), 2)
  expect(vectors).toEqual([vectorOf('alpha'), vectorOf('b')])
})

test('Anthropic counts tokens', async () => {
  const { body } = anthropic.chat(asking('anthropic'), scope)
  const { max_tokens: _limit, ...counted } = body
  const response = await post(anthropic, '/v1/messages/count_tokens', counted)
  expect(await response.json()).toEqual({ input_tokens: 13 })
})

const say = (text: string) => [{ role: 'user', content: [{ type: 'text', text }] }]
const tell = (text: string) => [{ role: 'user', parts: [{ text }] }]
const GENERATE = '/v1beta/models/gemini-3-pro:generateContent'
const called = { role: 'model', parts: [{ functionCall: { name: 'f', args: {} } }] }
const declared = (parameters: unknown) => ({
  contents: tell('hi'),
  tools: [{ functionDeclarations: [{ name: 'f', parameters }] }],
})

test.each<[Provider, string, unknown, RegExp]>([
  [openai, '/chat/completions', { model: 'o1', messages: say('a'), temperature: 0 }, /temperature/],
  [openai, '/chat/completions', { model: 'o1', messages: say('a'), max_tokens: 1 }, /max_tokens/],
  [openai, '/chat/completions', { model: 'gpt-4o', messages: say('a'), foo: 1 }, /foo/],
  [anthropic, '/v1/messages', { model: 'c', messages: say('a') }, /max_tokens/],
  [
    anthropic,
    '/v1/messages',
    { model: 'claude-opus-4-1', max_tokens: 1, messages: say('a'), temperature: 0, top_p: 1 },
    /cannot both/,
  ],
  [
    anthropic,
    '/v1/messages',
    { model: 'claude-opus-4-8', max_tokens: 1, messages: say('a'), temperature: 0 },
    /deprecated/,
  ],
  [
    anthropic,
    '/v1/messages',
    { model: 'c', max_tokens: 1, messages: [...say('a'), ...say('b')] },
    /alternate/,
  ],
  [anthropic, '/v1/messages', { model: 'c', max_tokens: 1, messages: say(' ') }, /whitespace/],
  [google, GENERATE, declared({ type: 'OBJECT', additionalProperties: false }), /additionalProp/],
  [google, GENERATE, declared({ type: 'OBJECT' }), /non-empty/],
  [google, GENERATE, { contents: [...tell('a'), called] }, /thought_signature/],
  [google, GENERATE, { contents: tell('a'), seed: 1 }, /Unknown name/],
])('%o refuses at %s what the real API refuses: %j', async (provider, path, body, words) => {
  const response = await post(provider, path, body)
  expect(response.status).toBe(400)
  expect(await response.text()).toMatch(words)
})
