import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest'
import { eachStore } from '../../store/test-store.ts'
import { createAgent, patchAgent } from './agent-admin.ts'
import { wireAgent } from './agent-record.ts'
import { readAgentPatch, readAgentRequest } from './agent-request.ts'
import { START, TokenWorld } from './tokens.test-kit.ts'

const failing = (code: string) => expect.objectContaining({ code })
const BODY = { name: 'Lead Bot', created_by: 'ops', role: 'scraper' }
const ed25519Pem = generateKeyPairSync('ed25519')
  .publicKey.export({ format: 'pem', type: 'spki' })
  .toString()

describe('the body of create-agent', () => {
  test('needs a name, a creator and a role', () => {
    expect(readAgentRequest(BODY, START)).toEqual({
      name: 'Lead Bot',
      createdBy: 'ops',
      role: 'scraper',
      key: undefined,
      timezone: undefined,
      requireSignature: false,
    })
    for (const name of ['name', 'created_by', 'role']) {
      for (const nothing of [undefined, null, '']) {
        expect(() => readAgentRequest({ ...BODY, [name]: nothing }, START)).toThrow(
          expect.objectContaining({
            code: 'MISSING_FIELDS',
            message: `Missing required fields: ${name}`,
          }),
        )
      }
    }
    expect(() => readAgentRequest('x', START)).toThrow(failing('BAD_REQUEST'))
  })

  test('is refused for fields of another kind, without their content', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const weakPem = weak.publicKey.export({ format: 'pem', type: 'spki' })
    const privatePem = weak.privateKey.export({ format: 'pem', type: 'pkcs8' })
    const wrong = [
      { name: 7 },
      { name: 'x'.repeat(129) },
      { role: 'a\nb' },
      { created_by: {} },
      { public_key: 'policy' },
      { public_key: weakPem },
      { public_key: privatePem },
      { timezone: 'Mars/Olympus' },
      { timezone: '+05:00' },
      { timezone: 5 },
      { require_signature: 'yes' },
    ]
    for (const change of wrong) {
      expect(() => readAgentRequest({ ...BODY, ...change }, START), Object.keys(change)[0]).toThrow(
        failing('INVALID_FIELD'),
      )
    }
    try {
      readAgentRequest({ ...BODY, public_key: 'policy' }, START)
      expect.unreachable()
    } catch (error) {
      expect(String(error)).not.toMatch(/policy/)
    }
  })

  test('of a change holds a status, a time zone and whether signatures are needed', () => {
    expect(readAgentPatch({ status: 'active', timezone: null, requireSignature: true })).toEqual({
      status: 'enabled',
      timezone: null,
      requireSignature: true,
    })
    expect(readAgentPatch({ require_signature: false })).toEqual({
      status: undefined,
      timezone: undefined,
      requireSignature: false,
    })
    for (const status of ['enabled', '', 7, null]) {
      expect(() => readAgentPatch({ status })).toThrow(failing('INVALID_FIELD'))
    }
  })
})

