import { dispatchCustomEvent } from '@langchain/core/callbacks/dispatch'
import { Document } from '@langchain/core/documents'
import { HumanMessage } from '@langchain/core/messages'
import { RunnableLambda, RunnableSequence } from '@langchain/core/runnables'
import { tool } from '@langchain/core/tools'
import { FakeRetriever } from '@langchain/core/utils/testing'
import { createReactAgent } from '@langchain/langgraph/prebuilt'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { spanOf, tree, usageOf } from '../adapters/tree.test-kit.ts'
import { coat } from '../index.ts'
import { record } from '../recorder.test-kit.ts'
import { CoatCallbackHandler } from './index.ts'
import { type Answer, ScriptedModel, said } from './scripted-model.test-kit.ts'

const add = tool(async ({ a, b }) => String(a + b), {
  name: 'add',
  description: 'Adds two numbers.',
  schema: z.object({ a: z.number(), b: z.number() }),
})
const fail = tool(
  async () => {
    throw new TypeError('no such column: secret-value')
  },
  { name: 'fail', description: 'Fails.', schema: z.object({}) },
)

function agent(script: Answer[]) {
  return createReactAgent({ llm: new ScriptedModel(script), tools: [add, fail], name: 'clerk' })
}

const ask = { messages: [new HumanMessage('two and two, secret-value')] }

test('telemetry §16.44: a LangChain chat is a run with a step and a model call, and counts what the provider counted', async () => {
  const recorder = record()
  const chain = RunnableSequence.from([
    RunnableLambda.from((text: string) => [new HumanMessage(text)]),
    new ScriptedModel([said('four', [30, 5, 10])]),
  ])

  const answer = await chain.invoke('secret-value', {
    callbacks: [new CoatCallbackHandler()],
    metadata: { session_id: 'talk-7' },
  })

  expect(answer.content).toBe('four')
  expect(tree(recorder)).toEqual([
    'run RunnableSequence ok',
    '  step RunnableLambda ok',
    '  llm ScriptedModel ok in 30 out 5',
  ])
  const run = spanOf(recorder, 'agent.run')
  expect(run.start.payload).toMatchObject({ conversation_id: 'talk-7', op: 'run' })
  expect(run.end.payload['totals']).toEqual({
    llm: 1,
    tools: 0,
    input_tokens: 30,
    output_tokens: 5,
  })
  const llm = spanOf(recorder, 'agent.llm')
  expect(llm.start.payload).toMatchObject({
    operation: 'chat',
    provider: 'openai',
    model: 'gpt-5',
    params: { temperature: 0.2, max_tokens: 64 },
    messages: { count: 1, roles: ['user'], chars: [12] },
    framework_run_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
  })
  expect(llm.end.payload).toMatchObject({
    response_model: 'gpt-5-2026-01',
    response_id: expect.stringContaining('chatcmpl-'),
    finish_reasons: ['stop'],
    usage: { input: 30, output: 5, total: 35, cache_read: 10 },
  })
  expect(llm.start.framework).toEqual({ framework: 'langchain', framework_version: '1.2.13' })
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: tokens of a LangChain stream are counted, not emitted', async () => {
  const recorder = record()
  const words: string[] = []
  const stream = await new ScriptedModel([said('one two three', [7, 3])]).stream('count', {
    callbacks: [new CoatCallbackHandler()],
  })
  for await (const chunk of stream) words.push(String(chunk.content))

  expect(words.join('')).toBe('one two three')
  expect(tree(recorder)).toEqual(['llm ScriptedModel ok in 7 out 3'])
  expect(recorder.only('end').payload).toMatchObject({
    chunks: 3,
    ttft_ms: expect.any(Number),
  })
})

