/** The SDK's models against the real gateway and providers that behave: what both sides promise, together. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { GatewayChatModel as LangChainModel } from '../../packages/sdk/src/langchain/chat-model.ts'
import { GatewayChatModel } from '../../packages/sdk/src/llm/chat-model.ts'
import { GatewayEmbeddings } from '../../packages/sdk/src/llm/embeddings.ts'
import { UsageLedger } from '../../packages/sdk/src/llm/usage-ledger.ts'
import { SpiffeGatewayClient } from '../../packages/sdk/src/sage/spiffe-gateway-client.ts'
import { TransactionToken } from '../../packages/sdk/src/sage/transaction-token.ts'
import { MockTratClient } from '../../packages/sdk/src/testing/trat.ts'
import type { Scripted } from '../harness/fake-providers.ts'
import { type LlmWorld, type RunHeaders, startLlmWorld } from './llm-world.ts'

let world: LlmWorld
let client: SpiffeGatewayClient
beforeAll(async () => {
  world = await startLlmWorld()
  client = clientOf(await world.run())
})
afterAll(() => world[Symbol.asyncDispose]())

const MODELS = {
  openai: 'openai:gpt-4o',
  anthropic: 'anthropic:claude-sonnet-4-5',
  google: 'google:gemini-2.5-flash',
}
const NAMES = Object.keys(MODELS) as (keyof typeof MODELS)[]
const WEATHER = {
  name: 'weather',
  description: 'The weather of a city',
  schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}
const TOOLS = [WEATHER, { name: 'now' }]
const PNG = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10])

function clientOf(run: RunHeaders): SpiffeGatewayClient {
  const token = TransactionToken.parse(run['txn-token'])
  const svid = run.authorization.replace('Bearer ', '')
  return new SpiffeGatewayClient({
    jwtSource: { getToken: async () => svid, invalidate() {} },
    tratClient: new MockTratClient({ token }),
    socketPath: world.socket,
    http: { maxRetries: 0 },
  })
}

const failure = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error)

describe.each(NAMES)('%s', (name) => {
  const ledger = new UsageLedger()
  const script = (...answers: Scripted[]): GatewayChatModel => {
    world.fakes[name].script(...answers)
    return new GatewayChatModel({ client, model: MODELS[name], category: 'analysis', ledger })
  }

  test('a conversation with an image, streamed and not, with the fake’s own counts', async () => {
    const answer = { text: 'Ein Wörtchen.', usage: { prompt: 31, completion: 7 } }
    const messages = [
      { role: 'system' as const, content: 'Be brief.' },
      { role: 'user' as const, content: 'Hello' },
      { role: 'assistant' as const, content: 'Hi.' },
      {
        role: 'user' as const,
        content: [
          { type: 'text', text: 'What is this?' },
          { type: 'image', data: PNG, mimeType: 'image/png' },
        ],
      },
    ]
    const usage = { inputTokens: 31, outputTokens: 7, totalTokens: 38 }
    const expected = { content: 'Ein Wörtchen.', finishReason: 'stop', usage }
    const model = script(answer, { ...answer, pieceBytes: 3 })
    expect(await model.invoke(messages)).toMatchObject(expected)
    expect(await model.stream(messages).final()).toMatchObject(expected)
    expect(ledger.entries()).toMatchObject([{ model: MODELS[name], totalTokens: 76, calls: 2 }])
    expect(world.fakes[name].requests.at(-1)?.text).toContain(Buffer.from(PNG).toString('base64'))
  })

  test('parallel tools, one without arguments, and their results', async () => {
    const tools = [
      { name: 'weather', arguments: { city: 'Köln' } },
      { name: 'now', arguments: {} },
    ]
    const model = script({ tools }, { text: 'Rain.' }, { tools }, { text: 'Rain.' })
    const bound = model.bindTools(TOOLS, { toolChoice: 'auto' })
    for (const ask of [() => bound.invoke('x'), () => bound.stream('x').final()]) {
      const answer = await ask()
      expect(answer).toMatchObject({
        content: '',
        finishReason: 'tool_calls',
        toolCalls: [
          { name: 'weather', args: { city: 'Köln' } },
          { name: 'now', args: {} },
        ],
      })
      const results = answer.toolCalls.map(({ id }) => ({
        role: 'tool' as const,
        toolCallId: id,
        content: 'rain at noon',
      }))
      expect((await bound.invoke(['x', answer, ...results])).content).toBe('Rain.')
    }
  })

  test('sage §21.27: structured output, with LangChain and without, and text that does not fit', async () => {
    const json = { city: 'Köln' }
    const { schema } = WEATHER
    const plain = script({ json }, { json: { town: 'Köln' } }).withStructuredOutput({
      schema,
      name: 'place',
    })
    expect(await plain.invoke('x')).toEqual(json)
    expect(await failure(plain.invoke('x'))).toMatchObject({ code: 'invalid_output' })
    world.fakes[name].script({ json })
    const chain = new LangChainModel({ client, model: MODELS[name], category: 'analysis' })
    const raw = chain.withStructuredOutput(schema, { includeRaw: true })
    expect(await raw.invoke('x')).toMatchObject({ parsed: json, parsing_error: null })
  })

  test('sage §21.25: a provider that breaks off is an error of its class, never a short answer', async () => {
    const text = 'a'.repeat(60)
    for (const broken of [
      { cutAfter: 4 },
      { errorAfter: { events: 4, type: 'overloaded_error' } },
    ]) {
      const error = await failure(
        script({ text, ...broken })
          .stream('x')
          .final(),
      )
      expect(error).toMatchObject({ name: 'GatewayError', exitCode: 30 })
    }
  })

  test('leaving a stream ends the provider’s', async () => {
    const stream = script({ text: 'a'.repeat(200), stallAfter: 6 }).stream('x')
    for await (const _ of stream) break
    while (world.fakes[name].inFlight > 0) await new Promise((done) => setTimeout(done, 10))
  })
})

test('sage §21.18: a wrong category is 21, a missing scope 22', async () => {
  const wrong = new GatewayChatModel({ client, model: MODELS.openai, category: 'triage' })
  expect(await failure(wrong.invoke('x'))).toMatchObject({
    name: 'ModelNotAuthorizedError',
    exitCode: 21,
    code: 'model_not_allowed',
  })
  const noScope = clientOf(await world.run({ scope: 'scan.upload' }))
  const refused = new GatewayChatModel({ client: noScope, model: MODELS.openai })
  expect(await failure(refused.invoke('x'))).toMatchObject({
    name: 'ScopeNotAuthorizedError',
    exitCode: 22,
    code: 'scope_not_allowed',
  })
})

test('sage §21.29: 600 texts in order through the gateway, from shuffled answers', async () => {
  for (const [name, model] of [
    ['openai', 'openai:text-embedding-3-small'],
    ['google', 'google:gemini-embedding-001'],
  ] as const) {
    const ledger = new UsageLedger()
    const embeddings = new GatewayEmbeddings({ client, model, ledger })
    world.fakes[name].script({ shuffled: true }, { shuffled: true })
    const texts = Array.from({ length: 600 }, (_, at) => `text ${at}`)
    const vectors = await embeddings.embedDocuments(texts)
    expect(vectors).toHaveLength(600)
    expect(await embeddings.embedQuery('text 599')).toEqual(vectors[599])
    expect(ledger.total.calls).toBe(4)
  }
})
