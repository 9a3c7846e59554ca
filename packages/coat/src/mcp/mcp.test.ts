import '../adapters/published-code.test-kit.ts'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js'
import { CreateMessageRequestSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { tree } from '../adapters/tree.test-kit.ts'
import { coat } from '../index.ts'
import { record } from '../recorder.test-kit.ts'
import { coatMcp } from './index.ts'

const ASKED = {
  messages: [{ role: 'user' as const, content: { type: 'text' as const, text: 'canary' } }],
}

/** A server with tools that succeed, fail, wait, ask and think; it remembers the `_meta` of its requests. */
function library() {
  const metas: Record<string, unknown>[] = []
  const server = new McpServer({ name: 'library', version: '1.0.0' })
  const text = (said: string) => ({ content: [{ type: 'text' as const, text: said }] })
  server.registerTool('search', { inputSchema: { word: z.string() } }, ({ word }, extra) => {
    metas.push(extra._meta ?? {})
    return text(`canary: found ${word}`)
  })
  server.registerTool('fail', {}, () => ({ ...text('canary: out of order'), isError: true }))
  server.registerTool('wait', {}, async (extra) => {
    await new Promise((resolve) => extra.signal.addEventListener('abort', resolve))
    return text('too late')
  })
  server.registerTool('report', {}, async (extra) => {
    const progressToken = extra._meta?.progressToken ?? 0
    await extra.sendNotification({
      method: 'notifications/progress',
      params: { progressToken, progress: 1, total: 2 },
    })
    return text('done')
  })
  server.registerTool('ask', {}, async () => {
    const { action, content } = await server.server.elicitInput({
      message: 'canary: may I?',
      requestedSchema: { type: 'object', properties: { name: { type: 'string' } } },
    })
    return text(`${action} ${JSON.stringify(content)}`)
  })
  server.registerTool('think', {}, async () => {
    const { model } = await server.server.createMessage({
      ...ASKED,
      maxTokens: 50,
      systemPrompt: 'canary',
    })
    return text(model)
  })
  server.registerResource(
    'book',
    new ResourceTemplate('book://{id}', { list: undefined }),
    {},
    (uri) => ({
      contents: [{ uri: uri.href, text: 'canary: once upon a time' }],
    }),
  )
  server.registerPrompt('greet', { argsSchema: { name: z.string() } }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `canary: hello ${name}` } }],
  }))
  return { server, metas }
}

function person(client: Client, action: 'accept' | 'decline' = 'accept') {
  client.setRequestHandler(ElicitRequestSchema, async () =>
    action === 'accept' ? { action, content: { name: 'canary' } } : { action },
  )
}

function model(client: Client) {
  client.setRequestHandler(CreateMessageRequestSchema, async () => ({
    model: 'claude-sonnet-4-6',
    role: 'assistant' as const,
    content: { type: 'text' as const, text: 'canary' },
    stopReason: 'endTurn',
  }))
}

async function setUp(prepare: (client: Client) => void = () => {}) {
  const { server, metas } = library()
  const client = new Client(
    { name: 'reader', version: '1.0.0' },
    { capabilities: { elicitation: {}, sampling: {} } },
  )
  prepare(client)
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  await Promise.all([server.connect(theirs), client.connect(ours)])
  return {
    metas,
    client: coatMcp(client),
    [Symbol.asyncDispose]: async () => {
      await client.close()
    },
  }
}

test('telemetry §16.44: a call of a tool: its name, the method, the server; no content', async () => {
  const recorder = record()
  await using set = await setUp()
  const result = await set.client.callTool({ name: 'search', arguments: { word: 'canary' } })
  expect(result.content).toEqual([{ type: 'text', text: 'canary: found canary' }])
  expect(recorder.only('start')).toMatchObject({
    kind: 'agent.tool.call',
    framework: { framework: 'mcp', framework_version: '1.32.2' },
    payload: {
      fn: 'search',
      tool: { name: 'search', type: 'mcp' },
      mcp: { method: 'tools/call', server: 'library', transport: 'in-memory' },
      preview: { args: ['<object keys=1>'], kwargs: {} },
    },
  })
  expect(recorder.only('end')).toMatchObject({
    kind: 'agent.tool.result',
    payload: { status: 'ok', preview: { result: '<object keys=1>' } },
  })
  expect(recorder.text()).not.toContain('canary')
})

