import { expect, test } from 'vitest'
import { advance } from '../harness/clock.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { type AgentKeys, newAgentKeys, signHex } from '../harness/keys.ts'
import { RawClient, type RpcFailure } from '../harness/raw-client.ts'
import { recordsOf } from '../harness/record.ts'

const SEED = Buffer.from('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 'hex')
const GROUP_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n

const connect = (vestry: TestDaemon) => RawClient.connect({ path: vestry.home.vaultSocket })

/** The failure of a call that must fail, without the two members that differ by design. */
async function failure(calling: Promise<unknown>) {
  const error: RpcFailure = await calling.then(
    () => expect.unreachable('the call should have failed'),
    (reason: RpcFailure) => reason,
  )
  const { request_id, attempts_left, ...context } = error.error.context
  expect(request_id).toMatch(/^r-/)
  return { error: { ...error.error, context }, attemptsLeft: attempts_left }
}

/** S + L: the same signature to a verifier that does not check the range of S. */
function malleated(signature: string): string {
  const s = Buffer.from(signature.slice(64), 'hex').reverse()
  const shifted = (BigInt(`0x${s.toString('hex')}`) + GROUP_ORDER).toString(16).padStart(64, '0')
  return signature.slice(0, 64) + Buffer.from(shifted, 'hex').reverse().toString('hex')
}

test('vault §28.22: every wrong answer to a challenge is AUTH_FAILED with the same text', async () => {
  await using vestry = await startTestDaemon()
  const scout = newAgentKeys('scout', SEED)
  expect(scout.publicKeyHex).toBe(
    '03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8',
  )
  expect(
    signHex(SEED, Buffer.from(Array.from({ length: 32 }, (_, i) => 0xa0 + i))),
    'vector 26.2',
  ).toBe(
    '01055eed19b94a3a8d1f9d45a13f2b690204cb2062dbfe84ccb2f8378a0dad269e814ae454fb5b30d36a2442e8a32f6ba2fcbb41ba2e529368d2267315c13e02',
  )
  const added = await vestry.admin.call('admin.agent.add', {
    name: 'scout',
    public_key: scout.publicKeyHex,
  })
  expect(JSON.stringify(added)).toContain('ed25519:56475aa75463474c0285df5dbf2bcab7')

  const other = await connect(vestry)
  const foreign = await other.call('authenticate', { agent_name: 'scout' })
  const wrong: Record<string, (challenge: string, sessionId: string) => unknown> = {
    'a malleated signature': (challenge, session_id) => ({
      session_id,
      signature: malleated(signHex(SEED, Buffer.from(challenge, 'hex'))),
    }),
    'a signature over another challenge': (_challenge, session_id) => ({
      session_id,
      signature: signHex(SEED, Buffer.alloc(32, 1)),
    }),
    'a signature over the hex text': (challenge, session_id) => ({
      session_id,
      signature: signHex(SEED, Buffer.from(challenge, 'utf8')),
    }),
    'a challenge of another connection': () => ({
      session_id: foreign.session_id,
      signature: signHex(SEED, Buffer.from(foreign.challenge, 'hex')),
    }),
    'a signature by another key': (challenge, session_id) => ({
      session_id,
      signature: signHex(Buffer.alloc(32, 9), Buffer.from(challenge, 'hex')),
    }),
    'no signature': (_challenge, session_id) => ({ session_id }),
    'a signature that is no text': (_challenge, session_id) => ({ session_id, signature: 7 }),
    'a short signature': (_challenge, session_id) => ({ session_id, signature: 'abcd' }),
    'no session id': (challenge) => ({ signature: signHex(SEED, Buffer.from(challenge, 'hex')) }),
  }
  const texts = new Set<string>()
  for (const [what, answer] of Object.entries(wrong)) {
    const client = await connect(vestry)
    const { challenge, session_id } = await client.call('authenticate', { agent_name: 'scout' })
    const refused = await failure(client.call('challenge_response', answer(challenge, session_id)))
    expect(refused.error.code, what).toBe('AUTH_FAILED')
    expect(refused.attemptsLeft, what).toBe(2)
    texts.add(JSON.stringify(refused.error))
    client.destroy()
    advance(16 * 60_000) // each of them would otherwise count towards a lockout
  }

  const client = await connect(vestry)
  const used = await client.call('authenticate', { agent_name: 'scout' })
  const right = {
    session_id: used.session_id,
    signature: signHex(SEED, Buffer.from(used.challenge, 'hex')),
  }
  await failure(client.call('challenge_response', { ...right, signature: '00'.repeat(64) }))
  const reused = await failure(client.call('challenge_response', right))
  texts.add(JSON.stringify(reused.error))

  const late = await client.call('authenticate', { agent_name: 'scout' })
  advance(30_000)
  const expired = await failure(
    client.call('challenge_response', {
      session_id: late.session_id,
      signature: signHex(SEED, Buffer.from(late.challenge, 'hex')),
    }),
  )
  texts.add(JSON.stringify(expired.error))
  expect(texts.size).toBe(1)

  // Three in a row: shown out, with the answer.
  expect(expired.attemptsLeft).toBe(0)
  expect(await client.next()).toBeUndefined()

  const again = await connect(vestry)
  expect(await again.login(scout)).toMatchObject({ authenticated: true, agent: 'scout' })
})

test('vault §28.23: an unknown agent and a wrong signature cannot be told apart', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addAgent('scout')
  const off = await vestry.addAgent('sleeper')
  await vestry.admin.call('admin.agent.disable', { name: 'sleeper' })
  const gone = await vestry.addAgent('leaver')
  await vestry.admin.call('admin.agent.revoke', { name: 'leaver' })
  const claims: [what: string, name: string, seed: Buffer][] = [
    ['a wrong key', 'scout', SEED],
    ['an unknown agent', 'nobody', SEED],
    ['a disabled agent', 'sleeper', off.seed],
    ['a revoked agent', 'leaver', gone.seed],
    ['a malformed name', '../../etc/passwd', SEED],
    ['an endless name', 'x'.repeat(10_000), SEED],
  ]
  const seen = new Set<string>()
  for (const [what, name, seed] of claims) {
    const client = await connect(vestry)
    const opened = await client.call('authenticate', { agent_name: name })
    expect(opened, what).toEqual({
      session_id: expect.stringMatching(/^sess_[\w-]{43}$/),
      challenge: expect.stringMatching(/^[0-9a-f]{64}$/),
      expires_in: 30,
      algorithm: 'ed25519',
      features: ['sig-v2'],
    })
    const signature = signHex(seed, Buffer.from(opened.challenge, 'hex'))
    const refused = await failure(
      client.call('challenge_response', { session_id: opened.session_id, signature }),
    )
    seen.add(JSON.stringify(refused))
    client.destroy()
  }
  expect(seen.size).toBe(1)
  const [only] = seen
  expect(only).not.toMatch(/scout|nobody|sleeper|leaver|passwd/)

  const failures = recordsOf(vestry, 'auth.failure')
  expect(failures).toHaveLength(claims.length)
  expect(failures.map(({ data }) => data?.['reason'])).toContain('unknown_name')
  const text = JSON.stringify(failures)
  expect(text).not.toContain('etc/passwd')
  expect(text).not.toContain('xxx')
})

