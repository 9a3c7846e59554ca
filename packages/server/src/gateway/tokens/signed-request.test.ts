import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { afterEach, beforeEach, expect, it, test } from 'vitest'
import type { Agent } from '../../identity/agent.ts'
import { acceptKey } from '../../identity/agent-key.ts'
import { eachStore } from '../../store/test-store.ts'
import { NONCE_TTL_MS, NonceStore } from './nonce-store.ts'
import {
  type AgentProof,
  type AgentProofDeps,
  MAX_SKEW_MS,
  proveAgent,
  signedBytes,
} from './signed-request.ts'
import { START, TokenWorld } from './tokens.test-kit.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ed25519 = generateKeyPairSync('ed25519')
const foreign = generateKeyPairSync('rsa', { modulusLength: 2048 })
const pem = (key: KeyObject) => key.export({ format: 'pem', type: 'spki' }).toString()
const key = (public_: KeyObject) => acceptKey(pem(public_), START)

const REQUEST = {
  method: 'POST',
  path: '/api/generate-token',
  body: Buffer.from('{"agent_id":"3f0c8f0e-6a51-4c39-9d5a-0a4e5d1b7c22"}'),
}
const required = expect.objectContaining({ code: 'AGENT_PROOF_REQUIRED', status: 401 })
const invalid = expect.objectContaining({ code: 'AGENT_PROOF_INVALID', status: 401 })

function proof(by: KeyObject, timestamp = START, nonce: string = randomUUID(), request = REQUEST) {
  const text = String(timestamp)
  const bytes = signedBytes(request, { timestamp: text, nonce })
  const algorithm = by.asymmetricKeyType === 'rsa' ? 'sha256' : null
  const signature = `v1=${sign(algorithm, bytes, by).toString('base64')}`
  return { timestamp: text, nonce, signature }
}

test('what is signed are six lines: domain, method, path, time, nonce and the hash of the body', () => {
  const nonce = '9b2d7c14-52f0-4b61-8a86-0f7f3f1f6f10'
  const request = { method: 'post', path: '/api/generate-token?a=1', body: Buffer.from('{}') }
  expect(Buffer.from(signedBytes(request, { timestamp: '1893456000000', nonce })).toString()).toBe(
    [
      '4RUNR-AGENT-SIG-1',
      'POST',
      '/api/generate-token',
      '1893456000000',
      nonce,
      createHash('sha256').update('{}').digest('hex'),
    ].join('\n'),
  )
})

