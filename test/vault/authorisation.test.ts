import { beforeAll, describe, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import type { RawClient, RpcFailure } from '../harness/raw-client.ts'
import { recordsOf } from '../harness/record.ts'
import { codeOf } from '../harness/refusal.ts'
import { compareAnswers } from './policy-agreement.ts'

const VALUE = 'sk-test-0123456789'

interface Rule {
  name: string
  [field: string]: unknown
}

const put = (vestry: TestDaemon, ...policies: Rule[]) => vestry.addPolicy({ version: 1, policies })

const remove = (vestry: TestDaemon, ...names: string[]) =>
  vestry.admin.call('admin.policy.rm', { names: names.map((name) => `vault:${name}`) })

/** The whole error but for what differs with every request. */
const refusal = async (calling: Promise<unknown>) => {
  const error: RpcFailure = await calling.then(
    () => expect.unreachable('the call should have been refused'),
    (reason: RpcFailure) => reason,
  )
  const { request_id, decision, ...context } = error.error.context
  return JSON.parse(JSON.stringify({ ...error.error, context }).replaceAll(decision, 'dec_'))
}

test('vault §28.27: without a policy everything is denied and nothing is listed', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addCredential('a/b', VALUE)
  const client = await vestry.agent(await vestry.addAgent('scout'))
  expect(await client.call('list')).toMatchObject({ credentials: [] })
  const calls: [string, object][] = [
    ['retrieve', { path: 'a/b' }],
    ['retrieve', { path: 'a/b', wrap_ttl: 60 }],
    ['store', { path: 'a/new', value: '00' }],
    ['use', { path: 'a/b', operation: 'http_header' }],
    ['use', { path: 'a/b', operation: 'sign', params: { data: 'x' } }],
    ['use', { path: 'a/b', operation: 'verify', params: { data: 'x', signature: 'ab' } }],
    ['use', { path: 'a/b', operation: 'encrypt', params: { data: 'x' } }],
    ['use', { path: 'a/b', operation: 'decrypt', params: { data: 'sanctum:v1:AAAA' } }],
    ['use', { path: 'a/b', operation: 'rewrap', params: { data: 'sanctum:v1:AAAA' } }],
    ['use', { path: 'a/b', operation: 'http_request', params: { url: 'https://example.com/' } }],
  ]
  for (const [method, params] of calls) {
    expect(await codeOf(client.call(method, params)), `${method} ${JSON.stringify(params)}`).toBe(
      'ACCESS_DENIED',
    )
  }
  expect(recordsOf(vestry, 'policy.deny')).toHaveLength(calls.length)
  expect(await client.call('check_access', { path: 'a/b', action: 'retrieve' })).toMatchObject({
    allowed: false,
    granted_ttl: null,
    reason_code: 'no_matching_rule',
  })
})

describe('vault §28.27: existence is hidden from whoever is not granted the action', () => {
  let vestry: TestDaemon
  let client: RawClient
  beforeAll(async () => {
    vestry = await startTestDaemon()
    client = await vestry.agent(await vestry.addAgent('scout'))
    await vestry.addCredential('granted/here', VALUE)
    await vestry.addCredential('other/here', VALUE)
    await vestry.addCredential('tagged/here', VALUE, { type: 'api_key', tags: ['prod'] })
    await vestry.addCredential('bound/here', VALUE, {
      settings: { inject: { header_type: 'api_key', locked: true } },
    })
    await put(
      vestry,
      { name: 'granted', principals: ['agent:*'], resources: ['granted/*'], actions: ['retrieve'] },
      {
        name: 'tagged',
        principals: ['agent:*'],
        resources: ['tagged/*'],
        actions: ['retrieve'],
        selectors: { types: ['api_key'] },
        conditions: { not_after: '2020-01-01T00:00:00Z' },
      },
      {
        name: 'bound',
        principals: ['agent:*'],
        resources: ['bound/*'],
        actions: ['use:http_header'],
        header_types: ['basic'],
      },
    )
    return () => vestry.stop()
  })

  test('granted: the code tells what is there', async () => {
    expect(await codeOf(client.call('retrieve', { path: 'granted/here' }))).toBe('ok')
    const missing = await refusal(client.call('retrieve', { path: 'granted/gone' }))
    expect(missing).toMatchObject({
      code: 'CREDENTIAL_NOT_FOUND',
      message: 'Credential not found',
      context: { path: 'granted/gone', legacy_code: 'NOT_FOUND' },
    })
  })

  test.each([
    ['no rule for the path', 'other', 'retrieve', {}],
    ['a rule that selects by type and has lapsed', 'tagged', 'retrieve', {}],
    [
      'a rule for other headers than the operator fixed',
      'bound',
      'use',
      { operation: 'http_header' },
    ],
    ['another action', 'granted', 'use', { operation: 'sign', params: { data: 'x' } }],
    ['writing', 'granted', 'store', { value: 'ab' }],
  ])(
    'not granted (%s): there or not, the answer is the same',
    async (_why, folder, method, more) => {
      const here = await refusal(client.call(method, { path: `${folder}/here`, ...more }))
      const gone = await refusal(client.call(method, { path: `${folder}/gone`, ...more }))
      expect(here.code).toBe('ACCESS_DENIED')
      expect(JSON.parse(JSON.stringify(here).replaceAll('/here', '/gone'))).toEqual(gone)
      const action = method === 'use' ? { operation: 'sign' } : { action: method }
      const ask = (path: string) => client.call('check_access', { path, ...action, ...more })
      expect(await ask(`${folder}/here`)).toEqual(await ask(`${folder}/gone`))
    },
  )
})

