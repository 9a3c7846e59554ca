/** Whatever is sent to whatever path: the answer is an object that the published clients can read. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseRaw, type SecurityWorld, sendRaw, startSecurityWorld } from './security-world.ts'
import { type GatewayNode, LETTER } from './world.ts'

let world: SecurityWorld
let node: GatewayNode
let agent: { id: string; token: string }

beforeAll(async () => {
  world = await startSecurityWorld({ body_limit_bytes: 65_536 })
  node = world.node
  agent = await node.caller({ scopes: ['*'] })
})
afterAll(() => world[Symbol.asyncDispose]())

/** Every path of the contract, and some that are nobody's. */
const PATHS = [
  '/api/generate-token',
  '/api/proxy-request',
  '/api/proxy',
  '/api/jobs/job_0123456789abcdef',
  '/api/create-agent',
  '/api/agents',
  '/api/agents/x',
  '/api/tokens/x',
  '/api/tokens/x/revoke',
  '/api/policies',
  '/api/policies/x',
  '/api/policies/merged/x',
  '/api/policy-logs',
  '/api/proxy/status',
  '/api/proxy/logs',
  '/api/test/mock',
  '/api/admin/creds/set',
  '/api/admin/creds/activate',
  '/api/admin/creds',
  '/api/admin/creds/serpapi',
  '/api/admin/creds/serpapi/versions',
  '/api/admin/tokens',
  '/api/admin/tokens/x/revoke',
  '/api/admin/chaos/tool',
  '/api/admin/chaos/tool/serpapi',
  '/api/admin/chaos',
  '/api/health',
  '/health',
  '/ready',
  '/metrics',
  '/api/metrics',
  '/',
  '/nothing',
  '/api',
  '/api/',
  '/api/api/agents',
  '/api/generate-token/',
]
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND']
const BODIES: [kind: string, body: string | undefined, type: string][] = [
  ['no body', undefined, 'application/json'],
  ['an empty object', '{}', 'application/json'],
  ['no JSON', '{"policy": scope', 'application/json'],
  ['an array', '[]', 'application/json'],
  ['a form', 'a=1&scope=2', 'application/x-www-form-urlencoded'],
  ['a type that is none', '{}', 'policy'],
  ['too much', `"${'x'.repeat(70_000)}"`, 'application/json'],
]

interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

