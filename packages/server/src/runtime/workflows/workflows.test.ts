import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AuditLog } from '../../audit/log.ts'
import { Approvals } from '../../call/approval.ts'
import { Taint } from '../../call/taint.ts'
import { newCaller } from '../../identity/caller.ts'
import type { Operator } from '../../identity/operator.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { testJournal, until } from '../../journal/test-journal.ts'
import { Limits } from '../../limits/limits.ts'
import { PolicyEngine } from '../../policy/engine.ts'
import { eachStore } from '../../store/test-store.ts'
import { type Definition, readDefinition } from './definition.ts'
import { RunStore } from './run-store.ts'
import type { BodyDeps } from './step-bodies.ts'
import { Workflows } from './workflows.ts'

const ADA: Operator = { id: 'op-1', name: 'ada', role: 'admin', status: 'enabled', createdAt: 1 }
const define = (steps: object[], more: object = {}): Definition =>
  readDefinition({ id: 'tried', steps, ...more })
const WAITS = define([
  { id: 'wait', kind: 'wait_for_signal', with: { name: 'go' } },
  { id: 'after', kind: 'transform', with: { expression: 'steps.wait.output + 1' } },
])
const SUM = define([{ id: 'sum', kind: 'transform', with: { expression: 'params.n + 1' } }])
const unused = () => Promise.reject(new Error('not asked here'))

