import '../adapters/published-code.test-kit.ts'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  embedMany,
  generateText,
  isStepCount,
  rerank,
  streamObject,
  streamText,
  ToolLoopAgent,
  tool,
  wrapLanguageModel,
} from 'ai'
import {
  MockEmbeddingModelV4,
  MockLanguageModelV3,
  MockLanguageModelV4,
  MockRerankingModelV4,
} from 'ai/test'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { MAX_OPEN_RUNS } from '../adapters/open-runs.ts'
import { spanOf, tree, usageOf } from '../adapters/tree.test-kit.ts'
import { coat } from '../index.ts'
import { record } from '../recorder.test-kit.ts'
import { calls, says, streamed, usageV4 } from './answers.test-kit.ts'
import {
  coatEmbeddingModel,
  coatGenerate,
  coatMiddleware,
  coatModel,
  coatRerankingModel,
  coatTools,
} from './index.ts'

// It warns of functions that have a successor; they are wrapped all the same.
globalThis.AI_SDK_LOG_WARNINGS = false

const generate = coatGenerate(generateText)
const stream = coatGenerate(streamText)

function tools() {
  return coatTools({
    add: tool({
      description: 'Adds.',
      inputSchema: z.object({ a: z.number(), b: z.number() }),
      execute: async ({ a, b }) =>
        coat('step', async function sum() {
          return a + b
        })(),
    }),
    fail: tool({
      inputSchema: z.object({ why: z.string().optional() }),
      execute: async (): Promise<string> => {
        throw new TypeError('secret-value is missing')
      },
    }),
    elsewhere: tool({
      inputSchema: z.object({ what: z.string() }),
      outputSchema: z.string(),
    }),
  })
}

test('telemetry §16.44: a chat of the AI SDK is a run with a step and a model call', async () => {
  const recorder = record()
  const model = coatModel(
    new MockLanguageModelV4({
      provider: 'openai.chat',
      modelId: 'model-1',
      doGenerate: says('four', { input: 30, output: 5, cached: 10 }),
    }),
  )
  const result = await generate({ model, prompt: 'secret-value', temperature: 0.3 })

  expect(result.text).toBe('four')
  expect(tree(recorder)).toEqual([
    'run generateText ok',
    '  step step 0 ok',
    '    llm doGenerate ok in 30 out 5',
  ])
  const llm = spanOf(recorder, 'agent.llm')
  expect(llm.start.payload).toMatchObject({
    operation: 'chat',
    provider: 'openai',
    model: 'model-1',
    params: { temperature: 0.3 },
    messages: { count: 1, roles: ['user'], chars: [12] },
  })
  expect(llm.end.payload).toMatchObject({
    response_model: 'model-1-2026',
    response_id: expect.stringMatching(/^resp-/),
    finish_reasons: ['stop'],
    usage: { input: 30, output: 5, total: 35, cache_read: 10 },
  })
  expect(spanOf(recorder, 'agent.run').end.payload).toMatchObject({
    turns: 1,
    totals: { input_tokens: 30, output_tokens: 5 },
  })
  expect(llm.start.framework).toEqual({ framework: 'ai-sdk', framework_version: '7.0.173' })
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: tools of the AI SDK in parallel, one of which fails; hand-made spans nest inside', async () => {
  const recorder = record()
  const model = coatModel(
    new MockLanguageModelV4({
      doGenerate: [
        calls({ input: 20, output: 8 }, ['add', { a: 2, b: 2 }], ['fail']),
        says('four', { input: 40, output: 2 }),
      ],
    }),
  )
  const finished: number[] = []
  const result = await generate({
    model,
    tools: tools(),
    prompt: 'q',
    stopWhen: isStepCount(5),
    onStepEnd: ({ usage }) => {
      finished.push(usage.inputTokens ?? 0)
    },
  })

  expect(result.text).toBe('four')
  expect(finished).toEqual([20, 40])
  expect(tree(recorder)).toEqual([
    'run generateText ok',
    '  step step 0 ok',
    '    llm doGenerate ok in 20 out 8',
    '    tool add ok',
    '      step sum ok',
    '    tool fail error TypeError',
    '  step step 1 ok',
    '    llm doGenerate ok in 40 out 2',
  ])
  expect(usageOf(recorder)).toEqual({
    input: result.totalUsage.inputTokens,
    output: result.totalUsage.outputTokens,
  })
  expect(spanOf(recorder, 'agent.tool', 'add').start.payload['tool']).toEqual({
    name: 'add',
    type: 'function',
    call_id: expect.stringMatching(/^call-/),
    description: 'Adds.',
  })
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: a stream of the AI SDK with a tool ends with its last part', async () => {
  const recorder = record()
  const answers = [
    calls({ input: 20, output: 8 }, ['add', { a: 2, b: 2 }]),
    says('one two three', { input: 40, output: 3 }),
  ]
  const model = coatModel(new MockLanguageModelV4({ doStream: answers.map(streamed) }))
  const result = stream({ model, tools: tools(), prompt: 'q', stopWhen: isStepCount(5) })
  const words: string[] = []
  for await (const word of result.textStream) words.push(word)

  expect(words.join('')).toBe('one two three')
  expect(tree(recorder)).toEqual([
    'run streamText ok',
    '  step step 0 ok',
    '    llm doStream ok in 20 out 8',
    '    tool add ok',
    '      step sum ok',
    '  step step 1 ok',
    '    llm doStream ok in 40 out 3',
  ])
  const [, last] = recorder.spans().filter(({ start }) => start.kind === 'agent.llm.request')
  expect(last?.end?.payload).toMatchObject({ chunks: 3, ttft_ms: expect.any(Number) })
  expect(last?.start.payload['params']).toMatchObject({ stream: true })
  expect(usageOf(recorder)).toEqual({ input: 60, output: 11 })
})

