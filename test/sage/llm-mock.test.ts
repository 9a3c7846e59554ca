import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LlmWorld, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'
import { dataLines } from './raw-http.ts'

const CHAT = '/v1/chat/completions'
const HELLO = { messages: [{ role: 'user', content: 'hello' }] }

let world: LlmWorld
let run: RunHeaders
beforeAll(async () => {
  world = await startLlmWorld({
    dev: true,
    keys: false,
    llm: { providers: { openai: { base_url: 'http://127.0.0.1:9' }, demo: { kind: 'mock' } } },
  })
  run = await world.run({
    allowed_models: {
      analysis: ['anthropic:claude-x', 'demo:any', 'openai:gpt-4o'],
      embeddings: ['google:gemini-embedding-001'],
    },
  })
})
afterAll(() => world[Symbol.asyncDispose]())

const post = (path: string, body: object, provider: string) =>
  world.post(path, body, { ...tokens(run), 'X-Provider': provider })

test('in development a stand-in answers for providers that nobody configured', async () => {
  const reply = await post(CHAT, { ...HELLO, model: 'claude-x' }, 'anthropic')
  expect(reply.status).toBe(200)
  expect(JSON.parse(reply.body).choices[0].message).toEqual({
    role: 'assistant',
    content: 'Mock answer to: hello',
  })
  expect((await world.audit()).at(-1)?.outcome).toMatchObject({ mock: true, code: 'OK' })
  expect(world.fakes.anthropic.requests).toEqual([])
})

test('a provider that is configured without a key is not made up', async () => {
  const reply = await post(CHAT, { ...HELLO, model: 'gpt-4o' }, 'openai')
  expect([reply.status, JSON.parse(reply.body).error.code]).toEqual([403, 'provider_key_missing'])
})

test('a provider that is configured as a stand-in is one anywhere', async () => {
  expect((await post(CHAT, { ...HELLO, model: 'any' }, 'demo')).status).toBe(200)
})

test('its streams, embeddings and native messages are as those of the real ones', async () => {
  const streamed = await post(
    CHAT,
    { ...HELLO, model: 'claude-x', stream: true, stream_options: { include_usage: true } },
    'anthropic',
  )
  const lines = dataLines(streamed.body)
  expect(lines.at(-1)).toBe('[DONE]')
  const chunks = lines.slice(0, -1).map((line) => JSON.parse(line))
  expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(
    'Mock answer to: hello',
  )
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } })

  const embedded = JSON.parse(
    (
      await post(
        '/v1/embeddings',
        { model: 'gemini-embedding-001', input: ['a', 'b', 'a'] },
        'google',
      )
    ).body,
  )
  const [a, b, again] = embedded.data.map(({ embedding }: { embedding: number[] }) => embedding)
  expect(again).toEqual(a)
  expect(b).not.toEqual(a)
  expect(Math.hypot(...a)).toBeCloseTo(1, 9)

  const native = { ...HELLO, model: 'claude-x', max_tokens: 100 }
  const message = JSON.parse((await post('/v1/messages', native, 'anthropic')).body)
  expect(message).toMatchObject({
    type: 'message',
    content: [{ type: 'text', text: 'Mock answer to: hello' }],
    stop_reason: 'end_turn',
  })
  const events = await post('/v1/messages', { ...native, stream: true }, 'anthropic')
  expect(events.body.match(/^event: (\w+)$/gm)).toEqual(
    expect.arrayContaining(['event: message_start', 'event: message_stop']),
  )
})

test('a key makes it real', async () => {
  await world.putKey('llm/anthropic', 'sk-ant-a-key-of-somebody')
  const reply = await post(CHAT, { ...HELLO, model: 'claude-x' }, 'anthropic')
  expect(reply.body).not.toContain('Mock answer')
})
