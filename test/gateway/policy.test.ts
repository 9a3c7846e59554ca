import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { temporaryHome } from '../harness/boot.ts'
import { type GatewayNode, LETTER, startNode } from './world.ts'

const REPLY = {
  owner: {
    name: 'Ada',
    API_KEY: 'k-123',
    notes: [{ text: 'write to ada@example.org or call +1 555 010 9999' }, { api_key: ['deep'] }],
  },
  rows: [{ summary: 'abcdefghij' }, { summary: 'abc', inner: { summary: { kept: 'whole' } } }],
  card: 'paid with 4111 1111 1111 1111',
}

const home = temporaryHome()
let node: GatewayNode
beforeAll(async () => {
  const crm = {
    description: 'customers',
    base_url: 'https://crm.example.com',
    actions: { find: { method: 'GET', path: '/customers', mock: REPLY } },
  }
  node = await startNode(home, { gateway: { tools: { crm } } })
})
afterAll(async () => {
  await node[Symbol.asyncDispose]()
  home[Symbol.dispose]()
})

const denied = (reason: string, status = 400) => ({
  status,
  json: {
    error: `Policy denied: policy violation (${reason})`,
    code: `POLICY_${reason}`,
    reason: expect.any(String),
    correlation_id: expect.any(String),
  },
})

/** An agent of a role of its own, with policies of the role and of its own. */
async function agentWith({ role, own }: { role?: object; own?: object }) {
  const roleName = `role-${randomUUID().slice(0, 8)}`
  const id = await node.createAgent(roleName)
  if (role !== undefined)
    await node.asAdmin('POST', '/api/policies', { name: 'of the role', role: roleName, spec: role })
  if (own !== undefined) await node.allow(id, own)
  return { id, role: roleName, token: await node.token(id) }
}

