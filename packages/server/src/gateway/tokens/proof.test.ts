import { createHash } from 'node:crypto'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { eachStore } from '../../store/test-store.ts'
import type { MintReply } from './mint.ts'
import { checkProof, type ProofMode } from './proof.ts'
import { TokenWorld } from './tokens.test-kit.ts'
import type { VerifiedToken } from './verify.ts'

const failing = (code: string) => expect.objectContaining({ code })

eachStore('provenance', (at) => {
  let world: TokenWorld
  let reply: MintReply
  let other: MintReply
  let token: VerifiedToken
  beforeEach(async () => {
    world = new TokenWorld(at.store)
    const agent = await world.agent()
    reply = (await world.mint(agent, { tools: ['serpapi', 'openai'] })).reply
    other = (await world.mint(agent)).reply
    token = await world.verifier().verify(reply.agent_token)
  })
  afterEach(() => world[Symbol.dispose]())

  const check = (proofPayload: unknown, mode: ProofMode = 'lenient', tokenId?: unknown) =>
    checkProof({ tokenId, proofPayload }, token, { mode, tokens: world.tokens })

  it('gateway §19.13: a contradicting proof is refused, as text or as object', async () => {
    const wrong: unknown[] = [
      '{"agent_id":"evil"}',
      { agent_id: 'evil' },
      '{"a":1,"agent_id":"evil"}',
      { tools: ['serpapi'] },
      { tools: ['openai', 'serpapi'] },
      { tools: 'serpapi' },
      { permissions: null },
      { expires_at: 0 },
    ]
    for (const proof of wrong) {
      const refusal = expect.objectContaining({
        code: 'PROOF_MISMATCH',
        status: 403,
        message: 'provenance payload mismatch',
      })
      await expect(check(proof)).rejects.toEqual(refusal)
      await expect(check(proof, 'strict')).rejects.toEqual(refusal)
      await expect(check(proof, 'off')).resolves.toBeUndefined()
    }
  })

  it('gateway §19.13: what says nothing about the token is accepted, and only its hash remains', async () => {
    const hash = (text: string) => createHash('sha256').update(text).digest('hex')
    expect(await check('{"a":1}')).toBe(hash('{"a":1}'))
    expect(await check({ a: 1 })).toBe(hash('{"a":1}'))
    for (const text of ['not json', '7', 'null', '[1]', '{"__proto__":{"agent_id":"evil"}}']) {
      expect(await check(text)).toBe(hash(text))
    }
    expect(await check(7)).toBe(hash('7'))
    await expect(check('{"a":1}', 'strict')).rejects.toEqual(failing('PROOF_MISMATCH'))
  })

  it('gateway §19.13: the claims themselves are accepted in any order and spacing', async () => {
    const claims = JSON.parse(reply.proof_payload) as Record<string, unknown>
    const reversed = Object.fromEntries(Object.entries(claims).reverse())
    for (const proof of [
      claims,
      reversed,
      JSON.stringify(reversed, null, 2),
      reply.proof_payload,
    ]) {
      expect(await check(proof)).toBeUndefined()
      expect(await check(proof, 'strict')).toBeUndefined()
    }
    const { nonce: _, ...some } = claims
    expect(await check({ ...some, extra: 1 })).toBeUndefined()
    await expect(check(some, 'strict')).rejects.toEqual(failing('PROOF_MISMATCH'))
    await expect(check({ ...claims, a: 1 }, 'strict')).rejects.toEqual(failing('PROOF_MISMATCH'))
    await expect(check({ ...some, a: 1 }, 'strict')).rejects.toEqual(failing('PROOF_MISMATCH'))
  })

  it('without either field there is nothing to check', async () => {
    for (const nothing of [undefined, null, '']) {
      for (const mode of ['lenient', 'strict', 'off'] as const) {
        expect(await check(nothing, mode, nothing)).toBeUndefined()
      }
    }
  })

  it('gateway §19.13: with a token id the proof is demanded and must be the payload to the byte', async () => {
    for (const mode of ['lenient', 'strict', 'off'] as const) {
      const ask = (proof: unknown, id: unknown = reply.token_id) => check(proof, mode, id)
      expect(await ask(reply.proof_payload)).toBeUndefined()
      await expect(ask(undefined)).rejects.toEqual(failing('PROOF_REQUIRED'))
      await expect(ask('')).rejects.toEqual(failing('PROOF_REQUIRED'))
      const spaced = JSON.stringify(JSON.parse(reply.proof_payload), null, 1)
      await expect(ask(spaced)).rejects.toEqual(failing('PROOF_MISMATCH'))
      const object: unknown = JSON.parse(reply.proof_payload)
      await expect(ask(object)).rejects.toEqual(failing('PROOF_MISMATCH'))
      await expect(ask(reply.proof_payload, 7)).rejects.toEqual(failing('INVALID_FIELD'))
    }
  })

  it('gateway §19.13: a token id must be registered, alive and of the token presented', async () => {
    const ask = (proof: unknown, id: unknown) => check(proof, 'lenient', id)
    const unknown = failing('TOKEN_UNKNOWN')
    await expect(ask(reply.proof_payload, crypto.randomUUID())).rejects.toEqual(unknown)
    await expect(ask(reply.proof_payload, token.row.id)).rejects.toEqual(unknown)
    const mismatch = failing('PROOF_MISMATCH')
    await expect(ask(other.proof_payload, other.token_id)).rejects.toEqual(mismatch)
    await expect(ask(reply.proof_payload, other.token_id)).rejects.toEqual(mismatch)
    await world.tokens.revoke(other.token_id)
    const revoked = failing('TOKEN_REVOKED')
    await expect(ask(other.proof_payload, other.token_id)).rejects.toEqual(revoked)
  })

  it('nothing of a proof is echoed', async () => {
    const thrown = await check('{"agent_id":"hidden-words"}').catch((error: unknown) => error)
    expect(JSON.stringify(thrown) + String(thrown)).not.toContain('hidden')
  })
})
