import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { RawClient } from '../harness/raw-client.ts'
import { recordsOf } from '../harness/record.ts'
import { codeOf } from '../harness/refusal.ts'

let vestry: TestDaemon
let client: RawClient

beforeAll(async () => {
  vestry = await startTestDaemon({ config: { vault: { listen_tcp: '127.0.0.1:0' } } })
  client = await vestry.agent(await vestry.addAgent('scout'))
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'read',
        principals: ['agent:scout'],
        resources: ['a/**', 'bin/*'],
        actions: ['list', 'retrieve', 'use:http_request'],
        hosts: ['api.example.com'],
        max_ttl: 900,
      },
      {
        name: 'hidden',
        effect: 'deny',
        principals: ['agent:*'],
        resources: ['a/hidden'],
        actions: ['list'],
      },
      { name: 'signs', principals: ['agent:scout'], resources: ['s/*'], actions: ['use:sign'] },
      {
        name: 'writes',
        principals: ['agent:scout'],
        resources: ['own/**'],
        actions: ['store', 'retrieve'],
      },
    ],
  })
  await vestry.addCredential('a/key', 'value-1', {
    type: 'api_key',
    description: 'the key',
    tags: ['prod', 'eu'],
    metadata: { owner: 'ops' },
  })
  await vestry.addCredential('a/deep/er', 'value-2')
  await vestry.addCredential('a/hidden', 'value-3')
  await vestry.addCredential('s/sign', 'value-4', {
    settings: { allowed_hosts: ['inner.example.com'] },
  })
  await vestry.addCredential('z/other', 'value-5')
})
afterAll(() => vestry.stop())

describe('list', () => {
  const paths = async (params: object = {}) =>
    (await client.call('list', params)).credentials.map((entry: { path: string }) => entry.path)

  test('shows what the agent may do something with, sorted, with what it may do', async () => {
    const { credentials, truncated } = await client.call('list')
    expect(truncated).toBe(false)
    expect(credentials.map(({ path }: { path: string }) => path)).toEqual([
      'a/deep/er',
      'a/key',
      's/sign',
    ])
    expect(credentials[1]).toEqual({
      path: 'a/key',
      type: 'api_key',
      description: 'the key',
      tags: ['prod', 'eu'],
      created_at: expect.stringMatching(/Z$/),
      updated_at: expect.stringMatching(/Z$/),
      version: 1,
      expires_at: null,
      metadata: { owner: 'ops' },
      operations: ['list', 'retrieve', 'use:http_request'],
      max_ttl: 900,
      hosts: ['api.example.com'],
    })
    expect(credentials[2], 'hosts it cannot reach are not told').toMatchObject({
      operations: ['use:sign'],
      tags: [],
      hosts: [],
    })
    expect(JSON.stringify(credentials)).not.toContain('value-')
  })

  test('filters, and pages by cursor', async () => {
    expect(await paths({ prefix: 'a/' })).toEqual(['a/deep/er', 'a/key'])
    expect(await paths({ prefix: 'a/d' })).toEqual(['a/deep/er'])
    expect(await paths({ tag: 'prod' })).toEqual(['a/key'])
    expect(await paths({ type: 'api_key' })).toEqual(['a/key'])
    expect(await paths({ type: 'token' })).toEqual([])
    const first = await client.call('list', { limit: 2 })
    expect(first).toMatchObject({ truncated: true, next_cursor: 'a/key' })
    expect(await paths({ limit: 2, cursor: first.next_cursor })).toEqual(['s/sign'])
    for (const limit of [0, 10_001, 1.5, '5', true])
      expect(await codeOf(client.call('list', { limit }))).toBe('INVALID_PARAMS')
    for (const params of [{ prefix: 7 }, { tag: {} }, { reason: [] }])
      expect(await codeOf(client.call('list', params))).toBe('INVALID_PARAMS')
  })

  test('vault §28.20: a list too long for a frame loses descriptions first, then its end', async () => {
    const metadata = Object.fromEntries(
      Array.from({ length: 60 }, (_, n) => [`k${n}`, 'x'.repeat(500)]),
    )
    const entries = Array.from({ length: 150 }, (_, n) => ({
      path: `a/bulk/${String(n).padStart(4, '0')}`,
      value_base64: 'YQ==',
      metadata,
    }))
    for (const { path, value_base64, metadata: pairs } of entries)
      await vestry.admin.call('admin.cred.put', { path, value_base64, metadata: pairs })
    const { credentials, truncated } = await client.call('list', { prefix: 'a/bulk/' })
    expect(truncated).toBe(false)
    expect(credentials).toHaveLength(150)
    expect(credentials[0]).toMatchObject({ metadata: {}, description: null, tags: [] })
    expect(
      (await client.call('list', { prefix: 'a/bulk/', limit: 5 })).credentials[0].metadata,
    ).toEqual(metadata)
  })
})