describe('vault §28.28: rules', () => {
  let vestry: TestDaemon
  let client: RawClient
  beforeAll(async () => {
    vestry = await startTestDaemon()
    client = await vestry.agent(await vestry.addAgent('scout', { meta: { team: 'red' } }))
    for (const path of [
      'a/b',
      'a/b/c',
      'agents/scout/x',
      'agents/ada/x',
      'teams/red/k',
      'teams/blue/k',
    ])
      await vestry.addCredential(path, VALUE)
    return () => vestry.stop()
  })

  const allowed = async (paths: string[]) => {
    const found: string[] = []
    for (const path of paths) {
      const code = await codeOf(client.call('retrieve', { path }))
      if (code === 'ok') found.push(path)
      else expect(code).toBe('ACCESS_DENIED')
    }
    return found
  }
  const ALL = ['a/b', 'a/b/c', 'agents/scout/x', 'agents/ada/x', 'teams/red/k', 'teams/blue/k']

  const cases: [string, Rule[], string[]][] = [
    ['one star stays in its segment', [{ name: 'r', resources: ['a/*'] }], ['a/b']],
    ['two stars cross', [{ name: 'r', resources: ['a/**'] }], ['a/b', 'a/b/c']],
    [
      'a template is filled with the agent’s name',
      [{ name: 'r', resources: ['agents/{{agent.name}}/**'] }],
      ['agents/scout/x'],
    ],
    [
      'a template is filled with the agent’s metadata',
      [{ name: 'r', resources: ['teams/{{agent.meta.team}}/*'] }],
      ['teams/red/k'],
    ],
    [
      'a template without a value matches nothing',
      [{ name: 'r', resources: ['teams/{{agent.meta.none}}/*'] }],
      [],
    ],
    [
      'deny wins',
      [
        { name: 'r', resources: ['**'] },
        { name: 'no', effect: 'deny', resources: ['a/**'] },
      ],
      ALL.filter((path) => !path.startsWith('a/')),
    ],
    ['a disabled rule does nothing', [{ name: 'r', resources: ['**'], enabled: false }], []],
    [
      'an expired rule allows no more',
      [{ name: 'r', resources: ['**'], expires_at: '2020-01-01T00:00:00Z' }],
      [],
    ],
    [
      'an expired deny stays in force',
      [
        { name: 'r', resources: ['a/*'] },
        { name: 'no', effect: 'deny', resources: ['a/b'], expires_at: '2020-01-01T00:00:00Z' },
      ],
      [],
    ],
    [
      'a rule for another agent does nothing',
      [{ name: 'r', resources: ['**'], principals: ['agent:a*'] }],
      [],
    ],
  ]
  test.each(cases)('%s', async (_name, rules, expected) => {
    await put(
      vestry,
      ...rules.map((rule) => ({ principals: ['agent:*'], actions: ['retrieve'], ...rule })),
    )
    expect(await allowed(ALL)).toEqual(expected)
    await remove(vestry, ...rules.map(({ name }) => name))
  })

  test('the smallest ttl of all rules binds, and more is reduced, not refused', async () => {
    const rule = { principals: ['agent:*'], resources: ['a/*'], actions: ['retrieve'] }
    await put(
      vestry,
      { ...rule, name: 'r', max_ttl: 900, default_ttl: 120 },
      { ...rule, name: 's', max_ttl: 300 },
    )
    expect(await client.call('retrieve', { path: 'a/b', ttl: 600 })).toMatchObject({
      ttl: 300,
      ttl_clamped: true,
    })
    expect(await client.call('retrieve', { path: 'a/b' })).toMatchObject({
      ttl: 120,
      ttl_clamped: false,
    })
    expect(await client.call('retrieve', { path: 'a/b', ttl: 300 })).toMatchObject({
      ttl: 300,
      ttl_clamped: false,
    })
    for (const ttl of [0, -1, 1.5, true, '60', 2 ** 31]) {
      await expect(client.call('retrieve', { path: 'a/b', ttl }), `${ttl}`).rejects.toMatchObject({
        code: 'INVALID_PARAMS',
        error: { context: { param: 'ttl' } },
      })
    }
    await remove(vestry, 'r', 's')
  })

  test('a reason is asked for where the rule asks, and reaches the log', async () => {
    await put(vestry, {
      name: 'r',
      principals: ['agent:*'],
      resources: ['a/*'],
      actions: ['retrieve'],
      conditions: { require_reason: true },
    })
    for (const reason of [undefined, '']) {
      await expect(client.call('retrieve', { path: 'a/b', reason })).rejects.toMatchObject({
        code: 'ACCESS_DENIED',
        error: { context: { reason_code: 'reason_required' } },
      })
    }
    for (const reason of ['x'.repeat(257), 7, { a: 1 }]) {
      expect(await codeOf(client.call('retrieve', { path: 'a/b', reason }))).toBe('INVALID_PARAMS')
    }
    const reason = 'nightly export for ticket 4711'
    await client.call('retrieve', { path: 'a/b', reason })
    expect(recordsOf(vestry, 'credential.retrieve').at(-1)?.data).toMatchObject({ reason })
    const asked = { path: 'a/b', action: 'retrieve' }
    expect(await client.call('check_access', asked)).toMatchObject({
      allowed: false,
      reason_code: 'reason_required',
    })
    expect(await client.call('check_access', { ...asked, reason })).toMatchObject({ allowed: true })
    await remove(vestry, 'r')
  })
})