eachStore('an agent of the gateway', (at) => {
  let world: TokenWorld
  beforeEach(() => {
    world = new TokenWorld(at.store)
  })
  afterEach(() => world[Symbol.dispose]())

  const create = (body: object = BODY) =>
    createAgent(readAgentRequest(body, START), { agents: world.agents, now: world.now })

  it('gets an RSA key pair whose private half is in this answer alone', async () => {
    const { value: agent, privateKey } = await create()
    using secret = privateKey
    const pem = Buffer.from(secret?.bytes ?? []).toString()
    expect(pem).toMatch(
      /^-----BEGIN PRIVATE KEY-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END PRIVATE KEY-----\n$/,
    )
    const key = createPrivateKey(pem)
    expect(key.asymmetricKeyDetails?.modulusLength).toBe(2048)
    expect(key.export({ format: 'pem', type: 'pkcs8' })).toBe(pem)
    const publicPem = createPublicKey(key).export({ format: 'pem', type: 'spki' })
    expect(wireAgent(agent).publicKey).toBe(publicPem)
    const rows = await at.store.db.selectFrom('agent').selectAll().execute()
    expect(JSON.stringify(rows)).not.toContain(pem.slice(200, 240))
  })

  it('is written as the contract has it', async () => {
    const extra = { public_key: ed25519Pem, timezone: 'America/Toronto', require_signature: true }
    const { value: agent, privateKey, generation } = await create({ ...BODY, ...extra })
    expect(privateKey).toBeUndefined()
    expect(generation).toBe(await at.store.generation())
    expect(wireAgent(agent)).toEqual({
      id: agent.id,
      name: 'Lead Bot',
      role: 'scraper',
      createdBy: 'ops',
      publicKey: ed25519Pem,
      status: 'active',
      createdAt: '2030-01-01T00:00:00.000Z',
      timezone: 'America/Toronto',
      requireSignature: true,
    })
    const { publicKey, timezone, createdBy } = wireAgent(await world.agent({ name: 'bare' }))
    expect({ publicKey, timezone, createdBy }).toEqual({
      publicKey: null,
      timezone: undefined,
      createdBy: '',
    })
  })

  it('has a unique name of its own behind a free one, also when many come at once', async () => {
    const body = { ...BODY, public_key: ed25519Pem }
    const names = ['lead-bot', 'lead-bot-2', 'lead-bot-3']
    for (const name of names) expect((await create(body)).value.name).toBe(name)
    const more = await Promise.all(Array.from({ length: 8 }, () => create(body)))
    const all = new Set([...names, ...more.map(({ value }) => value.name)])
    expect(all.size).toBe(11)
    for (const name of all) expect(name).toMatch(/^lead-bot(-[0-9a-f]+)?$/)
    expect((await create({ ...body, name: '調査' })).value.name).toBe('agent')
  })

  it('is disabled, enabled and revoked under the words of the wire', async () => {
    const { value: agent } = await create({ ...BODY, public_key: ed25519Pem })
    const deps = { agents: world.agents, now: world.now }
    const patch = async (body: object) =>
      wireAgent((await patchAgent(agent.id, readAgentPatch(body), deps)).value)
    const { reply } = await world.mint(agent)
    const verifier = world.verifier()
    expect(await patch({ status: 'disabled' })).toMatchObject({ status: 'disabled' })
    await expect(verifier.verify(reply.agent_token)).rejects.toEqual(failing('AGENT_INACTIVE'))
    expect(await patch({ status: 'active' })).toMatchObject({ status: 'active' })
    await verifier.verify(reply.agent_token)
    expect(await patch({ status: 'active' })).toMatchObject({ status: 'active' })
    expect(await patch({ status: 'revoked' })).toMatchObject({ status: 'revoked' })
    await expect(patch({ status: 'active' })).rejects.toEqual(failing('CONFLICT'))
    const unknown = patchAgent(crypto.randomUUID(), readAgentPatch({}), deps)
    await expect(unknown).rejects.toEqual(failing('AGENT_NOT_FOUND'))
  })

  it('keeps what a change does not name', async () => {
    const { value: agent } = await create({ ...BODY, public_key: ed25519Pem, timezone: 'UTC' })
    const patch = async (body: object) => {
      const deps = { agents: world.agents, now: world.now }
      const { timezone, requireSignature, createdBy } = wireAgent(
        (await patchAgent(agent.id, readAgentPatch(body), deps)).value,
      )
      return { timezone, requireSignature, createdBy }
    }
    const createdBy = 'ops'
    expect(await patch({ requireSignature: true })).toEqual({
      timezone: 'UTC',
      requireSignature: true,
      createdBy,
    })
    expect(await patch({ timezone: null })).toEqual({
      timezone: undefined,
      requireSignature: true,
      createdBy,
    })
    expect(await patch({ timezone: 'Asia/Tokyo', requireSignature: false })).toEqual({
      timezone: 'Asia/Tokyo',
      requireSignature: false,
      createdBy,
    })
    expect(await patch({})).toMatchObject({ timezone: 'Asia/Tokyo' })
  })
})
