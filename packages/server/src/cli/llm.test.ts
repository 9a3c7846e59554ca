import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliHome } from './cli.test-kit.ts'

const cli = new CliHome()
let env: Record<string, string>

beforeAll(async () => {
  cli.file(
    'h/vestry.yaml',
    [
      'limits: { authenticate: { per_second: 500, burst: 500 } }',
      'llm:',
      '  providers: { openai: { base_url: "http://127.0.0.1:9/v1" } }',
      '  budgets: { run: { tokens: 100000 }, total: { usd: 2, per: month } }',
    ].join('\n'),
  )
  cli.file(
    'run.yaml',
    [
      'org_id: "90210"',
      'scope: scan.execute',
      'allowed_models: { analysis: ["anthropic:claude-sonnet-4-5", "openai:gpt-4o"] }',
    ].join('\n'),
  )
  await cli.up(['--dev'])
  await cli.json(['agent', 'add', 'scout'])
  const words = [
    'run',
    'register',
    `${cli.base}/run.yaml`,
    '--agent',
    'scout',
    '--run-id',
    'run_llm',
  ]
  const registered = await cli.json(words)
  expect(registered.exitCode, registered.out).toBe(0)
  env = registered.json.env
})
afterAll(() => cli[Symbol.asyncDispose]())

/** As an agent process does it: the socket and the tokens of its environment. */
function chat(
  model: string,
  socketPath = env['LLM_GATEWAY_SOCKET'],
): Promise<{ status: number; body: string }> {
  const token = (name: string) => readFileSync(env[name] ?? '', 'utf8').trim()
  return new Promise((resolve, reject) => {
    const call = request(
      {
        socketPath,
        method: 'POST',
        path: '/v1/chat/completions',
        headers: {
          authorization: `Bearer ${token('SPIFFE_JWT_PATH')}`,
          'txn-token': token('TRAT_FILE'),
          'content-type': 'application/json',
        },
      },
      (response) => {
        let body = ''
        response.on('data', (chunk) => {
          body += chunk
        })
        response.once('end', () => resolve({ status: response.statusCode ?? 0, body }))
      },
    )
    call.once('error', reject)
    call.end(JSON.stringify({ model, messages: [{ role: 'user', content: 'hello' }] }))
  })
}

test('sage §21.1: a run calls a model with nothing but its environment, and what it used is told', async () => {
  const reply = await chat('claude-sonnet-4-5')
  expect(reply.status, reply.body).toBe(200)
  expect(reply.body).toContain('Mock answer to: hello')
  const { usage } = JSON.parse(reply.body)

  const { json } = await cli.json(['llm', 'usage', '--run', 'run_llm', '--total'])
  expect(json.budgets).toEqual([
    {
      owner: 'run',
      unit: 'tokens',
      spent: usage.total_tokens,
      reserved: 0,
      limit: 100_000,
      left: 100_000 - usage.total_tokens,
      resets_at: null,
    },
    expect.objectContaining({ owner: 'total', unit: 'micros', limit: 2_000_000, reserved: 0 }),
  ])
  const shown = await cli.vestry(['llm', 'usage', '--run', 'run_llm'])
  expect(shown.out).toMatch(new RegExp(`^run +tokens +${usage.total_tokens} +0 +100000 `, 'm'))
  expect((await cli.vestry(['llm', 'usage', '--agent', 'scout'])).out).toMatch(/no budget is set/)
})

test('what happened can be traced, and a refusal explained', async () => {
  const refused = await chat('gpt-4.1')
  expect(refused.status).toBe(403)
  const traced = await cli.vestry(['trace', 'run_llm'])
  expect(traced.out).toMatch(/run\.register.*llm\.chat/s)
  const denied = (await cli.json(['audit', 'query', '--denied'])).json
  const record = (denied.records ?? denied).find((one: { source: string }) => one.source === 'llm')
  const why = await cli.vestry(['why', record.decision.id])
  expect(why.exitCode).toBe(0)
  expect(why.out).toMatch(/model_not_allowed|not permitted to use this model/)
})

test('providers are listed with what their calls would meet', async () => {
  const { json } = await cli.json(['llm', 'models'])
  expect(json.providers).toEqual([
    expect.objectContaining({
      provider: 'openai',
      key: 'missing',
      answers: 'refused',
      base_url: 'http://127.0.0.1:9/v1',
    }),
    expect.objectContaining({ provider: 'anthropic', key: 'missing', answers: 'mock' }),
    expect.objectContaining({ provider: 'google', kind: 'google', answers: 'mock' }),
  ])
  await cli.json(['cred', 'add', 'llm/openai', '--value-stdin'], 'sk-test-key-of-nobody')
  await cli.json(
    ['cred', 'add', 'llm/orgs/90210/google', '--value-stdin'],
    'AIza-test-key-of-nobody',
  )
  const shown = await cli.vestry(['llm', 'models'])
  expect(shown.out).toMatch(/^openai +openai +present +llm\/openai +live /m)
  expect(shown.out).toMatch(/^google .*mock +90210 /m)
})

test('runs and agents that are none are told so', async () => {
  expect((await cli.json(['llm', 'usage', '--run', 'run_none'])).json.error.code).toBe('NOT_FOUND')
  expect((await cli.json(['llm', 'usage', '--agent', 'nobody'])).json.error.code).toBe('NOT_FOUND')
})
