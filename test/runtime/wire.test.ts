import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Daemon } from '../../packages/server/src/app/daemon.ts'
import { boot, operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { newAgentKeys } from '../harness/keys.ts'
import type { RawClient } from '../harness/raw-client.ts'
import { answerOf, RuntimeNode } from './node.ts'

const JWT_SECRET = 'a long secret that clients sign with'
const STATIC_TOKEN = 'a-token-from-the-environment'
const ORIGIN = 'https://board.example'

/** Everything that takes an id, and the code of its absence. */
const BY_ID: readonly (readonly [method: string, path: (id: string) => string, code: string])[] = [
  ['GET', (id) => `tool-review/sessions/${id}`, 'REVIEW_NOT_FOUND'],
  ['GET', (id) => `tool-review/analysis/${id}`, 'ANALYSIS_NOT_FOUND'],
  ['POST', (id) => `signing-keys/${id}/revoke`, 'SIGNING_KEY_NOT_FOUND'],
  ['POST', (id) => `approvals/${id}/deny`, 'NOT_FOUND'],
  ['GET', (id) => `agents/${id}`, 'AGENT_NOT_FOUND'],
  ['GET', (id) => `agents/${id}/status`, 'AGENT_NOT_FOUND'],
  ['GET', (id) => `agents/${id}/metrics`, 'AGENT_NOT_FOUND'],
  ['POST', (id) => `agents/${id}/execute`, 'AGENT_NOT_FOUND'],
  ['DELETE', (id) => `agents/${id}`, 'AGENT_NOT_FOUND'],
  ['GET', (id) => `http-input/servers/${id}`, 'HTTP_INPUT_NOT_FOUND'],
  ['POST', (id) => `http-input/servers/${id}/start`, 'HTTP_INPUT_NOT_FOUND'],
  ['DELETE', (id) => `http-input/servers/${id}`, 'HTTP_INPUT_NOT_FOUND'],
  ['GET', (id) => `endpoints/${id}`, 'ENDPOINT_NOT_FOUND'],
  ['POST', (id) => `endpoints/${id}/disable`, 'ENDPOINT_NOT_FOUND'],
  ['GET', (id) => `mcp/servers/${id}`, 'MCP_SERVER_NOT_FOUND'],
  ['POST', (id) => `mcp/servers/${id}/connect`, 'MCP_SERVER_NOT_FOUND'],
  ['POST', (id) => `mcp/servers/${id}/disconnect`, 'MCP_SERVER_NOT_FOUND'],
  ['GET', (id) => `secrets/scout/${id}`, 'SECRET_NOT_FOUND'],
  ['DELETE', (id) => `secrets/scout/${id}`, 'SECRET_NOT_FOUND'],
]

/** Known to clients and served by a later version. */
const LATER: readonly (readonly [method: string, path: string])[] = [
  ['GET', 'channels/1/health'],
  ['GET', 'tools'],
  ['POST', 'communication/evaluate'],
]

describe('as in production', () => {
  let home: ReturnType<typeof temporaryHome>
  let daemon: Daemon & AsyncDisposable
  let node: RuntimeNode
  let admin: RawClient
  const keys: Record<string, string> = {}
  let staticTokenWorked: number

  beforeAll(async () => {
    home = temporaryHome()
    daemon = await boot(home, {
      passphrase: 'a passphrase of several words',
      env: { SYMBIONT_API_TOKEN: STATIC_TOKEN },
      config: { runtime: { jwt_secret: 'runtime/jwt', cors_origins: [ORIGIN] } },
      warn: (line) => process.stderr.write(line.startsWith('internal error') ? `${line}\n` : ''),
    })
    node = new RuntimeNode(daemon.ready)
    admin = await operator(home)
    staticTokenWorked = (await node.ask('GET', 'metrics', { key: STATIC_TOKEN })).status
    await putCredential(admin, 'runtime/jwt', JWT_SECRET)
    for (const name of ['scout', 'dana']) {
      const { publicKeyHex } = newAgentKeys(name)
      await admin.call('admin.agent.add', { name, public_key: publicKeyHex })
      keys[name] = await newKey({ name: `key of ${name}`, agent: name })
    }
    keys['auditor'] = await newKey({ name: 'auditor', role: 'auditor' })
  }, 30_000)
  afterAll(async () => {
    admin.destroy()
    await daemon.stop()
    home[Symbol.dispose]()
  })

  async function newKey(of: object): Promise<string> {
    const { key } = await admin.call('admin.key.add', of)
    return key
  }

  test('runtime §20.3: requests without body or content type are served, answers are JSON, nobody is redirected', async () => {
    const asked = [
      ...BY_ID.map(([method, path]) => [method, path('x')] as const),
      ...LATER,
      ['GET', 'health'],
      ['GET', 'health/live'],
      ['GET', 'health/ready'],
      ['GET', 'metrics'],
      ['GET', 'metrics/snapshot'],
      ['GET', 'metrics/system'],
      ['GET', 'status'],
      ['GET', 'signing-keys'],
      ['GET', 'mcp/servers'],
      ['GET', 'mcp/tools'],
      ['GET', 'mcp/resources'],
      ['GET', 'secrets/scout'],
      ['GET', 'tool-review/sessions'],
      ['GET', 'nowhere'],
    ] as const
    for (const [method, path] of asked) {
      const headers: Record<string, string> = method === 'GET' ? {} : { 'content-length': '0' }
      const answer = await node.ask(method, path, { headers })
      expect([200, 404, 501], `${method} ${path}: ${answer.text}`).toContain(answer.status)
      expect(typeof answer.json, path).toBe('object')
      expect(answer.json).not.toBeNull()
      expect(answer.headers).toMatchObject({
        'content-type': 'application/json; charset=utf-8',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
        'cache-control': 'no-store',
      })
    }
  })

  test('runtime §20.4: a wrong key and none are refused everywhere, and health needs none', async () => {
    const asked = [...BY_ID.map(([method, path]) => [method, path('x')] as const), ...LATER]
    for (const [method, path] of [...asked, ['GET', 'metrics'] as const]) {
      for (const key of [null, 'wrong', `${node.adminKey}x`]) {
        const { status, json, text } = await node.ask(method, path, { key })
        expect({ status, code: json.code }, path).toEqual({ status: 401, code: 'UNAUTHORIZED' })
        expect(text).not.toMatch(/expired/i)
      }
    }
    for (const key of [null, 'wrong', node.adminKey])
      expect((await node.ask('GET', 'health', { key })).json.status).toBe('healthy')
    const twice = node.begin('GET', 'metrics', { key: null })
    twice.setHeader('authorization', [`Bearer ${node.adminKey}`, 'Bearer x'])
    twice.end()
    expect((await answerOf(twice)).status).toBe(401)
    const scheme = { authorization: `bEARER ${node.adminKey}` }
    expect((await node.ask('GET', 'metrics', { key: null, headers: scheme })).status).toBe(200)
  })

  test('runtime §20.4: unknown ids are not found, wherever one is asked for', async () => {
    for (const [method, path, code] of BY_ID) {
      const { status, json } = await node.ask(method, path('no-such'))
      expect({ status, code: json.code }, path('no-such')).toEqual({ status: 404, code })
      expect(json).toMatchObject({ error: expect.any(String), request_id: expect.any(String) })
      expect(json).toHaveProperty('details')
    }
  })

  test('a prefix that came twice counts once, and other methods are told which there are', async () => {
    expect((await node.ask('GET', 'api/v1/health')).status).toBe(200)
    const wrong = await node.ask('DELETE', 'tool-review/sessions')
    expect(wrong).toMatchObject({ status: 405, json: { code: 'METHOD_NOT_ALLOWED' } })
    expect(wrong.headers['allow']).toBe('GET, POST')
    expect((await node.ask('GET', 'agents/deploy')).headers['allow']).toBe('POST')
    const head = await node.ask('HEAD', 'health')
    expect(head).toMatchObject({ status: 200, text: '' })
  })

  test('what comes later is known, and says that it is not there', async () => {
    for (const [method, path] of LATER) {
      const { status, json } = await node.ask(method, path)
      expect({ status, code: json.code }, path).toEqual({ status: 501, code: 'NOT_IMPLEMENTED' })
      expect(json.error).toContain('not served by this version')
    }
  })

  test('runtime §20.5: keys of agents see what is theirs, and are told who may do the rest', async () => {
    const secret = { agent_id: 'scout', secret_name: 'db/password', secret_value: 'x' }
    expect((await node.ask('POST', 'secrets', { body: secret })).status).toBe(201)
    const at = 'secrets/scout/db/password'
    expect((await node.ask('GET', at, { key: keys['scout'] as string })).status).toBe(200)
    for (const path of [at, 'secrets/scout'])
      expect((await node.ask('GET', path, { key: keys['dana'] as string })).status).toBe(404)
    for (const [method, path] of [
      ['GET', 'metrics'],
      ['GET', 'signing-keys'],
      ['POST', 'tool-review/sign'],
      ['POST', 'mcp/servers'],
      ['POST', 'secrets/config'],
    ] as const) {
      const { status, json } = await node.ask(method, path, { key: keys['scout'] as string })
      expect({ status, code: json.code }, path).toEqual({ status: 403, code: 'ADMIN_REQUIRED' })
    }
    const look = await node.ask('GET', 'tool-review/sessions', { key: keys['auditor'] as string })
    expect(look.status).toBe(200)
    const change = await node.ask('POST', 'tool-review/sessions', {
      key: keys['auditor'] as string,
    })
    expect(change).toMatchObject({ status: 403, json: { code: 'ADMIN_REQUIRED' } })
  })

  test('the token of the environment counts until there is a better key', async () => {
    expect(staticTokenWorked).toBe(200)
    expect((await node.ask('GET', 'metrics', { key: STATIC_TOKEN })).status).toBe(401)
  })

  test('tokens that clients sign themselves are accepted with the secret for them', async () => {
    const claims = { sub: 'ada', iss: 'symbiont', aud: 'symbiont-api', type: 'access' }
    const exp = Math.floor(Date.now() / 1_000)
    const asked = async (more: object) => {
      const { status, json } = await node.ask('GET', 'metrics', {
        key: jwt({ ...claims, ...more }),
      })
      return [status, json.code]
    }
    expect(await asked({ roles: ['admin'], exp: exp + 60 })).toEqual([200, undefined])
    expect(await asked({ roles: ['readonly'], exp: exp + 60 })).toEqual([403, 'ADMIN_REQUIRED'])
    expect(await asked({ roles: ['user'], sub: 'scout', exp: exp + 60 })).toEqual([
      403,
      'ADMIN_REQUIRED',
    ])
    expect(await asked({ roles: ['admin'], type: 'refresh', exp: exp + 60 })).toEqual([
      401,
      'UNAUTHORIZED',
    ])
    expect(await asked({ roles: ['admin'], exp: exp - 60 })).toEqual([401, 'TOKEN_EXPIRED'])
  })

  test('pages of listed origins may ask, others learn nothing', async () => {
    const preflight = (origin: string) =>
      node.ask('OPTIONS', 'tool-review/sessions', {
        key: null,
        headers: { origin, 'access-control-request-method': 'POST' },
      })
    const allowed = await preflight(ORIGIN)
    expect(allowed).toMatchObject({ status: 200, json: {} })
    expect(allowed.headers['access-control-allow-origin']).toBe(ORIGIN)
    expect(allowed.headers['access-control-allow-headers']).toContain('authorization')
    const other = await preflight('https://evil.example')
    expect(other.status).toBe(405)
    expect(other.headers['access-control-allow-origin']).toBeUndefined()
    const got = await node.ask('GET', 'metrics', { headers: { origin: ORIGIN } })
    expect(got.headers).toMatchObject({ 'access-control-allow-origin': ORIGIN, vary: 'Origin' })
  })

  test('a request under an Idempotency-Key happens once, also over a restart of its client', async () => {
    const body = { key_id: 'release', domain: 'maps.example', developer_name: 'Ada' }
    const headers = { 'idempotency-key': 'release-1' }
    const [one, two] = await Promise.all([
      node.ask('POST', 'signing-keys', { body, headers }),
      node.ask('POST', 'signing-keys', { body, headers }),
    ])
    expect([one.status, two.status]).toEqual([201, 201])
    expect(one.json).toEqual(two.json)
    const again = await node.ask('POST', 'signing-keys', { body, headers })
    expect(again).toMatchObject({ status: 201, json: one.json })
    expect(again.headers['idempotent-replay']).toBe('true')
    const other = await node.ask('POST', 'signing-keys', {
      body: { ...body, key_id: 'b' },
      headers,
    })
    expect(other).toMatchObject({ status: 409, json: { code: 'IDEMPOTENCY_CONFLICT' } })
    const plain = await node.ask('POST', 'signing-keys', { body })
    expect(plain).toMatchObject({ status: 409, json: { code: 'ALREADY_EXISTS' } })
  })

  test('runtime §20.28: metrics move with what they count', async () => {
    const before = (await node.ask('GET', 'metrics')).json
    for (const name of ['uptime_seconds', 'memory_usage_bytes', 'disk_usage_bytes', 'total_agents'])
      expect(Number.isSafeInteger(before[name]), name).toBe(true)
    for (const name of ['memory', 'cpu', 'disk']) {
      expect(before[`${name}_usage_percent`]).toBeGreaterThanOrEqual(0)
      expect(before[`${name}_usage_percent`]).toBeLessThanOrEqual(100)
    }
    const secret = { agent_id: 'scout', secret_name: 'counted', secret_value: 'x' }
    await node.ask('POST', 'secrets', { body: secret })
    await admin.call('admin.agent.add', {
      name: 'counted',
      public_key: newAgentKeys('counted').publicKeyHex,
    })
    const after = (await node.ask('GET', 'metrics')).json
    expect(after.secrets_count).toBe(before.secrets_count + 1)
    expect(after.total_agents).toBe(before.total_agents + 1)
    await node.ask('DELETE', 'secrets/scout/counted')
    expect((await node.ask('GET', 'metrics')).json.secrets_count).toBe(before.secrets_count)
  })

  test('runtime §20.13: the signing key is published at the root, for everybody', async () => {
    const discovery = await node.ask('GET', '/.well-known/schemapin.json', { key: null })
    expect(discovery).toMatchObject({
      status: 200,
      json: { schema_version: expect.any(String), revoked_keys: [] },
    })
    expect(discovery.json.public_key_pem).toContain('BEGIN PUBLIC KEY')
    const revocations = await node.ask('GET', '/.well-known/schemapin-revocations.json', {
      key: null,
    })
    expect(revocations).toMatchObject({ status: 200, json: { revoked_keys: [] } })
  })

  test('runtime §20.4: beyond the limit of its key a client is told when to come again', async () => {
    const key = keys['dana'] as string
    const answers = await Promise.all(
      Array.from({ length: 320 }, () => node.ask('GET', 'tool-review/sessions', { key })),
    )
    const limited = answers.filter(({ status }) => status === 429)
    expect(limited.length).toBeGreaterThan(0)
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(199)
    for (const { headers, json } of limited) {
      expect(json.code).toBe('RATE_LIMITED')
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1)
      // Ten a second come back, also while the answer is made.
      expect(Number(headers['x-ratelimit-remaining'])).toBeLessThanOrEqual(2)
    }
    expect((await node.ask('GET', 'tool-review/sessions')).status).toBe(200)
  })

  test('runtime §20.30: while it stops, what is under way is answered, and what comes is not begun', async () => {
    const body = JSON.stringify({ agent_id: 'scout', secret_name: 'late', secret_value: 'x' })
    const slow = node.begin('POST', 'secrets', { headers: { 'content-length': `${body.length}` } })
    slow.write(body.slice(0, 10))
    // Its head has arrived once a later request was answered.
    await node.ask('GET', 'health')
    const stopped = daemon.stop()
    slow.end(body.slice(10))
    const { status, json } = await answerOf(slow)
    expect([201, 503]).toContain(status)
    if (status === 503) expect(json.code).toBe('NOT_READY')
    await stopped
    daemon = await boot(home, { passphrase: 'a passphrase of several words' })
    const again = new RuntimeNode(daemon.ready)
    const found = await again.ask('GET', 'secrets/scout/late')
    expect(found.status).toBe(status === 201 ? 200 : 404)
    admin = await operator(home)
  })
})