test('vault §28.29: `use` does not grant http_header, the documented combinations do', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addCredential('a/b', VALUE)
  const client = await vestry.agent(await vestry.addAgent('scout'))
  const header = () => codeOf(client.call('use', { path: 'a/b', operation: 'http_header' }))
  const signing = () =>
    codeOf(client.call('use', { path: 'a/b', operation: 'sign', params: { data: 'x' } }))
  const cases: [actions: string[], header: boolean, sign: boolean][] = [
    [['use'], false, true],
    [['retrieve'], false, false],
    [['use', 'retrieve'], true, true],
    [['use:http_header'], true, false],
    [['use:*'], true, true],
    [['use:sign', 'retrieve'], false, true],
  ]
  for (const [actions, reveals, signs] of cases) {
    await put(vestry, {
      name: 'r',
      principals: ['agent:*'],
      resources: ['**'],
      actions,
      hosts: ['api.example.com'],
    })
    expect(await header(), actions.join()).toBe(reveals ? 'ok' : 'ACCESS_DENIED')
    expect(await signing(), actions.join()).toBe(signs ? 'ok' : 'ACCESS_DENIED')
  }
  const rule = { principals: ['agent:*'], resources: ['**'], hosts: ['api.example.com'] }
  await put(
    vestry,
    { ...rule, name: 'r', actions: ['use'] },
    { ...rule, name: 's', actions: ['retrieve'] },
  )
  expect(await header(), 'use and retrieve in two rules').toBe('ACCESS_DENIED')
})

