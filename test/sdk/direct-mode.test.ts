/** Direct mode against the three providers: the same answers as through the gateway, and no key in sight. */
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { askFakeProvider } from '../../examples/testing/providers.ts'
import { GatewayChatModel } from '../../packages/sdk/src/llm/chat-model.ts'
import { GatewayEmbeddings } from '../../packages/sdk/src/llm/embeddings.ts'
import { UsageLedger } from '../../packages/sdk/src/llm/usage-ledger.ts'
import { DirectProviderClient } from '../../packages/sdk/src/sage/direct-provider-client.ts'
import {
  ConfigurationError,
  GatewayError,
  GatewayUnavailableError,
  ModelNotAvailableError,
  RateLimitError,
} from '../../packages/sdk/src/sage/errors.ts'
import {
  FAKE_KEYS,
  type FakeProviders,
  type Scripted,
  startFakeProviders,
} from '../harness/fake-providers.ts'

let upstream: FakeProviders
beforeEach(async () => {
  upstream = await startFakeProviders()
})
afterEach(() => upstream.close())

type Name = keyof typeof FAKE_KEYS
const MODELS = { openai: 'gpt-4o', anthropic: 'claude-sonnet-4-5', google: 'gemini-2.5-pro' }
const NAMES = Object.keys(MODELS) as Name[]

function client(env: Record<string, string> = {}): DirectProviderClient {
  return new DirectProviderClient({
    allowDirect: true,
    env: {
      OPENAI_API_KEY: FAKE_KEYS.openai,
      OPENAI_BASE_URL: upstream.openai.url,
      ANTHROPIC_API_KEY: FAKE_KEYS.anthropic,
      ANTHROPIC_BASE_URL: upstream.anthropic.url,
      GOOGLE_API_KEY: FAKE_KEYS.google,
      GOOGLE_BASE_URL: `${upstream.google.url}/`,
      ...env,
    },
  })
}

const ledger = new UsageLedger()

function model(name: Name, ...script: Scripted[]): GatewayChatModel {
  upstream[name].script(...script)
  return new GatewayChatModel({ client: client(), model: `${name}:${MODELS[name]}`, ledger })
}

const failure = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error)
const WEATHER = {
  name: 'weather',
  schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}