describe('gateway §19.16: which policies apply', () => {
  const search = (token: string, params: object = { q: 'a' }, fields = {}, headers = {}) =>
    node.call(token, 'serpapi:search', params, fields, headers)

  test('without any, everything is denied', async () => {
    const { token } = await agentWith({})
    expect(await search(token)).toMatchObject(denied('SCOPE_NOT_ALLOWED'))
    // Nor is anything told of what is there.
    for (const called of ['nothing:here', 'crm:find', 'serpapi:nothing'] as const)
      expect(await node.call(token, called, {})).toMatchObject(denied('SCOPE_NOT_ALLOWED'))
  })

  test('the role’s policy holds for its agents, the agent’s own for itself', async () => {
    const search2 = { scopes: ['serpapi:search'] }
    const { id, role, token } = await agentWith({ role: search2 })
    expect((await search(token)).status).toBe(200)
    const sibling = await node.token(await node.createAgent(role))
    expect((await search(sibling)).status).toBe(200)
    expect(await node.call(token, 'gmail_send:profile', {})).toMatchObject(
      denied('SCOPE_NOT_ALLOWED'),
    )
    const { id: policy } = await node.allow(id, { scopes: ['gmail_send:profile'] })
    expect((await node.call(token, 'gmail_send:profile', {})).status).toBe(200)
    expect((await search(token)).status).toBe(200) // both count
    expect((await node.call(sibling, 'gmail_send:profile', {})).status).toBe(400)
    // From the next call on.
    await node.asAdmin('PATCH', `/api/policies/${policy}`, { active: false })
    expect((await node.call(token, 'gmail_send:profile', {})).status).toBe(400)
    await node.asAdmin('PATCH', `/api/policies/${policy}`, { active: true })
    expect((await node.call(token, 'gmail_send:profile', {})).status).toBe(200)
    await node.asAdmin('DELETE', `/api/policies/${policy}`)
    expect((await node.call(token, 'gmail_send:profile', {})).status).toBe(400)
  })

  test('the agent’s own value wins over the role’s, lists are united, blocked beats allowed', async () => {
    const role = {
      scopes: ['serpapi:search'],
      intent: 'of the role',
      guards: {
        maxRequestSize: 20,
        allowedDomains: ['role.example'],
        blockedDomains: ['bad.own.example'],
      },
    }
    const own = {
      scopes: ['http_fetch:get'],
      intent: 'my own',
      guards: { maxRequestSize: 200, allowedDomains: ['own.example'] },
    }
    const { id, token } = await agentWith({ role, own })
    const long = { q: 'x'.repeat(60) }
    expect((await search(token, long, { intent: 'my own' })).status).toBe(200)
    expect(await search(token, long, { intent: 'of the role' })).toMatchObject(
      denied('INTENT_MISMATCH'),
    )
    const get = (host: string) =>
      node.call(token, 'http_fetch:get', { url: `https://${host}/` }, { intent: 'my own' })
    expect((await get('role.example')).status).toBe(200)
    expect((await get('own.example')).status).toBe(200)
    expect(await get('bad.own.example')).toMatchObject(denied('DOMAIN_BLOCKED'))
    const merged = await node.asAdmin('GET', `/api/policies/merged/${id}`)
    expect(merged).toMatchObject({
      agentId: id,
      mergedSpec: {
        scopes: expect.arrayContaining(['serpapi:search', 'http_fetch:get']),
        intent: 'my own',
        guards: { maxRequestSize: 200 },
      },
      sourcePolicies: [expect.any(String), expect.any(String)],
    })
  })

  test('within one group the later policy wins', async () => {
    const { id, token } = await agentWith({ own: { scopes: ['serpapi:search'], intent: 'first' } })
    await node.allow(id, { scopes: ['serpapi:search'], intent: 'second' })
    expect((await search(token, { q: 'a' }, { intent: 'second' })).status).toBe(200)
    expect(await search(token, { q: 'a' }, { intent: 'first' })).toMatchObject(
      denied('INTENT_MISMATCH'),
    )
  })

  test('an intent is read from body, header and params; two that differ are denied', async () => {
    const { id, token } = await agentWith({
      own: {
        scopes: ['serpapi:search', 'crm:find'],
        intent: ['good', 'better'],
        intentRequired: true,
      },
    })
    const ways = (intent: string) => [
      search(token, { q: 'a' }, { intent }),
      search(token, { q: 'a' }, {}, { 'x-agent-intent': intent }),
      search(token, { q: 'a', intent }),
    ]
    for (const answer of await Promise.all([...ways('good'), ...ways('better')]))
      expect(answer.status).toBe(200)
    for (const answer of await Promise.all(ways('bad')))
      expect(answer).toMatchObject(denied('INTENT_MISMATCH'))
    expect(await search(token)).toMatchObject(denied('INTENT_REQUIRED'))
    expect(await search(token, { q: 'a' }, { intent: '' })).toMatchObject(denied('INTENT_REQUIRED'))
    // Each pair, though both would be allowed.
    expect(
      await search(token, { q: 'a' }, { intent: 'good' }, { 'x-agent-intent': 'better' }),
    ).toMatchObject(denied('INTENT_MISMATCH'))
    expect(await search(token, { q: 'a', intent: 'better' }, { intent: 'good' })).toMatchObject(
      denied('INTENT_MISMATCH'),
    )
    expect(
      await search(token, { q: 'a', intent: 'better' }, {}, { 'x-agent-intent': 'good' }),
    ).toMatchObject(denied('INTENT_MISMATCH'))
    const same = { 'x-agent-intent': 'good' }
    const agreed = await search(token, { q: 'a', intent: 'good' }, { intent: 'good' }, same)
    expect(agreed.status).toBe(200)
    // The token's own counts when nobody says another.
    const meant = await node.token(id, {}, { 'x-agent-intent': 'good' })
    expect((await search(meant)).status).toBe(200)
    expect(await search(meant, { q: 'a' }, { intent: 'bad' })).toMatchObject(
      denied('INTENT_MISMATCH'),
    )
  })

  test('a policy with an intent lets a call without one pass, as the clients need it', async () => {
    const { token } = await agentWith({ own: { scopes: ['serpapi:search'], intent: 'good' } })
    expect((await search(token)).status).toBe(200)
  })

  test('the intent in params never reaches the tool', async () => {
    const { token } = await agentWith({ own: { scopes: ['http_fetch:*', 'gmail_send:*'] } })
    const { status } = await node.call(token, 'gmail_send:send', { ...LETTER, intent: 'outreach' })
    expect(status).toBe(200)
  })

  test('of several reasons the first of the order is told', async () => {
    const { id } = await agentWith({
      own: { scopes: ['serpapi:search'], intent: 'good', guards: { maxRequestSize: 5 } },
    })
    const narrow = await node.token(id, { tools: ['openai'], permissions: [] })
    const words = await node.token(id, { permissions: ['send'] })
    const wide = await node.token(id)
    const bad = { intent: 'bad' }
    expect(await search(narrow, { q: 7 }, bad)).toMatchObject(denied('TOKEN_SCOPE'))
    expect(await search(words, { q: 7 }, bad)).toMatchObject(denied('TOKEN_PERMISSION'))
    expect(await node.call(wide, 'gmail_send:send', { to: 7 }, bad)).toMatchObject(
      denied('SCOPE_NOT_ALLOWED'),
    )
    expect(await search(wide, { q: 7 }, bad)).toMatchObject(denied('INTENT_MISMATCH'))
    expect(await search(wide, { q: 7 })).toMatchObject({
      status: 400,
      json: { code: 'INVALID_PARAMS' },
    })
    expect(await search(wide, { q: 'abc' })).toMatchObject(denied('REQUEST_TOO_LARGE'))
  })

  test('a deployment may answer denials with 403', async () => {
    using other = temporaryHome()
    await using strict = await startNode(other, { gateway: { policy_denial_status: 403 } })
    const { token } = await strict.caller({ scopes: ['serpapi:search'] })
    expect(await strict.call(token, 'gmail_send:send', LETTER)).toMatchObject(
      denied('SCOPE_NOT_ALLOWED', 403),
    )
  })
})