test('telemetry §16.44: an error of an AI SDK model keeps its identity and fails the run', async () => {
  const recorder = record()
  const gone = new RangeError('secret-value')
  const model = coatModel(
    new MockLanguageModelV4({
      doGenerate: async () => {
        throw gone
      },
    }),
  )
  await expect(generate({ model, prompt: 'q', maxRetries: 0 })).rejects.toBe(gone)
  expect(tree(recorder)).toEqual([
    'run generateText error RangeError',
    '  step step 0 error RangeError',
    '    llm doGenerate error RangeError',
  ])
  expect(recorder.text()).not.toContain('secret-value')
})

/** Breaks off after its first word: as a stream that fails, or with a part that says so. */
function breaking(broken: Error, how: 'fails' | 'says so') {
  return new MockLanguageModelV4({
    doStream: async () => ({
      stream: new ReadableStream({
        start(controller) {
          controller.enqueue({ type: 'text-start', id: 't' })
          controller.enqueue({ type: 'text-delta', id: 't', delta: 'x' })
        },
        pull(controller) {
          if (how === 'fails') {
            controller.error(broken)
            return
          }
          controller.enqueue({ type: 'error', error: broken })
          controller.close()
        },
      }),
    }),
  })
}

test.each(['fails', 'says so'] as const)(
  'telemetry §16.44: a stream that breaks off and %s fails the call and the run, and is heard as before',
  async (how) => {
    const broken = new RangeError('secret-value')
    const hear = async (generating: typeof streamText, model: MockLanguageModelV4) => {
      const heard: unknown[] = []
      const onError = ({ error }: { error: unknown }) => {
        heard.push(error)
      }
      const result = generating({ model, prompt: 'q', maxRetries: 0, onError })
      await result.consumeStream({ onError: (error) => heard.push(['consumed', error]) })
      return heard
    }
    const before = await hear(streamText, breaking(broken, how))
    const recorder = record()
    expect(await hear(stream, coatModel(breaking(broken, how)))).toEqual(before)

    expect(before).not.toEqual([])
    const lines = tree(recorder)
    expect(lines[0]).toBe('run streamText error RangeError')
    expect(lines.at(-1)).toBe('    llm doStream error RangeError')
    expect(recorder.text()).not.toContain('secret-value')
  },
)