test('a credential for use only, and a daemon without raw retrieval, hand no value out', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addCredential('a/b', VALUE, { settings: { use_only: true } })
  const client = await vestry.agent(await vestry.addAgent('scout'))
  await put(vestry, {
    name: 'r',
    principals: ['agent:*'],
    resources: ['**'],
    actions: ['list', 'retrieve', 'use:sign', 'use:http_header'],
  })
  const { credentials } = await client.call('list')
  expect(credentials[0].operations).toEqual(['list', 'use:sign'])
  expect(await codeOf(client.call('use', { path: 'a/b', operation: 'http_header' }))).toBe(
    'ACCESS_DENIED',
  )
  const refused = await refusal(client.call('retrieve', { path: 'a/b' }))
  expect(refused).toMatchObject({
    code: 'ACCESS_DENIED',
    suggestion: expect.stringMatching(/"use"/),
  })
  expect(await codeOf(client.call('retrieve', { path: 'a/b', wrap_ttl: 5 }))).toBe('ACCESS_DENIED')
  expect(await client.call('check_access', { path: 'a/b', action: 'retrieve' })).toMatchObject({
    allowed: false,
    reason_code: 'use_only',
  })
  expect(
    await codeOf(client.call('use', { path: 'a/b', operation: 'sign', params: { data: 'x' } })),
  ).toBe('ok')
})

test('vault §28.30: a change of policy holds from the next request on', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addCredential('a/b', VALUE)
  const client = await vestry.agent(await vestry.addAgent('scout'))
  const rule = { name: 'r', principals: ['agent:*'], resources: ['a/*'], actions: ['retrieve'] }
  for (let round = 0; round < 5; round += 1) {
    expect(await codeOf(client.call('retrieve', { path: 'a/b' }))).toBe('ACCESS_DENIED')
    await put(vestry, rule)
    expect(await codeOf(client.call('retrieve', { path: 'a/b' }))).toBe('ok')
    await remove(vestry, 'r')
  }
})

test('vault §28.30: renewal after access was withdrawn is refused and revokes the lease', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addCredential('a/b', VALUE)
  const client = await vestry.agent(await vestry.addAgent('scout'))
  const rule = { name: 'r', principals: ['agent:*'], resources: ['a/*'], actions: ['retrieve'] }
  await put(vestry, rule)
  const { lease_id } = await client.call('retrieve', { path: 'a/b', ttl: 600 })
  expect(await client.call('renew_lease', { lease_id, ttl: 60 })).toMatchObject({ ttl: 60 })
  await remove(vestry, 'r')
  await expect(client.call('renew_lease', { lease_id })).rejects.toMatchObject({
    code: 'ACCESS_DENIED',
  })
  expect(await client.call('release_lease', { lease_id })).toMatchObject({ status: 'revoked' })
  const [tag] = recordsOf(vestry, 'lease.revoke')
  expect(tag?.data).toMatchObject({ reason: 'policy_changed', lease: /^hmac:/ })
  await put(vestry, rule)
  await expect(client.call('renew_lease', { lease_id })).rejects.toMatchObject({
    code: 'LEASE_NOT_FOUND',
  })
})

test('a renewal refused for want of a reason, or by `renewable: false`, leaves the lease alive', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addCredential('a/b', VALUE)
  const client = await vestry.agent(await vestry.addAgent('scout'))
  const rule = { name: 'r', principals: ['agent:*'], resources: ['a/*'], actions: ['retrieve'] }
  await put(vestry, rule)
  const { lease_id } = await client.call('retrieve', { path: 'a/b' })
  for (const change of [{ renewable: false }, { conditions: { require_reason: true } }]) {
    await put(vestry, { ...rule, ...change })
    expect(await codeOf(client.call('renew_lease', { lease_id }))).toBe('ACCESS_DENIED')
  }
  expect(await client.call('renew_lease', { lease_id, reason: 'still at it' })).toMatchObject({
    lease_id,
  })
  expect(await client.call('release_lease', { lease_id })).toMatchObject({ status: 'released' })
  await put(vestry, { ...rule, renewable: false })
  const fixed = await client.call('retrieve', { path: 'a/b' })
  expect(fixed.renewable).toBe(false)
})

test('vault §28.31: policy test, check_access and the live decision agree', async () => {
  const { asked, permitted } = await compareAnswers({ sets: 15, seed: 20260102 })
  expect(asked).toBe(600)
  expect(permitted, 'both answers occur').toBeGreaterThan(50)
})
