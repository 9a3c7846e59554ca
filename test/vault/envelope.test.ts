/** Messages against a real daemon: what is refused, in which order, and that nothing breaks after it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { type AgentKeys, signHex } from '../harness/keys.ts'
import { type Frame, frameOf, RawClient } from '../harness/raw-client.ts'

let vestry: TestDaemon
let scout: AgentKeys

const AGENT_METHODS = [
  'retrieve',
  'list',
  'release_lease',
  'renew_lease',
  'lease_status',
  'use',
  'whoami',
  'check_access',
  'store',
  'unwrap',
]
const LOGIN_METHODS = ['authenticate', 'challenge_response', 'logout']

beforeAll(async () => {
  vestry = await startTestDaemon()
  scout = await vestry.addAgent('scout')
  await vestry.addCredential('openai/api_key', 'sk-test-0123456789')
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'all',
        principals: ['agent:scout'],
        resources: ['openai/*', 'own/*'],
        actions: ['list', 'retrieve', 'use', 'store'],
        max_ttl: 900,
      },
    ],
  })
})
afterAll(() => vestry.stop())

const stranger = () => RawClient.connect({ path: vestry.home.vaultSocket })
const agent = () => vestry.agent(scout)

async function ask(client: RawClient, text: string | Uint8Array): Promise<Frame> {
  client.write(frameOf(Buffer.from(text as Uint8Array)))
  const frame = await client.next()
  if (frame === undefined) throw new Error('closed')
  return frame
}

const refusal = async (client: RawClient, text: string | Uint8Array) => {
  const { id, error } = await ask(client, text)
  return { id, code: error?.code as string | undefined }
}

async function stillWorks(client: RawClient): Promise<void> {
  expect(await ask(client, '{"id":"still","method":"ping"}')).toEqual({
    id: 'still',
    result: { pong: true },
  })
}

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`

test('vault §28.18: whatever is no request is refused with the id it starts with, and no more', async () => {
  const cases: [string | Buffer, number | null][] = [
    [Buffer.from('7b226964223a312c2278223a22c328227d', 'hex'), 1],
    [Buffer.from('7b226964223a322c2278223a22eda080227d', 'hex'), 2],
    ['\ufeff{"id":3,"method":"ping"}', null],
    ['{"id":4,"method":"ping","params":{"n":NaN}}', 4],
    ['{"id":5,"method":"ping","params":{"n":Infinity}}', 5],
    ['{"id":6,"method":"ping","params":{"n":-Infinity}}', 6],
    ['[{"id":7,"method":"ping"}]', null],
    ['"ping"', null],
    ['8', null],
    ['null', null],
    ['{"id":9', 9],
    ['{"id":10,"method":"ping"}}', 10],
    ['{"id":11,"method":"ping"} {"id":12,"method":"ping"}', 11],
    ["{'id':13}", null],
    ['{"id":14,"method":"ping",}', 14],
    [`{"id":15,"method":"ping","params":{"a":${nested(31)}}}`, 15],
    [`{"id":16,"method":"ping","params":{"a":${nested(100_000 / 4)}}}`, 16],
    [`{"id":17,"a":${'['.repeat(60_000)}`, 17],
    [`{"id":18,"method":"ping","params":{"a":[${'0,'.repeat(10_000)}0]}}`, 18],
    [
      `{"id":19,${Array.from({ length: 6_000 }, () => '"a":0').join(',')},"b":[${'0,'.repeat(4_000)}0]}`,
      19,
    ],
    ['{"id":20,"method":7}', 20],
    ['{"id":21}', 21],
    ['{"id":22,"method":null}', 22],
    [' \n{ "id" : 23 , "method" : "ping" , "params" : {"n":1e} }', 23],
    ['{"method":"ping"}', null],
    ['{"id":null,"method":"ping"}', null],
    ['{"id":1.5,"method":"ping"}', null],
    ['{"id":9007199254740993,"method":"ping"}', null],
    ['{"id":1e999,"method":"ping"}', null],
    ['{"id":"","method":"ping"}', null],
    [`{"id":"${'x'.repeat(65)}","method":"ping"}`, null],
    ['{"id":true,"method":"ping"}', null],
    ['{"id":[1],"method":"ping"}', null],
    ['{"id":{"a":1},"method":"ping"}', null],
  ]
  for (const client of [await stranger(), await agent()]) {
    for (const [text, id] of cases) {
      expect(await refusal(client, text), String(text).slice(0, 60)).toEqual({
        id,
        code: 'INVALID_REQUEST',
      })
    }
    await stillWorks(client) // vault §28.19
    client.destroy()
  }
})

test('vault §28.18: a hundred thousand nested arrays are refused, and the daemon goes on', async () => {
  const client = await agent()
  const text = `{"id":1,"method":"whoami","params":{"a":${nested(100_000)}}}`
  expect(await refusal(client, text)).toEqual({ id: 1, code: 'INVALID_REQUEST' })
  const objects = `{"id":2,"method":"whoami","params":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`
  expect(await refusal(client, objects)).toEqual({ id: 2, code: 'INVALID_REQUEST' })
  expect((await client.call('whoami')).agent).toBe('scout')
  client.destroy()
})

test('vault §28.18: what is just within the bounds is accepted', async () => {
  const client = await agent()
  for (const text of [
    `{"id":1,"method":"ping","params":{"a":${nested(30)}}}`,
    `{"id":1,"method":"ping","params":{"a":[${'0,'.repeat(9_990)}0]}}`,
    '{"params":{},"method":"ping","id":1}',
    '{"id":1,"method":"ping"}',
    '\r\n\t {"id":1,"method":"ping","extra":{"x":[1,2]}}\n',
  ])
    expect(await ask(client, text)).toEqual({ id: 1, result: { pong: true } })
  client.destroy()
})

test('vault §28.18: an id comes back in value and type', async () => {
  const client = await agent()
  const ids = [0, -1, 2 ** 53 - 1, -(2 ** 53 - 1), 'a', '1', 'é😀', '"\\\u0000', 'x'.repeat(64)]
  for (const id of ids) {
    expect(await ask(client, JSON.stringify({ id, method: 'ping' }))).toStrictEqual({
      id,
      result: { pong: true },
    })
  }
  const lone = await ask(client, '{"id":"\\ud800","method":"ping"}')
  expect(lone.id).toBe('\ud800')
  expect(await ask(client, '{"id":1e2,"method":"ping"}')).toMatchObject({ id: 100 })
  client.destroy()
})

test('params are an object or missing; anything else is INVALID_PARAMS', async () => {
  const client = await agent()
  for (const params of ['[]', 'null', '1', '"x"', 'true'])
    expect(await refusal(client, `{"id":1,"method":"whoami","params":${params}}`)).toEqual({
      id: 1,
      code: 'INVALID_PARAMS',
    })
  expect((await ask(client, '{"id":1,"method":"whoami"}')).result.agent).toBe('scout')
  client.destroy()
})

test('jsonrpc is echoed when sent, and never otherwise', async () => {
  const client = await agent()
  expect(await ask(client, '{"jsonrpc":"2.0","id":1,"method":"ping"}')).toEqual({
    jsonrpc: '2.0',
    id: 1,
    result: { pong: true },
  })
  expect(await ask(client, '{"jsonrpc":"2.0","id":2,"method":"nothing"}')).toMatchObject({
    jsonrpc: '2.0',
    error: { code: 'METHOD_NOT_FOUND' },
  })
  expect(await ask(client, '{"id":3,"method":"ping"}')).not.toHaveProperty('jsonrpc')
  client.destroy()
})

test('vault §28.18: of duplicate members the last one counts, once and for all checks', async () => {
  const client = await agent()
  const text =
    '{"id":1,"id":2,"method":"list","method":"check_access","params":{"path":"openai/api_key","action":"retrieve"},"params":{"path":"other/secret","path":"openai/api_key","action":"delete","action":"retrieve"}}'
  expect(await ask(client, text)).toMatchObject({ id: 2, result: { allowed: true } })
  const denied =
    '{"id":3,"method":"retrieve","params":{"path":"openai/api_key","path":"other/secret"}}'
  expect(await refusal(client, denied)).toEqual({ id: 3, code: 'ACCESS_DENIED' })
  client.destroy()
})

test('vault §28.18: members named like parts of the prototype are only data', async () => {
  const client = await agent()
  const params =
    '{"__proto__":{"path":"openai/api_key","isAdmin":true},"constructor":{"prototype":{"path":"x"}},"prototype":1,"path":"other/secret"}'
  expect(await refusal(client, `{"id":1,"method":"retrieve","params":${params}}`)).toEqual({
    id: 1,
    code: 'ACCESS_DENIED',
  })
  const inherited = '{"id":2,"method":"retrieve","params":{"__proto__":{"path":"openai/api_key"}}}'
  expect(await refusal(client, inherited)).toEqual({ id: 2, code: 'INVALID_PARAMS' })
  const envelope = '{"id":3,"__proto__":{"method":"ping"}}'
  expect(await refusal(client, envelope)).toEqual({ id: 3, code: 'INVALID_REQUEST' })
  for (const method of ['__proto__', 'constructor', 'toString', 'hasOwnProperty'])
    expect(await refusal(client, `{"id":4,"method":"${method}"}`)).toEqual({
      id: 4,
      code: 'METHOD_NOT_FOUND',
    })
  const probe: Record<string, unknown> = {}
  expect(probe['isAdmin'] ?? probe['path']).toBeUndefined()
  client.destroy()
})

test('vault §28.18: an unpaired surrogate in a name is INVALID_PARAMS, never U+FFFD', async () => {
  const client = await agent()
  const requests = [
    ['retrieve', '{"path":"openai/\\ud800"}'],
    ['retrieve', '{"path":"openai/api_key","reason":"\\udfff"}'],
    ['use', '{"path":"openai/api_key","operation":"sign\\ud800"}'],
    [
      'use',
      '{"path":"openai/api_key","operation":"http_request","params":{"url":"https://ex\\ud800.example/"}}',
    ],
    [
      'use',
      '{"path":"openai/api_key","operation":"http_header","params":{"header_type":"custom","header_name":"X-\\ud800"}}',
    ],
    ['list', '{"prefix":"\\ud800"}'],
    ['check_access', '{"path":"openai/api_key","action":"retrieve\\ud800"}'],
    ['release_lease', '{"lease_id":"\\ud800"}'],
  ]
  for (const [method, params] of requests) {
    const { error } = await ask(client, `{"id":1,"method":"${method}","params":${params}}`)
    expect(error?.code, `${method} ${params}`).toBe('INVALID_PARAMS')
    expect(JSON.stringify(error)).not.toContain('\ufffd')
  }
  const paired = '{"id":1,"method":"list","params":{"prefix":"\\ud83d\\ude00"}}'
  expect(await ask(client, paired)).toMatchObject({ result: { credentials: [] } })
  client.destroy()
})

test('a NUL where a path begins is INVALID_PARAMS, not an internal error', async () => {
  const client = await agent()
  for (const member of ['prefix', 'cursor'])
    expect(
      await refusal(client, `{"id":1,"method":"list","params":{"${member}":"a\\u0000"}}`),
    ).toEqual({ id: 1, code: 'INVALID_PARAMS' })
  client.destroy()
})

test('raw UTF-8 and escapes mean the same', async () => {
  const client = await agent()
  const raw = await ask(client, '{"id":1,"method":"list","params":{"prefix":"é"}}')
  const escaped = await ask(client, '{"id":1,"method":"l\\u0069st","params":{"prefix":"\\u00e9"}}')
  expect(escaped).toEqual(raw)
  expect(raw.result.credentials).toEqual([])
  client.destroy()
})

test('before login every agent method answers SESSION_EXPIRED, whatever its params', async () => {
  const client = await stranger()
  for (const method of [...AGENT_METHODS, 'credential.retrieve', 'credential.use']) {
    const { error } = await ask(client, `{"id":1,"method":"${method}","params":{"path":7}}`)
    expect(error).toMatchObject({
      code: 'SESSION_EXPIRED',
      message: 'Session is not active',
      context: { reauthenticate: true, request_id: expect.any(String) },
    })
  }
  const { lastSessionId } = await agentThenGone()
  const stolen = { id: 2, method: 'whoami', params: { session_id: lastSessionId } }
  expect(await refusal(client, JSON.stringify(stolen))).toEqual({ id: 2, code: 'SESSION_EXPIRED' })
  expect((await ask(client, '{"id":3,"method":"status"}')).result).toMatchObject({ sealed: false })
  client.destroy()
})

async function agentThenGone(): Promise<RawClient> {
  const client = await agent()
  client.destroy()
  return client
}

test('a session id must be the connection’s own, or absent', async () => {
  const [client, other] = [await agent(), await agent()]
  const whoami = (session: unknown) =>
    ask(client, JSON.stringify({ id: 1, method: 'whoami', params: { session_id: session } }))
  for (const own of [client.lastSessionId, null, undefined])
    expect((await whoami(own)).result).toMatchObject({ agent: 'scout' })
  for (const foreign of [other.lastSessionId, '', 'sess_x', 7, {}, []])
    expect((await whoami(foreign)).error?.code).toBe('SESSION_EXPIRED')
  expect((await whoami(null)).result).toMatchObject({ agent: 'scout' })
  client.destroy()
  other.destroy()
})

test('operators’ methods do not exist for agents, logged in or not', async () => {
  for (const client of [await stranger(), await agent()]) {
    for (const method of [
      'admin.seal',
      'admin.cred.put',
      'admin.agent.add',
      'admin.unseal',
      'admin.',
    ])
      expect(await refusal(client, `{"id":1,"method":"${method}"}`)).toEqual({
        id: 1,
        code: 'METHOD_NOT_FOUND',
      })
    client.destroy()
  }
})

test('checks come in order: method, seal, session, params, policy, existence', async () => {
  const early = await stranger()
  expect((await refusal(early, '{"id":1,"method":"x","params":{"path":7}}')).code).toBe(
    'METHOD_NOT_FOUND',
  )
  expect((await refusal(early, '{"id":1,"method":"retrieve","params":{"path":7}}')).code).toBe(
    'SESSION_EXPIRED',
  )
  const client = await agent()
  const retrieve = (path: unknown, extra = {}) =>
    refusal(client, JSON.stringify({ id: 1, method: 'retrieve', params: { path, ...extra } }))
  expect((await retrieve(7)).code).toBe('INVALID_PARAMS')
  expect((await retrieve('other/secret', { ttl: -1 })).code).toBe('INVALID_PARAMS')
  expect((await retrieve('other/secret')).code).toBe('ACCESS_DENIED')
  expect((await retrieve('openai/absent')).code).toBe('CREDENTIAL_NOT_FOUND')
  early.destroy()
  client.destroy()
})

test('integers may be written with a zero fraction; booleans and text are none', async () => {
  const client = await agent()
  const retrieve = (ttl: string) =>
    ask(client, `{"id":1,"method":"retrieve","params":{"path":"openai/api_key","ttl":${ttl}}}`)
  expect((await retrieve('300.0')).result).toMatchObject({ ttl: 300 })
  for (const ttl of ['true', '"300"', '300.5', '-1', '0', '1e300', '{}'])
    expect((await retrieve(ttl)).error?.code, ttl).toBe('INVALID_PARAMS')
  client.destroy()
})

test('an agent’s secret is stored byte for byte, and refused unless it is plain text', async () => {
  const client = await agent()
  const store = (path: string, member: string) =>
    ask(client, `{"id":1,"method":"store","params":{"path":"own/${path}",${member}}}`)
  const read = async (path: string) => {
    const { value } = await client.call('retrieve', { path: `own/${path}` })
    return value as string
  }
  expect((await store('plain', '"value":"00ff10"')).result).toMatchObject({ stored: true })
  expect(await read('plain')).toBe('00ff10')
  // The name spelt with escapes is the same name: it neither slips past nor breaks anything.
  expect((await store('spelt', '"val\\u0075e":"c0ffee"')).result).toMatchObject({ stored: true })
  expect(await read('spelt')).toBe('c0ffee')
  expect((await store('twice', '"value":"aa","value":"bb"')).result).toMatchObject({ stored: true })
  expect(await read('twice')).toBe('bb')
  for (const value of ['"\\u0063\\u0063"', '["cc"]', '12', '{"a":"cc"}'])
    expect((await store('escaped', `"value":${value}`)).error?.code).toBe('INVALID_REQUEST')
  for (const member of ['"value":null', '"other":"aa"', '"value":"zz"', '"value":"abc"'])
    expect((await store('absent', member)).error?.code).toBe('INVALID_PARAMS')
  const elsewhere =
    '{"id":1,"method":"store","value":"aa","x":{"value":"bb"},"params":{"path":"own/none"}}'
  expect((await ask(client, elsewhere)).error?.code).toBe('INVALID_PARAMS')
  await stillWorks(client)
  client.destroy()
})

test('errors have every member the clients read, and say nothing of the inside', async () => {
  const client = await agent()
  const { error } = await ask(client, '{"id":1,"method":"retrieve","params":{"path":"other/x"}}')
  expect(error).toMatchObject({
    code: 'ACCESS_DENIED',
    message: 'Access denied by policy',
    detail: expect.any(String),
    suggestion: expect.any(String),
    docs_url: null,
    context: {
      request_id: expect.any(String),
      action: expect.any(String),
      path: 'other/x',
      legacy_code: 'POLICY_DENIED',
    },
  })
  expect(JSON.stringify(error)).not.toContain(vestry.home.dir)
  client.destroy()
})

test('while sealed everything known answers VAULT_LOCKED, except status and ping', async () => {
  await using own = await startTestDaemon()
  const keys = await own.addAgent('scout')
  const client = await own.agent(keys)
  const early = await RawClient.connect({ path: own.home.vaultSocket })
  await own.seal()
  for (const peer of [client, early]) {
    for (const method of [...AGENT_METHODS, ...LOGIN_METHODS, 'auth.challenge', 'credential.list'])
      expect(
        await refusal(peer, `{"id":1,"method":"${method}","params":{"agent_name":"scout"}}`),
        method,
      ).toEqual({ id: 1, code: 'VAULT_LOCKED' })
    expect(await refusal(peer, '{"id":1,"method":"admin.unseal"}')).toEqual({
      id: 1,
      code: 'METHOD_NOT_FOUND',
    })
    await stillWorks(peer)
    expect((await ask(peer, '{"id":1,"method":"status"}')).result).toMatchObject({ sealed: true })
  }
  await own.unseal()
  // The old session is gone; the connection is not, and may log in again.
  expect((await ask(client, '{"id":1,"method":"whoami"}')).error?.code).toBe('SESSION_EXPIRED')
  await client.login(keys)
  expect((await client.call('whoami')).agent).toBe('scout')
})

test('vault §28.14: the second dialect can be switched off, and maps errors like the first', async () => {
  await using own = await startTestDaemon({ config: { vault: { compat_rust: false } } })
  const keys = await own.addAgent('scout')
  const client = await own.agent(keys)
  for (const method of [
    'auth.challenge',
    'auth.verify',
    'credential.retrieve',
    'credential.list',
    'lease.release',
    'credential.use',
  ])
    expect(await refusal(client, `{"id":1,"method":"${method}","params":{}}`)).toEqual({
      id: 1,
      code: 'METHOD_NOT_FOUND',
    })
})

test('vault §28.14: dotted names log in, read, use and release in the documented shapes', async () => {
  const client = await stranger()
  const call = async (method: string, params: object) =>
    (await ask(client, JSON.stringify({ id: 7, method, params }))) as Frame
  const { result: offer } = await call('auth.challenge', { agent: 'scout' })
  const signature = signHex(scout.seed, Buffer.from(offer.challenge, 'hex'))
  const verified = await call('auth.verify', { agent: 'scout', signature })
  expect(verified.result).toMatchObject({ authenticated: true, session_id: offer.session_id })
  const got = await call('credential.retrieve', { path: 'openai/api_key', ttl: 60 })
  expect(got.result).toMatchObject({
    path: 'openai/api_key',
    value: Buffer.from('sk-test-0123456789').toString('hex'),
    lease_id: expect.any(String),
    ttl: 60,
  })
  const listed = await call('credential.list', {})
  expect(listed.result).toEqual(
    expect.arrayContaining([expect.objectContaining({ path: 'openai/api_key' })]),
  )
  const used = await call('credential.use', {
    path: 'openai/api_key',
    operation: 'http_header',
    params: {},
  })
  expect(used.result).toEqual({
    success: true,
    output: expect.objectContaining({ header: 'Authorization: Bearer sk-test-0123456789' }),
  })
  const released = await call('lease.release', { lease_id: got.result.lease_id })
  expect(released.result).toMatchObject({ status: 'released' })
  expect((await call('credential.retrieve', { path: 'other/x', ttl: 1 })).error?.code).toBe(
    'ACCESS_DENIED',
  )
  // Both dialects on one connection: same session, other shapes.
  expect((await call('list', {})).result).toMatchObject({ credentials: expect.any(Array) })
  const again = await call('auth.verify', { agent: 'scout', signature })
  expect(again.error?.code).toBe('AUTH_FAILED')
  client.destroy()
})
