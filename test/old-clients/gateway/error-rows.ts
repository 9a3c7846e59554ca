/** How each refusal of the gateway is provoked through a client, and the exception that must come of it. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import type { GatewayClient, Outcome, Raised } from './gateway-process.ts'
import type { GatewayWorld } from './gateway-world.ts'
import { result } from './journeys.ts'

/** What a row needs to go wrong. */
export interface Stage {
  readonly world: GatewayWorld
  connect(agentId: string, intent?: string): Promise<GatewayClient>
  /** An agent that policy lets do anything, and its client. */
  demo(spec?: object): Promise<{ id: string; client: GatewayClient }>
  of(role: string): Promise<{ id: string; client: GatewayClient }>
}

export interface Row {
  readonly what: string
  readonly expected: Partial<Raised>
  go(stage: Stage): Promise<Outcome>
}

export const ALL = ['serpapi:*', 'http_fetch:*', 'openai:*', 'gmail_send:*']
export const SEARCH = ['serpapi', 'search', { q: 'a' }] as const
const LETTER = { to: 'a@example.org', subject: 'Hi', body: 'Hello' }

export const auth = (status: number, message?: RegExp) => ({
  class: 'GatewayAuthError',
  code: 'AUTH_ERROR',
  status,
  ...(message !== undefined && { message: expect.stringMatching(message) }),
})
export const plain = (status: number) => ({ class: 'GatewayError', code: null, status })
const policy = (reason: string) => ({
  class: 'GatewayPolicyError',
  code: 'POLICY_ERROR',
  status: 400,
  message: `Policy denied: policy violation (${reason})`,
})
export const limited = (message: RegExp) => ({
  class: 'GatewayRateLimitError',
  code: 'RATE_LIMIT_ERROR',
  status: 429,
  message: expect.stringMatching(message),
  retry_after: expect.toSatisfy((value) => Number.isInteger(value) && value >= 1, 'is seconds'),
})

export async function tokenOf(client: GatewayClient, tools = ['*'], minutes = 10): Promise<string> {
  return await result(client.getToken({ tools, permissions: ['read', 'write'], minutes }))
}

/** Another last digit of the signature, or another first character of the payload. */
function altered(token: string, at: 'payload' | 'signature'): string {
  if (at === 'payload') return `f${token.slice(1)}`
  return token.slice(0, -1) + (token.endsWith('0') ? '1' : '0')
}