eachStore('a signed request', (at) => {
  let world: TokenWorld
  let nonces: NonceStore
  let agent: Agent
  beforeEach(async () => {
    world = new TokenWorld(at.store)
    nonces = new NonceStore({ store: at.store, now: world.now })
    agent = await world.agent({ keys: [key(rsa.publicKey), key(ed25519.publicKey)] })
  })
  afterEach(() => world[Symbol.dispose]())

  const prove = (given: AgentProof, over: Partial<AgentProofDeps> = {}, request = REQUEST) => {
    const { agents, now } = world
    return proveAgent(agent, request, given, { agents, nonces, mode: 'signed', now, ...over })
  }

  it('gateway §19.15: is accepted with either kind of key', async () => {
    expect(await prove(proof(rsa.privateKey))).toBe('signed')
    expect(await prove(proof(ed25519.privateKey))).toBe('signed')
  })

  it('gateway §19.15: without a signature is refused where one is demanded, and only there', async () => {
    const { signature: _, ...unsigned } = proof(rsa.privateKey)
    for (const given of [{}, unsigned]) {
      await expect(prove(given)).rejects.toEqual(required)
      expect(await prove(given, { mode: 'legacy' })).toBe('unsigned')
    }
    await world.agents.amend(agent.name, { meta: { require_signature: 'true' } })
    agent = (await world.agents.byId(agent.id)) ?? agent
    await expect(prove({}, { mode: 'legacy' })).rejects.toEqual(required)
    expect(await prove(proof(rsa.privateKey), { mode: 'legacy' })).toBe('signed')
  })

  it('gateway §19.15: that is wrong never passes as unsigned', async () => {
    const good = proof(rsa.privateKey)
    const wrong: AgentProof[] = [
      proof(foreign.privateKey),
      { ...good, signature: '' },
      { ...good, signature: 'v1=' },
      { ...good, signature: good.signature.slice(3) },
      { ...good, signature: `v2=${good.signature.slice(3)}` },
      { ...good, signature: `${good.signature}\n` },
      { ...good, signature: `v1=${'A'.repeat(4096)}` },
      { ...good, timestamp: String(START + 1) },
      { ...good, timestamp: `0${START}` },
      { ...good, timestamp: `${START}.0` },
      { ...good, timestamp: undefined },
      { ...good, nonce: randomUUID() },
      { ...good, nonce: good.nonce.toUpperCase() },
      { ...good, nonce: 'x' },
      { signature: good.signature },
    ]
    for (const given of wrong) {
      for (const mode of ['signed', 'legacy'] as const) {
        await expect(prove(given, { mode }), JSON.stringify(given)).rejects.toEqual(invalid)
      }
    }
    expect(await prove(good)).toBe('signed')
  })

  it('gateway §19.15: is bound to body, path and method', async () => {
    const given = proof(rsa.privateKey)
    const altered = [
      { ...REQUEST, body: Buffer.from(`${REQUEST.body} `) },
      { ...REQUEST, path: '/api/proxy-request' },
      { ...REQUEST, method: 'PUT' },
    ]
    for (const request of altered) await expect(prove(given, {}, request)).rejects.toEqual(invalid)
    expect(await prove(given, {}, { ...REQUEST, path: '/api/generate-token?x' })).toBe('signed')
  })

  it('gateway §19.15: with a stale timestamp is refused', async () => {
    const { privateKey } = ed25519
    for (const skew of [-MAX_SKEW_MS, MAX_SKEW_MS]) {
      expect(await prove(proof(privateKey, START + skew))).toBe('signed')
    }
    for (const skew of [-MAX_SKEW_MS - 1, MAX_SKEW_MS + 1, -START]) {
      await expect(prove(proof(privateKey, START + skew))).rejects.toEqual(invalid)
    }
  })

  it('gateway §19.15: is accepted once, also on another node and when both arrive at once', async () => {
    const given = proof(rsa.privateKey)
    const store = await at.open()
    const other = { nonces: new NonceStore({ store, now: world.now }) }
    const both = await Promise.allSettled([prove(given), prove(given, other), prove(given)])
    expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    await expect(prove(given)).rejects.toEqual(invalid)
    await expect(prove(given, other)).rejects.toEqual(invalid)
    await expect(prove(proof(rsa.privateKey, START + 1, given.nonce))).rejects.toEqual(invalid)
  })

  it('uses up a nonce only when its signature is good, and only of its agent', async () => {
    const given = proof(rsa.privateKey)
    const forged = { ...given, signature: proof(foreign.privateKey).signature }
    await expect(prove(forged)).rejects.toEqual(invalid)
    expect(await nonces.spend(randomUUID(), given.nonce)).toBe(true)
    expect(await prove(given)).toBe('signed')
  })

  it('stays refused for as long as its timestamp would be accepted, whatever is forgotten', async () => {
    const given = proof(ed25519.privateKey, START + MAX_SKEW_MS)
    expect(await prove(given)).toBe('signed')
    world.nowMs = START + NONCE_TTL_MS
    expect(await nonces.prune()).toBe(0)
    await expect(prove(given)).rejects.toEqual(invalid)
    world.nowMs += 1
    expect(await nonces.prune()).toBe(1)
    await expect(prove(given)).rejects.toEqual(invalid)
    expect(await nonces.prune()).toBe(0)
  })

  it('is forgotten in time, however many there are', async () => {
    const many = Array.from({ length: 1001 }, () => nonces.spend(agent.id, randomUUID()))
    expect(await Promise.all(many)).not.toContain(false)
    world.nowMs += NONCE_TTL_MS + 1
    expect(await nonces.prune()).toBe(1001)
  })

  it('counts with any key that is still valid, and with none of an agent that is disabled', async () => {
    await world.agents.rotate(agent.name, key(foreign.publicKey), 60)
    expect(await prove(proof(foreign.privateKey))).toBe('signed')
    expect(await prove(proof(rsa.privateKey))).toBe('signed')
    world.nowMs += 60_000
    await expect(prove(proof(rsa.privateKey, world.nowMs))).rejects.toEqual(invalid)
    expect(await prove(proof(foreign.privateKey, world.nowMs))).toBe('signed')
    await world.agents.disable(agent.name)
    await expect(prove(proof(foreign.privateKey, world.nowMs))).rejects.toEqual(invalid)
  })
})