describe.each(NAMES)('%s', (name) => {
  test('chat, streamed and not', async () => {
    const script = { text: 'Looks säfe.', usage: { prompt: 3, completion: 4 } }
    const usage = { inputTokens: 3, outputTokens: 4, totalTokens: 7 }
    const chat = model(name, script, { ...script, pieceBytes: 1 })
    const messages = [
      { role: 'system' as const, content: 'Review.' },
      { role: 'user' as const, content: 'eval(x)' },
    ]
    expect(await chat.invoke(messages)).toMatchObject({
      content: 'Looks säfe.',
      finishReason: 'stop',
      usage,
    })
    expect(await chat.stream(messages).final()).toMatchObject({
      content: 'Looks säfe.',
      finishReason: 'stop',
      usage,
    })
    const [entry] = ledger.entries().filter(({ model }) => model.startsWith(name))
    expect(entry).toMatchObject({ calls: 2, totalTokens: 14 })
  })

  test('tool calls there and back, streamed and not', async () => {
    const script = { tools: [{ name: 'weather', arguments: { city: 'Köln' } }] }
    const chat = model(name, script, script).bindTools([WEATHER])
    for (const answer of [await chat.invoke('x'), await chat.stream('x').final()]) {
      expect(answer).toMatchObject({
        finishReason: 'tool_calls',
        toolCalls: [{ id: expect.any(String), name: 'weather', args: { city: 'Köln' } }],
      })
      const toolCallId = answer.toolCalls[0]?.id ?? ''
      upstream[name].script({ text: 'Rain.' })
      const result = { role: 'tool' as const, toolCallId, content: 'rain' }
      expect((await chat.invoke(['x', answer, result])).content).toBe('Rain.')
    }
  })

  test('sage §21.27: structured output', async () => {
    const json = { city: 'Köln' }
    const value = await model(name, { json, text: JSON.stringify(json) })
      .withStructuredOutput({ schema: WEATHER.schema, name: 'place' })
      .invoke('x')
    expect(value).toEqual(json)
  })

  test('a stream that is cut is truncated, and leaving one closes the connection', async () => {
    const cut = await failure(
      model(name, { text: 'a'.repeat(80), cutAfter: 3 })
        .stream('x')
        .final(),
    )
    expect(cut).toBeInstanceOf(GatewayError)
    expect(cut).toMatchObject({ truncated: true })
    const stalled = model(name, { text: 'a'.repeat(80), stallAfter: 4 }).stream('x')
    for await (const _ of stalled) break
    while (upstream[name].inFlight > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    const event = { text: 'a'.repeat(80), errorAfter: { events: 3, type: 'overloaded_error' } }
    expect(await failure(model(name, event).stream('x').final())).toBeInstanceOf(GatewayError)
  })

  test('a wrong key ends with a GatewayError that shows neither key nor the provider’s words', async () => {
    upstream[name].key = 'another'
    const error = await failure(model(name).invoke('x'))
    expect(error).toBeInstanceOf(GatewayError)
    expect(error).toMatchObject({ code: 'provider_auth_failed', exitCode: 30 })
    const shown = inspect(error, { depth: 10, showHidden: true }) + JSON.stringify(error)
    expect(shown).not.toContain(FAKE_KEYS[name].slice(0, 12))
  })

  test('a missing key names the variable, before anything is sent', async () => {
    const variable = `${name.toUpperCase()}_API_KEY`
    const chat = new GatewayChatModel({
      client: client({ [variable]: '' }),
      model: `${name}:${MODELS[name]}`,
    })
    const error = await failure(chat.invoke('x'))
    expect(error).toBeInstanceOf(ConfigurationError)
    expect(String(error)).toContain(variable)
    expect(upstream[name].requests).toEqual([])
  })

  test('errors of the provider are of the gateway’s classes', async () => {
    expect(
      await failure(model(name).invoke('x', { model: `${name}:${MISSING[name]}` })),
    ).toBeInstanceOf(ModelNotAvailableError)
    const silent = model(name, { delayMs: 5_000 }).invoke('x', { timeoutMs: 30 })
    expect(await failure(silent)).toMatchObject({ message: expect.stringContaining('30 ms') })
    expect(await failure(model(name, { body: 'no json' }).invoke('x'))).toBeInstanceOf(GatewayError)
  })

  test('a redirect is not followed, since the key would go along', async () => {
    const elsewhere = upstream[name === 'openai' ? 'google' : 'openai']
    const moved = { status: 302, headers: { location: elsewhere.url }, body: {} }
    const asking = model(name, moved, moved).invoke('x', { deadlineMs: 400 })
    expect(await failure(asking)).toBeInstanceOf(GatewayError)
    expect(elsewhere.requests).toEqual([])
  })
})

const MISSING = { openai: 'missing', anthropic: 'claude-missing', google: 'gemini-missing' }

test('what may succeed is repeated, after the time the provider asks for', async () => {
  const busy = { status: 429, headers: { 'retry-after': '0' }, body: {} }
  const chat = model('openai', { ...busy, headers: {} }, { text: 'ok' })
  expect((await chat.invoke('x')).content).toBe('ok')
  expect(upstream.openai.requests).toHaveLength(2)
})

test('a provider that stays busy ends with a RateLimitError within the deadline', async () => {
  const busy = { status: 429, headers: { 'retry-after': '30' }, body: {} }
  const error = await failure(model('openai', busy, busy).invoke('x', { deadlineMs: 1_000 }))
  expect(error).toBeInstanceOf(RateLimitError)
  expect(error).toMatchObject({ retryAfterSeconds: 30 })
})

test('an address where nobody listens is a GatewayUnavailableError', async () => {
  const gone = client()
  await upstream.openai.close()
  const chat = new GatewayChatModel({ client: gone, model: 'gpt-4o', deadlineMs: 100 })
  expect(await failure(chat.invoke('x'))).toBeInstanceOf(GatewayUnavailableError)
})

test('the caller’s signal ends a call with its own reason', async () => {
  const reason = new Error('enough')
  const controller = new AbortController()
  const asking = model('openai', { delayMs: 5_000 }).invoke('x', { signal: controller.signal })
  setTimeout(() => controller.abort(reason), 20)
  expect(await failure(asking)).toBe(reason)
})

test('a key that no header may hold is refused without being shown', async () => {
  const broken = client({ OPENAI_API_KEY: 'sk-geheim\nx' })
  const error = await failure(new GatewayChatModel({ client: broken, model: 'gpt-4o' }).invoke('x'))
  expect(error).toBeInstanceOf(ConfigurationError)
  expect(inspect(error, { depth: 10 })).not.toContain('geheim')
})

test('sage §21.29: embeddings of the provider that was named, in order', async () => {
  for (const name of ['openai', 'google'] as const) {
    upstream[name].script({ shuffled: true })
    const texts = Array.from({ length: 150 }, (_, at) => `text ${at}`)
    const embeddings = new GatewayEmbeddings({ client: client(), model: `${name}:embedder` })
    const vectors = await embeddings.embedDocuments(texts)
    expect(vectors).toHaveLength(150)
    expect(vectors[149]).toEqual(await embeddings.embedQuery('text 149'))
  }
  const none = new GatewayEmbeddings({ client: client(), model: 'anthropic:claude' })
  expect(await failure(none.embedQuery('x'))).toBeInstanceOf(ConfigurationError)
})

test('a provider in no table is reached at OpenAI’s address in OpenAI’s language', async () => {
  const chat = new GatewayChatModel({ client: client(), model: 'ollama:llama3' })
  expect((await chat.invoke('x')).content).not.toBe('')
  expect(upstream.openai.requests[0]?.body).toMatchObject({ model: 'llama3' })
})

test('the example asks a provider of its own', async () => {
  expect(await askFakeProvider()).toBe('Looks safe.')
})
