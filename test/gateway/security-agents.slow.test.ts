/** An agent that has another's token, job id, key or name, or only a good guess, and makes the most of it. */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { CREDENTIALS, type SecurityWorld, startSecurityWorld } from './security-world.ts'
import { type GatewayNode, LETTER, newPublicKey, startNode } from './world.ts'

let world: SecurityWorld
let node: GatewayNode
let ann: { id: string; token: string }
let bob: { id: string; token: string }
let served = 0

beforeAll(async () => {
  world = await startSecurityWorld()
  node = world.node
  ann = await node.caller({ scopes: ['*'] })
  bob = await node.caller({ scopes: ['*'] })
})
beforeEach(() =>
  world.upstreamDoes((_request, reply) => {
    served += 1
    reply.end(JSON.stringify({ id: `n${served}` }))
  }),
)
afterAll(() => world[Symbol.asyncDispose]())

describe('a token', () => {
  test('cannot be turned into the token of somebody else', async () => {
    const [payload = '', signature = ''] = ann.token.split('.')
    const [others = ''] = bob.token.split('.')
    const claims = JSON.parse(Buffer.from(payload, 'base64').toString('utf8'))
    const forged = (more: object) =>
      Buffer.from(JSON.stringify({ ...claims, ...more })).toString('base64')
    for (const text of [
      `${others}.${signature}`,
      `${forged({ agent_id: bob.id })}.${signature}`,
      `${forged({ permissions: ['*'] })}.${signature}`,
      `${forged({ expires_at: '2099-01-01T00:00:00.000Z' })}.${signature}`,
      `${payload}.${'0'.repeat(64)}`,
      `${payload}.`,
      `.${signature}`,
      `${payload}`,
      `${payload}.${signature}.${signature}`,
      `${payload}.${signature} `,
      ` ${ann.token}`,
      `${ann.token}\n`,
      `${payload}=.${signature}`,
      `${payload.replace(/=+$/, '')}\u0000.${signature}`,
      `${payload.replaceAll('+', '-').replaceAll('/', '_')}A.${signature}`,
      ann.token.repeat(40),
    ]) {
      const { status, json } = await node.call(text, 'crm:add', {})
      expect([status, json.code], text.slice(0, 40)).toEqual([
        401,
        expect.stringMatching(/^TOKEN_(?:MALFORMED|SIGNATURE)$/),
      ])
    }
  })

  test('that was revoked, or whose agent was disabled, gets nothing more, not even what it had', async () => {
    const carl = await node.caller({ scopes: ['*'] })
    const fields = { idempotency_key: 'carls-own-key' }
    const { json } = await node.call(carl.token, 'gmail_send:send', LETTER, fields)
    expect(json.success).toBe(true)
    const job = (await node.call(carl.token, 'crm:find', {}, { async: true })).json.job_id
    await node.ended(job)
    await node.asAdmin('PATCH', `/api/agents/${carl.id}`, { status: 'disabled' })
    const again = await node.call(carl.token, 'gmail_send:send', LETTER, fields)
    expect([again.status, again.json.data]).toEqual([403, undefined])
    const bearer = { authorization: `Bearer ${carl.token}` }
    expect((await node.http('GET', `/api/jobs/${job}`, undefined, bearer)).status).toBe(403)
    expect((await node.mint(carl.id)).status).toBe(403)
  })

  test('with another agent in its proof is refused, whatever the form', async () => {
    const before = served
    for (const proof_payload of [
      { agent_id: bob.id },
      JSON.stringify({ agent_id: bob.id }),
      { agent_name: 'root' },
      { agent_id: [ann.id] },
      { tools: ['*', 'more'] },
      { permissions: ['*'] },
      `  {"agent_id" : "${bob.id}"}  `,
      `{"agent_id":"${ann.id}","agent_id":"${bob.id}"}`,
    ]) {
      const { status, json } = await node.call(ann.token, 'crm:add', {}, { proof_payload })
      expect([status, json.code], JSON.stringify(proof_payload)).toEqual([403, 'PROOF_MISMATCH'])
      expect(JSON.stringify(json)).not.toContain(bob.id)
    }
    const { json: own } = await node.mint(ann.id)
    const { json: others } = await node.mint(bob.id)
    for (const fields of [
      { token_id: others.token_id, proof_payload: others.proof_payload },
      { token_id: others.token_id, proof_payload: own.proof_payload },
      { token_id: own.token_id, proof_payload: others.proof_payload },
      { token_id: own.token_id, proof_payload: { ...JSON.parse(own.proof_payload) } },
    ]) {
      const { status, json } = await node.call(own.agent_token, 'crm:add', {}, fields)
      expect([status, json.code]).toEqual([403, 'PROOF_MISMATCH'])
    }
    expect(served).toBe(before)
  })
})