export const ROWS: Row[] = [
  {
    what: 'a field that is missing',
    expected: plain(400),
    go: async ({ demo }) => {
      const { client } = await demo()
      return client.proxy('', 'search', { q: 'a' }, await tokenOf(client))
    },
  },
  {
    what: 'an expiry that is past',
    expected: plain(400),
    go: async ({ demo }) =>
      (await demo()).client.getToken({ tools: ['serpapi'], permissions: [], minutes: -2_000 }),
  },
  {
    what: 'an unknown agent that wants a token',
    expected: plain(404),
    go: async ({ connect }) => (await connect(randomUUID())).proxy(...SEARCH),
  },
  {
    what: 'an inactive agent that wants a token',
    expected: auth(403),
    go: async ({ world, demo }) => {
      const { id, client } = await demo()
      await world.asAdmin('PATCH', `/api/agents/${id}`, { status: 'disabled' })
      return client.proxy(...SEARCH)
    },
  },
  {
    what: 'an agent that must sign and does not',
    expected: auth(401),
    go: async ({ world, connect }) => {
      const id = await world.createAgent('scraper', { require_signature: true })
      return (await connect(id)).proxy(...SEARCH)
    },
  },
  {
    what: 'a malformed token',
    expected: auth(401),
    go: async ({ demo }) => (await demo()).client.proxy(...SEARCH, 'no-token-at-all'),
  },
  ...(['payload', 'signature'] as const).map((at) => ({
    what: `a token with another ${at}`,
    expected: auth(401),
    go: async ({ demo }: Stage) => {
      const { client } = await demo()
      return client.proxy(...SEARCH, altered(await tokenOf(client), at))
    },
  })),
  {
    what: 'an expired token',
    expected: auth(401, /^Token expired$/),
    go: async ({ demo }) => {
      const { client } = await demo()
      const token = await tokenOf(client, ['*'], 0.01)
      await sleep(700)
      return client.proxy(...SEARCH, token)
    },
  },
  {
    what: 'a revoked token',
    expected: auth(403, /^Token has been revoked$/),
    go: async ({ world, demo }) => {
      const { id, client } = await demo()
      const token = await tokenOf(client)
      await result(client.proxy(...SEARCH, token))
      const { json } = await world.asAdmin('GET', `/api/tokens/${id}`)
      const [row] = json.tokens
      await world.asAdmin('POST', `/api/admin/tokens/${row.token_id}/revoke`)
      return client.proxy('serpapi', 'search', { q: 'b' }, token)
    },
  },
  {
    what: 'a proof of somebody else',
    expected: auth(403, /^Token proof verification failed$/),
    go: async ({ demo }) => {
      const { client } = await demo()
      const token = await tokenOf(client)
      await result(client.proxy(...SEARCH, token, { a: 1 }))
      return client.proxy(...SEARCH, token, { agent_id: 'evil' })
    },
  },
  {
    what: 'the token of an agent that is inactive by now',
    expected: auth(403),
    go: async ({ world, demo }) => {
      const { id, client } = await demo()
      const token = await tokenOf(client)
      await world.asAdmin('PATCH', `/api/agents/${id}`, { status: 'disabled' })
      return client.proxy(...SEARCH, token)
    },
  },
  {
    what: 'a tool outside the policy',
    expected: policy('SCOPE_NOT_ALLOWED'),
    go: async ({ of }) => (await of('scraper')).client.proxy('gmail_send', 'send', LETTER),
  },
  {
    what: 'a role without any policy',
    expected: policy('SCOPE_NOT_ALLOWED'),
    go: async ({ of }) => (await of('nobody')).client.proxy(...SEARCH),
  },
  {
    what: 'a tool outside the token',
    expected: policy('TOKEN_SCOPE'),
    go: async ({ demo }) => {
      const { client } = await demo()
      return client.proxy('gmail_send', 'send', LETTER, await tokenOf(client, ['serpapi']))
    },
  },
  {
    what: 'a permission outside the token',
    expected: policy('TOKEN_PERMISSION'),
    go: async ({ demo }) => {
      const { client } = await demo()
      const wish = { tools: ['gmail_send'], permissions: ['read'], minutes: 10 }
      return client.proxy('gmail_send', 'send', LETTER, await result(client.getToken(wish)))
    },
  },
  {
    what: 'another intent than the policy’s',
    expected: policy('INTENT_MISMATCH'),
    go: async ({ world, connect }) =>
      (await connect(await world.createAgent('scraper'), 'outreach_send')).proxy(...SEARCH),
  },
  {
    what: 'a missing intent that is required',
    expected: policy('INTENT_REQUIRED'),
    go: async ({ demo }) => {
      const { client } = await demo({ scopes: ALL, intent: 'a', intentRequired: true })
      return client.proxy(...SEARCH)
    },
  },
  {
    what: 'a request larger than the policy’s',
    expected: policy('REQUEST_TOO_LARGE'),
    go: async ({ of }) => {
      const messages = [{ role: 'user', content: 'x'.repeat(60_000) }]
      return (await of('enricher')).client.proxy('openai', 'chat', { messages })
    },
  },
  {
    what: 'a blocked domain',
    expected: policy('DOMAIN_BLOCKED'),
    go: async ({ of }) => {
      const url = 'https://www.malicious-site.com/'
      return (await of('scraper')).client.proxy('http_fetch', 'get', { url })
    },
  },
  {
    what: 'a domain that nobody listed',
    expected: policy('DOMAIN_NOT_ALLOWED'),
    go: async ({ of }) => {
      const url = 'https://notgithub.com/'
      return (await of('scraper')).client.proxy('http_fetch', 'get', { url })
    },
  },
  {
    what: 'a day outside the schedule',
    expected: policy('SCHEDULE'),
    go: async ({ demo }) => {
      // Two days off: midnight may come in between.
      const allowedDays = [(new Date().getUTCDay() + 3) % 7]
      const { client } = await demo({ scopes: ALL, schedule: { allowedDays } })
      return client.proxy(...SEARCH)
    },
  },
  {
    what: 'a minute outside the window',
    expected: policy('TIME_WINDOW'),
    go: async ({ demo }) => {
      const at = new Date(Date.now() + 12 * 3_600_000).toISOString().slice(11, 16)
      const timeWindow = { start: at, end: at, timezone: 'UTC' }
      const { client } = await demo({ scopes: ALL, guards: { timeWindow } })
      return client.proxy(...SEARCH)
    },
  },
  {
    what: 'an answer that holds what is blocked',
    expected: policy('RESPONSE_BLOCKED'),
    go: async ({ demo }) => {
      const responseFilters = { blockPatterns: ['organic_results'] }
      return (await demo({ scopes: ALL, responseFilters })).client.proxy(...SEARCH)
    },
  },
  {
    what: 'an answer larger than the policy’s',
    expected: policy('RESPONSE_TOO_LARGE'),
    go: async ({ demo }) =>
      (await demo({ scopes: ALL, guards: { maxResponseSize: 100 } })).client.proxy(...SEARCH),
  },
  {
    what: 'a quota that is used up',
    expected: limited(/quota/),
    go: async ({ demo }) => {
      const quotas = [{ action: 'serpapi:search', limit: 1, window: '24h' }]
      const { client } = await demo({ scopes: ALL, quotas })
      await result(client.proxy(...SEARCH))
      return client.proxy('serpapi', 'search', { q: 'b' })
    },
  },
  {
    what: 'params that are not valid',
    expected: { ...plain(400), message: 'Parameter validation failed' },
    go: async ({ demo }) => (await demo()).client.proxy('serpapi', 'search', { num: 'many' }),
  },
  {
    what: 'a tool that does not exist',
    expected: plain(400),
    go: async ({ demo }) => {
      const { client } = await demo({ scopes: ['*'] })
      return client.proxy('nosuch', 'thing', {}, await tokenOf(client))
    },
  },
  {
    what: 'an idempotency key with other content',
    expected: plain(409),
    go: async ({ demo }) => {
      const { client } = await demo()
      const key = { idempotency_key: `idemp_${randomUUID()}` }
      await result(client.proxy('gmail_send', 'send', { ...LETTER, ...key }))
      return client.proxy('gmail_send', 'send', { ...LETTER, body: 'Bye', ...key })
    },
  },
  {
    what: 'an unknown job',
    expected: plain(404),
    go: async ({ demo }) => (await demo()).client.getJob('job_2Hk9vQ7yT4mZ8rXw1cLdPs'),
  },
  {
    what: 'a request larger than a megabyte',
    expected: plain(413),
    go: async ({ demo }) =>
      (await demo()).client.proxy('serpapi', 'search', { q: 'x'.repeat(1_100_000) }),
  },
]

export function stageOf(world: GatewayWorld, language: GatewayClient['language']): Stage {
  const connect: Stage['connect'] = async (agentId, defaultIntent) => {
    const intent = defaultIntent === undefined ? {} : { defaultIntent }
    return (await world.connect(language, agentId, intent)).client
  }
  return {
    world,
    connect,
    async demo(spec = { scopes: ALL }) {
      const id = await world.createAgent('demo')
      await world.allow(id, spec)
      return { id, client: await connect(id) }
    },
    async of(role) {
      const id = await world.createAgent(role)
      return { id, client: await connect(id) }
    },
  }
}