test('telemetry §16.44: an abort of an AI SDK call and of a stream is told as cancelled', async () => {
  const recorder = record()
  const abort = new AbortController()
  const model = coatModel(
    new MockLanguageModelV4({
      doGenerate: async ({ abortSignal }) => {
        abort.abort()
        abortSignal?.throwIfAborted()
        return says('late', { input: 1, output: 1 })
      },
    }),
  )
  await expect(generate({ model, prompt: 'q', abortSignal: abort.signal })).rejects.toMatchObject({
    name: 'AbortError',
  })
  expect(tree(recorder)).toEqual([
    'run generateText cancelled AbortError',
    '  step step 0 cancelled AbortError',
    '    llm doGenerate cancelled AbortError',
  ])

  const streams = record()
  const stop = new AbortController()
  const slow = coatModel(
    new MockLanguageModelV4({
      doStream: async ({ abortSignal }) => ({
        stream: new ReadableStream({
          start(controller) {
            controller.enqueue({ type: 'text-start', id: 't' })
            controller.enqueue({ type: 'text-delta', id: 't', delta: 'x' })
            abortSignal?.addEventListener('abort', () => controller.error(abortSignal.reason))
          },
        }),
      }),
    }),
  )
  const result = stream({ model: slow, prompt: 'q', abortSignal: stop.signal, onAbort: () => {} })
  for await (const _word of result.textStream) stop.abort()
  expect(tree(streams).map((line) => line.replace(/ AbortError$/, ''))).toEqual([
    'run streamText cancelled',
    '  step step 0 cancelled',
    '    llm doStream cancelled',
  ])
})

test('telemetry §16.44: a loop agent whose tool generates on its own nests', async () => {
  const recorder = record()
  const inner = coatModel(
    new MockLanguageModelV4({ doGenerate: says('inner', { input: 5, output: 1 }) }),
  )
  const outer = coatModel(
    new MockLanguageModelV4({
      doGenerate: [
        calls({ input: 9, output: 4 }, ['delegate']),
        says('done', { input: 11, output: 2 }),
      ],
    }),
  )
  const agent = new ToolLoopAgent({
    model: outer,
    tools: coatTools({
      delegate: tool({
        inputSchema: z.object({}),
        execute: async () => (await generate({ model: inner, prompt: 'sub' })).text,
      }),
    }),
  })
  const ask = coatGenerate(agent.generate.bind(agent), { name: 'clerk' })
  const result = await ask({ prompt: 'q' })

  expect(result.text).toBe('done')
  expect(tree(recorder)).toEqual([
    'run clerk ok',
    '  step step 0 ok',
    '    llm doGenerate ok in 9 out 4',
    '    tool delegate ok',
    '      run generateText ok',
    '        step step 0 ok',
    '          llm doGenerate ok in 5 out 1',
    '  step step 1 ok',
    '    llm doGenerate ok in 11 out 2',
  ])
  expect(usageOf(recorder)).toEqual({ input: 25, output: 7 })
})

test('telemetry §16.44: a stream of a loop agent ends its run, and fails with it', async () => {
  const recorder = record()
  const agent = new ToolLoopAgent({
    model: coatModel(
      new MockLanguageModelV4({ doStream: [streamed(says('one two', { input: 4, output: 2 }))] }),
    ),
  })
  const ask = coatGenerate(agent.stream.bind(agent), { name: 'clerk' })
  const words: string[] = []
  for await (const word of (await ask({ prompt: 'q' })).textStream) words.push(word)
  expect(words).toEqual(['one ', 'two'])
  expect(tree(recorder)).toEqual([
    'run clerk ok',
    '  step step 0 ok',
    '    llm doStream ok in 4 out 2',
  ])
  const failing = record()
  const broken = new ToolLoopAgent({
    model: coatModel(breaking(new RangeError('secret-value'), 'says so')),
    onError: () => {},
  })
  const result = await coatGenerate(broken.stream.bind(broken), { name: 'clerk' })({ prompt: 'q' })
  await result.consumeStream({ onError: () => {} })
  expect(tree(failing)[0]).toBe('run clerk error RangeError')
  expect(tree(failing).at(-1)).toBe('    llm doStream error RangeError')
})

