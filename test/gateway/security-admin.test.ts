/** The management paths, and who may not use them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { operator } from '../harness/boot.ts'
import type { RawClient } from '../harness/raw-client.ts'
import { type SecurityWorld, startSecurityWorld } from './security-world.ts'

let world: SecurityWorld
let admin: RawClient
let agent: { id: string; token: string }

beforeAll(async () => {
  world = await startSecurityWorld()
  admin = await operator(world.home)
  agent = await world.node.caller({ scopes: ['*'] })
})
afterAll(async () => {
  admin.destroy()
  await world[Symbol.asyncDispose]()
})

const ROUTES: [method: string, path: string, body?: object][] = [
  ['POST', '/api/create-agent', { name: 'a', created_by: 'b', role: 'scraper' }],
  ['GET', '/api/agents'],
  ['GET', '/api/agents/AGENT'],
  ['PATCH', '/api/agents/AGENT', { status: 'disabled' }],
  ['GET', '/api/tokens/AGENT'],
  ['POST', '/api/tokens/TOKEN/revoke'],
  ['GET', '/api/admin/tokens'],
  ['POST', '/api/admin/tokens/TOKEN/revoke'],
  ['POST', '/api/policies', { name: 'p', role: 'scraper', spec: { scopes: ['*'] } }],
  ['GET', '/api/policies'],
  ['GET', '/api/policies/merged/AGENT'],
  ['GET', '/api/policies/POLICY'],
  ['PATCH', '/api/policies/POLICY', { active: false }],
  ['DELETE', '/api/policies/POLICY'],
  ['GET', '/api/policy-logs'],
  ['GET', '/api/proxy/logs'],
  ['POST', '/api/admin/creds/set', { tool: 'serpapi', version: '1', credential: 'stolen' }],
  ['POST', '/api/admin/creds/activate', { id: 'x' }],
  ['GET', '/api/admin/creds'],
  ['GET', '/api/admin/creds/serpapi'],
  ['GET', '/api/admin/creds/serpapi/versions'],
  ['DELETE', '/api/admin/creds/x'],
  ['POST', '/api/admin/chaos/tool', { tool: 'serpapi', mode: '500', pct: 100 }],
  ['DELETE', '/api/admin/chaos/tool/serpapi'],
  ['GET', '/api/admin/chaos'],
]
const WRITES = ROUTES.filter(([method]) => method !== 'GET')

async function names(): Promise<{ TOKEN: string; POLICY: string; AGENT: string }> {
  const tokens = await world.node.asAdmin('GET', '/api/admin/tokens')
  const policies = await world.node.asAdmin('GET', `/api/policies?agentId=${agent.id}`)
  return { TOKEN: tokens[0].tokenId, POLICY: policies[0].id, AGENT: agent.id }
}

async function attempt(headers: Record<string, string>, routes = ROUTES) {
  const real = await names()
  return Promise.all(
    routes.map(async ([method, path, body]) => {
      const to = path.replace(/AGENT|TOKEN|POLICY/, (name) => real[name as keyof typeof real])
      const { status, json } = await world.node.http(method, to, body, headers)
      return { route: `${method} ${path}`, status, code: json?.code }
    }),
  )
}

/** Nothing of what was attempted has happened. */
async function assertUntouched(): Promise<void> {
  const { node } = world
  expect((await node.asAdmin('GET', `/api/agents/${agent.id}`)).agent.status).toBe('active')
  expect(await node.asAdmin('GET', '/api/admin/creds')).toEqual([])
  expect((await node.asAdmin('GET', '/api/admin/chaos')).activeChaos).toEqual([])
  expect((await node.call(agent.token, 'crm:find', {})).status).toBe(200)
}

test.each<[string, () => Promise<Record<string, string>> | Record<string, string>]>([
  ['without a credential', () => ({})],
  ['with an empty one', () => ({ authorization: 'Bearer ' })],
  ['with another scheme', () => ({ authorization: 'Basic YTpi' })],
  ['with a key that is none', () => ({ authorization: 'Bearer AAAA.BBBB' })],
  ['with a token of an agent', () => ({ authorization: `Bearer ${agent.token}` })],
  ['with the id of an agent', () => ({ authorization: `Bearer ${agent.id}` })],
  [
    'with the API key of an agent',
    async () => {
      const { agent: record } = await world.node.asAdmin('GET', `/api/agents/${agent.id}`)
      const { agents } = await admin.call('admin.agent.list', {})
      const known = agents.find(({ id }: { id: string }) => id === record.id)
      const { key } = await admin.call('admin.key.add', { name: 'its', agent: known.name })
      return { authorization: `Bearer ${key}` }
    },
  ],
  [
    'with a key that was revoked',
    async () => {
      const { id, key } = await admin.call('admin.key.add', { name: 'gone', role: 'admin' })
      const headers = { authorization: `Bearer ${key}` }
      expect((await world.node.http('GET', '/api/agents', undefined, headers)).status).toBe(200)
      await admin.call('admin.key.revoke', { id })
      return headers
    },
  ],
  [
    'with half of a good key',
    async () => {
      const { key } = await admin.call('admin.key.add', { name: 'half', role: 'admin' })
      return { authorization: `Bearer ${key.slice(0, -1)}` }
    },
  ],
])('gateway §19.29: every management path refuses who comes %s', async (_kind, headers) => {
  for (const answer of await attempt(await headers()))
    expect(answer).toEqual({ route: answer.route, status: 401, code: 'AUTH_FAILED' })
  await assertUntouched()
})

test('gateway §19.29: the key of an auditor reads, and changes nothing', async () => {
  const { key } = await admin.call('admin.key.add', { name: 'audits', role: 'auditor' })
  const headers = { authorization: `Bearer ${key}` }
  for (const answer of await attempt(headers, WRITES))
    expect([answer.route, answer.status]).toEqual([answer.route, 403])
  await assertUntouched()
})

test('gateway §19.29: token listings hold names and times, and no token', async () => {
  const mints = await Promise.all([1, 2, 3].map(() => world.node.mint(agent.id)))
  const listings = JSON.stringify([
    await world.node.asAdmin('GET', `/api/tokens/${agent.id}`),
    await world.node.asAdmin('GET', '/api/admin/tokens'),
    await world.node.asAdmin('GET', '/api/agents'),
    await world.node.asAdmin('GET', '/api/proxy/logs'),
    await admin.call('admin.token.list', {}),
  ])
  for (const { json } of mints) {
    const [payload, signature] = json.agent_token.split('.')
    expect(listings).toContain(json.token_id)
    expect(listings).not.toContain(payload)
    expect(listings).not.toContain(signature)
    expect(listings).not.toContain(JSON.parse(json.proof_payload).nonce)
  }
})

test('a path of the original product that runs tools without any check does not exist', async () => {
  for (const [method, path] of [
    ['GET', '/api/test/mock?tool=serpapi&action=search'],
    ['POST', '/api/test/mock'],
    ['POST', '/api/sandbox/token'],
    ['GET', '/api/api/agents'],
  ] as const)
    expect((await world.node.http(method, path)).status, path).toBe(404)
})

test('health and status tell strangers nothing of the machine, nor which secrets are set', async () => {
  for (const path of ['/health', '/api/health', '/ready', '/api/proxy/status']) {
    const text = await (await fetch(world.node.url + path)).text()
    expect(text, path).not.toMatch(/"pid"|memory|platform|hostname|signing|kek|gateway_key/i)
    expect(text, path).not.toContain(world.home.dir)
  }
})
