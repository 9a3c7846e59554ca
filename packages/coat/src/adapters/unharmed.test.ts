import './published-code.test-kit.ts'
import { HumanMessage } from '@langchain/core/messages'
import { tool as langchainTool } from '@langchain/core/tools'
import { createReactAgent } from '@langchain/langgraph/prebuilt'
import {
  Agent,
  addTraceProcessor,
  tool as agentTool,
  run,
  setTraceProcessors,
  setTracingDisabled,
} from '@openai/agents-core'
import { generateText, isStepCount, streamText, tool } from 'ai'
import { MockLanguageModelV4 } from 'ai/test'
import { afterEach, expect, test, vi } from 'vitest'
import * as z from 'zod'
import * as sdk from '../ai-sdk/answers.test-kit.ts'
import { coatGenerate, coatModel, coatTools } from '../ai-sdk/index.ts'
import { coatQuery } from '../claude-agent/index.ts'
import * as claude from '../claude-agent/recorded-query.test-kit.ts'
import { CoatCallbackHandler } from '../langchain/index.ts'
import * as lc from '../langchain/scripted-model.test-kit.ts'
import { CoatTracingProcessor, coatRun } from '../openai-agents/index.ts'
import * as agents from '../openai-agents/scripted-model.test-kit.ts'

/** Where everything that an adapter calls fails: at the start of a span, or at its end. */
const fault = vi.hoisted(() => ({ at: 'start' as 'start' | 'end', thrown: 0 }))

vi.mock('../span.ts', () => {
  const throws = (): never => {
    fault.thrown += 1
    throw new Error('the adapter is faulty')
  }
  const ids = Object.freeze({
    session_id: '',
    run_id: '',
    step_id: '',
    trace_id: '',
    span_id: '',
    parent_span_id: '',
  })
  return {
    startSpan: () =>
      fault.at === 'start'
        ? throws()
        : { ids, ended: false, run: <T>(fn: () => T) => fn(), end: throws },
    emitPoint: throws,
  }
})

const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => unhandled.push(reason))
const warned = vi.spyOn(console, 'warn')

afterEach(() => {
  fault.thrown = 0
})

const places = ['start', 'end'] as const

test.each(places)(
  'telemetry §16.44: LangChain runs as before with a fault at every %s',
  async (at) => {
    fault.at = at
    const script = () => [
      lc.said(
        '',
        [1, 1],
        [
          { name: 'add', args: {} },
          { name: 'fail', args: {} },
        ],
      ),
      lc.said('four', [1, 1]),
    ]
    const tools = [
      langchainTool(async () => '4', { name: 'add', description: 'a', schema: z.object({}) }),
      langchainTool(
        async () => {
          throw new TypeError('no')
        },
        { name: 'fail', description: 'f', schema: z.object({}) },
      ),
    ]
    const told = async (callbacks: CoatCallbackHandler[]) => {
      const agent = createReactAgent({ llm: new lc.ScriptedModel(script()), tools })
      const { messages } = await agent.invoke({ messages: [new HumanMessage('q')] }, { callbacks })
      return messages.map(({ content, type }) => [type, content])
    }
    const without = await told([])
    expect(await told([new CoatCallbackHandler()])).toEqual(without)
    const words: string[] = []
    const model = new lc.ScriptedModel([lc.said('one two', [1, 1])])
    for await (const { content } of await model.stream('q', {
      callbacks: [new CoatCallbackHandler()],
    }))
      words.push(String(content))
    expect(words).toEqual(['one ', 'two'])
    const gone = new RangeError('gone')
    await expect(
      new lc.ScriptedModel([gone]).invoke('q', { callbacks: [new CoatCallbackHandler()] }),
    ).rejects.toBe(gone)
    expect(warned).not.toHaveBeenCalled()
    expect(fault.thrown).toBeGreaterThan(2)
  },
)