test('telemetry §16.44: a streamed object ends its run as well', async () => {
  const recorder = record()
  const model = coatModel(
    new MockLanguageModelV4({ doStream: [streamed(says('{"a":1}', { input: 4, output: 2 }))] }),
  )
  const result = coatGenerate(streamObject)({
    model,
    schema: z.object({ a: z.number() }),
    prompt: 'q',
  })
  for await (const _part of result.partialObjectStream) {
    // Only taken, as a caller would.
  }
  expect(await result.object).toEqual({ a: 1 })
  expect(tree(recorder)[0]).toBe('run streamObject ok')
  expect(tree(recorder).at(-1)).toContain('llm doStream ok in 4 out 2')
})

test('telemetry §16.44: without a step to belong to, a model call belongs to the active span', async () => {
  const recorder = record()
  const model = coatModel(
    new MockLanguageModelV4({ doGenerate: says('x', { input: 1, output: 1 }) }),
  )
  const loop = coatGenerate(async function loop(question: string) {
    return (await generateText({ model, prompt: question })).text
  })
  await expect(loop('q')).resolves.toBe('x')
  expect(tree(recorder)).toEqual(['run loop ok', '  llm doGenerate ok in 1 out 1'])
})

test('telemetry §16.44: every generation of the model specification, with usage in one form', async () => {
  const recorder = record()
  const shared = { provider: 'anthropic.messages', modelId: 'm', supportedUrls: {} }
  const never = async () => {
    throw new Error('not asked for')
  }
  const v1 = coatModel({
    ...shared,
    specificationVersion: 'v1' as const,
    doStream: never,
    doGenerate: async (_params: unknown) => ({
      text: 'x',
      toolCalls: [{ toolCallType: 'function', toolCallId: 'c', toolName: 't', args: '{}' }],
      finishReason: 'stop',
      usage: { promptTokens: 10, completionTokens: 5 },
      providerMetadata: { anthropic: { cacheCreationInputTokens: 3, cacheReadInputTokens: 7 } },
    }),
  })
  const v2 = coatModel({
    ...shared,
    specificationVersion: 'v2' as const,
    doStream: never,
    doGenerate: async (_params: unknown) => ({
      content: [{ type: 'tool-call', toolCallId: 'c', toolName: 't', input: '{}' }],
      finishReason: 'tool-calls',
      usage: { inputTokens: 10, outputTokens: 5, totalTokens: 15, cachedInputTokens: 10 },
    }),
  })
  const v3 = coatModel(
    new MockLanguageModelV3({
      doGenerate: {
        content: [],
        finishReason: { unified: 'stop', raw: 'x' },
        usage: usageV4({ input: 20, output: 5, cached: 10 }),
        warnings: [],
      },
    }),
  )
  const answer = await v1.doGenerate({
    mode: { type: 'regular', tools: [{ name: 't' }] },
    maxTokens: 9,
  })
  expect(answer.text).toBe('x')
  await v2.doGenerate({ prompt: [], tools: [{ type: 'function', name: 't' }] })
  await generateText({ model: v3, prompt: 'q' })

  const [one, two, three] = recorder.spans()
  expect(one?.start.payload).toMatchObject({ params: { max_tokens: 9 }, tools: ['t'] })
  for (const each of [one, two]) {
    expect(each?.end?.payload).toMatchObject({
      usage: { input: 20, output: 5, total: 25 },
      tool_calls: [{ id: 'c', name: 't' }],
    })
  }
  expect(three?.end?.payload['usage']).toMatchObject({ input: 20, output: 5, cache_read: 10 })
})

test('telemetry §16.44: embeddings are model calls, and reranking is a read of memory', async () => {
  const recorder = record()
  const embedding = coatEmbeddingModel(
    new MockEmbeddingModelV4({
      provider: 'openai.embedding',
      modelId: 'embed-1',
      maxEmbeddingsPerCall: 10,
      doEmbed: { embeddings: [[0.1], [0.2]], usage: { tokens: 12 }, warnings: [] },
    }),
  )
  const reranking = coatRerankingModel(
    new MockRerankingModelV4({
      provider: 'cohere.reranking',
      modelId: 'rank-1',
      doRerank: async () => ({
        ranking: [
          { index: 1, relevanceScore: 0.9 },
          { index: 0, relevanceScore: 0.2 },
        ],
      }),
    }),
  )
  const { embeddings } = await embedMany({ model: embedding, values: ['secret-value', 'b'] })
  await rerank({ model: reranking, documents: ['secret-value', 'b'], query: 'secret-value' })

  expect(embeddings).toHaveLength(2)
  expect(tree(recorder)).toEqual(['llm doEmbed ok in 12 out 0', 'memory.read doRerank ok'])
  expect(spanOf(recorder, 'agent.llm').start.payload).toMatchObject({
    operation: 'embeddings',
    provider: 'openai',
    model: 'embed-1',
  })
  expect(spanOf(recorder, 'agent.memory').end.payload).toMatchObject({
    count: 2,
    ids: ['1', '0'],
    scores: [0.9, 0.2],
  })
  expect(recorder.text()).not.toContain('secret-value')
})

