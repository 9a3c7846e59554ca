import { createHmac } from 'node:crypto'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { eachStore } from '../../store/test-store.ts'
import { claimsText } from './claims.ts'
import { payloadHash, writeToken } from './token-codec.ts'
import { TokenRefused } from './token-refused.ts'
import { START, TokenWorld } from './tokens.test-kit.ts'

const DAY = 86_400_000
const MINUTE = 60_000
const failing = (code: string, status: number) => expect.objectContaining({ code, status })
const FORM = { format: 'signed', withIssueTime: false } as const

eachStore('a presented token', (at) => {
  let world: TokenWorld
  let agent: Awaited<ReturnType<TokenWorld['agent']>>
  beforeEach(async () => {
    world = new TokenWorld(at.store)
    agent = await world.agent()
  })
  afterEach(() => world[Symbol.dispose]())

  /** A token like those of mint(), with times of the test's choosing; registered unless told otherwise. */
  async function issued(times: {
    issuedAt?: number
    expiresAt?: number
    expires?: string
    agentId?: string
    registered?: boolean
  }): Promise<string> {
    const { issuedAt = START, expiresAt = START + 10 * MINUTE, agentId = agent.id } = times
    const { expires = new Date(expiresAt).toISOString(), registered = true } = times
    const { token } = await world.mint(agent)
    const payload = claimsText({
      agent_id: agentId,
      agent_name: 'Lead Bot',
      tools: ['serpapi'],
      permissions: ['read'],
      expires_at: expires,
      nonce: token.id,
      issued_at: new Date(issuedAt).toISOString(),
    })
    const { id, tokenId } = { id: crypto.randomUUID(), tokenId: crypto.randomUUID() }
    const row = { ...token, id, tokenId, issuedAt, expiresAt, payloadHash: payloadHash(payload) }
    if (registered) await world.tokens.add(row)
    return writeToken(payload, issuedAt, world.keys, FORM)
  }

  it('is accepted with its claims, its row and its agent', async () => {
    const { reply, token } = await world.mint(agent)
    const verified = await world.verifier().verify(reply.agent_token)
    expect(verified).toEqual({
      agent,
      claims: JSON.parse(reply.proof_payload),
      payload: reply.proof_payload,
      row: token,
      expiresAtMs: START + 10 * MINUTE,
    })
  })

  it('gateway §19.11: is refused with 401 from the millisecond it expires, and says when that was', async () => {
    const { reply } = await world.mint(agent)
    const verifier = world.verifier()
    world.nowMs = START + 10 * MINUTE - 1
    await verifier.verify(reply.agent_token)
    world.nowMs += 1
    const refusal = await verifier.verify(reply.agent_token).catch((error: unknown) => error)
    expect(refusal).toEqual(failing('TOKEN_EXPIRED', 401))
    expect(refusal).toMatchObject({ message: 'Token expired', expiresAtMs: START + 10 * MINUTE })
  })

  it('gateway §19.11: is refused 24 hours after its issue, even if it expires later', async () => {
    const text = await issued({ expiresAt: START + 3 * DAY })
    const verifier = world.verifier()
    world.nowMs = START + DAY
    await verifier.verify(text)
    world.nowMs += 1
    await expect(verifier.verify(text)).rejects.toEqual(failing('TOKEN_TOO_OLD', 401))
  })

  it('is refused when it was issued more than five minutes from now', async () => {
    const soon = await issued({ issuedAt: START + 5 * MINUTE })
    const later = await issued({ issuedAt: START + 5 * MINUTE + 1 })
    await world.verifier().verify(soon)
    await expect(world.verifier().verify(later)).rejects.toEqual(failing('TOKEN_MALFORMED', 401))
  })

  it('is refused when nobody can tell until when it lives', async () => {
    for (const expires of ['', 'never', '2030-01-01T00:10:00', '2030-01-02']) {
      const text = await issued({ expires })
      await expect(world.verifier().verify(text)).rejects.toEqual(failing('TOKEN_MALFORMED', 401))
    }
  })

  it('is refused with 401 when the registry does not know it', async () => {
    const text = await issued({ registered: false })
    const refusal = failing('TOKEN_UNREGISTERED', 401)
    await expect(world.verifier().verify(text)).rejects.toEqual(refusal)
  })

  it('gateway §19.11: is refused at once after its revocation, known to the node or not', async () => {
    const { reply } = await world.mint(agent)
    const verifier = world.verifier()
    using node = new TokenWorld(await at.open())
    const far = node.verifier()
    await verifier.verify(reply.agent_token)
    await far.verify(reply.agent_token)
    await world.tokens.revoke(reply.token_id)
    const refusal = failing('TOKEN_REVOKED', 403)
    await expect(verifier.verify(reply.agent_token)).rejects.toEqual(refusal)
    await expect(far.verify(reply.agent_token)).rejects.toEqual(refusal)
  })

  it('gateway §19.11: is refused with 403 while its agent is disabled, and for good when it is revoked', async () => {
    const { reply } = await world.mint(agent)
    const verifier = world.verifier()
    await verifier.verify(reply.agent_token)
    await world.agents.disable(agent.name)
    const refusal = failing('AGENT_INACTIVE', 403)
    await expect(verifier.verify(reply.agent_token)).rejects.toEqual(refusal)
    await world.agents.enable(agent.name)
    await verifier.verify(reply.agent_token)
    await world.agents.revoke(agent.name)
    await expect(verifier.verify(reply.agent_token)).rejects.toEqual(refusal)
  })

  it('is refused with 403 when there never was such an agent', async () => {
    const text = await issued({ agentId: crypto.randomUUID() })
    await expect(world.verifier().verify(text)).rejects.toEqual(failing('AGENT_NOT_FOUND', 403))
  })

  it('is judged in the order of the contract: the first failure decides', async () => {
    const verifier = world.verifier()
    const text = await issued({ expiresAt: START + 2 * DAY, registered: false })
    const [body, mac = ''] = text.split('.')
    const ends = async (token: unknown) =>
      verifier.verify(token).catch((error: TokenRefused) => error.code)
    world.nowMs = START + 2 * DAY
    expect(await ends(text)).toBe('TOKEN_EXPIRED')
    expect(await ends(`${body}.${mac.replace(/./g, '0')}`)).toBe('TOKEN_SIGNATURE')
    world.nowMs -= 1
    expect(await ends(text)).toBe('TOKEN_TOO_OLD')
    await world.agents.disable(agent.name)
    world.nowMs = START
    expect(await ends(text)).toBe('TOKEN_UNREGISTERED')
    expect(await ends(undefined)).toBe('TOKEN_MALFORMED')
  })

  it('ends with the secret it was signed with, even if it was seen before', async () => {
    const { reply } = await world.mint(agent)
    const verifier = world.verifier()
    const fresh = Buffer.from('the next signing secret')
    await verifier.verify(reply.agent_token)
    world.keys = { secrets: [fresh, ...world.keys.secrets] }
    await verifier.verify(reply.agent_token)
    world.keys = { secrets: [fresh] }
    const refusal = failing('TOKEN_SIGNATURE', 401)
    await expect(verifier.verify(reply.agent_token)).rejects.toEqual(refusal)
  })

  it('is read anew when the memory is too small for it', async () => {
    const verifier = world.verifier({ cacheLimit: 1 })
    const texts: string[] = []
    for (const tools of [['a'], ['b'], ['c'.repeat(5000)]]) {
      texts.push((await world.mint(agent, { tools })).reply.agent_token)
    }
    for (const text of [...texts, ...texts]) await verifier.verify(text)
    verifier.drop()
    for (const text of texts) await verifier.verify(text)
  })

  it('of another gateway is taken into the registry where that is allowed, and can be revoked', async () => {
    const text = await issued({ registered: false })
    const verifier = world.verifier({ registryRequired: false })
    const [one, other] = await Promise.all([verifier.verify(text), verifier.verify(text)])
    expect(one.row).toEqual(other.row)
    expect(one.row).toMatchObject({ agentId: agent.id, tools: ['serpapi'], issuedAt: START })
    expect(await world.tokens.findByTokenId(one.row.tokenId)).toEqual(one.row)
    await world.tokens.revoke(one.row.tokenId)
    await expect(verifier.verify(text)).rejects.toEqual(failing('TOKEN_REVOKED', 403))
    const stranger = await issued({ registered: false, agentId: crypto.randomUUID() })
    const before = (await world.tokens.list({ limit: 100 })).length
    await expect(verifier.verify(stranger)).rejects.toEqual(failing('AGENT_NOT_FOUND', 403))
    expect(await world.tokens.list({ limit: 100 })).toHaveLength(before)
  })

  it('that is refused shows nothing of itself in the error', async () => {
    const body = Buffer.from('{"agent_id":"hidden"}').toString('base64')
    const secret = world.keys.secrets[0] as Uint8Array
    const text = `${body}.${createHmac('sha256', secret).update(body).digest('hex')}`
    const error = await world
      .verifier()
      .verify(text)
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(TokenRefused)
    expect(JSON.stringify(error) + String(error)).not.toMatch(/hidden|eyJ/)
  })
})
