import { expect, test } from 'vitest'
import { advance } from '../harness/clock.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { recordsOf } from '../harness/record.ts'
import { codeOf } from '../harness/refusal.ts'

const VALUE = 'value-0123456789'
const RULE = { name: 'r', principals: ['agent:*'], resources: ['**'], actions: ['retrieve'] }

async function startWith(rule: object = {}, config?: object): Promise<TestDaemon> {
  const vestry = await startTestDaemon(config === undefined ? {} : { config })
  await vestry.addCredential('a/b', VALUE)
  await vestry.addPolicy({ version: 1, policies: [{ ...RULE, ...rule }] })
  return vestry
}

const until = async (what: () => boolean | Promise<boolean>) => {
  for (let tries = 0; !(await what()); tries += 1) {
    if (tries > 200) expect.unreachable('it never came')
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

test('vault §28.47: another session of the same agent releases, another agent cannot', async () => {
  await using vestry = await startWith()
  const scout = await vestry.addAgent('scout')
  const first = await vestry.agent(scout)
  const { lease_id } = await first.call('retrieve', { path: 'a/b' })
  const ada = await vestry.agent(await vestry.addAgent('ada'))
  const foreign = await ada.call('release_lease', { lease_id }).catch((error) => error)
  const unknown = await ada
    .call('release_lease', { lease_id: `lease_${'0'.repeat(32)}` })
    .catch((error) => error)
  expect(foreign).toMatchObject({ code: 'LEASE_NOT_FOUND' })
  for (const error of [foreign, unknown]) delete error.error.context.request_id
  expect(foreign.error, 'indistinguishable').toEqual(unknown.error)
  for (const method of ['renew_lease', 'lease_status'])
    expect(await codeOf(ada.call(method, { lease_id }))).toBe('LEASE_NOT_FOUND')
  expect((await ada.call('lease_status')).leases).toEqual([])

  first.destroy() // the lease is the agent's, not the session's
  const second = await vestry.agent(scout)
  expect((await second.call('lease_status')).leases).toMatchObject([
    { lease_id, path: 'a/b', kind: 'retrieve', renewable: true, ttl_remaining: expect.any(Number) },
  ])
  expect(await second.call('release_lease', { lease_id })).toEqual({
    released: true,
    lease_id,
    status: 'released',
  })
  expect(await second.call('release_lease', { lease_id })).toMatchObject({
    status: 'already_released',
  })
  expect(
    recordsOf(vestry, 'lease.release').map(({ success, outcome }) => [success, outcome?.code]),
  ).toEqual([
    [false, 'LEASE_NOT_FOUND'],
    [false, 'LEASE_NOT_FOUND'],
    [true, undefined],
    [true, undefined],
  ])
})

test('vault §28.48: a renewal counts from now, can shorten, and is capped', async () => {
  await using vestry = await startWith({ max_ttl: 600, max_lifetime: 1000 })
  const client = await vestry.agent(await vestry.addAgent('scout'))
  const got = await client.call('retrieve', { path: 'a/b', ttl: 600 })
  const { lease_id } = got
  const issued = Date.parse(got.issued_at)
  expect(Date.parse(got.expires_at) - issued).toBe(600_000)
  const renew = async (ttl?: number) => {
    const asked = Date.now()
    const renewed = await client.call('renew_lease', {
      lease_id,
      ...(ttl !== undefined && { ttl }),
    })
    return { ...renewed, after: Math.round((Date.parse(renewed.expires_at) - asked) / 1000) }
  }
  expect(await renew(60), 'shortened').toMatchObject({ ttl: 60, after: 60, renewable: true })
  expect(await renew(9_999), 'capped by max_ttl').toMatchObject({ ttl: 600, after: 600 })
  expect(await renew(), 'the default').toMatchObject({ ttl: 600 })
  expect(await renew(600)).not.toHaveProperty('value')
  advance(500_000)
  const last = await renew(600)
  expect(Date.parse(last.expires_at), 'capped by max_lifetime from issue').toBe(issued + 1_000_000)
  expect(last.renewable, 'it cannot grow any more').toBe(false)
  for (const ttl of [0, -1, 1.5, '60', true])
    expect(await codeOf(client.call('renew_lease', { lease_id, ttl }))).toBe('INVALID_PARAMS')
  advance(500_000)
  await expect(client.call('renew_lease', { lease_id })).rejects.toMatchObject({
    code: 'LEASE_EXPIRED',
    error: { context: { lease_id, expired_at: new Date(issued + 1_000_000).toISOString() } },
  })
})

test('vault §28.48: a lease is over at its very deadline, and remembered for a day', async () => {
  await using vestry = await startWith()
  const scout = await vestry.addAgent('scout')
  const client = await vestry.agent(scout)
  const { lease_id, expires_at } = await client.call('retrieve', { path: 'a/b', ttl: 1 })
  advance(Date.parse(expires_at) - Date.now())
  await expect(client.call('release_lease', { lease_id })).rejects.toMatchObject({
    code: 'LEASE_EXPIRED',
    error: { context: { lease_id, expired_at: expires_at } },
  })
  expect((await client.call('lease_status', { lease_id })).leases).toMatchObject([
    { state: 'expired', ttl_remaining: 0 },
  ])
  advance(23 * 3_600_000)
  const back = await vestry.agent(scout) // the first session is long over
  expect(await codeOf(back.call('release_lease', { lease_id }))).toBe('LEASE_EXPIRED')
  advance(2 * 3_600_000)
  await back.login(scout)
  await until(
    async () => (await codeOf(back.call('release_lease', { lease_id }))) === 'LEASE_NOT_FOUND',
  )
})

test('vault §28.48: what expired is in the log within a second, by keyed hash', async () => {
  await using vestry = await startWith()
  const client = await vestry.agent(await vestry.addAgent('scout'))
  const { lease_id } = await client.call('retrieve', { path: 'a/b', ttl: 1 })
  await until(() => recordsOf(vestry, 'lease.expire').length > 0)
  const tag = (await vestry.admin.call('admin.audit.hash', { value_base64: base64(lease_id) })).hash
  expect(recordsOf(vestry, 'lease.expire')[0]?.data).toMatchObject({ count: 1, leases: [tag] })
})

test('vault §28.48: leases are limited per agent and in total, exactly, also at once', async () => {
  await using vestry = await startWith({}, { vault: { leases_per_agent: 10, leases_total: 15 } })
  const scout = await vestry.addAgent('scout')
  const storm = async (agent: typeof scout, count: number) => {
    const client = await vestry.agent(agent)
    for (let id = 1; id <= count; id += 1)
      client.send({ id: `s${id}`, method: 'retrieve', params: { path: 'a/b' } })
    const frames = []
    for (let n = 0; n < count; n += 1) frames.push(await client.next())
    client.destroy()
    return frames
  }
  const frames = await storm(scout, 30)
  expect(frames.filter((frame) => frame?.result)).toHaveLength(10)
  expect(frames.find((frame) => frame?.error)?.error).toMatchObject({
    code: 'RATE_LIMITED',
    context: { scope: 'leases', limit: 10, retry_after_ms: expect.any(Number) },
  })
  const others = await storm(await vestry.addAgent('ada'), 30)
  expect(others.filter((frame) => frame?.result)).toHaveLength(5)
  const [one] = frames.flatMap((frame) => frame?.result ?? [])
  const client = await vestry.agent(scout)
  await client.call('release_lease', { lease_id: one.lease_id })
  expect(await codeOf(client.call('retrieve', { path: 'a/b' }))).toBe('ok')
  expect(await codeOf(client.call('retrieve', { path: 'a/b' }))).toBe('RATE_LIMITED')
})

test('vault §28.48: a restart closes every lease, and says so', async () => {
  await using vestry = await startWith()
  const scout = await vestry.addAgent('scout')
  const client = await vestry.agent(scout)
  const { lease_id } = await client.call('retrieve', { path: 'a/b' })
  client.destroy()
  await vestry.restart()
  const back = await vestry.agent(scout)
  expect((await back.call('lease_status')).leases).toEqual([])
  expect(await codeOf(back.call('release_lease', { lease_id }))).toBe('LEASE_NOT_FOUND')
  expect((await vestry.admin.call('admin.lease.list')).leases).toEqual([])
})

test('sealing, an operator and the end of a credential revoke leases; releasing them succeeds', async () => {
  await using vestry = await startWith()
  const scout = await vestry.addAgent('scout')
  await vestry.addCredential('c/d', VALUE)
  const client = await vestry.agent(scout)
  const lease = async (path: string) => (await client.call('retrieve', { path })).lease_id
  const byOperator = await lease('a/b')
  await vestry.admin.call('admin.lease.revoke', { id: byOperator })
  const deleted = await lease('c/d')
  await vestry.admin.call('admin.cred.rm', { path: 'c/d' })
  const sealed = await lease('a/b')
  await vestry.seal()
  expect(await codeOf(client.call('lease_status'))).toBe('VAULT_LOCKED')
  await vestry.unseal()
  await client.login(scout)
  for (const lease_id of [byOperator, deleted, sealed])
    expect(await client.call('release_lease', { lease_id })).toEqual({
      released: true,
      lease_id,
      status: 'revoked',
    })
})

test('vault §28.52: the log finds a lease by the hash of its id', async () => {
  await using vestry = await startWith()
  const client = await vestry.agent(await vestry.addAgent('scout'))
  const { lease_id } = await client.call('retrieve', { path: 'a/b' })
  await client.call('renew_lease', { lease_id, ttl: 60 })
  await client.call('release_lease', { lease_id })
  expect(vestry.auditLines().join('\n')).not.toContain(lease_id)
  const { hash } = await vestry.admin.call('admin.audit.hash', { value_base64: base64(lease_id) })
  expect(hash).toMatch(/^hmac:[0-9a-f]{32}$/)
  const found = recordsOf(vestry).filter(({ data }) => data?.['lease'] === hash)
  expect(found.map(({ action, phase }) => `${action} ${phase}`)).toEqual([
    'credential.retrieve intent',
    'lease.renew intent',
    'lease.renew outcome',
    'lease.release single',
  ])
})

test('a wrapped value is unwrapped once, by whoever may, and every other try is an alarm', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addCredential('a/b', VALUE)
  await vestry.addPolicy({
    version: 1,
    policies: [
      { ...RULE, principals: ['agent:scout'], max_ttl: 100 },
      { ...RULE, name: 'u', principals: ['agent:ada'], actions: ['unwrap'] },
    ],
  })
  const scout = await vestry.agent(await vestry.addAgent('scout'))
  const ada = await vestry.agent(await vestry.addAgent('ada'))
  const wrap = (wrap_ttl: number) => scout.call('retrieve', { path: 'a/b', wrap_ttl })
  const wrapped = await wrap(30)
  expect(wrapped).toEqual({
    wrapped: true,
    wrap_token: expect.stringMatching(/^wrap_[0-9a-f]{64}$/),
    ttl: 30,
    created_at: expect.any(String),
    path: 'a/b',
    lease_id: expect.any(String),
  })
  const { wrap_token } = wrapped
  expect(await codeOf(scout.call('unwrap', { wrap_token })), 'may not').toBe('ACCESS_DENIED')
  const value = await ada.call('unwrap', { wrap_token })
  expect(Buffer.from(value.value, 'hex').toString()).toBe(VALUE)
  expect(value).toMatchObject({ path: 'a/b', version: 1, lease_id: wrapped.lease_id })
  expect(vestry.auditLines().join('\n')).not.toContain(wrap_token)
  const invalid = async (token: unknown) =>
    expect(await codeOf(ada.call('unwrap', { wrap_token: token }))).toBe('WRAP_INVALID')
  await invalid(wrap_token)
  await invalid('wrap_made_up')
  const late = await wrap(5)
  advance(5_000)
  await invalid(late.wrap_token)
  const revoked = await wrap(50)
  await vestry.admin.call('admin.lease.revoke', { id: revoked.lease_id })
  await invalid(revoked.wrap_token)
  const { ttl } = await wrap(3_600)
  expect(ttl, 'no longer than the lease').toBeLessThanOrEqual(100)
  expect(ttl).toBeGreaterThan(90)
  const alarms = recordsOf(vestry, 'credential.unwrap').filter(
    ({ data }) => data?.['alert'] === true,
  )
  expect(alarms).toHaveLength(4)

  const race = await wrap(50)
  const racers = await Promise.all(
    [1, 2, 3].map(async () => {
      const client = await vestry.agent(
        await vestry.addAgent(`ada${Math.random()}`.replace('.', '')),
      )
      return client
    }),
  )
  await vestry.addPolicy({ version: 1, policies: [{ ...RULE, name: 'all', actions: ['unwrap'] }] })
  const codes = await Promise.all(
    racers.map((client) => codeOf(client.call('unwrap', { wrap_token: race.wrap_token }))),
  )
  expect(codes.sort()).toEqual(['WRAP_INVALID', 'WRAP_INVALID', 'ok'])
  for (const wrap_ttl of [0, 3_601, 1.5, 'x'])
    expect(await codeOf(scout.call('retrieve', { path: 'a/b', wrap_ttl }))).toBe('INVALID_PARAMS')
})

const base64 = (text: string) => Buffer.from(text).toString('base64')

test('a header lease is renewed under a rule that names header types', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addCredential('a/b', 'value-0123456789')
  const client = await vestry.agent(await vestry.addAgent('scout'))
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'headers',
        principals: ['agent:scout'],
        resources: ['a/*'],
        actions: ['use:http_header'],
        header_types: ['api_key'],
      },
    ],
  })
  const params = { header_type: 'api_key' }
  const held = await client.call('use', { path: 'a/b', operation: 'http_header', params })
  const renewed = await client.call('renew_lease', { lease_id: held.lease_id, ttl: 60 })
  expect(renewed).toMatchObject({ lease_id: held.lease_id, ttl: 60 })
  client.destroy()
})

