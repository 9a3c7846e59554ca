import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { VestryError } from '@vestry/contract/errors'
import { expect, onTestFinished, test } from 'vitest'
import { AuditLog } from '../audit/log.ts'
import type { AuditEntry } from '../audit/record.ts'
import { openLogFile } from '../audit/segment.ts'
import { newCaller } from '../identity/caller.ts'
import { testGuard, testKeyring } from '../identity/test-keys.ts'
import { Limits } from '../limits/limits.ts'
import { PolicyEngine } from '../policy/engine.ts'
import { readPolicyFiles } from '../policy/policy-file.ts'
import { openStore } from '../store/store.ts'
import { Approvals } from './approval.ts'
import { type ProtectedCall, perform, type Stations } from './perform.ts'
import { Taint } from './taint.ts'

const SCOUT = {
  id: '018f3c5e-0000-7000-8000-000000000001',
  name: 'scout',
  displayName: 'scout',
  role: 'worker',
  status: 'enabled',
  keys: [],
  spiffeId: 'spiffe://test/agent/1',
  meta: {},
  requireSigV2: false,
  createdAt: 0,
  updatedAt: 0,
} as const

/** Real stations; the disk under the log refuses while `full` says so. */
async function stationsWith(rules: string) {
  const dir = mkdtempDisposableSync(`${tmpdir()}/perform-`)
  onTestFinished(() => dir.remove())
  const disk = { full: false }
  const audit = await AuditLog.open({
    dir: `${dir.path}/audit`,
    podName: 'test',
    now: Date.now,
    openFile: (path, create) => {
      const file = openLogFile(path, create)
      return {
        get size() {
          return file.size
        },
        get gone() {
          return file.gone
        },
        write: (bytes) => {
          if (disk.full) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
          file.write(bytes)
        },
        sync: () => file.sync(),
        truncate: (size) => file.truncate(size),
        close: () => file.close(),
      }
    },
  })
  onTestFinished(() => audit.close())
  const store = await openStore(`sqlite:${dir.path}/store.db`)
  onTestFinished(() => store.close())
  const policy = new PolicyEngine()
  const settings = { maxTtl: 86_400, understood: true, hostsSupplied: () => true }
  const { policies } = await readPolicyFiles([{ name: 'r.yaml', text: rules }], settings)
  policy.load(policies.map((row, position) => ({ ...row, position })))
  const written: AuditEntry[] = []
  const refused: string[] = []
  const append = audit.append.bind(audit)
  audit.append = (entry, durability) => {
    written.push(entry)
    return append(entry, durability)
  }
  const stations: Stations = {
    policy,
    limits: new Limits({ store, now: Date.now, monotonic: () => performance.now() }),
    approvals: new Approvals(store, testGuard(testKeyring()), Date.now),
    taint: new Taint({ store: store, now: Date.now, warn: () => undefined }),
    audit,
    refused: (actor, scope) => refused.push(`${actor} ${scope}`),
    now: Date.now,
  }
  return { stations, disk, written, refused }
}

function callOf<T>(settle: ProtectedCall<T>['settle'], more: Partial<ProtectedCall<T>> = {}) {
  const peer = { transport: 'unix' } as const
  return {
    caller: newCaller({ principal: { kind: 'agent', agent: SCOUT }, peer, txn: 'txn_1' }),
    requestId: 'r-1',
    action: 'vault:retrieve',
    event: 'credential.retrieve',
    source: 'vault',
    resource: { kind: 'credential', path: 'a/b', type: null, tags: [] },
    context: { nowMs: Date.now(), transport: 'unix' },
    data: {},
    use: { of: 'a/b', lifetime: 600 },
    settle,
    ...more,
  } satisfies ProtectedCall<T>
}

const RULE = '{name: r, principal: "agent:*", resources: "**", actions: [retrieve]'