test('telemetry §16.44: as middleware of the AI SDK itself', async () => {
  const recorder = record()
  const model = wrapLanguageModel({
    model: new MockLanguageModelV4({ doGenerate: says('x', { input: 2, output: 1 }) }),
    middleware: coatMiddleware(),
  })
  await generateText({ model, prompt: 'q' })
  expect(tree(recorder)).toEqual(['llm doGenerate ok in 2 out 1'])
})

test('a wrapped model keeps its members, private ones included, and an id is refused with the way out', () => {
  class Own {
    readonly #secret = 'kept'
    readonly specificationVersion = 'v4'
    readonly provider = 'p'
    readonly modelId = 'm'
    get supportedUrls() {
      return { secret: this.#secret }
    }
    tell() {
      return this.#secret
    }
    async doGenerate() {
      return {}
    }
    async doStream() {
      return {}
    }
  }
  const model = coatModel(new Own())
  expect(model.tell()).toBe('kept')
  expect(model.supportedUrls).toEqual({ secret: 'kept' })
  expect(model).toBeInstanceOf(Own)
  expect(() => coatModel('openai/gpt-5' as unknown as object)).toThrow(/gateway\(id\)/)
})

test('wrapped tools stay what they were: results that come at once, progress, and what has no execute', async () => {
  const recorder = record()
  const elsewhere = { description: 'elsewhere' }
  const own = {
    now: { execute: (input: number) => input + 1 },
    slow: {
      async *execute() {
        yield 'half'
        yield 'whole'
      },
    },
    elsewhere,
  }
  const watched = coatTools(own)
  expect(watched.now.execute(1)).toBe(2)
  expect(watched.elsewhere).toBe(elsewhere)
  expect(own.now).not.toBe(watched.now)
  const told: string[] = []
  for await (const part of watched.slow.execute()) told.push(part)
  expect(told).toEqual(['half', 'whole'])
  for await (const part of watched.slow.execute()) {
    expect(part).toBe('half')
    break
  }
  expect(tree(recorder)).toEqual(['tool now ok', 'tool slow ok', 'tool slow cancelled'])
})

test('a stream that nobody reads to its end is abandoned with its run, once it is collected', async () => {
  const recorder = record()
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const model = coatModel(
    new MockLanguageModelV4({
      doStream: async () => streamed(says('a b c', { input: 1, output: 1 })),
    }),
  )
  const leave = coatGenerate(async (_asked: { prompt: string }) => {
    const { stream: parts } = await model.doStream({ prompt: [] })
    await parts.getReader().read()
    return { fullStream: true }
  })
  await leave({ prompt: 'x' })
  const ends = () => recorder.events.filter(({ part }) => part === 'end')
  for (let round = 0; round < 200 && ends().length === 0; round += 1) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  expect(ends().map(({ kind, payload }) => [kind, payload['status']])).toEqual([
    ['agent.llm.response', 'abandoned'],
    ['agent.step.end', 'abandoned'],
    ['agent.run.end', 'abandoned'],
  ])
})

test('runs that are never over make room for others, and are told as abandoned', async () => {
  const recorder = record()
  const endless = coatGenerate((_asked: { prompt: string }) => ({ fullStream: true }))
  for (let n = 0; n <= MAX_OPEN_RUNS; n += 1) endless({ prompt: 'x' })
  const ends = recorder.events.filter(({ kind }) => kind === 'agent.run.end')
  expect(ends.map(({ payload }) => payload)).toMatchObject([{ status: 'abandoned' }])
})