test('a path written again after a deletion does not bring the old versions back', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addCredential('a/b', 'the old value 1')
  const client = await vestry.agent(await vestry.addAgent('scout'))
  await vestry.addPolicy({
    version: 1,
    policies: [
      { name: 'r', principals: ['agent:scout'], resources: ['a/*'], actions: ['retrieve', 'use'] },
    ],
  })
  const use = (operation: string, params: object) =>
    client.call('use', { path: 'a/b', operation, params })
  const { ciphertext } = await use('encrypt', { data: 'x' })
  await vestry.admin.call('admin.cred.rm', { path: 'a/b' })
  await vestry.addCredential('a/b', 'the new value 2')
  const now = await client.call('retrieve', { path: 'a/b' })
  expect(now.version).toBe(2)
  await expect(client.call('retrieve', { path: 'a/b', version: 1 })).rejects.toMatchObject({
    code: 'CREDENTIAL_NOT_FOUND',
  })
  await expect(use('decrypt', { ciphertext })).rejects.toMatchObject({ code: 'DECRYPT_FAILED' })
  client.destroy()
})

test('a clock that is set back loses no version and brings none back', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addCredential('a/b', 'value one 1')
  advance(-3_600_000)
  await vestry.addCredential('a/b', 'value two 2')
  await vestry.addCredential('a/b', 'value three 3')
  const client = await vestry.agent(await vestry.addAgent('scout'))
  await vestry.addPolicy({
    version: 1,
    policies: [
      { name: 'r', principals: ['agent:scout'], resources: ['a/*'], actions: ['retrieve'] },
    ],
  })
  const readVersion = async (version: number) => {
    const { value } = await client.call('retrieve', { path: 'a/b', version })
    return Buffer.from(value, 'hex').toString()
  }
  expect(await readVersion(1)).toBe('value one 1')
  expect(await readVersion(2)).toBe('value two 2')
  await vestry.admin.call('admin.cred.rm', { path: 'a/b' })
  advance(-3_600_000)
  await vestry.addCredential('a/b', 'value four 4')
  expect(await readVersion(4)).toBe('value four 4')
  for (const version of [1, 2, 3])
    await expect(readVersion(version)).rejects.toMatchObject({ code: 'CREDENTIAL_NOT_FOUND' })
  client.destroy()
})
