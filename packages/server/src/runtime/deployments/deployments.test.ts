/** Deployments and their triggers, with programs that are granted and withdrawn as real ones are. */
import { createHmac, createSecretKey } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { ProgramDefinition } from '../../dsl/definition.ts'
import type { Agent } from '../../identity/agent.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { Buckets } from '../../limits/bucket.ts'
import { Secret } from '../../seal/secret.ts'
import { eachStore } from '../../store/test-store.ts'
import type { AgentInvoker, ExecutionEnd } from '../http-input/agent-invoker.ts'
import type { Programs, ProgramVersion } from '../programs/programs-api.ts'
import { blockersOf } from './blockers.ts'
import { DeliveryStore } from './delivery-store.ts'
import { DeploymentRuns } from './deployment-runs.ts'
import { DeploymentStore } from './deployment-store.ts'
import { Deployments } from './deployments.ts'
import { type HookRecord, Hooks } from './hooks.ts'
import { Invocations } from './invocation.ts'

const keyring = testKeyring()
const guard = testGuard(keyring)
const failing = (code: string) => expect.objectContaining({ code })
const AGENT = { id: 'a-1', name: 'webhook_handler', status: 'enabled' } as unknown as Agent
const NOTE = () => undefined

function definition(more: Partial<ProgramDefinition> = {}): ProgramDefinition {
  return {
    attributes: {},
    policies: [],
    with: [],
    schedules: [],
    webhooks: [],
    triggers: [
      {
        name: 'github_webhook',
        provider: 'github',
        path: 'hooks/webhook_handler/github_webhook',
        events: [{ event: 'push', filter: 'main' }],
        run: [],
        secret_ref: 'webhook/github_webhook',
        filter: null,
      },
    ],
    ...more,
  } as unknown as ProgramDefinition
}

