/** The conventions and prohibitions of the document that the agent SDK was founded on, a test for each line. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import * as agent from '@vestry/sdk/agent'
import { detectProvider, PROVIDERS, TRANSLATIONS } from '@vestry/sdk/llm/providers'
import { sampleTrat, startFakeStack } from '@vestry/sdk/testing'
import { expect, test } from 'vitest'

const { AgentContext, AgentRunner, GatewayCredentials, SageSanctumAgent, SageSanctumError } = agent
const ROOT = join(import.meta.dirname, '../..')
const RUN = { RUN_ID: 'run_1', ORG_ID: 'org_1', WORK_DIR: '/tmp', OUTPUT_PATH: '/tmp/out' }

type ErrorClass = new (message: string) => agent.SageSanctumError

const errorClasses = Object.entries(agent as Record<string, unknown>).flatMap(
  ([name, value]): [string, ErrorClass][] =>
    typeof value === 'function' && value.prototype instanceof SageSanctumError
      ? [[name, value as ErrorClass]]
      : [],
)

test('conventions: every error has an exit code from 10 to 69, those of external tools from 70 to 73', () => {
  expect(errorClasses.length).toBe(24)
  for (const [name, Class] of errorClasses) {
    const { exitCode } = new Class('x')
    expect(exitCode, name).toBeGreaterThanOrEqual(10)
    expect(exitCode, name).toBeLessThanOrEqual(
      /Subprocess|ExternalTool|OutputParse/.test(name) ? 73 : 69,
    )
  }
})

test.each(errorClasses)(
  'conventions: the runner turns %s into its exit code',
  async (_name, Class) => {
    class Failing extends SageSanctumAgent {
      static override readonly requiresGateway = false
      readonly name = 'failing'
      readonly version = '1'
      async run(): Promise<never> {
        throw new Class('on purpose')
      }
    }
    const exit = new AgentRunner(Failing, {
      context: async () => AgentContext.forExternalLlm({ env: RUN }),
      input: async () => new agent.RepositoryInput({ path: ROOT }),
      logging: { level: 'error', write: () => undefined },
    }).run()
    expect(await exit).toBe(new Class('x').exitCode)
  },
)

test('conventions: contexts are made by two factories, one for production and one for a developer’s machine', async () => {
  await using stack = await startFakeStack()
  const production = await AgentContext.fromEnvironment({ env: stack.environment })
  expect(production.gatewayClient?.isGatewayMode).toBe(true)
  const local = AgentContext.forLocalDevelopment({ env: {} })
  expect(local.gatewayClient?.isGatewayMode).toBe(false)
  expect(local.runId).toBe('local')
})

test.each(['1', 'true', 'TRUE'])(
  'conventions: SAGE_SANCTUM_ALLOW_DIRECT=%s switches to API keys',
  async (value) => {
    const env = { ...RUN, SAGE_SANCTUM_ALLOW_DIRECT: value, OPENAI_API_KEY: 'sk-1' }
    const context = await AgentContext.fromEnvironment({ env })
    expect(context.gatewayClient?.isGatewayMode).toBe(false)
  },
)

test.each(['0', 'false', ''])(
  'conventions: SAGE_SANCTUM_ALLOW_DIRECT=%j does not',
  async (value) => {
    const env = { ...RUN, SAGE_SANCTUM_ALLOW_DIRECT: value }
    await expect(AgentContext.fromEnvironment({ env })).rejects.toMatchObject({ exitCode: 43 })
  },
)

test('conventions: models come from the token’s list for each category', () => {
  const { allowedModels } = sampleTrat().tctx
  const selector = new agent.ModelSelector(() => allowedModels)
  expect(selector.select('triage').toString()).toBe('openai:gpt-4o-mini')
  expect(selector.select('analysis').toString()).toBe('openai:gpt-4o')
  expect(selector.select('reasoning').toString()).toBe('openai:o1')
  expect(selector.select('embeddings').toString()).toBe('openai:text-embedding-3-small')
})

test('conventions: the version is written once and read from there', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    version: string
  }
  expect(agent.VERSION).toBe(version)
})

test('what not to do: credentials do not print themselves', () => {
  const secret = 'eyJhbGciOiJFUzI1NiJ9.marker-of-a-token.signature-of-it'
  const credentials = new GatewayCredentials({ spiffeJwt: secret, trat: secret })
  const printed = [
    String(credentials),
    `${credentials}`,
    inspect(credentials, { depth: 9, showHidden: true }),
    JSON.stringify(credentials),
  ]
  for (const text of printed) expect(text).not.toContain('marker')
  expect(String(credentials)).toContain('eyJhbGci...')
})

test('what not to do: no provider without its prefixes, its detection and its translation', () => {
  for (const { provider, prefixes } of PROVIDERS) {
    expect(TRANSLATIONS.map(({ id }) => id)).toContain(provider)
    for (const prefix of prefixes) expect(detectProvider(`${prefix}x`)).toBe(provider)
  }
})

test('what not to do: a gateway environment never falls back to the network', async () => {
  await using stack = await startFakeStack()
  const { LLM_GATEWAY_SOCKET: _, ...env } = stack.environment
  await expect(AgentContext.fromEnvironment({ env })).rejects.toMatchObject({ exitCode: 43 })
  expect(() => AgentContext.forLocalDevelopment({ env: stack.environment })).toThrow(
    expect.objectContaining({ exitCode: 43 }),
  )
})

test('what not to do: the MCP client stub is no part of any door', async () => {
  const doors = await Promise.all<object>([
    import('@vestry/sdk/agent'),
    import('@vestry/sdk/llm'),
    import('@vestry/sdk/langchain'),
    import('@vestry/sdk/testing'),
  ] satisfies Promise<object>[])
  const names = doors.flatMap((door) => Object.keys(door))
  expect(names).toContain('SageSanctumAgent')
  expect(names.filter((name) => /mcp/i.test(name))).toEqual([])
})
