import { afterEach, beforeEach, describe, expect, it, test } from 'vitest'
import { eachStore } from '../../store/test-store.ts'
import { mintingAgent } from './mint.ts'
import { readMintRequest } from './mint-request.ts'
import { START, TokenWorld } from './tokens.test-kit.ts'

const failing = (code: string) => expect.objectContaining({ code })
const BODY = {
  agent_id: '3f0c8f0e-6a51-4c39-9d5a-0a4e5d1b7c22',
  tools: ['serpapi'],
  permissions: ['read', 'write'],
  expires_at: '2030-01-01T08:39:11.804Z',
}

describe('a token request', () => {
  test('is read as it came, with unknown fields ignored', () => {
    expect(readMintRequest({ ...BODY, extra: 1 }, ' lead_discovery ')).toEqual({
      agentId: BODY.agent_id,
      tools: ['serpapi'],
      permissions: ['read', 'write'],
      expiresAt: BODY.expires_at,
      intent: 'lead_discovery',
    })
    expect(readMintRequest({ ...BODY, tools: [], permissions: [] }, '').tools).toEqual([])
  })

  test('names what is missing', () => {
    const { tools: _, ...rest } = BODY
    expect(() => readMintRequest({ ...rest, expires_at: '' })).toThrow(
      expect.objectContaining({
        code: 'MISSING_FIELDS',
        message: 'Missing required fields: tools, expires_at',
      }),
    )
    for (const body of [undefined, null, [], 'text', 7]) {
      expect(() => readMintRequest(body)).toThrow(failing('BAD_REQUEST'))
    }
  })

  test('is refused for fields of another type, without a word of their content', () => {
    const wrong = [
      { agent_id: 7 },
      { tools: 'policy' },
      { tools: ['scope', 1] },
      { permissions: { policy: true } },
      { expires_at: 1893488400000 },
    ]
    for (const change of wrong) {
      try {
        readMintRequest({ ...BODY, ...change })
        expect.unreachable()
      } catch (error) {
        expect(error).toEqual(failing('INVALID_FIELD'))
        expect(String(error)).not.toMatch(/policy|scope/i)
      }
    }
    expect(() => readMintRequest(BODY, 'x'.repeat(129))).toThrow(failing('INVALID_FIELD'))
    expect(() => readMintRequest(BODY, 'a\nb')).toThrow(failing('INVALID_FIELD'))
  })
})

eachStore('minting', (at) => {
  let world: TokenWorld
  beforeEach(() => {
    world = new TokenWorld(at.store)
  })
  afterEach(() => world[Symbol.dispose]())

  it('answers as the contract writes it, and registers what was asked for', async () => {
    const agent = await world.agent()
    const { reply, token } = await world.mint(agent, {
      tools: ['*', 'made_up'],
      permissions: ['write', 'everything'],
      intent: 'lead_discovery',
    })
    expect(reply).toEqual({
      agent_token: expect.stringMatching(/^[A-Za-z0-9+/]+={0,2}\.[0-9a-f]{64}$/),
      token_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f-]{21}$/),
      expires_at: '2030-01-01T00:10:00.000Z',
      issued_at: '2030-01-01T00:00:00.000Z',
      agent_name: 'Lead Bot',
      proof_payload: expect.stringContaining(`{"agent_id":"${agent.id}","agent_name":"Lead Bot"`),
    })
    expect(Buffer.from(reply.agent_token.split('.')[0] ?? '', 'base64').toString()).toBe(
      reply.proof_payload,
    )
    expect(token).toMatchObject({
      agentId: agent.id,
      tokenId: reply.token_id,
      tools: ['*', 'made_up'],
      permissions: ['write', 'everything'],
      intent: 'lead_discovery',
      txn: expect.stringMatching(/^txn_[0-9a-f]{32}$/),
      issuedAt: START,
      expiresAt: START + 600_000,
    })
    expect(await world.tokens.findByTokenId(reply.token_id)).toEqual(token)
  })

  it('makes a token, a transaction and an id of its own each time', async () => {
    const agent = await world.agent()
    const minted = await Promise.all([world.mint(agent), world.mint(agent)])
    const [one, other] = minted.map(({ reply, token }) => ({ ...reply, ...token }))
    for (const key of ['agent_token', 'token_id', 'id', 'txn', 'payloadHash'] as const) {
      expect(one?.[key]).not.toBe(other?.[key])
    }
  })

  it('writes the resolved instant, in the zone of the agent where there is one', async () => {
    const agent = await world.agent({ meta: { timezone: 'Asia/Tokyo' } })
    const { reply } = await world.mint(agent, { expiresAt: '2030-01-01T09:15:00.782419' })
    expect(reply.expires_at).toBe('2030-01-01T00:15:00.782Z')
    const long = await world.mint(agent, { expiresAt: '2040-01-01T00:00:00Z' })
    expect(long.reply.expires_at).toBe('2030-01-02T00:00:00.000Z')
    const past = world.mint(agent, { expiresAt: '2029-12-31T23:59:59Z' })
    await expect(past).rejects.toEqual(failing('INVALID_EXPIRY'))
    expect(await world.tokens.list({ limit: 10 })).toHaveLength(2)
  })

  it('refuses claims that fit in no token, before anything is stored', async () => {
    const agent = await world.agent()
    const tools = Array.from({ length: 2000 }, (_, n) => `tool_${n}`)
    await expect(world.mint(agent, { tools })).rejects.toEqual(failing('INVALID_FIELD'))
    expect(await world.tokens.list({ limit: 1 })).toEqual([])
    const { reply } = await world.mint(agent, { tools: tools.slice(0, 500) })
    await world.verifier().verify(reply.agent_token)
  })

  it('is for agents that are there and enabled', async () => {
    const agent = await world.agent()
    expect(await mintingAgent(agent.id, world.agents)).toEqual(agent)
    const unknown = mintingAgent(crypto.randomUUID(), world.agents)
    await expect(unknown).rejects.toEqual(
      expect.objectContaining({ code: 'AGENT_NOT_FOUND', status: 404 }),
    )
    await expect(mintingAgent("x' or 1=1", world.agents)).rejects.toEqual(
      failing('AGENT_NOT_FOUND'),
    )
    await world.agents.disable(agent.name)
    await expect(mintingAgent(agent.id, world.agents)).rejects.toEqual(
      expect.objectContaining({ code: 'AGENT_INACTIVE', status: 403 }),
    )
  })
})
