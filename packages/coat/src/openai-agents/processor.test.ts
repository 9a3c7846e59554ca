import '../adapters/published-code.test-kit.ts'
import {
  Agent,
  addTraceProcessor,
  run as runAgent,
  setTraceProcessors,
  setTracingDisabled,
  tool,
  withCustomSpan,
  withTrace,
} from '@openai/agents-core'
import { beforeEach, expect, test } from 'vitest'
import * as z from 'zod'
import { spanOf, tree, usageOf } from '../adapters/tree.test-kit.ts'
import { type Recorder, record } from '../recorder.test-kit.ts'
import { CoatTracingProcessor, coatRun, installCoat } from './index.ts'
import { type Answer, calls, ScriptedModel, says } from './scripted-model.test-kit.ts'

let recorder: Recorder

beforeEach(() => {
  recorder = record()
  setTracingDisabled(false)
  setTraceProcessors([])
  addTraceProcessor(new CoatTracingProcessor())
})

const add = tool({
  name: 'add',
  description: 'Adds.',
  parameters: z.object({ a: z.number(), b: z.number() }),
  execute: async ({ a, b }) => String(a + b),
})
const fail = tool({
  name: 'fail',
  description: 'Fails.',
  parameters: z.object({}),
  execute: async () => {
    throw new TypeError('secret-value is missing')
  },
})
const wipe = tool({
  name: 'wipe',
  description: 'Wipes.',
  parameters: z.object({ disk: z.string() }),
  needsApproval: true,
  execute: async () => 'wiped',
})

function clerk(script: Answer[], api?: 'generation' | 'response') {
  return new Agent({
    name: 'clerk',
    model: new ScriptedModel(script, api),
    tools: [add, fail, wipe],
  })
}

test('telemetry §16.44: a chat of the OpenAI Agents SDK, with its own times, usage and group', async () => {
  const script = [says('four', [30, 5, 10])]
  const answer = await withTrace('sums', () => runAgent(clerk(script), 'secret-value'), {
    groupId: 'talk-9',
  })
  expect(answer.finalOutput).toBe('four')
  expect(tree(recorder)).toEqual([
    'run sums ok',
    '  step turn 1 ok',
    '    llm response ok in 30 out 5',
  ])
  const run = spanOf(recorder, 'agent.run')
  expect(run.start.payload).toMatchObject({
    conversation_id: 'talk-9',
    framework_run_id: expect.stringMatching(/^trace_/),
  })
  expect(run.end.payload).toMatchObject({
    agent_name: 'clerk',
    totals: { llm: 1, tools: 0, input_tokens: 30, output_tokens: 5 },
  })
  const llm = spanOf(recorder, 'agent.llm')
  expect(llm.end.payload).toMatchObject({
    response_model: 'gpt-5-2026-01',
    response_id: expect.stringMatching(/^resp_/),
    usage: { input: 30, output: 5, total: 35, cache_read: 10, reasoning: 1 },
  })
  expect(llm.start.tsMs).toEqual(expect.any(Number))
  expect(llm.start.framework).toEqual({ framework: 'openai-agents', framework_version: '0.20.0' })
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: a stream of the OpenAI Agents SDK', async () => {
  const result = await runAgent(clerk([says('x', [8, 2])]), 'q', { stream: true })
  for await (const _event of result) {
    // Only taken, as a caller would.
  }
  await result.completed
  expect(tree(recorder)).toEqual([
    'run Agent workflow ok',
    '  step turn 1 ok',
    '    llm response ok in 8 out 2',
  ])
})

