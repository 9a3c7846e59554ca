import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { GatewayChatModel } from '../llm/chat-model.ts'
import { GatewayUnavailableError, RateLimitError, TraTAcquisitionError } from '../sage/errors.ts'
import { SpiffeGatewayClient } from '../sage/spiffe-gateway-client.ts'
import { TransactionTokenClient } from '../sage/trat.ts'
import {
  FakeClock,
  FakeGateway,
  MockEmbeddings,
  MockGatewayClient,
  MockLLM,
  MockTratClient,
  mockContext,
  sampleTrat,
  startFakeStack,
  TestIssuer,
} from './index.ts'

test('the mock gateway client is not in gateway mode and has the contract’s values', async () => {
  const client = new MockGatewayClient()
  expect(client.isGatewayMode).toBe(false)
  const credentials = await client.getCredentials()
  expect([credentials.spiffeJwt, credentials.trat]).toEqual(['mock-spiffe-jwt', 'mock-trat-jwt'])
  expect(
    ['openai', 'anthropic', 'google', 'other'].map((name) => client.getEndpoint(name)),
  ).toEqual([
    'http://localhost:8080/v1',
    'http://localhost:8080/anthropic',
    'http://localhost:8080/google',
    'http://localhost:8080/v1',
  ])
  expect(await client.getTrat()).toBeUndefined()
  const trat = sampleTrat()
  expect(await new MockGatewayClient({ trat }).getTrat()).toBe(trat)
})

test('the default test token has the contract’s claims', async () => {
  const token = await new MockTratClient().getToken()
  expect(token.raw).toBe('mock-trat-jwt')
  expect(token.exp - token.iat).toBe(300)
  expect(token.toJSON()).toMatchObject({
    txn: 'run_test123',
    sub: 'github|org-12345',
    scope: 'scan.execute scan.upload',
    reqWl: 'spiffe://sage-sanctum.local/scanner/run_test123',
    aud: 'sage-sanctum.local',
    iss: 'https://tts.sage-sanctum.local',
    tctx: {
      runId: 'run_test123',
      orgId: '12345',
      repoUrl: 'https://github.com/acme/repo',
      agentType: 'sage-scanner',
      agentMode: 'standard',
      allowedModels: {
        triage: ['openai:gpt-4o-mini'],
        analysis: ['openai:gpt-4o', 'anthropic:claude-3-5-sonnet-latest'],
        reasoning: ['openai:o1'],
        embeddings: ['openai:text-embedding-3-small'],
      },
      allowedProviders: ['openai', 'anthropic'],
    },
    rctx: { trigger: 'pull_request', prNumber: 42, actor: 'dependabot[bot]' },
  })
})

test('the mock token client takes allowlists or a whole token, and invalidation does nothing', async () => {
  const client = new MockTratClient({ allowedModels: { triage: ['google:gemini-x'] } })
  client.invalidate()
  const { tctx } = await client.getToken()
  expect(tctx.allowedModels.triage).toEqual(['google:gemini-x'])
  expect(tctx.allowedModels.reasoning).toEqual(['openai:o1'])
  const token = sampleTrat({ raw: 'other' })
  expect(await new MockTratClient({ token }).getToken()).toBe(token)
})

test('the mock model answers in order, then by default, and records every call', async () => {
  const llm = new MockLLM(['first', { toolCalls: [{ name: 'now' }], usage: { inputTokens: 3 } }])
  expect((await llm.invoke('a')).content).toBe('first')
  expect(await llm.bind({ temperature: 1, category: 'triage' }).invoke('b')).toMatchObject({
    content: '',
    toolCalls: [{ id: 'call_1', name: 'now', args: {} }],
    usage: { inputTokens: 3, outputTokens: 0, totalTokens: 3 },
  })
  expect((await llm.invoke('c')).content).toBe('Mock response')
  expect(llm.calls.map(({ messages }) => messages)).toEqual(
    ['a', 'b', 'c'].map((content) => [{ role: 'user', content }]),
  )
  expect(llm.calls[1]).toMatchObject({ category: 'triage', request: { temperature: 1 } })
})