describe('gateway §19.20: what of a reply an agent gets', () => {
  const read = async (more: object) => {
    const { token } = await agentWith({ own: { scopes: ['crm:find'], ...more } })
    return node.call(token, 'crm:find', {})
  }

  test('without filters all of it', async () => {
    expect((await read({})).json.data).toEqual(REPLY)
  })

  test('redact and truncate reach into objects and lists', async () => {
    const { json } = await read({
      responseFilters: {
        redactFields: ['api_key'],
        truncateFields: [{ field: 'summary', maxLength: 4 }],
      },
    })
    expect(json.data).toEqual({
      owner: {
        name: 'Ada',
        API_KEY: '[REDACTED]',
        notes: [REPLY.owner.notes[0], { api_key: '[REDACTED]' }],
      },
      rows: [{ summary: 'abcd...' }, { summary: 'abc', inner: { summary: { kept: 'whole' } } }],
      card: REPLY.card,
    })
  })

  test('PII is masked in every text', async () => {
    const { json } = await read({
      guards: { piiFilters: ['email', 'phone', 'credit_card'] },
    })
    expect(json.data.owner.notes[0].text).toBe('write to [REDACTED:email] or call [REDACTED:phone]')
    expect(json.data.card).toBe('paid with [REDACTED:credit_card]')
  })

  test.each([['k-123'], ['re:k-[0-9]{3}']])(
    'a reply that holds the pattern %s is withheld as a whole',
    async (pattern) => {
      const answer = await read({ responseFilters: { blockPatterns: [pattern] } })
      expect(answer).toMatchObject(denied('RESPONSE_BLOCKED'))
      expect(answer.json.executed).toBe(true)
      expect(JSON.stringify(answer.json)).not.toContain('Ada')
      expect(
        (await read({ responseFilters: { blockPatterns: [pattern.toUpperCase()] } })).status,
      ).toBe(200)
    },
  )

  test('one larger than the bytes allowed is withheld', async () => {
    const bytes = Buffer.byteLength(JSON.stringify(REPLY))
    expect((await read({ guards: { maxResponseSize: bytes } })).status).toBe(200)
    const answer = await read({ guards: { maxResponseSize: bytes - 1 } })
    expect(answer).toMatchObject(denied('RESPONSE_TOO_LARGE'))
    expect(answer.json.executed).toBe(true)
  })

  test('a job’s result and a replayed answer are filtered alike', async () => {
    const own = { scopes: ['crm:find'], responseFilters: { redactFields: ['owner', 'rows'] } }
    const { token } = await agentWith({ own })
    const filtered = { owner: '[REDACTED]', rows: '[REDACTED]', card: REPLY.card }
    const { json } = await node.call(token, 'crm:find', {}, { async: true })
    expect(await node.ended(json.job_id)).toMatchObject({ status: 'done', result: filtered })
    const key = { 'idempotency-key': 'the-same-call' }
    await node.call(token, 'crm:find', {}, {}, key)
    const again = await node.call(token, 'crm:find', {}, {}, key)
    expect(again.json).toMatchObject({ data: filtered, metadata: { idempotent_replay: true } })
  })

  test('a request is measured in UTF-8 bytes, without the key', async () => {
    const { token } = await agentWith({
      own: { scopes: ['serpapi:search'], guards: { maxRequestSize: 14 } },
    })
    const search = (q: string, more = {}) => node.call(token, 'serpapi:search', { q, ...more })
    expect((await search('äöü', { idempotency_key: 'a-key-of-its-own' })).status).toBe(200)
    expect((await search('abcdefg')).status).toBe(400)
    expect(await search('äöüä')).toMatchObject(denied('REQUEST_TOO_LARGE'))
  })
})