test('vault §28.23: known and unknown names take the same time to refuse, statistically', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addAgent('scout')
  const wrong = '00'.repeat(64)
  const samples = { scout: [] as number[], nobody: [] as number[] }
  let client = await connect(vestry)
  for (let round = 0; round < 600; round += 1) {
    const name = round % 2 === 0 ? 'scout' : 'nobody'
    if (round % 2 === 0) {
      client.destroy()
      advance(31 * 60_000) // beyond every lockout, and before the next connection has a deadline
      client = await connect(vestry)
    }
    const { session_id } = await client.call('authenticate', { agent_name: name })
    const startedAt = process.hrtime.bigint()
    await failure(client.call('challenge_response', { session_id, signature: wrong }))
    samples[name].push(Number(process.hrtime.bigint() - startedAt) / 1e3)
  }
  const middle = (times: number[]) => times.sort((a, b) => a - b)[times.length >> 1] ?? 0
  const ratio = middle(samples.scout.slice(50)) / middle(samples.nobody.slice(50))
  // One signature check more or less would show as a factor well beyond this.
  expect(ratio).toBeGreaterThan(0.75)
  expect(ratio).toBeLessThan(1.33)
})

test('vault §28.24: keys that would verify anything are refused at registration', async () => {
  await using vestry = await startTestDaemon()
  for (const public_key of [
    `01${'00'.repeat(31)}`,
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    '00'.repeat(32),
  ]) {
    await expect(
      vestry.admin.call('admin.agent.add', { name: 'mallory', public_key }),
    ).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
  }
})

