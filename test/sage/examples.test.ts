import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test, vi } from 'vitest'
import { ToolDriver } from '../../examples/agent/bridge.ts'
import { askOrExplain } from '../../examples/agent/errors.ts'
import { LineCounter } from '../../examples/agent/line-counter.ts'
import { modelOf, nearest, summarise } from '../../examples/langchain/chain.ts'
import { review, reviewAll } from '../../examples/llm/chat.ts'
import { closest } from '../../examples/llm/embeddings.ts'
import { explain } from '../../examples/llm/streaming.ts'
import { judge, judgeOrTell } from '../../examples/llm/structured.ts'
import { answerFromFiles } from '../../examples/llm/tools.ts'
import { scriptedAnswers } from '../../examples/testing/unit.ts'
import { runAgainstFakes } from '../../examples/testing/whole-run.ts'
import {
  AgentContext,
  AgentRunner,
  ForbiddenError,
  GatewayError,
  ModelNotAuthorizedError,
  RateLimitError,
} from '../../packages/sdk/src/agent/index.ts'
import {
  mockContext,
  type ScriptedReply,
  startFakeStack,
} from '../../packages/sdk/src/testing/index.ts'

const quiet = { write: () => {} }

async function withReplies<T>(
  replies: ScriptedReply[],
  work: (context: Awaited<ReturnType<typeof mockContext>>) => Promise<T>,
): Promise<T> {
  const context = await mockContext({ replies })
  try {
    return await work(context)
  } finally {
    await context.close()
  }
}

test('the chat examples ask, all at once too', async () => {
  const usage = { inputTokens: 3, outputTokens: 2, totalTokens: 5 }
  await withReplies([{ text: 'Never eval.', usage }, 'one', 'two', 'three'], async (context) => {
    expect(await review(context, 'eval(input())')).toEqual({
      content: 'Never eval.',
      finishReason: 'stop',
      tokens: 5,
    })
    expect((await reviewAll(context, ['a', 'b', 'c'])).toSorted()).toEqual(['one', 'three', 'two'])
    expect(context.llm.calls[0]).toMatchObject({
      category: 'analysis',
      request: { max_tokens: 400 },
    })
  })
})

test('the streaming example prints while the answer is written', async () => {
  const usage = { inputTokens: 3, outputTokens: 2, totalTokens: 5 }
  await withReplies([{ chunks: ['Never ', 'eval.'], usage }], async (context) => {
    const printed: string[] = []
    const end = await explain(context, 'Why?', (text) => printed.push(text))
    expect(printed.filter(Boolean)).toEqual(['Never ', 'eval.'])
    expect(end).toEqual({ finishReason: 'stop', tokens: 5 })
  })
})

test('the tools example runs the call and passes its result on', async () => {
  const call = { toolCalls: [{ name: 'read_file', args: { path: 'a.py' } }] }
  await withReplies([call, 'It evaluates input.'], async (context) => {
    const read = async (path: string) => `text of ${path}`
    expect(await answerFromFiles(context, 'What does a.py do?', read)).toEqual({
      files: ['a.py'],
      content: 'It evaluates input.',
    })
    expect(context.llm.calls[1]?.messages.at(-1)).toMatchObject({
      role: 'tool',
      content: 'text of a.py',
    })
  })
})

test('the structured examples give values, or say why there is none', async () => {
  const verdict = { suspicious: true, reason: 'eval' }
  const replies = [JSON.stringify(verdict), JSON.stringify(verdict), 'no JSON']
  await withReplies(replies, async (context) => {
    expect(await judge(context, 'eval(x)')).toEqual(verdict)
    expect(await judgeOrTell(context, 'eval(x)')).toEqual(verdict)
    expect(await judgeOrTell(context, 'eval(x)')).toMatch(/not JSON.*\(stop\)/)
  })
})

test('the embeddings example finds the same text', async () => {
  await withReplies([], async (context) => {
    expect(await closest(context, 'b', ['a', 'b', 'c'])).toBe('b')
  })
})

test('the LangChain example runs a chain and finds the same text', async () => {
  const stack = await startFakeStack({ replies: ['{"summary":"evaluates input"}'] })
  try {
    const context = await AgentContext.fromEnvironment({ env: stack.environment })
    const gatewayClient = stack.client()
    const model = modelOf(Object.assign(context, { gatewayClient }))
    expect(await summarise(model, 'eval(input())')).toEqual({ summary: 'evaluates input' })
    expect(stack.gateway.requests[0]?.headers['x-sage-category']).toBe('analysis')
    expect(await nearest(gatewayClient, 'b', ['a', 'b', 'c'])).toBe('b')
  } finally {
    await stack.close()
  }
})

test('the error example tells failures apart', async () => {
  const replies = [
    'fine',
    new ModelNotAuthorizedError('no'),
    new ForbiddenError('no', { code: 'run_closed' }),
    new RateLimitError('busy', { retryAfterSeconds: 7 }),
    new GatewayError('cut', { truncated: true }),
    new GatewayError('bad'),
  ]
  await withReplies(replies, async (context) => {
    const told: string[] = []
    for (const _ of replies) told.push(await askOrExplain(context, 'hello'))
    expect(told).toEqual([
      'fine',
      'The run may not use this model',
      'Not permitted: run_closed',
      'Busy, again in 7 s',
      'The answer broke off',
      'GatewayError (exit 30)',
    ])
  })
})

test('the examples of tests pass, and one of them runs an agent', async () => {
  expect(await scriptedAnswers()).toBe(3)
  const folder = mkdtempSync(join(tmpdir(), 'vestry-example-'))
  try {
    writeFileSync(join(folder, 'long.py'), 'x = 1\n'.repeat(400))
    expect(await runAgainstFakes(LineCounter, folder, [])).toMatchObject({ code: 0, requests: 0 })
    const output = join(folder, 'output')
    const env = { RUN_ID: 'r', ORG_ID: 'o', SAGE_SANCTUM_ALLOW_DIRECT: '1' }
    const runner = new AgentRunner(LineCounter, {
      env: { ...env, OUTPUT_PATH: output, REPO_PATH: folder },
      logging: quiet,
    })
    expect(await runner.run()).toBe(0)
    expect(JSON.parse(readFileSync(join(output, 'results.sarif'), 'utf8'))).toMatchObject({
      runs: [{ results: [{ ruleId: 'long-file', message: { text: '401 lines' } }] }],
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('the bridge example starts a tool that reaches the gateway', async () => {
  const stack = await startFakeStack()
  const tool = `
    const { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key } = process.env
    const headers = { 'x-api-key': key, 'content-type': 'application/json' }
    const reply = await fetch(url + '/v1/messages', { method: 'POST', headers, body: '{}' })
    process.exitCode = reply.status === 404 ? 0 : 1`
  const env = {
    ...stack.environment,
    REPO_PATH: resolve(import.meta.dirname),
    SAGE_BRIDGE_LISTEN: '127.0.0.1:0',
  }
  const all = {
    ...env,
    TOOL: JSON.stringify([process.execPath, '--input-type=module', '-e', tool]),
  }
  for (const [name, value] of Object.entries(all)) vi.stubEnv(name, value)
  try {
    expect(await new AgentRunner(ToolDriver, { env, logging: quiet }).run()).toBe(0)
    // The fake gateway has no such route; that it says so shows that the request came, with its tokens.
    expect(stack.gateway.requests.map(({ path }) => path)).toEqual(['/v1/messages'])
    expect(stack.gateway.requests[0]?.headers['txn-token']).toMatch(/^ey/)
  } finally {
    vi.unstubAllEnvs()
    await stack.close()
  }
})