test('the mock model throws, streams, breaks off and answers in the shape of a schema', async () => {
  const down = new GatewayUnavailableError('down')
  const chunks = ['a', 'b']
  const llm = new MockLLM([down, { chunks }, { chunks, error: new RateLimitError('x') }, '{"a":1}'])
  await expect(llm.invoke('x')).rejects.toBe(down)
  expect((await llm.stream('x').final()).content).toBe('ab')
  const seen: string[] = []
  const read = async () => {
    for await (const { content } of llm.stream('x')) seen.push(content)
  }
  await expect(read()).rejects.toThrow(RateLimitError)
  expect(seen).toEqual(['a', 'b'])
  const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] }
  expect(await llm.withStructuredOutput({ schema }).invoke('x')).toEqual({ a: 1 })
  expect(llm.calls.map(({ streamed }) => streamed)).toEqual([false, true, true, false])
})

test('mock vectors are the same in every process, of unit length, and of any dimension', async () => {
  const embeddings = new MockEmbeddings()
  const [[first = []], query] = [
    await embeddings.embedDocuments(['alpha']),
    await embeddings.embedQuery('alpha'),
  ]
  expect(query).toEqual(first)
  expect(first).toHaveLength(8)
  // Computed with another program.
  expect(first[0]).toBeCloseTo(0.4265843373007265, 12)
  const wide = await new MockEmbeddings({ dimension: 1_000 }).embedQuery('alpha')
  expect(Math.hypot(...wide)).toBeCloseTo(1, 12)
  expect(new Set(wide).size).toBeGreaterThan(990)
  expect(embeddings.calls).toEqual([['alpha'], ['alpha']])
})

test('a mock context has the contract’s values, a scripted model, and directories of its own', async () => {
  const context = await mockContext({
    replies: ['one', { text: 'two', usage: { inputTokens: 5 } }],
  })
  expect(context).toMatchObject({ runId: 'test-run-123', orgId: 'test-org' })
  expect(context.modelSelector?.select('triage').toString()).toBe('openai:gpt-4o')
  expect(existsSync(context.workDir) && existsSync(context.outputDir)).toBe(true)
  expect((await context.createLlmClient('triage').invoke('x')).content).toBe('one')
  expect((await context.createLlmClient('analysis').invoke('x')).content).toBe('two')
  expect(context.llm.calls.map(({ category }) => category)).toEqual(['triage', 'analysis'])
  expect(context.usage.total.promptTokens).toBe(5)
  expect(await context.createEmbeddingsClient().embedQuery('x')).toHaveLength(8)
  expect(await context.checkGatewayHealth()).toBe(false)
  await context.close()
  expect(existsSync(context.workDir)).toBe(false)
})

test('the fake clock passes time by itself, or when told', async () => {
  const quick = new FakeClock({ nowMs: 0 })
  await quick.sleep(500)
  expect([quick.now(), quick.sleeps]).toEqual([500, [500]])
  const slow = new FakeClock({ nowMs: 0, autoAdvance: false })
  const woken: number[] = []
  const waiting = [20, 10].map((ms) => slow.sleep(ms).then(() => woken.push(ms)))
  slow.advance(9)
  await Promise.resolve()
  expect(woken).toEqual([])
  slow.advance(11)
  await Promise.all(waiting)
  expect(woken).toEqual([10, 20])
  const reason = new Error('enough')
  await expect(slow.sleep(1, AbortSignal.abort(reason))).rejects.toBe(reason)
  const controller = new AbortController()
  const aborted = slow.sleep(1, controller.signal)
  controller.abort(reason)
  await expect(aborted).rejects.toBe(reason)
})

