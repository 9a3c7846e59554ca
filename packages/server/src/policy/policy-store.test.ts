import { createHmac, hash } from 'node:crypto'
import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import { openStore, type Store } from '../store/store.ts'
import { PolicyEngine } from './engine.ts'
import { PolicyStore } from './policy-store.ts'

function mac(table: string, id: string, row: Readonly<Record<string, unknown>>): Uint8Array {
  const { mac: _, ...columns } = row
  return createHmac('sha256', 'key')
    .update(canonicalJson([table, id, columns]))
    .digest()
}

function check(
  table: string,
  id: string,
  row: Readonly<Record<string, unknown>>,
  given: Uint8Array,
): void {
  if (Buffer.compare(mac(table, id, row), given) !== 0) throw new VestryError('STORE_CORRUPT')
}

async function withStore(
  run: (policies: PolicyStore, store: Store) => Promise<void>,
): Promise<void> {
  using dir = mkdtempDisposableSync(`${tmpdir()}/policy-`)
  await using store = await openStore(`sqlite:${dir.path}/v.db`)
  let clock = 1_000
  await run(
    new PolicyStore({
      store,
      mac,
      check,
      now: () => clock++,
      maxTtl: 86_400,
      boundPaths: async () => ['bound/key'],
    }),
    store,
  )
}

const rule = (name: string, more: Record<string, unknown> = {}) => ({
  name: `${name}.json`,
  text: JSON.stringify({
    name,
    principal: 'agent:*',
    resources: ['x/*'],
    actions: ['list'],
    ...more,
  }),
})
const CEDAR = {
  name: 'p.cedar',
  text: '// mine\n@id("mine")\npermit (principal in AgentGlob::"a*", action == Action::"vault:list", resource);\n',
}

test('policies of both formats are stored, listed in order, and load into an engine', () =>
  withStore(async (policies, store) => {
    const added = await policies.add([rule('b'), CEDAR, rule('a', { enabled: false })])
    expect(added).toMatchObject({
      created: ['vault:b', 'mine', 'vault:a'],
      updated: [],
      unchanged: [],
    })
    expect(added.generation).toBe(await store.generation())
    const rows = await policies.list()
    expect(rows.map(({ id, format, enabled }) => [id, format, enabled])).toEqual([
      ['vault:b', 'vault', 1],
      ['mine', 'cedar', 1],
      ['vault:a', 'vault', 0],
    ])
    expect(rows[0]?.source).toContain('"name":"b"')
    expect(rows[0]?.text).toContain('@id("vault:b")')
    const engine = new PolicyEngine()
    engine.load(rows)
    expect(engine.size).toBe(2)
    expect(engine.digest).toBe(added.digest)
  }))

test('the same id replaces in place; the same content changes nothing', () =>
  withStore(async (policies) => {
    await policies.add([rule('a'), rule('b')])
    const again = await policies.add([rule('a', { max_ttl: 60 }), rule('b'), rule('c')])
    expect(again).toMatchObject({
      created: ['vault:c'],
      updated: ['vault:a'],
      unchanged: ['vault:b'],
    })
    const rows = await policies.list()
    expect(rows.map(({ id, position }) => [id, position])).toEqual([
      ['vault:a', 1],
      ['vault:b', 2],
      ['vault:c', 3],
    ])
    expect(rows[0]?.created_at).toBeLessThan(rows[0]?.updated_at ?? 0)
  }))

test('adding is all or nothing', () =>
  withStore(async (policies, store) => {
    const before = await store.generation()
    await expect(policies.add([rule('a'), rule('b', { actions: ['fly'] })])).rejects.toThrow(
      'is not an action',
    )
    await expect(policies.add([rule('a'), rule('a')])).rejects.toThrow('"vault:a" is given')
    await expect(policies.add([])).rejects.toThrow('no policy to add')
    expect(await policies.list()).toEqual([])
    expect(await store.generation()).toBe(before)
  }))

test('a credential that lists hosts turns the missing hosts of a rule into a warning', () =>
  withStore(async (policies) => {
    const sends = (resource: string) =>
      rule('r', { actions: ['use:http_request'], resources: [resource] })
    await expect(policies.add([sends('other/*')])).rejects.toThrow('hosts: is missing')
    expect((await policies.add([sends('bound/*')])).warnings[0]).toContain(
      'only hosts that a credential',
    )
    expect((await policies.add([sends('{{agent.name}}/key')])).warnings).toHaveLength(1)
  }))