eachStore('workflows', (at) => {
  const keyring = testKeyring()
  let undo: AsyncDisposableStack
  let definition: Definition
  let isRevoked: boolean
  let audit: AuditLog
  let taint: Taint

  beforeEach(async () => {
    undo = new AsyncDisposableStack()
    isRevoked = false
    const dir = mkdtempDisposableSync(`${tmpdir()}/workflows-`)
    undo.defer(() => dir.remove())
    audit = await AuditLog.open({ dir: dir.path, podName: 'test', now: Date.now })
    undo.defer(() => audit.close())
    taint = undo.use(new Taint({ store: at.store, now: Date.now, warn: () => undefined }))
  })
  afterEach(() => undo.disposeAsync())

  /** One node. */
  async function node({
    started = true,
    openMax = 100,
    bodies = {},
  }: {
    started?: boolean
    openMax?: number
    bodies?: object
  } = {}) {
    const { store } = at
    const [now, keys] = [Date.now, () => keyring]
    const policy = new PolicyEngine()
    policy.load([])
    const approvals = new Approvals(store, testGuard(keyring), now)
    const limits = new Limits({ store, now, monotonic: () => performance.now() })
    const stations = { policy, limits, approvals, taint, audit, refused: () => undefined, now }
    const journal = undo.use(testJournal({ store, keys }))
    const runs = new RunStore({ store, keys, now })
    const rest: Partial<BodyDeps> = {
      approvals,
      signalled: (id: string, name: string) => runs.signalled(id, name),
      now,
      ...bodies,
    }
    const workflows = new Workflows({
      stations,
      journal,
      runs,
      steps: { store, keys, now },
      definitions: {
        get: async () => ({ definition, createdBy: 'ada', createdAt: 0, updatedAt: 0 }),
      },
      bodies: rest as BodyDeps,
      agents: { byId: unused },
      operators: { standing: async () => (isRevoked ? undefined : ADA) },
      timeoutSeconds: 60,
      settings: { concurrency: 4, queueMax: 100, openMax },
      warn: () => undefined,
      now,
    })
    await workflows.open()
    if (started) journal.start()
    const start = (params: Readonly<Record<string, unknown>>, key?: string) =>
      workflows.start({
        workflowId: 'tried',
        params,
        requestId: 'req_1',
        trigger: 'test',
        caller: newCaller({
          principal: { kind: 'operator', operator: ADA },
          peer: { transport: 'unix' },
          txn: 'txn_1',
        }),
        ...(key !== undefined && { key }),
      })
    return { workflows, journal, runs, start }
  }

  const runAt = (id: string) =>
    at.store.db
      .selectFrom('execution')
      .select(['run_at', 'owner', 'attempts'])
      .where('id', '=', id)
      .executeTakeFirstOrThrow()
  /** News of its own reservation may have it looked at once more, right after it was put down. */
  const isParked = async (id: string) => {
    const { owner, run_at: runAtMs } = await runAt(id)
    return owner === null && Number(runAtMs) > Date.now() + 20_000
  }

  test('runtime §5.2: a key starts one run, however often and however at once, and only for what it asked', async () => {
    definition = SUM
    const { start, workflows } = await node()
    const all = await Promise.all([1, 2, 3, 4].map(() => start({ n: 1 }, 'k')))
    expect(new Set(all.map(({ executionId }) => executionId)).size).toBe(1)
    for (const { ended } of all)
      expect(await ended).toMatchObject({ status: 'completed', result: { output: 2 } })
    expect(await workflows.list({ limit: 10 })).toHaveLength(1)
    await expect(start({ n: 2 }, 'k')).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' })
  })

  test('runtime §5.2: what was accepted and not begun is run by the next process', async () => {
    definition = SUM
    const before = await node({ started: false })
    const { executionId } = await before.start({ n: 4 })
    await before.journal.stop(0, 0)
    const { workflows } = await node()
    const run = await workflows.ended(executionId, AbortSignal.timeout(10_000))
    expect(run.status).toBe('completed')
    expect((await workflows.content(executionId))?.result).toEqual({ output: 5 })
  })

  test('runtime §5.2: a run that waits is nobody’s until a signal comes, and shows the step that waits', async () => {
    definition = WAITS
    const { start, workflows } = await node()
    const { executionId: id, ended } = await start({})
    await until(() => isParked(id))
    expect(await workflows.steps(id, undefined)).toMatchObject([{ id: 'wait', status: 'waiting' }])
    const run = await workflows.get(id)
    if (run === undefined) throw new Error('it is there')
    await workflows.signal(run, 'go', 41)
    expect(await ended).toMatchObject({ status: 'completed', result: { output: 42 } })
    expect((await runAt(id)).attempts).toBeGreaterThan(1)
  })

  test('runtime §5.2: a signal that came to another node, which died before it told, still ends the wait', async () => {
    definition = WAITS
    const { start, runs } = await node()
    const { executionId: id, ended } = await start({})
    await until(() => isParked(id))
    expect(await runs.signal(id, 'go', 1)).toBe(true)
    expect(await ended).toMatchObject({ status: 'completed', result: { output: 2 } })
  })

  test('runtime §5.2: runs that have not ended are bounded', async () => {
    definition = WAITS
    const { start } = await node({ openMax: 2 })
    await start({ n: 1 })
    await start({ n: 2 })
    await expect(start({ n: 3 })).rejects.toMatchObject({ code: 'QUEUE_FULL' })
  })

  test('runtime §5.2: the run of an operator who was revoked goes no further', async () => {
    definition = WAITS
    const { start, workflows } = await node()
    const { executionId: id, ended } = await start({})
    await until(() => isParked(id))
    isRevoked = true
    const run = await workflows.get(id)
    if (run === undefined) throw new Error('it is there')
    await workflows.signal(run, 'go', 1)
    expect(await ended).toMatchObject({ status: 'failed', error: { code: 'ACCESS_DENIED' } })
  })

  test('runtime §5.2: what the run has read, whoever hears its result has read', async () => {
    definition = SUM
    const { start } = await node()
    const { executionId, ended } = await start({ n: 1 })
    await taint.add(executionId, ['secret-plans'])
    await ended
    expect(taint.of('txn_1')).toContain('secret-plans')
  })

  test('runtime §5.2: retries, timeouts, a foreach and on_error are kept', async () => {
    let calls = 0
    const programs = () => ({
      runSource: async ({ input }: { input: { fails?: number; hangs?: boolean; n?: number } }) => {
        calls += 1
        if (input.hangs) await new Promise(() => undefined)
        if (calls <= (input.fails ?? 0)) throw new Error('not yet')
        return { n: input.n ?? calls }
      },
    })
    const source = 'x'
    definition = define([
      {
        id: 'again',
        kind: 'dsl_action',
        with: { source, input: { fails: 2 } },
        retry: { max_attempts: 3, backoff: 'fixed', delay_ms: 1 },
      },
      {
        id: 'late',
        kind: 'dsl_action',
        with: { source, input: { hangs: true } },
        needs: ['again'],
        timeout_seconds: 1,
        on_error: 'continue',
      },
      {
        id: 'each',
        kind: 'foreach',
        with: {
          items: [5, 6],
          // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of workflows
          step: { kind: 'dsl_action', with: { source, input: { n: '${item}' } } },
        },
        needs: ['late'],
      },
      {
        id: 'told',
        kind: 'transform',
        with: { expression: '[steps.again.output.n, steps.late.error.code, steps.each.output]' },
      },
    ])
    const { start } = await node({ bodies: { programs } })
    const { ended } = await start({})
    expect((await ended).result).toEqual({
      output: [3, 'DEADLINE_EXCEEDED', [{ n: 5 }, { n: 6 }]],
    })
  })
})