describe('the key of another', () => {
  test('names nothing of his: each gets his own effect and his own answer', async () => {
    const before = served
    const fields = { idempotency_key: 'a-key-both-have' }
    const all = await Promise.all(
      [ann, bob, ann, bob].map(({ token }) => node.call(token, 'gmail_send:send', LETTER, fields)),
    )
    expect(served - before).toBe(2)
    const [anns, bobs, annsAgain, bobsAgain] = all.map(({ json }) => json)
    expect(anns.data.id).not.toBe(bobs.data.id)
    expect([annsAgain.data, bobsAgain.data]).toEqual([anns.data, bobs.data])
    expect([anns, bobs].map(({ metadata }) => metadata.agent_id)).toEqual([ann.id, bob.id])
  })

  test('in a correlation id joins nothing either, though the bodies are equal to the byte', async () => {
    const before = served
    const body = JSON.stringify({ tool: 'crm', action: 'add', params: { note: 'same' } })
    const send = (token: string) =>
      node.http('POST', '/api/proxy', body, {
        authorization: `Bearer ${token}`,
        'x-correlation-id': 'req_1893456000000_equal1234',
      })
    const all = await Promise.all([ann, bob, ann, bob].map(({ token }) => send(token)))
    expect(served - before).toBe(2)
    expect(all.map(({ json }) => json.metadata.agent_id)).toEqual([ann.id, bob.id, ann.id, bob.id])
  })

  test('makes nobody else\u2019s job', async () => {
    const fields = { async: true, idempotency_key: 'a-job-both-have' }
    const jobs = await Promise.all(
      [ann, bob, ann].map(({ token }) => node.call(token, 'crm:add', {}, fields)),
    )
    const [one, other, again] = jobs.map(({ json }) => json.job_id)
    expect(one).toBe(again)
    expect(one).not.toBe(other)
  })
})

describe('a job', () => {
  test('is as unknown to another agent as one that never was', async () => {
    world.upstreamDoes((_request, reply) => void setTimeout(() => reply.end('{"mine":1}'), 300))
    const { json } = await node.call(ann.token, 'crm:add', {}, { async: true })
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
    const told = async (method: string, id: string, headers: Record<string, string>) => {
      const answer = await node.http(method, `/api/jobs/${id}`, undefined, headers)
      return [answer.status, { ...answer.json, correlation_id: '' }]
    }
    const nobody = await told('GET', `job_${'A'.repeat(24)}`, {})
    expect(nobody[0]).toBe(404)
    for (const method of ['GET', 'DELETE'])
      expect(await told(method, json.job_id, bearer(bob.token))).toEqual(nobody)
    for (const id of [
      'x',
      'job_',
      `${json.job_id}x`,
      json.job_id.toLowerCase(),
      '%00',
      'a'.repeat(128),
    ])
      expect(await told('GET', id, {}), id).toEqual(nobody)
    expect((await node.http('DELETE', `/api/jobs/${json.job_id}`)).status).toBe(401)
    expect((await node.ended(json.job_id)).status).toBe('done')
    expect(await told('GET', json.job_id, bearer(bob.token))).toEqual(nobody)
    const own = await node.http('GET', `/api/jobs/${json.job_id}`, undefined, bearer(ann.token))
    expect([own.status, own.json.result]).toEqual([200, { mine: 1 }])
    expect(own.headers.get('cache-control')).toBe('no-store')
  })

  test('has an id that nobody guesses', async () => {
    const ids = await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        const { json } = await node.call(ann.token, 'crm:find', { q: `${n}` }, { async: true })
        return json.job_id as string
      }),
    )
    expect(new Set(ids).size).toBe(ids.length)
    const random = ids.map((id) => Buffer.from(id.replace('job_', ''), 'base64url'))
    for (const bytes of random) expect(bytes.length).toBeGreaterThanOrEqual(16)
    // Every byte position takes many values: nothing in it counts or tells the time.
    for (let at = 0; at < 16; at += 1)
      expect(new Set(random.map((bytes) => bytes[at])).size).toBeGreaterThan(20)
  })
})