eachStore('deployments', (at) => {
  let versions: ProgramVersion[]
  let granted: Map<string, number>
  let scheduled: Map<string, number>
  let begun: Parameters<AgentInvoker['start']>[0][]
  let ends: PromiseWithResolvers<ExecutionEnd>[]
  let auto: ExecutionEnd | undefined
  let records: HookRecord[]
  let lost: Set<string>
  let grant: Programs['grant']
  let deployments: Deployments
  let invocations: Invocations
  let hooks: Hooks
  let secret: string | undefined
  const store = () => new DeploymentStore({ store: at.store, guard })

  function add(more: Partial<ProgramDefinition> = {}): void {
    versions.push({
      agentId: AGENT.id,
      version: versions.length + 1,
      definition: definition(more),
      permissions: { allows: [], denies: [], budgets: {} },
    } as unknown as ProgramVersion)
  }

  /** As after a start of the daemon: nothing of before is in memory. */
  function boot(): void {
    const cancel = async (id: string) => {
      const index = begun.findIndex(({ executionId }) => executionId === id)
      ends[index]?.resolve({ status: 'failed', error: { code: 'CANCELLED', message: 'stopped' } })
    }
    const programs = {
      version: async (_: string, version?: number) =>
        version === undefined ? versions.at(-1) : versions.find((one) => one.version === version),
      code: () => undefined,
      grant: (...given: Parameters<Programs['grant']>) => grant(...given),
      withdraw: async (id: string) => void granted.delete(id),
    } as unknown as Programs
    const runs = new DeploymentRuns({ store: at.store, now: Date.now })
    deployments = new Deployments({
      store: store(),
      runs,
      agents: {
        named: async (name) => {
          if (name !== AGENT.name) throw new VestryError('AGENT_NOT_FOUND')
          return AGENT
        },
        byId: async () => AGENT,
      },
      definitionOf: async () => undefined,
      programs: () => programs,
      schedules: () => ({
        put: async (id, schedules) => void scheduled.set(id, schedules.length),
        remove: async (id) => void scheduled.delete(id),
      }),
      blockers: (candidate) =>
        blockersOf({ tools: () => [], parse: () => 1, sandboxes: new Set() }, candidate),
      approved: async () => undefined,
      cancel,
      alone: true,
      now: Date.now,
      warn: () => undefined,
      times: { answerMs: 50, drainMs: 200, endMs: 2_000, retryMs: 20 },
    })
    const agents: AgentInvoker = {
      exists: async () => true,
      start: async (asked) => {
        if (begun.some((one) => one.executionId === asked.executionId && asked.executionId))
          throw new VestryError('CONFLICT')
        const end = Promise.withResolvers<ExecutionEnd>()
        if (auto !== undefined) end.resolve(auto)
        const executionId = asked.executionId ?? `exe_${begun.length}`
        begun.push({ ...asked, executionId })
        ends.push(end)
        return { executionId, ended: end.promise }
      },
    }
    invocations = new Invocations({
      deployments,
      runs,
      agents,
      cancel,
      warn: () => undefined,
      now: Date.now,
    })
    hooks = new Hooks({
      deployments,
      invocations,
      deliveries: new DeliveryStore({
        store: at.store,
        hashKey: () => createSecretKey(Buffer.alloc(32, 1)),
        now: Date.now,
      }),
      secrets: {
        resolve: async () => {
          if (secret === undefined) throw new VestryError('SECRET_NOT_FOUND')
          return Secret.own(Buffer.from(secret))
        },
      },
      buckets: new Buckets({ now: () => performance.now() }),
      runState: async (id) => {
        if (lost.has(id)) return 'lost'
        return begun.some(({ executionId }) => executionId === id) ? 'accepted' : 'none'
      },
      warn: () => undefined,
      record: async (fact) => void records.push(fact),
      refused: () => undefined,
      answerMs: 30,
      now: Date.now,
    })
  }

  beforeEach(async () => {
    versions = []
    granted = new Map()
    scheduled = new Map()
    begun = []
    ends = []
    records = []
    lost = new Set()
    auto = { status: 'completed', output: { ok: true } }
    secret = 's3cret'
    grant = async (id, { version }) => void granted.set(id, version)
    add()
    boot()
    await deployments.open()
  })
  afterEach(() => deployments.close())

  const deploy = (environment = 'production', config_overrides: Record<string, unknown> = {}) =>
    deployments.deploy({ agent_id: AGENT.name, environment, config_overrides }, 'ada', NOTE)
  const invoke = (id: string) => invocations.invoke(id, { input: {}, requestId: 'r' })

  function push(branch: string, more: { delivery?: string; key?: string; id?: string } = {}) {
    const { delivery = `d-${Math.random()}`, key = 's3cret', id = delivery } = more
    // As of GitHub: no two events have one body.
    const body = Buffer.from(JSON.stringify({ ref: `refs/heads/${branch}`, after: delivery }))
    const headers: Record<string, string> = {
      'x-github-event': 'push',
      'x-github-delivery': id,
      'x-hub-signature-256': `sha256=${createHmac('sha256', key).update(body).digest('hex')}`,
      authorization: 'Bearer never-shown',
    }
    return hooks.receive({
      path: 'hooks/webhook_handler/github_webhook',
      header: (name) => headers[name],
      body,
      requestId: 'req_1',
      remoteAddress: '192.0.2.1',
    })
  }

  it('runtime §12: keeps unknown settings with a warning, and refuses known ones of a wrong type', async () => {
    const { config, facts } = await deploy('staging', { max_concurrent_tasks: 2, colour: 'red' })
    expect(config).toEqual({ max_concurrent_tasks: 2, colour: 'red' })
    expect(facts.warnings).toEqual([expect.stringContaining('colour')])
    for (const wrong of [{ max_concurrent_tasks: '2' }, { env: { A: 1 } }, { timeout_seconds: 0 }])
      await expect(deploy('staging', wrong)).rejects.toThrow(failing('VALIDATION_ERROR'))
    await expect(deploy('../prod')).rejects.toThrow(failing('VALIDATION_ERROR'))
  })

  it('runtime §12: production takes no program that allows everything, nor one with unknown tools', async () => {
    add({
      policies: [
        { name: 'lax', rules: [{ effect: 'allow', target: 'any', condition: null }] },
      ] as ProgramDefinition['policies'],
      attributes: { tools: ['nowhere'] },
    })
    const refusal = await deploy().catch((error: VestryError) => error)
    expect(refusal).toMatchObject({
      code: 'DEPLOYMENT_BLOCKED',
      context: {
        details: {
          blockers: [
            expect.objectContaining({ code: 'W_PERMISSIVE_POLICY' }),
            expect.objectContaining({ code: 'TOOL_NOT_VERIFIED' }),
          ],
        },
      },
    })
    expect((await deploy('development')).status).toBe('running')
  })

  it('runtime §20.24: a sandbox that is not there fails the deployment in every environment', async () => {
    add({ with: [{ sandbox: 'tier1', attributes: {}, timeout_seconds: null }] })
    await expect(deploy('development')).rejects.toThrow(failing('SANDBOX_UNAVAILABLE'))
    expect(granted.size).toBe(0)
  })

  it('runtime §20.25: N at once never exceed max_concurrent_tasks, and stop waits for those under way', async () => {
    auto = undefined
    const { id } = await deploy('production', { max_concurrent_tasks: 2 })
    const codes: string[] = []
    const asked = Array.from({ length: 8 }, () =>
      invoke(id).catch(({ code }: VestryError) => void codes.push(code)),
    )
    await expect.poll(() => codes).toEqual(Array(6).fill('RATE_LIMITED'))
    expect(begun).toHaveLength(2)
    await expect(invoke(id)).rejects.toThrow(failing('RATE_LIMITED'))
    expect((await deployments.stop(id, NOTE)).status).toBe('stopping')
    await expect(invoke(id)).rejects.toThrow(failing('INVALID_STATE_TRANSITION'))
    expect(granted.has(id)).toBe(true)
    for (const end of ends) end.resolve({ status: 'completed', output: {} })
    await expect.poll(async () => (await deployments.get(id)).status).toBe('stopped')
    expect(granted.has(id)).toBe(false)
    expect((await deployments.stop(id, NOTE)).status).toBe('stopped')
    const told = (await Promise.all(asked)).flatMap((one) => one?.body['status'] ?? [])
    expect(told).toEqual(['completed', 'completed'])
  })

  it('runtime §12: a run that does not end is stopped when the time for draining is over', async () => {
    auto = undefined
    const { id } = await deploy()
    const asked = invoke(id)
    await expect.poll(() => begun.length).toBe(1)
    await deployments.stop(id, NOTE)
    await expect.poll(async () => (await deployments.get(id)).status).toBe('stopped')
    expect((await asked).body['error']).toMatchObject({ code: 'CANCELLED' })
  })

  it('runtime §12: what takes over on request stops the one before, in one change; else both serve', async () => {
    const first = await deploy()
    const second = await deploy()
    expect((await deployments.get(first.id)).status).toBe('running')
    const third = await deploy('production', { replace_previous: true })
    await expect.poll(() => [...granted.keys()]).toEqual([third.id])
    await expect.poll(async () => (await deployments.get(second.id)).status).toBe('stopped')
  })

  it('runtime §12: roll back brings the version before into force in one change', async () => {
    const first = await deploy()
    await deployments.stop(first.id, NOTE)
    await expect(deployments.rollback(first.id, 'ada', NOTE)).rejects.toThrow(
      failing('INVALID_STATE_TRANSITION'),
    )
    add()
    const second = await deploy()
    expect(second.programVersion).toBe(2)
    const back = await deployments.rollback(second.id, 'ada', NOTE)
    expect([back.programVersion, back.status]).toEqual([1, 'running'])
    await expect.poll(() => [...granted]).toEqual([[back.id, 1]])
    await expect(deployments.rollback(back.id, 'ada', NOTE)).rejects.toThrow(
      failing('INVALID_STATE_TRANSITION'),
    )
  })

  it('runtime §20.25: after a restart what served serves again, and what a crash left is put right', async () => {
    const { id } = await deploy()
    const halfDone = await deploy()
    const leaving = await deploy()
    const stored = store()
    await stored.change([
      { id: halfDone.id, change: () => ({ status: 'deploying' }) },
      { id: leaving.id, change: () => ({ status: 'stopping' }) },
    ])
    await deployments.close()
    granted.delete(id) // as if the crash came before it
    boot()
    await deployments.open()
    expect((await invoke(id)).status).toBe(200)
    await expect.poll(() => [...granted.keys()]).toEqual([id])
    expect((await deployments.get(halfDone.id)).status).toBe('failed')
    await expect.poll(async () => (await deployments.get(leaving.id)).status).toBe('stopped')
  })

  it('runtime §12: what may not be granted does not serve, and says why', async () => {
    grant = async () => {
      throw new VestryError('POLICY_INVALID', 'no such thing')
    }
    await expect(deploy()).rejects.toThrow(failing('POLICY_INVALID'))
    const [one] = await deployments.list()
    expect(one).toMatchObject({
      status: 'failed',
      facts: { lastError: expect.stringContaining('no such') },
    })
    expect(one?.stoppedAt).toBeDefined()
  })

  it('runtime §12: failures in a row make it degraded, one that is well makes it running again', async () => {
    const { id } = await deploy()
    auto = { status: 'failed', error: { code: 'NO_WORKFLOW', message: 'none is named' } }
    for (let n = 0; n < 3; n += 1) await invoke(id)
    const now = await deployments.get(id)
    expect([now.status, now.facts.lastError]).toEqual(['degraded', 'NO_WORKFLOW: none is named'])
    expect((await deployments.standing(AGENT.id)).isWell).toBe(false)
    auto = { status: 'completed', output: {} }
    await invoke(id)
    expect((await deployments.get(id)).status).toBe('running')
  })

  it('runtime §20.22: a signed push on the branch fires, another branch does not, an unsigned one is refused', async () => {
    const { id } = await deploy()
    const { status, body } = await push('main')
    expect([status, body['status']]).toEqual([202, 'accepted'])
    expect(begun[0]).toMatchObject({
      executionId: body['execution_id'],
      trigger: `hook:${id}/github_webhook`,
      program: { version: 1, deploymentId: id, inbound: { provider: 'github', event: 'push' } },
    })
    expect(JSON.stringify(begun[0])).not.toContain('never-shown')
    expect(await push('other')).toEqual({ status: 200, body: { status: 'ignored' } })
    await expect(push('main', { key: 'guess' })).rejects.toThrow(failing('UNAUTHORIZED'))
    secret = undefined
    await expect(push('main')).rejects.toThrow(failing('UNAUTHORIZED'))
    expect(begun).toHaveLength(1)
    expect(records.map(({ action }) => action)).toEqual([
      'trigger.fire',
      'trigger.refuse',
      'trigger.refuse',
    ])
  })

  it('runtime §12: one delivery runs once, however often and at once it comes', async () => {
    await deploy()
    const told = await Promise.all(Array.from({ length: 5 }, () => push('main', { delivery: 'd' })))
    expect(begun).toHaveLength(1)
    expect(new Set(told.map(({ body }) => body['execution_id'])).size).toBe(1)
    expect((await push('main', { delivery: 'd' })).status).toBe(200)
    const rows = await at.store.db.selectFrom('webhook_delivery').selectAll().execute()
    expect(rows).toHaveLength(1)
  })

  it('runtime §20.22: a crash between the reservation and the run does not lose the event', async () => {
    await deploy()
    const { body } = await push('main', { delivery: 'd' })
    begun.length = 0 // it was reserved, and never started
    const again = await push('main', { delivery: 'd' })
    expect([again.status, again.body]).toEqual([202, body])
    expect(begun).toHaveLength(1)
  })

  it('runtime §12: an event whose run was lost before it began is run when it comes again, once', async () => {
    await deploy()
    const { body } = await push('main', { delivery: 'd' })
    const first = String(body['execution_id'])
    lost.add(first) // a crash after its row was written, and the restart told it as interrupted
    const told = await Promise.all([
      push('main', { delivery: 'd' }),
      push('main', { delivery: 'd' }),
    ])
    const ids = new Set(told.map((reply) => reply.body['execution_id']))
    expect([ids.size, ids.has(first), begun.length]).toEqual([1, false, 2])
    expect((await push('main', { delivery: 'd' })).body['status']).toBe('already_accepted')
  })

  it('runtime §20.22: a captured body fires nothing under another delivery id, which nobody signed', async () => {
    await deploy()
    await push('main', { delivery: 'd' })
    const replay = await push('main', { delivery: 'd', id: 'another' })
    expect([replay.body['status'], begun.length]).toEqual(['already_accepted', 1])
    expect((await push('main', { delivery: 'e', id: 'd' })).body['status']).toBe('accepted')
  })

  it('runtime §11.6: who waits for a run that takes long is told that it was accepted', async () => {
    auto = undefined
    await deploy('production', { response: 'wait' })
    const late = await push('main')
    expect([late.status, late.body]).toEqual([
      202,
      { status: 'accepted', execution_id: begun[0]?.executionId },
    ])
  })

  it('runtime §1.2: a path that nobody serves is answered as a wrong signature is', async () => {
    await deploy()
    const knock = (path: string) =>
      hooks
        .receive({
          path,
          header: () => undefined,
          body: Buffer.from('{}'),
          requestId: 'r',
          remoteAddress: '192.0.2.1',
        })
        .catch(({ code, message, status }: VestryError) => ({ code, message, status }))
    const known = await knock('hooks/webhook_handler/github_webhook')
    expect(known).toMatchObject({ code: 'UNAUTHORIZED', status: 401 })
    expect(await knock('hooks/webhook_handler/nothing')).toEqual(known)
  })

  it('runtime §12: what may not be granted after a restart is tried again, and serves then', async () => {
    const { id } = await deploy()
    await deployments.close()
    let refusals = 2
    const granting = grant
    grant = async (...given) => {
      refusals -= 1
      if (refusals >= 0) throw new VestryError('STORE_UNAVAILABLE')
      await granting(...given)
    }
    boot()
    await deployments.open()
    expect((await deployments.get(id)).status).toBe('failed')
    await expect.poll(async () => (await deployments.get(id)).status).toBe('running')
    expect((await invoke(id)).status).toBe(200)
  })

  it('runtime §20.25: runs of before a restart have their places, and stop waits for them too', async () => {
    auto = undefined
    const { id } = await deploy('production', { max_concurrent_tasks: 2 })
    const asked = [invoke(id), invoke(id)]
    await expect.poll(() => begun.length).toBe(2)
    const before = ends
    await deployments.close()
    boot()
    await deployments.open()
    await expect(invoke(id)).rejects.toThrow(failing('RATE_LIMITED'))
    expect((await deployments.stop(id, NOTE)).status).toBe('stopping')
    expect(granted.has(id)).toBe(true)
    for (const end of before) end.resolve({ status: 'completed', output: {} })
    await Promise.all(asked)
    await expect.poll(async () => (await deployments.get(id)).status).toBe('stopped')
    expect(granted.has(id)).toBe(false)
  })

  it('runtime §20.25: two nodes together never exceed max_concurrent_tasks, and both drain', async () => {
    auto = undefined
    const { id } = await deploy('production', { max_concurrent_tasks: 3 })
    const [here, mine] = [deployments, invocations]
    boot()
    await deployments.open()
    const told: string[] = []
    const ask = (node: Invocations) =>
      node.invoke(id, { input: {}, requestId: 'r' }).catch(({ code }) => void told.push(code))
    const asked = Array.from({ length: 12 }, (_, n) => ask(n % 2 ? mine : invocations))
    await expect.poll(() => told.length).toBe(9)
    expect(new Set(told)).toEqual(new Set(['RATE_LIMITED']))
    expect(begun).toHaveLength(3)
    await here.stop(id, NOTE)
    // The other node has not heard of it, and takes none all the same.
    await expect(invoke(id)).rejects.toThrow(failing('INVALID_STATE_TRANSITION'))
    for (const end of ends) end.resolve({ status: 'completed', output: {} })
    await Promise.all(asked)
    await expect.poll(async () => (await here.get(id)).status).toBe('stopped')
    await here.close()
  })

  it('runtime §12: an event that finds no free place is refused, and its next delivery runs', async () => {
    auto = undefined
    await deploy('production', { max_concurrent_tasks: 1 })
    await push('main')
    await expect(push('main', { delivery: 'd' })).rejects.toThrow(failing('RATE_LIMITED'))
    for (const end of ends) end.resolve({ status: 'completed', output: {} })
    await expect.poll(() => push('main', { delivery: 'd' }).then(({ status }) => status)).toBe(202)
  })

  it('runtime §11.6: production gets the events of a path before other environments', async () => {
    const { id } = await deploy('production')
    await deploy('development')
    await push('main')
    expect(begun[0]?.program?.deploymentId).toBe(id)
  })

  it('runtime §11.6: schedules come and go with the deployment', async () => {
    add({
      triggers: [
        { name: 'nightly', events: [{ event: 'schedule', filter: '30 2 * * *' }], run: [] },
      ] as unknown as ProgramDefinition['triggers'],
    })
    const { id } = await deploy()
    expect(scheduled.get(id)).toBe(1)
    await deployments.stop(id, NOTE)
    expect(scheduled.has(id)).toBe(false)
  })
})