describe('gateway §19.21: how a policy is accepted', () => {
  const create = async (spec: unknown, more: object = {}) => {
    const role = `role-${randomUUID().slice(0, 8)}`
    return node.asAdmin('POST', '/api/policies', { name: 'p', role, spec, ...more })
  }

  test.each([
    { scopes: ['serpapi:search'], guards: { allowedDomain: ['a.example'] } },
    { scopes: ['serpapi:search'], guards: { http_fetch: { allowedDomains: [], maxBytes: 1 } } },
    { scopes: ['serpapi:search'], guards: { slack: { allowedDomains: [] } } },
    { scopes: ['serpapi:search'], intents: 'a' },
    { scopes: ['serpapi:search'], responseFilters: { redact: [] } },
    {
      scopes: ['serpapi:search'],
      quotas: [{ action: 'serpapi:search', limit: 1, window: '1h', burst: 2 }],
    },
    { scopes: [] },
    {},
  ])('a key that nobody reads, or no scope, is refused (%#)', async (spec) => {
    const body = { name: 'p', role: 'r', spec }
    const error = await node.asAdmin('POST', '/api/policies', body).catch(String)
    expect(error).toMatch(/400/)
    const { error: told, details } = JSON.parse(error.slice(error.indexOf('{')))
    expect(told).not.toMatch(/policy|scope/i)
    expect(told).toBe('Validation error')
    expect(details).toEqual(expect.arrayContaining([expect.any(String)]))
  })

  test('equal specs share a hash whatever the order of their keys; nested differences show', async () => {
    const guards = { maxRequestSize: 5, http_fetch: { timeoutMs: 7, maxResponseBytes: 9 } }
    const hashOf = async (spec: object) => (await create(spec)).specHash
    const first = await hashOf({ scopes: ['a:b', 'c:d'], guards })
    expect(first).toMatch(/^[0-9a-f]{64}$/)
    const turned = { http_fetch: { maxResponseBytes: 9, timeoutMs: 7 }, maxRequestSize: 5 }
    expect(await hashOf({ guards: turned, scopes: ['a:b', 'c:d'] })).toBe(first)
    const deeper = { ...guards, http_fetch: { timeoutMs: 8, maxResponseBytes: 9 } }
    expect(await hashOf({ scopes: ['a:b', 'c:d'], guards: deeper })).not.toBe(first)
    expect(await hashOf({ scopes: ['c:d', 'a:b'], guards })).not.toBe(first)
  })

  test('the owner is exactly one of agent and role, and does not change', async () => {
    const id = await node.createAgent()
    const spec = { scopes: ['a:b'] }
    const created = (more: object) =>
      node.asAdmin('POST', '/api/policies', { name: 'p', spec, ...more }).then(
        () => 201,
        (error) => Number(/: (\d{3}) /.exec(String(error))?.[1]),
      )
    expect(await created({ agentId: id })).toBe(201)
    expect(await created({})).toBe(400)
    expect(await created({ agentId: id, role: 'r' })).toBe(400)
    expect(await created({ agentId: randomUUID() })).toBe(404)
    const policy = await create(spec)
    const patch = node.asAdmin('PATCH', `/api/policies/${policy.id}`, { role: 'other' })
    await expect(patch).rejects.toThrow(/400/)
    const changed = await node.asAdmin('PATCH', `/api/policies/${policy.id}`, { name: 'q' })
    expect(changed).toMatchObject({ name: 'q', role: policy.role, spec })
  })
})