test.each([
  [
    '@id("vault:x") permit (principal, action == Action::"vault:list", resource);',
    'may not have a name under "vault:"',
  ],
  ['@id("x") permit (principal, action, resource);', 'permits every action'],
  ['@id("x") permit (principal, action in Action::"vault:*", resource);', 'permits every action'],
  [
    '@id("x") @max_tll("5") permit (principal, action == Action::"vault:list", resource);',
    'not a known annotation',
  ],
  [
    '@id("x") @max_ttl("90000") permit (principal, action == Action::"vault:list", resource);',
    'above the global 86400',
  ],
  [
    '@id("x") permit (principal in AgentGlob::"a/b", action == Action::"vault:list", resource);',
    'can match no agent name',
  ],
  [
    '@id("x") permit (principal, action == Action::"vault:list", resource in PathGlob::"a//b");',
    'empty segment',
  ],
  [
    '@id("x") permit (principal, action == Action::"vault:list", resource) when { context.clock in Window::"noon" };',
    'not a time window',
  ],
  [
    '@id("x") permit (principal, action == Action::"vault:list", resource) when { context.method == "GET" };',
    'method',
  ],
  ['@id("x") permit (principal, action == Action::"vault:fly", resource);', 'vault:fly'],
  [
    '@id("x") @clauses("a,b") permit (principal, action == Action::"vault:list", resource) when { true };',
    '@clauses names 2',
  ],
  ['permit (principal, action == Action::"vault:list", resource);', 'no name'],
  ['@id("x") permit (principal, action == Action::"vault:list", resource', 'p.cedar'],
])('Cedar %s is refused: %s', (text, message) =>
  withStore(async (policies) => {
    await expect(policies.add([{ name: 'p.cedar', text }])).rejects.toThrow(
      expect.objectContaining({
        code: 'POLICY_INVALID',
        message: expect.stringContaining(message),
      }),
    )
  }),
)

test('removing takes ids or rule names, all or none', () =>
  withStore(async (policies) => {
    await policies.add([rule('a'), rule('b'), CEDAR])
    await expect(policies.remove(['a', 'nope'])).rejects.toThrow(
      expect.objectContaining({ code: 'NOT_FOUND' }),
    )
    expect(await policies.list()).toHaveLength(3)
    expect((await policies.remove(['a', 'mine'])).removed).toEqual(['vault:a', 'mine'])
    expect((await policies.list()).map(({ id }) => id)).toEqual(['vault:b'])
    expect((await policies.show('b')).id).toBe('vault:b')
    await expect(policies.show('a')).rejects.toThrow('No policy named "a"')
  }))

test('an altered row is refused by reads and by changes', () =>
  withStore(async (policies, store) => {
    await policies.add([rule('a'), rule('b')])
    await store.write((trx) =>
      trx.updateTable('policy').set({ enabled: 0 }).where('id', '=', 'vault:a').execute(),
    )
    const corrupt = expect.objectContaining({ code: 'STORE_CORRUPT' })
    await expect(policies.list()).rejects.toThrow(corrupt)
    await expect(policies.add([rule('c')])).rejects.toThrow(corrupt)
    await expect(policies.remove(['b'])).rejects.toThrow(corrupt)
  }))

test('a set that was in force can be read back by its digest after it changed', () =>
  withStore(async (policies, store) => {
    const first = await policies.add([rule('a'), CEDAR])
    const second = await policies.remove(['a'])
    const then = await policies.policySet(first.digest)
    expect(then.map(({ id }) => id)).toEqual(['builtin', 'vault:a', 'mine'])
    expect(then[2]?.text).toContain('AgentGlob::"a*"')
    expect((await policies.policySet(second.digest)).map(({ id }) => id)).toEqual([
      'builtin',
      'mine',
    ])
    const fresh = new PolicyEngine()
    fresh.load([])
    expect(await policies.policySet(fresh.digest)).toHaveLength(1)
    await expect(policies.policySet('0'.repeat(64))).rejects.toThrow('was ever in force')
    await store.write((trx) =>
      trx
        .updateTable('policy_set')
        .set({ json: '{}' })
        .where('digest', '=', first.digest)
        .execute(),
    )
    await expect(policies.policySet(first.digest)).rejects.toThrow(
      expect.objectContaining({ code: 'STORE_CORRUPT' }),
    )
  }))

test('policies are recognised under another version’s built-in ones, and their sets are kept at each opening', async () => {
  await withStore(async (policies, store) => {
    const { digest } = await policies.add([CEDAR])
    const { json } = await store.db
      .selectFrom('policy_set')
      .select('json')
      .where('digest', '=', digest)
      .executeTakeFirstOrThrow()
    const manifest = JSON.parse(json) as { builtin: string; policies: [string, string][] }
    const keep = async (changed: object): Promise<string> => {
      const text = canonicalJson({ ...manifest, ...changed })
      const kept = { digest: hash('sha256', text), json: text, created_at: 1 }
      await store.write((trx) => trx.insertInto('policy_set').values(kept).execute())
      return kept.digest
    }
    expect(await policies.areThoseOf(digest)).toBe(true)
    expect(await policies.areThoseOf(await keep({ builtin: 'of an older version' }))).toBe(true)
    expect(await policies.areThoseOf(await keep({ policies: [] }))).toBe(false)
    expect(await policies.areThoseOf('f'.repeat(64))).toBe(undefined)
    await store.write((trx) => trx.deleteFrom('policy_set').execute())
    await policies.keepCurrent()
    expect((await policies.policySet(digest)).map(({ id }) => id)).toEqual(['builtin', 'mine'])
  })
})