test('telemetry §16.44: tools of the OpenAI Agents SDK in parallel, one of which fails', async () => {
  const script = [calls([20, 8], ['add', { a: 2, b: 2 }], ['fail']), says('four', [40, 2])]
  const answer = await runAgent(clerk(script, 'generation'), 'q')
  expect(answer.finalOutput).toBe('four')
  expect(tree(recorder)).toEqual([
    'run Agent workflow ok',
    '  step turn 1 ok',
    '    llm generation ok in 20 out 8',
    '    tool add ok',
    '    tool fail error tool_error',
    '  step turn 2 ok',
    '    llm generation ok in 40 out 2',
  ])
  expect(usageOf(recorder)).toEqual({ input: 60, output: 10 })
  expect(spanOf(recorder, 'agent.run').end.payload['totals']).toEqual({
    llm: 2,
    tools: 2,
    input_tokens: 60,
    output_tokens: 10,
  })
  const [llm] = recorder.spans().filter(({ start }) => start.kind === 'agent.llm.request')
  expect(llm?.start.payload).toMatchObject({ model: 'local-1', params: { temperature: 0.5 } })
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: an error of a model fails the run of the OpenAI Agents SDK', async () => {
  const gone = new RangeError('secret-value')
  await expect(runAgent(clerk([gone]), 'q')).rejects.toThrow(RangeError)
  expect(tree(recorder)).toEqual([
    'run Agent workflow error RangeError',
    '  step turn 1 error RangeError',
    '    llm response error Error',
  ])
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: an abort of a run of the OpenAI Agents SDK is told as cancelled', async () => {
  const abort = new AbortController()
  const waiting: Answer = async ({ signal }) => {
    abort.abort()
    signal?.throwIfAborted()
    return says('too late', [1, 1])
  }
  const run = runAgent(clerk([waiting]), 'q', { signal: abort.signal })
  await expect(run).rejects.toMatchObject({ name: 'AbortError' })
  expect(tree(recorder)).toEqual([
    'run Agent workflow cancelled AbortError',
    '  step turn 1 cancelled AbortError',
    '    llm response cancelled Error',
  ])
})

test('telemetry §16.44: an agent as a tool nests in the tool, and its tokens count', async () => {
  const helper = new Agent({ name: 'helper', model: new ScriptedModel([says('helped', [5, 1])]) })
  const chief = new Agent({
    name: 'chief',
    model: new ScriptedModel([calls([9, 4], ['help', { input: 'x' }]), says('done', [11, 2])]),
    tools: [helper.asTool({ toolName: 'help', toolDescription: 'Helps.' })],
  })
  await runAgent(chief, 'q')
  expect(tree(recorder)).toEqual([
    'run Agent workflow ok',
    '  step turn 1 ok',
    '    llm response ok in 9 out 4',
    '    tool help ok',
    '      subagent helper ok',
    '        step turn 1 ok',
    '          llm response ok in 5 out 1',
    '  step turn 2 ok',
    '    llm response ok in 11 out 2',
  ])
  expect(usageOf(recorder)).toEqual({ input: 25, output: 7 })
  expect(spanOf(recorder, 'agent.run').end.payload['totals']).toMatchObject({
    llm: 3,
    input_tokens: 25,
    output_tokens: 7,
  })
})

test('telemetry §16.44: a handoff holds what the other agent does until it is done', async () => {
  const other = new Agent({ name: 'other', model: new ScriptedModel([says('mine', [6, 3])]) })
  const chief = new Agent({
    name: 'chief',
    model: new ScriptedModel([calls([9, 4], ['transfer_to_other'])]),
    handoffs: [other],
  })
  const answer = await runAgent(chief, 'q')
  expect(answer.finalOutput).toBe('mine')
  expect(tree(recorder)).toEqual([
    'run Agent workflow ok',
    '  step turn 1 ok',
    '    llm response ok in 9 out 4',
    '  subagent other ok',
    '    step turn 2 ok',
    '      llm response ok in 6 out 3',
  ])
  expect(spanOf(recorder, 'agent.subagent').start.payload).toMatchObject({
    name: 'other',
    via: 'handoff',
    from: 'chief',
  })
})

