/** Weaknesses that clients of this wire are known for, tried on ours where no other test does. */
import { configureLogging, SageSanctumError, SpiffeGatewayClient } from '@vestry/sdk/agent'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { GatewayChatModel } from '../../packages/sdk/src/llm/chat-model.ts'
import { GatewayEmbeddings } from '../../packages/sdk/src/llm/embeddings.ts'
import { fakeServer } from '../../packages/sdk/src/sage/fake-server.test-kit.ts'
import { TransactionToken } from '../../packages/sdk/src/sage/transaction-token.ts'
import { MockTratClient } from '../../packages/sdk/src/testing/trat.ts'
import { type LlmWorld, type RunHeaders, startLlmWorld } from './llm-world.ts'

let world: LlmWorld
beforeAll(async () => {
  configureLogging({ write: () => undefined })
  world = await startLlmWorld({ dev: true })
})
afterAll(async () => {
  configureLogging()
  await world[Symbol.asyncDispose]()
})

function clientOf(run: RunHeaders, socketPath = world.socket): SpiffeGatewayClient {
  const svid = run.authorization.replace('Bearer ', '')
  return new SpiffeGatewayClient({
    jwtSource: { getToken: async () => svid, invalidate() {} },
    tratClient: new MockTratClient({ token: TransactionToken.parse(run['txn-token']) }),
    socketPath,
    http: { maxRetries: 0, timeoutMs: 2_000 },
  })
}

const json = fc.jsonValue({ maxDepth: 3 })
const choice = fc.record(
  {
    index: json,
    finish_reason: json,
    message: fc.oneof(json, fc.record({ content: json, tool_calls: json, role: json })),
    delta: fc.oneof(json, fc.record({ content: json, tool_calls: fc.array(json) })),
  },
  { requiredKeys: [] },
)
const answer = fc.oneof(
  json,
  fc.record(
    {
      choices: fc.oneof(json, fc.array(choice, { maxLength: 2 })),
      data: fc.oneof(json, fc.array(fc.record({ index: json, embedding: json }))),
      usage: json,
      model: json,
      error: json,
    },
    { requiredKeys: [] },
  ),
)
const text = fc.oneof(
  answer.map((value) => JSON.stringify(value)),
  fc.string(),
  fc.constant(''),
)
const status = fc.oneof(
  fc.constant(200),
  fc.constantFrom(201, 204, 302, 400, 401, 403, 404, 418, 429, 500, 503),
)

test('sage §20.5: whatever a gateway answers, what agents catch is an error with an exit code', async () => {
  const run = await world.run()
  let reply = ''
  const server = await fakeServer(({ socket }) => void socket.end(reply))
  const client = clientOf(run, server.socketPath)
  const model = new GatewayChatModel({ client, model: 'openai:gpt-4o', category: 'analysis' })
  const embeddings = new GatewayEmbeddings({ client, model: 'text-embedding-3-small' })
  const calls = [
    () => model.invoke('x'),
    () => model.stream('x').final(),
    () =>
      model
        .withStructuredOutput({ schema: { type: 'object' }, name: 'x', strict: false })
        .invoke('x'),
    () => embeddings.embedQuery('x'),
  ]
  const unclassified: unknown[] = []
  await fc.assert(
    fc.asyncProperty(
      status,
      fc.array(text, { minLength: 1, maxLength: 3 }),
      async (code, parts) => {
        for (const [at, call] of calls.entries()) {
          const body =
            at === 1 ? parts.map((part) => `data: ${part}\n\n`).join('') : (parts[0] ?? '')
          reply = `HTTP/1.1 ${code} X\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
          await call().catch((error: unknown) => {
            if (!(error instanceof SageSanctumError) || error.exitCode < 10)
              unclassified.push(error)
          })
        }
        expect(unclassified).toEqual([])
      },
    ),
    { numRuns: 150, seed: 20_261_120 },
  )
  await server.close()
}, 60_000)

test('sage §20.19: a tuned model is no provider, neither here nor there', async () => {
  const ref = 'openai:ft:gpt-4o:acme::1'
  const run = await world.run({ allowed_models: { analysis: [ref] } })
  const model = new GatewayChatModel({ client: clientOf(run), model: ref, category: 'analysis' })
  expect((await model.invoke('x')).content).not.toBe('')
  expect(world.fakes.openai.requests.at(-1)?.body['model']).toBe('ft:gpt-4o:acme::1')
})

test('sage §20.27: an error of a call names its record', async () => {
  const model = new GatewayChatModel({
    client: clientOf(await world.run()),
    model: 'openai:gpt-4.1',
    category: 'analysis',
  })
  const error = await model.invoke('x').catch((thrown: unknown) => thrown)
  const record = (await world.audit()).at(-1)
  expect(error).toMatchObject({ exitCode: 21, requestId: record?.request_id })
  expect(record?.request_id).toMatch(/^r-/)
})
