/** The examples, as somebody without a pod runs them: every event is one line on stderr. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Envelope } from '@vestry/coat/aot'
import { expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')

async function example(
  name: string,
  env: Record<string, string> = {},
): Promise<{ stdout: string; events: Envelope[] }> {
  const file = join(ROOT, 'examples/telemetry', name)
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--no-warnings', '--conditions=source', file],
    {
      env: {
        PATH: process.env['PATH'],
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
        ...env,
      },
      timeout: 30_000,
    },
  )
  const lines = stderr.trimEnd().split('\n')
  expect(lines.filter((line) => !line.startsWith('[coat] {'))).toEqual([])
  return { stdout, events: lines.map((line) => JSON.parse(line.slice('[coat] '.length))) }
}

const shown = ({ kind, payload }: Envelope) => `${kind} ${payload['fn'] ?? payload['name']}`

test('the quick start runs outside a pod, and each of its lines is an envelope', async () => {
  const { stdout, events } = await example('quick-start.ts', { ENVPOD_AGENT_ID: 'scout' })
  const [, path = ''] = /path: '([^']+)'/.exec(stdout) ?? []
  expect(readFileSync(path, 'utf8')).toBe('// refactor main.ts\n')
  rmSync(dirname(path), { recursive: true })
  expect(stdout).toContain(`sum: ${(249 * 250) / 2}`)
  expect(events.map(shown)).toEqual([
    'agent.llm.request askModel',
    'agent.llm.response askModel',
    'agent.tool.call writeFile',
    'agent.tool.result writeFile',
    'agent.tool.call processBatch',
    'x.coat.tie batch',
    'x.coat.tie batch',
    'x.coat.tie batch',
    'agent.tool.result processBatch',
  ])
  for (const [at, event] of events.entries()) {
    expect(event).toMatchObject({
      spec: 'aotp/0.1',
      ts: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      subject: { agent_id: 'scout', agent_role: '', framework: 'envpod-coat' },
      producer: { seq: at + 1, lang: 'ts' },
    })
    expect(event).not.toHaveProperty('envpod')
  }
  const [request, response] = events
  expect(response?.ids).toEqual(request?.ids)
  expect(response?.payload).toMatchObject({
    status: 'ok',
    response_model: 'claude-sonnet-4-6',
    usage: { input: 12, output: 7 },
  })
  const [tie] = events.filter(({ kind }) => kind === 'x.coat.tie')
  expect(tie?.payload['data']).toEqual({ i: 0, size: 100 })
  expect(JSON.stringify(events)).not.toContain('refactor')
})

test('what is captured is what the options and the settings say', async () => {
  const { events } = await example('capture.ts', { ENVPOD_COAT_CAPTURE: 'raw' })
  expect(new Set(events.map(({ capture }) => capture.mode))).toEqual(new Set(['redacted']))
  const quiet = await example('capture.ts')
  const ends = quiet.events.filter(({ payload }) => payload['status'] === 'ok')
  expect(ends.map(({ capture }) => capture.mode)).toEqual(['redacted', 'none', 'none', 'none'])
  expect(ends[0]?.payload['locals']).toEqual({ steps: 3, last: 'write' })
  expect(ends[1]?.payload).toMatchObject({ fn: 'searchNotes', store: 'notes', count: 1 })
  const [search] = quiet.events.filter(({ kind }) => kind === 'agent.memory.read')
  expect(search?.payload).toMatchObject({ top_k: 1, attributes: { team: 'research' } })
})

test('a trace goes on in what serves a request and in a child process', async () => {
  const { stdout, events } = await example('across-processes.ts')
  const result = JSON.parse(stdout)
  expect(result).toMatchObject({ emitted: 8, dropped: { lifecycle: 0, detail: 0 } })
  expect(result.served).toBe(result.trace)
  const starts = events.filter(({ payload }) => payload['status'] === undefined)
  const byName = new Map(starts.map((event) => [event.payload['fn'], event.ids]))
  expect(byName.get('answer')?.parent_span_id).toBe(byName.get('ask')?.span_id)
  expect(result.seen).toBe(
    `00-${result.trace.slice(3)}-${byName.get('runChild')?.span_id.slice(3)}-01`,
  )
  expect(new Set(events.map(({ ids }) => ids.run_id)).size).toBe(1)
})

test('every way to wrap is told, what is unwrapped is not', async () => {
  const { stdout, events } = await example('forms.ts')
  expect(JSON.parse(stdout)).toEqual([4, 1, true, 3, 1, 3, 10])
  const starts = events.filter(({ payload }) => payload['status'] === undefined)
  expect(starts.map(({ payload }) => payload['fn'])).toEqual([
    'words',
    'Notes.add',
    'anonymous',
    'halve',
    'anonymous',
    'anonymous',
  ])
  const words = events.find(({ payload }) => payload['yields'] !== undefined)
  expect(words?.payload).toMatchObject({ fn: 'words', status: 'ok', yields: 3, chunks: 3 })
})

test('every code block of the manual is part of a file that runs', () => {
  const folder = join(ROOT, 'examples/telemetry')
  const sources = readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
  const manual = readFileSync(join(ROOT, 'docs/api/coat.md'), 'utf8')
  const blocks = [...manual.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, block]) => block ?? '')
  expect(blocks.length).toBeGreaterThanOrEqual(8)
  const isPart = (block: string) =>
    sources.some((source) => unindented(source).includes(unindented(block)))
  expect(blocks.filter((block) => !isPart(block))).toEqual([])
})

function unindented(code: string): string {
  const lines = code.split('\n').map((line) => line.trim())
  return lines.filter((line) => line !== '').join('\n')
}
