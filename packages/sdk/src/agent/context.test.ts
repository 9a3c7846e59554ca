import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ConfigurationError, OutputWriteError } from '../sage/errors.ts'
import { type FakeServer, fakeServer, respond, svid, trat } from '../sage/fake-server.test-kit.ts'
import { configureLogging } from '../sage/log.ts'
import { AgentContext } from './context.ts'
import type { OutputRun } from './io.ts'
import type { TokenUsageInput } from './sarif/finding.ts'
import { SarifOutput } from './sarif/output.ts'

let directory: string
let server: FakeServer | undefined
let lines: string[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sage-'))
  lines = []
  configureLogging({ format: 'json', level: 'debug', write: (line) => lines.push(line) })
})

afterEach(async () => {
  configureLogging()
  await server?.close()
  server = undefined
  await rm(directory, { recursive: true, force: true })
})

const events = (): Record<string, unknown>[] => lines.map((line) => JSON.parse(line))
const EXP = 4_000_000_000
const MODELS = { triage: ['openai:gpt-4o-mini'], analysis: ['anthropic:claude-x', 'openai:gpt-4o'] }

async function gatewayEnv(
  allowedModels: object | undefined = MODELS,
): Promise<Record<string, string>> {
  const SPIFFE_JWT_PATH = join(directory, 'svid')
  const TRAT_FILE = join(directory, 'trat')
  await writeFile(SPIFFE_JWT_PATH, svid(EXP))
  await writeFile(TRAT_FILE, trat(EXP, { tctx: { allowed_models: allowedModels } }))
  return {
    RUN_ID: 'r',
    ORG_ID: 'o',
    SPIFFE_JWT_PATH,
    TRAT_FILE,
    LLM_GATEWAY_SOCKET: join(directory, 'none.sock'),
    REPO_PATH: directory,
    OUTPUT_PATH: join(directory, 'out'),
  }
}

describe('sage §3.2: which mode', () => {
  test.each([
    [{}, /RUN_ID/],
    [{ RUN_ID: '', ORG_ID: 'o' }, /RUN_ID/],
    [{ RUN_ID: 'r' }, /ORG_ID/],
    [{ RUN_ID: 'r', ORG_ID: 'o' }, /SPIFFE_JWT_PATH/],
    [{ RUN_ID: 'r', ORG_ID: 'o', SPIFFE_JWT_PATH: '/x' }, /LLM_GATEWAY_SOCKET/],
    [{ RUN_ID: 'r', ORG_ID: 'o', SAGE_SANCTUM_ALLOW_DIRECT: '0' }, /SPIFFE_JWT_PATH/],
    [{ RUN_ID: 'r', ORG_ID: 'o', SAGE_SANCTUM_ALLOW_DIRECT: 'false' }, /SPIFFE_JWT_PATH/],
  ])('sage §21.34: %j is 43', async (env, message) => {
    const error = await AgentContext.fromEnvironment({ env }).catch((one) => one)
    expect(error).toBeInstanceOf(ConfigurationError)
    expect(error.message).toMatch(message)
  })

  test('the direct switch wins over SPIFFE variables', async () => {
    const env = {
      ...(await gatewayEnv()),
      SAGE_SANCTUM_ALLOW_DIRECT: 'True',
      OPENAI_MODEL: 'gpt-x',
    }
    const context = await AgentContext.fromEnvironment({ env })
    expect(context.gatewayClient?.isGatewayMode).toBe(false)
    expect(String(context.modelSelector?.select('triage'))).toBe('openai:gpt-x')
    expect(await context.checkGatewayHealth()).toBe(false)
  })

  test('gateway mode has the run’s fields, the defaults, and the token’s models', async () => {
    const env = await gatewayEnv()
    const context = await AgentContext.fromEnvironment({
      env: { ...env, OUTPUT_PATH: '', WORK_DIR: '' },
    })
    expect(context).toMatchObject({
      runId: 'r',
      orgId: 'o',
      workDir: '/work',
      outputDir: '/output',
    })
    expect(context.gatewayClient?.getEndpoint('openai')).toBe(`unix://${directory}/none.sock`)
    expect(String(context.modelSelector?.select('analysis'))).toBe('anthropic:claude-x')
    expect(() => context.modelSelector?.select('reasoning')).toThrow(/reasoning/)
  })

  test('the SVID file is not touched before the first call', async () => {
    const env = await gatewayEnv()
    await rm(env['SPIFFE_JWT_PATH'] ?? '')
    await AgentContext.fromEnvironment({ env })
  })

  test.each([
    ['missing', undefined, 12],
    ['expired', trat(1000), 13],
    ['with a bad model', trat(EXP, { tctx: { allowed_models: { triage: ['openai:'] } } }), 62],
  ])(
    'sage §20.8: a token that is %s is an error at once, no silent default',
    async (_, token, exitCode) => {
      const env = await gatewayEnv()
      await rm(env['TRAT_FILE'] ?? '')
      if (token !== undefined) await writeFile(env['TRAT_FILE'] ?? '', token)
      await expect(AgentContext.fromEnvironment({ env })).rejects.toMatchObject({ exitCode })
    },
  )

  test('sage §10.3: a token without any model falls back to the environment’s, with a warning', async () => {
    const env = { ...(await gatewayEnv({})), SAGE_MODEL: 'claude-y' }
    const context = await AgentContext.fromEnvironment({ env })
    expect(String(context.modelSelector?.select('reasoning'))).toBe('anthropic:claude-y')
    expect(events()).toMatchObject([{ event: 'trat_without_models', level: 'warning' }])
  })

  test('sage §10.3: the selection follows a newer token', async () => {
    let models: object = { triage: ['openai:a'] }
    let exp = Math.floor(Date.now() / 1000) + 20
    server = await fakeServer((request) =>
      respond(request, 200, trat(exp, { tctx: { allowed_models: models } })),
    )
    const { TRAT_FILE: _, ...env } = await gatewayEnv()
    const context = await AgentContext.fromEnvironment({
      env: { ...env, AUTH_SIDECAR_SOCKET: server.socketPath },
    })
    models = { triage: ['openai:b'] }
    exp = EXP
    await context.gatewayClient?.getTrat()
    expect(String(context.modelSelector?.select('triage'))).toBe('openai:b')
  })

  test('a signal ends the wait for a sidecar that hangs', async () => {
    server = await fakeServer(() => {})
    const { TRAT_FILE: _, ...env } = await gatewayEnv()
    const signal = AbortSignal.timeout(30)
    await expect(
      AgentContext.fromEnvironment({
        env: { ...env, AUTH_SIDECAR_SOCKET: server.socketPath },
        signal,
      }),
    ).rejects.toMatchObject({ name: 'TimeoutError' })
  })
})