test('vault §28.25: a session id is worth something on its own connection only', async () => {
  await using vestry = await startTestDaemon()
  const scout = await vestry.addAgent('scout')
  const ada = await vestry.addAgent('ada')
  await vestry.addCredential('a/b', 'value-0123456789')
  await vestry.addPolicy({
    version: 1,
    policies: [{ name: 'all', principals: ['agent:*'], resources: ['**'], actions: ['retrieve'] }],
  })
  const first = await vestry.agent(scout)
  const second = await vestry.agent(ada)
  const session_id = first.lastSessionId
  const { lease_id } = await first.call('retrieve', { path: 'a/b', session_id })
  for (const [method, params] of [
    ['whoami', {}],
    ['retrieve', { path: 'a/b' }],
    ['release_lease', { lease_id }],
    ['logout', {}],
  ] as const) {
    await expect(second.call(method, { ...params, session_id }), method).rejects.toMatchObject({
      code: 'SESSION_EXPIRED',
      error: { context: { reauthenticate: true } },
    })
  }
  await expect(second.call('whoami', { session_id: 5 })).rejects.toMatchObject({
    code: 'SESSION_EXPIRED',
  })
  expect(await second.call('whoami', { session_id: null })).toMatchObject({ agent: 'ada' })
  // Before any login: the code whose remedy is to log in.
  const stranger = await connect(vestry)
  await expect(stranger.call('whoami', { session_id })).rejects.toMatchObject({
    code: 'SESSION_EXPIRED',
  })
  await expect(stranger.call('logout')).rejects.toMatchObject({ code: 'SESSION_EXPIRED' })

  expect(await first.call('release_lease', { lease_id })).toEqual({
    released: true,
    lease_id,
    status: 'released',
  })
})

test('a session ends by idling, by age and by logout, each recorded; its connection stays', async () => {
  await using vestry = await startTestDaemon({
    config: { vault: { session_idle: 60, session_max: 300 } },
  })
  const scout = await vestry.addAgent('scout')
  const client = await vestry.agent(scout)
  for (let minute = 0; minute < 4; minute += 1) {
    advance(50_000)
    await client.call('whoami')
  }
  advance(61_000)
  await expect(client.call('whoami')).rejects.toMatchObject({ code: 'SESSION_EXPIRED' })
  const { idle_timeout, expires_in } = await client.login(scout)
  expect(idle_timeout).toBe(60)
  expect([299, 300]).toContain(expires_in)
  for (let step = 0; step < 6; step += 1) {
    advance(49_000)
    await client.call('whoami')
  }
  advance(7_000)
  await expect(client.call('whoami')).rejects.toMatchObject({ code: 'SESSION_EXPIRED' })
  await client.login(scout)
  expect(await client.call('logout')).toEqual({})
  await expect(client.call('whoami')).rejects.toMatchObject({ code: 'SESSION_EXPIRED' })
  expect(recordsOf(vestry, 'session.end').map(({ data }) => data?.['reason'])).toEqual(
    expect.arrayContaining(['idle', 'expired', 'logout']),
  )
})

