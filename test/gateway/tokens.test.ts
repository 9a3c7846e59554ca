import { createHmac, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { advance } from '../harness/clock.ts'
import { ALL_TOOLS, type GatewayNode, LETTER, startNode } from './world.ts'

const SECRET = 'a signing secret that an operator keeps in the vault'
const home = temporaryHome()
let node: GatewayNode

beforeAll(async () => {
  {
    await using _first = await startNode(home)
    const admin = await operator(home)
    await putCredential(admin, 'gateway/signing', SECRET)
    admin.destroy()
  }
  node = await startNode(home, { gateway: { signing_secret: 'gateway/signing' } })
})
afterAll(async () => {
  await node[Symbol.asyncDispose]()
  home[Symbol.dispose]()
})

const search = (token: string, fields = {}) =>
  node.call(token, 'serpapi:search', { q: 'a' }, fields)

/** A token as gateway §6.3 builds it, which the gateway's registry does not know. */
function handMade(claims: object, secret = SECRET): string {
  const body = Buffer.from(JSON.stringify(claims)).toString('base64')
  return `${body}.${createHmac('sha256', secret).update(body).digest('hex')}`
}

function claimsOf(agentId: string, issuedMinutesAgo: number, leftMinutes: number) {
  const at = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString()
  return {
    agent_id: agentId,
    agent_name: 'lead-bot',
    tools: ['*'],
    permissions: ['*'],
    expires_at: at(leftMinutes),
    nonce: randomUUID(),
    issued_at: at(-issuedMinutesAgo),
  }
}

describe('gateway §19.11: when a token counts', () => {
  test('an expired one is a 401, from the very millisecond on', async () => {
    const { id, token } = await node.caller()
    expect((await search(token)).status).toBe(200)
    advance(10 * 60_000)
    expect(await search(token)).toMatchObject({
      status: 401,
      json: { error: 'Token expired', code: 'TOKEN_EXPIRED' },
    })
    expect((await search(await node.token(id))).status).toBe(200)
  })

  test('one issued more than 24 hours ago is a 401, whatever its end says', async () => {
    const { id } = await node.caller()
    const old = handMade(claimsOf(id, 24 * 60 + 1, 60))
    expect(await search(old)).toMatchObject({ status: 401, json: { code: 'TOKEN_TOO_OLD' } })
    const young = handMade(claimsOf(id, 24 * 60 - 1, 60))
    // Signed by us but never issued here: nobody could revoke it.
    expect(await search(young)).toMatchObject({ status: 401, json: { code: 'TOKEN_UNKNOWN' } })
    expect(await search(handMade(claimsOf(id, 0, 60), `${SECRET}!`))).toMatchObject({
      status: 401,
      json: { code: 'TOKEN_SIGNATURE' },
    })
  })

  test('no lifetime exceeds 24 hours', async () => {
    const { id } = await node.caller()
    const { json } = await node.mint(id, { minutes: 72 * 60 })
    const lifetimeMs = Date.parse(json.expires_at) - Date.parse(json.issued_at)
    expect(lifetimeMs).toBe(24 * 3_600_000)
  })

  test.each(['/api/admin/tokens/', '/api/tokens/'])(
    'a revoked one is refused at once without token_id (%s)',
    async (path) => {
      const { id } = await node.caller()
      const { json } = await node.mint(id)
      expect((await search(json.agent_token)).status).toBe(200)
      await node.asAdmin('POST', `${path}${json.token_id}/revoke`)
      expect(await search(json.agent_token)).toMatchObject({
        status: 403,
        json: { error: 'Token has been revoked', code: 'TOKEN_REVOKED' },
      })
      const { tokens } = await node.asAdmin('GET', `/api/tokens/${id}`)
      expect(JSON.stringify(tokens)).not.toContain(json.agent_token)
      const missing = node.asAdmin('POST', `${path}${randomUUID()}/revoke`)
      await expect(missing).rejects.toThrow(/404/)
    },
  )

  test('both revocations take the row’s own id too', async () => {
    const { id, token } = await node.caller()
    const { tokens } = await node.asAdmin('GET', `/api/tokens/${id}`)
    await node.asAdmin('POST', `/api/tokens/${tokens[0].id}/revoke`)
    expect(await search(token)).toMatchObject({ status: 403, json: { code: 'TOKEN_REVOKED' } })
  })

  test('an inactive agent is refused with the token it has, and gets no new one', async () => {
    const { id, token } = await node.caller()
    await node.asAdmin('PATCH', `/api/agents/${id}`, { status: 'disabled' })
    expect((await search(token)).status).toBe(403)
    expect(await node.mint(id)).toMatchObject({ status: 403, json: { code: 'AGENT_INACTIVE' } })
    await node.asAdmin('PATCH', `/api/agents/${id}`, { status: 'active' })
    expect((await search(token)).status).toBe(403) // what was taken back stays so
    expect((await search(await node.token(id))).status).toBe(200)
  })

  test('a tool or a permission outside the token is a policy error', async () => {
    const { id } = await node.caller({ scopes: ALL_TOOLS })
    const narrow = await node.token(id, { tools: ['serpapi', 'gmail_send'], permissions: ['read'] })
    expect((await search(narrow)).status).toBe(200)
    expect(await node.call(narrow, 'openai:chat', { input: 'a' })).toMatchObject({
      status: 400,
      json: {
        error: 'Policy denied: policy violation (TOKEN_SCOPE)',
        code: 'POLICY_TOKEN_SCOPE',
      },
    })
    expect(await node.call(narrow, 'gmail_send:send', LETTER)).toMatchObject({
      status: 400,
      json: {
        error: 'Policy denied: policy violation (TOKEN_PERMISSION)',
        code: 'POLICY_TOKEN_PERMISSION',
      },
    })
    expect((await node.call(narrow, 'gmail_send:profile', {})).status).toBe(200)
  })

  test.each([
    [['*'], 200],
    [['write'], 200],
    [['gmail_send:send'], 200],
    [['gmail_send:*'], 200],
    [['send'], 200],
    [['read'], 400],
    [['serpapi:*', 'post', 'Send', ''], 400],
    [[], 400],
  ])('the permissions %j let a mail out: %i', async (permissions, status) => {
    const { id } = await node.caller()
    const token = await node.token(id, { permissions })
    expect((await node.call(token, 'gmail_send:send', LETTER)).status).toBe(status)
  })

  test('an excess of claims is worth nothing', async () => {
    const { id } = await node.caller({ scopes: ['serpapi:search'] })
    const token = await node.token(id, { tools: ['*'], permissions: ['*'] })
    expect(await node.call(token, 'gmail_send:send', LETTER)).toMatchObject({
      status: 400,
      json: { code: 'POLICY_SCOPE_NOT_ALLOWED' },
    })
  })

  test('a bearer header may carry it instead of the body, checked alike', async () => {
    const { token } = await node.caller()
    const body = { tool: 'serpapi', action: 'search', params: { q: 'a' } }
    const send = (text: string) =>
      node.http('POST', '/api/proxy', body, { authorization: `Bearer ${text}` })
    expect((await send(token)).status).toBe(200)
    expect((await send(`${token}0`)).status).toBe(401)
  })
})

describe('gateway §19.12: when a new one is recommended', () => {
  const advice = ({ headers }: { headers: Headers }) => [
    headers.get('x-token-rotation-recommended'),
    headers.get('x-token-expires-at'),
  ]

  test('with 4 min 59 s left, not with 5 min 1 s, on errors too, and when it has expired', async () => {
    const { id } = await node.caller({ scopes: ['serpapi:search'] })
    const { json } = await node.mint(id, { minutes: 10 })
    const { agent_token: token, expires_at: end } = json
    const answers = async () => ({
      ok: await search(token),
      invalid: await node.call(token, 'serpapi:search', { q: 7 }),
      denied: await node.call(token, 'gmail_send:send', LETTER),
      proof: await search(token, { proof_payload: { agent_id: 'evil' } }),
      job: await search(token, { async: true }),
    })
    const statuses = { ok: 200, invalid: 400, denied: 400, proof: 403, job: 202 }
    const until = (leftMs: number) => advance(Date.parse(end) - Date.now() - leftMs)

    until(301_000)
    for (const [what, answer] of Object.entries(await answers())) {
      expect(answer.status, what).toBe(statuses[what as keyof typeof statuses])
      expect(advice(answer), what).toEqual([null, null])
    }
    until(299_000)
    for (const [what, answer] of Object.entries(await answers())) {
      expect(answer.status, what).toBe(statuses[what as keyof typeof statuses])
      expect(advice(answer), what).toEqual(['true', end])
    }
    until(0)
    const expired = await search(token)
    expect(expired).toMatchObject({ status: 401, json: { code: 'TOKEN_EXPIRED' } })
    expect(advice(expired)).toEqual(['true', end])
  })

  test('a token that is not ours is told nothing', async () => {
    const { id } = await node.caller()
    const foreign = handMade(claimsOf(id, 0, 1), 'another secret of enough characters')
    expect(advice(await search(foreign))).toEqual([null, null])
  })
})

describe('gateway §19.13: what goes with a token is held against it', () => {
  test('a contradiction is refused; other words and the token’s own claims in any order are not', async () => {
    const { id, token } = await node.caller()
    const proof = (proof_payload: unknown) => search(token, { proof_payload })
    const mismatch = {
      status: 403,
      json: {
        error: 'Token proof verification failed',
        code: 'PROOF_MISMATCH',
        reason: expect.stringContaining('provenance payload mismatch'),
      },
    }
    expect(await proof('{"agent_id":"evil"}')).toMatchObject(mismatch)
    expect(await proof({ agent_id: 'evil' })).toMatchObject(mismatch)
    expect(await proof({ agent_id: id, tools: ['serpapi'] })).toMatchObject(mismatch)
    const claims = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64').toString('utf8'))
    const reversed = Object.fromEntries(Object.entries(claims).reverse())
    for (const harmless of ['{"a":1}', 'no JSON', '[]', { a: 1 }, reversed, claims])
      expect((await proof(harmless)).status, JSON.stringify(harmless)).toBe(200)
    const spaced = JSON.stringify(reversed).replaceAll('":', '": ')
    expect((await proof(spaced)).status).toBe(200)
  })

  test('with token_id the payload must be there, byte for byte, and belong to this token', async () => {
    const { id } = await node.caller()
    const first = (await node.mint(id)).json
    const second = (await node.mint(id)).json
    const ask = (token_id: unknown, proof_payload?: unknown) =>
      search(first.agent_token, { token_id, proof_payload })
    expect((await ask(first.token_id, first.proof_payload)).status).toBe(200)
    expect(await ask(first.token_id)).toMatchObject({
      status: 400,
      json: { code: 'PROOF_REQUIRED' },
    })
    expect(await ask(randomUUID(), first.proof_payload)).toMatchObject({
      status: 403,
      json: { error: 'Token not found in registry', code: 'TOKEN_UNKNOWN' },
    })
    expect(await ask(first.token_id, `${first.proof_payload} `)).toMatchObject({
      status: 403,
      json: { code: 'PROOF_MISMATCH' },
    })
    // A pair that is sound in itself, but another token's.
    expect(await ask(second.token_id, second.proof_payload)).toMatchObject({
      status: 403,
      json: { code: 'PROOF_MISMATCH' },
    })
    await node.asAdmin('POST', `/api/admin/tokens/${second.token_id}/revoke`)
    expect(await ask(second.token_id, second.proof_payload)).toMatchObject({
      status: 403,
      json: { code: 'TOKEN_REVOKED' },
    })
  })
})