describe('sage §15.1: local development', () => {
  test('sage §20.10: needs no permission of the environment, and changes nothing in it', () => {
    const env = Object.freeze({ OPENAI_API_KEY: 'k' })
    const before = { ...process.env }
    const context = AgentContext.forLocalDevelopment({ env })
    expect(context).toMatchObject({
      runId: 'local',
      orgId: 'local',
      workDir: '.',
      outputDir: './output',
    })
    expect(context.gatewayClient?.isGatewayMode).toBe(false)
    expect(String(context.modelSelector?.select('analysis'))).toBe('openai:gpt-4o')
    expect(
      String(
        AgentContext.forLocalDevelopment({ env, model: 'claude-x' }).modelSelector?.select(
          'triage',
        ),
      ),
    ).toBe('anthropic:claude-x')
    expect(process.env).toEqual(before)
  })

  test.each(['SPIFFE_JWT_PATH', 'LLM_GATEWAY_SOCKET'])('is refused where %s is set: 43', (name) => {
    expect(() => AgentContext.forLocalDevelopment({ env: { [name]: '/x' } })).toThrow(
      ConfigurationError,
    )
    AgentContext.forLocalDevelopment({ env: { [name]: '/x', SAGE_SANCTUM_ALLOW_DIRECT: '1' } })
    AgentContext.forLocalDevelopment({ env: { [name]: '' } })
  })
})

describe('sage §21.40: an agent without a gateway', () => {
  test('needs RUN_ID, ORG_ID and REPO_PATH, has no models and no health', async () => {
    const env = { RUN_ID: 'r', ORG_ID: 'o', REPO_PATH: directory }
    const context = AgentContext.forExternalLlm({ env })
    expect(context).toMatchObject({
      runId: 'r',
      orgId: 'o',
      gatewayClient: undefined,
      modelSelector: undefined,
    })
    expect(() => context.createLlmClient('triage')).toThrow(ConfigurationError)
    expect(() => context.createEmbeddingsClient()).toThrow(ConfigurationError)
    expect(await context.checkGatewayHealth()).toBe(false)
    expect(await context.loadInput()).toMatchObject({ path: directory, ioType: 'repository' })
    expect(() => AgentContext.forExternalLlm({ env: { RUN_ID: 'r' } })).toThrow(/ORG_ID/)
  })
})