async function ask(
  method: string,
  path: string,
  body?: string,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const response = await fetch(node.url + path, {
    method,
    redirect: 'manual',
    headers,
    ...(body !== undefined && method !== 'GET' && { body }),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

/** What both clients need in order to raise the right error. */
function assertReadable({ status, headers, text }: Answered, what: string): void {
  expect(headers.get('x-correlation-id'), what).toMatch(/^[A-Za-z0-9._:-]{1,128}$/)
  if (status < 300) return
  expect(status, what).toBeGreaterThanOrEqual(400) // never a redirect
  expect(headers.get('content-type'), what).toBe('application/json; charset=utf-8')
  const body = JSON.parse(text) as { error: unknown; code: unknown }
  expect(body, what).toEqual(expect.objectContaining({ error: expect.stringMatching(/./) }))
  expect(body.code, what).toEqual(expect.stringMatching(/^[A-Z_]+$/))
  expect(status, `${what}: ${text}`).not.toBe(500)
  if (status === 400) expect(body.error, what).not.toMatch(/policy|scope/i)
}

test.each(BODIES)(
  'gateway §19.6: %s to any path by any method is answered with an object that has a text `error`',
  async (_kind, body, type) => {
    const all = PATHS.flatMap((path) => METHODS.map((method) => ({ method, path })))
    await Promise.all(
      all.map(async ({ method, path }) => {
        const answered = await ask(method, path, body, { 'content-type': type })
        assertReadable(answered, `${method} ${path}`)
      }),
    )
  },
)

test('gateway §19.6: with the operator key, too, nonsense is refused and nothing fails', async () => {
  const { operatorHeaders } = world
  const all = PATHS.flatMap((path) => METHODS.map((method) => ({ method, path })))
  const bodies = ['{}', '[]', '{"a":', '{"name":[],"tool":{},"spec":7,"id":{"$ne":1},"pct":"x"}']
  await Promise.all(
    bodies.flatMap((body) =>
      all.map(async ({ method, path }) =>
        assertReadable(await ask(method, path, body, operatorHeaders), `${method} ${path} ${body}`),
      ),
    ),
  )
})

test.each([
  ['nonsense', 'nonsense\r\n\r\n', 400],
  ['another version', 'GET /health HTTP/9.9\r\n\r\n', 400],
  ['a control character in the path', 'GET /\u0000 HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['too many headers', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`, 431],
  [
    'two lengths',
    'POST /api/proxy-request HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x',
    400,
  ],
  [
    'a length beside chunks',
    'POST /api/proxy-request HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'chunks that are none',
    'POST /api/proxy-request HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    400,
  ],
  ['a folded header', 'GET /health HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\nB : d\r\n\r\n', 400],
  ['a bare line feed in a header', 'GET /health HTTP/1.1\r\nHost: x\r\nA: b\n\rC: d\r\n\r\n', 400],
  [
    'a length beyond the limit',
    'POST /api/proxy-request HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n',
    413,
  ],
])('gateway §19.6: %s on the socket is answered as readably', async (_kind, bytes, status) => {
  const answer = parseRaw(await sendRaw(node.url, bytes, 500))
  expect(answer.status).toBe(status)
  expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
  expect(JSON.parse(answer.body)).toEqual(
    expect.objectContaining({ error: expect.stringMatching(/./) }),
  )
})

test('gateway §19.6: a failure of ours is an object, too, and tells nothing of its cause', async () => {
  await using broken = await startSecurityWorld()
  const { id, token } = await broken.node.caller({ scopes: ['*'] })
  for (const table of ['execution', 'gateway_token']) broken.breakStore(table)
  const paths: [string, string, object?][] = [
    ['POST', '/api/generate-token', mintBody(id)],
    ['POST', '/api/proxy-request', callBody(token)],
    ['GET', '/api/jobs/job_0123456789abcdef'],
  ]
  for (const [method, path, body] of paths) {
    const { status, json } = await broken.node.http(method, path, body)
    expect(status, path).toBeGreaterThanOrEqual(500)
    expect(json.error, path).toMatch(/./)
    expect(JSON.stringify(json)).not.toMatch(/sqlite|select|insert|table|node:|\.ts/i)
  }
  // What the faults on purpose make looks like any other fault of a provider.
  for (const [mode, status] of [['500', 502]] as const) {
    await world.node.asAdmin('POST', '/api/admin/chaos/tool', { tool: 'crm', mode, pct: 100 })
    const failed = await node.call(agent.token, 'crm:add', {})
    expect([failed.status, failed.json.error]).toEqual([status, 'Upstream service error'])
    await world.node.asAdmin('DELETE', '/api/admin/chaos/tool/crm')
  }
})

test('gateway §19.7: parameter names and values of any kind never turn a mistake into a policy error', async () => {
  const words = ['policy', 'scope', 'POLICY', 'Scope', 'Policy denied: policy violation (GUARD)']
  const refused: string[] = []
  const offer = async (body: object, headers: Record<string, string> = {}) => {
    const { status, json } = await node.http('POST', '/api/proxy-request', body, headers)
    if (status !== 400) return
    refused.push(json.code)
    expect(json.error, JSON.stringify(body)).not.toMatch(/policy|scope/i)
  }
  const mistake = async (body: object, headers?: Record<string, string>) => {
    const { status, json } = await node.http('POST', '/api/generate-token', body, headers)
    expect(status, JSON.stringify(body)).toBe(400)
    expect(json.error).not.toMatch(/policy|scope/i)
  }
  for (const word of words) {
    const call = callBody(agent.token)
    await Promise.all([
      offer({ ...call, params: { [word]: word } }),
      offer({ ...call, tool: 'serpapi', action: 'search', params: { q: { [word]: 1 } } }),
      offer({ ...call, tool: 'serpapi', action: 'search', params: { q: 'a', engine: word } }),
      offer({ ...call, tool: 'http_fetch', action: 'get', params: { url: word } }),
      offer({
        ...call,
        tool: 'http_fetch',
        action: 'get',
        params: { url: world.at('/'), headers: { [word]: {} } },
      }),
      offer({
        ...call,
        tool: 'openai',
        action: 'chat',
        params: { messages: [{ role: word, content: word }] },
      }),
      offer({ ...call, tool: 'gmail_send', action: 'send', params: { ...LETTER, to: word } }),
      offer({ ...call, tool: 'gmail_send', action: 'send', params: { ...LETTER, cc: [[word]] } }),
      offer({ ...call, tool: 'crm', action: 'find', params: { q: [word], [word]: word } }),
      offer({ ...call, tool: word }),
      offer({ ...call, tool: 'scope', action: 'policy' }),
      offer({ ...call, params: word }),
      offer({ ...call, async: word }),
      offer({ ...call, intent: [word] }),
      offer({ ...call, idempotency_key: `${word} ` }),
      offer({ ...call, token_id: word }),
      offer({ ...call, token_id: [word], proof_payload: word }),
      offer(call, { 'idempotency-key': `${word} !` }),
      mistake({ [word]: word }),
      mistake({ ...mintBody(agent.id), expires_at: word }),
      mistake({ ...mintBody(agent.id), tools: word }),
      mistake({ ...mintBody(agent.id), permissions: [{ [word]: word }] }),
    ])
  }
  expect(new Set(refused)).toEqual(
    new Set(['INVALID_PARAMS', 'UNKNOWN_TOOL', 'INVALID_FIELD', 'PROOF_REQUIRED']),
  )
})

test('gateway §19.8: the correlation id of a client comes back from every path, whatever the status', async () => {
  const id = 'req_1893456000000_k3m9q2x7a'
  for (const path of PATHS) {
    for (const method of ['GET', 'POST']) {
      const { headers, text } = await ask(method, path, '{}', { 'x-correlation-id': id })
      expect(headers.get('x-correlation-id'), `${method} ${path}`).toBe(id)
      const told = headers.get('content-type')?.includes('json') ? JSON.parse(text) : {}
      if ('correlation_id' in told) expect(told.correlation_id).toBe(id)
    }
  }
  const { json, headers } = await node.call(
    agent.token,
    'crm:find',
    {},
    {},
    { 'x-correlation-id': id },
  )
  expect(json.metadata.correlation_id).toBe(id)
  expect(headers.get('x-correlation-id')).toBe(id)
})

test.each([
  ['a space', 'a b'],
  ['markup', '<script>'],
  ['quotes', '"},{"x":"'],
  ['two of them', 'one, two'],
  ['too long', 'a'.repeat(129)],
  ['a byte beyond ASCII', 'r\u00e9q'],
  ['a tab', 'a\tb'],
  ['nothing', ''],
])('gateway §19.8: a correlation id with %s is replaced everywhere', async (_kind, id) => {
  for (const path of ['/health', '/metrics', '/ready', '/nothing', '/api/agents', '/api/nothing']) {
    const heard = await sendRaw(
      node.url,
      Buffer.from(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Correlation-Id: ${id}\r\n\r\n`,
        'latin1',
      ),
    )
    expect(parseRaw(heard).headers.get('x-correlation-id'), path).toMatch(
      /^req_\d{13}_[a-z0-9]{9}$/,
    )
  }
})

test('R-3: a GET that says its empty body were JSON is accepted', async () => {
  for (const path of ['/health', '/api/health', '/api/proxy/status', '/metrics', '/ready']) {
    const { status } = await ask('GET', path, undefined, { 'content-type': 'application/json' })
    expect(status, path).toBe(200)
  }
  const job = await node.call(agent.token, 'crm:find', {}, { async: true })
  const { status } = await ask('GET', `/api/jobs/${job.json.job_id}`, undefined, {
    'content-type': 'application/json',
  })
  expect(status).toBe(200)
})

test('R-7: connections may rest for 65 seconds', async () => {
  const heard = await sendRaw(node.url, 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n', 300)
  expect(parseRaw(heard).headers.get('keep-alive')).toBe('timeout=65')
})

test('R-6: another origin is let in when it is listed, and then sees the headers it needs', async () => {
  const origin = 'https://app.example'
  const listed = { origin }
  const off = await ask('GET', '/api/proxy/status', undefined, listed)
  expect(off.headers.get('access-control-allow-origin')).toBeNull()
  await using open = await startSecurityWorld({ cors_origins: [origin] })
  const at = async (path: string, method: string, from: string) =>
    (
      await fetch(open.node.url + path, {
        method,
        headers: { origin: from, 'access-control-request-method': 'POST' },
      })
    ).headers
  for (const [path, method] of [
    ['/api/proxy/status', 'GET'],
    ['/api/proxy-request', 'POST'],
    ['/api/proxy-request', 'OPTIONS'],
    ['/api/nothing', 'GET'],
  ] as const) {
    const allowed = await at(path, method, origin)
    expect(allowed.get('access-control-allow-origin'), path).toBe(origin)
    expect(allowed.get('access-control-allow-credentials')).toBeNull()
    expect(allowed.get('vary')).toMatch(/origin/i)
    expect(allowed.get('access-control-expose-headers')).toBe(
      'X-Correlation-Id, X-Token-Rotation-Recommended, X-Token-Expires-At, Retry-After',
    )
    for (const other of ['https://evil.example', `${origin}.evil.example`, 'null', '*'])
      expect((await at(path, method, other)).get('access-control-allow-origin')).toBeNull()
  }
})

test('R-5: a 429 tells its seconds twice, alike, whole and at least one', async () => {
  await using small = await startSecurityWorld({ rate_limit_points: 1, rate_limit_duration_s: 1 })
  const { token } = await small.node.caller({ scopes: ['*'] })
  const limited = []
  for (let n = 0; n < 4; n += 1) {
    const answer = await small.node.call(token, 'crm:find', { q: String(n) })
    if (answer.status === 429) limited.push(answer)
    await sleep(150)
  }
  expect(limited.length).toBeGreaterThan(0)
  for (const { headers, json } of limited) {
    expect(headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
    expect(json).toMatchObject({
      error: 'Rate limit exceeded',
      code: 'RATE_LIMITED',
      retry_after: Number(headers.get('retry-after')),
    })
  }
})

function mintBody(agentId: string): Record<string, unknown> {
  const expires_at = new Date(Date.now() + 600_000).toISOString()
  return { agent_id: agentId, tools: ['*'], permissions: ['read'], expires_at }
}

function callBody(token: string): Record<string, unknown> {
  return { agent_token: token, tool: 'crm', action: 'find', params: {} }
}