describe('with --dev', () => {
  let home: ReturnType<typeof temporaryHome>
  let daemon: Daemon & AsyncDisposable
  let node: RuntimeNode
  const lines: string[] = []

  beforeAll(async () => {
    home = temporaryHome()
    daemon = await boot(home, {
      config: { runtime: { anonymous: true } },
      warn: (line) => lines.push(line),
    })
    node = new RuntimeNode(daemon.ready)
  }, 30_000)
  afterAll(async () => {
    await daemon.stop()
    home[Symbol.dispose]()
  })

  test('nobody needs a key where that was chosen, but pages of other origins get nothing', async () => {
    expect(lines.join('\n')).toContain('runtime.anonymous')
    expect((await node.ask('GET', 'metrics', { key: null })).status).toBe(200)
    const { headers } = await node.ask('GET', 'metrics', { key: null })
    expect(headers['x-ratelimit-limit']).toBeUndefined()
    for (const given of [{ origin: 'https://evil.example' }, { host: 'evil.example' }])
      expect((await node.ask('GET', 'metrics', { key: null, headers: given })).status).toBe(401)
    expect((await node.ask('GET', 'metrics', { key: 'wrong' })).status).toBe(401)
  })

  test('runtime §20.6: dots, encoded slashes, empty and over-long ids reach nothing', async () => {
    for (const [method, path] of BY_ID) {
      for (const id of [
        '..',
        '.',
        '%2e%2e',
        '%2E%2e',
        '..%2Fconfig',
        'a%2Fb',
        '',
        'a'.repeat(300),
        '%00',
        '%zz',
      ]) {
        const { status, json } = await node.ask(method, path(id))
        expect({ status, code: json.code }, `${method} ${path(id)}`).toEqual({
          status: 404,
          code: 'ROUTE_NOT_FOUND',
        })
      }
      const twice = await node.ask(method, path('%252e%252e'))
      expect([400, 404]).toContain(twice.status)
      expect(twice.json.code).not.toBe('ROUTE_NOT_FOUND')
    }
    expect((await node.ask('GET', '/api/v1/secrets/../metrics')).status).toBe(404)
    expect((await node.ask('GET', '/api/v1/../health')).status).toBe(404)
  })

  test('while sealed health answers, and everything else says that it is not ready', async () => {
    await daemon.seal('operator')
    const health = await node.ask('GET', 'health', { key: null })
    expect(health).toMatchObject({ status: 200, json: { status: 'degraded', sealed: true } })
    expect(await node.ask('GET', 'health/ready', { key: null })).toMatchObject({
      status: 503,
      json: { status: 'starting', reason: 'sealed' },
    })
    for (const path of ['metrics', 'tool-review/sessions', 'secrets/scout']) {
      const answer = await node.ask('GET', path)
      expect(answer, path).toMatchObject({ status: 503, json: { code: 'NOT_READY' } })
      expect(answer.headers['retry-after']).toBe('1')
    }
    const discovery = await node.ask('GET', '/.well-known/schemapin.json', { key: null })
    expect(discovery.status).toBe(200)
  })
})

test.each([
  [
    { runtime: { anonymous: true } },
    { passphrase: 'several words' },
    'runtime.anonymous works with --dev only',
  ],
  [{ runtime: { trusted_proxies: ['example.com'] } }, {}, 'runtime.trusted_proxies'],
  [{ runtime: { anonymus: true } }, {}, 'unknown key "runtime.anonymus"'],
])('runtime §20.29: the daemon does not start with %j', async (config, options, message) => {
  using home = temporaryHome()
  await expect(boot(home, { config, ...options })).rejects.toThrow(message)
})

function jwt(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  return `${text}.${createHmac('sha256', JWT_SECRET).update(text).digest('base64url')}`
}
