/** That the stand-in is as strict as the client it stands for: otherwise what it accepts would prove nothing. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ANSWERS } from '../../../packages/sdk/src/runtime/answers.test-kit.ts'
import {
  FakeRuntime,
  type Scripted,
} from '../../../packages/sdk/src/runtime/fake-runtime.test-kit.ts'
import { noPython } from '../client-process.ts'
import { type Outcome, RuntimeProcess } from './runtime-process.ts'

let server: FakeRuntime
let python: RuntimeProcess

beforeAll(async () => {
  server = await new FakeRuntime().start()
  python = new RuntimeProcess({ SYMBIONT_BASE_URL: `${server.baseUrl}//`, SYMBIONT_API_KEY: 'k.s' })
})
afterAll(async () => {
  await python?.[Symbol.asyncDispose]()
  await server?.[Symbol.asyncDispose]()
})

const check = test.skipIf(noPython !== undefined)

function ask(answer: Scripted, name: string, ...args: unknown[]): Promise<Outcome> {
  server.answer(answer)
  return python.as({})(name, ...args)
}

check.each<[string, string, unknown[], unknown]>([
  ['a fraction', 'health_check', [], { ...ANSWERS.health, uptime_seconds: 1.5 }],
  ['null for a number', 'health_check', [], { ...ANSWERS.health, uptime_seconds: null }],
  ['a number for text', 'health_check', [], { ...ANSWERS.health, version: 1 }],
  ['no time', 'health_check', [], { ...ANSWERS.health, timestamp: 'yesterday' }],
  ['a missing member', 'get_metrics', [], { ...ANSWERS.metrics, secrets_count: undefined }],
  ['an unknown word', 'get_agent_status', ['a'], { ...ANSWERS.agentStatus, state: 'Running' }],
  [
    'null for a list',
    'get_review_session',
    ['r'],
    { ...ANSWERS.review, state: { ...ANSWERS.review.state, critical_findings: null } },
  ],
  [
    'the other name of the schema',
    'get_review_session',
    ['r'],
    { ...ANSWERS.review, tool: { ...ANSWERS.review.tool, schema: undefined, tool_schema: {} } },
  ],
  ['a score above 100', 'get_analysis_results', ['a'], { ...ANSWERS.analysis, risk_score: 101 }],
  ['null for a description', 'list_mcp_tools', [], [{ ...ANSWERS.tools[0], description: null }]],
  ['an inner list of numbers', 'list_agents', [], [1]],
])('%s is not accepted', async (_, name, args, body) => {
  const { raised } = await ask({ body }, name, ...args)
  expect(raised?.class).toBe('ValidationError')
})

check('whole numbers may be written otherwise, and more members may come', async () => {
  const body = JSON.stringify(ANSWERS.health).replace('4211', '4211.0')
  expect((await ask({ body }, 'health_check')).ok).toMatchObject({ uptime_seconds: 4_211 })
  const text = { ...ANSWERS.health, uptime_seconds: '7' }
  expect((await ask({ body: text }, 'health_check')).ok.uptime_seconds).toBe(7)
})

check('an empty answer, a wrapped list and a secret without a value break it', async () => {
  const empty = await ask({ body: '' }, 'delete_secret', 'a', 'b')
  expect(empty.raised?.class).toBe('JSONDecodeError')
  const wrapped = await ask({ body: { servers: [] } }, 'list_mcp_servers')
  expect(wrapped.raised?.class).toBe('TypeError')
  const none = await ask({ body: { secret: 'x' } }, 'get_secret', 'a', 'b')
  expect(none.raised?.class).toBe('KeyError')
})

check('it follows redirects, and makes a GET of a POST', async () => {
  server.answer({ status: 302, headers: { location: '/api/v1/health' } }, { body: {} })
  const { attempts } = await python.as({})('connect_mcp_server', 'notes')
  expect(attempts.map(({ method, status }) => [method, status])).toEqual([
    ['POST', 302],
    ['GET', 200],
  ])
})

check('it writes what the published client writes', async () => {
  await ask({ body: ANSWERS.submitted }, 'submit_tool_for_review', {
    tool: {
      name: 'tide_tablé',
      description: '🔧',
      schema: { properties: {} },
      provider: { name: 'sea.example' },
    },
    submitted_by: 'dana@sea.example',
  })
  const { headers, text } = server.last
  expect(text).toBe(
    '{"tool": {"name": "tide_tabl\\u00e9", "description": "\\ud83d\\udd27", "tool_schema": {"type": "object", "properties": {}, "required": []}, "provider": {"name": "sea.example", "public_key_url": null}}, "submitted_by": "dana@sea.example", "priority": "normal"}',
  )
  expect(headers).toMatchObject({
    authorization: 'Bearer k.s',
    'content-type': 'application/json',
    accept: '*/*',
    'accept-encoding': 'gzip, deflate',
  })
  await ask({ body: {} }, 'disconnect_mcp_server', 'notes')
  expect(server.last.headers['content-length']).toBe('0')
  expect(server.last.headers['content-type']).toBeUndefined()
  await ask({ body: { value: 'x' } }, 'get_secret', 'a', 'ü b/../c?d#e')
  expect(server.last.path).toBe('secrets/a/c?d')
})

check(
  'the later version repeats after a broken connection, and cannot make two of its exceptions',
  async () => {
    const later = { later: true, config: { timeout: 5, max_retries: 1, pace: 0.01 } }
    server.answer({ drop: 'before' }, { body: ANSWERS.health })
    const { ok, attempts, slept } = await python.as(later)('health_check')
    expect(ok.status).toBe('healthy')
    expect(attempts).toHaveLength(2)
    expect(slept).toEqual([1])
    server.answer({ status: 403, body: {} })
    expect((await python.as(later)('get_metrics')).raised?.bases).toContain('TypeError')
    server.answer({ drop: 'before' })
    const never = { later: true, config: { max_retries: 0 } }
    expect((await python.as(never)('health_check')).raised?.bases).toContain('TypeError')
    const unset = await python.as({ later: true })('health_check')
    expect(unset.raised?.class).toBe('ConfigurationError')
  },
)