test('telemetry §16.44: a LangChain agent with tools in parallel, one of which fails', async () => {
  const recorder = record()
  const script = [
    said(
      '',
      [20, 8],
      [
        { name: 'add', args: { a: 2, b: 2 } },
        { name: 'fail', args: {} },
      ],
    ),
    said('four', [40, 2]),
  ]

  const result = await agent(script).invoke(ask, { callbacks: [new CoatCallbackHandler()] })

  expect(result.messages.at(-1)?.content).toBe('four')
  expect(tree(recorder)).toEqual([
    'run clerk ok',
    '  step agent ok',
    '    step RunnableSequence ok',
    '      step prompt ok',
    '      llm ScriptedModel ok in 20 out 8',
    '    step RunnableLambda ok',
    '  step tools ok',
    '    tool add ok',
    '    tool fail error TypeError',
    '  step agent ok',
    '    step RunnableSequence ok',
    '      step prompt ok',
    '      llm ScriptedModel ok in 40 out 2',
    '    step RunnableLambda ok',
  ])
  expect(usageOf(recorder)).toEqual({ input: 60, output: 10 })
  const added = spanOf(recorder, 'agent.tool', 'add')
  expect(added.start.payload['tool']).toMatchObject({ name: 'add', type: 'function' })
  expect(added.end.payload['tool']).toMatchObject({ name: 'add', call_id: expect.any(String) })
  const [first] = recorder.spans().filter(({ start }) => start.kind === 'agent.llm.request')
  expect(first?.start.payload['tools']).toEqual(['add', 'fail'])
  expect(first?.end?.payload['tool_calls']).toEqual([
    { id: expect.any(String), name: 'add' },
    { id: expect.any(String), name: 'fail' },
  ])
  const [node] = recorder.spans().filter(({ start }) => start.payload['fn'] === 'agent')
  expect(node?.start.payload).toMatchObject({
    step_kind: 'node',
    graph: { node: 'agent', step: 1 },
  })
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: a tool message with an error status is a failed tool, though nothing was thrown', async () => {
  const recorder = record()
  const { ToolMessage } = await import('@langchain/core/messages')
  const refusing = tool(
    async (_input, config) =>
      new ToolMessage({
        content: 'not allowed',
        status: 'error',
        tool_call_id: String(config.toolCall?.id),
      }),
    { name: 'refusing', description: 'Refuses.', schema: z.object({}) },
  )
  await refusing.invoke(
    { name: 'refusing', args: {}, id: 'call_9', type: 'tool_call' },
    { callbacks: [new CoatCallbackHandler()] },
  )
  expect(tree(recorder)).toEqual(['tool refusing error tool_error'])
  expect(recorder.only('end').payload).toMatchObject({
    is_error: true,
    tool: { name: 'refusing', call_id: 'call_9' },
  })
})

test('telemetry §16.44: an error of a LangChain model ends every span around it as an error', async () => {
  const recorder = record()
  const gone = Object.assign(new Error('quota of secret-value'), { name: 'RateLimitError' })
  const run = agent([gone]).invoke(ask, { callbacks: [new CoatCallbackHandler()] })

  await expect(run).rejects.toBe(gone)
  expect(tree(recorder)).toEqual([
    'run clerk error RateLimitError',
    '  step agent error RateLimitError',
    '    step RunnableSequence error RateLimitError',
    '      step prompt ok',
    '      llm ScriptedModel error RateLimitError',
  ])
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: an abort of a LangChain run is told as cancelled', async () => {
  const recorder = record()
  const abort = new AbortController()
  const waiting: Answer = (signal) =>
    new Promise((_, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason))
      abort.abort()
    })
  const run = new ScriptedModel([waiting]).invoke('wait', {
    callbacks: [new CoatCallbackHandler()],
    signal: abort.signal,
  })

  await expect(run).rejects.toMatchObject({ name: 'AbortError' })
  expect(tree(recorder)).toEqual(['llm ScriptedModel cancelled AbortError'])
})