test('a page that is kept for all passes the filters of each', async () => {
  world.upstreamDoes((_request, reply) => {
    reply.setHeader('content-type', 'application/json')
    reply.end(
      JSON.stringify({ password: 'open sesame', mail: 'x@example.org', text: 'y'.repeat(99) }),
    )
  })
  const guards = { allowedDomains: [world.host] }
  const agents = {
    free: await node.caller({ scopes: ['http_fetch:*'], guards }),
    redacted: await node.caller({
      scopes: ['http_fetch:*'],
      guards,
      responseFilters: { redactFields: ['password', 'data', 'body'] },
    }),
    masked: await node.caller({
      scopes: ['http_fetch:*'],
      guards: { ...guards, piiFilters: ['email'] },
    }),
    short: await node.caller({
      scopes: ['http_fetch:*'],
      guards: { ...guards, maxResponseSize: 50 },
    }),
    blocked: await node.caller({
      scopes: ['http_fetch:*'],
      guards,
      responseFilters: { blockPatterns: ['sesame'] },
    }),
    elsewhere: await node.caller({
      scopes: ['http_fetch:*'],
      guards: { allowedDomains: ['a.example'] },
    }),
  }
  const get = (name: keyof typeof agents) =>
    node.call(agents[name].token, 'http_fetch:get', { url: world.at('/kept') })
  expect((await get('free')).json.data.json.password).toBe('open sesame')
  const redacted = await get('redacted')
  expect(redacted.json.metadata.cached).toBe(true)
  expect(JSON.stringify(redacted.json)).not.toContain('sesame')
  const masked = await get('masked')
  expect(JSON.stringify(masked.json)).not.toContain('x@example.org')
  expect((await get('short')).json.code).toBe('POLICY_RESPONSE_TOO_LARGE')
  expect((await get('blocked')).json).toMatchObject({
    code: 'POLICY_RESPONSE_BLOCKED',
    executed: true,
  })
  expect((await get('elsewhere')).json.code).toBe('POLICY_DOMAIN_NOT_ALLOWED')
  // And what was cut for one is whole for the next.
  expect((await get('free')).json.data.json.password).toBe('open sesame')
  expect(world.upstream.seen.filter(({ url }) => url === '/kept')).toHaveLength(1)
})

test('headers that a proxy would set are believed from nobody', async () => {
  await using closed = await startSecurityWorld({ token_issue_cidrs: ['10.0.0.0/8'] })
  const id = await closed.node.createAgent()
  for (const headers of [
    {},
    { 'x-forwarded-for': '10.0.0.1' },
    { forwarded: 'for=10.0.0.1' },
    { 'x-real-ip': '10.0.0.1', 'x-client-ip': '10.0.0.1', 'true-client-ip': '10.0.0.1' },
    { 'x-http-method-override': 'GET', 'x-original-url': '/api/health' },
  ])
    expect((await closed.node.mint(id, {}, headers)).status).toBe(403)
})

test('what callers write cannot write a line of the log, nor break it', async () => {
  const evil = 'x\n{"v":1,"seq":1,"action":"admin"}\r\n\u001b[31m\u2028\u0000\u202e'
  await node.mint(ann.id, { tools: [evil], permissions: [evil] })
  await node.call(ann.token, 'crm:find', { q: evil }, { intent: evil })
  await node.call(ann.token, 'crm:find', {}, { intent: 'a' }, { 'x-agent-intent': 'b' })
  await node.http(
    'POST',
    '/api/create-agent',
    { name: evil, created_by: evil, role: evil },
    world.operatorHeaders,
  )
  await node.http(
    'POST',
    '/api/policies',
    { name: evil, role: evil, spec: { scopes: ['*'] } },
    world.operatorHeaders,
  )
  const admin = await operator(world.home)
  expect((await admin.call('admin.audit.verify')).status).toBe('intact')
  admin.destroy()
  const lines = readFileSync(join(world.home.dir, 'audit', 'audit.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
  const actions = lines.map((line) => (JSON.parse(line) as { action: string }).action)
  expect(actions).not.toContain('admin')
  expect(lines.join('')).not.toMatch(/\p{Cc}/u)
})

test('whoever tries to get a token and fails leaves a record, without the id that was tried', async () => {
  const tried = '00000000-0000-4000-8000-00000000dead'
  const signed = await node.createAgent('none', {
    name: 'signs',
    public_key: newPublicKey(),
    require_signature: true,
  })
  expect((await node.mint(tried)).status).toBe(404)
  expect((await node.mint(signed)).status).toBe(401)
  const forged = { 'x-agent-signature': 'v1=AAAA', 'x-agent-timestamp': `${Date.now()}` }
  expect((await node.mint(signed, {}, forged)).status).toBe(401)
  const text = readFileSync(join(world.home.dir, 'audit', 'audit.jsonl'), 'utf8')
  const refused = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ action, success }) => action === 'token.mint' && !success)
  expect(refused.slice(-3).map(({ outcome, agent }) => [outcome.code, agent])).toEqual([
    ['AGENT_NOT_FOUND', undefined],
    ['AGENT_PROOF_REQUIRED', 'signs'],
    ['AGENT_PROOF_INVALID', 'signs'],
  ])
  expect(text).not.toContain(tried)
})