test('telemetry §16.44: a tool that needs approval asks a person, and the resumed run is one of its own', async () => {
  const run = coatRun(runAgent)
  const agent = clerk([calls([9, 4], ['wipe', { disk: 'secret-value' }]), says('gone', [3, 2])])
  const first = await run(agent, 'q')
  const [item] = first.interruptions
  if (item === undefined) throw new Error('nobody was asked')
  expect(tree(recorder)).toEqual([
    'run Agent workflow ok',
    '  step turn 1 ok',
    '    llm response ok in 9 out 4',
    '  human wipe open',
  ])
  first.state.approve(item)
  const second = await run(agent, first.state)
  expect(second.finalOutput).toBe('gone')
  expect(tree(recorder)).toEqual([
    'run Agent workflow ok',
    '  step turn 1 ok',
    '    llm response ok in 9 out 4',
    '  human wipe ok approved',
    'run Agent workflow ok',
    '  step turn 1 ok',
    '    tool wipe ok',
    '  step turn 2 ok',
    '    llm response ok in 3 out 2',
  ])
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: a streamed run that waits for approval, and is refused', async () => {
  const run = coatRun(runAgent)
  const agent = clerk([calls([9, 4], ['wipe', { disk: 'a' }]), says('kept', [3, 2])])
  const first = await run(agent, 'q', { stream: true })
  for await (const _event of first) {
    // Only taken, as a caller would.
  }
  await first.completed
  const [item] = first.interruptions
  if (item === undefined) throw new Error('nobody was asked')
  first.state.reject(item)
  await run(agent, first.state)
  expect(spanOf(recorder, 'agent.human').end.payload).toMatchObject({ outcome: 'denied' })
})

test('telemetry §16.44: guardrails, lists of MCP tools and spans of one’s own', async () => {
  const agent = new Agent({
    name: 'careful',
    model: new ScriptedModel([says('x', [1, 1])]),
    inputGuardrails: [
      {
        name: 'no secrets',
        runInParallel: false,
        execute: async () => ({ tripwireTriggered: false, outputInfo: {} }),
      },
    ],
  })
  await withTrace('work', async () => {
    await withCustomSpan(async () => runAgent(agent, 'q'), {
      data: { name: 'prepare', data: { note: 'secret-value' } },
    })
  })
  expect(tree(recorder)).toEqual([
    'run work ok',
    '  step prepare ok',
    '    step turn 1 ok',
    '      llm response ok in 1 out 1',
    '    step no secrets ok',
  ])
  const guard = spanOf(recorder, 'agent.step', 'no secrets')
  expect(guard.start.payload).toMatchObject({ step_kind: 'guardrail' })
  expect(guard.end.payload).toMatchObject({ triggered: false })
})

test('telemetry §16.44: the processor is added beside others, and only once', async () => {
  setTraceProcessors([])
  const seen: string[] = []
  addTraceProcessor({
    start() {},
    async onTraceStart() {},
    async onTraceEnd() {},
    async onSpanStart(span) {
      seen.push(span.spanData.type)
    },
    async onSpanEnd() {},
    async shutdown() {},
    async forceFlush() {},
  })
  expect(await installCoat()).toBe(await installCoat())
  await runAgent(clerk([says('x', [1, 1])]), 'q')
  expect(seen).toEqual(['task', 'agent', 'turn', 'response'])
  expect(tree(recorder)).toHaveLength(3)
})

test('an end that is told before its start makes one span, and shutting down ends what is open', async () => {
  const processor = new CoatTracingProcessor()
  const span = {
    spanId: 'span_1',
    traceId: 'trace_1',
    parentId: null,
    startedAt: '2026-01-01T00:00:00.000Z',
    endedAt: '2026-01-01T00:00:01.500Z',
    error: null,
    spanData: { type: 'custom', name: 'late', data: {} },
  }
  await processor.onTraceStart({ traceId: 'trace_1', name: 'work' })
  await processor.onSpanEnd(span)
  await processor.onSpanStart(span)
  expect(tree(recorder)).toEqual(['run work open', '  step late ok'])
  const late = spanOf(recorder, 'agent.step')
  expect(late.end.payload['duration_ms']).toBe(1500)
  expect(late.start.tsMs).toBe(Date.parse(span.startedAt))
  await processor.shutdown()
  expect(tree(recorder)).toEqual(['run work cancelled', '  step late ok'])
})