describe('models', () => {
  const chat = {
    model: 'm',
    choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
  }

  test('a chat goes to the gateway with the category’s model, tokens and category, and is counted', async () => {
    server = await fakeServer((request) => respond(request, 200, chat))
    const env = { ...(await gatewayEnv()), LLM_GATEWAY_SOCKET: server.socketPath }
    const context = await AgentContext.fromEnvironment({ env })
    const answer = await context.createLlmClient('analysis').invoke('hello')
    expect(answer.content).toBe('hi')
    const { headers, body } = server.requests[0] ?? { headers: {}, body: '' }
    expect(headers).toMatchObject({
      authorization: `Bearer ${svid(EXP)}`,
      'x-provider': 'anthropic',
      'x-sage-category': 'analysis',
    })
    expect(JSON.parse(body)).toMatchObject({ model: 'claude-x', temperature: 0 })
    expect(context.usage.entries()).toMatchObject([
      { model: 'anthropic:claude-x', totalTokens: 5, calls: 1 },
    ])
    expect(events()).toContainEqual(
      expect.objectContaining({
        event: 'creating_llm_client',
        level: 'debug',
        category: 'analysis',
        model_ref: 'anthropic:claude-x',
      }),
    )
    expect(await context.checkGatewayHealth()).toBe(true)
    expect(lines.join('')).not.toContain('eyJ')
  })

  test('sage §20.9: a model by name has to be one of the category: 21; no category, no model', async () => {
    const context = await AgentContext.fromEnvironment({ env: await gatewayEnv() })
    context.createLlmClient('analysis', { model: 'openai:gpt-4o', maxTokens: 5 })
    expect(() => context.createLlmClient('triage', { model: 'openai:gpt-4o' })).toThrow(
      /not allowed for triage/,
    )
    expect(() => context.createLlmClient('reasoning')).toThrow(/no model for reasoning/)
    expect(() => context.createLlmClient('poetry' as 'triage')).toThrow(ConfigurationError)
  })

  test('embeddings: the first allowed model, a named one if allowed, the usual one without a list', async () => {
    const env = await gatewayEnv({ ...MODELS, embeddings: ['google:e1', 'openai:e2'] })
    const context = await AgentContext.fromEnvironment({ env })
    const model = (options = {}) =>
      (context.createEmbeddingsClient(options) as unknown as { model: object }).model
    expect(String(model())).toBe('google:e1')
    expect(String(model({ model: 'e2', provider: 'openai' }))).toBe('openai:e2')
    expect(() => model({ model: 'e3' })).toThrow(/not allowed for embeddings/)
    expect(() => model({ provider: 'google' })).toThrow(/google:text-embedding-3-small is not/)
    expect(events()).toContainEqual(
      expect.objectContaining({
        event: 'creating_embeddings_client',
        model: 'e1',
        provider: 'google',
      }),
    )
    const none = await AgentContext.fromEnvironment({ env: await gatewayEnv() })
    expect(() => none.createEmbeddingsClient()).toThrow(/no model for embeddings/)
    const local = AgentContext.forLocalDevelopment({ env: { OPENAI_API_KEY: 'k' } })
    expect(String((local.createEmbeddingsClient() as unknown as { model: object }).model)).toBe(
      'openai:text-embedding-3-small',
    )
  })

  test('direct mode: a missing key is 43 when the client is made', () => {
    const local = AgentContext.forLocalDevelopment({ env: {}, model: 'claude-x' })
    expect(() => local.createLlmClient('triage')).toThrow(/ANTHROPIC_API_KEY/)
    expect(() => local.createEmbeddingsClient()).toThrow(/OPENAI_API_KEY/)
  })

  test('a gateway that is down has no health, at once', async () => {
    const context = await AgentContext.fromEnvironment({ env: await gatewayEnv() })
    const started = performance.now()
    expect(await context.checkGatewayHealth()).toBe(false)
    expect(performance.now() - started).toBeLessThan(2500)
  })
})

describe('output', () => {
  test('is written into a directory made for it, with what is known of the run', async () => {
    const context = AgentContext.forExternalLlm({ env: await gatewayEnv() })
    const seen: unknown[] = []
    const write = async (to: string, run?: OutputRun) => {
      seen.push(to, run)
      return ['a']
    }
    expect(await context.writeOutput({ ioType: 'x', write }, { partial: true })).toEqual(['a'])
    expect(seen).toEqual([join(directory, 'out'), { runId: 'r', tokenUsage: [], partial: true }])
  })

  test('sage §11.4: the models’ usage is in the report, unless the agent gave its own', async () => {
    const context = AgentContext.forExternalLlm({ env: await gatewayEnv() })
    context.usage.record('openai:gpt-4o', { inputTokens: 3, outputTokens: 2, totalTokens: 5 })
    const reported = async (tokenUsage: readonly TokenUsageInput[]) => {
      const output = new SarifOutput({ toolName: 't', toolVersion: '1', tokenUsage })
      await context.writeOutput(output)
      const text = await readFile(join(directory, 'out/results.sarif'), 'utf8')
      return JSON.parse(text).runs[0].properties.tokenUsage
    }
    expect(await reported([])).toEqual(context.usage.entries())
    expect(await reported([{ model: 'own', totalTokens: 1 }])).toMatchObject([{ model: 'own' }])
  })

  test('that fails is 51', async () => {
    const context = AgentContext.forExternalLlm({ env: await gatewayEnv() })
    const write = () => Promise.reject(new Error('disk full'))
    await expect(context.writeOutput({ ioType: 'x', write })).rejects.toBeInstanceOf(
      OutputWriteError,
    )
  })
})