test('vault §28.50: without an intent on disk there is no effect, and nothing is used up', async () => {
  const { stations, disk } = await stationsWith(`${RULE}, max_uses: 1, require_approval: true}`)
  const given: string[] = []
  let effects = 0
  const call = callOf(() => ({
    effect: () => {
      effects += 1
      return 'done'
    },
    held: { [Symbol.dispose]: () => void given.push('back') },
  }))
  const asked = await perform(stations, call).catch((error) => error)
  expect(asked).toMatchObject({ code: 'APPROVAL_REQUIRED' })
  await stations.approvals.decide(asked.context.approval_id, 'allowed', 'ada')
  disk.full = true
  for (let n = 0; n < 3; n += 1)
    await expect(perform(stations, call)).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
  expect(effects).toBe(0)
  expect(given).toHaveLength(4)
  disk.full = false
  await expect.poll(() => stations.audit.available, { timeout: 5_000 }).toBe(true)
  expect(await perform(stations, call), 'the one yes and the one use are still there').toBe('done')
  await expect(perform(stations, call)).rejects.toMatchObject({ code: 'LEASE_EXHAUSTED' })
})

test('the intent is written before the effect, the outcome after it, with what it noted', async () => {
  const { stations, written } = await stationsWith(`${RULE}}`)
  const call = callOf(() => ({
    data: { planned: 1 },
    effect: (note) => {
      expect(written.map(({ phase }) => phase)).toEqual(['intent'])
      note({ version: 3 })
      return 'done'
    },
  }))
  expect(await perform(stations, call)).toBe('done')
  expect(written).toMatchObject([
    { phase: 'intent', success: true, data: { planned: 1, path: 'a/b', operation: 'retrieve' } },
    { phase: 'outcome', success: true, outcome: { code: 'OK', version: 3 } },
  ])
})

test('a failing effect leaves its code, and what it held is given back', async () => {
  const { stations, written } = await stationsWith(`${RULE}}`)
  const back: string[] = []
  const held = { [Symbol.dispose]: () => void back.push('back') }
  const failing = (error: unknown) =>
    perform(
      stations,
      callOf(() => ({ held, effect: () => Promise.reject(error) })),
    )
  const known = new VestryError('UPSTREAM_ERROR', 'it broke')
  await expect(failing(known)).rejects.toBe(known)
  const bug = new TypeError('of ours')
  await expect(failing(bug)).rejects.toBe(bug)
  expect(back).toHaveLength(2)
  expect(written.map(({ phase, outcome }) => [phase, outcome?.code])).toEqual([
    ['intent', undefined],
    ['outcome', 'UPSTREAM_ERROR'],
    ['intent', undefined],
    ['outcome', 'INTERNAL_ERROR'],
  ])
})

test('what was made is taken back when its outcome can no longer be recorded', async () => {
  const { stations } = await stationsWith(`${RULE}}`)
  const undone: string[] = []
  const call = callOf(() => ({
    effect: async () => {
      await stations.audit.close() // the daemon stops in the middle
      return 'secret'
    },
    undo: (made) => void undone.push(made),
  }))
  await expect(perform(stations, call)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
  expect(undone).toEqual(['secret'])
})

test('refusals by a limit are counted, all others recorded once', async () => {
  const { stations, written, refused } = await stationsWith(
    `${RULE}, rate: {per_second: 0.001, burst: 1}}`,
  )
  const call = (more: object = {}) =>
    perform(
      stations,
      callOf(() => ({ effect: () => 1 }), more),
    )
  const gone = new VestryError('CREDENTIAL_NOT_FOUND')
  const missing = {
    exists: () => {
      throw gone
    },
  }
  await expect(call(missing)).rejects.toBe(gone)
  expect(await call(), 'what is absent was not charged').toBe(1)
  await expect(call()).rejects.toMatchObject({ code: 'RATE_LIMITED' })
  await expect(call({ action: 'vault:store', event: 'credential.store' })).rejects.toMatchObject({
    code: 'ACCESS_DENIED',
  })
  expect(refused).toEqual(['agent:scout vault:r'])
  expect(written.map(({ action, phase, outcome }) => [action, phase, outcome?.code])).toEqual([
    ['credential.retrieve', 'single', 'CREDENTIAL_NOT_FOUND'],
    ['credential.retrieve', 'intent', undefined],
    ['credential.retrieve', 'outcome', 'OK'],
    ['policy.deny', 'single', 'ACCESS_DENIED'],
  ])
})
