import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type * as types from './index.ts'
import * as door from './index.ts'
import { methodsOf } from './methods.test-kit.ts'

const ROOT = resolve(import.meta.dirname, '../../../..')
const SOURCE = pathToFileURL(join(import.meta.dirname, 'index.ts')).href
const MANUAL = join(ROOT, 'docs/api/runtime.md')
const run = promisify(execFile)

/** Every class, model and enum that the published manual imports: this does not compile without one of them. */
type Published = [
  types.Client,
  types.APIError,
  types.AuthenticationError,
  types.NotFoundError,
  types.RateLimitError,
  types.SymbiontError,
  types.Agent,
  types.AgentDeployRequest,
  types.AgentState,
  types.ContextQuery,
  types.DslCompileRequest,
  types.FindingSeverity,
  types.HumanReviewDecision,
  types.KnowledgeItem,
  types.KnowledgeSourceType,
  types.McpServerConfig,
  types.ReviewSession,
  types.ReviewSessionCreate,
  types.ReviewStatus,
  types.SecretBackendConfig,
  types.SecretBackendType,
  types.SecretRequest,
  types.SecurityFinding,
  types.SigningRequest,
  types.Tool,
  types.ToolProvider,
  types.ToolSchema,
  types.VaultAuthMethod,
  types.VaultConfig,
  types.VectorMetadata,
  types.VectorSearchRequest,
  types.WorkflowExecutionRequest,
]

const PUBLISHED: Published['length'] = 32

test('what the published manual imports is here by its name', () => {
  expect(PUBLISHED).toBe(32)
  const item: types.KnowledgeItem = {
    id: 'doc-001',
    content: 'This is important documentation about the system...',
    metadata: {
      source: 'documentation.md',
      source_type: door.KnowledgeSourceType.DOCUMENT,
      timestamp: new Date(),
      agent_id: 'agent-123',
    },
  }
  expect(item.metadata.source_type).toBe('document')
  const state: types.AgentState = 'idle' // either may be written
  expect(door.AgentState.IDLE).toBe(state)
  const values = { ...door.ReviewStatus, ...door.FindingSeverity, ...door.SecretBackendType }
  expect(values).toMatchObject({
    PENDING_REVIEW: 'pending_review',
    CRITICAL: 'critical',
    ENCRYPTED_FILE: 'encrypted_file',
  })
  for (const name of ['APIError', 'AuthenticationError', 'NotFoundError', 'RateLimitError'])
    expect(Object.keys(door)).toContain(name)
})

test('the door loads node: modules, zod, the contract, the active trace and its own files', async () => {
  const script = `
    import { registerHooks } from 'node:module'
    const loaded = new Set()
    registerHooks({ resolve(specifier, context, next) {
      const resolved = next(specifier, context)
      loaded.add(resolved.url)
      return resolved
    } })
    await import(${JSON.stringify(SOURCE)})
    console.log(JSON.stringify([...loaded]))`
  const { stdout } = await run(process.execPath, [
    '--conditions=source',
    '--input-type=module',
    '-e',
    script,
  ])
  const loaded = JSON.parse(stdout) as string[]
  const ours =
    /^node:|\/node_modules\/zod\/|\/packages\/contract\/(?:src|dist)\/(?:runtime|version|ids)\.(?:ts|js)$|\/packages\/coat\/(?:src|dist)\/|\/sdk\/src\/(?:runtime\/[\w-]+|trace|vault\/wait)\.ts$/
  expect(loaded.length).toBeGreaterThan(8)
  expect(loaded.filter((url) => !ours.test(url))).toEqual([])
  const coat = loaded.filter((url) => url.includes('/packages/coat/'))
  expect(coat.filter((url) => !/\/(?:traceparent|active|ids)\.(?:ts|js)$/.test(url))).toEqual([])
})

test('every name that the door exports, types and methods included, is in the manual', async () => {
  const manual = await readFile(MANUAL, 'utf8')
  const index = await readFile(join(import.meta.dirname, 'index.ts'), 'utf8')
  const names = [...index.matchAll(/export (?:type )?\{([^}]*)\}/g)]
    .flatMap(([, list]) => (list ?? '').split(','))
    .map((name) => name.trim().replace(/^.* as |^type /, ''))
    .filter((name) => name !== '')
  const declared = [...index.matchAll(/^export (?:type|function) (\w+)/gm)]
  const methods = methodsOf(door.SymbiontClient.prototype)
  const wanted = [...names, ...declared.map(([, name]) => name ?? ''), ...methods].filter(
    (name) => name !== 'constructor',
  )
  expect(wanted).toEqual(expect.arrayContaining(Object.keys(door)))
  expect(wanted.filter((name) => !new RegExp(`\\b${name}\\b`).test(manual))).toEqual([])
})

test('every value of an enum and every code of the client is in the manual', async () => {
  const manual = await readFile(MANUAL, 'utf8')
  const enums = Object.values(door).filter(
    (value) =>
      typeof value === 'object' &&
      Object.values(value).every((member) => typeof member === 'string'),
  )
  expect(enums).toHaveLength(14)
  const words = enums.flatMap((value) => Object.values(value as Record<string, string>))
  const files = await Promise.all(
    ['calls', 'review-methods', 'exchange', 'options', 'path'].map((name) =>
      readFile(join(import.meta.dirname, `${name}.ts`), 'utf8'),
    ),
  )
  const codes = [...files.join('\n').matchAll(/'([A-Z]+(?:_[A-Z]+)+|TIMEOUT)'/g)]
    .map(([, code]) => code ?? '')
    .filter((code) => !code.startsWith('SYMBIONT_'))
  expect(new Set(codes).size).toBeGreaterThan(6)
  expect([...words, ...codes].filter((word) => !manual.includes(`\`${word}\``))).toEqual([])
})

test('every code block of the manual is part of a file that runs', async () => {
  const folder = join(ROOT, 'examples/runtime')
  const names = (await readdir(folder)).filter((name) => name.endsWith('.ts'))
  const sources = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
  const seed = await readFile(join(ROOT, 'test/sdk/runtime-seed.test.ts'), 'utf8')
  for (const name of names) expect(seed).toContain(`examples/runtime/${name}`)
  const packed = sources.map(unindented)
  const manual = await readFile(MANUAL, 'utf8')
  const blocks = [...manual.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code ?? '')
  expect(blocks.length).toBeGreaterThan(10)
  for (const block of blocks) {
    const excerpt = unindented(block)
    expect(packed.some((source) => source.includes(excerpt)) ? '' : block).toBe('')
  }
})

test('the variables that the client reads are those of the file to copy', async () => {
  const example = await readFile(join(ROOT, '.env.example'), 'utf8')
  const { parseEnvFile } = await import('./options.ts')
  expect(parseEnvFile(example)).toEqual({
    SYMBIONT_API_KEY: '',
    SYMBIONT_BASE_URL: door.DEFAULT_BASE_URL,
    SYMBIONT_TIMEOUT: '30',
    SYMBIONT_MAX_RETRIES: '3',
  })
})

function unindented(code: string): string {
  const lines = code.split('\n').map((line) => line.trim())
  return lines.filter((line) => line !== '').join('\n')
}