describe('retrieve', () => {
  test('gives the bytes as hex, under a lease', async () => {
    const got = await client.call('retrieve', { path: 'a/key', ttl: 300 })
    expect(got).toEqual({
      value: Buffer.from('value-1').toString('hex'),
      lease_id: expect.stringMatching(/^lease_[0-9a-f]{32}$/),
      ttl: 300,
      ttl_clamped: false,
      path: 'a/key',
      version: 1,
      type: 'api_key',
      renewable: true,
      issued_at: expect.stringMatching(/Z$/),
      expires_at: expect.stringMatching(/Z$/),
    })
    expect(Date.parse(got.expires_at) - Date.parse(got.issued_at)).toBe(300_000)
    expect(await client.call('retrieve', { path: 'a/key', ttl: 300.0 })).toMatchObject({ ttl: 300 })
    expect(await client.call('retrieve', { path: 'a/key' }), 'min(3600, max_ttl)').toMatchObject({
      ttl: 900,
    })
  })

  test('empty, binary and largest values come back byte for byte', async () => {
    for (const [name, value] of [
      ['empty', Buffer.alloc(0)],
      ['bytes', Buffer.from([0, 255, 10, 13, 34, 92, 128])],
      ['large', Buffer.alloc(65_536, 0xa5)],
    ] as const) {
      await vestry.addCredential(`bin/${name}`, value)
      expect((await client.call('retrieve', { path: `bin/${name}` })).value).toBe(
        value.toString('hex'),
      )
    }
  })

  test('an older version on request, and an error for one that never was', async () => {
    await vestry.addCredential('a/turns', 'one')
    await vestry.addCredential('a/turns', 'two')
    const value = async (version?: number) =>
      Buffer.from(
        (await client.call('retrieve', { path: 'a/turns', version })).value,
        'hex',
      ).toString()
    expect(await value()).toBe('two')
    expect(await value(1)).toBe('one')
    expect(await value(2)).toBe('two')
    expect(await codeOf(client.call('retrieve', { path: 'a/turns', version: 3 }))).toBe(
      'CREDENTIAL_NOT_FOUND',
    )
    for (const version of [0, -1, '1', 1.5])
      expect(await codeOf(client.call('retrieve', { path: 'a/turns', version }))).toBe(
        'INVALID_PARAMS',
      )
  })

  test('paths outside the grammar are refused as such', async () => {
    for (const path of [
      '',
      '/a',
      'a/',
      'a//b',
      '.',
      '..',
      'a/../b',
      'a b',
      'ä',
      'a/'.repeat(17),
      'x'.repeat(600),
      null,
      7,
      ['a'],
    ])
      expect(await codeOf(client.call('retrieve', { path })), JSON.stringify(path)).toBe(
        'INVALID_PARAMS',
      )
  })
})

describe('store', () => {
  const hex = (text: string) => Buffer.from(text).toString('hex')

  test('creates a credential of the agent’s own, tagged with the writer, once', async () => {
    expect(
      await client.call('store', {
        path: 'own/x',
        value: hex('mine'),
        type: 'token',
        description: 'd',
      }),
    ).toEqual({
      path: 'own/x',
      version: 1,
      stored: true,
    })
    expect((await client.call('retrieve', { path: 'own/x' })).value).toBe(hex('mine'))
    const credential = await vestry.admin.call('admin.cred.show', { path: 'own/x' })
    expect(credential).toMatchObject({ tags: ['writer:scout'], type: 'token' })
    await expect(
      client.call('store', { path: 'own/x', value: hex('again') }),
    ).rejects.toMatchObject({
      code: 'CONFLICT',
      error: { context: { path: 'own/x' } },
    })
    expect(vestry.auditLines().join('\n')).not.toContain(hex('mine'))
  })

  test('does not bring back what an operator deleted', async () => {
    await client.call('store', { path: 'own/gone', value: hex('old') })
    await vestry.admin.call('admin.cred.rm', { path: 'own/gone' })
    expect(await codeOf(client.call('retrieve', { path: 'own/gone' }))).toBe('CREDENTIAL_NOT_FOUND')
    expect(await codeOf(client.call('store', { path: 'own/gone', value: hex('new') }))).toBe(
      'CONFLICT',
    )
    expect(await codeOf(client.call('retrieve', { path: 'own/gone', version: 1 }))).toBe(
      'CREDENTIAL_NOT_FOUND',
    )
  })

  test('refuses what it cannot store, before anything is recorded', async () => {
    const before = vestry.auditLines().length
    for (const params of [
      {},
      { value: 'xyz' },
      { value: 'abc' },
      { value: 'aa'.repeat(65_537) },
      { value: 'aa', type: 'unheard-of' },
      { value: 'aa', description: 'x'.repeat(1_025) },
    ])
      expect(await codeOf(client.call('store', { path: 'own/y', ...params }))).toBe(
        'INVALID_PARAMS',
      )
    expect(vestry.auditLines()).toHaveLength(before)
    expect(await client.call('store', { path: 'own/y', value: 'aa'.repeat(65_536) })).toMatchObject(
      { version: 1 },
    )
  })

  test('of two at once one wins', async () => {
    for (const id of ['s1', 's2', 's3'])
      client.send({ id, method: 'store', params: { path: 'own/race', value: hex(id) } })
    const frames = [await client.next(), await client.next(), await client.next()]
    expect(frames.filter((frame) => frame?.result)).toHaveLength(1)
    expect(frames.filter((frame) => frame?.error?.code === 'CONFLICT')).toHaveLength(2)
  })
})