test('tokens verify with their issuer’s keys, and with no others', () => {
  const issuer = new TestIssuer()
  const svid = issuer.svid({ nowMs: 0 })
  expect(issuer.verifySvid(svid)).toEqual({
    sub: 'spiffe://sage-sanctum.local/scanner/run_test123',
    aud: ['spiffe://sage-sanctum.local/llm-gateway'],
    iat: 0,
    exp: 1_800,
  })
  const trat = issuer.trat({ claims: { extra: 1 } })
  expect(issuer.verifyTrat(trat.raw)).toMatchObject({ txn: 'run_test123', extra: 1 })
  const another = new TestIssuer()
  expect(another.verifySvid(svid)).toBeUndefined()
  expect(another.verifyTrat(trat.raw)).toBeUndefined()
  expect(issuer.verifyTrat(svid)).toBeUndefined()
  expect(issuer.verifySvid(`${svid.slice(0, -4)}AAAA`)).toBeUndefined()
  expect(issuer.svidBundle().keys[0]).toMatchObject({
    kty: 'EC',
    use: 'jwt-svid',
    kid: 'test-svid',
  })
  expect(issuer.tratKeys().keys[0]).toMatchObject({ kty: 'OKP', crv: 'Ed25519', kid: 'test-trat' })
  expect(inspect([issuer, trat], { depth: 9 })).not.toContain(trat.raw)
})

test('the fake gateway refuses what the real one refuses', async () => {
  await using stack = await startFakeStack()
  const ask = (model: string, category?: 'triage' | 'embeddings') =>
    new GatewayChatModel({ client: stack.client(), model, category }).invoke('x')
  await expect(ask('openai:gpt-4.1')).rejects.toMatchObject({ code: 'model_not_allowed' })
  await expect(ask('openai:gpt-4o', 'embeddings')).rejects.toMatchObject({
    code: 'category_not_allowed',
  })
  await stack.writeSvid({ subject: 'spiffe://sage-sanctum.local/other' })
  await expect(ask('openai:gpt-4o')).rejects.toMatchObject({ code: 'identity_txn_mismatch' })
  const unsigned = new SpiffeGatewayClient({
    jwtSource: { getToken: async () => stack.issuer.svid(), invalidate() {} },
    tratClient: new MockTratClient(),
    socketPath: stack.gateway.socketPath,
  })
  const model = new GatewayChatModel({ client: unsigned, model: 'openai:gpt-4o' })
  await expect(model.invoke('x')).rejects.toMatchObject({ code: 'txn_invalid', exitCode: 12 })
  expect(await stack.client().checkHealth()).toBe(true)
})

test('sage §21.18: an expired token is replaced once, silently', async () => {
  await using stack = await startFakeStack()
  const { socketPath } = stack.gateway
  await stack.gateway.close()
  // A gateway whose clock is ahead refuses the first token; the sidecar's next one is good there.
  let ahead = 400_000
  const now = () => Date.now() + ahead
  await using gateway = new FakeGateway({ socketPath, issuer: stack.issuer, now })
  await gateway.start()
  const model = new GatewayChatModel({ client: stack.client(), model: 'openai:gpt-4o' })
  const asking = model.invoke('x')
  while (gateway.requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
  ahead = 0
  expect((await asking).content).toBe('Mock response')
  expect(gateway.requests).toHaveLength(2)
  expect(stack.sidecar.requests).toBe(2)
})

test('the fake sidecar fails as told', async () => {
  await using stack = await startFakeStack()
  stack.sidecar.failure = { status: 403, code: 'run_closed', message: 'The run is closed.' }
  await expect(stack.client().getTrat()).rejects.toThrow(TraTAcquisitionError)
  stack.sidecar.failure = undefined
  expect((await stack.client().getTrat()).txn).toBe('run_test123')
})

test('a stack cleans up after itself', async () => {
  const stack = await startFakeStack()
  await stack.close()
  expect(existsSync(stack.directory)).toBe(false)
})

test('a socket that cannot be opened is an error, not a hang', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vestry-'))
  const gateway = new FakeGateway({ socketPath: join(directory, 'no', 'such', 'place.sock') })
  await expect(gateway.start()).rejects.toThrow()
  await gateway.close()
  await rm(directory, { recursive: true })
  const client = new TransactionTokenClient({ sidecarSocket: gateway.socketPath })
  await expect(client.getToken()).rejects.toThrow(TraTAcquisitionError)
})
