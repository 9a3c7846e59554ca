/** What an agent does at our doors inside a span is recorded below that span, and nothing is sent outside of one. */
import { createServer } from 'node:net'
import { join } from 'node:path'
import { coat, current, type Ids, withContext } from '@vestry/coat'
import { GatewayClient } from '@vestry/sdk/gateway'
import { SanctumClient } from '@vestry/sdk/vault'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { GatewayChatModel } from '../../packages/sdk/src/llm/chat-model.ts'
import { GatewayEmbeddings } from '../../packages/sdk/src/llm/embeddings.ts'
import { SpiffeGatewayClient } from '../../packages/sdk/src/sage/spiffe-gateway-client.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import type { AgentKeys } from '../harness/keys.ts'

const PATH = 'web/token'

let vestry: TestDaemon
let agent: AgentKeys
let llm: SpiffeGatewayClient
let vault: SanctumClient
let gateway: GatewayClient

beforeAll(async () => {
  // The agent is this process, whose envelopes are of no interest here.
  process.env['ENVPOD_COAT_TRANSPORT'] = 'off'
  vestry = await startTestDaemon()
  agent = await vestry.addAgent('tracer', { role: 'scraper' })
  await vestry.addCredential(PATH, 'secret')
  await vestry.addPolicy({
    version: 1,
    policies: [{ name: 'all', principals: ['agent:*'], resources: ['**'], actions: ['retrieve'] }],
  })
  const { env } = await vestry.admin.call('admin.run.register', {
    agent: agent.name,
    org_id: '1',
    allowed_models: {
      analysis: ['openai:gpt-4o'],
      embeddings: ['openai:text-embedding-3-small'],
    },
  })
  llm = SpiffeGatewayClient.fromEnvironment(env)
  const socketPath = vestry.home.vaultSocket
  vault = new SanctumClient(agent.name, { socketPath, seed: agent.seed })
  await vault.connect()
  const { id } = await vestry.admin.call('admin.agent.show', { name: agent.name })
  gateway = new GatewayClient({
    baseUrl: vestry.daemon.ready.http,
    agentId: id,
    agentPrivateKeyPem: 'none',
  })
}, 60_000)
afterAll(async () => {
  delete process.env['ENVPOD_COAT_TRANSPORT']
  await gateway?.close()
  await vault?.close()
  await vestry?.stop()
})

interface Span {
  readonly trace_id: string
  readonly span_id: string
  readonly parent_span_id: string
}

/** Spans of the records of one action that were written while `work` ran. */
async function spansOf(action: string, work: () => Promise<unknown>): Promise<Span[]> {
  const before = vestry.auditLines().length
  await work()
  return vestry
    .auditLines()
    .slice(before)
    .map((line) => JSON.parse(line) as { action: string; span: Span })
    .filter((record) => record.action === action)
    .map(({ span }) => span)
}

/** Runs it inside a span, and gives the span's ids as the daemon writes them. */
async function inSpan(work: () => Promise<unknown>): Promise<Span> {
  let ids: Ids | undefined
  await coat('tool', { name: 'outer' }, async () => {
    ids = current()
    await new Promise(setImmediate)
    await work()
  })()
  return {
    trace_id: ids?.trace_id.slice(3) ?? '',
    span_id: ids?.span_id.slice(3) ?? '',
    parent_span_id: '',
  }
}

const calls: Record<string, readonly [action: string, call: () => Promise<unknown>]> = {
  'a credential taken': ['credential.retrieve', () => vault.retrieve(PATH)],
  'a tool called': ['tool.call', () => gateway.proxy('serpapi', 'search', { q: 'x' })],
  'a model asked': [
    'llm.chat',
    () => new GatewayChatModel({ client: llm, model: 'openai:gpt-4o' }).invoke('hello'),
  ],
  'a model asked for a stream': [
    'llm.chat',
    async () => {
      const stream = new GatewayChatModel({ client: llm, model: 'openai:gpt-4o' }).stream('hello')
      for await (const _ of stream) void _
    },
  ],
  'texts turned into vectors': [
    'llm.embed',
    () =>
      new GatewayEmbeddings({
        client: llm,
        model: 'openai:text-embedding-3-small',
      }).embedQuery('hello'),
  ],
}

