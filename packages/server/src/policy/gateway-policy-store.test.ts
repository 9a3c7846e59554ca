import { createHmac } from 'node:crypto'
import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import { openStore, type Store } from '../store/store.ts'
import { PolicyEngine } from './engine.ts'
import { AGENT, ask } from './gateway.test-kit.ts'
import type { GatewayDocument } from './gateway-spec.ts'
import { DEFAULT_ROLE_POLICIES } from './gateway-templates.ts'
import { PolicyStore } from './policy-store.ts'
import { explainRecord } from './why.ts'

type Row = Readonly<Record<string, unknown>>

function mac(table: string, id: string, { mac: _, ...columns }: Row): Uint8Array {
  const hmac = createHmac('sha256', 'key')
  return hmac.update(canonicalJson([table, id, columns])).digest()
}

function check(table: string, id: string, row: Row, given: Uint8Array): void {
  if (Buffer.compare(mac(table, id, row), given) !== 0) throw new VestryError('STORE_CORRUPT')
}

async function withStore(run: (policies: PolicyStore, store: Store) => Promise<void>) {
  using dir = mkdtempDisposableSync(`${tmpdir()}/gateway-policy-`)
  await using store = await openStore(`sqlite:${dir.path}/v.db`)
  let clock = 1_000
  let next = 1
  const uuid = () => `00000000-0000-4000-8000-${String(next++).padStart(12, '0')}`
  await run(new PolicyStore({ store, mac, check, now: () => clock++, maxTtl: 86_400, uuid }), store)
}

const scraper: GatewayDocument = {
  name: 'Mine',
  description: 'for me',
  role: 'scraper',
  spec: { scopes: ['serpapi:search'], guards: { maxRequestSize: 5 } },
}
const own: GatewayDocument = {
  name: 'Own',
  agentId: AGENT,
  spec: { scopes: ['openai:chat'], guards: { maxRequestSize: 9 } },
}
const FIRST = '00000000-0000-4000-8000-000000000001'
const file = (data: unknown) => ({ name: 'x.json', text: JSON.stringify(data) })

