import { afterAll, beforeAll, expect, test } from 'vitest'
import { askOrExplain } from '../../examples/agent/errors.ts'
import { modelOf, nearest, summarise } from '../../examples/langchain/chain.ts'
import { review, reviewAll } from '../../examples/llm/chat.ts'
import { closest } from '../../examples/llm/embeddings.ts'
import { explain } from '../../examples/llm/streaming.ts'
import { judge, judgeOrTell } from '../../examples/llm/structured.ts'
import { answerFromFiles } from '../../examples/llm/tools.ts'
import { AgentContext, type GatewayClient } from '../../packages/sdk/src/agent/index.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'

let daemon: TestDaemon
let context: AgentContext & { gatewayClient: GatewayClient }
let run = ''

beforeAll(async () => {
  daemon = await startTestDaemon({ dev: true })
  await daemon.addAgent('scanner')
  const reply = (await daemon.admin.call('admin.run.register', {
    agent: 'scanner',
    org_id: 'acme',
    allowed_models: {
      triage: ['openai:gpt-4o-mini'],
      analysis: ['openai:gpt-4o', 'anthropic:claude-sonnet-4-5'],
      embeddings: ['openai:text-embedding-3-small'],
    },
  })) as { run_id: string; env: Record<string, string> }
  run = reply.run_id
  const made = await AgentContext.fromEnvironment({ env: reply.env })
  context = made as typeof context // gateway mode has one
})
afterAll(() => daemon.stop())

test('the examples of the manual run as written against a daemon', async () => {
  const code = 'eval(input())'
  expect(await review(context, code)).toMatchObject({
    content: expect.stringContaining('run as code'),
    finishReason: 'stop',
    tokens: expect.any(Number),
  })
  expect(await reviewAll(context, ['a', 'b', 'c'])).toHaveLength(3)
  const printed: string[] = []
  const end = await explain(context, `Why is ${code} bad?`, (text) => printed.push(text))
  expect(end).toMatchObject({ finishReason: 'stop', tokens: expect.any(Number) })
  expect(printed.join('')).toContain('run as code')
  const answer = await answerFromFiles(context, 'What is in a.py?', async () => code)
  expect(answer).toMatchObject({ files: [expect.any(String)], content: expect.any(String) })
  expect(await judge(context, code)).toEqual({ suspicious: true, reason: expect.any(String) })
  expect(await judgeOrTell(context, 'x = 1')).toMatchObject({ suspicious: false })
  expect(await closest(context, 'b', ['a', 'b', 'c'])).toBe('b')
  expect(context.usage.total.calls).toBeGreaterThan(8)
})

test('the LangChain example runs against a daemon', async () => {
  expect(await summarise(modelOf(context), 'eval(input())')).toEqual(expect.any(Object))
  expect(await nearest(context.gatewayClient, 'b', ['a', 'b', 'c'])).toBe('b')
})

test('when the run is closed, the error example says what the daemon said', async () => {
  expect(await askOrExplain(context, 'Hello')).toMatch(/./)
  await daemon.admin.call('admin.run.close', { id: run })
  expect(await askOrExplain(context, 'Hello')).toBe('Not permitted: run_closed')
})