test.each(places)(
  'telemetry §16.44: the OpenAI Agents SDK runs as before with a fault at every %s',
  async (at) => {
    fault.at = at
    setTracingDisabled(false)
    setTraceProcessors([])
    addTraceProcessor(new CoatTracingProcessor())
    const wipe = agentTool({
      name: 'wipe',
      description: 'w',
      parameters: z.object({}),
      needsApproval: true,
      execute: async () => 'wiped',
    })
    const agent = new Agent({
      name: 'a',
      model: new agents.ScriptedModel([
        agents.calls([1, 1], ['wipe']),
        agents.says('four', [1, 1]),
      ]),
      tools: [wipe],
    })
    const observed = coatRun(run)
    const first = await observed(agent, 'q')
    const [item] = first.interruptions
    if (item === undefined) throw new Error('nobody was asked')
    first.state.approve(item)
    expect((await observed(agent, first.state)).finalOutput).toBe('four')
    expect(fault.thrown).toBeGreaterThan(2)
  },
)

test.each(places)(
  'telemetry §16.44: the AI SDK runs as before with a fault at every %s',
  async (at) => {
    fault.at = at
    const answers = () => [
      sdk.calls({ input: 1, output: 1 }, ['add']),
      sdk.says('one two', { input: 1, output: 1 }),
    ]
    const tools = coatTools({ add: tool({ inputSchema: z.object({}), execute: () => 4 }) })
    const model = coatModel(new MockLanguageModelV4({ doGenerate: answers() }))
    const stopWhen = isStepCount(5)
    const text = await coatGenerate(generateText)({ model, tools, prompt: 'q', stopWhen })
    expect(text.text).toBe('one two')
    expect(text.steps[0]?.toolResults[0]?.output).toBe(4)

    const streaming = coatModel(new MockLanguageModelV4({ doStream: answers().map(sdk.streamed) }))
    const words: string[] = []
    const result = coatGenerate(streamText)({ model: streaming, tools, prompt: 'q', stopWhen })
    for await (const word of result.textStream) words.push(word)
    expect(words).toEqual(['one ', 'two'])

    const gone = new RangeError('gone')
    const failing = coatModel(
      new MockLanguageModelV4({
        doGenerate: async () => {
          throw gone
        },
      }),
    )
    await expect(
      coatGenerate(generateText)({ model: failing, prompt: 'q', maxRetries: 0 }),
    ).rejects.toBe(gone)
    expect(fault.thrown).toBeGreaterThan(2)
  },
)

test.each(places)(
  'telemetry §16.44: the Claude Agent SDK runs as before with a fault at every %s',
  async (at) => {
    fault.at = at
    const scenes: claude.Scene[] = [
      claude.init(`native-${at}`),
      { hook: 'UserPromptSubmit', input: { prompt: 'q' } },
      claude.assistant('msg_1', [1, 1], [claude.use('toolu_1', 'Bash')]),
      { hook: 'PreToolUse', id: 'toolu_1', input: { tool_name: 'Bash' } },
      { permission: 'Bash', input: {}, id: 'toolu_1' },
      { hook: 'PostToolUse', id: 'toolu_1', input: { tool_name: 'Bash', tool_response: 'x' } },
      claude.results(['toolu_1', 'x']),
      { hook: 'Stop' },
      claude.result([1, 1]),
    ]
    const allow = { behavior: 'allow' as const }
    const told = async (watch: boolean) => {
      const played: claude.Played = { answers: [], called: [] }
      const plain = claude.recordedQuery(scenes, played)
      const query = watch ? coatQuery(plain) : plain
      const messages: claude.Message[] = []
      const options = { canUseTool: async () => allow }
      for await (const message of query({ prompt: 'q', options })) messages.push(message)
      return { messages, answers: played.answers }
    }
    const without = await told(false)
    const watched = await told(true)
    expect(watched.messages).toEqual(without.messages)
    expect(watched.answers).toEqual([{}, {}, allow, {}, {}])
    const gone = new RangeError('gone')
    const failing = coatQuery(claude.recordedQuery([{ fails: gone }]))({ prompt: 'q' })
    await expect(failing.next()).rejects.toBe(gone)
    expect(fault.thrown).toBeGreaterThan(2)
  },
)

test('telemetry §16.44: no fault of an adapter became a rejection that nobody handles', async () => {
  await new Promise((resolve) => setImmediate(resolve))
  expect(unhandled).toEqual([])
})