test('a key that was replaced or taken away is not sent once more', async () => {
  const admin = await operator(world.home)
  world.upstreamDoes((request, reply) =>
    reply.end(JSON.stringify({ with: hash('sha256', request.headers.authorization ?? '') })),
  )
  const used = async () => {
    const { status, json } = await node.call(ann.token, 'crm:find', {})
    return status === 200 ? json.data.with : json.code
  }
  const sent = (value: string) => hash('sha256', `Bearer ${value}`)
  for (const value of ['first-of-the-keys', 'second-of-the-keys']) {
    await putCredential(admin, 'tools/crm', value)
    for (let n = 0; n < 3; n += 1) expect(await used()).toBe(sent(value))
  }
  await admin.call('admin.cred.rm', { path: 'tools/crm' })
  expect(await used()).toBe('TOOL_NOT_CONFIGURED')
  for (const value of ['third-of-the-keys', 'fourth-of-the-keys', 'fifth-of-the-keys']) {
    await admin.call('admin.cred.destroy', { path: 'tools/crm' })
    await putCredential(admin, 'tools/crm', value)
    expect(await used()).toBe(sent(value))
  }
  await putCredential(admin, 'tools/crm', CREDENTIALS['crm'] ?? '')
  admin.destroy()
})

test('while sealed every path of agents and operators says so, and when to come again', async () => {
  await using sealed = await startSecurityWorld()
  const { id, token } = await sealed.node.caller({ scopes: ['*'] })
  const { json } = await sealed.node.call(token, 'crm:find', {}, { async: true })
  await sealed.node.ended(json.job_id)
  const admin = await operator(sealed.home)
  await admin.call('admin.seal', {})
  admin.destroy()
  const answers = [
    await sealed.node.mint(id),
    await sealed.node.call(token, 'crm:find', {}),
    await sealed.node.job(json.job_id),
    await sealed.node.http('GET', '/api/agents', undefined, sealed.operatorHeaders),
    await sealed.node.http('GET', '/api/agents'),
  ]
  for (const { status, headers, json: told } of answers) {
    expect([status, told.code]).toEqual([503, 'VAULT_LOCKED'])
    expect(headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
  }
  for (const path of ['/health', '/api/health', '/metrics'])
    expect((await fetch(sealed.node.url + path)).status).toBe(200)
  expect((await fetch(`${sealed.node.url}/ready`)).status).toBe(503)
})

describe('in production', () => {
  test('guesses are counted: of agents thirty, of tokens sixty a minute; who has a good one goes on', async () => {
    using home = temporaryHome()
    await using production = await startNode(home, {
      production: true,
      gateway: { rate_limit_points: 1_000 },
    })
    const { id, token } = await production.caller({ scopes: ['*'] })
    const rejected = []
    for (let n = 0; n < 70; n += 1)
      rejected.push(await production.call(`guess.${n}`, 'serpapi:search', { q: 'a' }))
    expect(rejected.slice(0, 60).map(({ status }) => status)).toEqual(Array(60).fill(401))
    const limited = rejected.filter(({ status }) => status === 429)
    expect(limited.length).toBeGreaterThanOrEqual(8)
    for (const { headers, json } of limited)
      expect([json.error, headers.get('retry-after')]).toEqual([
        'Rate limit exceeded',
        expect.stringMatching(/^[1-9]\d*$/),
      ])
    expect((await production.call(token, 'serpapi:search', { q: 'a' })).status).toBe(200)

    const minted = []
    for (let n = 0; n < 40; n += 1)
      minted.push(await production.mint(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`))
    const statuses = minted.map(({ status }) => status)
    expect(statuses.filter((status) => status === 404).length).toBeLessThanOrEqual(31)
    expect(statuses.at(-1)).toBe(429)
    expect((await production.mint(id)).status).toBe(429)
    expect((await production.call(token, 'serpapi:search', { q: 'b' })).status).toBe(200)
  })

  test('faults on purpose are refused', async () => {
    using home = temporaryHome()
    await using production = await startNode(home, { production: true })
    const set = { tool: 'serpapi', mode: '500', pct: 100 }
    await expect(production.asAdmin('POST', '/api/admin/chaos/tool', set)).rejects.toThrow('403')
  })
})