test('telemetry §16.44: an agent inside a tool of another nests by the ids of LangChain', async () => {
  const recorder = record()
  const inner = agent([said('inner', [5, 1])])
  const delegate = tool(
    async (_input, config) => {
      const { messages } = await inner.invoke(ask, config)
      return String(messages.at(-1)?.content)
    },
    { name: 'delegate', description: 'Asks another.', schema: z.object({}) },
  )
  const outer = createReactAgent({
    llm: new ScriptedModel([
      said('', [9, 4], [{ name: 'delegate', args: {} }]),
      said('done', [11, 2]),
    ]),
    tools: [delegate],
    name: 'chief',
  })
  await outer.invoke(ask, { callbacks: [new CoatCallbackHandler()] })

  const lines = tree(recorder)
  const at = lines.indexOf('    tool delegate ok')
  expect(lines.slice(at, at + 6)).toEqual([
    '    tool delegate ok',
    '      step clerk ok',
    '        step agent ok',
    '          step RunnableSequence ok',
    '            step prompt ok',
    '            llm ScriptedModel ok in 5 out 1',
  ])
  expect(usageOf(recorder)).toEqual({ input: 25, output: 7 })
  expect(spanOf(recorder, 'agent.run').end.payload['totals']).toEqual({
    llm: 3,
    tools: 1,
    input_tokens: 25,
    output_tokens: 7,
  })
})

test('telemetry §16.44: usage counts once for a message that comes twice, as from a cache', async () => {
  const recorder = record()
  const message = said('again', [12, 4])
  const model = new ScriptedModel([message, message])
  const callbacks = [new CoatCallbackHandler()]
  await model.invoke('a', { callbacks })
  await model.invoke('a', { callbacks })
  expect(usageOf(recorder)).toEqual({ input: 12, output: 4 })
})

test('telemetry §16.44: a retriever is a read of memory, and custom events are ties', async () => {
  const recorder = record()
  const output = [
    new Document({ pageContent: 'secret-value', metadata: { score: 0.9 }, id: 'doc-1' }),
    new Document({ pageContent: 'b', metadata: { score: 0.4 }, id: 'doc-2' }),
  ]
  const chain = RunnableSequence.from([
    new FakeRetriever({ output }),
    RunnableLambda.from(async (found: Document[]) => {
      await dispatchCustomEvent('ranked', { best: 'secret-value' })
      return found.length
    }),
  ])
  await expect(
    chain.invoke('secret-value', { callbacks: [new CoatCallbackHandler()] }),
  ).resolves.toBe(2)

  expect(tree(recorder)).toEqual([
    'run RunnableSequence ok',
    '  memory.read FakeRetriever ok',
    '  step RunnableLambda ok',
    '    tie ranked',
  ])
  expect(spanOf(recorder, 'agent.memory.read').end.payload).toMatchObject({
    phase: 'end',
    count: 2,
    ids: ['doc-1', 'doc-2'],
    scores: [0.9, 0.4],
  })
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: a root run of LangChain belongs to the span it is called in', async () => {
  const recorder = record()
  const handler = new CoatCallbackHandler()
  await coat('step', async function around() {
    await new ScriptedModel([said('x', [1, 1])]).invoke('q', { callbacks: [handler] })
  })()
  expect(tree(recorder)).toEqual(['step around ok', '  llm ScriptedModel ok in 1 out 1'])
})

test('telemetry §16.44: content is told only when the adapter is asked to capture', async () => {
  const recorder = record()
  await agent([said('four', [1, 1])]).invoke(
    { messages: [new HumanMessage('two and two')] },
    { callbacks: [new CoatCallbackHandler({ autoCapture: true, capture: 'redacted' })] },
  )
  const llm = spanOf(recorder, 'agent.llm')
  expect(llm.start.payload.preview?.args).toEqual([[{ role: 'user', content: 'two and two' }]])
  expect(llm.end.payload.preview?.result).toBe('four')
  expect(llm.start.mode).toBe('redacted')
})

test('telemetry §16.44: open LangChain runs are bounded, the longest unused is abandoned', () => {
  const recorder = record()
  const handler = new CoatCallbackHandler()
  const begin = (id: string) => handler.handleChainStart({ name: 'chain' }, {}, id)
  for (let run = 0; run < 10_003; run += 1) begin(`run-${run}`)
  const ends = recorder.events.filter(({ part }) => part === 'end')
  expect(ends.map(({ payload }) => payload['status'])).toEqual(Array(3).fill('abandoned'))
  handler.handleChainEnd({}, 'run-0')
  expect(recorder.events.filter(({ part }) => part === 'end')).toHaveLength(3)
})
