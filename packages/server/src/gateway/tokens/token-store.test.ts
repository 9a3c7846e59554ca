import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { eachStore } from '../../store/test-store.ts'
import { adminTokenRecord, agentTokenRecord } from './token-record.ts'
import { KEPT_AFTER_EXPIRY_MS, type RegisteredToken } from './token-store.ts'
import { START, TokenWorld } from './tokens.test-kit.ts'

const failing = (code: string) => expect.objectContaining({ code })
const AGENT = randomUUID()

function token(over: Partial<RegisteredToken> = {}): RegisteredToken {
  return {
    id: randomUUID(),
    tokenId: randomUUID(),
    agentId: AGENT,
    payloadHash: randomUUID(),
    tools: ['serpapi', 'a "b"\u0000\ud800'],
    permissions: [],
    intent: undefined,
    txn: 'txn_1',
    issuedAt: START,
    expiresAt: START + 600_000,
    revokedAt: undefined,
    ...over,
  }
}

eachStore('registered tokens', (at) => {
  let world: TokenWorld
  beforeEach(() => {
    world = new TokenWorld(at.store)
  })
  afterEach(() => world[Symbol.dispose]())

  it('are found by the hash of their payload and by token id', async () => {
    const one = token({ intent: 'lead_discovery' })
    await world.tokens.add(one)
    await world.tokens.add(token())
    expect(await world.tokens.findByHash(one.payloadHash)).toEqual(one)
    expect(await world.tokens.findByTokenId(one.tokenId)).toEqual(one)
    expect(await world.tokens.findByHash('0'.repeat(64))).toBeUndefined()
    expect(await world.tokens.findByTokenId(randomUUID())).toBeUndefined()
    expect(await world.tokens.findByTokenId("x' or 1=1")).toBeUndefined()
  })

  it('are read without a promise where the engine can', async () => {
    const one = token()
    await world.tokens.add(one)
    const found = world.tokens.findByHash(one.payloadHash)
    expect(found instanceof Promise).toBe(at.engine === 'postgres')
    await found
  })

  it('are registered once', async () => {
    const one = token()
    await world.tokens.add(one)
    const again = token({ payloadHash: one.payloadHash })
    await expect(world.tokens.add(again)).rejects.toEqual(failing('CONFLICT'))
  })

  it('are no admin change', async () => {
    const before = await at.store.generation()
    await world.tokens.add(token())
    expect(await at.store.generation()).toBe(before)
  })

  it('are listed newest first, of one agent or of all, up to a limit', async () => {
    const [a, b, c] = [1, 2, 3].map((n) => token({ issuedAt: START + n }))
    const other = token({ agentId: randomUUID(), issuedAt: START + 4 })
    for (const one of [b, other, a, c]) await world.tokens.add(one as RegisteredToken)
    expect(await world.tokens.list({ limit: 10 })).toEqual([other, c, b, a])
    expect(await world.tokens.list({ agentId: AGENT, limit: 2 })).toEqual([c, b])
  })

  it('that are left out of a list do not use up its limit', async () => {
    const live = token({ issuedAt: START })
    const ended = token({ issuedAt: START + 1, expiresAt: START - 1 })
    const revoked = token({ issuedAt: START + 2 })
    for (const one of [live, ended, revoked]) await world.tokens.add(one)
    await world.tokens.revoke(revoked.id)
    const limit = 1
    expect(await world.tokens.list({ limit, withoutRevoked: true })).toEqual([ended])
    const without = { withoutRevoked: true, withoutExpired: true }
    expect(await world.tokens.list({ limit, ...without })).toEqual([live])
  })

  it('are revoked by either id, once', async () => {
    const [one, other] = [token(), token()]
    await world.tokens.add(one)
    await world.tokens.add(other)
    world.nowMs += 1000
    expect(await world.tokens.revoke(one.id)).toEqual({ ...one, revokedAt: START + 1000 })
    expect(await world.tokens.revoke(other.tokenId)).toMatchObject({ revokedAt: START + 1000 })
    world.nowMs += 1000
    expect(await world.tokens.revoke(one.tokenId)).toMatchObject({ revokedAt: START + 1000 })
    expect(await world.tokens.findByHash(one.payloadHash)).toMatchObject({
      revokedAt: START + 1000,
    })
    await expect(world.tokens.revoke(randomUUID())).rejects.toEqual(failing('NOT_FOUND'))
    await expect(world.tokens.revoke('1')).rejects.toEqual(failing('NOT_FOUND'))
  })

  it('gateway §19.11: are revoked on every node at once', async () => {
    const one = token()
    await world.tokens.add(one)
    using node = new TokenWorld(await at.open())
    expect(await node.tokens.findByHash(one.payloadHash)).toEqual(one)
    await world.tokens.revoke(one.tokenId)
    expect(await node.tokens.findByHash(one.payloadHash)).toMatchObject({ revokedAt: START })
  })

  it('are all revoked with their agent, however many; the expired ones stay as they are', async () => {
    const expired = token({ expiresAt: START })
    await world.tokens.add(expired)
    const other = token({ agentId: randomUUID() })
    await world.tokens.add(other)
    await Promise.all(Array.from({ length: 501 }, () => world.tokens.add(token())))
    expect(await world.tokens.revokeAll(AGENT)).toBe(501)
    expect(await world.tokens.revokeAll(AGENT)).toBe(0)
    const left = (await world.tokens.list({ limit: 1000 })).filter(
      ({ revokedAt }) => revokedAt === undefined,
    )
    expect(left.map(({ id }) => id).sort()).toEqual([expired.id, other.id].sort())
  })

  it('are forgotten a week after they expired', async () => {
    const [old, kept] = [token({ expiresAt: START }), token({ expiresAt: START + 1 })]
    await world.tokens.add(old)
    await world.tokens.add(kept)
    world.nowMs = START + KEPT_AFTER_EXPIRY_MS
    expect(await world.tokens.prune()).toBe(0)
    world.nowMs += 1
    expect(await world.tokens.prune()).toBe(1)
    expect(await world.tokens.list({ limit: 10 })).toEqual([kept])
  })

  it('that were altered on disk are not served', async () => {
    const one = token({ revokedAt: START })
    await world.tokens.add(one)
    await world.tokens.findByHash(one.payloadHash)
    const changes = [
      { revoked_at: null },
      { expires_at: START * 2 },
      { agent_id: 'x' },
      { mac: new Uint8Array(32) },
    ]
    for (const change of changes) {
      await at.store.write((trx) => trx.updateTable('gateway_token').set(change).execute())
      const corrupt = async () => world.tokens.findByHash(one.payloadHash)
      await expect(corrupt()).rejects.toEqual(failing('STORE_CORRUPT'))
      world.tokens.drop()
      await expect(corrupt()).rejects.toEqual(failing('STORE_CORRUPT'))
      await expect(world.tokens.list({ limit: 1 })).rejects.toEqual(failing('STORE_CORRUPT'))
      await expect(world.tokens.revoke(one.id)).rejects.toEqual(failing('STORE_CORRUPT'))
    }
  })

  it('gateway §19.29: are listed without anything that could be used', async () => {
    const { reply, token: one } = await world.mint(await world.agent())
    const revoked = { ...one, revokedAt: START }
    const wire = [one, revoked].flatMap((each) => [agentTokenRecord(each), adminTokenRecord(each)])
    expect(wire).toEqual([
      {
        id: one.id,
        token_id: reply.token_id,
        agentId: one.agentId,
        expiresAt: '2030-01-01T00:10:00.000Z',
        revoked: false,
        createdAt: '2030-01-01T00:00:00.000Z',
        tools: ['serpapi'],
        permissions: ['read'],
      },
      {
        id: one.id,
        tokenId: reply.token_id,
        agentId: one.agentId,
        issuedAt: '2030-01-01T00:00:00.000Z',
        expiresAt: '2030-01-01T00:10:00.000Z',
        isRevoked: false,
        revokedAt: null,
      },
      expect.objectContaining({ revoked: true }),
      expect.objectContaining({ isRevoked: true, revokedAt: '2030-01-01T00:00:00.000Z' }),
    ])
    const [body = '', mac = ''] = reply.agent_token.split('.')
    expect(JSON.stringify(wire)).not.toContain(body)
    expect(JSON.stringify(wire)).not.toContain(mac)
  })

  it('gateway §19.30: leave no usable token in the database', async () => {
    const { reply } = await world.mint(await world.agent())
    const rows = await at.store.db.selectFrom('gateway_token').selectAll().execute()
    const dump = JSON.stringify(rows)
    const [body = '', mac = ''] = reply.agent_token.split('.')
    const { nonce } = JSON.parse(reply.proof_payload) as { nonce: string }
    for (const part of [body, mac, nonce, reply.proof_payload]) expect(dump).not.toContain(part)
  })
})