test('vault §28.26: a lockout holds for its source alone, grows, and ends', async () => {
  await using vestry = await startTestDaemon({ config: { vault: { listen_tcp: '127.0.0.1:0' } } })
  const scout = await vestry.addAgent('scout')
  const [host = '', port = ''] = vestry.daemon.ready.vault_tcp?.split(':') ?? []
  const over = {
    unix: () => connect(vestry),
    tcp: () => RawClient.connect({ host, port: Number(port) }),
  }
  const attempt = async (source: keyof typeof over, keys: AgentKeys) => {
    const client = await over[source]()
    const outcome = await client.login(keys).catch((error: RpcFailure) => error)
    client.destroy()
    return outcome
  }
  const impostor = newAgentKeys('scout')
  for (let n = 0; n < 5; n += 1) {
    expect(await attempt('tcp', impostor)).toMatchObject({ code: 'AUTH_FAILED' })
  }
  const locked = await attempt('tcp', scout)
  expect(locked, 'even the right key is refused').toMatchObject({
    code: 'RATE_LIMITED',
    error: { context: { retry_after_ms: expect.any(Number), scope: expect.any(String) } },
  })
  const wait = (locked as RpcFailure).error.context.retry_after_ms
  expect(wait).toBeGreaterThan(55_000)
  expect(wait).toBeLessThanOrEqual(60_000)
  expect(await attempt('unix', scout), 'another source').toMatchObject({ authenticated: true })
  expect(await attempt('tcp', await vestry.addAgent('ada')), 'another agent').toMatchObject({
    authenticated: true,
  })

  advance(60_000)
  expect(await attempt('tcp', impostor)).toMatchObject({ code: 'AUTH_FAILED' })
  const longer = (await attempt('tcp', scout)) as RpcFailure
  expect(longer.error.context.retry_after_ms, 'doubled').toBeGreaterThan(110_000)
  advance(120_000)
  expect(await attempt('tcp', scout)).toMatchObject({ authenticated: true })
  expect(await attempt('tcp', impostor), 'success forgave').toMatchObject({ code: 'AUTH_FAILED' })
  expect(await attempt('tcp', scout)).toMatchObject({ authenticated: true })
  expect(recordsOf(vestry, 'auth.lockout')).toHaveLength(2)
  expect(recordsOf(vestry, 'auth.success').length).toBeGreaterThan(3)
})

test('vault §28.26: thirty failures over many names lock the source', async () => {
  await using vestry = await startTestDaemon()
  const scout = await vestry.addAgent('scout')
  for (let n = 0; n < 10; n += 1) {
    const client = await connect(vestry)
    for (let of3 = 0; of3 < 3; of3 += 1) {
      await expect(client.login(newAgentKeys(`guess-${n}-${of3}`))).rejects.toMatchObject({
        code: 'AUTH_FAILED',
      })
    }
    client.destroy()
  }
  const client = await connect(vestry)
  await expect(client.login(scout)).rejects.toMatchObject({ code: 'RATE_LIMITED' })
  advance(15 * 60_000)
  expect(await client.login(scout)).toMatchObject({ authenticated: true })
})

test('an agent that must sign the longer message cannot log in with the short one', async () => {
  await using vestry = await startTestDaemon()
  const scout = await vestry.addAgent('scout', { require_sig_v2: true })
  await expect(vestry.agent(scout)).rejects.toMatchObject({ code: 'AUTH_FAILED' })
  const client = await connect(vestry)
  const opened = await client.call('authenticate', {
    agent_name: 'scout',
    client_nonce: 'ab'.repeat(32),
  })
  const lp = (bytes: Buffer) =>
    Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
  const message = Buffer.concat([
    Buffer.from('sanctum-auth-v2\0'),
    lp(Buffer.from(opened.server_id, 'hex')),
    lp(Buffer.from('scout')),
    lp(Buffer.from(opened.session_id)),
    lp(Buffer.from(opened.challenge, 'hex')),
  ])
  expect(
    await client.call('challenge_response', {
      session_id: opened.session_id,
      signature_v2: signHex(scout.seed, message),
    }),
  ).toMatchObject({ authenticated: true })
})
