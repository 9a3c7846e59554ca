/** An agent, or an operator of a lesser role, that tries to get more than it was given. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { type AgentKeys, newAgentKeys, publicKeyHex } from '../harness/keys.ts'
import { RawClient } from '../harness/raw-client.ts'
import { recordsOf } from '../harness/record.ts'
import { codeOf } from '../harness/refusal.ts'

let vestry: TestDaemon
let scout: AgentKeys
let other: AgentKeys

const POLICIES = [
  {
    name: 'own',
    principals: ['agent:*'],
    resources: ['own/{{agent.name}}/**', 'team/{{agent.meta.team}}/**'],
    actions: ['list', 'retrieve', 'store', 'use'],
  },
  {
    name: 'twice',
    principals: ['agent:scout'],
    resources: ['twice/**'],
    actions: ['retrieve'],
    max_uses: 2,
  },
  {
    name: 'wrapped',
    principals: ['agent:scout'],
    resources: ['wrapped/**'],
    actions: ['retrieve', 'unwrap'],
  },
  {
    name: 'counted',
    principals: ['agent:*'],
    resources: ['counted/{{agent.name}}/**'],
    actions: ['retrieve'],
    max_uses: 1_000,
  },
  {
    name: 'used',
    principals: ['agent:scout'],
    resources: ['used/**'],
    actions: ['use'],
  },
]

beforeAll(async () => {
  vestry = await startTestDaemon()
  scout = await vestry.addAgent('scout')
  other = await vestry.addAgent('other')
  for (const path of ['own/scout/a', 'own/other/a', 'team/red/a', 'team/blue/a', 'twice/a'])
    await vestry.addCredential(path, `the value of ${path}`)
  for (const path of ['wrapped/a', 'used/a']) await vestry.addCredential(path, 'a value of 16 b')
  await vestry.addPolicy({ version: 1, policies: POLICIES })
})
afterAll(() => vestry.stop())

async function connected(keys: AgentKeys): Promise<RawClient> {
  return vestry.agent(keys)
}

describe('templates', () => {
  test.each([
    '*',
    '**',
    '?ed',
    're*',
    'red/..',
    '../team/red',
    'red/**',
    '{{agent.name}}',
    'RED',
    'ｒｅｄ',
    'red\u0000',
    '%72ed',
    ' red',
    'red ',
    '.',
    '..',
    '',
    'blue,team/red',
  ])('a team called %j in the metadata opens no other team', async (team) => {
    const name = `t${Buffer.from(team).toString('hex')}`.slice(0, 60)
    const keys = newAgentKeys(name)
    await vestry.admin.call('admin.agent.add', {
      name,
      public_key: keys.publicKeyHex,
      meta: { team },
    })
    const client = await connected(keys)
    for (const path of ['team/red/a', 'team/blue/a', 'own/scout/a'])
      expect(await codeOf(client.call('retrieve', { path })), path).toBe('ACCESS_DENIED')
    expect((await client.call('list')).credentials).toEqual([])
    client.destroy()
  })

  test.each(['*', 'scout/..', 'a,b', 'sc?ut', '**', 'scout/**', 'SCOUT\u0000', '-x', '.x'])(
    'no agent is ever called %j',
    async (name) => {
      expect(
        await codeOf(
          vestry.admin.call('admin.agent.add', {
            name,
            public_key: newAgentKeys('x').publicKeyHex,
          }),
        ),
      ).toBe('INVALID_PARAMS')
    },
  )

  test('the case of a name and of a path counts', async () => {
    const upper = await vestry.addAgent('SCOUT')
    const client = await connected(upper)
    for (const path of ['own/scout/a', 'own/SCOUT/a', 'OWN/scout/a'])
      expect(await codeOf(client.call('retrieve', { path })), path).toMatch(
        /ACCESS_DENIED|CREDENTIAL_NOT_FOUND/,
      )
    client.destroy()
  })

  test.each([
    'own/scout/../other/a',
    'own/scout//a',
    '/own/scout/a',
    'own/scout/a/',
    'own/scout/%2e%2e/other/a',
    'own/scout/a\u0000',
    'own/scout/*',
    'own\\scout\\a',
    'own/scout/a?x',
    'own/scout/\u002e\u002e/other/a',
  ])('path %j is refused, whatever it might be resolved to', async (path) => {
    const client = await connected(scout)
    for (const [method, params] of [
      ['retrieve', { path }],
      ['use', { path, operation: 'sign', params: { data: 'x' } }],
      ['store', { path, value: '00' }],
      ['check_access', { path, action: 'retrieve' }],
    ] as const)
      expect(await codeOf(client.call(method, params)), method).toBe('INVALID_PARAMS')
    client.destroy()
  })
})

describe('store', () => {
  test('an agent creates within its own paths only, with no settings and no tags of its choosing', async () => {
    const client = await connected(scout)
    const value = Buffer.from('mine').toString('hex')
    expect(await codeOf(client.call('store', { path: 'own/other/b', value }))).toBe('ACCESS_DENIED')
    expect(await codeOf(client.call('store', { path: 'own/scout/a', value }))).toBe('CONFLICT')
    await client.call('store', {
      path: 'own/scout/new',
      value,
      tags: ['admin'],
      settings: { use_only: false },
      metadata: { x: 'y' },
      allowed_hosts: ['*'],
    })
    const made = await vestry.admin.call('admin.cred.show', { path: 'own/scout/new' })
    expect(made).toMatchObject({ tags: ['writer:scout'], metadata: {}, version: 1 })
    expect(made.settings).not.toHaveProperty('allowed_hosts')
    client.destroy()
  })

  test('an agent cannot bring back what an operator deleted, nor read its old versions', async () => {
    const client = await connected(scout)
    await vestry.addCredential('own/scout/gone', 'the operator took this away')
    await vestry.admin.call('admin.cred.rm', { path: 'own/scout/gone' })
    const path = 'own/scout/gone'
    expect(await codeOf(client.call('store', { path, value: '00' }))).toBe('CONFLICT')
    expect(await codeOf(client.call('retrieve', { path, version: 1 }))).toBe('CREDENTIAL_NOT_FOUND')
    client.destroy()
  })
})

test('thirty uses at once of a credential that allows two: two', async () => {
  const client = await connected(scout)
  for (let id = 1; id <= 30; id += 1)
    client.send({ id: 1000 + id, method: 'retrieve', params: { path: 'twice/a' } })
  const codes: string[] = []
  for (let n = 0; n < 30; n += 1) {
    const frame = await client.next()
    codes.push(frame?.error === undefined ? 'ok' : frame.error.code)
  }
  expect(codes.filter((code) => code === 'ok')).toHaveLength(2)
  expect(new Set(codes)).toEqual(new Set(['ok', 'LEASE_EXHAUSTED']))
  client.destroy()
})

describe('wrapping tokens', () => {
  const wrap = async (client: RawClient): Promise<string> =>
    (await client.call('retrieve', { path: 'wrapped/a', wrap_ttl: 60 })).wrap_token

  test('one token, twenty calls at once: one value', async () => {
    const client = await connected(scout)
    const wrap_token = await wrap(client)
    for (let id = 1; id <= 20; id += 1)
      client.send({ id: 2000 + id, method: 'unwrap', params: { wrap_token } })
    const codes: string[] = []
    for (let n = 0; n < 20; n += 1) {
      const frame = await client.next()
      codes.push(frame?.error === undefined ? 'ok' : frame.error.code)
    }
    expect(codes.filter((code) => code === 'ok')).toHaveLength(1)
    client.destroy()
  })

  test('another agent with the token gets nothing, and the token is not spent by trying', async () => {
    const client = await connected(scout)
    const thief = await connected(other)
    const wrap_token = await wrap(client)
    expect(await codeOf(thief.call('unwrap', { wrap_token }))).toBe('ACCESS_DENIED')
    expect(await codeOf(client.call('unwrap', { wrap_token }))).toBe('ok')
    client.destroy()
    thief.destroy()
  })

  test('a token is worthless once its lease, its agent or its policy has gone', async () => {
    const client = await connected(scout)
    const released = await client.call('retrieve', { path: 'wrapped/a', wrap_ttl: 60 })
    await client.call('release_lease', { lease_id: released.lease_id })
    expect(await codeOf(client.call('unwrap', { wrap_token: released.wrap_token }))).toBe(
      'WRAP_INVALID',
    )
    client.destroy()
  })

  test('what became use-only meanwhile is neither unwrapped nor renewed', async () => {
    const client = await connected(scout)
    const wrapped = await client.call('retrieve', { path: 'wrapped/a', wrap_ttl: 60 })
    const held = await client.call('retrieve', { path: 'wrapped/a' })
    await vestry.admin.call('admin.cred.amend', {
      path: 'wrapped/a',
      settings: { use_only: true },
    })
    expect(await codeOf(client.call('unwrap', { wrap_token: wrapped.wrap_token }))).toBe(
      'ACCESS_DENIED',
    )
    expect(await codeOf(client.call('renew_lease', { lease_id: held.lease_id }))).toBe(
      'ACCESS_DENIED',
    )
    const { leases } = await client.call('lease_status', { lease_id: held.lease_id })
    expect(leases[0]).toMatchObject({ state: 'revoked' })
    client.destroy()
    await vestry.admin.call('admin.cred.amend', {
      path: 'wrapped/a',
      settings: { use_only: false },
    })
  })
})

test('a grant to use a key gives neither the key nor another key’s ciphertexts', async () => {
  const client = await connected(scout)
  await vestry.addCredential('used/b', 'another value here')
  const use = (path: string, operation: string, params: object) =>
    client.call('use', { path, operation, params })
  expect(await codeOf(use('used/a', 'http_header', {}))).toBe('ACCESS_DENIED')
  expect(await codeOf(client.call('retrieve', { path: 'used/a' }))).toBe('ACCESS_DENIED')
  const { ciphertext } = await use('used/a', 'encrypt', { data: 'hello', context: 'c' })
  for (const [path, text, context] of [
    ['used/b', ciphertext, 'c'],
    ['used/a', ciphertext, 'd'],
    ['used/a', ciphertext.replace(':v1:', ':v2:'), 'c'],
    ['used/a', ciphertext.replace(':v1:', ':v4294967296:'), 'c'],
    ['used/a', ciphertext.replace(':v1:', ':v01:'), 'c'],
    ['used/a', 'sanctum:v1:AAAA', 'c'],
  ] as const)
    for (const operation of ['decrypt', 'rewrap'])
      expect(await codeOf(use(path, operation, { ciphertext: text, context })), text).toBe(
        'DECRYPT_FAILED',
      )
  await vestry.addCredential('used/a', 'a second version')
  await vestry.admin.call('admin.cred.amend', { path: 'used/a', min_decrypt_version: 2 })
  for (const operation of ['decrypt', 'rewrap'])
    expect(await codeOf(use('used/a', operation, { ciphertext, context: 'c' }))).toBe(
      'DECRYPT_FAILED',
    )
  client.destroy()
})

describe('sessions', () => {
  test('requests that are on their way while the agent is revoked end with it: no lease outlives it', async () => {
    for (let round = 0; round < 10; round += 1) {
      const name = `brief-${round}`
      // Uses that are counted wait for the store between their decision and their intent.
      const path = `${round % 2 === 0 ? 'own' : 'counted'}/${name}/a`
      const keys = await vestry.addAgent(name)
      await vestry.addCredential(path, 'short-lived')
      const client = await connected(keys)
      for (let id = 1; id <= 32; id += 1)
        client.send({ id: 5000 + id, method: 'retrieve', params: { path } })
      await vestry.admin.call('admin.agent.revoke', { name })
      for (let n = 0; n < 32; n += 1) await client.next()
      const { leases } = await vestry.admin.call('admin.lease.list', { path })
      expect(leases, `round ${round}`).toEqual([])
      expect(await codeOf(client.call('retrieve', { path }))).toBe('SESSION_EXPIRED')
      client.destroy()
    }
  })

  test('a session id of another connection, in any shape, is worth nothing', async () => {
    const client = await connected(scout)
    const thief = await connected(other)
    const ids = [client.lastSessionId, `${thief.lastSessionId} `, '', 'null', '__proto__']
    for (const session_id of [...ids, 0, false, [], {}, [thief.lastSessionId]])
      expect(await codeOf(thief.call('whoami', { session_id })), String(session_id)).toBe(
        'SESSION_EXPIRED',
      )
    client.destroy()
    thief.destroy()
  })

  test('what is pipelined behind a login or a logout runs as whoever is logged in by then', async () => {
    const client = await connected(scout)
    client.send({ id: 1, method: 'whoami' })
    client.send({ id: 2, method: 'logout' })
    client.send({ id: 3, method: 'retrieve', params: { path: 'own/scout/a' } })
    client.send({ id: 4, method: 'authenticate', params: { agent_name: 'other' } })
    client.send({ id: 5, method: 'retrieve', params: { path: 'own/scout/a' } })
    const answers = new Map<unknown, string>()
    for (let n = 0; n < 5; n += 1) {
      const frame = await client.next()
      answers.set(frame?.id, frame?.error?.code ?? 'ok')
    }
    expect(Object.fromEntries(answers)).toEqual({
      1: 'ok',
      2: 'ok',
      3: 'SESSION_EXPIRED',
      4: 'ok',
      5: 'SESSION_EXPIRED',
    })
    client.destroy()
  })

  test('logins that are broken off half-way leave no session behind', async () => {
    const keys = await vestry.addAgent('flighty')
    for (let n = 0; n < 80; n += 1) {
      const client = await RawClient.connect({ path: vestry.home.vaultSocket })
      await client.call('authenticate', { agent_name: 'flighty' })
      client.destroy()
    }
    const client = await connected(keys)
    const { sessions } = await vestry.admin.call('admin.session.list', { agent: 'flighty' })
    expect(sessions).toHaveLength(1)
    client.destroy()
  })
})

describe('operators', () => {
  const roles = ['admin', 'auditor', 'approver'] as const
  const seeds = new Map<string, Buffer>()
  beforeAll(async () => {
    for (const role of roles) {
      const keys = newAgentKeys(role)
      seeds.set(role, keys.seed)
      await vestry.admin.call('admin.operator.add', {
        name: role,
        role,
        public_key: publicKeyHex(keys.seed),
      })
    }
  })
  const as = async (role: string): Promise<RawClient> => {
    const client = await RawClient.connect({ path: vestry.home.adminSocket })
    const seed = seeds.get(role)
    if (seed === undefined) throw new Error(role)
    await client.login({ name: role, seed }, 'operator_name')
    return client
  }

  test('nobody below an owner makes owners, opens slots, takes backups or prunes the log', async () => {
    for (const role of roles) {
      const client = await as(role)
      for (const [verb, params] of [
        [
          'operator.add',
          { name: 'me-too', role: 'owner', public_key: newAgentKeys('z').publicKeyHex },
        ],
        ['operator.revoke', { name: 'owner' }],
        ['key.add', { name: 'k', role: 'owner' }],
        ['slot.add', { type: 'shamir' }],
        ['slot.remove', { id: 'slot_x' }],
        ['rotate_term', {}],
        ['rotate_root', {}],
        ['backup', { directory: '/tmp/x' }],
        ['audit.prune', { before: 0 }],
      ] as const)
        expect(await codeOf(client.call(`admin.${verb}`, params)), `${role} ${verb}`).toBe(
          'ACCESS_DENIED',
        )
      client.destroy()
    }
  })

  test('an auditor reads and changes nothing; an approver approves and reads nothing', async () => {
    const auditor = await as('auditor')
    const approver = await as('approver')
    for (const [verb, params] of [
      ['cred.reveal', { path: 'own/scout/a' }],
      ['cred.rm', { path: 'own/scout/a' }],
      ['agent.disable', { name: 'scout' }],
      ['policy.rm', { names: ['vault:own'] }],
      ['approval.allow', { id: 'appr_x' }],
      ['lease.revoke', { agent: 'scout' }],
      ['session.revoke', { agent: 'scout' }],
      ['key.add', {}],
      ['seal', {}],
    ] as const)
      expect(await codeOf(auditor.call(`admin.${verb}`, params)), verb).toBe('ACCESS_DENIED')
    for (const [verb, params] of [
      ['cred.list', {}],
      ['cred.reveal', { path: 'own/scout/a' }],
      ['audit.tail', {}],
      ['audit.query', {}],
      ['agent.list', {}],
      ['server.show', {}],
      ['policy.put', { files: [{ name: 'a.yaml', text: 'version: 1\npolicies: []\n' }] }],
    ] as const)
      expect(await codeOf(approver.call(`admin.${verb}`, params)), verb).toBe('ACCESS_DENIED')
    auditor.destroy()
    approver.destroy()
  })

  test('before a login every verb is refused, and agents’ sockets know none of them', async () => {
    const stranger = await RawClient.connect({ path: vestry.home.adminSocket })
    const agent = await connected(scout)
    const verbs = ['admin.cred.reveal', 'admin.agent.list', 'admin.seal', 'admin.audit.tail']
    for (const verb of verbs) {
      expect(await codeOf(stranger.call(verb, { path: 'own/scout/a' })), verb).toBe(
        'SESSION_EXPIRED',
      )
      expect(await codeOf(agent.call(verb, { path: 'own/scout/a' })), verb).toBe('METHOD_NOT_FOUND')
    }
    expect(await codeOf(agent.call('admin.unseal'))).toBe('METHOD_NOT_FOUND')
    stranger.destroy()
    agent.destroy()
  })

  test('an agent’s key opens nothing at the operators’ door, nor an operator’s at the agents’', async () => {
    const agentAtAdmin = await RawClient.connect({ path: vestry.home.adminSocket })
    expect(await codeOf(agentAtAdmin.login(scout, 'operator_name'))).toBe('AUTH_FAILED')
    const operatorAtVault = await RawClient.connect({ path: vestry.home.vaultSocket })
    const owner = { name: 'owner', seed: vestry.operatorSeed() }
    expect(await codeOf(operatorAtVault.login(owner))).toBe('AUTH_FAILED')
    agentAtAdmin.destroy()
    operatorAtVault.destroy()
  })

  test('a failed login of an operator is on record', async () => {
    const before = recordsOf(vestry, 'auth.failure').length
    const guesser = await RawClient.connect({ path: vestry.home.adminSocket })
    const wrong = { name: 'owner', seed: newAgentKeys('x').seed }
    expect(await codeOf(guesser.login(wrong, 'operator_name'))).toBe('AUTH_FAILED')
    const after = recordsOf(vestry, 'auth.failure').slice(before)
    expect(after).toEqual([
      expect.objectContaining({
        source: 'admin',
        success: false,
        data: expect.objectContaining({ claimed: 'owner', reason: 'bad_signature' }),
      }),
    ])
    guesser.destroy()
  })

  test('unsealing what is open says so, and puts no success on record', async () => {
    const before = recordsOf(vestry, 'vault.unseal').length
    const stranger = await RawClient.connect({ path: vestry.home.adminSocket })
    const passphrase_base64 = Buffer.from('anything at all').toString('base64')
    expect(await stranger.call('admin.unseal', { passphrase_base64 })).toMatchObject({
      sealed: false,
    })
    expect(await stranger.call('admin.unseal')).toMatchObject({ sealed: false })
    expect(recordsOf(vestry, 'vault.unseal')).toHaveLength(before)
    stranger.destroy()
  })
})
