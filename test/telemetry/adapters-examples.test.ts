import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { Envelope } from '../../packages/coat/src/aot.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Runs an example outside a pod; some packages of others have to be kept from their sources. */
async function run(example: string): Promise<{ out: string; events: Envelope[] }> {
  const child = spawn(
    process.execPath,
    [
      '--conditions=source',
      '--no-warnings',
      '--import=./packages/coat/src/adapters/published-code.test-kit.ts',
      `examples/telemetry/${example}`,
    ],
    {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'] ?? '',
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
        HOME: '/nonexistent',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
    },
  )
  let out = ''
  let told = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    told += text
  })
  const [code] = await once(child, 'close')
  expect(code, told).toBe(0)
  const lines = told.split('\n').filter((line) => line !== '')
  expect(lines.filter((line) => !line.startsWith('[coat] '))).toEqual([])
  return { out, events: lines.map((line) => JSON.parse(line.slice('[coat] '.length)) as Envelope) }
}

/** Kinds with the name of the span above each. */
function outline(events: readonly Envelope[]): string[] {
  const names = new Map(events.map(({ ids, payload }) => [ids.span_id, String(payload['fn'])]))
  return events.map(({ kind, ids, payload }) => {
    const above = names.get(ids.parent_span_id)
    return `${kind} ${String(payload['fn'])}${above === undefined ? '' : ` in ${above}`}`
  })
}

test('telemetry §16.44: the LangChain example tells its runs, and no content', async () => {
  const { out, events } = await run('langchain.ts')
  expect(out).toBe('There are 12.50 in it.\n')
  expect(outline(events)).toEqual([
    'agent.tool.call balance',
    'agent.tool.result balance',
    'agent.run.start RunnableSequence',
    'agent.step.start ChatPromptTemplate in RunnableSequence',
    'agent.step.end ChatPromptTemplate in RunnableSequence',
    'agent.llm.request FakeListChatModel in RunnableSequence',
    'agent.llm.response FakeListChatModel in RunnableSequence',
    'agent.step.start StrOutputParser in RunnableSequence',
    'agent.step.end StrOutputParser in RunnableSequence',
    'agent.run.end RunnableSequence',
  ])
  expect(events.every(({ subject }) => subject.framework === 'langchain')).toBe(true)
  expect(JSON.stringify(events)).not.toContain('12.50')
})

test('telemetry §16.44: the AI SDK example tells its run, steps and tool', async () => {
  const { out, events } = await run('ai-sdk.ts')
  expect(out).toBe('There are 12.50 in it.\n')
  expect(outline(events)).toEqual([
    'agent.run.start generateText',
    'agent.step.start step 0 in generateText',
    'agent.llm.request doGenerate in step 0',
    'agent.llm.response doGenerate in step 0',
    'agent.tool.call balance in step 0',
    'agent.tool.result balance in step 0',
    'agent.step.end step 0 in generateText',
    'agent.step.start step 1 in generateText',
    'agent.llm.request doGenerate in step 1',
    'agent.llm.response doGenerate in step 1',
    'agent.step.end step 1 in generateText',
    'agent.run.end generateText',
  ])
  const last = events.at(-1)
  expect(last?.payload).toMatchObject({
    status: 'ok',
    turns: 2,
    totals: { input_tokens: 100, output_tokens: 17 },
  })
  expect(events[0]?.capture.mode).toBe('none')
  expect(JSON.stringify(events)).not.toContain('12.50')
})

test('telemetry §16.44: every adapter that the manual registers is exported by the door it names', async () => {
  const page = readFileSync(`${ROOT}/docs/adapters.md`, 'utf8')
  const imports = [...page.matchAll(/^import \{ ([^}]+) \} from '@vestry\/coat\/([a-z-]+)'$/gm)]
  const doors = new Set(imports.map(([, , door]) => door))
  expect([...doors].sort()).toEqual([
    'ai-sdk',
    'anthropic',
    'claude-agent',
    'langchain',
    'mcp',
    'openai-agents',
  ])
  for (const [, names = '', door = ''] of imports) {
    const found: object = await import(`../../packages/coat/src/${door}/index.ts`)
    for (const name of names.split(', ')) {
      expect(typeof Reflect.get(found, name), `${name} of ${door}`).toBe('function')
    }
  }
})