test('whoami tells an agent what it is', async () => {
  const { port } = new URL(`tcp://${vestry.daemon.ready.vault_tcp}`)
  const keys = await vestry.addAgent('ada')
  const ada = await RawClient.connect({ host: '127.0.0.1', port: Number(port) })
  await ada.login(keys)
  expect(await ada.call('whoami')).toEqual({
    agent: 'ada',
    agent_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    key_fingerprint: expect.stringMatching(/^ed25519:[0-9a-f]{32}$/),
    session: {
      created_at: expect.any(String),
      expires_at: expect.any(String),
      idle_timeout: 3_600,
    },
    transport: 'tcp',
    policies: ['vault:hidden'],
    limits: { requests_per_second: null, burst: null, http_requests_in_flight: 8, leases: 10_000 },
    leases: 0,
    txn: expect.stringMatching(/^txn_/),
    server_time: expect.stringMatching(/Z$/),
  })
  ada.destroy()
})

test('status and ping need no login, and give nothing away', async () => {
  const stranger = await RawClient.connect({ path: vestry.home.vaultSocket })
  expect(await stranger.call('ping')).toEqual({ pong: true })
  expect(await stranger.call('status')).toEqual({
    initialized: true,
    sealed: false,
    version: expect.any(String),
    protocol: 'sanctum/1',
    features: expect.arrayContaining(['sig-v2']),
    limits: { max_frame_bytes: 4_194_304 },
    audit_available: true,
    server_time: expect.stringMatching(/Z$/),
  })
  stranger.destroy()
})

describe('check_access', () => {
  test('answers without doing, and is recorded', async () => {
    const before = recordsOf(vestry, 'credential.use').length
    const ask = (params: object) => client.call('check_access', params)
    expect(await ask({ path: 'a/key', action: 'retrieve' })).toEqual({
      allowed: true,
      granted_ttl: 900,
      reason_code: 'allowed',
      approval_required: false,
    })
    const request = (url: string) =>
      ask({ path: 'a/key', operation: 'http_request', params: { url } })
    expect(await request('https://api.example.com/x')).toMatchObject({ allowed: true })
    expect(await request('https://evil.example/')).toMatchObject({
      allowed: false,
      granted_ttl: null,
      reason_code: 'host_not_allowed',
    })
    expect(await ask({ path: 's/sign', action: 'use:sign' })).toMatchObject({ allowed: true })
    expect(await ask({ path: 's/sign', operation: 'sign_payload' })).toMatchObject({
      allowed: true,
    })
    expect(await ask({ path: 's/sign', action: 'use', operation: 'encrypt' })).toMatchObject({
      allowed: false,
    })
    expect(recordsOf(vestry, 'credential.use')).toHaveLength(before)
    expect(recordsOf(vestry, 'policy.test').at(-1)).toMatchObject({
      agent: 'scout',
      data: { path: 's/sign', operation: 'use:encrypt', allowed: false },
    })
  })

  test('a question that makes no sense is refused', async () => {
    for (const params of [
      {},
      { action: 'use' },
      { action: 'delete' },
      { action: 7 },
      { operation: [] },
    ])
      expect(await codeOf(client.call('check_access', { path: 'a/key', ...params }))).toBe(
        'INVALID_PARAMS',
      )
    for (const params of [{ operation: 'jwt' }, { action: 'use:nothing' }])
      expect(await codeOf(client.call('check_access', { path: 'a/key', ...params }))).toBe(
        'OPERATION_NOT_SUPPORTED',
      )
  })
})

test('every error carries all of its members, and none of them the inside', async () => {
  const wrong: [string, object][] = [
    ['retrieve', { path: 'z/other' }],
    ['retrieve', { path: 'a/none' }],
    ['retrieve', { path: '' }],
    ['release_lease', { lease_id: 'x' }],
    ['use', { path: 'a/key', operation: 'nope' }],
    ['unwrap', { wrap_token: 'x' }],
    ['nonsense', {}],
  ]
  for (const [method, params] of wrong) {
    const { error } = await client.call(method, params).catch((failure) => failure)
    expect(Object.keys(error).sort()).toEqual([
      'code',
      'context',
      'detail',
      'docs_url',
      'message',
      'suggestion',
    ])
    expect(error.docs_url).toBeNull()
    expect(error.context.request_id).toMatch(/^r-/)
    expect(error.message, 'short, stable, no variable data').not.toMatch(/z\/other|a\/none|nope/)
    expect(JSON.stringify(error)).not.toMatch(/\/tmp\/|\.ts:|node_modules|vestry\.db/)
  }
})