test.each(Object.entries(calls))(
  '%s inside a span is recorded below it',
  async (_, [action, call]) => {
    let outer: Span | undefined
    const spans = await spansOf(action, async () => {
      outer = await inSpan(call)
    })
    expect(spans.length).toBeGreaterThan(0)
    for (const span of spans) {
      expect(span.trace_id).toBe(outer?.trace_id)
      expect(span.parent_span_id).toBe(outer?.span_id)
      expect(span.span_id).not.toBe(outer?.span_id)
    }
  },
)

test.each(Object.entries(calls))(
  '%s outside every span is a trace of its own',
  async (_, [action, call]) => {
    const spans = await spansOf(action, call)
    expect(spans.length).toBeGreaterThan(0)
    for (const { parent_span_id } of spans) expect(parent_span_id).toBe('')
  },
)

test('a trace that the caller names is the one that is sent', async () => {
  const trace = 'a'.repeat(32)
  const request = () =>
    llm.request('POST', '/v1/chat/completions', {
      provider: 'openai',
      headers: { Traceparent: `00-${trace}-${'b'.repeat(16)}-01` },
      body: { model: 'gpt-4o', messages: [{ role: 'user', content: 'hello' }] },
    })
  const spans = await spansOf('llm.chat', () => inSpan(request))
  expect(spans.map(({ trace_id }) => trace_id)).toEqual(spans.map(() => trace))
})

/** A server that takes one request's bytes and says nothing. */
async function bytesOf(send: (socketPath: string) => Promise<unknown>): Promise<string> {
  const path = join(vestry.home.dir, `wire-${Math.random().toString(36).slice(2)}.sock`)
  const { promise, resolve } = Promise.withResolvers<string>()
  const server = createServer((socket) => {
    socket.on('data', (bytes) => {
      resolve(bytes.toString('latin1'))
      socket.destroy()
    })
    socket.on('error', () => {})
  })
  await new Promise<void>((ready) => server.listen(path, ready))
  await send(path).catch(() => {})
  server.close()
  return promise
}

test('outside every span not a byte is added to a request', async () => {
  const send = (socketPath: string) =>
    new SpiffeGatewayClient({
      jwtSource: { getToken: async () => 'svid', invalidate() {} },
      tratClient: { getToken: async () => ({ raw: 'trat' }) as never, invalidate() {} },
      socketPath,
      http: { maxRetries: 0 },
    }).request('POST', '/v1/chat/completions', {
      provider: 'openai',
      headers: { 'X-Request-Id': 'r-1' },
      body: { a: 1 },
    })
  const plain = await bytesOf(send)
  const lines = plain.split('\r\n')
  expect(lines.slice(0, 6)).toEqual([
    'POST /v1/chat/completions HTTP/1.1',
    'Host: gateway.local',
    'Authorization: Bearer svid',
    'Txn-Token: trat',
    'X-Provider: openai',
    'X-Request-Id: r-1',
  ])
  expect(plain.toLowerCase()).not.toContain('traceparent')
  const ids = { trace_id: `tr_${'a'.repeat(32)}`, span_id: `sp_${'b'.repeat(16)}` }
  const traced = await withContext(ids, () => bytesOf(send))
  const header = `traceparent: 00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
  const without = (text: string) => text.replace(/Idempotency-Key: \S+\r\n/, '')
  expect(without(traced).replace(`${header}\r\n`, '')).toBe(without(plain))

  const sent: Record<string, string>[] = []
  const fetch = (async (_: unknown, { headers }: { headers: Record<string, string> }) => {
    sent.push(headers)
    return new Response('{"data":"found"}')
  }) as unknown as typeof globalThis.fetch
  const client = new GatewayClient({
    baseUrl: 'http://gateway.test',
    agentId: 'a',
    agentPrivateKeyPem: 'none',
    fetch,
  })
  const ask = () => client.proxy('serpapi', 'search', { q: 'x' }, 'token')
  await ask()
  await withContext(ids, ask)
  await client.close()
  expect(sent.map((headers) => Object.keys(headers))).toEqual([
    ['Content-Type', 'User-Agent', 'X-Correlation-Id'],
    ['Content-Type', 'User-Agent', 'X-Correlation-Id', 'traceparent'],
  ])
})