test('telemetry §16.46: the request carries the traceparent of its span, beside what was there', async () => {
  const recorder = record()
  await using set = await setUp()
  const params = { name: 'search', arguments: { word: 'a' }, _meta: { own: 'kept' } }
  await coat('run', async () => set.client.callTool(params))()
  const call = recorder.events.find(({ kind }) => kind === 'agent.tool.call')
  const [trace, span] = [call?.ids.trace_id.slice(3), call?.ids.span_id.slice(3)]
  expect(set.metas).toEqual([{ own: 'kept', traceparent: `00-${trace}-${span}-01` }])
  expect(params._meta).toEqual({ own: 'kept' })
  const given = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`
  const _meta = { traceparent: given, tracestate: 'a=b' }
  await set.client.callTool({ name: 'search', arguments: { word: 'a' }, _meta })
  expect(set.metas[1]).toEqual(_meta)
})

test('telemetry §16.46: a tool that says it failed is an error, although it answered', async () => {
  const recorder = record()
  await using set = await setUp()
  const result = await set.client.callTool({ name: 'fail' })
  expect(result.isError).toBe(true)
  expect(recorder.only('end').payload).toMatchObject({
    status: 'error',
    is_error: true,
    error: { type: 'tool_error', message: '<string len=20>' },
  })
  expect(recorder.text()).not.toContain('canary')
})

test('a request that the server refuses is an error, and rejects as before', async () => {
  const recorder = record()
  await using set = await setUp()
  const error = await set.client
    .readResource({ uri: 'nothing://here' })
    .catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: -32602 })
  expect(recorder.only('end').payload).toMatchObject({
    status: 'error',
    error: { type: 'McpError', code: '-32602' },
  })
})

test('telemetry §16.44: a call that is called off is cancelled; options such as progress work', async () => {
  const recorder = record()
  await using set = await setUp()
  const controller = new AbortController()
  const call = set.client.callTool({ name: 'wait' }, undefined, { signal: controller.signal })
  setTimeout(() => controller.abort(), 10)
  await expect(call).rejects.toThrow()
  expect(recorder.only('end').payload).toMatchObject({ status: 'cancelled' })
  const progress: unknown[] = []
  await set.client.callTool({ name: 'report' }, undefined, {
    onprogress: (one) => void progress.push(one),
  })
  expect(progress).toEqual([{ progress: 1, total: 2 }])
})

test('resources are memory, their addresses content; prompts are steps; lists are tools of their method', async () => {
  const recorder = record()
  await using set = await setUp()
  const { client } = set
  expect((await client.readResource({ uri: 'book://canary' })).contents).toHaveLength(1)
  await client.getPrompt({ name: 'greet', arguments: { name: 'canary' } })
  expect((await client.listTools()).tools).toHaveLength(6)
  await client.listResources()
  await client.listResourceTemplates()
  expect((await client.listPrompts({})).prompts).toHaveLength(1)
  expect(tree(recorder)).toEqual([
    'memory.read readResource ok',
    'step greet ok',
    'tool tools/list ok',
    'tool resources/list ok',
    'tool resources/templates/list ok',
    'tool prompts/list ok',
  ])
  expect(recorder.spans()[0]).toMatchObject({
    start: {
      payload: { source: 'mcp', query: '<string len=13>', mcp: { method: 'resources/read' } },
    },
    end: { payload: { count: 1 } },
  })
  expect(recorder.spans()[1]?.start.payload['step_kind']).toBe('prompt')
  expect(recorder.spans()[2]?.end?.payload['count']).toBe(6)
  expect(recorder.text()).not.toContain('canary')
})

test.each([
  ['before', 'accept', 'answered'],
  ['after', 'decline', 'denied'],
] as const)(
  'a question of the server is told, its handler set %s the client was coated',
  async (when, action, outcome) => {
    const recorder = record()
    const answer = (client: Client) => person(client, action)
    await using set = await setUp(when === 'before' ? answer : undefined)
    if (when === 'after') answer(set.client)
    const result = await set.client.callTool({ name: 'ask' })
    expect(JSON.stringify(result.content)).toContain(action)
    const question = recorder.spans().find(({ start }) => start.kind === 'agent.human.request')
    expect(question?.start.payload).toMatchObject({
      phase: 'begin',
      request: 'input',
      prompt: '<string len=14>',
    })
    expect(question?.end?.payload).toMatchObject({ phase: 'end', outcome, status: 'ok' })
    expect(question?.end?.payload['waited_ms']).toBeGreaterThanOrEqual(0)
    expect(recorder.text()).not.toContain('canary')
  },
)

test.each(['before', 'after'])(
  'a sampling of the server is told, its handler set %s',
  async (when) => {
    const recorder = record()
    await using set = await setUp(when === 'before' ? model : undefined)
    if (when === 'after') model(set.client)
    await set.client.callTool({ name: 'think' })
    const sampled = recorder.spans().find(({ start }) => start.kind === 'agent.llm.request')
    expect(sampled?.start.payload).toMatchObject({
      requested_by: 'server',
      operation: 'chat',
      params: { max_tokens: 50 },
      messages: { count: 2, roles: ['system', 'user'], chars: [6, 6] },
    })
    expect(sampled?.end?.payload).toMatchObject({
      status: 'ok',
      response_model: 'claude-sonnet-4-6',
      finish_reasons: ['endTurn'],
    })
    expect(recorder.text()).not.toContain('canary')
  },
)

test('a second coat changes nothing, and what is no client is refused', async () => {
  const recorder = record()
  await using set = await setUp()
  expect(coatMcp(set.client)).toBe(set.client)
  await set.client.callTool({ name: 'report' })
  expect(recorder.events).toHaveLength(2)
  expect(Object.hasOwn(new Client({ name: 'a', version: '1' }), 'callTool')).toBe(false)
  expect(() => coatMcp({})).toThrow(/client of @modelcontextprotocol/)
})

test('while the library is switched off nothing is told and nothing is added', async () => {
  const recorder = record({ ENVPOD_COAT_DISABLED: '1' })
  await using set = await setUp()
  await set.client.callTool({ name: 'search', arguments: { word: 'a' } })
  expect(recorder.events).toEqual([])
  expect(set.metas).toEqual([{}])
})