test('gateway policies are added, listed, read and removed as records', () =>
  withStore(async ({ gateway }, store) => {
    const { records, change } = await gateway.add([scraper, { ...own, active: false }])
    expect(records[0]).toEqual({
      id: FIRST,
      name: 'Mine',
      description: 'for me',
      role: 'scraper',
      spec: scraper.spec,
      specHash: expect.stringMatching(/^[0-9a-f]{64}$/),
      active: true,
      createdAt: expect.any(Number),
      updatedAt: expect.any(Number),
    })
    expect(change.created).toEqual(records.map(({ id }) => `gateway:${id}`))
    expect(change.generation).toBe(await store.generation())
    const names = async (filter: Parameters<typeof gateway.list>[0]) =>
      (await gateway.list(filter)).map(({ name }) => name)
    expect(await names({})).toEqual(['Mine', 'Own'])
    expect(await names({ role: 'scraper' })).toEqual(['Mine'])
    expect(await names({ agentId: AGENT })).toEqual(['Own'])
    expect(await names({ active: true })).toEqual(['Mine'])
    expect(await gateway.get(FIRST)).toEqual(records[0])
    await gateway.remove(FIRST)
    await expect(gateway.get(FIRST)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(gateway.remove(FIRST)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  }))

test('a change keeps owner, place and what it does not name', () =>
  withStore(async ({ gateway }) => {
    await gateway.add([scraper])
    const before = await gateway.get(FIRST)
    const { record } = await gateway.patch(FIRST, { spec: { scopes: ['*'] }, active: false })
    expect(record).toMatchObject({
      id: FIRST,
      name: 'Mine',
      description: 'for me',
      role: 'scraper',
      spec: { scopes: ['*'] },
      active: false,
      createdAt: before.createdAt,
    })
    expect(record.specHash).not.toBe(before.specHash)
    expect(record.updatedAt).toBeGreaterThan(before.updatedAt)
  }))

test('gateway §19.16: what binds an agent is told as one spec, with its sources', () =>
  withStore(async ({ gateway }) => {
    await gateway.add([own, scraper])
    expect(await gateway.mergedFor(AGENT, 'scraper')).toEqual({
      mergedSpec: { scopes: ['serpapi:search', 'openai:chat'], guards: { maxRequestSize: 9 } },
      sourcePolicies: ['00000000-0000-4000-8000-000000000002', FIRST],
    })
    expect(await gateway.mergedFor(FIRST, 'nobody')).toEqual({
      mergedSpec: { scopes: [] },
      sourcePolicies: [],
    })
  }))

test('the stored rows load, and decide', () =>
  withStore(async (policies) => {
    await policies.gateway.add(DEFAULT_ROLE_POLICIES)
    const engine = new PolicyEngine()
    engine.load(await policies.list())
    expect(engine.size).toBe(4)
    expect(engine.decide(ask('serpapi:search', { intent: 'lead_discovery' })).allow).toBe(true)
  }))

test('a file adds them, and adding it again replaces by owner and name', () =>
  withStore(async (policies) => {
    const agents = { agentId: async (name: string) => (name === 'scout' ? AGENT : undefined) }
    const { agentId: _, ...rest } = own
    const documents = [scraper, { ...rest, agent: 'scout' }]
    const { created } = await policies.add([file(documents)], agents)
    expect(created).toHaveLength(2)
    expect(await policies.add([file(documents)], agents)).toMatchObject({ unchanged: created })
    const changed = { ...scraper, spec: { scopes: ['*'] } }
    expect(await policies.add([file(changed)])).toMatchObject({ updated: [created[0]] })
    expect((await policies.gateway.list({ agentId: AGENT })).map(({ name }) => name)).toEqual([
      'Own',
    ])
    expect((await policies.show('Own')).id).toBe(created[1])
    expect((await policies.show(FIRST)).format).toBe('gateway')
    expect((await policies.remove(['Own'])).removed).toEqual([created[1]])
  }))

test.each([
  [[scraper, scraper], 'is given twice'],
  [{ ...scraper, role: undefined, agent: 'nobody' }, 'no agent "nobody"'],
  [{ ...scraper, spec: { scopes: ['x'] } }, 'x.json: spec.scopes.0: must be tool:action'],
  [[scraper, { ...scraper, oops: 1 }], 'x.json[1]: oops: is not a known field'],
])('gateway §19.21: a file with a bad document is refused whole: %j', (data, message) =>
  withStore(async (policies) => {
    await expect(policies.add([file(data)])).rejects.toMatchObject({
      code: 'POLICY_INVALID',
      message: expect.stringContaining(message),
    })
    expect(await policies.list()).toEqual([])
  }),
)

test('an old decision is still explained with the part of the policy that decided it', () =>
  withStore(async (policies) => {
    const { change } = await policies.gateway.add([scraper])
    const engine = new PolicyEngine()
    engine.load(await policies.list())
    const decision = engine.decide(ask('serpapi:search', { requestBytes: 6 }))
    expect(decision.policySet).toBe(change.digest)
    await policies.gateway.remove(FIRST)
    const text = explainRecord(
      {
        timestamp: 0,
        actor: 'agent:scout',
        action: 'tool.call',
        detail: 'serpapi:search',
        decision: {
          id: decision.id,
          allow: false,
          policies: decision.forbids,
          reason: decision.reason,
          reason_code: decision.reasonCode,
          policy_set: decision.policySet,
        },
      },
      await policies.policySet(decision.policySet),
    )
    expect(text).toContain(`forbidden by "gateway:${FIRST}/guard/max-request-size"`)
    expect(text).toContain('when { (context has request_bytes) && (context.request_bytes > 5) };')
    expect(text).not.toContain('/scope/')
    expect(text).toContain('smaller parameters')
  }))
